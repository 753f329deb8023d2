//! What one source costs, on the page.

use super::facts::SourceView;
use super::html::Html;
use crate::commands::cost::answer::{SourceCosts, of_whole_months, sums_of};
use crate::commands::cost::forecast::{month_table, sizes_in_words, usd};
use crate::commands::cost::report::{class_of, restore_table};
use crate::commands::cost::table::TextTable;
use crate::commands::output::count;
use crate::engine::CostForecast;
use crate::model::size::Bytes;
use crate::plan::Pricing;

/// Writes what its places cost now and in the months to come.
pub(super) fn write(html: &mut Html, view: &SourceView<'_>, costs: &SourceCosts<'_>) {
    let name = &view.status.name;
    let caption = format!("What is stored of {name}, and USD a month");
    html.table(&caption, &places(costs));
    match &costs.forecast {
        Ok(foreseen) => forecast(html, view, foreseen),
        Err(reason) => html.text(
            "p",
            &[],
            format_args!("No forecast: {}.", reason.in_words()),
        ),
    }
}

/// Returns what is there, by place, part and class.
fn places(costs: &SourceCosts<'_>) -> TextTable {
    let mut table = TextTable::new("<<<>>>");
    table.head(["place", "part", "class", "objects", "bytes", "USD a month"]);
    for place in &costs.places {
        let role = if place.is_home { "home" } else { "copy" };
        for cost in &place.kept {
            table.row([
                format!("{role} {}", place.name),
                cost.kept.part.as_str().to_owned(),
                class_of(cost),
                cost.kept.objects.to_string(),
                Bytes(cost.kept.bytes).to_string(),
                usd(cost.usd),
            ]);
        }
        table.row([
            format!("{role} {}", place.name),
            "all".to_owned(),
            String::new(),
            String::new(),
            Bytes(place.bytes()).to_string(),
            usd(place.usd_a_month()),
        ]);
    }
    table
}

fn forecast(html: &mut Html, view: &SourceView<'_>, foreseen: &CostForecast) {
    let forecast = &foreseen.forecast;
    let sums = sums_of(&forecast.places);
    let whole = sums
        .as_ref()
        .map(|sums| of_whole_months(&forecast.months, sums).sum());
    let months = forecast.months.iter().filter(|month| month.is_whole());
    let (full, incremental) = sizes_in_words(&foreseen.sizes);
    html.text(
        "p",
        &[],
        format_args!(
            "The next {}: USD {}. It takes as sizes {full}; {incremental}.",
            count(months.count() as u64, "month"),
            usd(whole)
        ),
    );
    html.element("details", &[], |html| {
        html.text("summary", &[], "Month by month");
        let caption = format!("Forecast of {} in USD", view.status.name);
        html.table(&caption, &month_table(forecast, &sums, None));
    });
}

/// Writes what it takes to restore its newest archive from each place, by tier.
pub(super) fn write_restore(html: &mut Html, view: &SourceView<'_>, costs: &SourceCosts<'_>) {
    for at_place in &costs.restore {
        let place = &at_place.name;
        let restore = match &at_place.restore {
            Ok(restore) => restore,
            Err(why) => {
                html.prose("p", &[], &format!("Nothing to restore from {place}: {why}"));
                continue;
            }
        };
        let price = match restore.estimate.pricing {
            Pricing::Free => ", free of charge",
            Pricing::Unknown => "; the prices of this store are not known",
            Pricing::Known => "",
        };
        html.text(
            "p",
            &[],
            format_args!(
                "The archive of {} from {place}: {}, {}, {}{price}.",
                restore.date,
                count(restore.archives as u64, "archive"),
                count(restore.segments, "segment"),
                Bytes(restore.sealed_bytes)
            ),
        );
        if restore.estimate.pricing == Pricing::Known {
            let caption = format!(
                "A restore of {} from {place}: hours, and USD",
                view.status.name
            );
            html.table(&caption, &restore_table(restore));
        } else if !restore.estimate.cost.tiers.is_empty() {
            let caption = format!("A restore of {} from {place}: hours", view.status.name);
            let mut table = TextTable::new("<>");
            table.head(["tier", "hours"]);
            for tier in &restore.estimate.cost.tiers {
                table.row([tier.tier.as_str().to_owned(), tier.hours().to_string()]);
            }
            html.table(&caption, &table);
        }
    }
}
