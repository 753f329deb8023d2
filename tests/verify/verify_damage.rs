//! What `verify` makes of damage: of which object it is, what is planned after it, what takes it back,
//! and that nothing that was found is lost when the check does not come to its end.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Mutex;

use coldchain::engine::{AtOnce, OpenSource, StateDir, SystemClock, Verified, Verifying, verify};
use coldchain::error::Error;
use coldchain::interrupt::Interrupt;
use coldchain::model::Signal;
use coldchain::model::{Sha256, VerifyLevel};
use coldchain::plan::{Unchecked, Verdict};
use coldchain::progress::{Event, Observer};
use coldchain::store::{NewObject, ObjectKind, Put, S3Settings, Store};
use serde_json::{Value, json};

use crate::common::bucket::{open, settings, write_credentials};
use crate::common::faults::Faults;
use crate::common::is_segment;
use crate::common::lab::{Lab, SOURCE};
use crate::common::machine::{Machine, Run, Talk, fed_config};
use crate::common::s3_server::{
    ACCESS_KEY, BUCKET, Bucket, Config, Fault, FaultKind, Mode, Operation, S3Server, SECRET_KEY,
};
use crate::common::whole::first_and_seventh;

/// The full has two segments, the incremental one.
fn streams() -> [Vec<u8>; 2] {
    let [full, _] = first_and_seventh(17 << 10);
    let [_, incremental] = first_and_seventh(100);
    [full, incremental]
}

fn archived() -> Machine {
    let machine = Machine::fed(None);
    for (date, stream) in ["2024-01-01", "2024-01-07"].into_iter().zip(streams()) {
        let run = machine.run_with(&format!("decide {date}"), &stream);
        assert_eq!(run.code, Some(0), "{run:?}");
    }
    machine
}

/// A machine whose store is a bucket, and which has archived the same.
struct Bucketed {
    machine: Machine,
    server: S3Server,
}

impl Bucketed {
    fn new(config: Config) -> Self {
        Self::with(config, "give_up_after = \"4s\"")
    }

    fn with(config: Config, more: &str) -> Self {
        let server = S3Server::start(config);
        let machine = Machine::fed(None);
        let s3 = format!(
            "type = \"s3\"\nbucket = \"{BUCKET}\"\nregion = \"us-east-1\"\nendpoint = \"{}\"\n{more}",
            server.endpoint()
        );
        machine.write_config(&fed_config().replace("type = \"dir\"\npath = \"$T/store\"", &s3));
        let bucketed = Self { machine, server };
        for (date, stream) in ["2024-01-01", "2024-01-07"].into_iter().zip(streams()) {
            let run = bucketed.run(&format!("decide {date}"), &stream);
            assert_eq!(run.code, Some(0), "{run:?}");
        }
        bucketed
    }

    fn start(&self, words: &str) -> Talk<'_> {
        let mut command = self.machine.command(words);
        command
            .env("AWS_ACCESS_KEY_ID", ACCESS_KEY)
            .env("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .stdin(Stdio::piped());
        self.machine.start_command(&mut command)
    }

    fn run(&self, words: &str, stdin: &[u8]) -> Run {
        let mut talk = self.start(words);
        let mut pipe = talk.take_stdin();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                let _ = std::io::Write::write_all(&mut pipe, stdin);
            });
            talk.end()
        })
    }

    /// The key of the object whose key has that part.
    fn key(&self, part: &str) -> String {
        let mut keys = self.server.objects(BUCKET).into_keys();
        keys.find(|key| key.contains(part)).unwrap()
    }

    fn is_damaged(&self) -> bool {
        state(&self.machine) == "damaged"
    }
}

fn state(machine: &Machine) -> String {
    let listed = machine.listed();
    let state = listed["sources"][0]["chains"][0]["state"].as_str();
    state.unwrap().to_owned()
}

