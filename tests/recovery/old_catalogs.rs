//! A catalog of every schema version is brought along with all that is in it, also if that is killed on its way.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use coldchain::catalog::Catalog;
use coldchain::model::{LedgerId, StorageClass, VerifyLevel};
use rusqlite::Connection;

use crate::common::loopfs::run;

const FULL: &str = "2026-11-01-full-5f0c9a12d4e6b801";
const RETIRED: &str = "2026-07-01-full-1111111111111111";
const INCREMENTAL: &str = "2026-11-07-incr-2222222222222222";
const ATTEMPT: &str = "2026-11-14-incr-3333333333333333";

/// The frozen catalogs, by their schema version, from 1 on. Each version has one: `scripts/make-catalogs`.
fn frozen() -> Vec<(u32, PathBuf)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let scripts = fs::read_dir(root.join("schema")).unwrap();
    // Schemas of other databases have directories of their own.
    let versions = scripts
        .filter(|entry| entry.as_ref().unwrap().path().is_file())
        .count();
    (1..=u32::try_from(versions).unwrap())
        .map(|version| {
            let name = format!("fixtures/catalogs/{version:04}.sql");
            (version, root.join(name))
        })
        .collect()
}

fn put(script: &Path, catalog: &Path) {
    for end in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(format!("{}{end}", catalog.display()));
    }
    let private = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(catalog);
    private.unwrap();
    let connection = Connection::open(catalog).unwrap();
    connection
        .execute_batch(&fs::read_to_string(script).unwrap())
        .unwrap();
}

fn version_of(catalog: &Path) -> u32 {
    let connection = Connection::open(catalog).unwrap();
    connection
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .unwrap()
}

/// Looks for all that the catalog of a version had.
fn has_all(catalog: &Path, version: u32) {
    let catalog = Catalog::open(catalog).unwrap();
    let ledger = LedgerId([7; 16]);
    let home = "home".parse().unwrap();
    assert_eq!(catalog.source(&home).unwrap().unwrap().ledger, ledger);
    assert_eq!(catalog.entries(&ledger).unwrap().len(), 5);
    let quarantined = catalog.quarantined(&ledger).unwrap();
    assert_eq!(
        quarantined,
        [(6, "its signature does not verify".to_owned())]
    );
    let told = catalog.told(&home, "store").unwrap();
    assert_eq!(told.as_deref(), Some("it keeps no digests"));

    let archives = catalog.archives(&ledger).unwrap();
    let states: Vec<String> = archives
        .iter()
        .map(|archive| format!("{} {} {:?}", archive.id, archive.state, archive.snapshot))
        .collect();
    let expected = [
        format!("{RETIRED} retired Some(1)"),
        format!("{FULL} committed Some(2)"),
        format!("{INCREMENTAL} committed Some(3)"),
        format!("{ATTEMPT} unfinished Some(4)"),
    ];
    assert_eq!(states, expected);
    for archive in &archives {
        assert_eq!(catalog.segments(&archive.id).unwrap().len(), 2);
    }
    let class = (version >= 2).then_some(StorageClass::DeepArchive);
    assert_eq!(archives[1].storage_class, class);
    let [attempt] = &catalog.unfinished(&ledger).unwrap()[..] else {
        panic!("one attempt is open");
    };
    assert_eq!(
        attempt.archive_key.as_deref(),
        Some("AGE-SECRET-KEY-1FROZEN")
    );
    assert_eq!(attempt.sealed_key.is_some(), version >= 3);
    assert_eq!(attempt.retain_until.is_some(), version >= 3);

    let snapshots = catalog.snapshots(&home).unwrap();
    let dates: Vec<String> = snapshots.iter().map(|row| row.name.to_string()).collect();
    let any_time: &[&str] = if version >= 9 {
        &["2026-11-08T1200"]
    } else {
        &[]
    };
    let mut expected = ["2026-11-01", "2026-11-07", "2026-11-14"].to_vec();
    expected.splice(2..2, any_time.iter().copied());
    assert_eq!(dates, expected);
    let known = snapshots.iter().filter(|row| row.local_parent.is_some());
    assert_eq!(known.count(), if version >= 5 { dates.len() } else { 0 });
    // A source that has snapshots alone is no source of the catalog.
    let alone = "photos".parse().unwrap();
    let of_alone = usize::from(version >= 9);
    assert_eq!(catalog.snapshots(&alone).unwrap().len(), of_alone);
    assert!(catalog.source(&alone).unwrap().is_none());
    let told = catalog.told(&alone, "nested subvolumes").unwrap();
    assert_eq!(told.is_some(), version >= 9);

    let thaws = catalog.thaws(&FULL.parse().unwrap()).unwrap();
    assert_eq!(thaws.len(), usize::from(version >= 2));
    let checks: Vec<String> = catalog
        .verifications(&ledger)
        .unwrap()
        .iter()
        .filter(|row| row.level == VerifyLevel::Listing)
        .map(|row| format!("{} {:?}", row.archive, row.outcome))
        .collect();
    let expected = [format!("{FULL} Sound"), format!("{INCREMENTAL} Damaged")];
    assert_eq!(checks, expected);
    assert_eq!(catalog.visible(&ledger).unwrap().len(), 2);
    assert_eq!(catalog.has_to_delete(&ledger).unwrap(), version < 6);
    has_mirrors(&catalog, version);
    has_pulls(&catalog, version);
    has_places(&catalog, version);
    has_contents(&catalog, version);
}

