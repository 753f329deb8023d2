//! The copies in the list: what the catalog knows of them. Nothing here looks at a copy.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use crate::commands::fold::push_folded;
use crate::commands::output::count;
use crate::engine::{KnownCopy, MovedAway};
use crate::model::{ArchiveId, Line};

/// Writes a line for each copy of a source.
pub(super) fn write_text(
    text: &mut String,
    copies: &[KnownCopy],
    now: DateTime<Utc>,
    columns: usize,
) {
    for copy in copies {
        let line = format!("  copy {}  {}", Line(&copy.name), in_words(copy, now));
        push_folded(text, &line, 4, columns);
    }
}

/// Returns what the last run knew of a copy.
pub(crate) fn in_words(copy: &KnownCopy, now: DateTime<Utc>) -> String {
    if copy.row.is_none() {
        return "never made".to_owned();
    }
    let has = copy.of - copy.lacks.len();
    let of = count(copy.of as u64, "archive");
    let damaged = match copy.damaged.len() {
        0 => String::new(),
        damaged => format!(", {damaged} damaged"),
    };
    let reached = match copy.reached_at() {
        None => "never complete".to_owned(),
        Some(at) => match (now - at.0).num_days() {
            ..=0 => "complete today".to_owned(),
            days => format!("complete {} ago", count(days.unsigned_abs(), "day")),
        },
    };
    match copy.behind_since() {
        None => format!("all {of}{damaged}, {reached}"),
        Some(date) => format!("{has} of {of}{damaged}, behind since {date}, {reached}"),
    }
}

/// Returns that home was moved away from the place that the config names.
pub(crate) fn moved_in_words(moved: &MovedAway) -> String {
    format!(
        "its home was moved to {}, and nothing is archived in {} any more: name the new home as its `store` in the config",
        Line(&moved.to),
        Line(&moved.from)
    )
}

/// Returns the names of the places that have an archive: home, and the copies. `is_home` says whether home has it.
pub(crate) fn places_of(archive: &ArchiveId, is_home: bool, copies: &[KnownCopy]) -> Vec<String> {
    let has = copies.iter().filter(|copy| copy.has.contains(archive));
    let names = has.map(|copy| copy.name.clone());
    is_home
        .then(|| "home".to_owned())
        .into_iter()
        .chain(names)
        .collect()
}

/// Returns what other programs learn of a copy.
pub(in crate::commands) fn to_json(copy: &KnownCopy) -> Value {
    json!({
        "name": copy.name, "store": copy.store, "nightly": copy.is_nightly,
        "archives": copy.of - copy.lacks.len(), "of": copy.of, "behind_since": copy.behind_since(),
        "reached_at": copy.reached_at(), "damaged": copy.damaged,
    })
}