fn next(machine: &Machine) -> String {
    let run = machine.run("plan 2024-01-14 --json");
    let plans: Value = serde_json::from_str(&run.stdout).unwrap();
    plans["plans"][0]["action"].as_str().unwrap().to_owned()
}

fn second_segment(machine: &Machine) -> PathBuf {
    let mut segments = machine.objects(".zst.age").into_iter();
    segments
        .find(|path| path.to_string_lossy().contains("/000001-"))
        .unwrap()
}

fn flip(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::remove_file(path).unwrap();
    fs::write(path, bytes).unwrap();
}

#[test]
fn what_only_this_machines_catalog_still_finds_is_damaged() {
    let bucketed = Bucketed::new(Config::with_bucket(Bucket::new(BUCKET).versioned()));
    assert_eq!(bucketed.run("verify --deep", b"").code, Some(0));
    let hidden = bucketed.key("/000001-");
    bucketed.server.hide(BUCKET, &hidden);
    let run = bucketed.run("verify", b"");
    assert_eq!(run.code, Some(6), "{run:?}");
    let words = "it is missing: what was stored is hidden by a newer version or a delete marker\n";
    assert!(run.stdout.contains(words), "{run:?}");
    assert_eq!(next(&bucketed.machine), "full");
}

#[test]
fn what_was_overwritten_is_damaged_although_its_version_is_still_there() {
    let bucketed = Bucketed::new(Config::with_bucket(Bucket::new(BUCKET).versioned()));
    let key = bucketed.key("/000001-");
    let length = bucketed.server.objects(BUCKET)[&key].body.len();
    bucketed.server.configure(|config| {
        *config = config.clone().with_mode(Mode::IgnoreIfNoneMatch);
    });
    let credentials = tempfile::tempdir().unwrap();
    let file = credentials.path().join("credentials");
    write_credentials(&file, ACCESS_KEY, SECRET_KEY);
    let store = open(S3Settings {
        prefix: String::new(),
        ..settings(&bucketed.server.endpoint(), BUCKET, &file)
    });
    let bytes = vec![7; length];
    let sha256 = Sha256::of(&bytes);
    store
        .put_if_absent(&NewObject::new(&key, bytes, sha256, ObjectKind::Segment))
        .unwrap();
    for level in ["--checksums", "--deep"] {
        let run = bucketed.run(&format!("verify {level}"), b"");
        assert_eq!(run.code, Some(6), "{run:?}");
        let words = "its SHA-256 is not the one in the ledger: what was stored is hidden by a newer version";
        assert!(run.stdout.contains(words), "{run:?}");
    }
    assert!(bucketed.is_damaged());
}

#[test]
fn an_entry_that_is_lost_makes_the_next_archive_a_full_until_it_is_back() {
    let machine = archived();
    let entry = &machine.objects(".entry")[1];
    flip(entry);
    for words in ["verify", "verify --deep --identity $T/kit"] {
        let run = machine.run(words);
        assert_eq!(run.code, Some(6), "{run:?}");
        assert!(run.stdout.contains("/ledger/00000002.entry: "), "{run:?}");
        assert_eq!(
            (next(&machine), state(&machine)),
            ("full".to_owned(), "damaged".to_owned())
        );
    }
    flip(entry);
    assert_eq!(machine.run("verify").code, Some(0));
    assert_eq!(next(&machine), "incremental");
}

