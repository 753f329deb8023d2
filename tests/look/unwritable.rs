//! Targets that can't be written, runs that are killed, and users without root.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::process::Stdio;

use rustix::fs::{CWD, FileType, Mode};
use rustix::process::Signal;

use super::get::names;
use super::places::Places;
use crate::common::loopfs::btrfs;
use crate::common::rng::Rng;
use crate::common::tmpfs::Tmpfs;
use crate::common::tree::compare_trees;

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
fn a_run_that_is_stopped_leaves_nothing() {
    let places = Places::new();
    fs::create_dir(places.live().join("d")).unwrap();
    for number in 0..60 {
        let content = Rng::new(number).bytes(500_000);
        fs::write(places.live().join(format!("d/{number}")), content).unwrap();
    }
    places.take("2026-11-01");
    let to = places.machine.path("to");
    let _small = Tmpfs::on(&to, 100 << 10);
    let mut stopped = 0;
    for _ in 0..6 {
        let run = places.machine.start("-q get home:d --to $T/to/d");
        while names(&to).is_empty() {
            std::thread::yield_now();
        }
        run.signal(Signal::TERM);
        let run = run.end();
        if run.code == Some(0) {
            compare_trees(&places.live().join("d"), &to.join("d"));
            fs::remove_dir_all(to.join("d")).unwrap();
        } else {
            stopped += 1;
            assert_eq!(run.code, Some(143), "{}", run.stderr);
        }
        assert_eq!(names(&to), Vec::<String>::new());
    }
    assert!(stopped > 0);
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
        places.machine.btrfs().path("snapshots"),
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
