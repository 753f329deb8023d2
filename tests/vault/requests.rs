//! Every request of a backup, of a restore, of a prune and of a copy out of the vault, struck by every fault of the
//! network and of the service: the next run makes it good, nothing is lost, nothing is paid for twice that is not found
//! and deleted.

use std::collections::{BTreeMap, BTreeSet};

use chrono::NaiveDate;
use coldchain::engine::Outcome;
use coldchain::error::Error;
use coldchain::store::{Readability, RetryPolicy, Store as _};

use crate::common::bucket::patience_without_stalls;
use crate::common::lab_served::ServedLab;
use crate::common::two_chains::{NEW, OLD, TODAY, date, dates, sent, stream_of};
use crate::common::vault_server::{Operation, VAULT};

/// A chain of two archives, of one segment each.
fn a_chain() -> ServedLab {
    let served = ServedLab::new();
    archive(&served, OLD);
    served
}

/// Both chains; the older one was retired 9 days ago, and the vault has a second upload of a segment of the newer one.
fn with_a_retired_chain() -> ServedLab {
    let mut served = a_chain();
    served.lab.config.sources[0].schedule.max_incrementals = 1;
    archive(&served, NEW);
    let newest = served.server.archives().pop().unwrap();
    served.server.plant(&newest.description, &newest.body);
    take_inventory(&served);
    let pruned = served
        .prune(date(TODAY), &patience_without_stalls())
        .unwrap();
    assert_eq!(pruned.plan.retires(), (1, 2));
    served.hours(9 * 24);
    served
}

fn archive(served: &ServedLab, [full, incremental]: [&str; 2]) {
    for (date, parent) in [(full, None), (incremental, Some(full))] {
        let stream = stream_of(date, parent);
        served
            .decide(date, &stream, &patience_without_stalls())
            .unwrap();
    }
}

/// Runs what a nightly run does until an inventory is read that shows all that is stored.
fn take_inventory(served: &ServedLab) {
    for hours in [36, 6] {
        served.hours(hours);
        served
            .prune(date("2026-01-08"), &patience_without_stalls())
            .unwrap();
    }
}

