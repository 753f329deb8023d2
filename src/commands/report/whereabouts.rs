//! Where the snapshots and archives of a source are: here, at home, in copies and at mirrors.

use std::collections::{BTreeMap, BTreeSet};

use chrono::NaiveDate;

use super::facts::{ReportFacts, SourceView};
use super::html::Html;
use super::limits::DrawLimits;
use crate::commands::cost::table::TextTable;
use crate::commands::list::{copies, mirrors};
use crate::commands::output::count;
use crate::engine::is_place;
use crate::model::ArchiveId;

/// As many columns as a table of dates has at most.
const COLUMNS: &str = "<<<<<<<<<<<<<<<<";

const NOTHING: &str = "-";

/// Writes the places, and what each has of each date.
pub(super) fn write(
    html: &mut Html,
    view: &SourceView<'_>,
    facts: &ReportFacts<'_>,
    limits: DrawLimits,
) {
    let name = &view.status.name;
    html.table(&format!("Places of {name}"), &places(view, facts));
    let columns = columns(view);
    let dates: BTreeSet<NaiveDate> = columns
        .iter()
        .flat_map(|column| column.has.keys().copied())
        .collect();
    if dates.is_empty() {
        html.text("p", &[], "Nothing is known to be anywhere.");
        return;
    }
    let (shown, further) = columns.split_at(columns.len().min(COLUMNS.len() - 1));
    let mut table = TextTable::new(COLUMNS);
    let names = shown.iter().map(|column| column.name.clone());
    table.row(std::iter::once("date".to_owned()).chain(names));
    for date in dates.iter().rev().take(limits.rows) {
        let cells = shown.iter().map(|column| {
            let has = column.has.get(date);
            has.map_or_else(|| NOTHING.to_owned(), |has| has.join(", "))
        });
        table.row(std::iter::once(date.to_string()).chain(cells));
    }
    let rows = dates.len().min(limits.rows);
    let which = if rows < dates.len() {
        format!("The newest {rows} of {} dates", dates.len())
    } else {
        count(dates.len() as u64, "date")
    };
    html.element("details", &[], |html| {
        html.text("summary", &[], format_args!("{which}, by place"));
        html.table(
            &format!("{which} of {name}, and what each place has"),
            &table,
        );
        if !further.is_empty() {
            let note = format!(
                "{} have no column.",
                count(further.len() as u64, "further place")
            );
            html.text("p", &[("class", &"note")], note);
        }
    });
}

fn places(view: &SourceView<'_>, facts: &ReportFacts<'_>) -> TextTable {
    let now = facts.overview.at.0;
    let status = view.status;
    let mut table = TextTable::new("<<<");
    table.head(["place", "kind", "what it has"]);
    let snapshots = match view.snapshots {
        [] => "no snapshot".to_owned(),
        [.., newest] => format!(
            "{}, the newest {newest}",
            count(view.snapshots.len() as u64, "snapshot")
        ),
    };
    table.row(["this machine".to_owned(), "snapshots".to_owned(), snapshots]);
    if let Some(store) = &status.store {
        let archives = status.archives.len() as u64;
        let newest = status
            .newest()
            .map(|it| format!(", the newest {}", it.date));
        let has = format!(
            "{}{}",
            count(archives, "archive"),
            newest.unwrap_or_default()
        );
        table.row([store.clone(), "home".to_owned(), has]);
    }
    for copy in &status.copies {
        let words = copies::in_words(copy, now);
        table.row([copy.name.clone(), "copy".to_owned(), words]);
    }
    for mirror in &status.mirrors {
        let words = mirrors::in_words(mirror, now);
        table.row([mirror.to.to_string(), "mirror".to_owned(), words]);
    }
    table
}

/// What a place has of each date.
struct PlaceColumn {
    name: String,
    has: BTreeMap<NaiveDate, Vec<String>>,
}

impl PlaceColumn {
    fn new(name: String, has: impl Iterator<Item = (NaiveDate, String)>) -> Self {
        let mut dates: BTreeMap<NaiveDate, Vec<String>> = BTreeMap::new();
        for (date, what) in has {
            dates.entry(date).or_default().push(what);
        }
        Self { name, has: dates }
    }
}

fn columns(view: &SourceView<'_>) -> Vec<PlaceColumn> {
    let snapshots = by_date(view.snapshots.iter().map(|name| name.date));
    let mut columns = vec![PlaceColumn::new(
        "this machine".to_owned(),
        snapshots
            .into_iter()
            .map(|(date, n)| (date, count(n, "snapshot"))),
    )];
    let of_archive = |id: ArchiveId, is_damaged: bool| {
        let damaged = if is_damaged { ", damaged" } else { "" };
        (id.date, format!("{}{damaged}", id.kind))
    };
    if let Some(store) = &view.status.store {
        // After a rebuild from a copy alone, that copy has the place of home, and a column.
        let mut others = view.status.copies.iter();
        if !others.any(|copy| is_place(&copy.store, store)) {
            let archives = view.visible();
            let has = archives.map(|archive| of_archive(archive.link.id, archive.link.is_damaged));
            columns.push(PlaceColumn::new("home".to_owned(), has));
        }
    }
    for copy in &view.status.copies {
        let visible = view.visible().map(|archive| archive.link.id);
        let there = visible.filter(|id| copy.has.contains(id));
        let has = there.map(|id| of_archive(id, copy.damaged.contains(&id)));
        columns.push(PlaceColumn::new(format!("copy {}", copy.name), has));
    }
    for mirror in &view.status.mirrors {
        let copies = by_date(mirror.copies.iter().map(|copy| copy.name.date));
        let has = copies
            .into_iter()
            .map(|(date, n)| (date, count(n, "snapshot")));
        columns.push(PlaceColumn::new(format!("mirror {}", mirror.to), has));
    }
    columns
}

/// Counts what there is of each date.
fn by_date(dates: impl Iterator<Item = NaiveDate>) -> BTreeMap<NaiveDate, u64> {
    let mut counts = BTreeMap::new();
    for date in dates {
        *counts.entry(date).or_default() += 1;
    }
    counts
}
