//! How long ago archives were last found sound.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use crate::catalog::ListedRow;
use crate::commands::cost::table::TextTable;
use crate::model::entry::Timestamp;

/// The ages, by the most days of each; the last one has no end.
const AGES: [(&str, i64); 5] = [
    ("7 days or less", 7),
    ("30 days or less", 30),
    ("90 days or less", 90),
    ("365 days or less", 365),
    ("longer ago", i64::MAX),
];

const NEVER: &str = "never";

/// How many archives were last found sound within an age, each counted once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct CheckAge {
    pub(super) age: &'static str,
    /// By a check on any level.
    pub(super) archives: u64,
    /// By a check that read every byte.
    pub(super) deep: u64,
}

/// Counts archives by age.
pub(super) fn check_ages<'r>(
    archives: impl Iterator<Item = &'r ListedRow>,
    now: DateTime<Utc>,
) -> Vec<CheckAge> {
    let names = AGES.iter().map(|(age, _)| *age).chain([NEVER]);
    let mut ages: Vec<CheckAge> = names
        .map(|age| CheckAge {
            age,
            archives: 0,
            deep: 0,
        })
        .collect();
    for archive in archives {
        ages[age_of(archive.sound_at, now)].archives += 1;
        ages[age_of(archive.deep_sound_at, now)].deep += 1;
    }
    ages
}

/// Returns the number of the age.
fn age_of(at: Option<Timestamp>, now: DateTime<Utc>) -> usize {
    let Some(at) = at else {
        return AGES.len();
    };
    let days = (now - at.0).num_days();
    let age = AGES.iter().position(|(_, most)| days <= *most);
    age.unwrap_or(AGES.len())
}

/// Returns the ages as rows.
pub(super) fn to_table(ages: &[CheckAge]) -> TextTable {
    let mut table = TextTable::new("<>>");
    table.head(["last found sound", "on any level", "every byte read"]);
    for age in ages {
        table.row([
            age.age.to_owned(),
            age.archives.to_string(),
            age.deep.to_string(),
        ]);
    }
    table
}

/// Returns what other programs learn.
pub(super) fn to_json(ages: &[CheckAge]) -> Value {
    let ages = ages
        .iter()
        .map(|age| json!({"age": age.age, "archives": age.archives, "deep_archives": age.deep}));
    ages.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_moment_has_one_age_and_one_to_come_is_new() {
        let now: Timestamp = "2026-11-30T12:00:00Z".parse().unwrap();
        for (at, age) in [
            (Some("2027-01-01T00:00:00Z"), 0),
            (Some("2026-11-30T12:00:00Z"), 0),
            (Some("2026-11-23T12:00:00Z"), 0),
            (Some("2026-11-22T12:00:00Z"), 1),
            (Some("2026-09-01T12:00:00Z"), 2),
            (Some("2025-11-30T12:00:00Z"), 3),
            (Some("2025-11-29T12:00:00Z"), 4),
            (None, 5),
        ] {
            let moment = at.map(|at| at.parse().unwrap());
            assert_eq!(age_of(moment, now.0), age, "{at:?}");
        }
    }
}
