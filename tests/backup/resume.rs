//! An archive that was left unfinished is gone on with: by verified replay, before anything new is
//! planned, and only if it would be planned again just as it was.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use coldchain::catalog::Watch;
use coldchain::engine::{self, OpenCatalog, OpenStore, Outcome, RunContext};
use coldchain::error::Error;
use coldchain::model::Sha256;
use coldchain::progress::Quiet;
use coldchain::store::{DirStore, NewObject, ObjectKind, RecordingStore, Store as _};

use crate::common::faults::{Faults, FaultyStore, Mode, Point};
use crate::common::is_segment;
use crate::common::loopfs::{btrfs, real_btrfs_available};
use crate::common::rng::Rng;
use crate::common::sandbox::{SOURCE, Sandbox, Setup, asked};
use crate::common::tree::{make_rich_tree, mutate_tree};

const FIRST: &str = "2025-01-01";
const SECOND: &str = "2025-01-07";
const THIRD: &str = "2025-01-14";

/// A source whose full has that many segments of 16 MiB, and a part of one.
fn source_of(segments: usize, setup: &Setup<'_>) -> Sandbox {
    let sandbox = Sandbox::with(setup);
    let mut rng = Rng::new(31);
    make_rich_tree(&sandbox.source(), &mut rng);
    for number in 0..segments {
        let file = sandbox.source().join(format!("large-{number:03}"));
        fs::write(file, rng.bytes(16 << 20)).unwrap();
    }
    sandbox
}

fn large_setup() -> Setup<'static> {
    Setup {
        mib: 768,
        ..Setup::default()
    }
}

/// The PUT of a segment of a full, or of an incremental, of that date.
fn put_of(date: &str, kind: &str, segment: usize) -> Point {
    Point {
        number: 0,
        name: format!("store: store {SOURCE}/archives/{date}-{kind}-*/{segment:06}-*.zst.age"),
        which: 1,
    }
}

/// A run of the engine in which that comes to pass.
fn struck(sandbox: &Sandbox, date: &str, point: &Point, mode: Mode) -> Error {
    let faults = Faults::at(point, mode);
    let stores: &OpenStore<'_> = &|_, _| {
        let inner = DirStore::open(&sandbox.store()).unwrap();
        Ok(Box::new(FaultyStore::new(inner, Arc::clone(&faults))))
    };
    let catalogs: &OpenCatalog<'_> = &|state_dir| {
        let watch: Arc<dyn Watch> = Arc::<Faults>::clone(&faults);
        Ok(state_dir.catalog()?.watched(watch))
    };
    let context = RunContext {
        stores,
        catalogs,
        ..RunContext::real(&Quiet)
    };
    let config = sandbox.loaded_config();
    let error = engine::backup(&config, &config.sources[0], asked(date), context).unwrap_err();
    assert!(faults.has_struck(), "{error}");
    error
}

/// A run whose machine dies before that segment is stored.
fn dies_before(sandbox: &Sandbox, date: &str, kind: &str, segment: usize) {
    struck(
        sandbox,
        date,
        &put_of(date, kind, segment),
        Mode::DiesBefore,
    );
}

/// A run with the store's record of what it was told to store.
fn recorded(sandbox: &Sandbox, date: &str) -> (Outcome, Vec<String>) {
    let store = Arc::new(RecordingStore::new(
        DirStore::open(&sandbox.store()).unwrap(),
    ));
    let stores: &OpenStore<'_> = &|_, _| Ok(Box::new(Arc::clone(&store)));
    let context = RunContext {
        stores,
        ..RunContext::real(&Quiet)
    };
    let config = sandbox.loaded_config();
    let outcome = engine::backup(&config, &config.sources[0], asked(date), context).unwrap();
    let writes = store.writes().into_iter().map(|call| call.key).collect();
    (outcome, writes)
}

