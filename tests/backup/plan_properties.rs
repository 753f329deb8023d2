//! What holds of every plan, whatever the schedule and whatever befalls a source between nights.

use chrono::{Days, NaiveDate};
use coldchain::model::Sha256;
use coldchain::plan::{
    Action, Archived, BackupPlan, Chain, ChainExpiry, Condition, Facts, History, ListedAsOf,
    Request, Schedule, SendParentSnapshot, Verification, carry_out, expiring, expiry_dates,
    plan_backup, plan_restore, simulate,
};
use proptest::prelude::*;

/// What happens before and in one run.
#[derive(Debug, Clone)]
struct Night {
    /// Nights since the run before, which is 1 on a host that is never off.
    after: u64,
    befalls: Befalls,
    request: Request,
    snapshot: SendParentSnapshot,
    verification: Verification,
}

/// What happens to the stored archives or the configuration between two runs. The index is taken
/// modulo the number of archives.
#[derive(Debug, Clone)]
enum Befalls {
    Nothing,
    Damage(usize),
    /// An entry that no longer verifies: the archive is out of sight.
    Loss(usize),
    NewRecipients(u8),
    /// A listing that shows at last what was not verified.
    Verified,
}

fn nights() -> impl Strategy<Value = Vec<Night>> {
    let after = prop_oneof![12 => Just(1_u64), 4 => 2_u64..20, 1 => 20_u64..400];
    let befalls = prop_oneof![
        20 => Just(Befalls::Nothing),
        1 => any::<usize>().prop_map(Befalls::Damage),
        1 => any::<usize>().prop_map(Befalls::Loss),
        1 => (0_u8..4).prop_map(Befalls::NewRecipients),
        4 => Just(Befalls::Verified),
    ];
    let request = prop_oneof![15 => Just(Request::Scheduled), 1 => Just(Request::Full)];
    let snapshot = prop_oneof![
        20 => Just(SendParentSnapshot::Intact),
        1 => Just(SendParentSnapshot::Gone),
        1 => Just(SendParentSnapshot::Changed("its ctransid differs".to_owned())),
        1 => Just(SendParentSnapshot::Unrelated),
        1 => Just(SendParentSnapshot::NotLocal),
    ];
    let verification = prop_oneof![
        10 => Just(Verification::Verified),
        1 => Just(Verification::Unverified),
    ];
    let night = (after, befalls, request, snapshot, verification).prop_map(
        |(after, befalls, request, snapshot, verification)| Night {
            after,
            befalls,
            request,
            snapshot,
            verification,
        },
    );
    prop::collection::vec(night, 1..120)
}

prop_compose! {
    fn schedules()(
        days in prop::collection::btree_set(1_u32..=31, 1..6),
        max_incrementals in 0_u32..14,
        max_chain_days in prop::option::of(1_u32..200),
        expire_after_days in 1_u32..150,
        catch_up in any::<bool>(),
    ) -> Schedule {
        Schedule {
            days: days.into_iter().collect(),
            max_incrementals,
            max_chain_days,
            expire_after_days,
            catch_up,
        }
    }
}

prop_compose! {
    /// Any day of a span that has leap years and a century without one.
    fn dates()(ahead in 0_u64..40_000) -> NaiveDate {
        date("1999-12-01") + Days::new(ahead)
    }
}

fn date(text: &str) -> NaiveDate {
    text.parse().unwrap()
}

fn nothing_yet(date: NaiveDate) -> Facts {
    Facts {
        source: "home".parse().unwrap(),
        date,
        request: Request::Scheduled,
        history: History::default(),
        send_parent: SendParentSnapshot::Intact,
        older_send_parent: None,
        recipients: Sha256([0; 32]),
        listed_as_of: ListedAsOf::Now,
    }
}

fn befall(facts: &mut Facts, befalls: &Befalls) {
    let archives = &mut facts.history.archives;
    match befalls {
        Befalls::Damage(at) if !archives.is_empty() => {
            let at = at % archives.len();
            archives[at].condition = Condition::Damaged;
        }
        Befalls::Loss(at) if !archives.is_empty() => {
            archives.remove(at % archives.len());
        }
        Befalls::NewRecipients(which) => facts.recipients = Sha256([*which; 32]),
        Befalls::Verified => archives
            .iter_mut()
            .for_each(|archive| archive.verification = Verification::Verified),
        _ => {}
    }
}

