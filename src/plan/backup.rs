//! What a night calls for: a full archive, an incremental one, or nothing.

use std::fmt;

use chrono::NaiveDate;

use super::history::{ArchiveFacts, Chain, Condition, History, Verification};
use super::refusal::Refusal;
use super::retention::{ChainExpiry, expiring};
use super::schedule::Schedule;
use crate::model::{ArchiveId, ArchiveKind, Sha256, SourceName};

/// The local snapshot of [`History::send_parent`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SendParentSnapshot {
    /// It is here, and the one that was archived.
    Intact,
    /// It is not here.
    Gone,
    /// It is not the one that was archived; what differs, in words.
    Changed(String),
    /// The stream comes from elsewhere (`decide`): the ledger alone decides.
    NotLocal,
}

/// What was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {
    /// Whatever the schedule says.
    Scheduled,
    /// A full archive, due or not (`--full`).
    Full,
}

/// All that a night's plan depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// The source.
    pub source: SourceName,
    /// The night's date.
    pub date: NaiveDate,
    /// What was asked for.
    pub request: Request,
    /// What the source has in the store.
    pub history: History,
    /// The state of the one snapshot that an incremental could be built on.
    pub send_parent: SendParentSnapshot,
    /// The fingerprint of the recipients that are configured now.
    pub recipients: Sha256,
}

/// What is to be archived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Nothing.
    None,
    /// The whole snapshot, as a new chain.
    Full,
    /// What changed since the send parent.
    Incremental {
        /// The archive to build on.
        send_parent: ArchiveId,
        /// The full of its chain.
        chain: ArchiveId,
    },
}

impl Action {
    /// The word for it, for people and for JSON.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Full => "full",
            Self::Incremental { .. } => "incremental",
        }
    }

    /// The archive that stands, sound and verified, once this has been done on that date.
    pub fn outcome(&self, date: NaiveDate, recipients: Sha256, nonce: u64) -> Option<ArchiveFacts> {
        let id = |kind| ArchiveId { date, kind, nonce };
        let (id, send_parent, chain) = match *self {
            Self::None => return None,
            Self::Full => (id(ArchiveKind::Full), None, id(ArchiveKind::Full)),
            Self::Incremental { send_parent, chain } => {
                (id(ArchiveKind::Incremental), Some(send_parent), chain)
            }
        };
        Some(ArchiveFacts {
            id,
            send_parent,
            chain,
            recipients,
            condition: Condition::Sound,
            verification: Verification::Verified,
        })
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A night's decision for one source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupPlan {
    /// The source.
    pub source: SourceName,
    /// The night's date.
    pub date: NaiveDate,
    /// The slot that the date answers for.
    pub slot: NaiveDate,
    /// What is to be archived.
    pub action: Action,
    /// Why, in words, without the action's own.
    pub reason: String,
    /// The chains to retire once the archive is committed and verified.
    pub expire: Vec<ChainExpiry>,
}

/// Decides for one source and night.
///
/// A date before the newest archive's plans nothing; [`super::refuse_date`] is what refuses it.
/// The one refusal here is of a full that was asked for on a date that has its archive.
pub fn plan_backup(facts: &Facts, schedule: &Schedule) -> Result<BackupPlan, Refusal> {
    if facts.request == Request::Full && facts.history.on(facts.date).is_some() {
        return Err(Refusal::AlreadyArchived { date: facts.date });
    }
    Ok(plan_night(facts, schedule))
}

/// [`plan_backup`] where nothing is refused: an archived date has nothing to do.
pub(super) fn plan_night(facts: &Facts, schedule: &Schedule) -> BackupPlan {
    let (action, reason) = match nothing_to_do(facts, schedule) {
        Some(reason) => (Action::None, reason),
        None => full_or_incremental(facts, schedule),
    };
    BackupPlan {
        source: facts.source.clone(),
        date: facts.date,
        slot: schedule.slot_of(facts.date),
        action,
        reason,
        expire: expire_after(facts, action, schedule),
    }
}

/// Why the night archives nothing, unless it does.
fn nothing_to_do(facts: &Facts, schedule: &Schedule) -> Option<String> {
    let date = facts.date;
    let slot = schedule.slot_of(date);
    let newest = facts.history.newest().map(|newest| newest.id.date);
    match newest {
        Some(newest) if newest > date => {
            return Some(format!("there is a later archive, of {newest}"));
        }
        Some(newest) if newest == date && facts.request == Request::Full => {
            return Some("the date is archived already".to_owned());
        }
        _ => {}
    }
    if facts.request == Request::Full {
        return None;
    }
    let dates = facts.history.archives.iter().map(|archive| archive.id.date);
    // A slot may have two archives, where one was asked for: the first has filled it.
    if let Some(filled) = dates.filter(|made| *made >= slot).min() {
        return Some(format!("the slot of {slot} was filled on {filled}"));
    }
    if !schedule.catch_up && !schedule.is_slot_day(date) {
        return Some(format!("the slot of {slot} is over, and catch_up is off"));
    }
    None
}

