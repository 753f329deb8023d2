//! Local snapshots that can't be deleted, and those that can't get their names: neither stops a night for ever, and none
//! is left behind.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::common::fill::fill_metadata;
use crate::common::loopfs::{LoopFs, btrfs, real_btrfs_available, run};
use crate::common::rng::Rng;
use crate::common::sandbox::{SOURCE, Sandbox, Setup, which};
use crate::common::tree::compare_trees;
use serde_json::json;

/// A source that is due on the first of a month, and keeps one snapshot beside the one that is needed.
fn source() -> Sandbox {
    let sandbox = Sandbox::with(&Setup {
        source: "keep_snapshots = 1",
        schedule: "days = [1]",
        ..Setup::default()
    });
    fs::write(sandbox.source().join("file"), Rng::new(5).bytes(8 << 20)).unwrap();
    sandbox
}

fn make_read_only(subvolume: &Path, value: &str) {
    let words = ["ro", value].map(Path::new);
    btrfs(["property", "set"], &[subvolume, words[0], words[1]]);
}

fn chattr(change: &str, path: &Path) {
    run(Command::new("chattr").arg(change).arg(path)).unwrap();
}

/// What keeps a snapshot from being deleted, until it is lifted.
struct Obstacle {
    put: fn(&Sandbox, &Path) -> Option<Child>,
    lift: fn(&Sandbox, &Path),
    /// What is said of it, with `$PATH` for the snapshot and `$DIR` for the directory that it lies in.
    said: &'static str,
}

const OBSTACLES: [Obstacle; 5] = [
    Obstacle {
        put: |_, path| {
            btrfs(["subvolume", "set-default"], &[path]);
            None
        },
        lift: |sandbox, _| {
            btrfs(["subvolume", "set-default", "5"], &[&sandbox.fs.root()]);
        },
        said: "it is the default subvolume of its filesystem; set another default with `btrfs subvolume set-default`, \
               such as `btrfs subvolume set-default 5 $DIR`",
    },
    Obstacle {
        put: |_, path| {
            make_read_only(path, "false");
            btrfs(["subvolume", "create"], &[&path.join("nested")]);
            make_read_only(path, "true");
            None
        },
        lift: |_, path| {
            make_read_only(path, "false");
            btrfs(["subvolume", "delete"], &[&path.join("nested")]);
            make_read_only(path, "true");
        },
        said: "the subvolume $PATH/nested lies in it; if you don't need that, run `btrfs property set $PATH ro false`, \
               `btrfs subvolume delete $PATH/nested` and `btrfs property set $PATH ro true`",
    },
    Obstacle {
        put: |_, path| {
            make_read_only(path, "false");
            chattr("+i", path);
            make_read_only(path, "true");
            None
        },
        lift: |_, path| {
            make_read_only(path, "false");
            chattr("-i", path);
            make_read_only(path, "true");
        },
        said: "$PATH has the attribute `i`; run `btrfs property set $PATH ro false`, `chattr -i $PATH` and \
               `btrfs property set $PATH ro true`",
    },
    Obstacle {
        put: |_, path| {
            let sender = Command::new("btrfs")
                .args(["send", "-q"])
                .arg(path)
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            // Until it reads.
            let stdout = sender.stdout.as_ref().unwrap();
            while rustix::io::ioctl_fionread(stdout).unwrap() == 0 {
                std::thread::yield_now();
            }
            Some(sender)
        },
        lift: |_, _| {},
        said: "a `btrfs send` is reading it; wait until that `btrfs send` ends, or stop it",
    },
    Obstacle {
        put: |_, path| {
            // So may a user, whatever it is good for.
            make_read_only(path, "false");
            chattr("+a", path);
            make_read_only(path, "true");
            None
        },
        lift: |_, path| {
            make_read_only(path, "false");
            chattr("-a", path);
            make_read_only(path, "true");
        },
        said: "$PATH has the attribute `a`; run `btrfs property set $PATH ro false`, `chattr -a $PATH` and \
               `btrfs property set $PATH ro true`",
    },
];

