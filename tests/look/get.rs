//! What `get` copies, and what it never does.

use std::fs::{self, Permissions};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::fs::{CWD, FileType, Mode};

use super::places::{Places, days_ago};
use crate::common::loopfs::run;
use crate::common::rng::Rng;
use crate::common::tree::{compare_trees, make_rich_tree, mutate_tree};

/// The names in a directory.
pub(crate) fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn a_tree_comes_back_with_all_that_it_had() {
    let places = Places::new();
    let mut rng = Rng::new(23);
    make_rich_tree(&places.live(), &mut rng);
    places.take("2026-10-31");
    mutate_tree(&places.live(), &mut rng);
    places.night("2026-11-01");
    // From the snapshot here to the same filesystem, into a directory whose ACLs and group must not be inherited.
    let into = places.machine.btrfs().path("into");
    fs::create_dir(&into).unwrap();
    run(Command::new("setfacl")
        .args(["-m", "d:u:77:rwx,d:g:78:rx"])
        .arg(&into))
    .unwrap();
    fs::set_permissions(&into, Permissions::from_mode(0o2755)).unwrap();
    rustix::fs::chown(&into, None, Some(rustix::fs::Gid::from_raw(99))).unwrap();
    places.done("get home: --to $FS/into");
    compare_trees(&places.snapshot("2026-11-01"), &into.join("home"));
    places.done("get home:docs --date 2026-10-31 --to $FS/into/d");
    let deep = Path::new("docs/deep/er");
    compare_trees(
        &places.snapshot("2026-10-31").join(deep),
        &into.join("d/deep/er"),
    );
    // From the mirror's copy to another filesystem.
    places.drop("2026-11-01");
    let third = crate::common::loopfs::LoopFs::new(300);
    let target = third.path("all").display().to_string();
    let got = places.json(&[
        Path::new("get"),
        Path::new("home:"),
        Path::new("--to"),
        Path::new(&target),
    ]);
    assert_eq!(
        got["from"].as_str().unwrap(),
        places.copy("2026-11-01").display().to_string()
    );
    assert_eq!(got["not_kept"], serde_json::json!({}));
    assert_eq!(got["shared_bytes"], 0);
    compare_trees(&places.copy("2026-11-01"), Path::new(&target));
    // Holes stay holes.
    let sparse = Path::new(&target).join("work/sparse");
    if let Ok(sparse) = sparse.symlink_metadata() {
        assert!(sparse.blocks() * 512 < sparse.len() / 2, "{sparse:?}");
    }
    assert_eq!(names(&third.root()), ["all"]);
}

#[test]
fn blocks_are_shared_on_one_filesystem() {
    let places = Places::new();
    let content = Rng::new(1).bytes(8 << 20);
    fs::write(places.live().join("big"), &content).unwrap();
    places.take("2026-11-01");
    let got = places.json(&[
        Path::new("get"),
        Path::new("home:big"),
        Path::new("--to"),
        &places.live(),
        Path::new("--force"),
    ]);
    assert_eq!(got["shared_bytes"], 8 << 20);
    assert_eq!(got["files"], 1);
    assert!(fs::read(places.live().join("big")).unwrap() == content);
}

