//! Streams that no restore could apply: each command is as it should be, but one names a path that is not there. The kernel's
//! sender makes such incrementals of some renames.

use std::fs;

use crate::common::loopfs::{LoopFs, real_btrfs_available};
use crate::common::machine::{LIVE_CONFIG, Machine, fed_config};
use crate::common::rng::Rng;
use crate::common::stream_builder::StreamBuilder;
use crate::common::stub::{Stub, send_by_btrfs};
use crate::common::tree::{compare_trees, make_rich_tree, mutate_tree};

const DATES: [&str; 3] = ["2025-01-01", "2025-01-07", "2025-01-14"];

/// What is wrong with the streams.
const WHAT: &str = "a rename command on `o286-358-0/file`, which is not there";

/// The bytes of an END command.
const END: usize = 10;

/// A rename of a path that is not there.
fn rename() -> Vec<u8> {
    let header = StreamBuilder::header(1).bytes.len();
    let stream = StreamBuilder::header(1).rename(b"o286-358-0/file", b"file");
    stream.bytes[header..].to_vec()
}

/// A `btrfs` that adds the rename to each incremental stream against the snapshot of one of these dates.
fn stub(against: &str) -> Stub {
    let stub = Stub::new();
    fs::write(stub.file("rename"), rename()).unwrap();
    stub.sends(&format!(
        "case \"$*\" in *-p*{against}*) ;; *) exec \"$real\" \"$@\" ;; esac\n\
         \"$real\" \"$@\" >\"$stream\" || exit\n\
         head -c -{END} \"$stream\"; cat '{}'; tail -c {END} \"$stream\"",
        stub.file("rename").display()
    ));
    stub
}

/// A machine that indexes, with archives of the first dates.
fn machine(dates: usize) -> Machine {
    let machine = Machine::with_subvolume(512);
    machine.write_config(&format!("contents = true\n{LIVE_CONFIG}"));
    send_by_btrfs(&machine.path("config.toml"));
    let mut rng = Rng::new(31);
    make_rich_tree(&machine.btrfs().path("home"), &mut rng);
    for date in &DATES[..dates] {
        let ran = machine.run(&format!("backup {date}"));
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{ran:?}");
        mutate_tree(&machine.btrfs().path("home"), &mut rng);
    }
    machine
}

/// Backs up a date by that program.
fn back_up(machine: &Machine, stub: &Stub, date: &str) -> (Option<i32>, String, String) {
    let mut command = machine.command(&format!("backup {date}"));
    let ran = machine.run_command(command.env("PATH", stub.path()));
    (ran.code, ran.stdout, ran.stderr)
}

#[track_caller]
fn restores_equal(machine: &Machine, date: &str) {
    let to = LoopFs::new(512);
    let ran = machine.run(&format!(
        "restore home {date} --from store --to {} --identity $T/kit --yes --quiet",
        to.root().display()
    ));
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let snapshot = machine.btrfs().path(format!("snapshots/{date}"));
    compare_trees(&snapshot, &to.path(format!("home/{date}")));
}

#[test]
fn an_incremental_that_no_restore_could_apply_becomes_a_full_on_the_same_night() {
    if !real_btrfs_available() {
        return;
    }
    let machine = machine(1);
    let (code, stdout, stderr) = back_up(&machine, &stub("2025"), DATES[1]);
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stdout.contains("2025-01-07: archived, full"), "{stdout}");
    let why = format!("the stream against the snapshot of 2025-01-01 can't be restored: {WHAT}");
    assert!(stdout.contains(&why), "{stdout}");
    assert_eq!(
        stderr,
        format!(
            "warning: home: the archive of 2025-01-07 on 2025-01-01 is given up, and made anew: its send stream can't be \
             restored: {WHAT}\n"
        )
    );
    assert_eq!(machine.archived(), ["2025-01-01 full", "2025-01-07 full"]);
    restores_equal(&machine, DATES[1]);
    // The index has the full: the next night is checked against it.
    let found = machine.run("find home --name file --date 2025-01-07");
    assert_eq!(found.code, Some(0), "{found:?}");
    // What was given up is no archive; its objects are orphans, which `prune` leaves alone for some days.
    assert_eq!(machine.objects(".zst.age").len(), 3);
    let (code, stdout, stderr) = back_up(&machine, &stub("2025-01-01"), DATES[2]);
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    assert!(
        stdout.contains("2025-01-14: archived, incremental"),
        "{stdout}"
    );
    restores_equal(&machine, DATES[2]);
}

