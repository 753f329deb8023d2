//! What users of other clients of Glacier have reported, tried on the real program over HTTP.

use std::fs;

use chrono::{TimeDelta, Utc};

use super::face::Owner;
use crate::common::machine::Run;
use crate::common::vault_server::{
    Config, Fault, FaultKind, JobKind, JobStatus, Operation, VaultServer,
};

const FULL: &str = "2024-01-01";
const NEXT: &str = "2024-01-08";

fn owner() -> Owner {
    Owner::new(VaultServer::new())
}

/// Lets so many hours pass for the vault.
fn hours(owner: &Owner, hours: i64) {
    owner.server.clock().advance(TimeDelta::hours(hours));
}

fn ends(run: &Run, code: i32, words: &[&str]) {
    assert_eq!(run.code, Some(code), "{run:?}");
    let said = format!("{}{}", run.stdout, run.stderr);
    for word in words {
        assert!(said.contains(word), "{word:?}: {run:?}");
    }
}

/// What Glacier says of a signature that reaches it too late.
fn expired() -> FaultKind {
    FaultKind::Refusal(
        403,
        "InvalidSignatureException",
        "Signature expired: 20121108T030749Z is now earlier than 20121108T031304Z (20121108T031804Z - 5 min.)",
    )
}

#[test]
fn an_upload_that_took_longer_than_its_signature_is_valid_is_signed_and_sent_again() {
    let owner = owner();
    owner.server.fail(Fault::on(Operation::Upload, expired()));
    owner.archive(FULL);
    assert_eq!(owner.server.faults_struck(), 1);
    assert_eq!(owner.server.archives().len(), 1);
    // Where that happens each time, the line is too slow, and the clock is right.
    owner
        .server
        .fail(Fault::on(Operation::Upload, expired()).always());
    let run = owner.try_to_archive(NEXT, Some(FULL));
    ends(
        &run,
        1,
        &["set a smaller `segment_size`, or fewer `uploads`"],
    );
    assert!(!run.stderr.contains("too far apart"), "{run:?}");
    owner.server.clear_faults();
    owner.archive_on(NEXT, FULL);
    assert_eq!(owner.server.archives().len(), 2);
}

#[test]
fn a_clock_that_is_an_hour_off_is_said_and_is_no_slow_line() {
    let owner = Owner::new(VaultServer::start(Config {
        check_skew: true,
        ..Config::default()
    }));
    hours(&owner, 1);
    let apart = "this machine's clock and the store's are too far apart";
    // After the first answer the requests are signed by the service's clock.
    let archived = owner.try_to_archive(FULL, None);
    ends(&archived, 0, &[apart]);
    assert_eq!(owner.server.archives().len(), 1);
    let thawed = owner.run("thaw home --yes");
    ends(&thawed, 1, &[apart, "set this machine's clock"]);
    for run in [archived, thawed] {
        assert!(!run.stderr.contains("segment_size"), "{run:?}");
    }
    assert!(owner.server.jobs().is_empty());
}

#[test]
fn an_arn_in_place_of_the_vaults_name_is_refused_with_what_belongs_there() {
    let owner = owner();
    let path = owner.machine.path("config.toml");
    let text = fs::read_to_string(&path).unwrap();
    let arn = "arn:aws:glacier:us-east-1:111122223333:vaults/archives";
    let text = text.replace("vault = \"archives\"", &format!("vault = \"{arn}\""));
    fs::write(&path, text).unwrap();
    let run = owner.run("doctor");
    ends(
        &run,
        2,
        &["`store.deep.vault` must be a vault's name", "archives"],
    );
    assert_eq!(owner.server.requests(), []);
}

#[test]
fn on_the_first_day_there_is_no_inventory_and_every_command_says_so_and_goes_on() {
    let owner = owner();
    owner.archive(FULL);
    let verified = owner.run("verify home");
    ends(&verified, 0, &["no inventory"]);
    ends(&owner.run("prune home --dry-run"), 0, &[]);
    owner.archive_on(NEXT, FULL);
    let listed = owner.run("list");
    ends(
        &listed,
        0,
        &["2 archives are not in the vault's inventory yet"],
    );
    assert_eq!(owner.server.count(Operation::InitiateJob), 0);
}

/// Lets the vault make an inventory, and the machine read it.
fn read_inventory(owner: &Owner) -> Run {
    hours(owner, 72);
    owner.run("verify home");
    hours(owner, 5);
    owner.run("verify home")
}

/// Another tool deletes everything in the vault.
fn purge(owner: &Owner) {
    let now = owner.server.clock().now();
    owner.server.change(|state| {
        for archive in &mut state.vault("archives").archives {
            archive.deleted = Some(now);
        }
    });
}

#[test]
fn what_another_tool_has_purged_is_named_and_no_archive_builds_on_it() {
    let owner = owner();
    owner.archive(FULL);
    ends(&read_inventory(&owner), 0, &[]);
    purge(&owner);
    // No inventory tells yet: the vault itself does, when it is asked to bring it back.
    let thawed = owner.run("thaw home --yes --tier bulk");
    ends(
        &thawed,
        6,
        &["segment 0 of 2024-01-01-full-", "it is missing"],
    );
    let again = read_inventory(&owner);
    ends(&again, 6, &[FULL]);
    let listed = owner.run("list");
    ends(&listed, 0, &["damaged"]);
    let incremental = owner.try_to_archive(NEXT, Some(FULL));
    ends(&incremental, 1, &["c\n", "nothing was committed"]);
    owner.archive(NEXT);
    ends(&read_inventory(&owner), 6, &[FULL]);
    assert_eq!(owner.server.archives().len(), 1);
}