#[test]
fn the_version_is_chosen_by_date() {
    let places = Places::new();
    let file = places.live().join("f");
    let (old, new) = (days_ago(9).to_string(), days_ago(5).to_string());
    for (name, content) in [
        (old.clone(), "nightly"),
        (format!("{old}T0300"), "at three"),
        (format!("{new}T0100"), "at one"),
        (format!("{new}T0200"), "at two"),
    ] {
        fs::write(&file, content).unwrap();
        places.take(&name);
    }
    fs::remove_file(&file).unwrap();
    let today = days_ago(0).to_string();
    places.take(&today);
    let mut number = 0;
    let mut content = |words: &str| {
        number += 1;
        places.done(&format!("-q get {words} --to $T/{number}"));
        fs::read_to_string(places.machine.path(&number.to_string())).unwrap()
    };
    assert_eq!(content("home:f"), "at two");
    assert_eq!(content("home:f --date latest"), "at two");
    assert_eq!(content(&format!("home:f --date {old}")), "nightly");
    assert_eq!(content(&format!("home:f --date {old}T0300")), "at three");
    assert_eq!(content(&format!("home:f --date {new}")), "at two");
    assert_eq!(content("home:f --yesterday"), "at two");
    assert_eq!(content(&format!("$FS/snapshots/{old}T0300/f")), "at three");
    assert_eq!(
        content(&format!("$FS/snapshots/{old}T0300/f --date {old}")),
        "nightly"
    );
    let run = places.run(&format!("get home:f --date {today}"));
    assert_eq!(run.code, Some(1));
    assert!(
        run.stderr.contains(&format!(
            "error: the copy of {today} does not have home:/f\n"
        )),
        "{}",
        run.stderr
    );
    let run = places.run("get home:f --date 2001-01-01");
    assert_eq!(run.code, Some(2));
    assert!(
        run.stderr.contains("hint: run `coldchain snapshots home`"),
        "{}",
        run.stderr
    );
    let run = places.run("get home:f --date 2026-13-01");
    assert_eq!(run.code, Some(2), "{}", run.stderr);
    assert_eq!(
        places.run("get home:f --date today --yesterday").code,
        Some(2)
    );
}

#[test]
fn what_only_an_archive_has_is_brought_with_an_identity() {
    let places = Places::new();
    places
        .machine
        .write_config(crate::common::machine::LIVE_CONFIG);
    fs::write(places.live().join("f"), "1").unwrap();
    places.night("2026-11-01");
    places.night("2026-11-02");
    places.drop("2026-11-01");
    places.run("get home:f --date 2026-11-01").is(
        1,
        "",
        "error: no snapshot and no mirror's copy here has home:/f, but the archive of 2026-11-01 has it\n\
         hint: add --identity FILE with the recovery kit to bring it from there; it says first what that costs\n",
    );
}

#[test]
fn nothing_is_overwritten() {
    let places = Places::new();
    let live = places.live();
    fs::create_dir(live.join("d")).unwrap();
    fs::write(live.join("d/f"), "old").unwrap();
    fs::write(live.join("f"), "old").unwrap();
    places.take("2026-11-01");
    let there = places.machine.path("there");
    fs::create_dir(&there).unwrap();
    fs::write(there.join("f"), "mine").unwrap();
    fs::create_dir(there.join("d")).unwrap();
    fs::write(there.join("d/mine"), "mine").unwrap();
    symlink("/etc/hostname", there.join("link")).unwrap();
    let before = names(&there);
    let refused = |words: &str, code: i32, error: &str| {
        let run = places.run(words);
        assert_eq!((run.code, run.stdout.as_str()), (Some(code), ""), "{words}");
        assert!(run.stderr.contains(error), "{words}: {}", run.stderr);
        assert_eq!(names(&there), before, "{words}");
        assert_eq!(fs::read_to_string(there.join("f")).unwrap(), "mine");
        assert_eq!(names(&there.join("d")), ["mine"]);
    };
    refused(
        "get home:f --to $T/there",
        2,
        "cannot write $T/there/f: it exists already",
    );
    refused("get home:f --to $T/there/f", 2, "it exists already");
    refused("get home:d --to $T/there", 2, "it exists already");
    refused("get home:f --to $T/there/link", 2, "it exists already");
    refused(
        "get home:d --to $T/there --force",
        2,
        "cannot replace $T/there/d: it is a directory",
    );
    refused(
        "get home:f --to $T/there/new/",
        2,
        "there is no such directory",
    );
    refused(
        "get home:f --to $T/there/no/f",
        2,
        "there is no such directory",
    );
    refused(
        "get home:f --to $T/there/f/x",
        2,
        "there is no such directory",
    );
    // A file, a link and a file by a directory are replaced when asked for. The link's target stays.
    let hostname = fs::read("/etc/hostname").ok();
    places.done("get home:f --to $T/there --force");
    places.done("get home:f --to $T/there/link --force");
    assert_eq!(fs::read_to_string(there.join("f")).unwrap(), "old");
    assert_eq!(fs::read_to_string(there.join("link")).unwrap(), "old");
    assert_eq!(fs::read("/etc/hostname").ok(), hostname);
    places.done("get home:d --to $T/there/f --force");
    assert_eq!(names(&there.join("f")), ["f"]);
    assert_eq!(names(&there), before);
}

