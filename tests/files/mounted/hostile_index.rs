//! Indexes that were changed by hand, or damaged: a mount shows no name that a program could be led astray by, and goes on.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::PathBuf;
use std::process::Command;

use rusqlite::Connection;
use rustix::process::Signal;

use super::{Mounted, archived};
use crate::common::machine::{LIVE_CONFIG, Machine};
use crate::common::rng::Rng;

const DATE: &str = "2026-11-07";

/// The end of an interval that is open.
const OPEN: i64 = i64::MAX;

fn machine() -> Option<Machine> {
    archived(LIVE_CONFIG, &[DATE], |live, _| {
        fs::create_dir(live.join("inner")).unwrap();
        fs::write(live.join("inner/deep"), "deep").unwrap();
        for name in ["large", "negative", "odd", "plain"] {
            fs::write(live.join(name), "data").unwrap();
        }
        std::os::unix::fs::symlink("plain", live.join("link")).unwrap();
    })
}

fn index_of(machine: &Machine) -> PathBuf {
    let mut found = fs::read_dir(machine.path("state/files")).unwrap();
    let is_index = |path: &PathBuf| path.extension().is_some_and(|end| end == "db");
    let mut paths = found.by_ref().map(|entry| entry.unwrap().path());
    paths.find(is_index).unwrap()
}

/// The object of a name in the root directory.
fn object(index: &Connection, name: &str) -> i64 {
    let sql = "SELECT object FROM entry WHERE parent = 1 AND name = ?1";
    let found = index.query_row(sql, [name.as_bytes()], |row| row.get(0));
    found.unwrap()
}

fn name(index: &Connection, parent: i64, name: &[u8], object: i64) {
    let sql = "INSERT INTO entry (parent, name, since, till, object) VALUES (?1, ?2, 1, ?3, ?4)";
    index.execute(sql, (parent, name, OPEN, object)).unwrap();
}

/// Sets a column of an object's version.
fn set(index: &Connection, column: &str, value: impl rusqlite::ToSql, object: i64) {
    let sql = format!("UPDATE version SET {column} = ?1 WHERE object = ?2");
    index.execute(&sql, (value, object)).unwrap();
}

/// Walks everything, as far as that can be done. Returns the names that were shown.
fn walk(mounted: &Mounted<'_>) -> BTreeSet<OsString> {
    let mut names = BTreeSet::new();
    let mut left = vec![(mounted.date(DATE), 0)];
    while let Some((directory, depth)) = left.pop() {
        let Ok(entries) = fs::read_dir(&directory) else {
            continue;
        };
        for entry in entries {
            let Ok(entry) = entry else { break };
            names.insert(entry.file_name());
            let Ok(facts) = entry.path().symlink_metadata() else {
                continue;
            };
            if facts.is_dir() && depth < 6 {
                left.push((entry.path(), depth + 1));
            } else if facts.is_symlink() {
                let _ = fs::read_link(entry.path());
            } else if let Ok(file) = fs::File::open(entry.path()) {
                let _ = file.read_at(&mut [0; 100], 0);
                let _ = file.read_at(&mut [0; 100], facts.size().saturating_sub(50));
                let _ = file.read_at(&mut [0; 100], i64::MAX as u64 - 100);
            }
            let mut value = [0; 1000];
            let _ = rustix::fs::llistxattr(entry.path(), &mut value[..]);
            let _ = rustix::fs::lgetxattr(entry.path(), "user.a", &mut value[..]);
        }
    }
    names
}

/// The mount is there still, and ends as it should.
fn ends_well(mounted: Mounted<'_>) -> String {
    let run = mounted.end_by(Signal::INT);
    assert_eq!((run.code, run.stdout.as_str()), (Some(0), ""), "{run:?}");
    assert!(!run.stderr.contains("panicked"), "{run:?}");
    run.stderr
}

#[test]
fn names_that_are_none_are_not_shown() {
    let Some(machine) = machine() else { return };
    let index = Connection::open(index_of(&machine)).unwrap();
    let (odd, inner) = (object(&index, "odd"), object(&index, "inner"));
    let long = vec![b'n'; 256];
    let none: [&[u8]; 8] = [b"", b".", b"..", b"a/b", b"/", b"../x", b"nul\0", &long];
    for parent in [1, inner] {
        for bytes in none {
            name(&index, parent, bytes, odd);
        }
        name(&index, parent, &[b'm'; 255], odd);
    }
    drop(index);
    let mounted = Mounted::new(&machine);
    let longest = OsString::from_vec(vec![b'm'; 255]);
    let mut expected: BTreeSet<OsString> =
        ["deep", "inner", "large", "link", "negative", "odd", "plain"]
            .map(OsString::from)
            .into();
    expected.insert(longest.clone());
    assert_eq!(walk(&mounted), expected);
    let date = mounted.date(DATE);
    assert_eq!(date.join(&longest).metadata().unwrap().len(), 4);
    assert_eq!(fs::read(date.join("plain")).unwrap(), b"data");
    ends_well(mounted);
}