#[test]
fn a_retrieval_that_another_program_has_started_is_waited_for_and_none_is_started() {
    let owner = owner();
    owner.archive(FULL);
    let now = owner.server.clock().now();
    owner.server.change(|state| {
        let archive = state.vault("archives").archives[0].clone();
        let id = state.new_id(92);
        let last = archive.body.len() as u64 - 1;
        state
            .vault("archives")
            .jobs
            .push(crate::common::vault_server::Job {
                id,
                kind: JobKind::Archive {
                    archive: archive.id,
                    range: (0, last),
                    body: archive.body,
                },
                description: Some("fetched by hand".to_owned()),
                tier: crate::common::vault_server::Tier::Standard,
                created: now,
                completes: now + TimeDelta::hours(5),
                fails: false,
                expires: now + TimeDelta::hours(29),
            });
    });
    ends(&owner.run("thaw home --yes"), 5, &[]);
    hours(&owner, 6);
    ends(&owner.run("thaw home --yes"), 0, &[]);
    let checked = owner.run("verify home --deep --identity $T/kit");
    ends(&checked, 0, &[]);
    // At some hours of the day a new inventory is due meanwhile.
    let retrievals = owner.server.change(|state| {
        let jobs = state.vault("archives").jobs.iter();
        jobs.filter(|job| matches!(job.kind, JobKind::Archive { .. }))
            .count()
    });
    assert_eq!(retrievals, 1, "that of the other program");
}

#[test]
fn a_retrieval_that_fails_is_said_and_asked_for_again() {
    let owner = owner();
    owner.archive(FULL);
    ends(&owner.run("thaw home --yes"), 5, &[]);
    owner.server.change(|state| {
        let jobs = &mut state.vault("archives").jobs;
        for job in jobs {
            job.fails = true;
        }
    });
    hours(&owner, 6);
    let now = owner.server.clock().now();
    assert!(
        owner
            .server
            .jobs()
            .iter()
            .all(|job| job.status(now) == JobStatus::Failed)
    );
    ends(&owner.run("thaw home --status"), 5, &[]);
    ends(&owner.run("thaw home --yes"), 5, &[]);
    assert_eq!(owner.server.jobs().len(), 2);
    hours(&owner, 6);
    ends(&owner.run("thaw home --yes"), 0, &[]);
    assert!(Utc::now() < owner.server.clock().now());
}

#[test]
fn an_archive_that_the_vault_has_lost_keeps_no_other_from_leaving_it() {
    let owner = owner();
    let path = owner.machine.path("config.toml");
    let text = fs::read_to_string(&path).unwrap();
    let schedule = "\n[schedule]\nmax_incrementals = 1\n";
    fs::write(&path, format!("{text}{schedule}")).unwrap();
    fs::create_dir_all(owner.machine.path("shelf")).unwrap();
    owner.archive(FULL);
    owner.archive_on(NEXT, FULL);
    owner.archive("2024-01-20");
    // Another tool deletes the full of the first chain.
    let now = owner.server.clock().now();
    owner.server.change(|state| {
        state.vault("archives").archives[0].deleted = Some(now);
    });
    let copy = || owner.run("copy home --to shelf --yes");
    ends(
        &copy(),
        6,
        &["segment 0 of 2024-01-01-full-", "it is missing"],
    );
    hours(&owner, 13);
    ends(
        &copy(),
        6,
        &["segment 0 of 2024-01-01-full-", "it is missing"],
    );
    let restored = owner.run(
        "restore home --place shelf --from store --date 2024-01-20 --yes --stream $T/stream --identity $T/kit",
    );
    ends(&restored, 0, &[]);
    // Requests go out beside each other, so what builds on the lost one may be among them, once.
    let retrievals = || {
        let jobs = owner.server.jobs().into_iter();
        jobs.filter(|job| matches!(job.kind, JobKind::Archive { .. }))
            .count()
    };
    assert!(retrievals() <= 2, "{}", retrievals());
    // An inventory is made after a day with something new.
    hours(&owner, 72);
    owner.server.plant("a file of another program", b"theirs");
    // Once a check has noted the loss, the copy leaves that chain out, and asks for nothing of it.
    ends(&read_inventory(&owner), 6, &[FULL]);
    assert_eq!(retrievals(), 0, "they are over");
    ends(&copy(), 6, &["2024-01-01-full-"]);
    assert_eq!(retrievals(), 0);
}

#[test]
fn another_vaults_name_in_the_config_is_noticed_before_anything_is_stored_or_deleted() {
    let owner = owner();
    owner.archive(FULL);
    ends(&read_inventory(&owner), 0, &[]);
    let now = owner.server.clock().now();
    owner.server.change(|state| state.create("other", now));
    let path = owner.machine.path("config.toml");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(
        &path,
        text.replace("vault = \"archives\"", "vault = \"other\""),
    )
    .unwrap();
    let behind = "the config now says `home` in glacier-vault://us-east-1/other";
    for run in [
        owner.try_to_archive(NEXT, Some(FULL)),
        owner.try_to_archive(NEXT, None),
        owner.run("prune home"),
        owner.run("copy home --to shelf --yes"),
    ] {
        ends(&run, 2, &[behind, "set `archive_as` and `store` back"]);
    }
    // What reads finds nothing there, and notes no damage.
    ends(
        &owner.run("verify home"),
        0,
        &["the vault has no inventory yet"],
    );
    ends(&owner.run("thaw home --yes"), 6, &["it is missing"]);
    fs::write(&path, text).unwrap();
    ends(&owner.run("thaw home --yes"), 5, &[]);
    let listed = owner.run("list");
    assert!(!listed.stdout.contains("damaged"), "{listed:?}");
    let others = owner
        .server
        .change(|state| state.vault("other").archives.len());
    assert_eq!((others, owner.server.archives().len()), (0, 1));
}