/// By index the names of the segments that the store has of a date's archives.
fn segments(sandbox: &Sandbox, date: &str) -> BTreeMap<usize, Vec<String>> {
    let mut segments: BTreeMap<usize, Vec<String>> = BTreeMap::new();
    for path in sandbox.stored().into_keys() {
        let key = path.strip_prefix(sandbox.store()).unwrap();
        let key = key.to_str().unwrap().to_owned();
        let name = key.rsplit('/').next().unwrap();
        if key.contains(&format!("/archives/{date}-")) && is_segment(name) {
            segments
                .entry(name[..6].parse().unwrap())
                .or_default()
                .push(key);
        }
    }
    segments
}

/// What `btrfs send` prints now.
fn sent(sandbox: &Sandbox, date: &str) -> Vec<u8> {
    let send = Command::new("btrfs")
        .args(["send", "-q", "--"])
        .arg(sandbox.snapshot(date))
        .output()
        .unwrap();
    assert!(send.status.success(), "{send:?}");
    send.stdout
}

/// The send stream that the store has of the one archive of a date, by public tools.
fn archived(sandbox: &Sandbox, id: &str) -> Vec<u8> {
    let directory = sandbox.store().join(SOURCE).join("archives").join(id);
    let committed = sandbox.run(["show", id, "--json"]).ok().json();
    let key = sandbox.store().join("opened-key");
    let open = |identity: &Path, file: &Path| {
        let age = Command::new("age")
            .arg("-d")
            .arg("-i")
            .args([identity, file])
            .output()
            .unwrap();
        assert!(age.status.success(), "{age:?}");
        age.stdout
    };
    fs::write(&key, open(&sandbox.kit(), &directory.join("key.age"))).unwrap();
    let mut raw = Vec::new();
    for segment in committed["segments"].as_array().unwrap() {
        let name = segment["key"].as_str().unwrap().rsplit('/').next().unwrap();
        let compressed = open(&key, &directory.join(name));
        raw.extend(zstd::decode_all(&compressed[..]).unwrap());
    }
    fs::remove_file(key).unwrap();
    raw
}

#[test]
fn no_segment_that_was_acknowledged_is_stored_again() {
    if !real_btrfs_available() {
        return;
    }
    // Of 2 GiB for the soak, of ten segments and a part otherwise.
    let segments_of_it = match std::env::var("COLDCHAIN_RESUME_SEGMENTS") {
        Ok(count) => count.parse().unwrap(),
        Err(_) => 10,
    };
    let sandbox = source_of(
        segments_of_it,
        &Setup {
            mib: 512 + 40 * segments_of_it as u64,
            ..Setup::default()
        },
    );
    let acknowledged = segments_of_it * 9 / 10;
    dies_before(&sandbox, FIRST, "full", acknowledged);
    let before = segments(&sandbox, FIRST);
    assert!(before.keys().copied().eq(0..acknowledged));

    let (outcome, writes) = recorded(&sandbox, FIRST);
    let Outcome::Archived { archives, later } = outcome else {
        panic!("nothing was archived");
    };
    assert!(later.is_none(), "{later:?}");
    let after = segments(&sandbox, FIRST);
    for (index, names) in &before {
        assert_eq!(&after[index], names);
        assert!(!writes.contains(&names[0]), "{index} was stored again");
    }
    let stored_now = writes.iter().filter(|key| is_segment(key));
    assert_eq!(stored_now.count(), after.len() - before.len());
    assert!(archives[0].uploaded_bytes < archives[0].sealed_bytes / 3);
    assert_eq!(sandbox.committed(), [FIRST]);
    sandbox.restores_equal(&[FIRST]);
}

/// Makes the extents of a file shared by that many others, in that directory.
fn reflink_many(file: &Path, directory: &Path, times: usize) {
    let source = File::open(file).unwrap();
    for number in 0..times {
        let clone = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(directory.join(number.to_string()))
            .unwrap();
        rustix::fs::ioctl_ficlone(&clone, &source).unwrap();
    }
}