#[test]
fn a_snapshot_that_can_t_be_deleted_is_named_every_night_and_keeps_nothing_else() {
    if !real_btrfs_available() {
        return;
    }
    for obstacle in &OBSTACLES {
        let sandbox = source();
        for date in ["2025-01-01", "2025-01-02"] {
            sandbox.backup(date);
        }
        let stuck = sandbox.snapshot("2025-01-02");
        let sender = (obstacle.put)(&sandbox, &stuck);
        let said = obstacle
            .said
            .replace("$PATH", stuck.to_str().unwrap())
            .replace("$DIR", stuck.parent().unwrap().to_str().unwrap());
        let warning = format!(
            "warning: {SOURCE}: could not delete an expired snapshot, and the next run tries again: cannot delete the subvolume {}: {said}\n",
            stuck.display()
        );
        for (date, standing) in [
            ("2025-01-03", ["2025-01-01", "2025-01-02", "2025-01-03"]),
            ("2025-01-04", ["2025-01-01", "2025-01-02", "2025-01-04"]),
        ] {
            assert_eq!(sandbox.backup(date).stderr, warning);
            assert_eq!(sandbox.snapshot_names(), standing, "{said}");
        }
        if let Some(mut sender) = sender {
            sender.kill().unwrap();
            sender.wait().unwrap();
        }
        (obstacle.lift)(&sandbox, &stuck);
        assert_eq!(sandbox.backup("2025-01-05").stderr, "");
        assert_eq!(
            sandbox.snapshot_names(),
            ["2025-01-01", "2025-01-05"],
            "{said}"
        );
    }
}

#[test]
fn of_many_snapshots_that_can_t_be_deleted_three_are_named() {
    if !real_btrfs_available() {
        return;
    }
    let sandbox = source();
    sandbox.backup("2025-01-01");
    let directory = sandbox.fs.path("snapshots");
    for (day, warnings) in [(2, 0), (3, 1), (4, 2), (5, 3), (6, 4), (7, 4)] {
        let ran = sandbox.backup(&format!("2025-01-0{day}"));
        assert_eq!(ran.stderr.lines().count(), warnings, "{ran:?}");
        let last = ran.stderr.lines().last().unwrap_or_default();
        let more = format!(
            "warning: {SOURCE}: {} more snapshots could not be deleted",
            day - 5
        );
        assert_eq!(warnings == 4, last == more, "{ran:?}");
        (OBSTACLES[1].put)(&sandbox, &directory.join(format!("2025-01-0{day}")));
    }
}

#[test]
fn a_snapshot_that_somebody_made_writable_is_let_go_with_a_warning() {
    if !real_btrfs_available() {
        return;
    }
    let sandbox = source();
    for date in ["2025-01-01", "2025-01-02"] {
        sandbox.backup(date);
    }
    let taken = sandbox.snapshot("2025-01-02");
    make_read_only(&taken, "false");
    let warning = format!(
        "warning: {SOURCE}: {} is no longer the read-only snapshot that coldchain made: coldchain will never delete it\n",
        taken.display()
    );
    assert_eq!(sandbox.backup("2025-01-03").stderr, warning);
    assert_eq!(sandbox.backup("2025-01-04").stderr, "");
    assert_eq!(
        sandbox.snapshot_names(),
        ["2025-01-01", "2025-01-02", "2025-01-04"]
    );
}

fn unnamed(sandbox: &Sandbox, date: &str) -> PathBuf {
    sandbox.snapshot(&format!(".coldchain-new-{date}"))
}

