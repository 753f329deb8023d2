//! Decides which of a source's local snapshots are kept.
//!
//! A snapshot that the next run needs is pinned, and is always kept: that of the newest archive, on which the
//! next incremental builds, and those of every unfinished attempt. The config says how many of the others are
//! kept, to look back without a restore.

use chrono::NaiveDate;

use super::retention::LONGEST_SILENCE_DAYS;

/// Which snapshots a source keeps besides those that are pinned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeepSnapshots {
    /// None (`latest_only`).
    None,
    /// Those within every limit that is set.
    Within {
        /// Days from the run's date (`keep_snapshots_days`).
        days: Option<u32>,
        /// How many of the newest, the pinned ones included (`keep_snapshots`).
        newest: Option<u32>,
    },
}

impl KeepSnapshots {
    /// What a source keeps if its config says nothing: the snapshots of 60 days.
    pub const DEFAULT: Self = Self::Within {
        days: Some(60),
        newest: None,
    };
}

/// A snapshot that exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LocalSnapshot {
    /// Its date. A source has one snapshot for each date.
    pub date: NaiveDate,
    /// Whether the next run needs it.
    pub pin: Pin,
}

/// Whether the next run needs a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pin {
    /// It belongs to the newest archive or to an unfinished attempt, or an unfinished attempt builds on it.
    Needed,
    /// Nothing builds on it.
    Free,
}

/// A snapshot that expires, as a line of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotExpiry {
    /// Its date.
    pub date: NaiveDate,
    /// Why, in words.
    pub reason: String,
}