#[test]
fn the_working_directory_is_the_default() {
    let places = Places::new();
    fs::create_dir(places.live().join("d")).unwrap();
    fs::write(places.live().join("d/f"), "1").unwrap();
    places.take("2026-11-01");
    fs::remove_file(places.live().join("d/f")).unwrap();
    let run = places.run_in(
        &places.live().join("d"),
        &[Path::new("get"), Path::new("f")],
    );
    run.is(
        0,
        "./f from $FS/snapshots/2026-11-01/d/f (1 B)\n",
        "warning: home: the mirror $M was not looked at: it has no copies of this source\n",
    );
    assert_eq!(names(&places.live().join("d")), ["f"]);
}

#[test]
fn every_kind_of_file_comes_back_alone() {
    let places = Places::new();
    let live = places.live();
    let fifo = Mode::from_raw_mode(0o620);
    rustix::fs::mknodat(CWD, live.join("fifo"), FileType::Fifo, fifo, 0).unwrap();
    symlink("loop", live.join("loop")).unwrap();
    symlink("/etc/passwd", live.join("link")).unwrap();
    fs::write(live.join("line\nbreak"), "1").unwrap();
    fs::write(live.join("suid"), "1").unwrap();
    fs::set_permissions(live.join("suid"), Permissions::from_mode(0o4755)).unwrap();
    places.take("2026-11-01");
    for name in ["fifo", "loop", "link", "line\nbreak", "suid"] {
        let file = live.join(name);
        let run = places.run_in(&places.machine.path(""), &[Path::new("get"), &file]);
        assert_eq!(run.code, Some(0), "{name}: {}", run.stderr);
        let (one, other) = (live.join(name), places.machine.path(name));
        let (one, other) = (
            one.symlink_metadata().unwrap(),
            other.symlink_metadata().unwrap(),
        );
        assert_eq!(
            (one.mode(), one.mtime_nsec()),
            (other.mode(), other.mtime_nsec()),
            "{name}"
        );
    }
    assert!(
        places
            .machine
            .path("fifo")
            .metadata()
            .unwrap()
            .file_type()
            .is_fifo()
    );
    assert_eq!(
        fs::read_link(places.machine.path("loop")).unwrap(),
        PathBuf::from("loop")
    );
    let run = places.run("get home:loop/f");
    assert_eq!(run.code, Some(1), "{}", run.stderr);
}

#[test]
fn hard_links_whose_first_name_is_elsewhere_come_back() {
    let places = Places::new();
    let live = places.live();
    fs::create_dir_all(live.join("one/deep")).unwrap();
    fs::create_dir(live.join("two")).unwrap();
    fs::write(live.join("one/f"), "content").unwrap();
    for name in ["two/f", "two/g", "one/deep/f"] {
        fs::hard_link(live.join("one/f"), live.join(name)).unwrap();
    }
    rustix::fs::mknodat(CWD, live.join("two/fifo"), FileType::Fifo, Mode::RUSR, 0).unwrap();
    fs::hard_link(live.join("two/fifo"), live.join("two/fifo too")).unwrap();
    places.take("2026-11-01");
    places.done("get home:two --to $T/two");
    let stat = |name: &str| places.machine.path(name).symlink_metadata().unwrap();
    assert_eq!(fs::read(places.machine.path("two/f")).unwrap(), b"content");
    assert_eq!(stat("two/f").ino(), stat("two/g").ino());
    assert_eq!(stat("two/f").nlink(), 2);
    assert_eq!(stat("two/fifo").ino(), stat("two/fifo too").ino());
    // One file alone, and no directory above it.
    places.done("get home:one/deep/f --to $T");
    assert_eq!(stat("f").nlink(), 1);
}
