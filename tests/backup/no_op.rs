//! Nights without an archive: a snapshot is taken all the same, and the store is left alone.

use std::fs;
use std::sync::{Arc, Mutex};

use chrono::{DateTime, Utc};
use coldchain::engine::{self, OpenStore, Outcome, RunContext};
use coldchain::error::{Error, ExitCode};
use coldchain::progress::{Event, Observer};
use coldchain::store::{
    Deleted, DirStore, ErrorKind, Finding, Listed, Locator, NewObject, Operation, Put, Readability,
    RecordingStore, Stat, Store, StoreError, Swept, ThawAnswer, ThawRequest,
};

use crate::common::loopfs::real_btrfs_available;
use crate::common::rng::Rng;
use crate::common::s3_server::{ENV, S3Server};
use crate::common::sandbox::{SOURCE, Sandbox, Setup, asked, error_of, which};
use crate::common::tree::{make_rich_tree, mutate_tree};

/// Keeps what it is told.
#[derive(Default)]
struct Events(Mutex<Vec<Event>>);

impl Observer for Events {
    fn event(&self, event: Event) {
        self.0.lock().unwrap().push(event);
    }
}

type Recorded = Arc<RecordingStore<DirStore>>;

/// A run with a record of what it asked the store.
fn recorded_backup(sandbox: &Sandbox, date: &str) -> (Outcome, Vec<Event>, Recorded) {
    let recorded = Arc::new(RecordingStore::new(
        DirStore::open(&sandbox.store()).unwrap(),
    ));
    let stores: &OpenStore<'_> = &|_, _| Ok(Box::new(Arc::clone(&recorded)));
    let events = Events::default();
    let context = RunContext {
        stores,
        ..RunContext::real(&events)
    };
    let config = sandbox.loaded_config();
    let outcome = engine::backup(&config, &config.sources[0], asked(date), context).unwrap();
    (outcome, events.0.into_inner().unwrap(), recorded)
}

fn with_tree() -> Sandbox {
    let sandbox = Sandbox::new();
    make_rich_tree(&sandbox.source(), &mut Rng::new(21));
    sandbox
}

#[test]
fn a_night_with_nothing_due_takes_its_snapshot_and_writes_nothing_to_the_store() {
    if !real_btrfs_available() {
        return;
    }
    let sandbox = with_tree();
    let (outcome, _, recorded) = recorded_backup(&sandbox, "2025-01-01");
    assert!(matches!(outcome, Outcome::Archived { .. }), "{outcome:?}");
    assert!(recorded.writes().len() >= 4, "the record is kept");

    let mut rng = Rng::new(22);
    for (date, expected) in [("2025-01-02", 1), ("2025-01-06", 1), ("2025-01-06", 0)] {
        mutate_tree(&sandbox.source(), &mut rng);
        let stored = sandbox.stored();
        let (outcome, events, recorded) = recorded_backup(&sandbox, date);
        let Outcome::NothingDue { reason } = outcome else {
            panic!("{date}: {outcome:?}");
        };
        assert!(reason.contains("2025-01-01"), "{reason}");
        let said = events.iter().any(|event| {
            matches!(event, Event::Planned { action: "none", reason: said, .. } if *said == reason)
        });
        assert!(said, "{events:?}");
        let snapshots = events
            .iter()
            .filter(|event| matches!(event, Event::Snapshot { .. }));
        assert_eq!(snapshots.count(), expected, "{date}");
        assert!(which(&sandbox.snapshot(date)).read_only);
        assert_eq!(recorded.writes(), [], "{date}");
        assert!(!recorded.calls().is_empty(), "it compares the ledger");
        assert_eq!(sandbox.stored(), stored, "{date}");
    }
    assert_eq!(sandbox.committed(), ["2025-01-01"]);
    assert_eq!(sandbox.archives("unfinished").len(), 0);
}

#[test]
fn a_night_with_nothing_due_costs_two_requests_at_most() {
    if !real_btrfs_available() {
        return;
    }
    let server = S3Server::new();
    let sandbox = Sandbox::with(&Setup {
        store: Some(&server.store_table("")),
        env: &ENV,
        ..Setup::default()
    });
    make_rich_tree(&sandbox.source(), &mut Rng::new(23));
    sandbox.backup("2025-01-01");
    for date in ["2025-01-02", "2025-01-03"] {
        server.forget_requests();
        let ran = sandbox.backup(date);
        assert!(ran.stdout.contains("nothing due"), "{ran:?}");
        let requests = server.requests();
        assert!((1..=2).contains(&requests.len()), "{requests:?}");
    }
}

