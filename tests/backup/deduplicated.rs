//! Snapshots that are deduplicated, before, between and while they are sent. Their content stays the same, and so no
//! archive fails by it, and the next one is still incremental.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;

use crate::common::dedupe::dedupe;
use crate::common::loopfs::{btrfs, real_btrfs_available, run};
use crate::common::rng::Rng;
use crate::common::sandbox::{Ran, Sandbox, which};
use crate::common::stub::{Stub, send_by_btrfs};
use rustix::fs::{CWD, FileType, Mode, mknodat};

const DATES: [&str; 4] = ["2025-01-01", "2025-01-07", "2025-01-14", "2025-01-21"];
/// How many pairs of equal files a source has.
const PAIRS: usize = 16;

fn names(pair: usize) -> [String; 2] {
    ["one", "other"].map(|side| format!("{side} {pair}"))
}

fn source_of_pairs() -> Sandbox {
    let sandbox = Sandbox::new();
    let mut rng = Rng::new(5);
    for pair in 0..PAIRS {
        let content = rng.bytes(50_000);
        for name in names(pair) {
            fs::write(sandbox.source().join(name), &content).unwrap();
        }
    }
    sandbox
}

/// Deduplicates a pair of a subvolume, with itself or with the file of another subvolume.
fn dedupe_pair(subvolume: &Path, with: &Path, pair: usize) {
    let [one, other] = names(pair);
    dedupe(&subvolume.join(one), &with.join(other));
    btrfs(["filesystem", "sync"], &[subvolume]);
}

/// Deduplicates a pair in a snapshot, which moves its ctransid on.
fn dedupe_snapshot(snapshot: &Path, with: &Path, pair: usize) {
    let before = which(snapshot).ctransid;
    dedupe_pair(snapshot, with, pair);
    assert!(which(snapshot).ctransid > before);
}

fn send_parents(sandbox: &Sandbox) -> Vec<Option<String>> {
    let archives = sandbox.archives("committed").into_iter();
    archives
        .map(|archive| archive["send_parent"].as_str().map(str::to_owned))
        .collect()
}

/// Changes half of the files: at their beginning, at their end, and by cutting them short.
fn change(sandbox: &Sandbox, night: usize) {
    for pair in (0..PAIRS).step_by(2) {
        let [one, other] = names(pair).map(|name| sandbox.source().join(name));
        let mut content = fs::read(&one).unwrap();
        content[0] ^= 1;
        content.extend(format!("the end of night {night}").bytes());
        fs::write(&one, &content).unwrap();
        fs::write(&other, &content[..content.len() - 5_000]).unwrap();
    }
}

#[test]
fn what_is_deduplicated_after_it_was_archived_is_still_built_on() {
    if !real_btrfs_available() {
        return;
    }
    let sandbox = source_of_pairs();
    sandbox.backup(DATES[0]);
    for (night, date) in DATES.iter().enumerate().skip(1) {
        let parent = sandbox.snapshot(DATES[night - 1]);
        // In itself, with the live subvolume, and the live one with it. An odd pair is never changed.
        dedupe_snapshot(&parent, &parent, 2 * night + 1);
        dedupe_snapshot(&parent, &sandbox.source(), 2 * night + 3);
        dedupe_pair(&sandbox.source(), &parent, 2 * night + 5);
        change(&sandbox, night);
        let ran = sandbox.backup(date);
        assert!(!ran.stderr.contains("warning"), "{ran:?}");
    }
    // The same date once more is no failure either.
    dedupe_snapshot(&sandbox.snapshot(DATES[3]), &sandbox.source(), 1);
    sandbox.backup(DATES[3]);
    let expected = [None, Some(DATES[0]), Some(DATES[1]), Some(DATES[2])];
    assert_eq!(
        send_parents(&sandbox),
        expected.map(|date| date.map(str::to_owned))
    );
    sandbox.restores_equal(&DATES);
}

/// What somebody does to a snapshot.
type Change = fn(&Path);

