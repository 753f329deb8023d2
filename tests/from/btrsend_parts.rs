//! A large archive of btrsend's comes out of the vault in parts, whatever happens between two requests.

use chrono::TimeDelta;
use coldchain::config::Config;
use coldchain::engine::{
    ImportRestore, KnownImport, RunContext, Spool, StateDir, drop_spooled, open_vault, ready_gpg,
    stream_import,
};
use coldchain::error::{Error, ExitCode, ImportError};
use coldchain::model::Tier;
use coldchain::progress::Quiet;

use crate::btrsend_vault::OldBtrsend;
use crate::common::rng::Rng;
use crate::common::stream_builder::StreamBuilder;
use crate::common::vault_server::{Fault, FaultKind, JobKind, Operation};

const MIB: u64 = 1 << 20;

/// A stream whose blob has four parts of a MiB.
fn large_stream() -> Vec<u8> {
    let mut rng = Rng::new(3);
    let begun = StreamBuilder::full(1).mkfile(b"a");
    (0..75_u64)
        .fold(begun, |stream, n| {
            stream.write(b"a", n * 48_000, &rng.bytes(48_000))
        })
        .finish()
}

/// A machine with one large archive that is imported, and its stream.
fn large() -> (OldBtrsend, Vec<u8>) {
    let old = OldBtrsend::fed();
    let stream = large_stream();
    let blob = old.blob(&stream);
    assert_eq!((blob.len() as u64).div_ceil(MIB), 4);
    old.store("2014-01-01", None, &blob);
    assert_eq!(old.import().code, Some(0));
    std::fs::create_dir(old.machine.path("spool")).unwrap();
    (old, stream)
}

/// Writes the stream out, in parts of a MiB, as a run of the program does.
fn streamed(old: &OldBtrsend) -> Result<Vec<u8>, Error> {
    let config = Config::load(&old.machine.path("config.toml"))?;
    let state_dir = StateDir::new(&config.state_dir);
    let mut catalog = state_dir.catalog()?;
    let name = "btrsend".parse().unwrap();
    let import = KnownImport::named(&name, &catalog)?;
    let row = import.archive(None)?.clone();
    let chain = import.alone(&row)?;
    let spool = Spool::open(&old.machine.path("spool"), &name)?;
    let gpg = ready_gpg(Some(&old.home()))?;
    let context = RunContext::real(&Quiet);
    let vault = open_vault(import.store(&config)?, context)?;
    let restore = ImportRestore {
        import: &import,
        chain: &chain,
        vault: vault.as_ref(),
        spool: &spool,
        gpg: &gpg,
        tier: Tier::Standard,
        part_bytes: MIB,
        state_dir: &state_dir,
        context,
    };
    let mut stream = Vec::new();
    stream_import(&restore, &row, &mut stream, &mut catalog)?;
    drop_spooled(&restore, &row)?;
    Ok(stream)
}

fn is_retrieving(outcome: &Result<Vec<u8>, Error>) -> bool {
    matches!(outcome, Err(Error::Import(ImportError::Retrieving { .. })))
}

#[test]
fn each_part_is_asked_for_once_and_fetched_once() {
    let (old, stream) = large();
    for _ in 0..2 {
        let outcome = streamed(&old);
        assert!(is_retrieving(&outcome), "{outcome:?}");
        let ranges = old.server.jobs().into_iter().map(|job| match job.kind {
            JobKind::Archive { range, .. } => range.0,
            JobKind::Inventory { .. } => panic!("nobody asked for an inventory"),
        });
        assert_eq!(ranges.collect::<Vec<u64>>(), [0, MIB, 2 * MIB, 3 * MIB]);
    }
    old.server.clock().advance(TimeDelta::hours(6));
    // Two parts come, and the next one is denied.
    old.server.fail(
        Fault::on(Operation::Output, FaultKind::Status(403))
            .skip(2)
            .always(),
    );
    assert!(streamed(&old).is_err());
    let fetched = old.server.count(Operation::Output);
    old.server.clear_faults();
    assert!(streamed(&old).unwrap() == stream);
    assert_eq!(old.server.count(Operation::Output), fetched + 2);
    assert_eq!(old.server.jobs().len(), 4);
    assert_eq!(old.states(), ["2014-01-01 proven"]);
}

#[test]
fn what_the_vault_has_dropped_is_asked_for_again() {
    let (old, stream) = large();
    assert!(is_retrieving(&streamed(&old)));
    old.server.clock().advance(TimeDelta::hours(40));
    // The jobs are not in the list any more.
    assert!(is_retrieving(&streamed(&old)));
    old.server.clock().advance(TimeDelta::hours(6));
    // The list names a job, and its output is gone before it is read.
    let gone = FaultKind::Refusal(404, "ResourceNotFoundException", "The job ID was not found");
    old.server.fail(Fault::on(Operation::Output, gone).skip(1));
    let asked = old.server.count(Operation::InitiateJob);
    assert!(is_retrieving(&streamed(&old)));
    assert_eq!(old.server.count(Operation::InitiateJob), asked + 1);
    old.server.clock().advance(TimeDelta::hours(6));
    assert!(streamed(&old).unwrap() == stream);
}

#[test]
fn other_bytes_and_another_size_are_no_archive() {
    let (old, stream) = large();
    assert!(is_retrieving(&streamed(&old)));
    old.server.clock().advance(TimeDelta::hours(6));
    old.server
        .fail(Fault::on(Operation::Output, FaultKind::FlippedByte).always());
    assert!(streamed(&old).is_err());
    assert!(old.server.faults_struck() > 0);
    old.server.clear_faults();
    assert!(streamed(&old).unwrap() == stream);

    let (old, _) = large();
    old.sql("UPDATE btrsend SET size = 9");
    assert_eq!(old.import().code, Some(2));
    let forgotten = old.machine.run("forget --imported btrsend --yes");
    assert_eq!(forgotten.code, Some(0), "{forgotten:?}");
    assert_eq!(old.import().code, Some(0));
    assert!(is_retrieving(&streamed(&old)));
    old.server.clock().advance(TimeDelta::hours(6));
    let error = streamed(&old).unwrap_err();
    assert!(
        matches!(error, Error::Import(ImportError::OtherSize { .. })),
        "{error}"
    );
    assert_eq!(error.exit_code(), ExitCode::Integrity);
}

#[test]
fn a_run_that_ends_at_any_request_costs_no_second_job() {
    let (mut step, mut ended) = (0, false);
    let (old, stream) = large();
    while !ended {
        old.server.clear_faults();
        let struck = old.server.faults_struck();
        // The run ends there.
        old.server
            .fail(Fault::on_any(FaultKind::Refusal(403, "AccessDeniedException", "no")).skip(step));
        let outcome = streamed(&old);
        if old.server.faults_struck() == struck {
            match outcome {
                Ok(found) => {
                    assert!(found == stream);
                    ended = true;
                }
                Err(_) if is_retrieving(&outcome) => {
                    old.server.clock().advance(TimeDelta::hours(6));
                    step = 0;
                    continue;
                }
                Err(error) => panic!("{error}"),
            }
        } else {
            assert!(outcome.is_err(), "step {step}");
        }
        step += 1;
    }
    assert!(step > 3, "{step}");
    assert_eq!(old.server.jobs().len(), 4);
    assert_eq!(old.states(), ["2014-01-01 proven"]);
}
