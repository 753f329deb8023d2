//! Decides what a night archives: a full, an incremental, or nothing.

use chrono::NaiveDate;

use super::copy_night::CopyNight;
use super::due::why_nothing;
use super::facts::{Action, Facts, Request};
use super::history::{ArchiveFacts, ListedAsOf, Verification};
use super::mirror_night::MirrorNight;
use super::refusal::BackupRefusal;
use super::retention::{ChainExpiry, awaiting_inventory, expiring};
use super::schedule::Schedule;
use super::send_parent::full_or_incremental;
use super::snapshots::ExpiredSnapshot;
use crate::model::SourceName;

/// A night's decision for one source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupPlan {
    /// The source.
    pub source: SourceName,
    /// The night's date.
    pub date: NaiveDate,
    /// The slot of the date: the newest scheduled date that is not after it.
    pub slot: NaiveDate,
    /// What to archive.
    pub action: Action,
    /// The reason for the action, in words. It does not repeat the action's name.
    pub reason: String,
    /// The chains to retire once the archive is committed and verified.
    pub expire: Vec<ChainExpiry>,
    /// The chains that would be retired if an inventory of the vault had shown the newer full.
    pub waiting: Vec<ChainExpiry>,
    /// The snapshots here to delete at the end. Only a plan of one night has them.
    pub snapshots: Vec<ExpiredSnapshot>,
    /// What each mirror would get after the archive. Only a plan of one night has it.
    pub mirrors: Vec<MirrorNight>,
    /// What each copy would get at the end. Only a plan of one night has it.
    pub copies: Vec<CopyNight>,
}

impl BackupPlan {
    /// Whether the night archives or retires anything.
    pub fn does_something(&self) -> bool {
        self.action != Action::None || !self.expire.is_empty()
    }
}

/// Returns the plan of a source that keeps snapshots alone: it never archives.
pub fn snapshots_alone(source: &SourceName, date: NaiveDate) -> BackupPlan {
    BackupPlan {
        source: source.clone(),
        date,
        slot: date,
        action: Action::None,
        reason: "no archive: this source has no store".to_owned(),
        expire: Vec::new(),
        waiting: Vec::new(),
        snapshots: Vec::new(),
        mirrors: Vec::new(),
        copies: Vec::new(),
    }
}

/// Decides what one source archives and retires in one night.
///
/// Refuses only a full that was requested for a date that already has an archive. For a date before the
/// newest archive it plans nothing; [`super::refuse_date`] refuses such a date.
pub fn plan_backup(facts: &Facts, schedule: &Schedule) -> Result<BackupPlan, BackupRefusal> {
    if facts.request == Request::Full && facts.history.on(facts.date).is_some() {
        return Err(BackupRefusal::AlreadyArchived { date: facts.date });
    }
    Ok(plan_night(facts, schedule))
}

/// Plans like [`plan_backup`], but refuses nothing: for a date that already has an archive the action is
/// `None`.
pub(super) fn plan_night(facts: &Facts, schedule: &Schedule) -> BackupPlan {
    let (action, reason) = match why_nothing(facts, schedule) {
        Some(reason) => (Action::None, reason),
        None => full_or_incremental(facts, schedule),
    };
    let (expire, waiting) = expire_after(facts, action, schedule);
    BackupPlan {
        source: facts.source.clone(),
        date: facts.date,
        slot: schedule.slot_of(facts.date),
        action,
        reason,
        expire,
        waiting,
        snapshots: Vec::new(),
        mirrors: Vec::new(),
        copies: Vec::new(),
    }
}

/// Returns the chains that expire once the action is done, and those that wait for an inventory.
fn expire_after(
    facts: &Facts,
    action: Action,
    schedule: &Schedule,
) -> (Vec<ChainExpiry>, Vec<ChainExpiry>) {
    let newest = facts.history.newest();
    if newest.is_some_and(|newest| newest.id.date > facts.date) {
        // `refuse_date` refuses such a run, so it retires nothing either.
        return (Vec::new(), Vec::new());
    }
    let mut after = facts.history.clone();
    if let Some(archive) = action.outcome(facts.date, facts.recipients, 0) {
        let verification = match facts.listed_as_of {
            ListedAsOf::Now => archive.verification,
            ListedAsOf::Inventory(_) => Verification::Unverified,
        };
        after.archives.push(ArchiveFacts {
            verification,
            ..archive
        });
    }
    let waiting = match facts.listed_as_of {
        ListedAsOf::Now => Vec::new(),
        ListedAsOf::Inventory(of) => awaiting_inventory(&after, facts.date, schedule, of),
    };
    (expiring(&after, facts.date, schedule), waiting)
}

#[cfg(test)]
mod tests {
    use super::super::history::History;
    use super::super::sample::{date, facts, history};
    use super::*;

    const AUGUST: &[&str] = &["2026-08-07", "2026-08-14", "2026-08-21"];

    /// The plan as `action: reason`.
    fn planned(facts: &Facts, schedule: &Schedule) -> String {
        let plan = plan_backup(facts, schedule).unwrap();
        format!("{}: {}", plan.action, plan.reason)
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
            assert_eq!(refusal, BackupRefusal::AlreadyArchived { date: facts.date });
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
        // The other chain can expire only because of this night's full.
        let plan = plan_backup(&facts("2026-09-01", history(&[AUGUST])), &eager).unwrap();
        assert_eq!(plan.action, Action::Full);
        assert_eq!(plan.expire.len(), 1);
        assert_eq!(plan.expire[0].chain, date("2026-08-07"));
        assert_eq!(
            plan.expire[0].reason,
            "its newest archive is 11 days old, and the chain of 2026-09-01 is verified"
        );
    }

    #[test]
    fn a_full_in_a_vault_replaces_no_chain_on_the_night_on_which_it_is_made() {
        let eager = Schedule {
            max_incrementals: 2,
            expire_after_days: 11,
            ..Schedule::default()
        };
        let mut facts = facts("2026-09-01", history(&[AUGUST]));
        facts.listed_as_of = ListedAsOf::Inventory(None);
        let plan = plan_backup(&facts, &eager).unwrap();
        assert_eq!((plan.action, plan.expire.len()), (Action::Full, 0));
        let waiting: Vec<NaiveDate> = plan.waiting.iter().map(|chain| chain.chain).collect();
        assert_eq!(waiting, [date("2026-08-07")]);
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