#[test]
fn a_stream_that_changed_between_two_attempts_is_archived_whole_and_never_spliced() {
    if !real_btrfs_available() {
        return;
    }
    let sandbox = source_of(2, &large_setup());
    let source = sandbox.source();
    let mut rng = Rng::new(32);
    // In the order of their inodes: something large, a file and its reflink, something large.
    fs::write(source.join("shared"), rng.bytes(300_000)).unwrap();
    btrfs(["filesystem", "sync"], &[&source]);
    fs::copy(source.join("large-000"), source.join("after")).unwrap();
    let clone = File::create_new(source.join("reflink")).unwrap();
    rustix::fs::ioctl_ficlone(&clone, File::open(source.join("shared")).unwrap()).unwrap();
    fs::write(source.join("end"), rng.bytes(40 << 20)).unwrap();

    dies_before(&sandbox, FIRST, "full", 4);
    let first_stream = sent(&sandbox, FIRST);
    let before = segments(&sandbox, FIRST);
    assert!(before.keys().copied().eq(0..4));
    // The kernel looks for no clone source above 1,024 references: the clone becomes a write.
    fs::create_dir(source.join("clones")).unwrap();
    reflink_many(&source.join("shared"), &source.join("clones"), 1200);
    btrfs(["filesystem", "sync"], &[&source]);
    let last_stream = sent(&sandbox, FIRST);
    assert!(last_stream.len() > first_stream.len() + 200_000);
    let differs = first_stream.iter().zip(&last_stream);
    let same_bytes = differs.take_while(|(first, last)| first == last).count();
    let same = same_bytes / (16 << 20);
    assert!(
        (1..4).contains(&same),
        "the streams differ in segment {same}"
    );

    let (outcome, writes) = recorded(&sandbox, FIRST);
    let Outcome::Archived { archives, .. } = outcome else {
        panic!("nothing was archived");
    };
    let after = segments(&sandbox, FIRST);
    for (index, names) in &before {
        if *index < same {
            assert_eq!(&after[index], names, "segment {index} was the same");
            assert!(!writes.contains(&names[0]));
        } else {
            // The new one stands beside the old, which nothing names any more.
            assert_eq!(after[index].len(), 2, "segment {index} has changed");
        }
    }
    let id = archives[0].archive.to_string();
    assert!(
        archived(&sandbox, &id) == last_stream,
        "the archive is not the output of the last sender"
    );
    sandbox.restores_equal(&[FIRST]);
}

#[test]
fn a_stream_that_became_shorter_leaves_no_segment_of_the_longer_one() {
    if !real_btrfs_available() {
        return;
    }
    let sandbox = source_of(1, &large_setup());
    let source = sandbox.source();
    let shared = source.join("shared");
    fs::write(&shared, Rng::new(33).bytes(300_000)).unwrap();
    btrfs(["filesystem", "sync"], &[&source]);
    for number in 0..60 {
        let clone = File::create_new(source.join(format!("reflink-{number}"))).unwrap();
        rustix::fs::ioctl_ficlone(&clone, File::open(&shared).unwrap()).unwrap();
    }
    // Beside the source, so that no snapshot of it has them.
    let clones = sandbox.fs.subvolume("clones");
    reflink_many(&shared, &clones, 1200);
    btrfs(["filesystem", "sync"], &[&source]);
    let entry = Point {
        number: 0,
        name: "catalog: write a commit".to_owned(),
        which: 1,
    };
    struck(&sandbox, FIRST, &entry, Mode::DiesBefore);
    let long = segments(&sandbox, FIRST).len();
    btrfs(["subvolume", "delete", "-c"], &[&clones]);
    btrfs(["subvolume", "sync"], &[&sandbox.fs.root()]);
    btrfs(["filesystem", "sync"], &[&source]);
    let stream = sent(&sandbox, FIRST);
    assert!(
        stream.len().div_ceil(16 << 20) < long,
        "the stream became shorter"
    );
    let (outcome, _) = recorded(&sandbox, FIRST);
    let Outcome::Archived { archives, .. } = outcome else {
        panic!("nothing was archived");
    };
    assert!(archived(&sandbox, &archives[0].archive.to_string()) == stream);
    sandbox.restores_equal(&[FIRST]);
}

