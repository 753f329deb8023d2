//! Thaws of many segments: their pace, batch jobs in place of requests, and restores that take longer than what was
//! thawed stays readable.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use coldchain::catalog::Catalog;
use coldchain::engine::{
    AtOnce, Clock, OpenSource, OtherPlaces, StreamingOut, WantedSegments, cold_objects, stream_out,
    thaw, thaw_state,
};
use coldchain::error::Error;
use coldchain::interrupt::Interrupt;
use coldchain::model::{ArchiveId, BucketObject, Sha256, StorageClass, Tier};
use coldchain::progress::{Event, Observer};
use coldchain::store::{
    DirStore, Layer, Locator, NewObject, ObjectKind, S3Settings, Store, StoreError, ThawAnswer,
    ThawRequest,
};

use crate::common::bucket::{OwnBucket, open};
use crate::common::faults::Faults;
use crate::common::is_segment;
use crate::common::lab::{Lab, SOURCE};
use crate::common::loopfs::real_btrfs_available;
use crate::common::s3_server::{
    BUCKET, Bucket, Config, ENV, Fault, FaultKind, Operation, S3Server, Times, When,
};
use crate::common::sandbox::{Sandbox, Setup};
use crate::common::stream_builder::StreamBuilder;

const DATE: &str = "2026-11-21";

/// Raw bytes of each of the lab's segments.
const SEGMENT_BYTES: usize = 4 << 20;

fn start() -> DateTime<Utc> {
    "2099-11-21T03:00:00Z".parse().unwrap()
}

/// A stream of some more than that many segments.
fn long_stream(segments: usize) -> Vec<u8> {
    let data = vec![7; 48 << 10];
    let mut stream = StreamBuilder::full(1).mkfile(b"long");
    for nth in 0..=(segments - 1) * SEGMENT_BYTES / data.len() {
        stream = stream.write(b"long", (nth * data.len()) as u64, &data);
    }
    stream.finish()
}

/// A clock that only tests move.
#[derive(Clone)]
struct OwnClock(Arc<Mutex<DateTime<Utc>>>);

impl Clock for OwnClock {
    fn now(&self) -> DateTime<Utc> {
        *self.0.lock().unwrap()
    }
}

impl OwnClock {
    fn advance(&self, by: TimeDelta) {
        *self.0.lock().unwrap() += by;
    }
}

/// A store from which each segment takes hours to fetch.
struct SlowLine<'a> {
    store: &'a DirStore,
    clock: OwnClock,
    /// How long a fetch takes.
    takes: TimeDelta,
    /// How many requests for a thaw were answered, and how many came.
    thawed: AtomicUsize,
    asked: AtomicUsize,
    /// Fails the request for a thaw of that number.
    fails: usize,
}

impl Layer for SlowLine<'_> {
    fn below(&self) -> &dyn Store {
        self.store
    }

    fn get(&self, locator: &Locator, max_bytes: u64) -> Result<Vec<u8>, StoreError> {
        let got = self.store.get(locator, max_bytes);
        self.clock.advance(self.takes);
        got
    }

    fn thaw(&self, locator: &Locator, request: ThawRequest) -> Result<ThawAnswer, StoreError> {
        let nth = self.asked.fetch_add(1, Ordering::SeqCst);
        if nth == self.fails {
            // As a bucket that takes no more.
            return self.store.thaw(&self.store.locate("none/of.it"), request);
        }
        self.thawed.fetch_add(1, Ordering::SeqCst);
        self.store.thaw(locator, request)
    }
}

#[derive(Default)]
struct Heard(Mutex<Vec<String>>);

impl Observer for Heard {
    fn event(&self, event: Event) {
        if let Event::Warning { message, .. } = event {
            self.0.lock().unwrap().push(message);
        }
    }
}

/// Puts what a lab has into another store.
fn put_all(lab: &Lab, store: &dyn Store) {
    for (key, bytes) in lab.objects() {
        let role = if is_segment(&key) {
            ObjectKind::Segment
        } else {
            ObjectKind::Ledger
        };
        let sha256 = Sha256::of(&bytes);
        store
            .put_if_absent(&NewObject::new(&key, bytes, sha256, role))
            .unwrap();
    }
}

