//! A machine with a second disk, and perhaps a third.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::fs::{Mode, OFlags};

use crate::common::loopfs::{LoopFs, btrfs, run};
use crate::common::machine::{LIVE_CONFIG, Machine, Run};
use crate::common::rng::Rng;
use crate::common::tree::{compare_trees, make_rich_tree, mutate_tree};

/// A machine whose source `home` has snapshots alone, and a mirror on a disk of its own.
pub(crate) struct Disks {
    pub(crate) machine: Machine,
    pub(crate) second: LoopFs,
    pub(crate) rng: Rng,
}

/// The source without a store.
pub(crate) const SNAPSHOTS_ALONE: &str = r#"timezone = "UTC"
state_dir = "$T/state"

[[source]]
name = "home"
subvolume = "$FS/home"
snapshots = "$FS/snapshots"
keep = 40
"#;

/// Its mirror on the second disk.
pub(crate) const MIRROR: &str = r#"
[[mirror]]
source = "home"
to = "$M"
keep = 40
"#;

impl Disks {
    /// A machine with snapshots alone and a mirror.
    pub(crate) fn new(seed: u64) -> Self {
        let disks = Self::without_mirror(seed);
        disks.config(&format!("{SNAPSHOTS_ALONE}{MIRROR}"));
        disks
    }

    /// The same, before the config names a mirror.
    pub(crate) fn without_mirror(seed: u64) -> Self {
        let machine = Machine::with_subvolume(700);
        let mut rng = Rng::new(seed);
        make_rich_tree(&machine.btrfs().path("home"), &mut rng);
        Self {
            machine,
            second: LoopFs::new(700),
            rng,
        }
    }

    /// The same with a store.
    pub(crate) fn with_store(seed: u64) -> Self {
        let disks = Self::without_mirror(seed);
        disks.config(&format!("{LIVE_CONFIG}{MIRROR}"));
        disks
    }

    /// Writes the config; `$M` is the second disk.
    pub(crate) fn config(&self, text: &str) {
        let second = self.second.root().display().to_string();
        self.machine.write_config(&text.replace("$M", &second));
    }

    /// A path on the second disk, in the mirror's directory of the source.
    pub(crate) fn copy(&self, name: &str) -> PathBuf {
        self.second.path("home").join(name)
    }

    pub(crate) fn snapshot(&self, name: &str) -> PathBuf {
        self.machine.btrfs().path("snapshots").join(name)
    }

    pub(crate) fn live(&self) -> PathBuf {
        self.machine.btrfs().path("home")
    }

    pub(crate) fn mutate(&mut self) {
        mutate_tree(&self.machine.btrfs().path("home"), &mut self.rng);
    }

    /// The night of a date, which must end well.
    #[track_caller]
    pub(crate) fn night(&self, date: &str) -> Run {
        let run = self.machine.run(&format!("backup home {date}"));
        assert_eq!(run.code, Some(0), "{}{}", run.stdout, run.stderr);
        run
    }

    /// Runs the program; what it says names the second disk `$M`.
    pub(crate) fn run(&self, words: &str) -> Run {
        let second = self.second.root().display().to_string();
        let run = self.machine.run(words);
        Run {
            stdout: run.stdout.replace(&second, "$M"),
            stderr: run.stderr.replace(&second, "$M"),
            ..run
        }
    }

    /// What `mirror --json` sent: name and kind.
    #[track_caller]
    pub(crate) fn mirrored(&self) -> Vec<String> {
        let run = self.machine.run("mirror home --json");
        assert_eq!(run.code, Some(0), "{}{}", run.stdout, run.stderr);
        sent(&run)
    }

    /// Compares every copy at the mirror with the snapshot of its name that is still here.
    #[track_caller]
    pub(crate) fn compare(&self) -> usize {
        compare_copies(
            &self.machine.btrfs().path("snapshots"),
            &self.second.path("home"),
        )
    }
}

impl Disks {
    /// Compares the newest copies, so many of them at most, with the snapshots of their names.
    #[track_caller]
    pub(crate) fn compare_newest(&self, most: usize) {
        let copies = names(&self.second.path("home"));
        for (name, copy) in copies.iter().rev().take(most) {
            compare_trees(&self.snapshot(name), copy);
        }
    }