/// What was sent of these chains.
fn sent_of(chains: &[[&'static str; 2]]) -> BTreeMap<&'static str, Vec<u8>> {
    let mut sent = sent();
    sent.retain(|date, _| chains.as_flattened().contains(date));
    sent
}

/// The dates that are visible, each of them whole.
fn holds(served: &ServedLab, chains: &[[&'static str; 2]]) -> BTreeSet<NaiveDate> {
    let sent = sent_of(chains);
    served.holds(&sent.iter().map(|(date, it)| (*date, &it[..])).collect())
}

/// Panics unless prunes of later days leave exactly what entries name, and the foreign archives.
fn only_what_is_named_is_left(served: &ServedLab) {
    let foreign = served.server.plant("a file of another program", b"theirs");
    take_inventory(served);
    served.lab.all_are_verified();
    served.hours(8 * 24);
    for _ in 0..2 {
        served
            .prune(date("2026-01-08"), &patience_without_stalls())
            .unwrap();
    }
    let mut named = served.named();
    named.insert(foreign);
    assert_eq!(served.ids(), named);
}

/// Has the incremental of the old chain archived.
fn decide(served: &ServedLab, patience: &RetryPolicy) -> Result<Outcome, Error> {
    served.decide(OLD[1], &stream_of(OLD[1], Some(OLD[0])), patience)
}

fn an_archive_is_made(served: &ServedLab, done: Result<Outcome, Error>) {
    let visible = holds(served, &[OLD]);
    if let Ok(outcome) = done {
        assert!(matches!(outcome, Outcome::Archived { .. }), "{outcome:?}");
        assert_eq!(visible, dates(&[OLD]), "it reports success");
    }
    assert!(visible.contains(&date(OLD[0])), "the full is lost");
    let again = decide(served, &patience_without_stalls()).unwrap();
    assert!(
        matches!(
            again,
            Outcome::Archived { later: None, .. } | Outcome::NothingDue { .. }
        ),
        "{again:?}"
    );
    assert_eq!(holds(served, &[OLD]), dates(&[OLD]));
    served.lab.can_be_rebuilt();
    only_what_is_named_is_left(served);
    assert_eq!(holds(served, &[OLD]), dates(&[OLD]));
}

#[test]
fn no_fault_in_a_request_of_a_backup_loses_anything() {
    let served = ServedLab::new();
    let full = stream_of(OLD[0], None);
    served
        .decide(OLD[0], &full, &patience_without_stalls())
        .unwrap();
    // The service has an inventory, and a job for it is to be started.
    served.hours(36);
    served.strike_all(
        "a backup that asks for an inventory",
        decide,
        an_archive_is_made,
    );
    // The job is done.
    served
        .prune(date("2026-01-02"), &patience_without_stalls())
        .unwrap();
    assert_eq!(served.count(Operation::InitiateJob), 1);
    served.hours(6);
    served.strike_all(
        "a backup that reads an inventory",
        decide,
        an_archive_is_made,
    );
}

/// Panics unless each archive has one job, which is never asked for again, and whose output is what was sent.
fn is_restored_by_one_job_each(served: &ServedLab) {
    let status = served.thaw(&patience_without_stalls()).unwrap();
    let begun = |it: &Readability| matches!(it, Readability::Thawing(_) | Readability::Until(..));
    assert!(
        status
            .segments
            .iter()
            .all(|segment| begun(&segment.readability))
    );
    served.hours(6);
    let streams = served.streams(&patience_without_stalls()).unwrap();
    assert_eq!(streams, sent_of(&[OLD]).into_values().collect::<Vec<_>>());
    let jobs = served.server.jobs();
    assert_eq!(jobs.len(), 2, "a job is paid for twice");
}

#[test]
fn no_fault_in_a_request_of_a_restore_loses_anything_or_asks_twice() {
    let served = a_chain();
    let ids = served.ids();
    served.strike_all(
        "a restore that asks for jobs",
        ServedLab::thaw,
        |served, done| {
            if let Ok(status) = done {
                let cold = |it: &Readability| matches!(it, Readability::Cold(_));
                assert!(!status.segments.iter().any(|it| cold(&it.readability)));
            }
            is_restored_by_one_job_each(served);
            assert_eq!(served.ids(), ids);
        },
    );
    served.thaw(&patience_without_stalls()).unwrap();
    served.hours(6);
    served.strike_all(
        "a restore that reads outputs",
        ServedLab::streams,
        |served, done| {
            if let Ok(streams) = done {
                assert_eq!(streams, sent_of(&[OLD]).into_values().collect::<Vec<_>>());
            }
            is_restored_by_one_job_each(served);
            assert_eq!(served.ids(), ids);
        },
    );
}

#[test]
fn no_fault_in_a_request_of_a_prune_touches_anything_else() {
    let begin = with_a_retired_chain();
    let foreign = begin.server.plant("a file of another program", b"theirs");
    let mut kept = begin.named();
    kept.insert(foreign);
    assert_eq!(kept.len(), 3);
    assert_eq!(begin.ids().len(), 6, "two retired, and a second upload");
    let prune = |served: &ServedLab, patience: &RetryPolicy| served.prune(date(TODAY), patience);
    begin.strike_all("a prune of a vault", prune, |served, done| {
        assert!(served.ids().is_superset(&kept), "something else is deleted");
        assert_eq!(holds(served, &[OLD, NEW]), dates(&[NEW]));
        if done.is_ok() {
            assert_eq!(served.ids(), kept, "it reports success");
        }
        served
            .prune(date(TODAY), &patience_without_stalls())
            .unwrap();
        assert_eq!(served.ids(), kept);
        let objects = served.lab.store.list("home/archives/").unwrap();
        assert_eq!(
            objects.len(),
            4,
            "keys and contents of the chain that stands: {objects:?}"
        );
        served.lab.can_be_rebuilt();
        let again = served
            .prune(date(TODAY), &patience_without_stalls())
            .unwrap();
        assert!(!again.plan.acts(), "{:?}", again.plan);
    });
}

/// Panics unless the copy has what home has.
fn is_copied(served: &ServedLab) {
    let stored = |store: &coldchain::store::MemoryStore| -> BTreeMap<String, Vec<u8>> {
        let listed = store.list("").unwrap().into_iter();
        listed
            .map(|listed| {
                let bytes = store.get(&store.locate(&listed.key), u64::MAX).unwrap();
                (listed.key, bytes)
            })
            .collect()
    };
    let mut home = stored(&served.lab.store);
    for archive in served.server.archives() {
        let key = archive.description.split(' ').nth(3).unwrap().to_owned();
        home.insert(key, archive.body);
    }
    let mut copy = stored(&served.second);
    copy.remove("home/ledger/COPY").expect("it is marked");
    assert!(copy == home, "the copy is not home");
}

#[test]
fn no_fault_in_a_request_of_a_copy_out_of_a_vault_loses_anything_or_asks_twice() {
    let served = a_chain();
    let ids = served.ids();
    let ends_copied = |served: &ServedLab| {
        served.copy_out(&patience_without_stalls()).unwrap();
        served.hours(6);
        let ran = served.copy_out(&patience_without_stalls()).unwrap();
        assert_eq!((ran.has, ran.of), (2, 2));
        is_copied(served);
        assert_eq!(served.ids(), ids);
        let jobs = served.server.change(|state| state.vault(VAULT).jobs.len());
        assert_eq!(jobs, 2, "a job is paid for twice");
    };
    served.strike_all(
        "a copy that asks for jobs",
        ServedLab::copy_out,
        |served, done| {
            if let Ok(ran) = done {
                assert!(ran.awaited.is_some(), "nothing can be read yet");
            }
            ends_copied(served);
        },
    );
    served.copy_out(&patience_without_stalls()).unwrap();
    served.hours(6);
    served.strike_all(
        "a copy that reads outputs",
        ServedLab::copy_out,
        |served, done| {
            if let Ok(ran) = done {
                assert_eq!((ran.has, ran.of), (2, 2), "it reports success");
                is_copied(served);
            }
            ends_copied(served);
        },
    );
}