fn make_read_only(subvolume: &Path, value: &str) {
    let words = ["ro", value].map(Path::new);
    btrfs(["property", "set"], &[subvolume, words[0], words[1]]);
}

#[test]
fn what_somebody_has_changed_is_not_taken_for_deduplicated() {
    if !real_btrfs_available() {
        return;
    }
    let changes: [Change; 5] = [
        |snapshot| fs::write(snapshot.join("one 3"), "changed").unwrap(),
        |snapshot| fs::remove_file(snapshot.join("one 3")).unwrap(),
        |snapshot| fs::rename(snapshot.join("one 3"), snapshot.join("three")).unwrap(),
        |snapshot| fs::hard_link(snapshot.join("one 3"), snapshot.join("three")).unwrap(),
        |snapshot| {
            let file = fs::File::options()
                .write(true)
                .open(snapshot.join("one 3"))
                .unwrap();
            let times = fs::FileTimes::new().set_modified(std::time::UNIX_EPOCH);
            file.set_times(times).unwrap();
        },
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let sandbox = source_of_pairs();
        sandbox.backup(DATES[0]);
        let parent = sandbox.snapshot(DATES[0]);
        dedupe_snapshot(&parent, &parent, 1);
        make_read_only(&parent, "false");
        change(&parent);
        make_read_only(&parent, "true");
        sandbox.backup(DATES[1]);
        assert_eq!(send_parents(&sandbox), [None, None], "change {number}");
        sandbox.restores_equal(&DATES[1..2]);
    }
}

#[test]
fn a_file_whose_end_would_be_lost_is_found_whatever_was_deduplicated_since() {
    if !real_btrfs_available() {
        return;
    }
    let sandbox = source_of_pairs();
    let file = sandbox.source().join("cut short");
    fs::write(&file, Rng::new(6).bytes(8_000)).unwrap();
    let before = sandbox.fs.path("before");
    btrfs(
        ["subvolume", "snapshot", "-r"],
        &[&sandbox.source(), &before],
    );
    let shorten = fs::File::options().write(true).open(&file).unwrap();
    shorten.set_len(5_000).unwrap();
    sandbox.backup(DATES[0]);
    run(Command::new("cp")
        .args(["--reflink=always", "--no-preserve=all"])
        .args([&before.join("cut short"), &file]))
    .unwrap();
    let parent = sandbox.snapshot(DATES[0]);
    dedupe_snapshot(&parent, &parent, 1);
    let ran = sandbox.backup(DATES[1]);
    assert!(ran.stdout.contains("cut short"), "{ran:?}");
    assert_eq!(send_parents(&sandbox), [None, None]);
    sandbox.restores_equal(&DATES[1..2]);
}

/// Runs a backup whose sender waits for `act` before it looks at the snapshot. `act` is told how many senders there were
/// before. Returns how many there were.
fn backup_with(
    sandbox: &Sandbox,
    stub: &Stub,
    date: &str,
    mut act: impl FnMut(usize) + Send,
) -> (Ran, usize) {
    let [asks, told] = ["asks", "told"].map(|name| stub.file(&format!("{date} {name}")));
    for fifo in [&asks, &told] {
        mknodat(CWD, fifo, FileType::Fifo, Mode::RWXU, 0).unwrap();
    }
    stub.sends(&format!(
        "echo send >'{}'\nread -r answer <'{}'\nexec \"$real\" \"$@\"",
        asks.display(),
        told.display()
    ));
    thread::scope(|scope| {
        let answering = scope.spawn(|| {
            let mut before = 0;
            while fs::read_to_string(&asks).unwrap() == "send\n" {
                act(before);
                before += 1;
                fs::write(&told, "go on\n").unwrap();
            }
            before
        });
        let ran = sandbox.run_with_path(&stub.path(), ["backup", date]);
        fs::write(&asks, "enough\n").unwrap();
        (ran, answering.join().unwrap())
    })
}