/// Looks for the contents of archives that the catalog of a version had.
fn has_contents(catalog: &Catalog, version: u32) {
    let known = |archive: &str| {
        let contents = catalog.contents(&archive.parse().unwrap()).unwrap();
        contents.map(|contents| (contents.stream_bytes, contents.objects.len()))
    };
    let is_there = |objects| (version >= 14).then_some((1500, objects));
    // From 15 on others can take the place of an archive's own.
    assert_eq!(known(FULL), is_there(if version >= 15 { 1 } else { 2 }));
    assert_eq!(known(INCREMENTAL), is_there(1));
    assert_eq!((known(RETIRED), known(ATTEMPT)), (None, None));
    let ledger = catalog.sources().unwrap()[0].ledger;
    if let Some(place) = catalog.places(&ledger).unwrap().first() {
        let copied = catalog.placed_contents(place.id).unwrap();
        // From 15 on the copy has those that others have replaced.
        assert_eq!(copied.len(), usize::from(version == 14));
    }
}

/// Looks for the mirrors that the catalog of a version had.
fn has_mirrors(catalog: &Catalog, version: u32) {
    let mirrors = catalog.mirrors().unwrap();
    let known: Vec<String> = mirrors
        .iter()
        .map(|row| {
            let copies = catalog.mirrored(row.id).unwrap();
            let copies: Vec<_> = copies.iter().map(|copy| copy.name.to_string()).collect();
            format!(
                "{} at {}: mark {}, sends {}, reached {}, has {}",
                row.source,
                row.location,
                row.mark.is_some(),
                row.sending.is_some(),
                row.reached_at.is_some(),
                copies.join(" ")
            )
        })
        .collect();
    let expected: &[&str] = match version {
        ..10 => &[],
        _ => &[
            "home at /mnt/second: mark true, sends false, reached true, has 2026-11-01 2026-11-07",
            "home at ssh://mirror@nas:2222/srv/copies: mark true, sends true, reached false, has ",
            "old-photos at /mnt/third: mark false, sends false, reached false, has ",
        ],
    };
    assert_eq!(known, expected);
}

/// Looks for the copies that the catalog of a version had.
fn has_places(catalog: &Catalog, version: u32) {
    let ledger = catalog.sources().unwrap()[0].ledger;
    let places = catalog.places(&ledger).unwrap();
    let known: Vec<String> = places
        .iter()
        .map(|row| {
            let rows = catalog.placed(row.id).unwrap();
            let whole = rows.iter().filter(|it| it.copied_at.is_some()).count();
            let segments = rows
                .iter()
                .map(|it| catalog.placed_segments(row.id, &it.archive).unwrap().len());
            let segments: usize = segments.sum();
            format!(
                "{} up to {}: {} archives, {whole} whole, {segments} segments",
                row.store,
                row.head,
                rows.len()
            )
        })
        .collect();
    let expected: &[&str] = match version {
        ..12 => &[],
        _ => &[
            "file:///second up to 5: 2 archives, 1 whole, 3 segments",
            "s3://third/archives up to 0: 0 archives, 0 whole, 0 segments",
        ],
    };
    assert_eq!(known, expected);
}