fn the_archive(catalog: &Catalog) -> ArchiveId {
    let row = catalog.source(&SOURCE.parse().unwrap()).unwrap().unwrap();
    catalog.archives(&row.ledger).unwrap()[0].id
}

/// A restore of 28 hours from a store whose thawed copies stay for a day, with a store that refuses one request.
#[test]
fn what_would_go_cold_behind_a_slow_restore_is_requested_again_in_time() {
    const SEGMENTS: usize = 14;
    let lab = Lab::new();
    let stream = long_stream(SEGMENTS);
    lab.decide(DATE, &stream, &Faults::none()).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let clock = OwnClock(Arc::new(Mutex::new(start())));
    let store_clock = clock.clone();
    let store = DirStore::open(directory.path())
        .unwrap()
        .playing(StorageClass::DeepArchive, Some(Duration::ZERO))
        .with_clock(Arc::new(move || store_clock.now()));
    put_all(&lab, &store);
    let mut catalog = lab.catalog();
    let archive = the_archive(&catalog);
    let line = |fails| SlowLine {
        store: &store,
        clock: clock.clone(),
        takes: TimeDelta::hours(2),
        thawed: AtomicUsize::new(0),
        asked: AtomicUsize::new(0),
        fails,
    };
    let request = ThawRequest {
        tier: Tier::Bulk,
        days: 1,
    };
    let config = &lab.config.sources[0];
    let row = catalog.source(&config.name).unwrap().unwrap();
    let interrupt = Interrupt::new();
    let heard = Heard::default();
    let mut restored = |line: &SlowLine<'_>, observer: &dyn Observer| {
        let source = OpenSource {
            config,
            row: row.clone(),
            store: Box::new(line as &dyn Store),
        };
        let streaming = StreamingOut {
            source: &source,
            archive,
            identities: &lab.identities(),
            identity_name: "the kit",
            class: Some(StorageClass::DeepArchive),
            at_once: AtOnce {
                asked_for: 1,
                memory_limit: 512 << 20,
            },
            thaw: request,
            observer,
            interrupt: &interrupt,
            clock: &clock,
            others: &OtherPlaces::default(),
        };
        let mut output = Vec::new();
        stream_out(&streaming, &mut output, &mut catalog).map(|_| output)
    };
    let first = line(usize::MAX);
    let waits = restored(&first, &heard);
    assert!(matches!(&waits, Err(Error::Restore(_))), "{waits:?}");
    assert_eq!(first.thawed.into_inner(), SEGMENTS);

    // The first request that keeps them readable fails, and is sent again with the next segment.
    let second = line(0);
    assert!(restored(&second, &heard).unwrap() == stream);
    assert!(clock.now() > start() + TimeDelta::days(1), "it took longer");
    let again = second.thawed.into_inner();
    assert!(
        (1..=SEGMENTS / 2).contains(&again),
        "only those that were left are requested again: {again}"
    );
    let warnings = heard.0.into_inner().unwrap();
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(
        warnings[0].starts_with("could not keep thawed segments readable for longer"),
        "{warnings:?}"
    );
    let requested = "the restore is behind: requested ";
    assert!(warnings[1].starts_with(requested), "{warnings:?}");
    assert!(
        warnings[1].ends_with("would have gone cold at 2099-11-22T03:00:00Z"),
        "{warnings:?}"
    );
}

/// A bucket in `DEEP_ARCHIVE` with what a lab has, and the lab's catalog.
struct ColdBucket {
    bucket: OwnBucket,
    lab: Lab,
    catalog: Catalog,
    archive: ArchiveId,
}

impl ColdBucket {
    fn new(segments: usize) -> Self {
        let config = Config::with_bucket(Bucket::new(BUCKET));
        let bucket = OwnBucket::new(S3Server::start(config));
        bucket.server.clock().set(start());
        let lab = Lab::new();
        lab.decide(DATE, &long_stream(segments), &Faults::none())
            .unwrap();
        let catalog = lab.catalog();
        let archive = the_archive(&catalog);
        let cold = Self {
            bucket,
            lab,
            catalog,
            archive,
        };
        put_all(&cold.lab, &open(cold.settings()));
        cold
    }

