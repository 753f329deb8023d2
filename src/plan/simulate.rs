//! Nights to come, each planned on what the ones before it will have left.

use chrono::{Datelike, NaiveDate};

use super::backup::{BackupPlan, Facts, Request, SendParentSnapshot, plan_night};
use super::history::History;
use super::schedule::Schedule;
use crate::model::Sha256;

/// One plan for every night from the facts' date to `until`, both included.
///
/// Every night is taken to be done as planned: archived, verified, its expiring chains retired,
/// its snapshot kept. What was asked for is asked on the first night alone, and what is wrong with
/// the send parent stays wrong until a full has replaced it. Nothing is refused: a full that was
/// asked for on an archived date is a night with nothing to do.
///
/// The time it takes grows with the nights and with the archives that are visible at once.
pub fn simulate(mut facts: Facts, schedule: &Schedule, until: NaiveDate) -> Vec<BackupPlan> {
    let mut plans = Vec::new();
    while facts.date <= until {
        let plan = plan_night(&facts, schedule);
        // A date has one archive, so its day number tells the ids apart, and every run alike.
        let nonce = u64::from(facts.date.num_days_from_ce().unsigned_abs());
        if carry_out(&plan, &mut facts.history, facts.recipients, nonce) == Archived::Yes
            && facts.send_parent != SendParentSnapshot::NotLocal
        {
            facts.send_parent = SendParentSnapshot::Intact;
        }
        facts.request = Request::Scheduled;
        plans.push(plan);
        match facts.date.succ_opt() {
            Some(next) => facts.date = next,
            None => break,
        }
    }
    plans
}

/// Whether a plan, carried out, left a new archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Archived {
    /// It did.
    Yes,
    /// There was nothing to archive.
    No,
}

/// Makes a history what it is after a plan has been done: the archive stands, sound and verified,
/// and the expired chains are out of sight.
pub fn carry_out(
    plan: &BackupPlan,
    history: &mut History,
    recipients: Sha256,
    nonce: u64,
) -> Archived {
    let archive = plan.action.outcome(plan.date, recipients, nonce);
    let archived = match archive {
        Some(_) => Archived::Yes,
        None => Archived::No,
    };
    history.archives.extend(archive);
    if !plan.expire.is_empty() {
        let expired = |chain| plan.expire.iter().any(|expiry| expiry.id == chain);
        history.archives.retain(|archive| !expired(archive.chain));
    }
    archived
}

#[cfg(test)]
mod tests {
    use super::super::sample::{date, facts, history};
    use super::*;

    fn actions(facts: Facts, until: &str) -> Vec<(String, &'static str)> {
        simulate(facts, &Schedule::default(), date(until))
            .iter()
            .filter(|plan| plan.action.as_str() != "none")
            .map(|plan| (plan.date.to_string(), plan.action.as_str()))
            .collect()
    }

    fn made(nights: &[(&str, &'static str)]) -> Vec<(String, &'static str)> {
        nights
            .iter()
            .map(|(night, kind)| ((*night).to_owned(), *kind))
            .collect()
    }

    #[test]
    fn every_night_of_the_span_has_one_plan() {
        let plans = simulate(
            facts("2027-12-30", History::default()),
            &Schedule::default(),
            date("2028-03-01"),
        );
        assert_eq!(plans.len(), 2 + 31 + 29 + 1);
        assert!(
            plans
                .windows(2)
                .all(|two| Some(two[1].date) == two[0].date.succ_opt())
        );
    }

    #[test]
    fn a_span_that_ends_before_it_begins_has_no_nights() {
        let facts = facts("2027-12-30", History::default());
        assert!(simulate(facts, &Schedule::default(), date("2027-12-29")).is_empty());
    }

    #[test]
    fn a_lost_snapshot_and_a_request_last_until_the_full_that_answers_them() {
        let mut lost = facts("2026-08-10", history(&[&["2026-08-01", "2026-08-07"]]));
        lost.send_parent = SendParentSnapshot::Gone;
        let expected = made(&[("2026-08-14", "full"), ("2026-08-21", "incremental")]);
        assert_eq!(actions(lost.clone(), "2026-08-31"), expected);
        lost.request = Request::Full;
        let expected = made(&[
            ("2026-08-10", "full"),
            ("2026-08-14", "incremental"),
            ("2026-08-21", "incremental"),
        ]);
        assert_eq!(actions(lost, "2026-08-31"), expected);
    }

    #[test]
    fn a_full_asked_for_on_an_archived_date_is_a_night_with_nothing_to_do() {
        let mut facts = facts("2026-08-07", history(&[&["2026-08-01", "2026-08-07"]]));
        facts.request = Request::Full;
        let plans = simulate(facts, &Schedule::default(), date("2026-08-07"));
        assert_eq!(plans[0].action.as_str(), "none");
        assert_eq!(plans[0].reason, "the date is archived already");
    }

    #[test]
    fn nights_before_the_newest_archive_do_nothing() {
        let facts = facts("2026-08-01", history(&[&["2026-05-01"], &["2026-08-21"]]));
        let expected = made(&[("2026-09-01", "incremental")]);
        assert_eq!(actions(facts, "2026-09-01"), expected);
    }
}