#[test]
fn a_snapshot_that_is_deduplicated_just_before_it_is_sent_is_sent_once_more() {
    if !real_btrfs_available() {
        return;
    }
    let sandbox = source_of_pairs();
    send_by_btrfs(&sandbox.config());
    let stub = Stub::new();
    let snapshot = sandbox.snapshot(DATES[0]);
    let (ran, sent) = backup_with(&sandbox, &stub, DATES[0], |before| {
        if before < 2 {
            dedupe_snapshot(&snapshot, &snapshot, before);
        }
    });
    let ran = ran.ok();
    assert_eq!(sent, 3);
    let said = ran
        .stderr
        .matches("deduplication is at work in its snapshots")
        .count();
    assert_eq!(said, 1, "{ran:?}");
    // Then the send parent of an incremental.
    change(&sandbox, 1);
    let (ran, sent) = backup_with(&sandbox, &stub, DATES[1], |before| {
        if before < 1 {
            dedupe_snapshot(&snapshot, &snapshot, 5);
        }
    });
    ran.ok();
    assert_eq!(sent, 2);
    // A catalog that is made anew finds them again, though both have another ctransid by now.
    dedupe_snapshot(&snapshot, &snapshot, 7);
    sandbox.run(["catalog", "rebuild"]).ok();
    dedupe_snapshot(&sandbox.snapshot(DATES[1]), &snapshot, 9);
    fs::remove_file(sandbox.loaded_config().state_dir.join("catalog.db")).unwrap();
    let rebuilt = sandbox.run(["catalog", "rebuild"]).ok();
    assert!(
        rebuilt
            .stdout
            .contains("home: 2 snapshots found again here"),
        "{rebuilt:?}"
    );
    change(&sandbox, 2);
    sandbox.backup(DATES[2]);
    assert_eq!(
        send_parents(&sandbox),
        [None, Some(DATES[0].to_owned()), Some(DATES[1].to_owned())]
    );
    sandbox.restores_equal(&DATES[..3]);
}

#[test]
fn deduplication_that_goes_on_is_named_and_the_next_night_goes_on_with_the_archive() {
    if !real_btrfs_available() {
        return;
    }
    let sandbox = source_of_pairs();
    send_by_btrfs(&sandbox.config());
    let stub = Stub::new();
    let snapshot = sandbox.snapshot(DATES[0]);
    let (ran, sent) = backup_with(&sandbox, &stub, DATES[0], |before| {
        dedupe_snapshot(&snapshot, &snapshot, before);
    });
    assert_eq!((ran.code, sent), (Some(1), 11), "{ran:?}");
    for words in [
        "cannot send the snapshot of `home`: deduplication changed it or blocked the send 11 times in a row",
        "pause deduplication (bees, duperemove) while `coldchain backup` runs",
    ] {
        assert!(ran.stderr.contains(words), "{ran:?}");
    }
    change(&sandbox, 1);
    let next = sandbox.backup(DATES[1]);
    assert!(!next.stderr.contains("given up"), "{next:?}");
    assert_eq!(sandbox.committed(), DATES[..2]);
    sandbox.restores_equal(&DATES[..2]);
}

#[test]
fn a_sender_that_deduplication_holds_up_is_asked_again() {
    if !real_btrfs_available() {
        return;
    }
    let sandbox = source_of_pairs();
    send_by_btrfs(&sandbox.config());
    let stub = Stub::new();
    let count = stub.file("count");
    stub.sends(&format!(
        "echo >>'{0}'\n[ \"$(wc -l <'{0}')\" -gt 2 ] && exec \"$real\" \"$@\"\n\
         echo 'ERROR: send ioctl failed with -11: Resource temporarily unavailable' >&2\nexit 1",
        count.display()
    ));
    let ran = sandbox
        .run_with_path(&stub.path(), ["backup", DATES[0]])
        .ok();
    assert!(
        ran.stderr
            .contains("deduplication is at work in its snapshots"),
        "{ran:?}"
    );
    assert_eq!(sandbox.committed(), DATES[..1]);
    sandbox.restores_equal(&DATES[..1]);
}