#[test]
fn the_program_says_why_nothing_was_archived_and_exits_with_0() {
    if !real_btrfs_available() {
        return;
    }
    let sandbox = with_tree();
    sandbox.backup("2025-01-01");
    let stored = sandbox.stored();
    let said = sandbox.backup("2025-01-03");
    assert_eq!(
        said.stdout,
        "home: 2025-01-03: nothing due: the slot of 2025-01-01 was filled on 2025-01-01\n"
    );
    assert_eq!(said.stderr, "");
    let quiet = sandbox.run(["backup", "2025-01-04", "--quiet"]).ok();
    assert_eq!((quiet.stdout, quiet.stderr), (String::new(), String::new()));
    let events = sandbox
        .run(["backup", "2025-01-05", "--json"])
        .ok()
        .events();
    assert_eq!(events.len(), 3, "{events:?}");
    assert_eq!(events[0]["event"], "snapshot");
    assert_eq!(events[1]["action"], "none");
    assert_eq!(events[2]["sources"][0]["result"], "nothing-due");
    for date in ["2025-01-03", "2025-01-04", "2025-01-05"] {
        assert!(which(&sandbox.snapshot(date)).read_only);
    }
    assert_eq!(sandbox.stored(), stored);
}

#[test]
fn a_dry_run_makes_neither_a_snapshot_nor_an_archive() {
    if !real_btrfs_available() {
        return;
    }
    let sandbox = with_tree();
    let dry = sandbox.run(["backup", "2025-01-01", "--dry-run"]).ok();
    assert_eq!(
        dry.stdout,
        "2025-01-01  home  full         there is no archive yet\n"
    );
    assert!(!sandbox.snapshot("2025-01-01").exists());
    assert!(sandbox.stored().is_empty());
    assert_eq!(sandbox.listed()["chains"], serde_json::json!([]));
}

/// The run after one that had no store archives the snapshot of that time, not today's files.
fn the_snapshot_stands_and_is_archived_by_the_next_run(
    sandbox: &Sandbox,
    date: &str,
    rng: &mut Rng,
) {
    let snapshot = which(&sandbox.snapshot(date));
    assert!(snapshot.read_only);
    let later = format!("written after {date}");
    fs::write(sandbox.source().join(&later), b"later").unwrap();
    mutate_tree(&sandbox.source(), rng);
    let next = sandbox.backup(date);
    assert!(next.stdout.contains(": archived, "), "{next:?}");
    assert_eq!(which(&sandbox.snapshot(date)), snapshot);
    assert!(!sandbox.snapshot(date).join(later).exists());
}

#[test]
fn a_store_that_is_not_there_costs_no_snapshot() {
    if !real_btrfs_available() {
        return;
    }
    let sandbox = with_tree();
    let mut rng = Rng::new(23);
    let away = sandbox.store().with_extension("away");
    for date in ["2025-01-01", "2025-01-07"] {
        fs::rename(sandbox.store(), &away).unwrap();
        let ran = sandbox.run(["backup", date]);
        assert_eq!(ran.code, Some(1), "{ran:?}");
        assert!(ran.stderr.contains("directory does not exist"), "{ran:?}");
        // It is not made anew either: an empty one would look like a lost ledger.
        assert!(!sandbox.store().exists());
        fs::rename(&away, sandbox.store()).unwrap();
        the_snapshot_stands_and_is_archived_by_the_next_run(&sandbox, date, &mut rng);
    }
    sandbox.restores_equal(&["2025-01-01", "2025-01-07"]);
}

/// A store that can be opened and then fails whatever is asked.
struct Unreachable;

impl Unreachable {
    fn fail<T>(operation: Operation, key: &str) -> Result<T, StoreError> {
        Err(StoreError {
            kind: ErrorKind::Failed,
            operation,
            key: key.to_owned(),
            url: "nowhere:".to_owned(),
            source: None,
            advice: None,
        })
    }
}

impl Store for Unreachable {
    fn url(&self) -> String {
        "nowhere:".to_owned()
    }

