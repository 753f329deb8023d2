//! Plans the nights to come, each on the state that the nights before it leave.

use chrono::{Datelike, NaiveDate};

use super::backup::{BackupPlan, plan_night};
use super::facts::{Facts, Request, SendParentSnapshot};
use super::history::{ArchiveFacts, History};
use super::schedule::Schedule;
use crate::model::Sha256;

/// Returns one plan for each night from the facts' date to `until`, both included.
///
/// Each night is assumed to run as planned: archived, verified, its expiring chains retired, its snapshot
/// kept. The request applies only to the first night. A problem with the send parent's snapshot lasts until a
/// new archive replaces it. Nothing is refused: if a full is requested for a date that has an archive, that
/// night does nothing.
///
/// The time it takes grows with the nights and with the archives that are visible at once.
pub fn simulate(mut facts: Facts, schedule: &Schedule, until: NaiveDate) -> Vec<BackupPlan> {
    let mut plans = Vec::new();
    while facts.date <= until {
        let plan = plan_night(&facts, schedule);
        if carry_out(&plan, &mut facts.history, facts.recipients) == Archived::Yes
            && facts.send_parent != SendParentSnapshot::NotLocal
        {
            facts.send_parent = SendParentSnapshot::Intact;
            facts.older_send_parent = None;
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

/// Whether carrying out a plan made a new archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Archived {
    /// It did.
    Yes,
    /// There was nothing to archive.
    No,
}

/// Changes a history as if a plan had been carried out: adds the archive as sound and verified, and removes
/// the expired chains. The archive's id is made up, and is the same every time.
pub fn carry_out(plan: &BackupPlan, history: &mut History, recipients: Sha256) -> Archived {
    let archive = archive_of(plan, recipients);
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

/// Returns the archive that a plan makes, with its made-up id; `None` if it makes none.
pub fn archive_of(plan: &BackupPlan, recipients: Sha256) -> Option<ArchiveFacts> {
    // A date has one archive, so its day number is enough to tell the ids apart.
    let nonce = u64::from(plan.date.num_days_from_ce().unsigned_abs());
    plan.action.outcome(plan.date, recipients, nonce)
}

#[cfg(test)]
mod tests {
    use chrono::Days;

    use super::super::sample::{RECIPIENTS, date, facts, history};
    use super::super::{Action, plan_backup};
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

    #[test]
    fn four_hundred_years_keep_three_chains_at_most() {
        let first = "2000-01-01";
        let plans = simulate(
            facts(first, History::default()),
            &Schedule::default(),
            date("2399-12-31"),
        );
        assert_eq!(plans.len(), 146_097);
        let mut history = History::default();
        let mut retired = 0;
        for plan in &plans {
            carry_out(plan, &mut history, RECIPIENTS);
            retired += plan.expire.len();
            assert!(history.archives.len() <= 36, "{}", plan.date);
            assert!(history.chains().len() <= 3, "{}", plan.date);
        }
        // Four archives a month, twelve to a chain.
        assert_eq!(retired + history.chains().len(), 400 * 12 * 4 / 12);
    }

    /// The same rules in other words, for a host that is never off and loses nothing: the first night and
    /// every scheduled day has an archive, every twelfth is full, and a chain expires when its last archive
    /// is 90 days old.
    #[test]
    fn two_years_from_an_empty_history_go_as_the_rules_say() {
        let [first, until] = ["2023-11-03", "2025-12-01"].map(date);
        let nights: Vec<NaiveDate> = first
            .iter_days()
            .take_while(|night| *night <= until)
            .collect();
        let archived: Vec<NaiveDate> = nights
            .iter()
            .copied()
            .filter(|night| *night == first || [1, 7, 14, 21].contains(&night.day()))
            .collect();
        let chains: Vec<&[NaiveDate]> = archived.chunks(12).collect();
        let (_newest, older) = chains.split_last().unwrap();

        let plans = simulate(
            facts("2023-11-03", History::default()),
            &Schedule::default(),
            until,
        );
        assert!(plans.iter().map(|plan| plan.date).eq(nights));
        for plan in &plans {
            let place = archived.iter().position(|night| *night == plan.date);
            let expected = match place {
                None => ("none", None),
                Some(at) if at % 12 == 0 => ("full", None),
                Some(at) => ("incremental", Some((archived[at - 1], chains[at / 12][0]))),
            };
            let links = match plan.action {
                Action::Incremental { send_parent, chain } => Some((send_parent.date, chain.date)),
                _ => None,
            };
            assert_eq!((plan.action.as_str(), links), expected, "{}", plan.date);

            let gone: Vec<_> = older
                .iter()
                .filter(|chain| chain[chain.len() - 1] + Days::new(90) == plan.date)
                .map(|chain| (chain[0], chain[chain.len() - 1], chain.len()))
                .collect();
            let expired: Vec<_> = plan
                .expire
                .iter()
                .map(|expiry| (expiry.chain, expiry.newest, expiry.archives))
                .collect();
            assert_eq!(expired, gone, "{}", plan.date);
        }

        // The first year is written by hand, in case both versions of the rules have the same mistake.
        let fulls: Vec<String> = plans
            .iter()
            .filter(|plan| plan.action == Action::Full)
            .map(|plan| format!("{}: {}", plan.date, plan.reason))
            .take(5)
            .collect();
        assert_eq!(
            fulls,
            [
                "2023-11-03: there is no archive yet",
                "2024-02-01: the chain of 2023-11-03 has 11 incrementals",
                "2024-05-01: the chain of 2024-02-01 has 11 incrementals",
                "2024-08-01: the chain of 2024-05-01 has 11 incrementals",
                "2024-11-01: the chain of 2024-08-01 has 11 incrementals",
            ]
        );
        let retired: Vec<(String, String)> = plans
            .iter()
            .flat_map(|plan| plan.expire.iter().map(move |expiry| (plan, expiry)))
            .map(|(plan, expiry)| (plan.date.to_string(), expiry.chain.to_string()))
            .take(3)
            .collect();
        let by_hand = [
            // 2024-01-21, 2024-04-21 and 2024-07-21, and 90 days
            ("2024-04-20", "2023-11-03"),
            ("2024-07-20", "2024-02-01"),
            ("2024-10-19", "2024-05-01"),
        ];
        assert_eq!(
            retired,
            by_hand.map(|(on, chain)| (on.to_owned(), chain.to_owned()))
        );
        assert_eq!(
            plans[4].reason,
            "the slot of 2023-11-07 is open, and the chain of 2023-11-03 has 0 of 11 incrementals"
        );
    }

    #[test]
    fn rare_runs_of_a_host_that_is_mostly_off_keep_few_chains_where_no_gap_is_over_35_days() {
        let schedule = Schedule::default();
        let mut facts = facts("2000-01-01", History::default());
        for _ in 0..4000 {
            let plan = plan_backup(&facts, &schedule).unwrap();
            assert_ne!(plan.action, Action::None);
            carry_out(&plan, &mut facts.history, facts.recipients);
            // A chain of 12 spans over a year here; the one before it goes 90 days into the next.
            assert!(facts.history.chains().len() <= 2, "{}", plan.date);
            facts.date = facts.date + Days::new(35);
        }
    }
}
