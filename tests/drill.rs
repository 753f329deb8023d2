//! `coldchain verify --drill`: the newest chain comes back onto a filesystem of its own, is compared,
//! and nothing of it is left, however it ended.

mod common;

use std::fs;
use std::path::Path;

use common::loopfs::{LoopFs, btrfs, real_btrfs_available};
use common::machine::Machine;
use common::rng::Rng;
use common::sandbox::{Ran, Sandbox};
use common::stub::Stub;
use common::tree::{make_rich_tree, mutate_tree};
use common::whole::first_and_seventh;
use rustix::process::Signal;

/// A chain of two archives of a rich tree.
fn archived() -> Sandbox {
    let sandbox = Sandbox::new();
    let mut rng = Rng::new(41);
    make_rich_tree(&sandbox.source(), &mut rng);
    sandbox.backup("2025-01-01");
    mutate_tree(&sandbox.source(), &mut rng);
    // What the streams leave out is no difference.
    btrfs(["subvolume", "create"], &[&sandbox.source().join("nested")]);
    sandbox.backup("2025-01-07");
    sandbox
}

/// A drill in a directory of its own, in which nothing may be left.
fn drill(sandbox: &Sandbox) -> Ran {
    let directory = tempfile::tempdir().unwrap();
    let kit = sandbox.kit();
    let words = ["verify", "--drill", "--drill-dir"].map(Path::new);
    let ran = sandbox.run(words.into_iter().chain([
        directory.path(),
        Path::new("--identity"),
        kit.as_path(),
    ]));
    is_clean(directory.path());
    ran
}

fn is_clean(directory: &Path) {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    assert!(!mounts.contains(directory.to_str().unwrap()), "{mounts}");
    let left: Vec<_> = fs::read_dir(directory).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_drill_restores_the_newest_chain_compares_it_and_leaves_nothing() {
    if !real_btrfs_available() {
        return;
    }
    let sandbox = archived();
    let before = sandbox.stored();
    let ran = drill(&sandbox).ok();
    assert!(
        ran.stdout.contains(
            "home: drill      2 archives restored onto a filesystem of their own and compared\n"
        ),
        "{ran:?}"
    );
    assert!(!ran.stdout.contains("not compared"), "{ran:?}");
    assert_eq!(sandbox.stored(), before);
    let listed = sandbox.run(["list"]).ok();
    assert!(listed.stdout.contains("(deep today)"), "{listed:?}");

    // Without the snapshot there is nothing to compare with, and that is said.
    btrfs(["subvolume", "delete"], &[&sandbox.snapshot("2025-01-01")]);
    let ran = drill(&sandbox).ok();
    let not_compared = ran.stdout.matches(" was restored and not compared: ");
    assert_eq!(not_compared.count(), 1, "{ran:?}");
}

#[test]
fn a_drill_names_what_is_damaged_and_leaves_nothing() {
    if !real_btrfs_available() {
        return;
    }
    let sandbox = archived();
    let segment = sandbox
        .stored()
        .into_keys()
        .find(|path| {
            path.to_string_lossy().contains("2025-01-07-incr-") && path.ends_with("key.age")
        })
        .map(|key| {
            let mut segments = fs::read_dir(key.parent().unwrap())
                .unwrap()
                .map(|entry| entry.unwrap().path());
            segments.find(|path| *path != key).unwrap()
        })
        .unwrap();
    let mut bytes = fs::read(&segment).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 4;
    fs::write(&segment, bytes).unwrap();
    let ran = drill(&sandbox);
    assert_eq!(ran.code, Some(6), "{ran:?}");
    assert!(
        ran.stdout
            .contains("home: DAMAGED    home/archives/2025-01-07-incr-")
            && ran
                .stdout
                .contains("its SHA-256 is not the one in the ledger")
            && ran
                .stdout
                .contains("; 1 not: the restore ended before it\n"),
        "{ran:?}"
    );
    assert_eq!(sandbox.listed()["chains"][0]["state"], "damaged");
}

#[test]
fn a_drill_that_is_stopped_by_a_signal_leaves_nothing() {
    if !real_btrfs_available() {
        return;
    }
    let machine = Machine::fed(Some(LoopFs::new(256)));
    let [full, _] = first_and_seventh(100);
    let run = machine.run_with("decide 2024-01-01", &full);
    assert_eq!(run.code, Some(0), "{run:?}");
    let stub = Stub::new();
    let begun = stub.file("begun");
    let made = std::process::Command::new("mkfifo").arg(&begun).status();
    assert!(made.unwrap().success());
    stub.does(
        "receive",
        &format!("echo begun >'{}'; exec sleep 100000", begun.display()),
    );
    fs::create_dir(machine.path("drills")).unwrap();
    let words = "verify --drill --drill-dir $T/drills --identity $T/kit";
    let mut command = machine.command(words);
    let talk = machine.start_command(command.env("PATH", stub.path()));
    assert_eq!(fs::read_to_string(&begun).unwrap(), "begun\n");
    talk.signal(Signal::TERM);
    let run = talk.end();
    assert_eq!(run.code, Some(143), "{run:?}");
    is_clean(&machine.path("drills"));
}

#[test]
fn a_drill_needs_an_identity_and_touches_no_directory_that_is_not_its_own() {
    if !real_btrfs_available() {
        return;
    }
    let machine = Machine::fed(None);
    let [full, _] = first_and_seventh(100);
    let run = machine.run_with("decide 2024-01-01", &full);
    assert_eq!(run.code, Some(0), "{run:?}");
    assert_eq!(machine.run("verify --drill").code, Some(2));
    let own = machine.path("drills/coldchain-drill");
    fs::create_dir_all(&own).unwrap();
    fs::write(own.join("root"), "somebody's").unwrap();
    let run = machine.run("verify --drill --drill-dir $T/drills --identity $T/kit");
    assert_eq!(run.code, Some(2), "{run:?}");
    assert_eq!(fs::read(own.join("root")).unwrap(), b"somebody's");
}

#[test]
fn what_is_cold_is_not_thawed_for_a_drill() {
    if !real_btrfs_available() {
        return;
    }
    let machine = Machine::fed(None);
    machine.write_config(&common::machine::fed_config().replace(
        "path = \"$T/store\"",
        "path = \"$T/store\"\ncold = \"GLACIER\"\ncold_delay = \"0s\"",
    ));
    let [full, _] = first_and_seventh(100);
    let run = machine.run_with("decide 2024-01-01", &full);
    assert_eq!(run.code, Some(0), "{run:?}");
    let before = machine.standing();
    let run = machine.run("verify --drill --identity $T/kit");
    assert_eq!(run.code, Some(5), "{run:?}");
    assert_eq!(machine.standing(), before);
}