#[test]
fn an_object_that_cannot_be_read_is_damage_of_that_object_and_the_rest_is_checked() {
    let machine = archived();
    let segment = second_segment(&machine);
    let entry = &machine.objects(".entry")[1];
    for path in [&segment, entry] {
        let bytes = fs::read(path).unwrap();
        fs::remove_file(path).unwrap();
        fs::create_dir(path).unwrap();
        let run = machine.run("verify --deep --identity $T/kit --json");
        assert_eq!(run.code, Some(6), "{run:?}");
        let report = serde_json::from_str::<Value>(&run.stdout).unwrap()["sources"][0].take();
        let damaged = report["damaged"].as_array().unwrap();
        assert_eq!(damaged.len(), 1, "{report}");
        let what = damaged[0]["what"].as_str().unwrap();
        assert!(what.starts_with("it can't be read: "), "{what}");
        assert_eq!(
            (&report["level"], next(&machine).as_str()),
            (&json!("deep"), "full")
        );
        fs::remove_dir(path).unwrap();
        fs::write(path, bytes).unwrap();
        assert_eq!(machine.run("verify --deep").code, Some(0));
    }
}

#[test]
fn what_the_credentials_may_not_read_is_damage_only_if_they_may_read_other_objects() {
    let bucketed = Bucketed::new(Config::default());
    let denied = |part: &str| {
        bucketed.server.clear_faults();
        let fault = Fault::on(Operation::Get, FaultKind::AccessDenied);
        bucketed.server.fail(fault.key(part).always());
        bucketed.run("verify --deep", b"")
    };
    let none = denied("/archives/");
    assert_eq!(none.code, Some(1), "{none:?}");
    assert!(
        none.stdout.contains("home: deep       not done: "),
        "{none:?}"
    );
    assert!(!bucketed.is_damaged());
    let one = denied("/000001-");
    assert_eq!(one.code, Some(6), "{one:?}");
    assert!(
        one.stdout.contains("it can't be read: access is denied")
            && one
                .stdout
                .contains("home: deep       7 objects fetched and hashed"),
        "{one:?}"
    );
    assert!(bucketed.is_damaged());
}

#[test]
fn a_bit_that_the_store_keeps_wrong_is_found_by_reading() {
    let bucketed = Bucketed::new(Config::default());
    let key = bucketed.key("/000000-");
    bucketed
        .server
        .damage(BUCKET, &key, |bytes| bytes[100] ^= 1);
    let kept = bucketed.run("verify --checksums", b"");
    assert_eq!(
        kept.code,
        Some(0),
        "what the service kept when it was stored is right: {kept:?}"
    );
    let read = bucketed.run("verify --deep", b"");
    assert_eq!(read.code, Some(6), "{read:?}");
    assert!(bucketed.is_damaged());
}

#[test]
fn what_was_found_without_an_identity_is_taken_back_without_one() {
    let machine = Machine::fed(None);
    let [full, _] = first_and_seventh(100);
    let run = machine.run_with("decide 2024-01-01", &full);
    assert_eq!(run.code, Some(0), "{run:?}");
    let mut segments = machine.objects(".zst.age");
    segments.retain(|path| !path.to_string_lossy().contains("/contents-"));
    assert_eq!(segments.len(), 1);
    flip(&segments[0]);
    assert_eq!(machine.run("verify --deep").code, Some(6));
    flip(&segments[0]);
    assert_eq!(machine.run("verify --deep").code, Some(0));
    assert_eq!(state(&machine), "complete");
}

#[test]
fn what_lies_about_in_the_store_is_named() {
    let machine = archived();
    let home = machine.path("store/home");
    let ledger = home.join("ledger");
    fs::copy(ledger.join("00000002.entry"), ledger.join("2.entry")).unwrap();
    fs::copy(
        ledger.join("00000002.entry"),
        ledger.join("000000002.entry"),
    )
    .unwrap();
    fs::write(home.join("foo"), "bar").unwrap();
    let copy = home.join("archives/2024-01-01-full-00000000000000aa");
    fs::create_dir(&copy).unwrap();
    fs::copy(second_segment(&machine), copy.join("key.age")).unwrap();
    let run = machine.run("verify");
    assert_eq!(run.code, Some(0), "{run:?}");
    for words in [
        "home: note       home/ledger/2.entry does not have the name of an entry, and is ignored\n",
        "home: note       home/ledger/000000002.entry does not have the name of an entry",
        "home: note       no ledger entry names what lies below home/archives/2024-01-01-full-$HEX16/ (1 object)",
        "home: orphaned   home/foo: no ledger entry names it\n",
    ] {
        assert!(run.stdout.contains(words), "{words}: {run:?}");
    }
    assert_eq!(run.stdout.matches("home: orphaned").count(), 1, "{run:?}");
}