    fn settings(&self) -> S3Settings {
        S3Settings {
            storage_class: StorageClass::DeepArchive,
            ..self.bucket.settings()
        }
    }

    fn with<T>(&mut self, act: impl FnOnce(&WantedSegments<'_>, &mut Catalog) -> T) -> T {
        let config = &self.lab.config.sources[0];
        let source = OpenSource {
            config,
            row: self.catalog.source(&config.name).unwrap().unwrap(),
            store: Box::new(open(self.settings())),
        };
        let wanted = WantedSegments {
            source: &source,
            class: Some(StorageClass::DeepArchive),
            archives: &[self.archive],
            only: None,
            interrupt: &Interrupt::new(),
        };
        act(&wanted, &mut self.catalog)
    }

    fn ask_for(&mut self, tier: Tier) -> Result<Vec<BucketObject>, Error> {
        let settings = self.settings();
        self.with(|wanted, catalog| cold_objects(wanted, &settings, tier, catalog))
    }

    fn asked(&self) -> usize {
        let requests = self.bucket.server.requests();
        let of = requests
            .iter()
            .filter(|one| one.operation == Operation::Restore);
        of.count()
    }
}

#[test]
fn a_batch_job_names_what_is_still_cold_and_its_thaw_is_seen_as_any_other() {
    let mut cold = ColdBucket::new(4);
    let all = cold.ask_for(Tier::Bulk).unwrap();
    let in_bucket: Vec<String> = cold
        .bucket
        .server
        .objects(BUCKET)
        .into_keys()
        .filter(|key| is_segment(key))
        .collect();
    let named: Vec<&str> = all.iter().map(|object| object.key.as_str()).collect();
    assert_eq!(named, in_bucket);
    assert!(all.iter().all(|object| object.bucket == BUCKET));
    assert_eq!(cold.asked(), 0, "nothing is requested");

    // What thaws already is left out.
    let request = ThawRequest {
        tier: Tier::Bulk,
        days: 7,
    };
    let store = open(cold.settings());
    let prefix = format!("{}/", cold.settings().prefix);
    let run_job = |objects: &[BucketObject]| {
        for object in objects {
            let key = object.key.strip_prefix(&prefix).unwrap();
            store.thaw(&store.locate(key), request).unwrap();
        }
    };
    run_job(&all[..1]);
    let rest = cold.ask_for(Tier::Bulk).unwrap();
    assert_eq!(rest, all[1..]);

    // The job sends the requests: nothing here knows of them, and the store says all.
    run_job(&rest);
    let status = cold.with(|wanted, catalog| thaw_state(wanted, catalog).unwrap());
    let awaited = status.awaited(&SOURCE.parse().unwrap()).unwrap();
    assert_eq!((awaited.thawing, awaited.cold, awaited.due), (4, 0, None));
    assert_eq!(cold.ask_for(Tier::Bulk).unwrap(), []);
    let asked = cold.asked();
    cold.bucket.server.clock().advance(TimeDelta::hours(49));
    let status = cold.with(|wanted, catalog| thaw(wanted, request, catalog).unwrap());
    assert!(status.awaited(&SOURCE.parse().unwrap()).is_none());
    assert_eq!(cold.asked(), asked, "nothing is requested twice");
}

#[test]
fn what_a_batch_job_can_not_do_is_refused() {
    let mut cold = ColdBucket::new(2);
    let refused = cold.ask_for(Tier::Expedited).unwrap_err().to_string();
    assert!(refused.contains("has no tier `expedited`"), "{refused}");
    cold.bucket.server.transition(
        BUCKET,
        ".zst.age",
        "INTELLIGENT_TIERING",
        Some("ARCHIVE_ACCESS"),
    );
    let refused = cold.ask_for(Tier::Bulk).unwrap_err().to_string();
    assert!(refused.contains("Intelligent-Tiering keeps"), "{refused}");
    assert_eq!(cold.asked(), 0);
}

#[test]
fn a_service_that_asks_for_less_gets_less_and_in_the_end_all() {
    let mut cold = ColdBucket::new(3);
    cold.bucket.server.fail(Fault {
        when: When {
            operation: Some(Operation::Restore),
            key: None,
        },
        skip: 0,
        times: Times::Times(4),
        what: FaultKind::SlowDown { retry_after: None },
    });
    let request = ThawRequest {
        tier: Tier::Bulk,
        days: 7,
    };
    let status = cold.with(|wanted, catalog| thaw(wanted, request, catalog).unwrap());
    let awaited = status.awaited(&SOURCE.parse().unwrap()).unwrap();
    assert_eq!((awaited.thawing, awaited.cold), (3, 0));
    assert_eq!(cold.bucket.server.faults_struck(), 4);
    assert_eq!(cold.asked(), 7);
}

#[test]
fn the_pace_of_a_thaw_is_set_and_a_wrong_one_is_refused() {
    if !real_btrfs_available() {
        return;
    }
    let server = S3Server::new();
    server.clock().set(start());
    let store = server.store_table("storage_class = \"DEEP_ARCHIVE\"");
    let sandbox = Sandbox::with(&Setup {
        store: Some(&store),
        env: &ENV,
        ..Setup::default()
    });
    sandbox.backup("2025-01-01");
    for wrong in ["0", "1001", "-1", "fast"] {
        let pace = format!("--requests-per-second={wrong}");
        let ran = sandbox.run(["thaw", SOURCE, "--yes", &pace]);
        assert_eq!(ran.code, Some(2), "{ran:?}");
        assert!(ran.stderr.contains("from 1 to 1000"), "{ran:?}");
    }
    let segments = server.objects(BUCKET);
    let segments = segments.keys().filter(|key| is_segment(key));
    let segments = u32::try_from(segments.count()).unwrap();
    let begun = Instant::now();
    let ran = sandbox.run(["thaw", SOURCE, "--yes", "--requests-per-second=2"]);
    assert_eq!(ran.code, Some(5), "{ran:?}");
    // Half of the time between two requests is the least that there can be.
    let least = Duration::from_millis(250) * (segments - 1);
    assert!(begun.elapsed() >= least, "{:?}", begun.elapsed());
}

/// Refusals come before anything is asked of the store or written.
#[test]
fn a_batch_needs_a_bucket_at_aws_and_overwrites_nothing() {
    if !real_btrfs_available() {
        return;
    }
    let server = S3Server::new();
    let table = server.store_table("storage_class = \"DEEP_ARCHIVE\"");
    let sandbox = Sandbox::with(&Setup {
        store: Some(&table),
        env: &ENV,
        ..Setup::default()
    });
    sandbox.backup("2025-01-01");
    let files = tempfile::tempdir().unwrap();
    let manifest = files.path().join("thaw.csv");
    let batch = |more: &[&str]| {
        let words = ["thaw", SOURCE, "--batch", manifest.to_str().unwrap()];
        sandbox.run(words.iter().chain(more))
    };
    server.forget_requests();
    let refused = batch(&[]);
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(
        refused
            .stderr
            .starts_with("error: cannot thaw `home` by a batch job: its store has an `endpoint`"),
        "{refused:?}"
    );
    assert_eq!(server.requests(), []);
    assert_eq!(batch(&["--status"]).code, Some(2));
    assert_eq!(fs::read_dir(files.path()).unwrap().count(), 0);

    // The same bucket at AWS itself, which is never asked here.
    let config = fs::read_to_string(sandbox.config()).unwrap();
    let endpoint = format!("endpoint = \"{}\"\n", server.endpoint());
    assert!(config.contains(&endpoint), "{config}");
    fs::write(sandbox.config(), config.replace(&endpoint, "")).unwrap();
    for taken in ["thaw.csv", "thaw.csv.job.json"] {
        let taken: &Path = &files.path().join(taken);
        fs::write(taken, "of the user").unwrap();
        let refused = batch(&[]);
        assert_eq!(refused.code, Some(2), "{refused:?}");
        assert!(refused.stderr.contains("exists already"), "{refused:?}");
        assert_eq!(fs::read_to_string(taken).unwrap(), "of the user");
        fs::remove_file(taken).unwrap();
    }
    assert_eq!(fs::read_dir(files.path()).unwrap().count(), 0);
}
