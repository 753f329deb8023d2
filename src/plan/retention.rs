//! Decides when a chain expires.

use chrono::{DateTime, Days, NaiveDate, Utc};

use super::history::{Chain, History, Verification};
use super::schedule::Schedule;
use crate::model::ArchiveId;
use crate::model::entry::Timestamp;

/// The most days without an archive after which a run still retires chains.
///
/// A clock that jumped ahead makes every chain look old at once. Only a schedule of days that some months
/// lack has longer gaps by itself; there it delays an expiry by one night.
pub(super) const LONGEST_SILENCE_DAYS: i64 = 35;

/// A chain that expires, as a line of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainExpiry {
    /// The date that names the chain.
    pub chain: NaiveDate,
    /// The id of its full.
    pub id: ArchiveId,
    /// The date of its newest archive.
    pub newest: NaiveDate,
    /// How many visible archives it has.
    pub archives: usize,
    /// Why, in words.
    pub reason: String,
}

/// The chains that expire on a date, oldest first, given the archives that are visible by then.
///
/// A chain expires when its newest archive is `expire_after_days` old or older and a newer chain
/// is proven: complete, undamaged, its full verified. None expires on a date that is more than 35
/// days after the newest archive *dated before it*. The date's own archive does not count, so
/// that a second run of the night is held back as the first one was.
pub fn expiring(history: &History, date: NaiveDate, schedule: &Schedule) -> Vec<ChainExpiry> {
    if silence_days(history, date) > LONGEST_SILENCE_DAYS {
        return Vec::new();
    }
    let mut chains = history.chains();
    let Some(at) = chains.iter().rposition(Chain::is_proven) else {
        return Vec::new();
    };
    let successor = chains[at].date();
    chains.truncate(at);
    chains
        .iter()
        .filter_map(|chain| {
            let newest = chain.newest.id.date;
            let age = (date - newest).num_days();
            (age >= i64::from(schedule.expire_after_days)).then(|| ChainExpiry {
                chain: chain.date(),
                id: chain.id,
                newest,
                archives: chain.archives.len(),
                reason: format!(
                    "its newest archive is {age} {} old, and the chain of {successor} is verified",
                    if age == 1 { "day" } else { "days" },
                ),
            })
        })
        .collect()
}

/// Returns the chains that would expire on a date if every archive were verified, and do not expire because no listing has
/// shown the full of a newer chain yet. `inventory` is the time of the listing.
pub fn awaiting_inventory(
    history: &History,
    date: NaiveDate,
    schedule: &Schedule,
    inventory: Option<DateTime<Utc>>,
) -> Vec<ChainExpiry> {
    let mut verified = history.clone();
    for archive in &mut verified.archives {
        archive.verification = Verification::Verified;
    }
    let chains = verified.chains();
    let Some(successor) = chains.iter().rfind(|chain| chain.is_proven()) else {
        return Vec::new();
    };
    let now = expiring(history, date, schedule);
    let mut waiting = expiring(&verified, date, schedule);
    waiting.retain(|then| now.iter().all(|expiry| expiry.id != then.id));
    for chain in &mut waiting {
        let age = (date - chain.newest).num_days();
        chain.reason = format!(
            "its newest archive is {age} {} old, but the full of the chain of {} is not in the vault's inventory{} yet",
            if age == 1 { "day" } else { "days" },
            successor.date(),
            inventory.map_or_else(String::new, |date| format!(" of {}", Timestamp(date)))
        );
    }
    waiting
}

