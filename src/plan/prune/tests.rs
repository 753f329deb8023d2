use std::collections::BTreeSet;

use chrono::TimeDelta;
use proptest::prelude::*;

use super::super::sample::{date, history};
use super::super::strays::Fate;
use super::*;
use crate::model::keys;

fn now() -> DateTime<Utc> {
    "2026-11-21T03:00:00Z".parse().unwrap()
}

fn days_ago(days: i64) -> DateTime<Utc> {
    now() - TimeDelta::days(days)
}

/// A key and two segments of 100 bytes each.
fn objects(id: ArchiveId) -> BTreeMap<String, u64> {
    let names = [
        "key.age",
        "000000-00000000000000aa.zst.age",
        "000001-00000000000000bb.zst.age",
    ];
    let prefix = keys::archive_prefix("home", &id);
    names
        .into_iter()
        .map(|name| (format!("{prefix}{name}"), 100))
        .collect()
}

fn listing(id: ArchiveId) -> Vec<ListedObject> {
    objects(id)
        .into_iter()
        .map(|(key, bytes)| ListedObject {
            part: keys::archive_part(keys::archive_of("home", &key).unwrap().1),
            key,
            bytes,
            stored: Some(days_ago(10)),
            class: None,
        })
        .collect()
}

/// A source with these visible chains, whole in the store, on 2026-11-21.
fn source(chains: &[&[&str]]) -> PruneFacts {
    let history = history(chains);
    let ids: Vec<ArchiveId> = history.archives.iter().map(|archive| archive.id).collect();
    PruneFacts {
        strays: StrayFacts {
            listed: ids.iter().map(|id| (*id, listing(*id))).collect(),
            elsewhere: Vec::new(),
            ledger: ids
                .iter()
                .map(|id| (*id, InLedger::Visible(objects(*id))))
                .collect(),
            unread: None,
            damaged: BTreeSet::new(),
            here: BTreeMap::new(),
            newest_archive: Some(days_ago(7)),
            store_now: now(),
            system_now: now(),
            delete_after: TimeDelta::days(7),
            may_retire: MayRetire::Yes,
        },
        history,
        retired: Vec::new(),
        date: date("2026-11-21"),
        schedule: Schedule::default(),
        listed_as_of: ListedAsOf::Now,
    }
}

#[test]
fn a_chain_is_kept_with_the_reason_while_an_inventory_lacks_the_newer_full() {
    let mut facts = two_chains();
    let newest = facts.history.archives.len() - 1;
    let chain = facts.history.archives[newest].chain;
    for archive in &mut facts.history.archives {
        if archive.chain == chain {
            archive.verification = Verification::Unverified;
        }
    }
    // A store that lists what it has now has shown it, or it is damaged: there is nothing to wait for.
    assert!(plan_prune(&facts).unwrap().chains.is_empty());
    facts.listed_as_of = ListedAsOf::Inventory(Some(days_ago(1)));
    let plan = plan_prune(&facts).unwrap();
    assert!(!plan.acts());
    let [line] = &plan.chains[..] else {
        panic!("{plan:?}");
    };
    assert_eq!(line.fate, ChainFate::Keep);
    assert!(
        line.reason.contains("is not in the vault's inventory of"),
        "{}",
        line.reason
    );
    for archive in &mut facts.history.archives {
        archive.verification = Verification::Verified;
    }
    assert!(plan_prune(&facts).unwrap().acts());
}

/// An expired chain of two, and a newer chain that is visible.
fn two_chains() -> PruneFacts {
    source(&[&["2026-05-07", "2026-07-21"], &["2026-10-14", "2026-11-14"]])
}

/// The same after the old chain was retired, so many days ago.
fn retired_since(days: i64) -> PruneFacts {
    let mut facts = two_chains();
    let gone = facts.history.archives.drain(..2);
    facts.retired = gone
        .map(|archive| RetiredArchive {
            id: archive.id,
            chain: archive.chain,
            since: Some(days_ago(days)),
            retain_until: None,
            deletion: Deletion::NotBegun,
            objects: objects(archive.id),
        })
        .collect();
    for archive in &facts.retired {
        let was = InLedger::RetiredArchive(objects(archive.id));
        facts.strays.ledger.insert(archive.id, was);
    }
    facts
}

