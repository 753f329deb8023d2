//! Decides which snapshots a mirror gets.
//!
//! It gets those that it would keep, of the ones that are newer than the newest that both sides have, oldest first. So
//! a mirror that was away catches up, and one that has a gap is not sent a full stream to fill it.

use std::collections::BTreeSet;

use chrono::{DateTime, FixedOffset};

use super::snapshots::{KeepFate, KeepRun, KeepSnapshots, LocalSnapshot, Pin, plan_snapshots};
use crate::model::{SnapshotName, Uuid};

/// A snapshot here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotHere {
    /// Its name.
    pub name: SnapshotName,
    /// When it was taken, by the clock of the source's time zone.
    pub at: DateTime<FixedOffset>,
    /// The uuid in its stream.
    pub stream_uuid: Uuid,
}

/// A copy at the mirror.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyThere {
    /// Its name.
    pub name: SnapshotName,
    /// When its snapshot was taken, as far as its name says.
    pub at: DateTime<FixedOffset>,
    /// The uuid in its stream.
    pub stream_uuid: Uuid,
    /// Whether it still has the content that was received.
    pub is_intact: bool,
}

/// What a mirror gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MirrorPlan {
    /// The snapshots to send, oldest first.
    pub send: Vec<SnapshotHere>,
    /// The snapshots that both sides have intact, by stream uuid.
    pub common: Vec<Uuid>,
    /// The names of snapshots that can't be sent, since something else has the name at the mirror.
    pub name_taken: Vec<SnapshotName>,
    /// The copies that were changed at the mirror.
    pub changed: Vec<SnapshotName>,
}

/// Plans what a mirror gets. `taken` are the names at the mirror that something else than a copy has.
pub fn plan_mirror(
    here: &[SnapshotHere],
    there: &[CopyThere],
    taken: &[SnapshotName],
    keep: KeepSnapshots,
    run: KeepRun,
) -> MirrorPlan {
    let is_common = |snapshot: &&SnapshotHere| {
        let is_it = |copy: &CopyThere| copy.is_intact && copy.stream_uuid == snapshot.stream_uuid;
        there.iter().any(is_it)
    };
    let at = |snapshot: &SnapshotHere| (snapshot.at, snapshot.name);
    let common: Vec<&SnapshotHere> = here.iter().filter(is_common).collect();
    let newest_common = common.iter().copied().map(at).max();
    let is_there = |snapshot: &SnapshotHere| {
        there
            .iter()
            .any(|it| it.stream_uuid == snapshot.stream_uuid)
    };
    let names: BTreeSet<SnapshotName> = there
        .iter()
        .map(|copy| copy.name)
        .chain(taken.iter().copied())
        .collect();
    let (mut candidates, mut name_taken) = (Vec::new(), Vec::new());
    for snapshot in here {
        if is_there(snapshot) || newest_common.is_some_and(|newest| at(snapshot) <= newest) {
            continue;
        }
        if names.contains(&snapshot.name) {
            name_taken.push(snapshot.name);
        } else {
            candidates.push(snapshot);
        }
    }
    let mut all = Vec::new();
    for (number, snapshot) in candidates.iter().enumerate() {
        all.push(as_local(number, snapshot.name, snapshot.at));
    }
    for (number, copy) in there.iter().enumerate() {
        all.push(as_local(candidates.len() + number, copy.name, copy.at));
    }
    let fates = plan_snapshots(all, keep, run).fates;
    let is_kept = |number: usize| {
        let fate = fates.iter().find(|it| usize::try_from(it.id) == Ok(number));
        fate.is_some_and(|it| matches!(it.fate, KeepFate::Kept(_)))
    };
    let kept = candidates
        .iter()
        .enumerate()
        .filter(|(number, _)| is_kept(*number));
    let mut send: Vec<SnapshotHere> = kept.map(|(_, snapshot)| (*snapshot).clone()).collect();
    send.sort_by_key(at);
    let mut common = common;
    common.sort_by_key(|snapshot| at(snapshot));
    MirrorPlan {
        send,
        common: common.iter().map(|snapshot| snapshot.stream_uuid).collect(),
        name_taken,
        changed: there
            .iter()
            .filter(|copy| !copy.is_intact)
            .map(|copy| copy.name)
            .collect(),
    }
}

