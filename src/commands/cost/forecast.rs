//! The months to come as text.

use std::fmt::Write as _;

use super::answer::{CostAnswer, of_whole_months, sums_of};
use super::table::TextTable;
use crate::commands::output::count;
use crate::engine::{CostForecast, OtherwiseForecast};
use crate::model::StorageClass;
use crate::model::size::Bytes;
use crate::plan::{ForecastMonth, MonthCost, SizeModel, SourceForecast, Usd};

/// Why a write can't fail here.
const NO_FAILURE: &str = "writing to a string does not fail";

/// What stands in place of a sum that is not known.
const UNKNOWN: &str = "?";

/// The sums of each month; `None` if they are not known.
pub(in crate::commands) type Sums = Option<Vec<MonthCost>>;

/// Returns a sum, or what stands in its place if it is not known.
pub(in crate::commands) fn usd(usd: Option<Usd>) -> String {
    usd.map_or_else(|| UNKNOWN.to_owned(), |usd| usd.to_string())
}

/// Returns the months of a forecast, in words.
pub(in crate::commands) fn next_months(months: u32) -> String {
    match months {
        1 => "the next month".to_owned(),
        months => format!("the next {months} months"),
    }
}

/// Writes the months to come, and beside them those of a source that is stored otherwise.
pub(in crate::commands) fn write_forecast(
    text: &mut String,
    foreseen: &CostForecast,
    answer: &CostAnswer<'_>,
) {
    let months = next_months(answer.span.months);
    let (full, incremental) = sizes_in_words(&foreseen.sizes);
    writeln!(text, "  {months}\n    {full}\n    {incremental}").expect(NO_FAILURE);
    let forecast = &foreseen.forecast;
    let sums = sums_of(&forecast.places);
    *text += &month_table(forecast, &sums, None).lines("    ");
    write_minimum(text, forecast);
    if forecast.places.len() > 1 {
        let each = forecast.places.iter().map(|place| {
            let costs = place.costs.as_deref();
            let sum = costs.map(|costs| of_whole_months(&forecast.months, costs).sum());
            format!("{} {}", place.name, usd(sum))
        });
        let each: Vec<String> = each.collect();
        writeln!(text, "    of that: {}", each.join(", ")).expect(NO_FAILURE);
    }
    if let Some(otherwise) = &foreseen.otherwise {
        write_otherwise(text, otherwise, (foreseen, &sums), answer);
    }
}

/// Writes why something is paid for what is deleted.
fn write_minimum(text: &mut String, forecast: &SourceForecast) {
    for place in &forecast.places {
        let mut costs = place.costs.iter().flatten();
        if costs.any(|cost| cost.early_deletion.micros() > 0) {
            let (class, days) = (place.class, place.class.minimum_days());
            writeln!(
                text,
                "    {class} bills at least {days} days, even if the object is deleted earlier"
            )
            .expect(NO_FAILURE);
        }
    }
}

fn write_otherwise(
    text: &mut String,
    otherwise: &OtherwiseForecast,
    (foreseen, as_it_is): (&CostForecast, &Sums),
    answer: &CostAnswer<'_>,
) {
    let asked = answer.otherwise;
    let class = asked.and_then(|asked| asked.class);
    let size = asked.and_then(|asked| asked.segment_bytes);
    let size = size.map(|bytes| Bytes(bytes).to_string());
    let how: Vec<String> = [
        class.map(|class| format!("in {class}")),
        size.map(|size| format!("in segments of {size}")),
    ]
    .into_iter()
    .flatten()
    .collect();
    let now: Option<Usd> = otherwise.now.iter().copied().sum();
    writeln!(
        text,
        "  if always {}: USD {} a month",
        how.join(", "),
        usd(now)
    )
    .expect(NO_FAILURE);
    let forecast = &otherwise.forecast;
    let sums = sums_of(&forecast.places);
    *text += &month_table(forecast, &sums, Some(as_it_is)).lines("    ");
    write_minimum(text, forecast);
    if class.is_some_and(StorageClass::is_cold) && foreseen.forecast.places.len() > 1 {
        *text += "    but nightly copies need a home that is read without a thaw\n";
    }
}

/// Returns the months and the sum of the whole ones. `beside` has the sums of the same months as things are.
pub(in crate::commands) fn month_table(
    forecast: &SourceForecast,
    sums: &Sums,
    beside: Option<&Sums>,
) -> TextTable {
    let last = if beside.is_some() {
        "as it is"
    } else {
        "stored"
    };
    let mut table = TextTable::new("<>>>>>>");
    // The column is left out if nothing is copied.
    let copies = sums.iter().flatten().any(|cost| cost.copying.micros() > 0);
    let copying = if copies { "copying" } else { "" };
    table.head([
        "month",
        "storage",
        "requests",
        "early deletion",
        copying,
        "sum",
        last,
    ]);
    let mut row = |name: String, cost: Option<MonthCost>, last: String| {
        let of = |part: fn(&MonthCost) -> Usd| usd(cost.as_ref().map(part));
        table.row([
            name,
            of(|cost| cost.storage),
            of(|cost| cost.requests),
            of(|cost| cost.early_deletion),
            if copies {
                of(|cost| cost.copying)
            } else {
                String::new()
            },
            of(MonthCost::sum),
            last,
        ]);
    };
    for (at, month) in forecast.months.iter().enumerate() {
        let last = match beside {
            None => {
                let bytes = forecast.places.iter().map(|place| place.bytes[at]);
                Bytes(bytes.sum()).to_string()
            }
            Some(beside) => usd(beside.as_ref().map(|costs| costs[at].sum())),
        };
        row(name_of(month), sums.as_ref().map(|sums| sums[at]), last);
    }
    let total = |sums: &Sums| {
        let sums = sums.as_ref()?;
        Some(of_whole_months(&forecast.months, sums))
    };
    let wholes = forecast.months.iter().filter(|month| month.is_whole());
    let last = beside.map(|beside| usd(total(beside).map(|cost| cost.sum())));
    let name = count(wholes.count() as u64, "month");
    row(name, total(sums), last.unwrap_or_default());
    table
}

fn name_of(month: &ForecastMonth) -> String {
    let name = month.first.format("%Y-%m");
    if month.is_whole() {
        name.to_string()
    } else {
        format!("{name} rest")
    }
}

/// Returns what fulls and incrementals are taken to be, and why.
pub(in crate::commands) fn sizes_in_words(sizes: &SizeModel) -> (String, String) {
    let full = Bytes(sizes.full.sealed_bytes);
    let full = match sizes.growth {
        Some(growth) => format!(
            "fulls: {full} as the last, and {} more every 30 days, by the last {}",
            Bytes(growth.bytes_a_month()),
            growth.fulls
        ),
        None => format!("fulls: {full}, as the last"),
    };
    let incremental = match sizes.incremental {
        Some(incremental) => format!(
            "incrementals: {}, the middle one of the last {}",
            Bytes(incremental.sealed_bytes),
            sizes.incrementals
        ),
        None => "incrementals: a tenth of a full, because there was none yet".to_owned(),
    };
    (full, incremental)
}