fn line(facts: &PruneFacts) -> ChainLine {
    let plan = plan_prune(facts).unwrap();
    assert_eq!(plan.strays, StrayPlan::default());
    let [line] = <[_; 1]>::try_from(plan.chains).unwrap_or_else(|lines| panic!("{lines:#?}"));
    line
}

#[test]
fn an_expired_chain_is_retired_as_a_whole_and_goes_after_the_time_of_grace() {
    let facts = two_chains();
    let line = line(&facts);
    let deletes_from = now() + TimeDelta::days(7);
    assert_eq!(line.fate, ChainFate::Retire { deletes_from });
    assert_eq!(line.deletes_from(now()), Some(deletes_from));
    let ids: Vec<_> = facts.history.archives[..2].iter().map(|it| it.id).collect();
    assert_eq!(line.archives, ids);
    assert_eq!((line.objects.len(), line.bytes()), (6, 600));
    assert_eq!(
        line.reason,
        "its newest archive is 123 days old, and the chain of 2026-10-14 is verified"
    );
    assert_eq!(plan_prune(&facts).unwrap().retires(), (1, 2));
}

#[test]
fn what_is_not_expired_has_no_line() {
    let mut facts = two_chains();
    facts.date = date("2026-10-18");
    assert_eq!(plan_prune(&facts), Ok(PrunePlan::default()));
}

#[test]
fn a_retired_chain_goes_once_its_time_of_grace_is_over_the_newest_archive_first() {
    assert_eq!(
        line(&retired_since(6)).fate,
        ChainFate::Wait {
            until: now() + TimeDelta::days(1)
        }
    );
    let facts = retired_since(7);
    let line = line(&facts);
    assert_eq!(line.fate, ChainFate::Delete);
    assert_eq!(line.reason, "retired 7 days ago");
    let order: Vec<&str> = line
        .objects
        .iter()
        .map(|object| object.key.trim_start_matches("home/archives/"))
        .map(|key| &key[..key.len().min(38)])
        .collect();
    assert_eq!(
        order,
        [
            "2026-07-21-incr-5f0c9a12d4e6b801/00000",
            "2026-07-21-incr-5f0c9a12d4e6b801/00000",
            "2026-07-21-incr-5f0c9a12d4e6b801/key.a",
            "2026-05-07-full-5f0c9a12d4e6b801/00000",
            "2026-05-07-full-5f0c9a12d4e6b801/00000",
            "2026-05-07-full-5f0c9a12d4e6b801/key.a",
        ]
    );
}

#[test]
fn the_time_of_grace_counts_from_the_last_entry_that_retired_the_chain() {
    let mut facts = retired_since(30);
    facts.retired[1].since = Some(days_ago(2));
    let until = now() + TimeDelta::days(5);
    assert_eq!(line(&facts).fate, ChainFate::Wait { until });
    facts.retired[1].since = None;
    let line = line(&facts);
    assert_eq!(
        (line.fate, line.reason.as_str()),
        (
            ChainFate::Keep,
            "retired; the store does not say since when"
        )
    );
}

#[test]
fn without_a_time_of_grace_a_chain_still_waits_for_its_entry() {
    let mut facts = retired_since(0);
    facts.strays.delete_after = TimeDelta::zero();
    assert_eq!(line(&facts).fate, ChainFate::Delete);
    facts.retired[0].since = Some(now() + TimeDelta::seconds(1));
    assert_eq!(line(&facts).fate, ChainFate::Keep);
}

#[test]
fn a_locked_chain_is_retained_until_the_last_of_its_locks_ends() {
    let mut facts = retired_since(30);
    let until = now() + TimeDelta::days(3);
    facts.retired[0].retain_until = Some(until);
    assert_eq!(line(&facts).fate, ChainFate::Retained { until });
    facts.retired[0].retain_until = Some(now());
    assert_eq!(line(&facts).fate, ChainFate::Delete);
}

