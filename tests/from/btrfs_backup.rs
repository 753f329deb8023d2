//! btrfs-backup's way: a second disk with browsable copies, each side with a number of its own.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::common::loopfs::{LoopFs, btrfs, real_btrfs_available, run};
use crate::common::machine::{Machine, Run};
use crate::common::rng::Rng;
use crate::common::tree::{compare_trees, make_rich_tree, mutate_tree};
use crate::page;

const PAGE: &str = "btrfs-backup.md";

/// A machine with the page's config, and its second disk.
struct Disks {
    machine: Machine,
    second: LoopFs,
    rng: Rng,
}

impl Disks {
    fn new(seed: u64) -> Self {
        let machine = Machine::with_subvolume(700);
        let second = LoopFs::new(700);
        let mut rng = Rng::new(seed);
        let live = machine.btrfs().path("home");
        fs::create_dir(live.join("anna")).unwrap();
        make_rich_tree(&live.join("anna"), &mut rng);
        // The page says so.
        fs::create_dir(live.join(".coldchain")).unwrap();
        let disk = second.root().display().to_string();
        let paths = [("\"/home", "\"$FS/home"), ("/mnt/second", &*disk)];
        page::settle(&machine, PAGE, &paths);
        Self {
            machine,
            second,
            rng,
        }
    }

    fn snapshot(&self, name: &str) -> PathBuf {
        self.machine.btrfs().path("home/.coldchain").join(name)
    }

    fn copy(&self, name: &str) -> PathBuf {
        self.second.path("home").join(name)
    }

    #[track_caller]
    fn night(&mut self, date: &str, code: i32) -> Run {
        mutate_tree(&self.machine.btrfs().path("home/anna"), &mut self.rng);
        let run = self.machine.run(&format!("--quiet backup {date}"));
        assert_eq!(run.code, Some(code), "{date}: {}", run.stderr);
        run
    }
}

/// Compares what the user has. The earlier snapshots, which lie in the subvolume, are empty directories in a snapshot,
/// and nothing at all in what is sent of it.
#[track_caller]
fn compare(snapshot: &Path, copy: &Path) {
    compare_trees(&snapshot.join("anna"), &copy.join("anna"));
}

fn dates(directory: PathBuf) -> BTreeSet<String> {
    let entries = fs::read_dir(directory).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.starts_with("20")).collect()
}

#[test]
fn a_second_disk_has_each_night_and_keeps_more_than_the_first() {
    if !real_btrfs_available() {
        return;
    }
    let mut disks = Disks::new(81);
    // What btrfs-backup has left stays as it is.
    let old = disks.second.subvolume("20231231-023000");
    let day = |day: u32| format!("2024-01-{day:02}");
    for number in 1..=20 {
        if number == 8 {
            // The disk is away for two nights.
            disks.second.detach();
            for number in [8, 9] {
                let run = disks.night(&day(number), 4);
                assert!(run.stderr.contains("mirror"), "{}", run.stderr);
            }
            disks.second.attach();
        } else if number != 9 {
            disks.night(&day(number), 0);
        }
    }
    let all: BTreeSet<String> = (1..=20).map(day).collect();
    let newest: BTreeSet<String> = (7..=20).map(day).collect();
    assert_eq!(dates(disks.snapshot("")), newest);
    assert_eq!(dates(disks.second.path("home")), all);
    for name in &newest {
        compare(&disks.snapshot(name), &disks.copy(name));
    }
    assert_eq!(
        fs::read_link(disks.copy("current")).unwrap().to_str(),
        Some("2024-01-20")
    );
    assert!(old.exists());

    // By hand: a file with `cp`, and all of it by send and receive.
    let third = LoopFs::new(700);
    let sent = third.path("sent");
    run(Command::new("btrfs")
        .args(["send", "-q", "-f"])
        .arg(&sent)
        .arg(disks.copy("2024-01-20")))
    .unwrap();
    run(Command::new("btrfs")
        .args(["receive", "-q", "-f"])
        .arg(&sent)
        .arg(third.root()))
    .unwrap();
    compare(&disks.snapshot("2024-01-20"), &third.path("2024-01-20"));
    // By coldchain, though the snapshots here are lost.
    let fourth = LoopFs::new(700);
    let run = disks.machine.run(&format!(
        "restore home 2024-01-03 --yes --to {}",
        fourth.root().display()
    ));
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    compare_trees(&disks.copy("2024-01-03"), &fourth.path("home/2024-01-03"));
}

#[test]
fn with_latest_only_just_what_the_next_run_needs_stays_here() {
    if !real_btrfs_available() {
        return;
    }
    let mut disks = Disks::new(82);
    let config = disks.machine.path("config.toml");
    let text = fs::read_to_string(&config).unwrap();
    assert!(text.contains("keep = 14\n"));
    fs::write(&config, text.replace("keep = 14\n", "latest_only = true\n")).unwrap();
    for day in 1..=4 {
        disks.night(&format!("2024-01-0{day}"), 0);
    }
    // The copy of the last night is what the next one is sent against.
    assert_eq!(dates(disks.snapshot("")).last().unwrap(), "2024-01-04");
    assert!(dates(disks.snapshot("")).len() <= 2);
    assert_eq!(dates(disks.second.path("home")).len(), 4);
    let answer = disks.machine.run("mirror --json");
    assert_eq!(answer.code, Some(0), "{}", answer.stderr);
    // A copy that was made writable is not sent against, and nothing is lost by that.
    let work = disks.second.path("work");
    btrfs(
        ["subvolume", "snapshot"],
        &[&disks.copy("2024-01-04"), &work],
    );
    fs::write(work.join("new"), "text").unwrap();
    disks.night("2024-01-05", 0);
    compare(&disks.snapshot("2024-01-05"), &disks.copy("2024-01-05"));
}
