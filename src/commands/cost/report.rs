//! Costs as text.

use std::fmt::Write as _;

use super::answer::{CostAnswer, NOT_INCLUDED, SourceCosts, of_whole_months};
use super::forecast::{next_months, usd, write_forecast};
use super::table::TextTable;
use crate::commands::output::count;
use crate::engine::{ArchiveCost, NewestRestore};
use crate::model::size::Bytes;
use crate::plan::pricing::prices::PriceOrigin;
use crate::plan::{KeptCost, PlaceCost, Pricing, Usd};

/// Why a write can't fail here.
const NO_FAILURE: &str = "writing to a string does not fail";

/// Days after which the table of prices is called old.
const OLD_DAYS: i64 = 365;

pub(in crate::commands) fn to_text(answer: &CostAnswer<'_>) -> String {
    let mut text = String::new();
    if answer.with_details {
        for (at, costs) in answer.sources.iter().enumerate() {
            if at > 0 {
                text.push('\n');
            }
            write_source(&mut text, costs, answer);
        }
    } else {
        text += &overview(answer).lines("");
    }
    if answer.sources.len() > 1 {
        write_all(&mut text, answer);
    }
    for (name, size) in &answer.imports {
        writeln!(
            text,
            "imported {name}: {}, {}: USD {} a month",
            count(size.archives as u64, "archive"),
            Bytes(size.bytes),
            usd(size.usd_a_month)
        )
        .expect(NO_FAILURE);
    }
    write_notes(&mut text, answer);
    text
}

/// Returns a line for each place of each source.
pub(in crate::commands) fn overview(answer: &CostAnswer<'_>) -> TextTable {
    let mut table = TextTable::new("<<>>>>");
    let months = count(answer.span.months.into(), "month");
    table.head(["source", "place", "stored", "a month", &months, "restore"]);
    for costs in &answer.sources {
        let name = costs.source.name.to_string();
        if costs.places.is_empty() {
            table.head([&name, "nothing has been archived yet", "", "", "", ""]);
        }
        for place in &costs.places {
            let foreseen = costs.forecast.as_ref().ok().and_then(|foreseen| {
                let forecast = &foreseen.forecast;
                let mut places = forecast.places.iter();
                let place = places.find(|it| it.name == place.name)?;
                Some(of_whole_months(&forecast.months, place.costs.as_ref()?).sum())
            });
            let mut restores = costs.restore.iter();
            let restore = restores.find(|it| it.name == place.name);
            let cheapest = restore.and_then(|it| cheapest(it.restore.as_ref().ok()?));
            table.row([
                name.clone(),
                place.name.clone(),
                Bytes(place.bytes()).to_string(),
                usd(place.usd_a_month()),
                usd(foreseen),
                usd(cheapest),
            ]);
        }
    }
    table
}

/// Returns what a restore costs at least; `None` if that is not known.
fn cheapest(restore: &NewestRestore) -> Option<Usd> {
    let cost = &restore.estimate.cost;
    match restore.estimate.pricing {
        Pricing::Unknown => None,
        Pricing::Free => Some(Usd::default()),
        Pricing::Known => {
            let thaw = cost.tiers.iter().map(|tier| tier.usd).min();
            Some(thaw.unwrap_or_default() + cost.usd_to_fetch())
        }
    }
}

fn write_source(text: &mut String, costs: &SourceCosts<'_>, answer: &CostAnswer<'_>) {
    let name = &costs.source.name;
    if costs.places.is_empty() {
        writeln!(text, "{name}: nothing has been archived yet").expect(NO_FAILURE);
        return;
    }
    match costs.usd_a_month() {
        Some(usd) => writeln!(text, "{name}: USD {usd} a month"),
        None => writeln!(text, "{name}: the cost is not known"),
    }
    .expect(NO_FAILURE);
    write_now(text, &costs.places);
    if let Some(archives) = &costs.archives {
        write_archives(text, archives);
    }
    match &costs.forecast {
        Ok(foreseen) => write_forecast(text, foreseen, answer),
        Err(reason) => {
            writeln!(text, "  no forecast: {}", reason.in_words()).expect(NO_FAILURE);
        }
    }
    for at_place in &costs.restore {
        match &at_place.restore {
            Ok(restore) => write_restore(text, &at_place.name, restore),
            Err(why) => {
                writeln!(text, "  no restore from {}: {why}", at_place.name).expect(NO_FAILURE);
            }
        }
    }
}

/// Writes what is there, by place, part and class.
fn write_now(text: &mut String, places: &[PlaceCost]) {
    let mut table = TextTable::new("<<>>>");
    for place in places {
        let role = if place.is_home { "home" } else { "copy" };
        let sum = usd(place.usd_a_month());
        let bytes = Bytes(place.bytes()).to_string();
        let name = format!("{role} {}", place.name);
        table.row([name, String::new(), String::new(), bytes, sum]);
        for cost in &place.kept {
            let kept = &cost.kept;
            table.row([
                format!("  {}", kept.part.as_str()),
                class_of(cost),
                count(kept.objects, "object"),
                Bytes(kept.bytes).to_string(),
                usd(cost.usd),
            ]);
        }
    }
    *text += &table.lines("  ");
}