#[test]
fn how_far_a_check_has_come_is_told_beside_its_answer() {
    let machine = archived();
    let run = machine.run("verify --deep --json --verbose");
    assert_eq!(run.code, Some(0), "{run:?}");
    let report = serde_json::from_str::<Value>(&run.stdout).unwrap()["sources"][0].take();
    let events: Vec<Value> = run
        .stderr
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let last = events.last().unwrap();
    assert_eq!(
        [&last["event"], &last["level"], &last["unit"]],
        ["checking", "deep", "bytes"]
    );
    assert_eq!(last["done"], last["of"]);
    assert_eq!(report["level"], "deep");
}

#[test]
fn a_source_whose_first_night_is_still_to_come_is_a_note() {
    let machine = archived();
    let more = "[[source]]\nname = \"work\"\nstore = \"disk\"\n\n[store.disk]";
    machine.write_config(&fed_config().replace("[store.disk]", more));
    let run = machine.run("verify");
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(
        run.stdout
            .ends_with("work: note       nothing is archived yet\n"),
        "{run:?}"
    );
    assert_ne!(machine.run("verify work").code, Some(0));
}

#[test]
fn a_kit_that_knows_more_than_the_store_shows_is_believed_by_every_reader() {
    let machine = archived();
    let updated = machine.run("key kit --kit $T/kit");
    assert_eq!(updated.code, Some(0), "{updated:?}");
    let sound = machine.run("verify --deep --identity $T/kit");
    assert_eq!(sound.code, Some(0), "{sound:?}");
    // The store goes back to an earlier day, and the machine is lost.
    fs::remove_file(&machine.objects(".entry")[2]).unwrap();
    let run = |words: &str| {
        let words = format!("{words} --state-dir $T/other");
        let mut command = machine.command(&words);
        machine.run_command(command.env("COLDCHAIN_CONFIG", machine.path("no-config")))
    };
    let rebuilt = run("catalog rebuild --store file://$T/store --identity $T/kit");
    assert_eq!(rebuilt.code, Some(6), "{rebuilt:?}");
    assert_eq!(run("verify").code, Some(0), "nobody says otherwise");
    let verified = run("verify --deep --identity $T/kit");
    assert_eq!(verified.code, Some(6), "{verified:?}");
    let words =
        "/ledger/00000003.entry: the recovery kit knows it, and the ledger ends with entry 2\n";
    assert!(verified.stdout.contains(words), "{verified:?}");
    let checked = run("catalog check --identity $T/kit");
    assert_eq!(checked.code, Some(6), "{checked:?}");
    let newest = run("restore home --from store --plan --identity $T/kit");
    assert_eq!(newest.code, Some(6), "{newest:?}");
    assert!(
        newest
            .stderr
            .contains(" names an entry 3 of `home` that the catalog does not have"),
        "{newest:?}"
    );
    let dated = run("restore home --from store --date 2024-01-01 --plan --identity $T/kit");
    assert_eq!(dated.code, Some(0), "{dated:?}");
    assert!(dated.stderr.contains("warning: home: "), "{dated:?}");
}

/// Raises the signal once the first segment is checked.
struct Raises<'i> {
    interrupt: &'i Interrupt,
    levels: Mutex<BTreeSet<&'static str>>,
}

impl Observer for Raises<'_> {
    fn event(&self, event: Event) {
        if let Event::Checking { level, done, .. } = event {
            self.levels.lock().unwrap().insert(level);
            if level == "deep" && done > 0 {
                self.interrupt.raise(Signal::Interrupt);
            }
        }
    }
}

