//! A disk that is full or must not be written: it is said, with what to do, nothing is visible that
//! is not whole, and the run after the cause is gone succeeds.

use std::fs;
use std::os::unix::fs::MetadataExt;

use crate::common::loopfs::{LoopFs, real_btrfs_available};
use crate::common::machine::{Machine, Run, fed_config};
use crate::common::rng::Rng;
use crate::common::tmpfs::Tmpfs;
use crate::common::tree::compare_trees;
use crate::common::whole::{first_and_seventh, visible_streams};

const FREE_STATE: &str =
    "hint: free some space where `state_dir` is, and run again: nothing that was stored is lost\n";
const FREE_STORE: &str = "hint: nothing half-written is left; free some space and run again\n";
const WRITABLE_STATE: &str = "hint: make `state_dir` writable, and run again\n";

/// A machine whose state directory is a disk of its own, of 4 MiB.
fn with_state_disk() -> (Tmpfs, Machine) {
    let machine = Machine::new();
    let disk = Tmpfs::on(&machine.state(), 4096);
    machine.write_config(&fed_config());
    let init = machine.run("init --kit $T/kit --quiet");
    assert_eq!((init.code, init.stderr.as_str()), (Some(0), ""));
    (disk, machine)
}

/// The same for the store.
fn with_store_disk(kib: u64) -> (Tmpfs, Machine) {
    let machine = Machine::fed(None);
    let disk = Tmpfs::on(&machine.path("store"), kib);
    (disk, machine)
}

/// Runs on ever fuller disks, each time on a machine as it was, until one has room enough. Whatever
/// happens, the archive is visible as a whole or not at all, and a second run with room makes it good.
/// Returns how often it failed.
fn with_ever_more_room(
    machine: fn() -> (Tmpfs, Machine),
    held_against: impl Fn(&Run, usize),
) -> u32 {
    let [stream, _] = first_and_seventh(90);
    for failures in 0.. {
        let (disk, machine) = machine();
        let free = usize::try_from(failures).unwrap() * 4;
        disk.leave_free(free);
        let run = machine.run_with("decide 2024-01-01", &stream);
        let visible = visible_streams(&machine);
        if run.code == Some(0) {
            assert_eq!(visible["2024-01-01"], stream);
            return failures;
        }
        held_against(&run, free);
        assert!(visible.values().all(|visible| *visible == stream));
        disk.free_all();
        let run = machine.run_with("decide 2024-01-01", &stream);
        assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""), "{free}");
        assert_eq!(visible_streams(&machine)["2024-01-01"], stream, "{free}");
        assert_eq!(machine.archived(), ["2024-01-01 full"], "{free}");
    }
    unreachable!("no disk is that full")
}

#[test]
fn a_full_disk_under_the_state_directory_is_said_and_costs_nothing() {
    let failures = with_ever_more_room(with_state_disk, |run, free| {
        let says = |cause: &str| {
            let end = format!(" in the catalog\ncaused by: {cause}\n{FREE_STATE}");
            let begin = match run.code {
                Some(1) => "error: could not ",
                // The archive stands, and what comes after it did not work out.
                _ => "error: `home` was archived, but a later step failed\ncaused by: could not ",
            };
            // So is the file index then, which is no error.
            let lines = run.stderr.split_inclusive('\n');
            let stderr: String = lines
                .filter(|line| !line.starts_with("warning: cannot record this run in "))
                .collect();
            let stderr = match stderr.split_once('\n') {
                Some((first, rest))
                    if first.starts_with("warning: home: cannot index the files: ") =>
                {
                    rest
                }
                _ => &stderr,
            };
            let what = stderr.strip_suffix(&end);
            let what = what.and_then(|what| what.strip_prefix(begin));
            what.is_some_and(|what| !what.contains('\n'))
        };
        let said = says("disk I/O error (SQLite's code 4874)")
            || says("database or disk is full (SQLite's code 13)");
        assert!(said && matches!(run.code, Some(1 | 4)), "{free}: {run:?}");
    });
    assert!(failures > 5, "{failures}");
}

#[test]
fn a_full_disk_under_the_store_is_said_and_costs_nothing() {
    let failures = with_ever_more_room(
        || with_store_disk(4096),
        |run, free| {
            let objects = [
                "home/archives/2024-01-01-full-$HEX16/key.age",
                "home/archives/2024-01-01-full-$HEX16/000000-$HEX16.zst.age",
                "home/archives/2024-01-01-full-$HEX16/contents-000000-$HEX16.zst.age",
                "home/README-RESTORE.txt",
                "home/ledger/00000001.entry",
                "home/ledger/00000002.entry",
            ];
            let says = |object: &str| {
                let said = format!(
                    "error: could not store {object} in file://$T/store: no space is left\n\
                     caused by: No space left on device (os error 28)\n{FREE_STORE}"
                );
                run.stderr == said
            };
            assert!(objects.iter().any(|object| says(object)), "{free}: {run:?}");
            assert_eq!((run.code, run.stdout.as_str()), (Some(1), "c\n"), "{free}");
        },
    );
    assert!(failures > 20, "{failures}");
}