#[test]
fn a_disk_whose_metadata_is_full_is_left_no_snapshots() {
    if !real_btrfs_available() {
        return;
    }
    let sandbox = Sandbox::with(&Setup {
        mib: 128,
        ..Setup::default()
    });
    fs::write(sandbox.source().join("file"), "content").unwrap();
    sandbox.backup("2025-01-01");
    let full = sandbox.fs.path("full");
    fill_metadata(&full);
    for date in ["2025-01-02", "2025-01-03", "2025-01-03"] {
        let ran = sandbox.run(["backup", date]);
        assert_eq!(ran.code, Some(1), "{ran:?}");
        assert!(
            ran.stderr.contains("could not name the snapshot")
                && ran.stderr.contains("No space left"),
            "{ran:?}"
        );
        assert_eq!(sandbox.snapshot_names(), ["2025-01-01"]);
    }
    fs::remove_dir_all(&full).unwrap();
    btrfs(["filesystem", "sync"], &[&sandbox.fs.root()]);
    sandbox.backup("2025-01-07");
    assert_eq!(sandbox.snapshot_names(), ["2025-01-01", "2025-01-07"]);
    assert_eq!(sandbox.committed(), ["2025-01-01", "2025-01-07"]);
}

/// Leaves the snapshot of a night as a run left it that could not name it, and knew nothing of removing it.
fn leave(sandbox: &Sandbox, date: &str) -> PathBuf {
    sandbox.backup(date);
    let left = unnamed(sandbox, date);
    fs::rename(sandbox.snapshot(date), &left).unwrap();
    left
}