/// The history after a plan, where the new archive is verified or not yet, and only what the
/// history as it then is lets expire is retired.
fn after(facts: &Facts, plan: &BackupPlan, schedule: &Schedule, seen: Verification) -> History {
    let mut history = facts.history.clone();
    let archived = BackupPlan {
        expire: Vec::new(),
        ..plan.clone()
    };
    if carry_out(&archived, &mut history, facts.recipients) == Archived::Yes
        && let Some(archive) = history.archives.last_mut()
    {
        archive.verification = seen;
    }
    let expired: Vec<ChainExpiry> = expiring(&history, plan.date, schedule);
    history
        .archives
        .retain(|archive| expired.iter().all(|expiry| expiry.id != archive.chain));
    history
}

fn has_restorable(history: &History) -> bool {
    history.chains().iter().any(Chain::is_restorable)
}

/// The older archive to build on, on a night whose newest snapshot does not serve: of every second such night.
fn older(facts: &Facts, night: &Night) -> Option<coldchain::model::ArchiveId> {
    let serves = matches!(
        night.snapshot,
        SendParentSnapshot::Intact | SendParentSnapshot::NotLocal
    );
    let older = facts
        .history
        .send_parents()
        .get(1)
        .map(|archive| archive.id);
    older.filter(|_| !serves && night.after.is_multiple_of(2))
}

/// Runs the nights and hands every plan, with the facts before it and the history after it, to
/// `check`.
fn live(
    first: NaiveDate,
    schedule: &Schedule,
    nights: &[Night],
    mut check: impl FnMut(&Facts, &BackupPlan, &History, &Night),
) {
    let mut facts = nothing_yet(first);
    for night in nights {
        facts.date = facts.date + Days::new(night.after);
        facts.request = night.request;
        facts.send_parent = night.snapshot.clone();
        befall(&mut facts, &night.befalls);
        facts.older_send_parent = older(&facts, night);
        let plan = plan_backup(&facts, schedule).expect("each date is planned once");
        let history = after(&facts, &plan, schedule, night.verification);
        check(&facts, &plan, &history, night);
        facts.history = history;
    }
}