#[test]
fn a_segment_whose_answer_was_lost_is_recognised_and_not_stored_again() {
    if !real_btrfs_available() {
        return;
    }
    let sandbox = source_of(4, &large_setup());
    for mode in [Mode::LosesItsAnswer, Mode::DiesAfter] {
        let date = if mode == Mode::DiesAfter {
            SECOND
        } else {
            FIRST
        };
        let kind = if mode == Mode::DiesAfter {
            "incr"
        } else {
            "full"
        };
        if mode == Mode::DiesAfter {
            fs::write(sandbox.source().join("new"), Rng::new(34).bytes(50 << 20)).unwrap();
        }
        struck(&sandbox, date, &put_of(date, kind, 2), mode);
        let before = segments(&sandbox, date);
        assert!(before.keys().copied().eq(0..3), "{mode}");
        let (_, writes) = recorded(&sandbox, date);
        for names in before.values() {
            assert!(!writes.contains(&names[0]), "{mode}");
        }
        assert!(
            segments(&sandbox, date)
                .values()
                .all(|names| names.len() == 1)
        );
    }
    sandbox.restores_equal(&[FIRST, SECOND]);
}

#[test]
fn a_segment_that_the_store_has_lost_or_cut_is_stored_again() {
    if !real_btrfs_available() {
        return;
    }
    let sandbox = source_of(4, &large_setup());
    dies_before(&sandbox, FIRST, "full", 4);
    let before = segments(&sandbox, FIRST);
    let object = |index: usize| sandbox.store().join(&before[&index][0]);
    fs::remove_file(object(0)).unwrap();
    let cut = OpenOptions::new().write(true).open(object(2)).unwrap();
    cut.set_len(1000).unwrap();
    sandbox.backup(FIRST);
    let after = segments(&sandbox, FIRST);
    assert_ne!(after[&0], before[&0]);
    assert_eq!(after[&1], before[&1]);
    assert_eq!(after[&2].len(), 2);
    assert_eq!(after[&3], before[&3]);
    sandbox.restores_equal(&[FIRST]);
}

#[test]
fn what_the_listing_before_the_signature_lacks_is_sent_once_more() {
    if !real_btrfs_available() {
        return;
    }
    let sandbox = source_of(3, &large_setup());
    // The run stands still before its commit; meanwhile an object goes.
    let commit = Point {
        number: 0,
        name: "catalog: forget segments of an earlier stream".to_owned(),
        which: 1,
    };
    struck(&sandbox, FIRST, &commit, Mode::DiesBefore);
    let before = segments(&sandbox, FIRST);
    fs::remove_file(sandbox.store().join(&before[&1][0])).unwrap();
    let (_, writes) = recorded(&sandbox, FIRST);
    let stored = writes.iter().filter(|key| is_segment(key));
    assert_eq!(stored.count(), 1);
    sandbox.restores_equal(&[FIRST]);
}