#[test]
fn what_somebody_else_retired_too_early_stays() {
    let mut facts = retired_since(30);
    let here = |facts: &PruneFacts| {
        let line = line(facts);
        (line.fate, line.reason)
    };
    let kept = (
        ChainFate::Keep,
        "retired, but not expired by the schedule of this machine".to_owned(),
    );
    facts.schedule.expire_after_days = 200;
    assert_eq!(here(&facts), kept);
    // There is no other chain that could replace it.
    let mut facts = retired_since(30);
    facts.history.archives[0].condition = Condition::Damaged;
    assert_eq!(here(&facts), kept);
    // The newest chain was retired, and an older one is left.
    let mut facts = retired_since(30);
    facts.history = history(&[&["2026-01-07"]]);
    let old = facts.history.archives[0].id;
    facts.strays.ledger = BTreeMap::from([(old, InLedger::Visible(objects(old)))]);
    facts.strays.listed.insert(old, listing(old));
    let fates: Vec<_> = plan_prune(&facts).unwrap().chains;
    assert!(fates.iter().all(|line| line.fate == ChainFate::Keep));
}

#[test]
fn a_chain_that_was_retired_in_part_stays() {
    let mut facts = retired_since(30);
    let full = facts.retired.remove(0);
    facts
        .strays
        .ledger
        .insert(full.id, InLedger::Visible(full.objects));
    let back = two_chains().history.archives.remove(0);
    facts.history.archives.insert(0, back);
    // By default the visible part would have expired as well, and would be retired now.
    facts.schedule.expire_after_days = 200;
    let plan = plan_prune(&facts).unwrap();
    assert_eq!(plan.chains[0].fate, ChainFate::Keep);
    assert_eq!(
        plan.chains[0].reason,
        "only a part of it is retired, and a chain is deleted only as a whole"
    );
}

#[test]
fn of_a_chain_that_is_gone_nothing_is_said_and_what_is_left_of_one_goes() {
    let mut facts = retired_since(30);
    let (full, incremental) = (facts.retired[0].id, facts.retired[1].id);
    facts.strays.listed.remove(&incremental);
    let left = facts.strays.listed.get_mut(&full).unwrap();
    left.retain(|object| object.key.ends_with("key.age"));
    let line = line(&facts);
    assert_eq!((line.fate, line.objects.len()), (ChainFate::Delete, 1));
    facts.strays.listed.remove(&full);
    // A listing does not show versions that a delete marker hides either, so one run looks for them.
    let hidden = self::line(&facts);
    assert_eq!((hidden.fate, hidden.objects.len()), (ChainFate::Delete, 0));
    for archive in &mut facts.retired {
        archive.deletion = Deletion::Begun;
    }
    assert_eq!(plan_prune(&facts), Ok(PrunePlan::default()));
}

#[test]
fn while_a_clock_can_not_be_relied_on_nothing_is_retired_or_deleted() {
    for mut facts in [two_chains(), retired_since(30)] {
        let held = |facts: &PruneFacts, why: &str| {
            let line = line(facts);
            assert_eq!((line.fate, line.reason.as_str()), (ChainFate::Keep, why));
        };
        facts.strays.system_now = now() - TimeDelta::hours(25);
        held(&facts, "the system's clock and the store's are 1 day apart");
        facts.strays.system_now = now();
        facts.strays.newest_archive = Some(days_ago(36));
        held(
            &facts,
            "the newest archive is more than 35 days old by the store's clock",
        );
        facts.strays.newest_archive = Some(days_ago(1));
        facts.date = date("2026-12-25");
        let plan = plan_prune(&facts).unwrap();
        assert!(
            plan.chains.iter().all(|line| line.fate == ChainFate::Keep),
            "{plan:#?}"
        );
    }
}

#[test]
fn a_key_without_the_role_retires_nothing_and_deletes_only_what_a_pruner_has_begun_to() {
    let mut facts = two_chains();
    facts.strays.may_retire = MayRetire::No;
    let line_of = line(&facts);
    assert_eq!(line_of.fate, ChainFate::Keep);
    assert!(
        line_of
            .reason
            .ends_with("this machine's key may not retire it")
    );
    let mut facts = retired_since(7);
    facts.strays.may_retire = MayRetire::No;
    let kept = line(&facts);
    assert_eq!(kept.fate, ChainFate::Keep);
    assert!(kept.reason.ends_with("may not begin to delete it"));
    for archive in &mut facts.retired {
        archive.deletion = Deletion::Begun;
    }
    assert_eq!(line(&facts).fate, ChainFate::Delete);
}

