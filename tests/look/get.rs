//! What `get` copies, and what it never does.

use std::fs::{self, Permissions};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _, symlink};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::fs::{CWD, FileType, Mode};

use super::places::{Places, days_ago};
use crate::common::loopfs::{btrfs, run};
use crate::common::rng::Rng;
use crate::common::tmpfs::Tmpfs;
use crate::common::tree::{compare_trees, make_rich_tree, mutate_tree};

/// The names in a directory.
fn names(directory: &Path) -> Vec<String> {
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
    places.done("get home:docs --to $FS/into/d");
    compare_trees(&into.join("home/docs/deep/er"), &into.join("d/deep/er"));
    // From the mirror's copy to another filesystem.
    places.drop("2026-11-01");
    let to = places.machine.path("plain");
    fs::create_dir(&to).unwrap();
    let third = crate::common::loopfs::LoopFs::in_memory(300, "");
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
fn what_only_an_archive_has_is_restored() {
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
        "error: there is no snapshot 2026-11-01 of `home` here, and no copy of it at an attached mirror\n\
         hint: run `coldchain restore home 2026-11-01 --to DIR`, and copy the file from there: it is archived\n",
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
fn a_target_that_cannot_be_written_stays_as_it_was() {
    let places = Places::new();
    fs::create_dir(places.live().join("d")).unwrap();
    fs::write(places.live().join("d/big"), Rng::new(3).bytes(3 << 20)).unwrap();
    fs::write(places.live().join("small"), "1").unwrap();
    places.take("2026-11-01");
    let small = Tmpfs::on(&places.machine.path("small"), 2048);
    for words in ["get home:d/big --to $T/small", "get home:d --to $T/small"] {
        let run = places.run(words);
        assert_eq!((run.code, run.stdout.as_str()), (Some(1), ""));
        assert!(
            run.stderr.contains("error: could not write $T/small/"),
            "{}",
            run.stderr
        );
        assert!(
            run.stderr.contains("hint: free some space there"),
            "{}",
            run.stderr
        );
        assert_eq!(names(&places.machine.path("small")), Vec::<String>::new());
    }
    small.read_only();
    let run = places.run("get home:small --to $T/small");
    assert_eq!(run.code, Some(1));
    assert!(
        run.stderr.contains("hint: make it writable"),
        "{}",
        run.stderr
    );
    // A snapshot is read-only too.
    let run = places.run("get home:small --to $FS/snapshots/2026-11-01/d");
    assert_eq!(run.code, Some(1));
    assert!(
        run.stderr.contains("hint: make it writable"),
        "{}",
        run.stderr
    );
}

#[test]
fn what_is_left_of_a_killed_run_is_no_part_of_the_target() {
    let places = Places::new();
    fs::create_dir(places.live().join("d")).unwrap();
    for number in 0..40 {
        fs::write(
            places.live().join(format!("d/{number}")),
            Rng::new(number).bytes(500_000),
        )
        .unwrap();
    }
    places.take("2026-11-01");
    let to = places.machine.path("to");
    let _small = Tmpfs::on(&to, 200 << 10);
    let mut cut = 0;
    for round in 0..12 {
        let mut command = places.machine.command("-q get home:d --to $T/to/d");
        let mut child = command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // Killed when so many of its files are there.
        let wanted = round * 4;
        loop {
            let made = names(&to);
            let work = made.iter().find(|name| name.starts_with(".coldchain-get-"));
            let files = work.map(|work| to.join(work).join("new"));
            let files = files
                .and_then(|new| fs::read_dir(new).ok())
                .map_or(0, Iterator::count);
            if files > wanted || child.try_wait().unwrap().is_some() {
                break;
            }
        }
        let _ = child.kill();
        child.wait().unwrap();
        if to.join("d").exists() {
            compare_trees(&places.live().join("d"), &to.join("d"));
        } else {
            cut += 1;
            assert!(
                names(&to)
                    .iter()
                    .all(|name| name.starts_with(".coldchain-get-"))
            );
        }
        for name in names(&to) {
            fs::remove_dir_all(to.join(name)).unwrap();
        }
    }
    assert!(cut > 0);
    // Killed in the last moment before it gets its name.
    let strace = "-f -qq -o /dev/null -e trace=renameat2 -e inject=renameat2:signal=KILL";
    let mut traced = places.machine.command_of("strace", strace);
    traced
        .args([
            env!("CARGO_BIN_EXE_coldchain"),
            "-q",
            "get",
            "home:d",
            "--to",
        ])
        .arg(to.join("d"));
    places.machine.run_command(&mut traced);
    let [left] = &names(&to)[..] else {
        panic!("{:?}", names(&to));
    };
    assert!(left.starts_with(".coldchain-get-"), "{left}");
    compare_trees(&places.live().join("d"), &to.join(left).join("new"));
    places.done("-q get home:d --to $T/to/again");
    compare_trees(&places.live().join("d"), &to.join("again"));
}

#[test]
fn without_root_it_says_what_was_not_kept() {
    let places = Places::new();
    let live = places.live();
    fs::create_dir(live.join("d")).unwrap();
    fs::write(live.join("d/suid"), "1").unwrap();
    fs::set_permissions(live.join("d/suid"), Permissions::from_mode(0o4755)).unwrap();
    fs::write(live.join("d/secret"), "1").unwrap();
    let null = rustix::fs::makedev(1, 3);
    let mode = Mode::from_raw_mode(0o666);
    rustix::fs::mknodat(
        CWD,
        live.join("d/null"),
        FileType::CharacterDevice,
        mode,
        null,
    )
    .unwrap();
    places.take("2026-11-01");
    let theirs = places.machine.path("theirs");
    fs::create_dir(&theirs).unwrap();
    rustix::fs::chown(
        &theirs,
        Some(rustix::fs::Uid::from_raw(65_534)),
        Some(rustix::fs::Gid::from_raw(65_534)),
    )
    .unwrap();
    for path in [
        places.machine.path(""),
        places.machine.path("config.toml"),
        places.machine.btrfs().root().parent().unwrap().to_owned(),
    ] {
        let mode = if path.is_dir() { 0o755 } else { 0o644 };
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }
    let program = places.machine.path("program");
    fs::copy(env!("CARGO_BIN_EXE_coldchain"), &program).unwrap();
    let get = |words: &str| {
        let mut command = places.machine.command_of(&program, words);
        command.uid(65_534).gid(65_534).current_dir(&theirs);
        places.machine.run_command(&mut command)
    };
    let run = get("get home:d");
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert!(
        run.stderr
            .contains("warning: 3 files: the owner was not kept"),
        "{}",
        run.stderr
    );
    assert!(
        run.stderr
            .contains("warning: 1 file left out: only root can make a device"),
        "{}",
        run.stderr
    );
    assert_eq!(names(&theirs.join("d")), ["secret", "suid"]);
    let mode = theirs.join("d/suid").metadata().unwrap().mode();
    assert_eq!(mode & 0o7777, 0o755);
    // A directory that its owner can't write to gets its name too.
    fs::set_permissions(live.join("d"), Permissions::from_mode(0o555)).unwrap();
    places.take("2026-11-02");
    let run = get("get home:d --to again");
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert_eq!(
        theirs.join("again").metadata().unwrap().mode() & 0o7777,
        0o555
    );
    assert_eq!(names(&theirs), ["again", "d"]);
    // What may not be read is not got, and nothing is left.
    fs::set_permissions(live.join("d/secret"), Permissions::from_mode(0o600)).unwrap();
    places.take("2026-11-03");
    let run = get("get home:d --to third");
    assert_eq!(run.code, Some(1), "{}", run.stderr);
    assert!(
        run.stderr.contains("caused by: Permission denied"),
        "{}",
        run.stderr
    );
    assert_eq!(names(&theirs), ["again", "d"]);
}

#[test]
fn a_nested_subvolume_comes_back_empty_with_a_warning() {
    let places = Places::new();
    fs::create_dir(places.live().join("d")).unwrap();
    btrfs(["subvolume", "create"], &[&places.live().join("d/vm")]);
    fs::write(places.live().join("d/vm/disk"), "1").unwrap();
    places.take("2026-11-01");
    let run = places.run("get home:d --to $T/d");
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert!(
        run.stderr
            .contains("warning: 1 file left empty: a nested subvolume"),
        "{}",
        run.stderr
    );
    assert_eq!(names(&places.machine.path("d/vm")), Vec::<String>::new());
    let run = places.run("get home:d/vm/disk --to $T/disk");
    assert_eq!(run.code, Some(1));
    assert!(
        run.stderr.contains("it is a subvolume of its own"),
        "{}",
        run.stderr
    );
}
