//! Retrieval jobs: found again, never doubled, and their output read through cuts.

use std::collections::BTreeSet;

use chrono::TimeDelta;
use coldchain::model::{StorageClass, Tier};
use coldchain::store::{
    ErrorKind, JobRequest, OutputRequest, Readability, Store, ThawAnswer, ThawRequest,
    VaultJobKind, VaultSettings,
};

use crate::common::vault::{OwnVault, id};
use crate::common::vault_server::{
    Config, Fault, FaultKind, Job, JobKind, Operation, Tier as ServerTier, VAULT,
};

const CLASS: StorageClass = StorageClass::Vault;

fn request(tier: Tier) -> ThawRequest {
    ThawRequest { tier, days: 1 }
}

fn bytes(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at % 253).to_le_bytes()[0]).collect()
}

/// Plants that many jobs of others.
fn plant_jobs(vault: &OwnVault, count: usize) {
    let now = vault.now();
    vault.server.change(|state| {
        for at in 0..count {
            let id = state.new_id(92);
            state.vault(VAULT).jobs.push(Job {
                id,
                kind: JobKind::Archive {
                    archive: format!("other-{at}"),
                    range: (0, 4),
                    body: b"other".to_vec(),
                },
                description: None,
                tier: ServerTier::Bulk,
                created: now,
                completes: now + TimeDelta::hours(12),
                fails: at % 3 == 0,
                expires: now + TimeDelta::hours(36),
            });
        }
    });
}

#[test]
fn a_job_is_found_on_the_last_of_many_pages() {
    let vault = OwnVault::new();
    let store = vault.store();
    let at = vault.put(&store, 0, b"segment");
    plant_jobs(&vault, 2_500);
    assert_eq!(
        store.thaw(&at, request(Tier::Bulk)).unwrap(),
        ThawAnswer::Accepted
    );
    vault.hours(1);
    // A process that knows nothing of it.
    let other = vault.store();
    assert_eq!(
        other.thaw(&at, request(Tier::Bulk)).unwrap(),
        ThawAnswer::Running
    );
    let before = vault.server.count(Operation::ListJobs);
    assert_eq!(other.readability(&at).unwrap(), Readability::Thawing(CLASS));
    assert_eq!(
        vault.server.count(Operation::ListJobs),
        before,
        "one list answers"
    );
    assert_eq!(other.readability(&at).unwrap(), Readability::Thawing(CLASS));
    let pages = 2_501_usize.div_ceil(50);
    assert_eq!(vault.server.count(Operation::ListJobs), before + pages);
    vault.hours(12);
    assert_eq!(other.get(&at, 99).unwrap(), b"segment");
}

#[test]
fn one_list_answers_for_all_archives() {
    let vault = OwnVault::new();
    let store = vault.store();
    let all: Vec<_> = (0..100)
        .map(|at| vault.put(&store, at, b"segment"))
        .collect();
    for at in &all {
        assert_eq!(store.readability(at).unwrap(), Readability::Cold(CLASS));
    }
    for at in &all {
        assert_eq!(
            store.thaw(at, request(Tier::Bulk)).unwrap(),
            ThawAnswer::Accepted
        );
    }
    assert_eq!(vault.server.count(Operation::ListJobs), 1);
    vault.hours(12);
    for at in &all {
        let readable = store.readability(at).unwrap();
        assert!(matches!(readable, Readability::Until(..)), "{readable:?}");
    }
    // Two pages, once.
    assert_eq!(vault.server.count(Operation::ListJobs), 3);
    let archives: BTreeSet<String> = all.iter().map(id).collect();
    let started = vault.server.jobs();
    assert_eq!((started.len(), archives.len()), (100, 100));
}

#[test]
fn no_second_job_is_started_after_a_lost_answer() {
    for what in [
        FaultKind::ResetAfter,
        FaultKind::StatusAfter(500),
        FaultKind::WithoutHeader("x-amz-job-id"),
    ] {
        let vault = OwnVault::new();
        let store = vault.store();
        let at = vault.put(&store, 0, b"segment");
        vault
            .server
            .fail(Fault::on(Operation::InitiateJob, what.clone()));
        let answer = store.thaw(&at, request(Tier::Standard)).unwrap();
        assert_eq!(answer, ThawAnswer::Running, "{what:?}");
        assert_eq!(vault.server.jobs().len(), 1, "{what:?}");
        assert_eq!(store.readability(&at).unwrap(), Readability::Thawing(CLASS));
    }
}