#[test]
fn what_was_found_before_a_signal_is_told_and_recorded() {
    let lab = Lab::new();
    for (date, stream) in ["2024-01-01", "2024-01-07"].into_iter().zip(streams()) {
        lab.decide(date, &stream, &Faults::none()).unwrap();
    }
    let (key, bytes) = lab
        .objects()
        .into_iter()
        .find(|(key, _)| key.contains("/000000-"))
        .unwrap();
    lab.store.delete(&lab.store.locate(&key)).unwrap();
    let sha256 = Sha256::of(&bytes);
    let other = NewObject::new(&key, vec![0; bytes.len()], sha256, ObjectKind::Segment);
    assert!(matches!(
        lab.store.put_if_absent(&other),
        Ok(Put::Created(_))
    ));

    let mut catalog = lab.catalog();
    let row = catalog.source(&SOURCE.parse().unwrap()).unwrap().unwrap();
    let source = OpenSource {
        config: &lab.config.sources[0],
        row,
        store: Box::new(lab.store.clone()),
    };
    let interrupt = Interrupt::new();
    let observer = Raises {
        interrupt: &interrupt,
        levels: Mutex::default(),
    };
    let verifying = Verifying {
        source: &source,
        root: &StateDir::new(&lab.config.state_dir).root_key().unwrap(),
        levels: &BTreeSet::from([VerifyLevel::Listing, VerifyLevel::Deep]),
        sample: None,
        identities: None,
        kit: &[],
        drill: None,
        at_once: AtOnce {
            asked_for: 1,
            memory_limit: 512 << 20,
        },
        clock: &SystemClock,
        observer: &observer,
        interrupt: &interrupt,
    };
    let Verified { report, broken_off } = verify(&verifying, &mut catalog).unwrap();
    assert!(
        matches!(
            broken_off,
            Some((VerifyLevel::Deep, Error::Interrupted(Signal::Interrupt)))
        ),
        "{broken_off:?}"
    );
    let damaged: Vec<String> = report
        .damaged()
        .into_iter()
        .map(|damage| damage.key)
        .collect();
    assert_eq!(damaged, [key]);
    let broken_off = Verdict::Unchecked(Unchecked::BrokenOff);
    let deep = report.levels.last().unwrap();
    assert_eq!(deep.objects.last().unwrap().verdict, broken_off);
    let archives = catalog.archives(&source.row.ledger).unwrap();
    assert!(archives[0].damaged_at.is_some() && archives[1].damaged_at.is_none());
    let levels = observer.levels.into_inner().unwrap();
    assert_eq!(levels, BTreeSet::from(["deep", "ledger"]));
}

#[test]
fn what_was_found_is_recorded_although_a_stalled_store_keeps_a_check_from_ending() {
    let patient = "give_up_after = \"1h\"\nuploads = 1";
    let bucketed = Bucketed::with(Config::default(), patient);
    let damaged = bucketed.key("/000000-");
    bucketed
        .server
        .damage(BUCKET, &damaged, |bytes| bytes[100] ^= 1);
    let mut keys = bucketed.server.objects(BUCKET).into_keys();
    let last = keys
        .find(|key| key.contains("-incr-") && is_segment(key))
        .unwrap();
    let stall = Fault::on(Operation::Get, FaultKind::Stall(None));
    bucketed.server.fail(stall.key(&last).always());
    let talk = bucketed.start("verify --deep");
    // One segment is fetched ahead: the damaged one was judged before this is asked for.
    while bucketed.server.faults_struck() == 0 {
        std::thread::yield_now();
    }
    talk.signal(rustix::process::Signal::INT);
    let run = talk.end();
    assert_eq!(run.code, Some(130), "{run:?}");
    assert!(
        run.stderr
            .contains("a check always starts from the beginning"),
        "{run:?}"
    );
    assert!(bucketed.is_damaged());
}