/// What an archive that is to be made has to be.
fn full_or_incremental(facts: &Facts, schedule: &Schedule) -> (Action, String) {
    let chains = facts.history.chains();
    let Some(chain) = chains.last() else {
        return (Action::Full, "there is no archive yet".to_owned());
    };
    if let Some(reason) = why_full(facts, schedule, chain) {
        return (Action::Full, reason);
    }
    let action = Action::Incremental {
        send_parent: chain.newest.id,
        chain: chain.id,
    };
    let reason = format!(
        "the slot of {} is open, and the chain of {} has {} of {} incrementals",
        schedule.slot_of(facts.date),
        chain.date(),
        chain.incrementals(),
        schedule.max_incrementals,
    );
    (action, reason)
}

/// Why nothing can be built on the newest chain, unless it can.
fn why_full(facts: &Facts, schedule: &Schedule, chain: &Chain<'_>) -> Option<String> {
    let name = format!("the chain of {}", chain.date());
    let parent = chain.newest.id.date;
    if facts.request == Request::Full {
        return Some("it was asked for".to_owned());
    }
    if let Some(missing) = chain.missing() {
        return Some(format!("{name} lacks {missing}"));
    }
    if let Some(damaged) = chain.damaged() {
        return Some(format!("{name} is damaged in {damaged}"));
    }
    if schedule.max_incrementals == 0 {
        return Some("max_incrementals is 0, so every archive is full".to_owned());
    }
    let incrementals = chain.incrementals();
    if usize::try_from(schedule.max_incrementals).is_ok_and(|max| incrementals >= max) {
        let noun = if incrementals == 1 {
            "incremental"
        } else {
            "incrementals"
        };
        return Some(format!("{name} has {incrementals} {noun}"));
    }
    let age = (facts.date - chain.date()).num_days();
    if let Some(max) = schedule.max_chain_days.filter(|max| age > i64::from(*max)) {
        return Some(format!(
            "{name} is {age} days old, and max_chain_days is {max}"
        ));
    }
    if chain.newest.recipients != facts.recipients {
        return Some(format!("the recipients have changed since {parent}"));
    }
    match &facts.send_parent {
        SendParentSnapshot::Intact | SendParentSnapshot::NotLocal => None,
        SendParentSnapshot::Gone => Some(format!("the snapshot of {parent} is gone")),
        SendParentSnapshot::Changed(what) => Some(format!(
            "the snapshot of {parent} is not the one that was archived: {what}"
        )),
    }
}

