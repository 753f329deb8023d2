//! archive-scripts' way: two hosts, each behind a port of its own, are pulled every night; days and numbers say what stays.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::common::loopfs::{btrfs, real_btrfs_available, run};
use crate::common::machine::{Machine, Run};
use crate::common::rng::Rng;
use crate::common::tree::{compare_trees, describe, make_rich_tree, mutate_tree};
use crate::page;
use crate::sshd::Hosts;

const PAGE: &str = "archive-scripts.md";
/// What the config leaves out.
const EXCLUDED: [&str; 3] = ["proc", "sys", "run"];

/// The machine that archives, and the roots of the hosts `web` and `mail`.
struct Archive {
    machine: Machine,
    hosts: Hosts,
    rng: Rng,
}

impl Archive {
    fn new(seed: u64) -> Self {
        let machine = Machine::with_subvolume(700);
        let hosts = Hosts::start(&machine.path("sshd"), 2);
        let mut archive = Self {
            machine,
            hosts,
            rng: Rng::new(seed),
        };
        for host in ["web", "mail"] {
            let root = archive.host(host);
            fs::create_dir_all(root.join("srv")).unwrap();
            make_rich_tree(&root.join("srv"), &mut archive.rng);
            for directory in EXCLUDED {
                fs::create_dir(root.join(directory)).unwrap();
                fs::write(root.join(directory).join("of the moment"), "text").unwrap();
            }
        }
        archive.configure(archive.hosts.ports[1]);
        archive
    }

    /// Writes the page's config, in which `mail` is behind that port.
    fn configure(&self, mail: u16) {
        let root = self.machine.btrfs().path("hosts").display().to_string();
        let web = format!("root@127.0.0.1%%{}:{root}/web", self.hosts.ports[0]);
        let paths = [
            ("\"/archive/", "\"$FS/archive/"),
            ("root@web.example.org%%2222:/", &web),
            ("mail.example.org:/", &format!("127.0.0.1:{root}/mail")),
            ("port = 2200", &format!("port = {mail}")),
        ];
        page::settle(&self.machine, PAGE, &paths);
    }

    /// The root of a host.
    fn host(&self, name: &str) -> PathBuf {
        self.machine.btrfs().path("hosts").join(name)
    }

    fn archive(&self, below: &str) -> PathBuf {
        self.machine.btrfs().path("archive").join(below)
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

    /// The dates that a host has.
    fn dates(&self, host: &str) -> BTreeSet<String> {
        let entries = fs::read_dir(self.archive(host)).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.starts_with("20")).collect()
    }

    /// Compares a snapshot with its host, but for what is excluded: of that it has the directories alone.
    #[track_caller]
    fn compare(&self, host: &str, date: &str) {
        let is_excluded = |name: &std::ffi::OsStr| {
            EXCLUDED
                .iter()
                .any(|it| name.as_bytes().starts_with(format!("{it}/").as_bytes()))
        };
        let mut there = describe(&self.host(host));
        there.retain(|name, _| !is_excluded(name));
        let here = describe(&self.archive(&format!("{host}/{date}")));
        for directory in EXCLUDED {
            assert!(here.contains_key(std::ffi::OsStr::new(directory)));
        }
        for name in there.keys().chain(here.keys()) {
            let shown = name.display();
            assert_eq!(here.get(name), there.get(name), "{host} {date} {shown}");
        }
    }
}