/// Returns the class of objects; nothing if their store has none.
pub(in crate::commands) fn class_of(cost: &KeptCost) -> String {
    match cost.pricing {
        Pricing::Free => String::new(),
        Pricing::Known | Pricing::Unknown => cost.kept.class.to_string(),
    }
}

fn write_archives(text: &mut String, archives: &[ArchiveCost]) {
    let mut table = TextTable::new("<<<>>");
    for archive in archives {
        let retired = if archive.is_retired { ", retired" } else { "" };
        table.row([
            archive.place.clone(),
            archive.id.to_string(),
            format!("{}{retired}", archive.class),
            Bytes(archive.bytes).to_string(),
            usd(archive.usd),
        ]);
    }
    *text += "  each archive, a month\n";
    *text += &table.lines("    ");
}

fn write_restore(text: &mut String, place: &str, restore: &NewestRestore) {
    let cost = &restore.estimate.cost;
    writeln!(
        text,
        "  to restore {} from {place}: {}, {}, {}",
        restore.date,
        count(restore.archives as u64, "archive"),
        count(restore.segments, "segment"),
        Bytes(restore.sealed_bytes),
    )
    .expect(NO_FAILURE);
    match restore.estimate.pricing {
        Pricing::Free => *text += "    free of charge\n",
        Pricing::Unknown => *text += "    the prices of this store are not known\n",
        Pricing::Known => *text += &restore_table(restore).lines("    "),
    }
    if !cost.tiers.is_empty() && restore.estimate.pricing == Pricing::Known {
        let days = count(cost.thaw_days.into(), "day");
        writeln!(text, "    thawed copies stay readable {days}").expect(NO_FAILURE);
    }
}

pub(in crate::commands) fn restore_table(restore: &NewestRestore) -> TextTable {
    let cost = &restore.estimate.cost;
    let mut table = TextTable::new("<>>>>>>");
    table.head([
        "tier",
        "hours",
        "requests",
        "retrieval",
        "thawed copies",
        "egress",
        "sum",
    ]);
    let gets: Usd = cost.classes.iter().map(|class| class.gets).sum();
    let reads: Usd = cost.classes.iter().map(|class| class.retrieval).sum();
    let mut row = |tier: &str, hours: f64, requests: Usd, retrieval: Usd, copies: Usd| {
        let sum = requests + retrieval + copies + cost.egress;
        let sums = [requests, retrieval, copies, cost.egress, sum];
        let first = [tier.to_owned(), hours.to_string()];
        table.row(first.into_iter().chain(sums.map(|usd| usd.to_string())));
    };
    for thaw in &cost.tiers {
        let (requests, retrieval) = (thaw.requests + gets, thaw.retrieval + reads);
        let tier = thaw.tier.as_str();
        row(tier, thaw.hours(), requests, retrieval, thaw.copies);
    }
    if cost.tiers.is_empty() {
        row("at once", 0.0, gets, reads, Usd::default());
    }
    table
}

fn write_all(text: &mut String, answer: &CostAnswer<'_>) {
    let (now, all_known) = answer.now();
    let mut total = Usd::default();
    let mut all_foreseen = true;
    for costs in &answer.sources {
        let Ok(foreseen) = &costs.forecast else {
            all_foreseen &= costs.places.is_empty();
            continue;
        };
        for place in &foreseen.forecast.places {
            let costs = place.costs.as_deref().unwrap_or_default();
            total = total + of_whole_months(&foreseen.forecast.months, costs).sum();
        }
    }
    let months = next_months(answer.span.months);
    writeln!(
        text,
        "\nall sources: USD {now} a month, {total} in {months}"
    )
    .expect(NO_FAILURE);
    if !all_known {
        *text += "  without stores whose prices are not known\n";
    }
    if !all_foreseen {
        *text += "  without sources that have no forecast\n";
    }
}

fn write_notes(text: &mut String, answer: &CostAnswer<'_>) {
    let of = &answer.prices.of;
    writeln!(text, "\nestimate in US dollars by {of}").expect(NO_FAILURE);
    let age = (answer.span.first - of.date).num_days();
    if age > OLD_DAYS {
        writeln!(
            text,
            "these prices are {age} days old: compare them with a bill"
        )
        .expect(NO_FAILURE);
    }
    if !answer.with_notes {
        return;
    }
    if of.origin == PriceOrigin::BuiltIn {
        *text += "(a list built into this program: put what differs from\n\
                  https://aws.amazon.com/s3/pricing/ into [prices] of the config)\n";
    }
    let unknown = answer.without_prices();
    if !unknown.is_empty() {
        *text += "prices that are not known, unless [prices] gives them:\n";
    }
    for store in unknown {
        writeln!(text, "  {store}").expect(NO_FAILURE);
    }
    if !answer.with_details {
        *text += "restore: of the newest archive, by the cheapest tier\n\
                  `coldchain cost SOURCE` says more of a source\n";
    }
    *text += "each sum is rounded up to the cent; not in these sums:\n";
    for what in NOT_INCLUDED {
        writeln!(text, "  {what}").expect(NO_FAILURE);
    }
}