#[test]
fn a_later_night_goes_on_with_it_before_it_plans_anew() {
    if !real_btrfs_available() {
        return;
    }
    let sandbox = source_of(
        4,
        &Setup {
            mib: 768,
            source: "keep_snapshots_days = 1",
            ..Setup::default()
        },
    );
    dies_before(&sandbox, FIRST, "full", 2);
    let unfinished = sandbox.archives("unfinished");
    assert_eq!(unfinished[0]["date"], FIRST);
    assert_eq!(unfinished[0]["segments"], 3);
    assert_eq!(unfinished[0]["raw_bytes"], 48 << 20);
    let said = sandbox.run(["list"]).ok().stdout;
    assert!(
        said.contains("chain of 2025-01-01  unfinished, the next backup continues it")
            && said.contains("raw 48.0 MiB")
            && said.contains("unfinished, 3 segments so far"),
        "{said}"
    );
    for words in [
        ["plan", "2025-01-02"].as_slice(),
        &["backup", "2025-01-02", "--dry-run"],
    ] {
        let said = sandbox.run(words).ok().stdout;
        let lines: Vec<&str> = said.lines().collect();
        assert!(
            lines[0].starts_with("2025-01-01  home  full         it was begun on 20")
                && lines[0].ends_with("Z and left unfinished")
                && lines[1].starts_with("2025-01-02  home  none         the slot of 2025-01-01"),
            "{said}"
        );
    }
    // Before it nothing can be archived, but asked about.
    let said = sandbox.run(["plan", "2024-12-31"]).ok().stdout;
    assert!(said.starts_with("2024-12-31  home  full"), "{said}");

    mutate_tree(&sandbox.source(), &mut Rng::new(35));
    // Nothing is due on the next day, but what is unfinished.
    let said = sandbox.backup("2025-01-02").stdout;
    assert!(
        said.starts_with("home: 2025-01-01: archived, full")
            && said.contains("left unfinished, with 2 segments stored, 32.0 MiB raw")
            && said.lines().count() == 1,
        "{said}"
    );
    assert_eq!(sandbox.committed(), [FIRST]);

    mutate_tree(&sandbox.source(), &mut Rng::new(36));
    fs::write(sandbox.source().join("more"), Rng::new(37).bytes(40 << 20)).unwrap();
    dies_before(&sandbox, SECOND, "incr", 1);
    mutate_tree(&sandbox.source(), &mut Rng::new(38));
    // Both snapshots are pinned, whatever their age.
    sandbox.backup("2025-01-08");
    assert_eq!(sandbox.committed(), [FIRST, SECOND]);
    fs::write(sandbox.source().join("more"), Rng::new(39).bytes(40 << 20)).unwrap();
    dies_before(&sandbox, THIRD, "incr", 1);
    // Two archives in one run: the unfinished one and the night's own.
    mutate_tree(&sandbox.source(), &mut Rng::new(40));
    let ran = sandbox.run(["backup", "2025-01-21", "--json"]).ok();
    let events = ran.events();
    let done = &events.last().unwrap()["sources"][0];
    assert_eq!(done["archives"].as_array().unwrap().len(), 2, "{done}");
    let planned: Vec<_> = events
        .iter()
        .filter(|event| event["event"] == "planned")
        .map(|event| event["date"].as_str().unwrap())
        .collect();
    assert_eq!(planned, [THIRD, "2025-01-21"]);
    assert!(events.iter().any(|event| event["skipped"] == true));
    assert!(done["uploaded_bytes"].as_u64() < done["sealed_bytes"].as_u64());
    assert_eq!(sandbox.committed(), [FIRST, SECOND, THIRD, "2025-01-21"]);
    sandbox.restores_equal(&["2025-01-21"]);
}

/// What `backup DATE` says on stderr when it gives up what is unfinished, and archives the date.
fn gives_up(sandbox: &Sandbox, words: &[&str]) -> String {
    let said = sandbox.run(words).ok();
    assert_eq!(sandbox.archives("unfinished"), [] as [serde_json::Value; 0]);
    said.stderr
}