#[test]
fn a_directory_that_is_below_itself_ends_somewhere() {
    let Some(machine) = machine() else { return };
    let index = Connection::open(index_of(&machine)).unwrap();
    let inner = object(&index, "inner");
    name(&index, inner, b"itself", inner);
    name(&index, inner, b"root", 1);
    name(&index, 1, b"again", inner);
    // A directory that is in no other.
    name(&index, 1, b"lost", 1 << 39);
    name(&index, 1, b"negative id", -5);
    name(&index, 1, b"huge id", 1 << 50);
    drop(index);
    let mounted = Mounted::new(&machine);
    let names = walk(&mounted);
    for none in ["lost", "negative id", "huge id"] {
        assert!(!names.contains(&OsString::from(none)), "{none}");
    }
    let found = Command::new("timeout")
        .args(["60", "find"])
        .arg(mounted.date(DATE))
        .output()
        .unwrap();
    assert!(
        found.status.code().is_some_and(|code| code < 2),
        "{found:?}"
    );
    assert_eq!(fs::read(mounted.date(DATE).join("plain")).unwrap(), b"data");
    ends_well(mounted);
}

#[test]
fn sizes_times_kinds_and_links_of_any_value_are_shown_or_refused() {
    let Some(machine) = machine() else { return };
    let index = Connection::open(index_of(&machine)).unwrap();
    let of = |name: &str| object(&index, name);
    set(&index, "size", i64::MAX, of("large"));
    set(&index, "size", -1, of("negative"));
    for column in ["mtime", "ctime"] {
        set(&index, column, i64::MIN, of("negative"));
        set(&index, column, i64::MAX, of("large"));
    }
    set(&index, "target", &b"a\0b"[..], of("link"));
    let odd: i64 = index
        .query_row(
            "INSERT INTO attr (mode, uid, gid, rdev, xattrs) VALUES (?1, 0, 0, 0, ?2) RETURNING id",
            (0o170_777, &b"\xffgarbage"[..]),
            |row| row.get(0),
        )
        .unwrap();
    set(&index, "attr", odd, of("odd"));
    drop(index);
    let mounted = Mounted::new(&machine);
    let date = mounted.date(DATE);
    let size = date.join("large").metadata().unwrap().len();
    assert_eq!(size, i64::MAX as u64);
    let names = walk(&mounted);
    assert!(!names.contains(&OsString::from("odd")), "{names:?}");
    assert!(date.join("odd").symlink_metadata().is_err());
    assert!(fs::read_link(date.join("link")).is_err());
    let large = fs::File::open(date.join("large")).unwrap();
    // The contents know better.
    let mut start = [0; 10];
    assert_eq!(large.read_at(&mut start, 0).unwrap(), 4);
    assert_eq!(&start[..4], b"data");
    assert_eq!(fs::read(date.join("plain")).unwrap(), b"data");
    ends_well(mounted);
}

#[test]
fn an_index_with_damaged_pages_never_ends_the_mount() {
    let Some(machine) = machine() else { return };
    let path = index_of(&machine);
    let checkpoint = "PRAGMA wal_checkpoint(TRUNCATE); PRAGMA journal_mode = DELETE";
    let index = Connection::open(&path).unwrap();
    let _ = index.execute_batch(checkpoint);
    drop(index);
    let sound = fs::read(&path).unwrap();
    let mut rng = Rng::new(5);
    let mut mounts = 0;
    for round in 0..6_usize {
        let mut bytes = sound.clone();
        let at = 4096 * (1 + round * 3 % (bytes.len() / 4096 - 1));
        if round == 5 {
            bytes.truncate(at + 100);
        } else {
            let end = at + 4096;
            bytes[at..end].copy_from_slice(&rng.bytes(4096));
        }
        fs::write(&path, bytes).unwrap();
        // Without an identity, it is not made anew.
        let mut command = machine.command("mount $T/mnt");
        let mut talk = machine.start_command(&mut command);
        let is_mounted = talk.line().is_some();
        let mounted = Mounted {
            talk: Some(talk),
            at: machine.path("mnt"),
        };
        if is_mounted {
            mounts += 1;
            walk(&mounted);
            ends_well(mounted);
        } else {
            let run = mounted.end();
            assert!(run.stderr.contains("hint: "), "{run:?}");
            assert!(!run.stderr.contains("panicked"), "{run:?}");
        }
    }
    assert!(mounts > 0);
    // With one, it is.
    let mounted = Mounted::new(&machine);
    let names: Vec<Vec<u8>> = fs::read_dir(mounted.date(DATE))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().as_bytes().to_vec())
        .collect();
    assert_eq!(names.len(), 6, "{names:?}");
    ends_well(mounted);
}