    fn put_if_absent(&self, object: &NewObject<'_>) -> Result<Put, StoreError> {
        Self::fail(Operation::Put, object.key)
    }

    fn locate(&self, key: &str) -> Locator {
        Locator::from(key.to_owned())
    }

    fn get(&self, locator: &Locator, _: u64) -> Result<Vec<u8>, StoreError> {
        Self::fail(Operation::Get, &locator.to_string())
    }

    fn get_range(&self, locator: &Locator, _: u64, _: u64) -> Result<Vec<u8>, StoreError> {
        Self::fail(Operation::Get, &locator.to_string())
    }

    fn stat(&self, locator: &Locator) -> Result<Stat, StoreError> {
        Self::fail(Operation::Stat, &locator.to_string())
    }

    fn list(&self, prefix: &str) -> Result<Vec<Listed>, StoreError> {
        Self::fail(Operation::List, prefix)
    }

    fn delete(&self, locator: &Locator) -> Result<Deleted, StoreError> {
        Self::fail(Operation::Delete, &locator.to_string())
    }

    fn readability(&self, locator: &Locator) -> Result<Readability, StoreError> {
        Self::fail(Operation::Stat, &locator.to_string())
    }

    fn thaw(&self, locator: &Locator, _: ThawRequest) -> Result<ThawAnswer, StoreError> {
        Self::fail(Operation::Thaw, &locator.to_string())
    }

    fn now(&self) -> Result<DateTime<Utc>, StoreError> {
        Self::fail(Operation::Clock, "")
    }

    fn sweep(&self, _: &str) -> Result<Swept, StoreError> {
        Ok(Swept::default())
    }

    fn remarks(&self) -> Vec<String> {
        Vec::new()
    }

    fn examine(&self) -> Result<Vec<Finding>, StoreError> {
        Self::fail(Operation::Examine, "")
    }
}

#[test]
fn a_store_that_does_not_answer_costs_no_snapshot() {
    if !real_btrfs_available() {
        return;
    }
    let sandbox = with_tree();
    let mut rng = Rng::new(23);
    let config = sandbox.loaded_config();
    let stores: &OpenStore<'_> = &|_, _| Ok(Box::new(Unreachable));
    for date in ["2025-01-01", "2025-01-07"] {
        let events = Events::default();
        let context = RunContext {
            stores,
            ..RunContext::real(&events)
        };
        let outcome = engine::backup(&config, &config.sources[0], asked(date), context);
        let error = error_of(outcome);
        assert!(matches!(error, Error::Store(_)), "{error}");
        assert_eq!(error.exit_code(), ExitCode::Failed);
        let events = events.0.into_inner().unwrap();
        assert!(
            matches!(&events[..], [Event::Snapshot { source, .. }] if source.as_str() == SOURCE),
            "{events:?}"
        );
        the_snapshot_stands_and_is_archived_by_the_next_run(&sandbox, date, &mut rng);
    }
    sandbox.restores_equal(&["2025-01-01", "2025-01-07"]);
}

#[test]
fn the_snapshots_of_many_nights_without_a_store_are_still_there_when_it_is_back() {
    if !real_btrfs_available() {
        return;
    }
    let sandbox = with_tree();
    let away = sandbox.store().with_extension("away");
    sandbox.backup("2025-01-01");
    fs::rename(sandbox.store(), &away).unwrap();
    let nights = ["2025-01-06", "2025-01-07", "2025-01-08", "2025-01-14"];
    let mut rng = Rng::new(24);
    let snapshots = nights.map(|date| {
        mutate_tree(&sandbox.source(), &mut rng);
        assert_eq!(sandbox.run(["backup", date]).code, Some(1), "{date}");
        which(&sandbox.snapshot(date))
    });
    fs::rename(&away, sandbox.store()).unwrap();
    // The missed slot is made good on the next night; the snapshots between stay.
    let next = sandbox.backup("2025-01-15");
    assert!(next.stdout.contains("archived, incremental"), "{next:?}");
    assert_eq!(nights.map(|date| which(&sandbox.snapshot(date))), snapshots);
    assert_eq!(sandbox.committed(), ["2025-01-01", "2025-01-15"]);
    sandbox.restores_equal(&["2025-01-01", "2025-01-15"]);
}