#[test]
fn an_older_archive_whose_stream_can_be_restored_is_built_on_instead() {
    if !real_btrfs_available() {
        return;
    }
    let machine = machine(2);
    let (code, stdout, stderr) = back_up(&machine, &stub("2025-01-07"), DATES[2]);
    assert_eq!(code, Some(0), "{stderr}");
    assert!(
        stderr.contains("2025-01-14 on 2025-01-07 is given up"),
        "{stderr}"
    );
    assert!(
        stdout.contains("it builds on 2025-01-01, since"),
        "{stdout}"
    );
    restores_equal(&machine, DATES[2]);
}

#[test]
fn an_attempt_that_was_continued_is_given_up_too() {
    if !real_btrfs_available() {
        return;
    }
    let machine = machine(1);
    // Its sender fails at the end, so the attempt is left unfinished.
    let fails = Stub::new();
    fails.sends("\"$real\" \"$@\"; exit 3");
    let (code, _, stderr) = back_up(&machine, &fails, DATES[1]);
    assert_eq!(code, Some(1), "{stderr}");
    let (code, stdout, stderr) = back_up(&machine, &stub("2025"), DATES[1]);
    assert_eq!(code, Some(0), "{stderr}");
    // The same stream is not sent a second time.
    assert_eq!(stderr.matches("is given up").count(), 1, "{stderr}");
    assert!(stderr.contains("and made anew"), "{stderr}");
    assert!(stdout.contains("2025-01-07: archived, full"), "{stdout}");
    restores_equal(&machine, DATES[1]);
}

/// A stream of another machine.
fn stream(uuid: [u8; 16], parent: Option<[u8; 16]>) -> StreamBuilder {
    match parent {
        None => StreamBuilder::header(1)
            .subvol(b"snapshot", uuid, 10)
            .mkfile(b"a file"),
        Some(parent) => StreamBuilder::header(1)
            .snapshot(b"snapshot", uuid, 10, parent, 10)
            .write(b"a file", 0, &[8; 1000]),
    }
}

#[test]
fn a_stream_of_another_machine_is_archived_and_then_marked_so_that_the_next_is_a_full() {
    let machine = Machine::fed(None);
    machine.write_config(&format!("contents = true\n{}", fed_config()));
    let uuids = [[1; 16], [2; 16], [3; 16]];
    let first = stream(uuids[0], None).finish();
    machine
        .run_with("decide 2025-01-01", &first)
        .is(0, "c\n", "");
    let second = stream(uuids[1], Some(uuids[0])).raw(&rename()).finish();
    let ran = machine.run_with("decide 2025-01-07", &second);
    let archive = "2025-01-07-incr-$HEX16";
    ran.is(
        4,
        "i 2025-01-01\n",
        &format!(
            "error: `home` was archived, but a later step failed\n\
             caused by: the send stream of {archive} does not fit what it is built on: {WHAT}\n\
             hint: keep the snapshot of that date: the next archive is a full. `coldchain verify --drill` tries a restore\n"
        ),
    );
    let listed = machine.listed();
    let archives = listed["sources"][0]["chains"][0]["archives"].clone();
    assert_eq!(archives[0]["damaged"], false);
    assert_eq!(archives[1]["damaged"], true);
    let shown = machine.run("show home 2025-01-07");
    assert!(
        shown.stdout.contains("damaged") && shown.stdout.contains("drill"),
        "{shown:?}"
    );
    // Neither a listing nor opening all of it takes that back.
    let verified = machine.run("verify --deep --identity $T/kit");
    assert_eq!(verified.code, Some(0), "{verified:?}");
    let plan = machine.run("plan --date 2025-01-14");
    assert!(
        plan.stdout.contains("is damaged in 2025-01-07-incr-"),
        "{plan:?}"
    );
    let third = stream(uuids[2], None).finish();
    let ran = machine.run_with("decide 2025-01-14", &third);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), "c\n"), "{ran:?}");
}