#[test]
fn an_attempt_whose_snapshot_was_changed_is_given_up_for_the_nights_own() {
    if !real_btrfs_available() {
        return;
    }
    let sandbox = source_of(2, &large_setup());
    dies_before(&sandbox, FIRST, "full", 1);
    let snapshot = sandbox.snapshot(FIRST);
    let read_only = |value: &str| {
        let set = Command::new("btrfs")
            .args(["property", "set", "-f", "-ts"])
            .arg(&snapshot)
            .args(["ro", value])
            .status();
        assert!(set.unwrap().success());
    };
    read_only("false");
    let file = OpenOptions::new()
        .write(true)
        .open(snapshot.join("large-000"))
        .unwrap();
    file.write_all_at(b"changed", 0).unwrap();
    file.sync_all().unwrap();
    read_only("true");
    let said = gives_up(&sandbox, &["backup", "2025-01-02"]);
    assert!(
        said.contains(
            "the unfinished archive of 2025-01-01 is given up: its snapshot is not as it was"
        ) && said.contains("its content was changed"),
        "{said}"
    );
    assert_eq!(sandbox.committed(), ["2025-01-02"]);
    sandbox.restores_equal(&["2025-01-02"]);
}

#[test]
fn an_attempt_at_an_incremental_is_given_up_for_a_full_that_is_asked_for() {
    if !real_btrfs_available() {
        return;
    }
    let sandbox = source_of(2, &large_setup());
    sandbox.backup(FIRST);
    fs::write(sandbox.source().join("new"), Rng::new(41).bytes(40 << 20)).unwrap();
    dies_before(&sandbox, SECOND, "incr", 1);
    let said = gives_up(&sandbox, &["backup", SECOND, "--full"]);
    assert!(
        said.contains("2025-01-07 is given up: a full is due in its place: it was asked for"),
        "{said}"
    );
    assert_eq!(sandbox.committed(), [FIRST, SECOND]);
    sandbox.restores_equal(&[SECOND]);
}

#[test]
fn an_attempt_at_a_full_that_was_asked_for_is_gone_on_with_when_it_is_asked_for_again() {
    if !real_btrfs_available() {
        return;
    }
    let sandbox = source_of(2, &large_setup());
    dies_before(&sandbox, FIRST, "full", 1);
    let before = segments(&sandbox, FIRST);
    sandbox.run(["backup", FIRST, "--full"]).ok();
    assert_eq!(segments(&sandbox, FIRST)[&0], before[&0]);
    assert_eq!(sandbox.committed(), [FIRST]);
}

#[test]
fn a_night_before_the_unfinished_one_is_refused_and_costs_nothing() {
    if !real_btrfs_available() {
        return;
    }
    let sandbox = source_of(2, &large_setup());
    dies_before(&sandbox, SECOND, "full", 1);
    let ran = sandbox.run(["backup", "2025-01-06"]);
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert_eq!(
        ran.stderr,
        "error: 2025-01-06 is before 2025-01-07, whose archive is unfinished\n\
         hint: give that date or a later one: the run then continues the unfinished archive\n"
    );
    assert_eq!(sandbox.archives("unfinished").len(), 1);
    sandbox.backup(SECOND);
    sandbox.restores_equal(&[SECOND]);
}

/// An object of somebody else under the number that the commit wants.
#[test]
fn garbage_under_the_commits_number_ends_the_run_and_the_next_goes_on() {
    if !real_btrfs_available() {
        return;
    }
    let sandbox = source_of(2, &large_setup());
    let point = Point {
        number: 0,
        name: "catalog: write a commit".to_owned(),
        which: 1,
    };
    struck(&sandbox, FIRST, &point, Mode::DiesBefore);
    let before = segments(&sandbox, FIRST);
    let store = DirStore::open(&sandbox.store()).unwrap();
    let garbage = NewObject::new(
        "home/ledger/00000002.entry",
        &b"garbage"[..],
        Sha256::of(b"garbage"),
        ObjectKind::Ledger,
    );
    store.put_if_absent(&garbage).unwrap();
    sandbox.backup(FIRST);
    assert_eq!(segments(&sandbox, FIRST), before);
    sandbox.restores_equal(&[FIRST]);
}