/// What expires once the action has been done.
fn expire_after(facts: &Facts, action: Action, schedule: &Schedule) -> Vec<ChainExpiry> {
    let newest = facts.history.newest();
    if newest.is_some_and(|newest| newest.id.date > facts.date) {
        // Such a run is refused, so nothing is retired by it either.
        return Vec::new();
    }
    match action.outcome(facts.date, facts.recipients, 0) {
        None => expiring(&facts.history, facts.date, schedule),
        Some(archive) => {
            let mut after = facts.history.clone();
            after.archives.push(archive);
            expiring(&after, facts.date, schedule)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample::{date, facts, history};
    use super::*;

    const AUGUST: &[&str] = &["2026-08-07", "2026-08-14", "2026-08-21"];

    /// The plan as `action: reason`.
    fn planned(facts: &Facts, schedule: &Schedule) -> String {
        let plan = plan_backup(facts, schedule).unwrap();
        format!("{}: {}", plan.action, plan.reason)
    }

    fn planned_by_default(facts: &Facts) -> String {
        planned(facts, &Schedule::default())
    }

    #[test]
    fn the_first_archive_is_full_on_any_day() {
        let plan = plan_backup(
            &facts("2023-11-03", History::default()),
            &Schedule::default(),
        );
        let plan = plan.unwrap();
        assert_eq!(plan.action, Action::Full);
        assert_eq!(plan.reason, "there is no archive yet");
        assert_eq!(plan.slot, date("2023-11-01"));
        assert!(plan.expire.is_empty());
    }

    #[test]
    fn an_incremental_builds_on_the_newest_archive_of_the_newest_chain() {
        let history = history(&[&["2026-05-07", "2026-05-14"], AUGUST]);
        let [chain, send_parent] = [history.archives[2].id, history.archives[4].id];
        let plan = plan_backup(&facts("2026-09-01", history), &Schedule::default()).unwrap();
        assert_eq!(plan.action, Action::Incremental { send_parent, chain });
        assert_eq!(
            plan.reason,
            "the slot of 2026-09-01 is open, and the chain of 2026-08-07 has 2 of 11 incrementals"
        );
    }

    #[test]
    fn a_slot_is_filled_once_and_a_missed_one_is_made_good_if_catch_up_is_on() {
        let chain: &[&str] = &["2026-10-21", "2026-11-07"];
        let cases = [
            // newest archive, night, the action with catch_up, and without
            (chain, "2026-11-07", "none", "none"),
            (chain, "2026-11-13", "none", "none"),
            (chain, "2026-11-14", "incremental", "incremental"),
            (chain, "2026-11-15", "incremental", "none"),
            (chain, "2026-11-20", "incremental", "none"),
            (chain, "2026-11-21", "incremental", "incremental"),
            // two slots were missed: one archive
            (chain, "2026-11-30", "incremental", "none"),
            // filled late, by catching up
            (&["2026-11-16"], "2026-11-17", "none", "none"),
            (&["2026-11-16"], "2026-11-21", "incremental", "incremental"),
            // over month and year ends
            (&["2026-12-21"], "2026-12-31", "none", "none"),
            (&["2026-12-21"], "2027-01-01", "incremental", "incremental"),
            (&["2026-12-20"], "2026-12-31", "incremental", "none"),
            (&["2027-12-31"], "2028-01-01", "incremental", "incremental"),
            (&["2028-02-29"], "2028-03-01", "incremental", "incremental"),
            (&["2028-02-21"], "2028-02-29", "none", "none"),
            // nothing yet
            (&[], "2026-11-14", "full", "full"),
            (&[], "2026-11-15", "full", "none"),
        ];
        let [on, off] = [true, false].map(|catch_up| Schedule {
            catch_up,
            ..Schedule::default()
        });
        for (made, night, with, without) in cases {
            let facts = facts(night, history(&[made]));
            for (schedule, action) in [(&on, with), (&off, without)] {
                let plan = plan_backup(&facts, schedule).unwrap();
                assert_eq!(plan.action.as_str(), action, "{made:?} {night}");
            }
        }
    }

    #[test]
    fn nothing_to_do_is_said_with_its_reason() {
        let off = Schedule {
            catch_up: false,
            ..Schedule::default()
        };
        let made = history(&[&["2026-11-14", "2026-11-21"]]);
        for (night, schedule, reason) in [
            (
                "2026-11-21",
                Schedule::default(),
                "the slot of 2026-11-21 was filled on 2026-11-21",
            ),
            (
                "2026-11-30",
                Schedule::default(),
                "the slot of 2026-11-21 was filled on 2026-11-21",
            ),
            (
                "2026-11-20",
                Schedule::default(),
                "there is a later archive, of 2026-11-21",
            ),
            (
                "2026-11-14",
                Schedule::default(),
                "there is a later archive, of 2026-11-21",
            ),
            (
                "2026-12-02",
                off,
                "the slot of 2026-12-01 is over, and catch_up is off",
            ),
        ] {
            let facts = facts(night, made.clone());
            assert_eq!(planned(&facts, &schedule), format!("none: {reason}"));
        }
    }

    #[test]
    fn a_slot_of_a_day_that_the_month_lacks_is_not_due() {
        let last = Schedule {
            days: vec![31],
            ..Schedule::default()
        };
        let made = history(&[&["2027-01-31"]]);
        for (night, action) in [
            ("2027-02-28", "none"),
            ("2027-03-01", "none"),
            ("2027-03-30", "none"),
            ("2027-03-31", "incremental"),
            ("2027-04-01", "incremental"),
        ] {
            let plan = plan_backup(&facts(night, made.clone()), &last).unwrap();
            assert_eq!(plan.action.as_str(), action, "{night}");
        }
    }

    #[test]
    fn a_chain_takes_max_incrementals_and_then_a_full_follows() {
        let made = facts("2026-09-01", history(&[AUGUST]));
        for (max_incrementals, answer) in [
            (0, "full: max_incrementals is 0, so every archive is full"),
            (1, "full: the chain of 2026-08-07 has 2 incrementals"),
            (2, "full: the chain of 2026-08-07 has 2 incrementals"),
            (
                3,
                "incremental: the slot of 2026-09-01 is open, \
                 and the chain of 2026-08-07 has 2 of 3 incrementals",
            ),
        ] {
            let schedule = Schedule {
                max_incrementals,
                ..Schedule::default()
            };
            assert_eq!(planned(&made, &schedule), answer);
        }
    }

    #[test]
    fn a_chain_older_than_max_chain_days_takes_no_more() {
        let made = facts("2026-09-01", history(&[AUGUST]));
        // 2026-08-07 is 25 days before.
        for (max, action) in [
            (Some(24), "full"),
            (Some(25), "incremental"),
            (None, "incremental"),
        ] {
            let schedule = Schedule {
                max_chain_days: max,
                ..Schedule::default()
            };
            let plan = plan_backup(&made, &schedule).unwrap();
            assert_eq!(plan.action.as_str(), action, "{max:?}");
        }
    }

    #[test]
    fn whatever_casts_doubt_on_the_send_parent_calls_for_a_full() {
        let sound = facts("2026-09-01", history(&[&["2026-05-07"], AUGUST]));
        let mut gone = sound.clone();
        gone.send_parent = SendParentSnapshot::Gone;
        let mut changed = sound.clone();
        changed.send_parent = SendParentSnapshot::Changed("it is writable".to_owned());
        let mut rekeyed = sound.clone();
        rekeyed.recipients = Sha256([8; 32]);
        let mut damaged = sound.clone();
        damaged.history.archives[2].condition = Condition::Damaged;
        let mut headless = sound.clone();
        headless.history.archives.remove(1);
        let mut gap = sound.clone();
        gap.history.archives.remove(2);
        for (facts, reason) in [
            (gone, "the snapshot of 2026-08-21 is gone"),
            (
                changed,
                "the snapshot of 2026-08-21 is not the one that was archived: it is writable",
            ),
            (rekeyed, "the recipients have changed since 2026-08-21"),
            (
                damaged,
                "the chain of 2026-08-07 is damaged in 2026-08-14-incr-5f0c9a12d4e6b801",
            ),
            (
                headless,
                "the chain of 2026-08-07 lacks 2026-08-07-full-5f0c9a12d4e6b801",
            ),
            (
                gap,
                "the chain of 2026-08-07 lacks 2026-08-14-incr-5f0c9a12d4e6b801",
            ),
        ] {
            assert_eq!(planned_by_default(&facts), format!("full: {reason}"));
        }
        let mut elsewhere = sound.clone();
        elsewhere.send_parent = SendParentSnapshot::NotLocal;
        assert_eq!(planned_by_default(&elsewhere), planned_by_default(&sound));
    }

    #[test]
    fn doubt_about_an_older_chain_is_no_reason_for_a_full() {
        let mut facts = facts("2026-09-01", history(&[&["2026-05-07"], AUGUST]));
        facts.history.archives[0].condition = Condition::Damaged;
        assert!(planned_by_default(&facts).starts_with("incremental: "));
    }

    #[test]
    fn a_full_that_was_asked_for_is_made_on_any_night_but_an_archived_one() {
        let off = Schedule {
            catch_up: false,
            ..Schedule::default()
        };
        let mut facts = facts("2026-08-23", history(&[AUGUST]));
        facts.request = Request::Full;
        assert_eq!(planned(&facts, &off), "full: it was asked for");
        for archived in AUGUST {
            facts.date = date(archived);
            let refusal = plan_backup(&facts, &off).unwrap_err();
            assert_eq!(refusal, Refusal::AlreadyArchived { date: facts.date });
        }
        facts.date = date("2026-08-20");
        assert_eq!(
            planned(&facts, &off),
            "none: there is a later archive, of 2026-08-21"
        );
    }

    #[test]
    fn a_host_that_was_off_for_200_days_goes_on_with_its_chain_and_retires_nothing_that_night() {
        let history = history(&[&["2026-02-07"], AUGUST]);
        let plan = plan_backup(&facts("2027-03-09", history), &Schedule::default()).unwrap();
        assert_eq!(plan.action.as_str(), "incremental");
        assert_eq!(plan.slot, date("2027-03-07"));
        assert!(plan.expire.is_empty());
    }

    #[test]
    fn what_expires_is_judged_with_the_new_archive_in_place() {
        let eager = Schedule {
            max_incrementals: 2,
            expire_after_days: 11,
            ..Schedule::default()
        };
        // The full of this very night is what lets the only other chain go.
        let plan = plan_backup(&facts("2026-09-01", history(&[AUGUST])), &eager).unwrap();
        assert_eq!(plan.action, Action::Full);
        assert_eq!(plan.expire.len(), 1);
        assert_eq!(plan.expire[0].chain, date("2026-08-07"));
        assert_eq!(
            plan.expire[0].reason,
            "its newest archive is 11 days old, and the chain of 2026-09-01 stands"
        );
    }

    #[test]
    fn a_night_with_nothing_to_archive_can_retire_but_a_date_in_the_past_can_not() {
        let history = history(&[&["2026-05-07"], AUGUST]);
        for (night, expired) in [("2026-08-22", 1), ("2026-08-20", 0)] {
            let plan = plan_backup(&facts(night, history.clone()), &Schedule::default()).unwrap();
            assert_eq!(plan.action, Action::None);
            assert_eq!(plan.expire.len(), expired, "{night}");
        }
    }
}