#[test]
fn what_an_earlier_night_left_is_told_and_removed_and_nothing_that_looks_like_it() {
    if !real_btrfs_available() {
        return;
    }
    let sandbox = Sandbox::with(&Setup {
        schedule: "days = [1]",
        ..Setup::default()
    });
    fs::write(sandbox.source().join("file"), "content").unwrap();
    sandbox.backup("2025-01-01");
    let left = leave(&sandbox, "2025-01-02");
    // The same name, read-only, taken of this very source: and not by coldchain.
    let foreign = unnamed(&sandbox, "2024-12-24");
    btrfs(
        ["subvolume", "snapshot", "-r"],
        &[&sandbox.source(), &foreign],
    );
    let uuid = which(&foreign).uuid;
    let is_ours = format!(
        "{}: a run made this snapshot and could not give it its name",
        left.display()
    );
    let is_foreign = format!(
        "{}: it has the name of an unfinished snapshot, but nothing shows that coldchain made it: delete it with `btrfs subvolume delete` if you don't need it",
        foreign.display()
    );

    let doctor = sandbox.run(["doctor"]);
    let warnings = [
        format!("warning: {SOURCE}: {is_foreign}\n"),
        format!(
            "warning: {SOURCE}: {is_ours}; the next `coldchain backup` or `coldchain prune` removes it\n"
        ),
    ];
    for warning in &warnings {
        assert!(doctor.stderr.contains(warning), "{doctor:?}");
    }
    let planned = sandbox.run(["prune", "--dry-run"]).ok();
    assert_eq!(
        planned.stdout,
        format!("{SOURCE}: kept {is_foreign}\n{SOURCE}: to remove {is_ours}\n")
    );
    let planned = sandbox.run(["prune", "--dry-run", "--json"]).ok().json();
    let fates: Vec<_> = planned["sources"][0]["leftovers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|leftover| [&leftover["path"], &leftover["fate"]])
        .collect();
    assert_eq!(json!(fates), json!([[foreign, "keep"], [left, "remove"]]));
    assert!(left.exists());

    let pruned = sandbox.run(["prune"]).ok();
    assert_eq!(
        pruned.stdout,
        format!("{SOURCE}: kept {is_foreign}\n{SOURCE}: removed {is_ours}\n")
    );
    assert!(!left.exists());
    // The next night does the same.
    let left = leave(&sandbox, "2025-01-03");
    sandbox.backup("2025-01-04");
    assert!(!left.exists());
    assert_eq!(which(&foreign).uuid, uuid);
    // One that can't be removed keeps no night, and is tried again.
    let left = leave(&sandbox, "2025-01-05");
    chattr("+a", &sandbox.fs.path("snapshots"));
    let stuck = sandbox.run(["prune"]).ok();
    chattr("-a", &sandbox.fs.path("snapshots"));
    assert!(
        stuck
            .stderr
            .contains("has the attribute `a`; run `chattr -a "),
        "{stuck:?}"
    );
    assert!(left.exists());
    sandbox.backup("2025-01-06");
    assert!(!left.exists());
    // What an archive was made of is no leftover, though its name was lost with the power.
    let archived = sandbox.snapshot("2025-01-01");
    fs::rename(&archived, unnamed(&sandbox, "2025-01-01")).unwrap();
    sandbox.backup("2025-01-07");
    sandbox.run(["prune"]).ok();
    fs::rename(unnamed(&sandbox, "2025-01-01"), &archived).unwrap();
    assert_eq!(which(&foreign).uuid, uuid);
}

#[test]
fn snapshots_whose_directory_is_reached_by_another_path_are_built_on_and_deleted() {
    if !real_btrfs_available() {
        return;
    }
    let sandbox = source();
    for date in ["2025-01-01", "2025-01-02"] {
        sandbox.backup(date);
    }
    let directory = sandbox.fs.path("snapshots");
    let moved = sandbox.fs.path("moved");
    fs::rename(&directory, &moved).unwrap();
    // The config still has the old one, or what is mounted there is not: they are on the filesystem all the same.
    fs::create_dir(&directory).unwrap();
    let ran = sandbox.backup("2025-01-03");
    let warning = format!(
        "warning: {SOURCE}: could not delete an expired snapshot, and the next run tries again: {} is missing, but its subvolume is elsewhere on the filesystem; check whether the directory of the snapshots is mounted, and whether `snapshots` in the config names \
         it\n",
        sandbox.snapshot("2025-01-02").display()
    );
    assert_eq!(ran.stderr, warning);
    let config = fs::read_to_string(sandbox.config()).unwrap();
    let [before, now] =
        [&directory, &moved].map(|path| format!("snapshots = \"{}\"", path.display()));
    fs::write(sandbox.config(), config.replace(&before, &now)).unwrap();
    let names = || {
        let entries = fs::read_dir(&moved).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
        names.retain(|name| name != "current");
        names.sort();
        names
    };
    sandbox.backup("2025-01-04");
    assert_eq!(names(), ["2025-01-01", "2025-01-04"]);
    let planned = sandbox.run(["plan", "2025-02-01"]).ok();
    assert!(planned.stdout.contains("incremental"), "{planned:?}");
    sandbox.backup("2025-02-01");
    assert_eq!(
        sandbox.archives("committed")[1]["send_parent"],
        "2025-01-01"
    );
    assert_eq!(names(), ["2025-02-01"]);
    let other = LoopFs::new(512);
    sandbox.restore("2025-02-01", &other.root()).ok();
    compare_trees(
        &moved.join("2025-02-01"),
        &other.path(SOURCE).join("2025-02-01"),
    );
}

#[test]
fn a_snapshot_that_something_is_mounted_over_is_deleted_once_it_is_seen_again() {
    if !real_btrfs_available() {
        return;
    }
    let sandbox = source();
    for date in ["2025-01-01", "2025-01-02"] {
        sandbox.backup(date);
    }
    let hidden = sandbox.snapshot("2025-01-02");
    let unmount = || run(Command::new("umount").arg(&hidden)).unwrap();
    let source = sandbox.source();
    let bind = [Path::new("--bind"), &source];
    let tmpfs = ["-t", "tmpfs", "none"].map(Path::new);
    for (date, mount) in [("2025-01-03", &bind[..]), ("2025-01-04", &tmpfs[..])] {
        run(Command::new("mount").args(mount).arg(&hidden)).unwrap();
        let ran = sandbox.run(["backup", date]);
        unmount();
        let said = format!(
            "{} is missing, but its subvolume is elsewhere on the filesystem",
            hidden.display()
        );
        assert_eq!(ran.code, Some(0), "{ran:?}");
        assert!(ran.stderr.contains(&said), "{ran:?}");
    }
    assert_eq!(sandbox.backup("2025-01-05").stderr, "");
    assert_eq!(sandbox.snapshot_names(), ["2025-01-01", "2025-01-05"]);
}