fn as_local(number: usize, name: SnapshotName, at: DateTime<FixedOffset>) -> LocalSnapshot {
    LocalSnapshot {
        id: i64::try_from(number).unwrap_or(i64::MAX),
        name,
        at,
        pin: Pin::Free,
    }
}

#[cfg(test)]
mod tests {
    use chrono::{NaiveDate, Utc};

    use super::*;

    fn date(day: u32) -> NaiveDate {
        NaiveDate::from_ymd_opt(2026, 11, day).unwrap()
    }

    fn here(day: u8) -> SnapshotHere {
        let name = SnapshotName::of_date(date(day.into()));
        SnapshotHere {
            name,
            at: name.moment(&Utc).fixed_offset(),
            stream_uuid: Uuid([day; 16]),
        }
    }

    fn there(day: u8) -> CopyThere {
        let SnapshotHere {
            name,
            at,
            stream_uuid,
        } = here(day);
        CopyThere {
            name,
            at,
            stream_uuid,
            is_intact: true,
        }
    }

    fn run(day: u32) -> KeepRun {
        KeepRun {
            date: date(day),
            now: date(day)
                .and_hms_opt(23, 0, 0)
                .unwrap()
                .and_utc()
                .fixed_offset(),
            confirmed: false,
        }
    }

    fn sent(here: &[SnapshotHere], there: &[CopyThere], keep: u32) -> Vec<u32> {
        use chrono::Datelike as _;
        let plan = plan_mirror(here, there, &[], KeepSnapshots::Newest(keep), run(28));
        plan.send.iter().map(|it| it.name.date.day()).collect()
    }

    fn days(days: std::ops::RangeInclusive<u8>) -> Vec<SnapshotHere> {
        days.map(here).collect()
    }

    #[test]
    fn a_new_mirror_gets_what_it_would_keep() {
        assert_eq!(sent(&days(1..=28), &[], 3), [26, 27, 28]);
        assert_eq!(sent(&days(1..=2), &[], 3), [1, 2]);
        assert_eq!(sent(&[], &[], 3), [0; 0]);
    }

    #[test]
    fn one_that_was_away_catches_up_oldest_first() {
        let mut here = days(20..=28);
        here.reverse();
        let there: Vec<_> = (18..=23).map(there).collect();
        assert_eq!(sent(&here, &there, 9), [24, 25, 26, 27, 28]);
        assert_eq!(sent(&here, &there, 2), [27, 28]);
        assert_eq!(sent(&days(20..=23), &there, 9), [0; 0]);
    }

    #[test]
    fn a_gap_before_the_newest_common_one_stays() {
        let there = [there(20), there(24)];
        assert_eq!(sent(&days(20..=25), &there, 9), [25]);
    }

    #[test]
    fn a_copy_that_was_changed_is_not_common_and_not_sent_again() {
        let changed = CopyThere {
            is_intact: false,
            ..there(24)
        };
        let there = [there(22), changed];
        let plan = plan_mirror(
            &days(22..=25),
            &there,
            &[],
            KeepSnapshots::Newest(9),
            run(28),
        );
        assert_eq!(plan.common, [Uuid([22; 16])]);
        assert_eq!(plan.changed, [here(24).name]);
        let names: Vec<_> = plan.send.iter().map(|it| it.name).collect();
        assert_eq!(names, [here(23).name, here(25).name]);
    }

    #[test]
    fn a_name_that_something_else_has_is_left_out() {
        let other = CopyThere {
            stream_uuid: Uuid([99; 16]),
            ..there(26)
        };
        let plan = plan_mirror(
            &days(25..=28),
            &[there(25), other],
            &[here(27).name],
            KeepSnapshots::Newest(9),
            run(28),
        );
        assert_eq!(plan.name_taken, [here(26).name, here(27).name]);
        assert_eq!(plan.send, [here(28)]);
    }
}
