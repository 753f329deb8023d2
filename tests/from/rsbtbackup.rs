//! The way of `RsbtBackup`: a local and a remote source, a run that was cut and is gone on with, rotation, and the log.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use chrono::{Days, NaiveDate};

use crate::common::loopfs::{btrfs, real_btrfs_available};
use crate::common::machine::{Machine, Run};
use crate::common::rng::Rng;
use crate::common::tree::{compare_trees, make_rich_tree, mutate_tree};
use crate::page;
use crate::sshd::{Hosts, program};

const PAGE: &str = "rsbtbackup.md";
const SOURCES: [&str; 2] = ["documents", "photos"];

/// A machine with the page's config; `documents` is a directory here, `photos` one behind an sshd.
struct Backup {
    machine: Machine,
    hosts: Hosts,
    rng: Rng,
}

impl Backup {
    fn new(seed: u64) -> Self {
        let machine = Machine::with_subvolume(700);
        let hosts = Hosts::start(&machine.path("sshd"), 1);
        let mut backup = Self {
            machine,
            hosts,
            rng: Rng::new(seed),
        };
        for source in SOURCES {
            let from = backup.from(source);
            fs::create_dir_all(&from).unwrap();
            make_rich_tree(&from, &mut backup.rng);
        }
        let current = backup.machine.btrfs().path("backup/current");
        fs::create_dir_all(&current).unwrap();
        let closed = fs::Permissions::from_mode(0o700);
        fs::set_permissions(backup.machine.btrfs().path("backup"), closed).unwrap();
        let photos = backup.from("photos");
        let port = backup.hosts.ports[0];
        let paths = [
            ("\"/backup/", "\"$FS/backup/"),
            ("/home/anna/documents", "$FS/of/documents"),
            (
                "root@nas.example.org:/srv/photos",
                &*format!("root@127.0.0.1%%{port}:{}", photos.display()),
            ),
            ("/var/log/coldchain.log", "$T/log"),
        ];
        page::settle(&backup.machine, PAGE, &paths);
        backup.damage("exit 0");
        backup
    }

    /// Puts a script before rsync in each run that is no trial: `exec` or `exit` in it ends that, or rsync follows.
    fn damage(&self, script: &str) {
        let is_real = "case \" $* \" in *' --dry-run '*|*' --version '*|*' --server '*) ;; *)";
        let script = if script == "exit 0" { ":" } else { script };
        program(
            &self.hosts.bin().join("rsync"),
            &format!("#!/bin/sh\n{is_real} {script};; esac\nexec /usr/bin/rsync \"$@\"\n"),
        );
    }

    /// Where a source is pulled from.
    fn from(&self, source: &str) -> PathBuf {
        self.machine.btrfs().path("of").join(source)
    }

    fn snapshot(&self, source: &str, name: &str) -> PathBuf {
        let snapshots = self.machine.btrfs().path("backup").join(source);
        snapshots.join(name)
    }

    fn names(&self, source: &str) -> BTreeSet<String> {
        let entries = fs::read_dir(self.snapshot(source, "")).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.starts_with("20")).collect()
    }

    fn run(&self, words: &str) -> Run {
        let mut command = self.machine.command(words);
        self.hosts.reach(&mut command);
        self.machine.run_command(&mut command)
    }

    #[track_caller]
    fn runs(&self, words: &str) -> Run {
        let run = self.run(words);
        assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""), "{words}");
        run
    }

    fn log(&self) -> String {
        fs::read_to_string(self.machine.path("log")).unwrap()
    }
}

#[test]
fn local_and_remote_sources_are_backed_up_rotated_and_logged() {
    if !real_btrfs_available() {
        return;
    }
    let mut backup = Backup::new(71);
    let first: NaiveDate = "2024-01-01".parse().unwrap();
    let nights = (0..50).step_by(5).map(|days| first + Days::new(days));
    let nights: Vec<NaiveDate> = nights.collect();
    for night in &nights {
        backup.runs(&format!("--quiet backup {night}"));
        for source in SOURCES {
            let from = backup.from(source);
            let made = backup.snapshot(source, &night.to_string());
            compare_trees(&from, &made);
            let cur = fs::read_link(backup.snapshot(source, "cur")).unwrap();
            assert_eq!(cur.to_str(), Some(&*night.to_string()));
            mutate_tree(&from, &mut backup.rng);
        }
    }
    // What is at most 30 days old stays.
    let last = *nights.last().unwrap();
    let kept = nights
        .iter()
        .filter(|night| **night + Days::new(30) >= last);
    let kept: BTreeSet<String> = kept.map(ToString::to_string).collect();
    assert!(kept.len() < nights.len());
    for source in SOURCES {
        assert_eq!(backup.names(source), kept);
    }
    // Many a day: pull and snapshot.
    backup.runs("--quiet pull");
    // The clock is two years ahead of the last night: that is not taken for a reason to delete all of them.
    let run = backup.run("--quiet snapshot");
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert!(run.stderr.contains("more than half"), "{}", run.stderr);
    compare_trees(
        &backup.from("photos"),
        &backup.snapshot("photos", "cur").canonicalize().unwrap(),
    );
    // Each run is in the log, and each deletion.
    let log = backup.log();
    for night in &nights {
        for source in SOURCES {
            let has = |line: &&str| line.contains(source) && line.contains(&night.to_string());
            assert!(
                log.lines().any(|line| has(&line)),
                "{source} {night}: {log}"
            );
        }
    }
    assert!(log.contains(" pulled "), "{log}");
    // A file comes back by `cp`, and a writable snapshot can be worked on.
    let work = backup.machine.btrfs().path("work");
    let cur = backup.snapshot("documents", "cur/");
    btrfs(["subvolume", "snapshot"], &[&cur, &work]);
    fs::write(work.join("new"), "text").unwrap();
}