/// A line of the source's in place of the one that was set before.
fn set_form(sandbox: &Sandbox, line: &str) {
    const KEPT: &str = "keep_snapshots_days = 10000";
    let config = fs::read_to_string(sandbox.config()).unwrap();
    let (before, after) = config.split_once(KEPT).unwrap();
    let after = after.split_once("\n\n").unwrap().1;
    let text = format!("{before}{KEPT}\n{line}\n\n{after}");
    fs::write(sandbox.config(), text).unwrap();
}

/// What `show` says of the stream of a date's archive.
fn form_of(sandbox: &Sandbox, date: &str) -> (serde_json::Value, serde_json::Value) {
    let shown = sandbox.run(["show", date, "--json"]).ok().json();
    (shown["protocol"].clone(), shown["compressed_data"].clone())
}

#[test]
fn an_attempt_keeps_the_version_of_the_stream_that_it_was_begun_in() {
    if !real_btrfs_available() {
        return;
    }
    for (begun, now) in [(1, 2), (2, 1)] {
        let sandbox = source_of(3, &large_setup());
        set_form(&sandbox, &format!("protocol = {begun}"));
        dies_before(&sandbox, FIRST, "full", 2);
        let before = segments(&sandbox, FIRST);
        set_form(&sandbox, &format!("protocol = {now}"));
        let (_, writes) = recorded(&sandbox, FIRST);
        for names in before.values() {
            assert!(!writes.contains(&names[0]), "{} is stored again", names[0]);
        }
        assert_eq!(form_of(&sandbox, FIRST).0, begun);
        fs::write(sandbox.source().join("new"), "new").unwrap();
        sandbox.backup(SECOND);
        assert_eq!(form_of(&sandbox, SECOND).0, now);
        sandbox.restores_equal(&[FIRST, SECOND]);
    }
}

#[test]
fn an_attempt_with_compressed_data_is_given_up_once_the_config_does_not_ask_for_it() {
    if !real_btrfs_available() {
        return;
    }
    let compressing = Setup {
        mount: "compress-force=zstd",
        ..large_setup()
    };
    let sandbox = source_of(3, &compressing);
    let text = Rng::new(36).text(8 << 20);
    fs::write(sandbox.source().join("text"), text).unwrap();
    set_form(&sandbox, "compressed_data = \"inexact\"");
    dies_before(&sandbox, FIRST, "full", 1);
    set_form(&sandbox, "");
    let ran = sandbox.backup(FIRST);
    assert_eq!(
        ran.stderr,
        "warning: home: the unfinished archive of 2025-01-01 is given up: it was begun with compressed data, of \
         which the kernel's sender loses bytes\n"
    );
    assert_eq!(
        form_of(&sandbox, FIRST),
        (1.into(), serde_json::Value::Null)
    );
    sandbox.restores_equal(&[FIRST]);

    // An older version noted no form: what it has stored counts only where it comes again byte for byte.
    fs::write(sandbox.source().join("new"), Rng::new(37).bytes(20 << 20)).unwrap();
    let text = Rng::new(38).text(8 << 20);
    fs::write(sandbox.source().join("text"), text).unwrap();
    set_form(&sandbox, "compressed_data = \"inexact\"");
    // What builds on an exact archive is exact as far as that goes: it is no full that begins here.
    dies_before(&sandbox, SECOND, "incr", 1);
    let catalog = sandbox.loaded_config().state_dir.join("catalog.db");
    let catalog = rusqlite::Connection::open(catalog).unwrap();
    let forgotten = catalog
        .execute(
            "UPDATE archive SET protocol = NULL, compressed_data = NULL WHERE state = 'unfinished'",
            [],
        )
        .unwrap();
    assert_eq!(forgotten, 1);
    drop(catalog);
    set_form(&sandbox, "");
    sandbox.backup(SECOND);
    assert_eq!(
        form_of(&sandbox, SECOND),
        (1.into(), serde_json::Value::Null)
    );
    sandbox.restores_equal(&[FIRST, SECOND]);
}