fn config() -> ProptestConfig {
    ProptestConfig {
        cases: 192,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_chain_never_has_more_than_a_full_and_max_incrementals(
        first in dates(), schedule in schedules(), nights in nights(),
    ) {
        live(first, &schedule, &nights, |_, _, history, _| {
            for chain in history.chains() {
                let incrementals = u32::try_from(chain.incrementals()).unwrap();
                assert!(incrementals <= schedule.max_incrementals, "{chain:#?}");
            }
        });
    }

    #[test]
    fn an_incremental_builds_on_a_sound_chain_that_stays_and_can_be_restored_at_once(
        first in dates(), schedule in schedules(), nights in nights(),
    ) {
        live(first, &schedule, &nights, |facts, plan, history, _| {
            if plan.action == Action::None {
                return;
            }
            if let Action::Incremental { send_parent, chain } = plan.action {
                let parent = facts.history.get(send_parent).expect("the send parent is visible");
                assert_eq!(parent.chain, chain);
                if Some(parent) != facts.history.newest() {
                    assert_eq!(Some(send_parent), facts.older_send_parent);
                }
                assert_eq!(parent.recipients, facts.recipients);
                assert!(plan.expire.iter().all(|expiry| expiry.id != chain));
                let newest_serves = matches!(
                    facts.send_parent,
                    SendParentSnapshot::Intact | SendParentSnapshot::NotLocal
                );
                assert_eq!(newest_serves, Some(parent) == facts.history.newest());
                assert_eq!(facts.request, Request::Scheduled);
            }
            let way = plan_restore(&plan.source, history, Some(plan.date)).expect("it is whole");
            assert!(way.damaged.is_empty());
            assert!(way.archives.iter().all(|id| history.get(*id).is_some()));
        });
    }

    #[test]
    fn no_plan_leaves_a_source_without_a_restorable_chain(
        first in dates(), schedule in schedules(), nights in nights(),
    ) {
        live(first, &schedule, &nights, |facts, plan, history, _| {
            let had = has_restorable(&facts.history) || plan.action != Action::None;
            assert!(!had || has_restorable(history), "{plan:#?}");
            // Nor does it retire the newest one that there was before the night.
            let chains = facts.history.chains();
            if let Some(newest) = chains.iter().rfind(|chain| chain.is_restorable()) {
                let retired = plan.expire.iter().any(|expiry| expiry.id == newest.id);
                assert!(!retired || plan.action == Action::Full, "{plan:#?}");
            }
        });
    }

    #[test]
    fn a_chain_is_retired_only_of_age_and_under_a_newer_verified_full(
        first in dates(), schedule in schedules(), nights in nights(),
    ) {
        live(first, &schedule, &nights, |facts, plan, history, _| {
            for chain in facts.history.chains() {
                if history.archives.iter().any(|archive| archive.chain == chain.id) {
                    continue;
                }
                let expiry = plan.expire.iter().find(|expiry| expiry.id == chain.id);
                let expiry = expiry.expect("nothing is retired that was not planned");
                assert_eq!(expiry.archives, chain.archives.len());
                let age = (plan.date - chain.newest.id.date).num_days();
                assert!(age >= i64::from(schedule.expire_after_days));
                assert!(history.archives.iter().any(|archive| archive.id == archive.chain
                    && archive.id > chain.id
                    && archive.condition == Condition::Sound
                    && archive.verification == Verification::Verified));
            }
        });
    }

    #[test]
    fn planning_a_night_again_finds_nothing_left_to_do(
        first in dates(), schedule in schedules(), nights in nights(),
    ) {
        live(first, &schedule, &nights, |facts, _, history, _| {
            let again = Facts {
                history: history.clone(),
                request: Request::Scheduled,
                ..facts.clone()
            };
            let plan = plan_backup(&again, &schedule).unwrap();
            assert_eq!(plan.action, Action::None, "{}", plan.reason);
            assert!(plan.expire.is_empty(), "{plan:#?}");
        });
    }

    #[test]
    fn a_plan_expires_just_what_the_history_it_foresees_lets_go(
        first in dates(), schedule in schedules(), nights in nights(),
    ) {
        live(first, &schedule, &nights, |facts, plan, history, night| {
            let gone = |expiry: &ChainExpiry| {
                history.archives.iter().all(|archive| archive.chain != expiry.id)
            };
            if night.verification == Verification::Verified || plan.action == Action::None {
                assert!(plan.expire.iter().all(gone), "{plan:#?}");
                let mut done = facts.history.clone();
                carry_out(plan, &mut done, facts.recipients);
                assert_eq!(&done, history);
            }
        });
    }

    #[test]
    fn every_plan_has_a_reason_and_a_slot_that_is_a_scheduled_day(
        first in dates(), schedule in schedules(), nights in nights(),
    ) {
        live(first, &schedule, &nights, |_, plan, _, _| {
            assert!(!plan.reason.is_empty());
            assert!(schedule.is_slot_day(plan.slot) && plan.slot <= plan.date);
            let next = schedule.next_slot_after(plan.date);
            assert!(schedule.is_slot_day(next) && next > plan.date);
            assert_eq!(schedule.slot_of(next), next);
            assert_eq!(schedule.slot_of(next.pred_opt().unwrap()), plan.slot);
        });
    }

    #[test]
    fn on_a_host_that_is_never_off_no_chain_outlives_its_time(
        first in dates(), schedule in schedules(),
    ) {
        let mut history = History::default();
        let until = first + Days::new(1500);
        for plan in simulate(nothing_yet(first), &schedule, until) {
            let before = history.newest().map(|newest| newest.id.date);
            carry_out(&plan, &mut history, Sha256([0; 32]));
            let silence = before.map_or(0, |before| (plan.date - before).num_days());
            // The night that ends a gap that long retires nothing; the next one makes up for it.
            if silence > 35 {
                continue;
            }
            let chains = history.chains();
            for expires in expiry_dates(&chains, &schedule).into_iter().rev().skip(1) {
                assert!(expires.is_some_and(|expires| expires > plan.date), "{plan:#?}");
            }
        }
    }

    #[test]
    fn a_simulation_is_its_nights_planned_one_by_one(
        first in dates(), schedule in schedules(), nights in nights(), span in 1_u64..400,
    ) {
        let mut last = nothing_yet(first);
        live(first, &schedule, &nights, |facts, plan, history, _| {
            last = Facts { history: history.clone(), ..facts.clone() };
            last.date = plan.date.succ_opt().unwrap();
        });
        last.request = Request::Scheduled;
        last.send_parent = SendParentSnapshot::Intact;
        let until = last.date + Days::new(span);
        let plans = simulate(last.clone(), &schedule, until);
        for plan in plans {
            let alone = plan_backup(&last, &schedule).unwrap();
            carry_out(&alone, &mut last.history, last.recipients);
            last.date = last.date.succ_opt().unwrap();
            assert_eq!(plan, alone);
        }
    }
}