#[test]
fn a_run_that_was_cut_makes_no_snapshot_and_the_next_one_goes_on() {
    if !real_btrfs_available() {
        return;
    }
    let mut backup = Backup::new(72);
    for (number, source) in SOURCES.into_iter().enumerate() {
        let from = backup.from(source);
        fs::write(from.join("large"), backup.rng.bytes(300_000)).unwrap();
        let nights = [1, 2].map(|day| format!("2024-0{}-0{day}", number + 1));
        backup.runs(&format!("--quiet backup {source} {}", nights[0]));
        mutate_tree(&from, &mut backup.rng);
        fs::write(from.join("large 2"), backup.rng.bytes(300_000)).unwrap();
        // rsync brings what is small, and then a signal ends it.
        backup.damage("/usr/bin/rsync --max-size=1000 \"$@\"; exit 20");
        let cut = backup.run(&format!("backup {source} {}", nights[1]));
        assert_eq!(cut.code, Some(1), "{}", cut.stderr);
        assert!(cut.stderr.contains("exit code 20"), "{}", cut.stderr);
        let refused = backup.run(&format!("snapshot {source}"));
        assert_ne!(refused.code, Some(0), "{}", refused.stdout);
        let advice = format!("coldchain pull {source}");
        assert!(refused.stderr.contains(&advice), "{}", refused.stderr);
        assert_eq!(backup.names(source), BTreeSet::from([nights[0].clone()]));
        assert!(backup.log().contains("exit code 20"));

        backup.damage("exit 0");
        backup.runs(&format!("--quiet backup {source} {}", nights[1]));
        compare_trees(&from, &backup.snapshot(source, &nights[1]));
        assert_eq!(backup.names(source), nights.into_iter().collect());
    }
}

#[test]
fn files_that_vanish_are_no_error_and_what_can_not_be_read_is_one() {
    if !real_btrfs_available() {
        return;
    }
    let backup = Backup::new(73);
    backup.damage("/usr/bin/rsync \"$@\"; exit 24");
    let run = backup.run("backup documents 2024-01-01");
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert!(run.stderr.starts_with("warning: "), "{}", run.stderr);
    compare_trees(
        &backup.from("documents"),
        &backup.snapshot("documents", "2024-01-01"),
    );
    backup.damage("/usr/bin/rsync \"$@\"; exit 23");
    let run = backup.run("backup documents 2024-01-02");
    assert_eq!(run.code, Some(1), "{}", run.stderr);
    assert!(!backup.snapshot("documents", "2024-01-02").exists());
}

#[test]
fn what_rsbtbackup_has_made_is_gone_on_with() {
    if !real_btrfs_available() {
        return;
    }
    let backup = Backup::new(74);
    fs::write(backup.from("documents").join("large"), vec![7; 4 << 20]).unwrap();
    // A backup of RsbtBackup's: a writable subvolume, and a link.
    let old = backup.machine.btrfs().path("old-backup");
    fs::create_dir(&old).unwrap();
    btrfs(["subvolume", "create"], &[&old.join("2024-01-01-01:30:00")]);
    std::os::unix::fs::symlink("2024-01-01-01:30:00", old.join("cur")).unwrap();
    let copied = std::process::Command::new("rsync")
        .arg("-aAXHS")
        .arg(format!("{}/", backup.from("documents").display()))
        .arg(format!("{}/", old.join("cur").display()))
        .status();
    assert!(copied.unwrap().success());
    let current = backup.machine.btrfs().path("backup/current/documents");
    btrfs(["subvolume", "snapshot"], &[&old.join("cur/"), &current]);
    let run = backup.runs("--json pull documents --accept-deletions");
    let done: serde_json::Value = serde_json::from_str(run.stdout.lines().last().unwrap()).unwrap();
    assert_eq!(done["sources"][0]["bytes"], 0, "{}", run.stdout);
    backup.runs("--quiet backup documents 2024-01-02");
    compare_trees(
        &backup.from("documents"),
        &backup.snapshot("documents", "2024-01-02"),
    );
    assert!(old.join("cur/large").exists());
}