#[test]
fn two_hosts_are_pulled_for_twenty_nights_and_days_and_numbers_say_what_stays() {
    if !real_btrfs_available() {
        return;
    }
    let mut archive = Archive::new(61);
    fs::create_dir(archive.archive("")).unwrap();
    close(&archive.archive(""));
    for day in 1..=20 {
        let date = format!("2024-01-{day:02}");
        archive.runs(&format!("--quiet backup {date}"));
        for host in ["web", "mail"] {
            archive.compare(host, &date);
            let root = archive.host(host);
            mutate_tree(&root.join("srv"), &mut archive.rng);
        }
        // The machine was off on one night; a host was not there on another.
        if day == 10 {
            archive.configure(1);
            let run = archive.run("backup 2024-01-11");
            assert_eq!(run.code, Some(10), "{}", run.stderr);
            assert!(run.stderr.contains("error: mail: "), "{}", run.stderr);
            archive.configure(archive.hosts.ports[1]);
        }
    }
    let days = |from: u32| -> BTreeSet<String> {
        (from..=20).map(|day| format!("2024-01-{day:02}")).collect()
    };
    assert_eq!(archive.dates("web"), days(6));
    assert_eq!(archive.dates("mail"), days(7));

    // The same day again.
    let again = archive.runs("backup 2024-01-20");
    assert!(
        again
            .stdout
            .contains("web: snapshot 2024-01-20 exists already"),
        "{}",
        again.stdout
    );

    // A file, and a whole machine.
    let got = archive.machine.path("hosts");
    let hosts_file = archive.host("web").join("etc-hosts");
    fs::write(&hosts_file, "127.0.0.1 localhost\n").unwrap();
    archive.runs("--quiet backup 2024-01-21");
    fs::remove_file(&hosts_file).unwrap();
    archive.runs(&format!(
        "get web:/etc-hosts --date 2024-01-21 --to {}",
        got.display()
    ));
    assert_eq!(fs::read_to_string(got).unwrap(), "127.0.0.1 localhost\n");
    let disk = archive.machine.path("new-disk");
    rsync(&archive.archive("mail/2024-01-21"), &disk);
    compare_trees(&archive.archive("mail/2024-01-21"), &disk);
}

/// Lets only root enter a directory, as the page says.
fn close(directory: &Path) {
    fs::set_permissions(directory, fs::Permissions::from_mode(0o700)).unwrap();
}

/// Copies a tree as the page says.
fn rsync(from: &Path, to: &Path) {
    rsync_with(&[], from, to);
}

fn rsync_with(options: &[String], from: &Path, to: &Path) {
    let from = format!("{}/", from.display());
    run(Command::new("rsync")
        .args(["-aAXHS", "--numeric-ids"])
        .args(options)
        .arg(from)
        .arg(format!("{}/", to.display())))
    .unwrap();
}

#[test]
fn what_was_pulled_before_is_taken_over_and_not_pulled_again() {
    if !real_btrfs_available() {
        return;
    }
    let archive = Archive::new(62);
    let (current, before) = (
        archive.archive("current/web"),
        archive.archive("web.before"),
    );
    fs::create_dir_all(&before).unwrap();
    fs::create_dir(archive.archive("current")).unwrap();
    let refused = archive.run("pull web");
    assert_eq!(refused.code, Some(2), "{}", refused.stderr);
    assert!(
        refused.stderr.contains("other users can enter"),
        "{}",
        refused.stderr
    );
    close(&archive.archive(""));
    fs::write(archive.host("web").join("large"), vec![7; 4 << 20]).unwrap();
    // It had no excluded directories at all.
    let excluded = EXCLUDED.map(|directory| format!("--exclude=/{directory}"));
    rsync_with(&excluded, &archive.host("web"), &before);
    btrfs(["subvolume", "create"], &[&current]);
    run(Command::new("cp")
        .args(["-a", "--reflink=always"])
        .arg(before.join("."))
        .arg(&current))
    .unwrap();
    let refused = archive.run("pull web");
    assert_eq!(refused.code, Some(2), "{}", refused.stderr);
    assert!(
        refused.stderr.contains("--accept-deletions"),
        "{}",
        refused.stderr
    );
    let run = archive.runs("--json pull web --accept-deletions");
    let done: serde_json::Value = serde_json::from_str(run.stdout.lines().last().unwrap()).unwrap();
    assert_eq!(done["sources"][0]["bytes"], 0, "{}", run.stdout);
    archive.runs("backup web 2024-01-01");
    archive.compare("web", "2024-01-01");
    // What was there before is left alone.
    assert!(before.join("large").exists());
}
