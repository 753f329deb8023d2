//! Decides whether an archive can be incremental, and on what.

use std::fmt::Write as _;

use super::facts::{Action, Facts, Request, SendParentSnapshot};
use super::history::Chain;
use super::schedule::Schedule;

/// Decides whether the next archive is a full or an incremental; also returns why.
pub(super) fn full_or_incremental(facts: &Facts, schedule: &Schedule) -> (Action, String) {
    let chains = facts.history.chains();
    let Some(chain) = chains.last() else {
        return (Action::Full, "there is no archive yet".to_owned());
    };
    if let Some(reason) = why_full(facts, schedule, chain) {
        return (Action::Full, reason);
    }
    let mut reason = format!(
        "the slot of {} is open, and the chain of {} has {} of {} incrementals",
        schedule.slot_of(facts.date),
        chain.date(),
        chain.incrementals(),
        schedule.max_incrementals,
    );
    let send_parent = match (no_snapshot(facts, chain), facts.older_send_parent) {
        (None, _) => chain.newest.id,
        (Some(why), Some(older)) => {
            let _ = write!(reason, "; it builds on {}, since {why}", older.date);
            older
        }
        (Some(why), None) => return (Action::Full, why),
    };
    if facts.send_parent == SendParentSnapshot::AtMirror {
        let parent = chain.newest.id.date;
        let _ = write!(
            reason,
            "; it is sent from the copies at a mirror, since the snapshot of {parent} is gone here"
        );
    }
    let action = Action::Incremental {
        send_parent,
        chain: chain.id,
    };
    (action, reason)
}

/// Returns why no incremental can build on the newest chain; `None` if one can.
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
    if let Some(inexact) = chain.inexact() {
        return Some(format!(
            "{inexact} carries compressed data, of which the kernel's sender loses bytes"
        ));
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
    None
}

/// Returns why no incremental can build on the snapshot of the chain's newest archive; `None` if one can.
fn no_snapshot(facts: &Facts, chain: &Chain<'_>) -> Option<String> {
    let parent = chain.newest.id.date;
    match &facts.send_parent {
        SendParentSnapshot::Intact
        | SendParentSnapshot::NotLocal
        | SendParentSnapshot::AtMirror => None,
        SendParentSnapshot::Gone => Some(format!("the snapshot of {parent} is gone")),
        SendParentSnapshot::Unrelated => Some(format!(
            "the subvolume does not descend from the snapshot of {parent}: it was replaced by another one"
        )),
        SendParentSnapshot::Lossy(what) => Some(format!(
            "`btrfs send` would leave data out against the snapshot of {parent}: {what}"
        )),
        SendParentSnapshot::Unrestorable(what) => Some(format!(
            "the stream against the snapshot of {parent} can't be restored: {what}"
        )),
        SendParentSnapshot::Incomparable(why) => Some(format!(
            "the snapshot of {parent} can't be compared with tonight's: {why}"
        )),
        SendParentSnapshot::Changed(what) => Some(format!(
            "the snapshot of {parent} is not the one that was archived: {what}"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::super::history::Condition;
    use super::super::plan_backup;
    use super::super::sample::{facts, history};
    use super::*;
    use crate::model::Sha256;

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
    fn an_older_archive_of_the_chain_takes_the_place_of_one_whose_snapshot_does_not_serve() {
        let mut facts = facts("2026-09-01", history(&[&["2026-05-07"], AUGUST]));
        let older = facts.history.archives[2].id;
        facts.older_send_parent = Some(older);
        for (state, why) in [
            (
                SendParentSnapshot::Gone,
                "the snapshot of 2026-08-21 is gone",
            ),
            (
                SendParentSnapshot::Unrelated,
                "the subvolume does not descend from the snapshot of 2026-08-21: it was replaced by another one",
            ),
        ] {
            facts.send_parent = state;
            let plan = plan_backup(&facts, &Schedule::default()).unwrap();
            let Action::Incremental { send_parent, .. } = plan.action else {
                panic!("{plan:?}");
            };
            assert_eq!(send_parent, older);
            assert_eq!(
                plan.reason,
                format!(
                    "the slot of 2026-09-01 is open, and the chain of 2026-08-07 has 2 of 11 incrementals; \
                     it builds on 2026-08-14, since {why}"
                )
            );
        }
        // It does not help if something else forbids every incremental.
        facts.recipients = Sha256([8; 32]);
        assert_eq!(
            planned_by_default(&facts),
            "full: the recipients have changed since 2026-08-21"
        );
    }

    #[test]
    fn whatever_casts_doubt_on_the_send_parent_calls_for_a_full() {
        let sound = facts("2026-09-01", history(&[&["2026-05-07"], AUGUST]));
        let mut gone = sound.clone();
        gone.send_parent = SendParentSnapshot::Gone;
        let mut changed = sound.clone();
        changed.send_parent = SendParentSnapshot::Changed("it is writable".to_owned());
        let mut unrelated = sound.clone();
        unrelated.send_parent = SendParentSnapshot::Unrelated;
        let mut lossy = sound.clone();
        lossy.send_parent = SendParentSnapshot::Lossy("the end of /f".to_owned());
        let mut unrestorable = sound.clone();
        unrestorable.send_parent = SendParentSnapshot::Unrestorable(
            "a rename command on `f`, which is not there".to_owned(),
        );
        let mut incomparable = sound.clone();
        incomparable.send_parent = SendParentSnapshot::Incomparable("it is damaged".to_owned());
        let mut rekeyed = sound.clone();
        rekeyed.recipients = Sha256([8; 32]);
        let mut damaged = sound.clone();
        damaged.history.archives[2].condition = Condition::Damaged;
        let mut inexact = sound.clone();
        inexact.history.archives[2].condition = Condition::Inexact;
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
            (
                unrelated,
                "the subvolume does not descend from the snapshot of 2026-08-21: it was replaced by another one",
            ),
            (
                lossy,
                "`btrfs send` would leave data out against the snapshot of 2026-08-21: the end of /f",
            ),
            (
                unrestorable,
                "the stream against the snapshot of 2026-08-21 can't be restored: a rename command on `f`, which is not there",
            ),
            (
                incomparable,
                "the snapshot of 2026-08-21 can't be compared with tonight's: it is damaged",
            ),
            (rekeyed, "the recipients have changed since 2026-08-21"),
            (
                damaged,
                "the chain of 2026-08-07 is damaged in 2026-08-14-incr-5f0c9a12d4e6b801",
            ),
            (
                inexact,
                "2026-08-14-incr-5f0c9a12d4e6b801 carries compressed data, \
                 of which the kernel's sender loses bytes",
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
}