#[test]
fn segments_that_were_stored_before_the_store_was_full_are_kept() {
    let (disk, machine) = with_store_disk(80 << 10);
    let [stream, _] = first_and_seventh(50 << 10);
    disk.leave_free(24 << 10);
    let run = machine.run_with("decide 2024-01-01", &stream);
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(run.stderr.ends_with(FREE_STORE), "{run:?}");
    let stored = machine.objects(".zst.age");
    assert_eq!(stored.len(), 1, "of four");
    let inode = |path: &std::path::PathBuf| fs::metadata(path).unwrap().ino();
    let before = inode(&stored[0]);
    disk.free_all();
    machine
        .run_with("decide 2024-01-01", &stream)
        .is(0, "c\n", "");
    assert_eq!(inode(&stored[0]), before);
    assert_eq!(machine.objects(".zst.age").len(), 4);
    assert_eq!(visible_streams(&machine)["2024-01-01"], stream);
}

#[test]
fn a_state_directory_that_must_not_be_written_is_said() {
    let (disk, machine) = with_state_disk();
    let [first, seventh] = first_and_seventh(10);
    machine
        .run_with("decide 2024-01-01", &first)
        .is(0, "c\n", "");
    disk.read_only();
    let stderr = format!(
        "error: could not open the catalog $T/state/catalog.db\n\
         caused by: Read-only file system (os error 30)\n{WRITABLE_STATE}"
    );
    for words in ["decide 2024-01-07", "prune"] {
        machine.run_with(words, &seventh).is(1, "", &stderr);
    }
    disk.writable();
    let run = machine.run_with("decide 2024-01-07", &seventh);
    run.is(0, "i 2024-01-01\n", "");
    assert_eq!(visible_streams(&machine)["2024-01-07"], seventh);
}

#[test]
fn a_state_directory_in_which_nothing_can_be_made_is_said_by_init() {
    let machine = Machine::new();
    let disk = Tmpfs::on(&machine.state(), 4096);
    machine.write_config(&fed_config());
    disk.read_only();
    machine.run("init --kit $T/kit --quiet").is(
        1,
        "",
        "error: could not open the catalog $T/state/catalog.db\n\
         caused by: Read-only file system (os error 30)\n\
         hint: make `state_dir` writable, and run again\n",
    );
    disk.writable();
    disk.leave_free(0);
    machine.run("init --kit $T/kit --quiet").is(
        1,
        "",
        "error: could not open the journal in the catalog\n\
         caused by: database or disk is full (SQLite's code 13)\n\
         hint: free some space where `state_dir` is, and run again: nothing that was stored is lost\n",
    );
    disk.free_all();
    let run = machine.run("init --kit $T/kit --quiet");
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
    let [first, _] = first_and_seventh(10);
    machine
        .run_with("decide 2024-01-01", &first)
        .is(0, "c\n", "");
}

#[test]
fn a_store_that_must_not_be_written_is_said_and_can_be_read() {
    let (disk, machine) = with_store_disk(4096);
    let [first, seventh] = first_and_seventh(10);
    machine
        .run_with("decide 2024-01-01", &first)
        .is(0, "c\n", "");
    let before = machine.standing();
    disk.read_only();
    machine.run_with("decide 2024-01-07", &seventh).is(
        1,
        "i 2024-01-01\n",
        "error: could not store home/archives/2024-01-07-incr-$HEX16/key.age in file://$T/store: access is denied\n\
         caused by: Read-only file system (os error 30)\n\
         hint: check the owner and mode, and whether it is mounted read-only\n",
    );
    assert_eq!(machine.archived(), ["2024-01-01 full"]);
    assert_eq!(machine.standing(), before);
    disk.writable();
    let run = machine.run_with("decide 2024-01-07", &seventh);
    run.is(0, "i 2024-01-01\n", "");
    assert_eq!(visible_streams(&machine)["2024-01-07"], seventh);
}

#[test]
fn a_restore_onto_a_full_filesystem_is_said_and_goes_on_when_there_is_room() {
    if !real_btrfs_available() {
        return;
    }
    let machine = Machine::with_subvolume(512);
    let home = machine.btrfs().path("home");
    fs::write(home.join("large"), Rng::new(31).bytes(40 << 20)).unwrap();
    assert_eq!(machine.run("backup 2024-01-01 --quiet").code, Some(0));
    fs::write(home.join("larger"), Rng::new(32).bytes(60 << 20)).unwrap();
    assert_eq!(machine.run("backup 2024-01-07 --quiet").code, Some(0));
    let target = LoopFs::new(256);
    // Room for the first, and not for the second.
    let in_the_way = target.path("in the way");
    fs::write(&in_the_way, Rng::new(33).bytes(90 << 20)).unwrap();
    let words = format!(
        "restore home --from store --identity $T/kit --yes --to {}",
        target.root().display()
    );
    let run = machine.run(&words);
    assert_eq!((run.code, run.stdout.as_str()), (Some(1), ""), "{run:?}");
    let said = format!(
        "error: cannot receive into {}: `btrfs` ended with exit status: 1: ",
        target.path("home").display()
    );
    assert!(run.stderr.starts_with(&said), "{run:?}");
    let said = "No space left on device\nhint: free some space on that filesystem, and run again\n";
    assert!(run.stderr.ends_with(said), "{run:?}");
    assert!(target.path("home/2024-01-01").exists());
    assert!(!target.path("home/2024-01-07").exists());

    fs::remove_file(&in_the_way).unwrap();
    let run = machine.run(&words);
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
    for date in ["2024-01-01", "2024-01-07"] {
        let snapshot = machine.btrfs().path(format!("snapshots/{date}"));
        compare_trees(&snapshot, &target.path(format!("home/{date}")));
    }
}