#[test]
fn two_threads_start_one_job() {
    let vault = OwnVault::new();
    let store = vault.store();
    let at = vault.put(&store, 0, b"segment");
    let answers: Vec<ThawAnswer> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| store.thaw(&at, request(Tier::Bulk)).unwrap()))
            .collect();
        threads.into_iter().map(|it| it.join().unwrap()).collect()
    });
    let accepted = answers.iter().filter(|it| **it == ThawAnswer::Accepted);
    assert_eq!(accepted.count(), 1, "{answers:?}");
    assert_eq!(vault.server.jobs().len(), 1);
}

#[test]
fn a_failed_job_is_started_again() {
    let vault = OwnVault::new();
    let store = vault.store();
    let at = vault.put(&store, 0, b"segment");
    store.thaw(&at, request(Tier::Bulk)).unwrap();
    vault
        .server
        .change(|state| state.vault(VAULT).jobs[0].fails = true);
    vault.hours(13);
    let store = vault.store();
    assert_eq!(store.readability(&at).unwrap(), Readability::Cold(CLASS));
    assert_eq!(
        store.thaw(&at, request(Tier::Bulk)).unwrap(),
        ThawAnswer::Accepted
    );
    vault.hours(12);
    assert_eq!(store.get(&at, 99).unwrap(), b"segment");
}

#[test]
fn a_job_of_a_part_is_none_of_the_archive() {
    let vault = OwnVault::new();
    let store = vault.store();
    let body = bytes((3 << 20) + 5);
    let at = vault.put(&store, 0, &body);
    let part = JobRequest::Archive {
        archive: id(&at),
        range: Some((1 << 20, (2 << 20) - 1)),
        tier: Tier::Bulk,
    };
    store.client().start("a part", &part).unwrap();
    vault.hours(12);
    assert_eq!(store.readability(&at).unwrap(), Readability::Cold(CLASS));
    assert_eq!(store.get(&at, 9 << 20).unwrap_err().kind, ErrorKind::Cold);
    // It gives the part.
    let jobs = store.client().jobs("jobs").unwrap();
    let [job] = &jobs[..] else { panic!("{jobs:?}") };
    assert!(part.is_met_by(job));
    assert!(matches!(
        &job.kind,
        VaultJobKind::Archive { range: Some(_), .. }
    ));
    let mut read = Vec::new();
    let output = OutputRequest {
        subject: "a part",
        job: &job.id,
        part: None,
        tree_hash: job.tree_hash,
        max_bytes: 1 << 20,
    };
    assert_eq!(store.client().output(&output, &mut read).unwrap(), 1 << 20);
    assert_eq!(read, body[1 << 20..2 << 20]);
}

#[test]
fn policies_and_capacity_refuse_a_tier() {
    let vault = OwnVault::start(Config {
        no_expedited: true,
        retrieval_strategy: "BytesPerHour",
        bytes_per_hour: 3,
        ..Config::default()
    });
    let store = vault.store();
    let at = vault.put(&store, 0, b"segment");
    let refused = store.thaw(&at, request(Tier::Expedited)).unwrap_err();
    assert_eq!(refused.kind, ErrorKind::NoCapacity, "{refused}");
    let denied = store.thaw(&at, request(Tier::Standard)).unwrap_err();
    assert_eq!(denied.kind, ErrorKind::Denied, "{denied}");
    assert!(denied.hint().unwrap().contains("bulk"), "{denied}");
    assert_eq!(vault.server.count(Operation::InitiateJob), 2);
    assert_eq!(
        store.thaw(&at, request(Tier::Bulk)).unwrap(),
        ThawAnswer::Accepted
    );
}