#[test]
fn a_listing_without_all_of_a_visible_archive_decides_nothing() {
    for facts in [two_chains(), retired_since(30)] {
        let newest = facts.history.archives.last().unwrap().id;
        let mut cut = facts.clone();
        cut.strays.listed.get_mut(&newest).unwrap().remove(1);
        assert_eq!(plan_prune(&cut).unwrap_err().archive, newest);
        let mut empty = facts;
        empty.strays.listed.clear();
        plan_prune(&empty).unwrap_err();
    }
}

proptest! {
    /// No matter who retired what, and what the clocks say: the newest restorable chain is never retired if
    /// it is visible, and only whole retired chains are deleted that are expired here and had their time of
    /// grace.
    #[test]
    fn only_what_is_expired_and_stood_its_time_of_grace_is_deleted(
        chains in proptest::collection::vec((1_u32..60, 1_usize..4, any::<bool>(), 0_i64..20), 1..6),
        day in 0_i64..400,
        skew in 0_i64..40,
        expire in 1_u32..120,
    ) {
        let mut dates = Vec::new();
        let mut at = date("2026-01-01");
        for (gap, archives, ..) in &chains {
            at += TimeDelta::days(i64::from(*gap));
            let mut chain = Vec::new();
            for _ in 0..*archives {
                chain.push(at.to_string());
                at += TimeDelta::days(7);
            }
            dates.push(chain);
        }
        let words: Vec<Vec<&str>> = dates.iter().map(|c| c.iter().map(String::as_str).collect()).collect();
        let words: Vec<&[&str]> = words.iter().map(Vec::as_slice).collect();
        let mut facts = source(&words);
        facts.date = date("2026-01-01") + TimeDelta::days(day);
        facts.schedule.expire_after_days = expire;
        facts.strays.system_now = now() + TimeDelta::hours(skew);
        let ids: Vec<ArchiveId> = facts.history.chains().iter().map(|chain| chain.id).collect();
        for (id, (.., is_retired, since)) in ids.iter().zip(&chains) {
            if !is_retired {
                continue;
            }
            let gone: Vec<_> = facts.history.archives.iter().filter(|it| it.chain == *id).cloned().collect();
            facts.history.archives.retain(|it| it.chain != *id);
            for archive in gone {
                facts.strays.ledger.insert(archive.id, InLedger::RetiredArchive(objects(archive.id)));
                facts.retired.push(RetiredArchive {
                    id: archive.id,
                    chain: *id,
                    since: Some(days_ago(*since)),
                    retain_until: None,
                    deletion: Deletion::NotBegun,
                    objects: objects(archive.id),
                });
            }
        }
        let plan = plan_prune(&facts).unwrap();
        let newest = facts.history.chains().last().map(|chain| chain.id);
        for line in &plan.chains {
            let of_chain = |id: &ArchiveId| facts.retired.iter().any(|it| it.id == *id);
            match line.fate {
                ChainFate::Retire { .. } => {
                    prop_assert!(skew <= 24);
                    prop_assert!(Some(line.chain) != newest);
                    prop_assert!(line.archives.iter().all(|id| !of_chain(id)));
                }
                ChainFate::Delete => {
                    prop_assert!(skew <= 24);
                    prop_assert!(line.archives.iter().all(of_chain));
                    let last = line.archives.last().unwrap().date;
                    prop_assert!((facts.date - last).num_days() >= i64::from(expire));
                    prop_assert!(newest.is_some_and(|newest| newest > line.chain));
                    for archive in facts.retired.iter().filter(|it| it.chain == line.chain) {
                        prop_assert!(archive.since.unwrap() <= days_ago(7));
                    }
                }
                ChainFate::Wait { .. } | ChainFate::Retained { .. } | ChainFate::Keep => {}
            }
        }
        prop_assert!(plan.strays.with(Fate::Remove).next().is_none());
    }
}