/// Returns the first date on which each chain can expire. `chains` are those of a history, oldest first.
///
/// `None` for the newest chain, and for one that no newer restorable chain could replace.
pub fn expiry_dates(chains: &[Chain<'_>], schedule: &Schedule) -> Vec<Option<NaiveDate>> {
    let replaceable = chains.iter().rposition(Chain::is_restorable).unwrap_or(0);
    let after = Days::new(schedule.expire_after_days.into());
    chains
        .iter()
        .enumerate()
        // `None` also for a date past the calendar's end.
        .map(|(at, chain)| {
            let date = chain.newest.id.date.checked_add_days(after);
            date.filter(|_| at < replaceable)
        })
        .collect()
}

/// Returns the days since the newest archive before the date, if they are so many that the clock may be
/// wrong.
pub fn long_silence(history: &History, date: NaiveDate) -> Option<i64> {
    Some(silence_days(history, date)).filter(|days| *days > LONGEST_SILENCE_DAYS)
}

/// Days since the newest archive dated before `date`.
fn silence_days(history: &History, date: NaiveDate) -> i64 {
    let dates = history.archives.iter().map(|archive| archive.id.date);
    let last = dates.filter(|earlier| *earlier < date).max();
    last.map_or(0, |last| (date - last).num_days())
}

#[cfg(test)]
mod tests {
    use super::super::history::Condition;
    use super::super::sample::{date, history};
    use super::*;

    /// The names of the chains that expire.
    fn names(history: &History, day: &str) -> Vec<String> {
        expiring(history, date(day), &Schedule::default())
            .iter()
            .map(|expiry| expiry.chain.to_string())
            .collect()
    }

    fn two_chains() -> History {
        history(&[
            &["2026-05-07", "2026-07-21"],
            &["2026-08-07", "2026-10-01", "2026-10-14"],
        ])
    }

    #[test]
    fn a_chain_expires_on_the_ninetieth_day_of_its_newest_archive() {
        // 2026-07-21 + 90 days = 2026-10-19
        assert!(names(&two_chains(), "2026-10-18").is_empty());
        assert_eq!(names(&two_chains(), "2026-10-19"), ["2026-05-07"]);
        assert_eq!(names(&two_chains(), "2026-11-01"), ["2026-05-07"]);
        let expiry = &expiring(&two_chains(), date("2026-10-19"), &Schedule::default())[0];
        assert_eq!(expiry.newest, date("2026-07-21"));
        assert_eq!(expiry.archives, 2);
        assert_eq!(
            expiry.reason,
            "its newest archive is 90 days old, and the chain of 2026-08-07 is verified"
        );
    }

    #[test]
    fn the_newest_chain_never_expires_however_old() {
        let one = history(&[&["2026-05-07", "2026-05-14"]]);
        let eager = Schedule {
            expire_after_days: 1,
            ..Schedule::default()
        };
        for day in ["2026-05-15", "2026-06-01", "2036-05-14", "9999-12-31"] {
            assert!(names(&one, day).is_empty(), "{day}");
            assert!(expiring(&one, date(day), &eager).is_empty(), "{day}");
        }
    }

    #[test]
    fn a_chain_stays_until_a_newer_one_is_proven() {
        let mut unverified = two_chains();
        unverified.archives[2].verification = Verification::Unverified;
        let mut damaged_full = two_chains();
        damaged_full.archives[2].condition = Condition::Damaged;
        let mut damaged_incremental = two_chains();
        damaged_incremental.archives[4].condition = Condition::Damaged;
        let mut full_lost = two_chains();
        full_lost.archives.remove(2);
        let mut gap = two_chains();
        gap.archives.remove(3);
        for held in [
            unverified,
            damaged_full,
            damaged_incremental,
            full_lost,
            gap,
        ] {
            assert!(names(&held, "2026-11-01").is_empty(), "{held:#?}");
        }
        let mut young = two_chains();
        young.archives[4].verification = Verification::Unverified;
        assert_eq!(names(&young, "2026-11-01"), ["2026-05-07"]);
    }

    #[test]
    fn a_broken_chain_expires_like_any_other_and_several_may_at_once() {
        let mut history = history(&[
            &["2026-01-07", "2026-01-14"],
            &["2026-05-07", "2026-05-14"],
            &["2026-10-14"],
        ]);
        history.archives[2].condition = Condition::Damaged;
        history.archives.remove(0);
        assert_eq!(names(&history, "2026-10-21"), ["2026-01-07", "2026-05-07"]);
    }

    #[test]
    fn the_newest_restorable_chain_stays_under_newer_ones_that_are_not() {
        let mut history = history(&[&["2026-01-07"], &["2026-05-07"], &["2026-10-14"]]);
        history.archives[2].condition = Condition::Damaged;
        assert_eq!(names(&history, "2026-10-21"), ["2026-01-07"]);
    }

    #[test]
    fn nothing_expires_more_than_35_days_after_the_newest_archive_before_the_date() {
        // 2026-10-14 + 35 days = 2026-11-18
        assert_eq!(names(&two_chains(), "2026-11-18"), ["2026-05-07"]);
        assert!(names(&two_chains(), "2026-11-19").is_empty());
    }

    #[test]
    fn the_archive_that_ends_a_silence_frees_the_next_night_not_its_own() {
        let history = history(&[&["2026-05-07"], &["2026-08-07"], &["2027-03-01"]]);
        assert!(names(&history, "2027-03-01").is_empty());
        assert_eq!(names(&history, "2027-03-02"), ["2026-05-07", "2026-08-07"]);
    }

    #[test]
    fn a_chain_waits_while_an_inventory_lacks_the_full_that_replaces_it() {
        let (schedule, day) = (Schedule::default(), date("2026-11-01"));
        let waits =
            |history: &History, inventory| awaiting_inventory(history, day, &schedule, inventory);
        let mut history = two_chains();
        assert!(waits(&history, None).is_empty(), "it expires now");
        history.archives[2].verification = Verification::Unverified;
        let inventory = "2026-10-30T03:00:00Z".parse().ok();
        for (inventory, of) in [(None, ""), (inventory, " of 2026-10-30T03:00:00Z")] {
            let waiting = waits(&history, inventory);
            assert_eq!(waiting.len(), 1);
            assert_eq!(waiting[0].chain, date("2026-05-07"));
            assert_eq!(
                waiting[0].reason,
                format!(
                    "its newest archive is 103 days old, but the full of the chain of 2026-08-07 is not in the \
                     vault's inventory{of} yet"
                )
            );
        }
        // No inventory will make a damaged chain one that replaces another.
        history.archives[2].condition = Condition::Damaged;
        assert!(waits(&history, None).is_empty());
        history.archives.truncate(2);
        assert!(waits(&history, None).is_empty());
    }

    #[test]
    fn the_date_of_expiry_is_known_once_a_newer_chain_could_take_over() {
        let schedule = Schedule::default();
        let mut history = two_chains();
        let dates = |history: &History| expiry_dates(&history.chains(), &schedule);
        assert_eq!(dates(&history), [Some(date("2026-10-19")), None]);
        history.archives[2].verification = Verification::Unverified;
        assert_eq!(dates(&history), [Some(date("2026-10-19")), None]);
        history.archives[3].condition = Condition::Damaged;
        assert_eq!(dates(&history), [None, None]);
        history.archives.truncate(2);
        assert_eq!(dates(&history), [None]);
        history.archives.clear();
        assert_eq!(dates(&history), []);
    }

    #[test]
    fn a_time_to_keep_beyond_the_calendar_is_for_ever() {
        let forever = Schedule {
            expire_after_days: u32::MAX,
            ..Schedule::default()
        };
        let history = two_chains();
        assert_eq!(expiry_dates(&history.chains(), &forever), [None, None]);
        assert!(expiring(&history, date("2026-11-01"), &forever).is_empty());
    }

    #[test]
    fn a_silence_is_long_after_35_days_and_there_is_none_before_the_first_archive() {
        let history = history(&[&["2026-08-07"]]);
        for (day, days) in [
            ("2026-08-06", None),
            ("2026-08-07", None),
            ("2026-09-11", None),
            ("2026-09-12", Some(36)),
            ("2036-08-07", Some(3653)),
        ] {
            assert_eq!(long_silence(&history, date(day)), days, "{day}");
        }
    }
}
