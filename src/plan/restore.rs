//! Decides which archives a restore of a date needs, and in which order.

use chrono::NaiveDate;

use super::history::{ArchiveFacts, Condition, History};
use crate::model::{ArchiveId, SourceName};

/// The archives from a full to the date to restore.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestorePlan {
    /// The source.
    pub source: SourceName,
    /// The date to restore.
    pub date: NaiveDate,
    /// The archives to receive, the full first, each incremental on one before it.
    pub archives: Vec<ArchiveId>,
    /// Those of them that are known to be damaged. The user should know that before paying for a thaw.
    pub damaged: Vec<ArchiveId>,
    /// Those of them that are inexact.
    pub inexact: Vec<ArchiveId>,
}

/// Why a date can't be restored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RestoreRefusal {
    /// The source has no archive.
    #[error("{source_name} has no archive")]
    Empty {
        /// The source.
        source_name: SourceName,
    },
    /// The source has no archive of the date.
    #[error("{source_name} has no archive of {date}; {}", nearest(*before, *after))]
    NoArchive {
        /// The source.
        source_name: SourceName,
        /// The date asked for.
        date: NaiveDate,
        /// The nearest earlier date that has one.
        before: Option<NaiveDate>,
        /// The nearest later date that has one.
        after: Option<NaiveDate>,
    },
    /// An archive on the way to the full is not there. Exit code 7.
    #[error("the archive {archive} of {source_name} builds on {missing}, which is not there")]
    Broken {
        /// The source.
        source_name: SourceName,
        /// The date asked for.
        date: NaiveDate,
        /// The archive that can't be restored without the missing one.
        archive: ArchiveId,
        /// What is missing.
        missing: ArchiveId,
    },
}

fn nearest(before: Option<NaiveDate>, after: Option<NaiveDate>) -> String {
    match (before, after) {
        (Some(before), Some(after)) => format!("the nearest are of {before} and {after}"),
        (Some(only), None) | (None, Some(only)) => format!("the nearest is of {only}"),
        (None, None) => "there is no other either".to_owned(),
    }
}

/// Plans the restore of a date, or of the newest archive if none is given.
pub fn plan_restore(
    source: &SourceName,
    history: &History,
    date: Option<NaiveDate>,
) -> Result<RestorePlan, RestoreRefusal> {
    let Some(newest) = history.newest() else {
        return Err(RestoreRefusal::Empty {
            source_name: source.clone(),
        });
    };
    let wanted = match date {
        None => newest,
        Some(date) => history
            .on(date)
            .ok_or_else(|| no_archive(source, history, date))?,
    };
    let way = way_to(wanted, source, history)?;
    let in_condition = |condition| {
        way.iter()
            .filter(move |archive| archive.condition == condition)
            .map(|archive| archive.id)
            .collect()
    };
    Ok(RestorePlan {
        source: source.clone(),
        date: wanted.id.date,
        archives: way.iter().map(|archive| archive.id).collect(),
        damaged: in_condition(Condition::Damaged),
        inexact: in_condition(Condition::Inexact),
    })
}

/// Returns the archives from the full to the wanted one. The loop ends, because every step goes back in time.
fn way_to<'a>(
    wanted: &'a ArchiveFacts,
    source: &SourceName,
    history: &'a History,
) -> Result<Vec<&'a ArchiveFacts>, RestoreRefusal> {
    let mut way = vec![wanted];
    let mut at = wanted;
    while let Some(needed) = at.needs() {
        let parent = history
            .get(needed)
            .filter(|parent| parent.id.date < at.id.date);
        at = parent.ok_or_else(|| RestoreRefusal::Broken {
            source_name: source.clone(),
            date: wanted.id.date,
            archive: at.id,
            missing: needed,
        })?;
        way.push(at);
    }
    way.reverse();
    Ok(way)
}

