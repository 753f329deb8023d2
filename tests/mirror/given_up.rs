//! Archives that are given up since no restore could apply their stream, on a machine with a mirror: the mirror's copies are
//! no way to send the same stream again.

use std::fs;

use super::disks::{Disks, MIRROR};
use crate::common::loopfs::{LoopFs, btrfs, real_btrfs_available};
use crate::common::machine::{LIVE_CONFIG, Run};
use crate::common::stream_builder::StreamBuilder;
use crate::common::stub::{Stub, send_by_btrfs};
use crate::common::tree::compare_trees;

/// The bytes of an END command.
const END: usize = 10;

/// A machine that indexes, whose mirror has the snapshots of these dates.
fn disks(seed: u64, dates: &[&str]) -> Disks {
    let mut disks = Disks::without_mirror(seed);
    disks.config(&format!("contents = true\n{LIVE_CONFIG}{MIRROR}"));
    send_by_btrfs(&disks.machine.path("config.toml"));
    for date in dates {
        disks.night(date);
        disks.mutate();
    }
    disks
}

/// A `btrfs` that notes against what each incremental stream is sent. To those that are sent against a path with one of these
/// words, it adds a rename of a path that is not there.
fn stub(words: &[&str]) -> Stub {
    let stub = Stub::new();
    let header = StreamBuilder::header(1).bytes.len();
    let rename = StreamBuilder::header(1).rename(b"o286-358-0/file", b"file");
    fs::write(stub.file("rename"), &rename.bytes[header..]).unwrap();
    fs::write(stub.file("sent"), "").unwrap();
    let patterns: Vec<String> = words.iter().map(|word| format!("*{word}*")).collect();
    stub.sends(&format!(
        "before=; for word; do [ \"$before\" = -p ] && against=$word; before=$word; done\n\
         [ -n \"$against\" ] || exec \"$real\" \"$@\"\n\
         echo \"$against\" >> '{}'\n\
         case \"$against\" in {}) ;; *) exec \"$real\" \"$@\" ;; esac\n\
         \"$real\" \"$@\" >\"$stream\" || exit\n\
         head -c -{END} \"$stream\"; cat '{}'; tail -c {END} \"$stream\"",
        stub.file("sent").display(),
        patterns.join("|"),
        stub.file("rename").display(),
    ));
    stub
}

/// Backs up a date by that program. Returns what it said, and how many streams were sent against a copy at the mirror.
fn back_up(disks: &Disks, stub: &Stub, date: &str) -> (Run, usize) {
    let mut command = disks.machine.command(&format!("backup home {date}"));
    let run = disks.machine.run_command(command.env("PATH", stub.path()));
    let sent = fs::read_to_string(stub.file("sent")).unwrap();
    let at_mirror = disks.second.root().display().to_string();
    let from_there = sent.lines().filter(|line| line.contains(&at_mirror));
    (run, from_there.count())
}

#[track_caller]
fn restores_equal(disks: &Disks, date: &str) {
    let to = LoopFs::new(700);
    let run = disks.run(&format!(
        "restore home {date} --from store --to {} --identity $T/kit --yes --quiet",
        to.root().display()
    ));
    assert_eq!(run.code, Some(0), "{run:?}");
    compare_trees(&disks.snapshot(date), &to.path("home").join(date));
}

#[test]
fn a_stream_of_the_mirrors_copies_that_is_given_up_is_not_sent_from_there_again() {
    if !real_btrfs_available() {
        return;
    }
    let disks = disks(41, &["2024-01-01", "2024-01-02"]);
    btrfs(
        ["subvolume", "delete"],
        &[disks.snapshot("2024-01-01").as_path()],
    );
    let from_copy = disks.copy("2024-01-01").display().to_string();
    let (run, from_there) = back_up(&disks, &stub(&[&from_copy]), "2024-01-07");
    assert_eq!(run.code, Some(0), "{run:?}");
    assert_eq!(from_there, 1, "{run:?}");
    assert_eq!(run.stderr.matches("is given up").count(), 1, "{run:?}");
    assert!(
        run.stderr.contains("2024-01-07 on 2024-01-01 is given up"),
        "{run:?}"
    );
    assert!(run.stdout.contains("2024-01-07: archived, full"), "{run:?}");
    assert_eq!(
        disks.machine.archived(),
        ["2024-01-01 full", "2024-01-07 full"]
    );
    restores_equal(&disks, "2024-01-07");
    assert_eq!(disks.compare(), 2);
}

#[test]
fn an_archive_that_is_given_up_is_not_sent_from_the_mirrors_copies_instead() {
    if !real_btrfs_available() {
        return;
    }
    let disks = disks(42, &["2024-01-01", "2024-01-07"]);
    btrfs(
        ["subvolume", "delete"],
        &[disks.snapshot("2024-01-01").as_path()],
    );
    let here = disks.snapshot("2024-01-07").display().to_string();
    // The mirror gets its copy against the same snapshot, and refuses what can't be received.
    let copies = disks.second.root().display().to_string();
    let (run, from_there) = back_up(&disks, &stub(&[&here, &copies]), "2024-01-14");
    assert_eq!(run.stderr.matches("is given up").count(), 1, "{run:?}");
    assert!(
        run.stderr.contains("2024-01-14 on 2024-01-07 is given up"),
        "{run:?}"
    );
    assert_eq!(from_there, 0, "{run:?}");
    assert!(run.stdout.contains("2024-01-14: archived, full"), "{run:?}");
    restores_equal(&disks, "2024-01-14");
}