/// Looks for the pulled subvolumes that the catalog of a version had.
fn has_pulls(catalog: &Catalog, version: u32) {
    let pulls = catalog.pulls().unwrap();
    let known: Vec<String> = pulls
        .iter()
        .map(|row| {
            format!(
                "{}: begun {}, finished {}, entries {:?}",
                row.source,
                row.begun_at.is_some(),
                row.finished_at.is_some(),
                row.entries
            )
        })
        .collect();
    let expected: &[&str] = match version {
        ..11 => &[],
        _ => &[
            "home: begun false, finished true, entries Some(1234)",
            "photos: begun true, finished false, entries None",
        ],
    };
    assert_eq!(known, expected);
}

#[test]
fn a_catalog_of_each_version_is_brought_along_with_all_that_is_in_it() {
    let directory = tempfile::tempdir().unwrap();
    let catalog = directory.path().join("catalog.db");
    let newest = u32::try_from(frozen().len()).unwrap();
    for (version, script) in frozen() {
        put(&script, &catalog);
        assert_eq!(version_of(&catalog), version);
        has_all(&catalog, version);
        assert_eq!(version_of(&catalog), newest);
    }
}

/// Whether programs can be traced here. In CI it is a failure if not.
fn can_trace() -> bool {
    let tried = run(Command::new("strace").args(["-o", "/dev/null", "true"]));
    let Err(why) = tried else {
        return true;
    };
    let ci = std::env::var_os("CI").is_some_and(|ci| ci == "true");
    assert!(!ci, "CI=true, but nothing can be traced: {why}");
    eprintln!("skipped: nothing can be traced: {why}");
    false
}

/// `list` on that state directory, under `strace`.
fn list(state: &Path, options: &[&str]) -> Output {
    Command::new("strace")
        .args(["-f", "-qq"])
        .args(options)
        .arg(env!("CARGO_BIN_EXE_coldchain"))
        .args(["list", "--all", "--state-dir"])
        .arg(state)
        .env("COLDCHAIN_CONFIG", state.join("none.toml"))
        .output()
        .unwrap()
}

#[test]
fn a_run_that_is_killed_while_it_brings_a_catalog_along_loses_nothing() {
    if !can_trace() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let (catalog, log) = (
        directory.path().join("catalog.db"),
        directory.path().join("log"),
    );
    let newest = u32::try_from(frozen().len()).unwrap();
    let mut killed = 0;
    for (version, script) in frozen() {
        for call in ["pwrite64", "fdatasync", "fsync"] {
            put(&script, &catalog);
            let trace = format!("trace={call}");
            let whole = list(
                directory.path(),
                &["-o", log.to_str().unwrap(), "-e", &trace],
            );
            assert!(whole.status.success(), "{version}: {whole:?}");
            let made = format!("{call}(");
            let times = fs::read_to_string(&log)
                .unwrap()
                .lines()
                .filter(|line| line.contains(&made))
                .count();
            // At each of the few, and at a dozen of the many.
            for number in (1..=times).step_by(times.div_ceil(12).max(1)) {
                put(&script, &catalog);
                let inject = format!("inject={call}:signal=SIGKILL:when={number}");
                let ran = list(
                    directory.path(),
                    &["-o", "/dev/null", "-e", &trace, "-e", &inject],
                );
                assert!(!ran.status.success(), "{version} {call} {number}: {ran:?}");
                killed += 1;
                has_all(&catalog, version);
                assert_eq!(version_of(&catalog), newest);
            }
        }
    }
    assert!(killed > 50, "{killed}");
}