fn no_archive(source: &SourceName, history: &History, date: NaiveDate) -> RestoreRefusal {
    let dates = || history.archives.iter().map(|archive| archive.id.date);
    RestoreRefusal::NoArchive {
        source_name: source.clone(),
        date,
        before: dates().filter(|other| *other < date).max(),
        after: dates().filter(|other| *other > date).min(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample::{date, history};
    use super::*;

    fn two_chains() -> History {
        history(&[
            &["2026-05-07", "2026-05-14", "2026-05-21"],
            &["2026-08-07", "2026-08-14"],
        ])
    }

    fn plan(history: &History, day: Option<&str>) -> Result<RestorePlan, RestoreRefusal> {
        plan_restore(&"home".parse().unwrap(), history, day.map(date))
    }

    fn dates(plan: &RestorePlan) -> Vec<String> {
        plan.archives.iter().map(|id| id.date.to_string()).collect()
    }

    #[test]
    fn a_date_is_restored_from_its_full_on() {
        let cases: &[(Option<&str>, &[&str])] = &[
            (Some("2026-05-07"), &["2026-05-07"]),
            (Some("2026-05-14"), &["2026-05-07", "2026-05-14"]),
            (
                Some("2026-05-21"),
                &["2026-05-07", "2026-05-14", "2026-05-21"],
            ),
            (Some("2026-08-14"), &["2026-08-07", "2026-08-14"]),
            (None, &["2026-08-07", "2026-08-14"]),
        ];
        for (day, way) in cases {
            let plan = plan(&two_chains(), *day).unwrap();
            assert_eq!(dates(&plan), *way, "{day:?}");
            assert_eq!(plan.date, plan.archives.last().unwrap().date);
            assert!(plan.damaged.is_empty());
        }
    }

    #[test]
    fn archives_that_a_link_skips_are_not_restored() {
        let mut history = two_chains();
        history.archives[2].send_parent = Some(history.archives[0].id);
        let plan = plan(&history, Some("2026-05-21")).unwrap();
        assert_eq!(dates(&plan), ["2026-05-07", "2026-05-21"]);
    }

    #[test]
    fn a_date_without_an_archive_is_refused_with_the_nearest_ones() {
        for (day, message) in [
            (
                "2026-05-06",
                "home has no archive of 2026-05-06; the nearest is of 2026-05-07",
            ),
            (
                "2026-05-30",
                "home has no archive of 2026-05-30; the nearest are of 2026-05-21 and 2026-08-07",
            ),
            (
                "2026-08-15",
                "home has no archive of 2026-08-15; the nearest is of 2026-08-14",
            ),
        ] {
            let refusal = plan(&two_chains(), Some(day)).unwrap_err();
            assert_eq!(refusal.to_string(), message);
        }
    }

    #[test]
    fn a_source_without_archives_has_nothing_to_restore() {
        for day in [None, Some("2026-05-07")] {
            let refusal = plan(&History::default(), day).unwrap_err();
            assert_eq!(refusal.to_string(), "home has no archive");
        }
    }

    #[test]
    fn a_missing_link_is_named() {
        for lost in [0, 1] {
            let mut history = two_chains();
            let missing = history.archives.remove(lost).id;
            let refusal = plan(&history, Some("2026-05-21")).unwrap_err();
            assert!(
                matches!(&refusal, RestoreRefusal::Broken { missing: named, .. } if *named == missing),
                "{refusal}"
            );
            assert!(refusal.to_string().contains(&missing.to_string()));
            assert!(plan(&history, None).is_ok(), "the other chain is whole");
        }
    }

    #[test]
    fn a_link_that_goes_nowhere_or_forward_is_broken_and_not_followed_for_ever() {
        let mut history = two_chains();
        history.archives[1].send_parent = Some(history.archives[2].id);
        assert!(plan(&history, Some("2026-05-21")).is_err());
        history.archives[1].send_parent = Some(history.archives[1].id);
        assert!(plan(&history, Some("2026-05-14")).is_err());
    }

    #[test]
    fn damage_on_the_way_is_told_and_damage_beside_it_is_not() {
        let mut history = two_chains();
        history.archives[0].condition = Condition::Inexact;
        history.archives[1].condition = Condition::Damaged;
        let [inexact, damaged] = [history.archives[0].id, history.archives[1].id];
        let planned = plan(&history, Some("2026-05-21")).unwrap();
        assert_eq!(planned.damaged, [damaged]);
        assert_eq!(planned.inexact, [inexact]);
        assert!(
            plan(&history, Some("2026-05-07"))
                .unwrap()
                .damaged
                .is_empty()
        );
        assert!(plan(&history, None).unwrap().damaged.is_empty());
    }
}