    /// Panics if a run has left something half-made at the mirror.
    #[track_caller]
    pub(crate) fn nothing_half_made(&self) {
        let entries = fs::read_dir(self.second.path("home")).unwrap();
        let left: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.contains("staging") || name.contains("mirror.json."))
            .collect();
        assert!(left.is_empty(), "{left:?}");
    }

    /// How many copies were sent in full, by the catalog.
    pub(crate) fn fulls(&self) -> u32 {
        let path = self.machine.state().join("catalog.db");
        let catalog = rusqlite::Connection::open(path).unwrap();
        let count = "SELECT count(*) FROM mirrored WHERE built_on IS NULL";
        catalog.query_row(count, [], |row| row.get(0)).unwrap()
    }
}

/// What a run with `--json` sent: name and kind.
pub(crate) fn sent(run: &Run) -> Vec<String> {
    let done = run.stdout.lines().last().unwrap();
    let done: serde_json::Value = serde_json::from_str(done).unwrap();
    let mirrors = done["mirrors"].as_array().unwrap().iter();
    let sent = mirrors.flat_map(|mirror| mirror["sent"].as_array().unwrap());
    let word = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    sent.map(|it| format!("{} {}", word(&it["name"]), word(&it["kind"])))
        .collect()
}

/// Compares what has the same name in two directories of snapshots, entry by entry. Returns how many.
#[track_caller]
pub(crate) fn compare_copies(one: &Path, other: &Path) -> usize {
    let (one, other) = (names(one), names(other));
    let mut compared = 0;
    for (name, path) in &other {
        if let Some(original) = one.get(name) {
            compare_trees(original, path);
            compared += 1;
        }
    }
    compared
}

/// The snapshots in a directory, by name.
pub(crate) fn names(directory: &Path) -> BTreeMap<String, PathBuf> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        if name.starts_with("20") {
            found.insert(name, entry.path());
        }
    }
    found
}

/// Replaces the subvolume `live` by a writable snapshot of `of`, as a rollback does.
pub(crate) fn roll_back(live: &Path, of: &Path) {
    btrfs(["subvolume", "delete"], &[live]);
    btrfs(["subvolume", "snapshot"], &[of, live]);
}

/// Makes a read-only subvolume writable, changes it, and makes it read-only again.
pub(crate) fn tamper(snapshot: &Path) {
    let set = |value: &str| {
        let words = ["property", "set", "-f", "-t", "subvol"];
        run(Command::new("btrfs")
            .args(words)
            .arg(snapshot)
            .args(["ro", value]))
        .unwrap();
    };
    set("false");
    fs::write(snapshot.join("changed"), "by somebody").unwrap();
    set("true");
}

/// Changes a read-only subvolume as a program does that knows the flag alone: it keeps its received uuid.
pub(crate) fn tamper_keeping_received(snapshot: &Path) {
    // BTRFS_IOC_SUBVOL_SETFLAGS has no safe form here.
    let script = "import fcntl, os, struct, sys\nfd = os.open(sys.argv[1], os.O_RDONLY)\n\
                  fcntl.ioctl(fd, 0x4008941a, struct.pack('Q', int(sys.argv[2])))";
    let set = |flags: &str| {
        run(Command::new("python3")
            .args(["-c", script])
            .arg(snapshot)
            .arg(flags))
        .unwrap();
    };
    set("0");
    fs::write(snapshot.join("changed"), "by somebody").unwrap();
    sync(snapshot);
    set("2");
}

/// Makes the catalog believe that the mirror of `old` is where the second disk is now: another disk under its path.
pub(crate) fn retarget(disks: &Disks, old: &LoopFs) {
    let catalog = rusqlite::Connection::open(disks.machine.state().join("catalog.db")).unwrap();
    let [old, new] = [old.root(), disks.second.root()].map(|it| it.display().to_string());
    catalog
        .execute(
            "UPDATE mirror SET location = ?2 WHERE location = ?1",
            [old, new],
        )
        .unwrap();
}

/// Makes the filesystem durable.
pub(crate) fn sync(path: &Path) {
    let file = rustix::fs::open(path, OFlags::RDONLY, Mode::empty()).unwrap();
    rustix::fs::syncfs(file).unwrap();
}
