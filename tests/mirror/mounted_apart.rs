//! Systems that mount each subvolume at a place of its own, as many distributions do.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::disks::{Disks, MIRROR, SNAPSHOTS_ALONE, compare_copies, roll_back, sent};
use crate::common::loopfs::{LoopFs, btrfs, real_btrfs_available, run};
use crate::common::machine::Run;
use crate::common::tree::{compare_trees, mutate_tree};

/// A subvolume of a filesystem, mounted by itself.
struct Mounted(PathBuf);

impl Mounted {
    fn at(place: PathBuf, of: &LoopFs, subvolume: &str) -> Self {
        fs::create_dir_all(&place).unwrap();
        let words = ["--noheadings", "--output", "SOURCE"];
        let device = run(Command::new("findmnt").args(words).arg(of.root())).unwrap();
        // It has the path within the filesystem behind it.
        let device = String::from_utf8(device.stdout).unwrap();
        let device = device.trim().split('[').next().unwrap().to_owned();
        let subvolume = format!("subvol={subvolume}");
        run(Command::new("mount")
            .args(["-t", "btrfs", "-o", &subvolume, &device])
            .arg(&place))
        .unwrap();
        Self(place)
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let unmounted = run(Command::new("umount").arg(&self.0));
        assert!(
            unmounted.is_ok() || std::thread::panicking(),
            "{unmounted:?}"
        );
    }
}

/// A source and a mirror of which nothing is reached by the top of its filesystem.
struct Apart {
    // They are unmounted before the disks are.
    home: Option<Mounted>,
    snapshots: Mounted,
    mirror: Mounted,
    disks: Disks,
}

impl Apart {
    fn new(seed: u64, sender: &str) -> Self {
        let disks = Disks::without_mirror(seed);
        disks.machine.btrfs().subvolume("@snapshots");
        disks.second.subvolume("@mirror");
        let place = |name: &str| disks.machine.path(name);
        let first = disks.machine.btrfs();
        let apart = Self {
            home: Some(Mounted::at(place("mounted/home"), first, "home")),
            snapshots: Mounted::at(place("mounted/snapshots"), first, "@snapshots"),
            mirror: Mounted::at(place("mounted/mirror"), &disks.second, "@mirror"),
            disks,
        };
        apart.config(sender);
        apart
    }

    fn config(&self, sender: &str) {
        let config = format!("sender = \"{sender}\"\n{SNAPSHOTS_ALONE}{MIRROR}");
        let config = config.replace("$FS", "$T/mounted");
        self.disks
            .config(&config.replace("$M", "$T/mounted/mirror"));
    }

    fn night(&mut self, date: &str) -> Run {
        mutate_tree(
            &self.disks.machine.path("mounted/home"),
            &mut self.disks.rng,
        );
        let night = self.disks.run(&format!("backup home {date} --json"));
        assert_eq!(night.code, Some(0), "{}{}", night.stdout, night.stderr);
        night
    }

    fn equal(&self, date: &str) {
        compare_trees(
            &self.snapshots.0.join(date),
            &self.mirror.0.join("home").join(date),
        );
    }
}

/// The name that a night's snapshot was sent to the mirror against.
fn parent(night: &Run) -> Option<String> {
    let mut begun = night
        .stdout
        .lines()
        .filter(|line| line.contains("mirror-begun"));
    let begun: serde_json::Value = serde_json::from_str(begun.next().unwrap()).unwrap();
    begun["parent"].as_str().map(str::to_owned)
}

#[test]
fn what_is_mounted_by_itself_is_mirrored_known_and_restored() {
    if !real_btrfs_available() {
        return;
    }
    let mut apart = Apart::new(61, "kernel");
    for day in 1..=3 {
        let night = apart.night(&format!("2024-01-0{day}"));
        assert_eq!(parent(&night).is_some(), day > 1, "{}", night.stdout);
    }
    assert_eq!(
        compare_copies(&apart.snapshots.0, &apart.mirror.0.join("home")),
        3
    );
    assert!(sent(&apart.disks.run("mirror --json")).is_empty());
    let list = apart.disks.run("list");
    assert!(
        list.stdout
            .contains("3 copies, the newest 2024-01-03, up to date"),
        "{}",
        list.stdout
    );
    let to = LoopFs::new(512);
    let restored = apart.disks.run(&format!(
        "restore home 2024-01-02 --from mirror --to {} --yes",
        to.root().display()
    ));
    assert_eq!(restored.code, Some(0), "{}", restored.stderr);
    compare_trees(
        &apart.snapshots.0.join("2024-01-02"),
        &to.path("home/2024-01-02"),
    );
}

#[test]
fn a_parent_below_another_mount_is_sent_against() {
    if !real_btrfs_available() {
        return;
    }
    let mut apart = Apart::new(62, "btrfs");
    for day in 1..=2 {
        apart.night(&format!("2024-01-0{day}"));
    }
    // The snapshots are lost, and the source is made of what the mirror gives back, below a mount of its own.
    for name in ["2024-01-01", "2024-01-02"] {
        btrfs(["subvolume", "delete"], &[&apart.snapshots.0.join(name)]);
    }
    let first = apart.disks.machine.btrfs();
    first.subvolume("@restored");
    let restored = Mounted::at(
        apart.disks.machine.path("mounted/restored"),
        first,
        "@restored",
    );
    let run = apart
        .disks
        .run("restore home 2024-01-02 --from mirror --to $T/mounted/restored --yes");
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    drop(apart.home.take());
    let top = |name: &str| first.path(Path::new(name));
    roll_back(&top("home"), &top("@restored/home/2024-01-02"));
    apart.home = Some(Mounted::at(
        apart.disks.machine.path("mounted/home"),
        first,
        "home",
    ));
    let adopted = apart.disks.run("adopt home $T/mounted/restored");
    assert_eq!(adopted.code, Some(0), "{}", adopted.stderr);
    // `btrfs send` can't do it, and coldchain's own sender can.
    let night = apart.disks.run("backup home 2024-01-03");
    assert_eq!(night.code, Some(4), "{}", night.stderr);
    assert!(
        night
            .stderr
            .contains("hint: take `sender = \"btrfs\"` out of the config"),
        "{}",
        night.stderr
    );
    apart.config("kernel");
    let night = apart.night("2024-01-03");
    assert_eq!(
        parent(&night).as_deref(),
        Some("2024-01-02"),
        "{}",
        night.stdout
    );
    apart.equal("2024-01-03");
    // From then on it is not needed any more.
    let night = apart.night("2024-01-04");
    assert_eq!(
        parent(&night).as_deref(),
        Some("2024-01-03"),
        "{}",
        night.stdout
    );
    apart.equal("2024-01-04");
    drop(restored);
}