#[test]
fn an_output_that_is_cut_again_and_again_is_read_to_its_end() {
    const CUT: usize = 64 << 10;
    let vault = OwnVault::new();
    let store = vault.store();
    let body = bytes((2 << 20) + 12_345);
    let at = vault.put(&store, 0, &body);
    store.thaw(&at, request(Tier::Expedited)).unwrap();
    vault.hours(1);
    vault
        .server
        .fail(Fault::on(Operation::Output, FaultKind::CutAt(CUT)).always());
    assert_eq!(store.get(&at, 9 << 20).unwrap(), body);
    let cuts = vault.server.count(Operation::Output);
    assert_eq!(cuts, body.len().div_ceil(CUT));
    let ranges: Vec<_> = vault
        .server
        .requests()
        .into_iter()
        .filter(|request| request.operation == Operation::Output)
        .map(|request| request.range)
        .collect();
    let last = body.len() - 1;
    for (at, range) in ranges.iter().enumerate() {
        let expected = (at > 0).then(|| format!("bytes={}-{last}", at * CUT));
        assert_eq!(*range, expected);
    }
    let read = store.get_range(&at, 5, 300_000).unwrap();
    assert_eq!(read, body[5..300_005]);
}

#[test]
fn an_output_that_is_not_what_was_stored_is_read_again_and_refused_in_the_end() {
    let vault = OwnVault::new();
    let store = vault.store();
    let body = bytes((1 << 20) + 5);
    let at = vault.put(&store, 0, &body);
    store.thaw(&at, request(Tier::Expedited)).unwrap();
    vault.hours(1);
    for what in [
        FaultKind::FlippedByte,
        FaultKind::ShortAnswer(70_000),
        FaultKind::WrongTreeHash,
        FaultKind::Header("Content-Range", "bytes 7-9/10".to_owned()),
    ] {
        vault
            .server
            .fail(Fault::on(Operation::Output, what.clone()));
        let read = store.get(&at, 9 << 20);
        assert!(read.is_ok_and(|read| read == body), "{what:?}");
    }
    assert_eq!(vault.server.faults_struck(), 4);
    for what in [FaultKind::FlippedByte, FaultKind::ShortAnswer(70_000)] {
        vault.server.clear_faults();
        vault
            .server
            .fail(Fault::on(Operation::Output, what.clone()).always());
        let error = store.get(&at, 9 << 20).unwrap_err();
        let expected = [ErrorKind::Corrupted, ErrorKind::Unavailable];
        assert!(expected.contains(&error.kind), "{what:?}: {error}");
    }
}

#[test]
fn an_output_that_is_gone_is_cold_and_a_newer_one_is_found() {
    let vault = OwnVault::new();
    let store = vault.store();
    let at = vault.put(&store, 0, b"segment");
    store.thaw(&at, request(Tier::Expedited)).unwrap();
    vault.hours(1);
    assert_eq!(store.get(&at, 99).unwrap(), b"segment");
    vault.server.change(|state| state.vault(VAULT).jobs.clear());
    let error = store.get(&at, 99).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Cold, "{error}");
    // Another machine has started one meanwhile.
    let other = vault.store();
    assert_eq!(
        other.thaw(&at, request(Tier::Expedited)).unwrap(),
        ThawAnswer::Accepted
    );
    vault.hours(1);
    assert_eq!(store.get(&at, 99).unwrap(), b"segment");
}

#[test]
fn a_list_of_jobs_always_ends() {
    let vault = OwnVault::new();
    let store = vault.open(VaultSettings {
        listing_bytes: 1 << 20,
        ..vault.settings()
    });
    let at = vault.put(&store, 0, b"segment");
    for (what, expected) in [
        (FaultKind::EndlessPages, ErrorKind::TooMany),
        (FaultKind::CircleOfPages, ErrorKind::Endless),
        (FaultKind::EmptyPages, ErrorKind::Endless),
        (FaultKind::Endless, ErrorKind::Endless),
    ] {
        vault.server.clear_faults();
        vault
            .server
            .fail(Fault::on(Operation::ListJobs, what.clone()).always());
        let error = store.readability(&at).unwrap_err();
        assert_eq!(error.kind, expected, "{what:?}: {error}");
        let error = store.thaw(&at, request(Tier::Bulk)).unwrap_err();
        assert_eq!(error.kind, expected, "{what:?}: {error}");
    }
    assert_eq!(vault.server.count(Operation::InitiateJob), 0);
}