/// Returns the snapshots to delete in the run of a date, oldest first.
///
/// None is deleted for its age in a run that is more than 35 days after the newest snapshot *before it*: a
/// clock that jumped ahead makes all of them look old at once.
pub fn expiring_snapshots(
    snapshots: &[LocalSnapshot],
    keep: KeepSnapshots,
    date: NaiveDate,
) -> Vec<SnapshotExpiry> {
    let mut newest_first: Vec<&LocalSnapshot> = snapshots.iter().collect();
    newest_first.sort_by_key(|snapshot| std::cmp::Reverse(snapshot.date));
    let last = newest_first.iter().find(|snapshot| snapshot.date < date);
    let silent = last.is_some_and(|last| (date - last.date).num_days() > LONGEST_SILENCE_DAYS);

    let why = |place: usize, snapshot: &LocalSnapshot| match keep {
        _ if snapshot.pin == Pin::Needed => None,
        KeepSnapshots::None => Some("the next run does not need it".to_owned()),
        KeepSnapshots::Within { days, newest } => {
            let age = (date - snapshot.date).num_days();
            let beyond = |limit: u32| place >= limit as usize;
            match (days, newest) {
                (Some(days), _) if age > i64::from(days) && !silent => {
                    Some(format!("{age} days old, {days} are kept"))
                }
                (_, Some(limit)) if beyond(limit) => Some(format!("the newest {limit} are kept")),
                _ => None,
            }
        }
    };
    let mut expiring: Vec<SnapshotExpiry> = newest_first
        .iter()
        .enumerate()
        .filter_map(|(place, snapshot)| {
            let date = snapshot.date;
            why(place, snapshot).map(|reason| SnapshotExpiry { date, reason })
        })
        .collect();
    expiring.reverse();
    expiring
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::sample::date;
    use super::*;

    fn nights(from: &str, count: u64) -> Vec<LocalSnapshot> {
        let first = date(from);
        (0..count)
            .map(|day| LocalSnapshot {
                date: first + chrono::Days::new(day),
                pin: Pin::Free,
            })
            .collect()
    }

    fn within(days: Option<u32>, newest: Option<u32>) -> KeepSnapshots {
        KeepSnapshots::Within { days, newest }
    }

    /// The expiries as `date: reason`.
    fn told(snapshots: &[LocalSnapshot], keep: KeepSnapshots, day: &str) -> Vec<String> {
        expiring_snapshots(snapshots, keep, date(day))
            .into_iter()
            .map(|expiry| format!("{}: {}", expiry.date, expiry.reason))
            .collect()
    }

    #[test]
    fn a_snapshot_goes_once_it_is_older_than_it_is_kept() {
        // 2026-10-01 + 10 days = 2026-10-11
        let snapshots = nights("2026-10-01", 11);
        assert!(told(&snapshots, within(Some(10), None), "2026-10-11").is_empty());
        assert_eq!(
            told(&snapshots, within(Some(10), None), "2026-10-13"),
            [
                "2026-10-01: 12 days old, 10 are kept",
                "2026-10-02: 11 days old, 10 are kept"
            ]
        );
    }

    #[test]
    fn of_a_number_the_newest_stay_and_pinned_ones_count() {
        let mut snapshots = nights("2026-10-01", 4);
        assert_eq!(
            told(&snapshots, within(None, Some(3)), "2026-10-04"),
            ["2026-10-01: the newest 3 are kept"]
        );
        snapshots[3].pin = Pin::Needed;
        snapshots[0].pin = Pin::Needed;
        assert_eq!(
            told(&snapshots, within(None, Some(1)), "2026-10-04"),
            [
                "2026-10-02: the newest 1 are kept",
                "2026-10-03: the newest 1 are kept"
            ]
        );
        assert!(told(&snapshots, within(None, Some(4)), "2026-10-04").is_empty());
    }

    #[test]
    fn of_two_limits_either_is_enough() {
        let snapshots = nights("2026-10-01", 5);
        assert_eq!(
            told(&snapshots, within(Some(3), Some(2)), "2026-10-05"),
            [
                "2026-10-01: 4 days old, 3 are kept",
                "2026-10-02: the newest 2 are kept",
                "2026-10-03: the newest 2 are kept"
            ]
        );
    }

    #[test]
    fn nothing_but_what_is_pinned_stays_where_only_the_latest_is_kept() {
        let mut snapshots = nights("2026-10-01", 3);
        snapshots[1].pin = Pin::Needed;
        assert_eq!(
            told(&snapshots, KeepSnapshots::None, "2026-10-03"),
            [
                "2026-10-01: the next run does not need it",
                "2026-10-03: the next run does not need it"
            ]
        );
    }

    #[test]
    fn a_clock_that_jumped_ahead_makes_no_snapshot_old_that_night() {
        let mut snapshots = nights("2026-10-01", 3);
        let keep = within(Some(1), Some(3));
        // 2026-10-03 + 35 days = 2026-11-07
        assert_eq!(told(&snapshots, keep, "2026-11-07").len(), 3);
        assert!(told(&snapshots, keep, "2026-11-08").is_empty());
        // That night's own snapshot does not end the silence, and a limit on their number does not use the
        // clock.
        snapshots.extend(nights("2036-01-01", 1));
        assert_eq!(
            told(&snapshots, keep, "2036-01-01"),
            ["2026-10-01: the newest 3 are kept"]
        );
    }

    #[test]
    fn a_night_before_the_newest_snapshot_deletes_no_younger_one_for_its_age() {
        let snapshots = nights("2026-10-01", 3);
        assert!(told(&snapshots, within(Some(1), None), "2026-09-01").is_empty());
    }

    proptest! {
        #[test]
        fn what_is_pinned_stays_and_what_goes_stood(
            nights in prop::collection::btree_map(0_u64..4000, any::<bool>(), 0..40),
            days in prop::option::of(1_u32..400),
            newest in prop::option::of(1_u32..40),
            latest_only in any::<bool>(),
            night in 0_u64..5000,
        ) {
            let day = |number: u64| date("2020-01-01") + chrono::Days::new(number);
            let snapshots: Vec<LocalSnapshot> = nights
                .iter()
                .map(|(number, pinned)| LocalSnapshot {
                    date: day(*number),
                    pin: if *pinned { Pin::Needed } else { Pin::Free },
                })
                .collect();
            let keep = if latest_only { KeepSnapshots::None } else { within(days, newest) };
            let gone = expiring_snapshots(&snapshots, keep, day(night));
            prop_assert!(gone.is_sorted_by_key(|expiry| expiry.date));
            for expiry in &gone {
                let snapshot = snapshots.iter().find(|snapshot| snapshot.date == expiry.date);
                prop_assert_eq!(snapshot.map(|snapshot| snapshot.pin), Some(Pin::Free));
            }
            let left: Vec<LocalSnapshot> = snapshots
                .iter()
                .filter(|snapshot| gone.iter().all(|expiry| expiry.date != snapshot.date))
                .copied()
                .collect();
            // The same night again finds nothing more to delete.
            prop_assert_eq!(expiring_snapshots(&left, keep, day(night)), vec![]);
            if let (false, Some(newest)) = (latest_only, newest) {
                let free = left.iter().filter(|snapshot| snapshot.pin == Pin::Free).count();
                prop_assert!(free <= newest as usize);
            }
        }
    }
}
