//! Several runs at the same time: one does the work, and the others say so or wait.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use crate::common::loopfs::{LoopFs, real_btrfs_available, run};
use crate::common::machine::{Machine, fed_config};
use crate::common::stream_builder::StreamBuilder;
use crate::common::stub::{Stub, send_by_btrfs};
use crate::common::tree::compare_trees;

const STUCK: Duration = Duration::from_mins(3);

const BUSY: &str = "error: another run of coldchain is working on `home`\nhint: wait for it to end, and run again\n";

fn machine() -> Machine {
    let machine = Machine::with_subvolume(256);
    fs::write(machine.btrfs().path("home/letter"), "dear reader\n").unwrap();
    send_by_btrfs(&machine.path("config.toml"));
    machine
}

fn start(machine: &Machine, words: &str) -> Child {
    let mut command = machine.command(words);
    command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// How they ended: exit code, stdout and stderr.
fn ends(runs: Vec<Child>) -> Vec<(Option<i32>, String, String)> {
    let ends = runs.into_iter().map(|run| {
        let output = run.wait_with_output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (
            output.status.code(),
            text(output.stdout),
            text(output.stderr),
        )
    });
    ends.collect()
}

/// A sender that says when it is there, and goes on when it may.
struct Held {
    stub: Stub,
}

impl Held {
    fn new() -> Self {
        let held = Self { stub: Stub::new() };
        for name in ["reached", "go on"] {
            run(Command::new("mkfifo").arg(held.pipe(name))).unwrap();
        }
        held.stub.sends(&format!(
            "echo >'{}'; read -r _ <'{}'; exec \"$real\" \"$@\"",
            held.pipe("reached").display(),
            held.pipe("go on").display()
        ));
        held
    }

    fn pipe(&self, name: &str) -> PathBuf {
        self.stub.file(name)
    }

    fn wait(&self) {
        let (said, heard) = mpsc::channel();
        let pipe = self.pipe("reached");
        thread::spawn(move || said.send(fs::read(pipe).unwrap()));
        heard.recv_timeout(STUCK).expect("the sender is there");
    }

    fn go_on(&self) {
        fs::write(self.pipe("go on"), "\n").unwrap();
    }
}

#[test]
fn while_a_run_is_at_work_others_end_with_exit_3_or_wait_for_it() {
    if !real_btrfs_available() {
        return;
    }
    let machine = machine();
    let held = Held::new();
    let mut first = machine.command("backup 2024-01-01");
    let first = machine.start_command(first.env("PATH", held.stub.path()));
    held.wait();
    for words in [
        "backup 2024-01-01",
        "backup 2024-01-01 --full",
        "decide 2024-01-01",
        "prune",
    ] {
        machine.run(words).is(3, "", BUSY);
    }
    machine.run("backup 2024-01-01 --wait-lock 1").is(
        3,
        "",
        "error: another run of coldchain is still working on `home` after 1 second\n\
         hint: wait for it to end, and run again\n",
    );
    // What only reads is not kept waiting.
    assert_eq!(machine.archived(), [""; 0]);

    let waiting: Vec<_> = ["backup 2024-01-01", "decide 2024-01-01", "prune"]
        .into_iter()
        .map(|verb| {
            let words = format!("{verb} --wait-lock 180 --json --verbose");
            let mut talk = machine.start_command(&mut machine.command(&words));
            // The others keep stdout for their answers, and say it on stderr.
            let line = match verb {
                "backup 2024-01-01" => talk.line(),
                _ => talk.stderr_line(),
            };
            let line = line.expect("that it waits");
            assert!(
                line.contains("busy") || line.contains("another run is at work"),
                "{line}"
            );
            talk
        })
        .collect();
    held.go_on();
    let first = first.end();
    assert_eq!(first.code, Some(0), "{first:?}");
    for talk in waiting {
        let run = talk.end();
        assert_eq!(run.code, Some(0), "{run:?}");
        assert!(!run.stdout.contains("committed"), "{run:?}");
    }
    assert_eq!(machine.archived(), ["2024-01-01 full"]);
    let elsewhere = LoopFs::new(256);
    let restored = machine.run(&format!(
        "restore home --from store --identity $T/kit --yes --to {}",
        elsewhere.root().display()
    ));
    assert_eq!(restored.code, Some(0), "{restored:?}");
    let snapshot = machine.btrfs().path("snapshots/2024-01-01");
    compare_trees(&snapshot, &elsewhere.path("home/2024-01-01"));
}

#[test]
fn a_run_that_waits_for_another_is_stopped_by_a_signal() {
    if !real_btrfs_available() {
        return;
    }
    let machine = machine();
    let held = Held::new();
    let mut first = machine.command("backup 2024-01-01");
    let first = machine.start_command(first.env("PATH", held.stub.path()));
    held.wait();
    let words = "backup 2024-01-01 --wait-lock 180 --verbose";
    let mut second = machine.start_command(&mut machine.command(words));
    assert!(second.stderr_line().unwrap().contains("at most"));
    second.signal(rustix::process::Signal::TERM);
    let second = second.end();
    assert_eq!(second.code, Some(143), "{second:?}");
    held.go_on();
    assert_eq!(first.end().code, Some(0));
}

#[test]
fn of_runs_that_start_together_one_archives() {
    if !real_btrfs_available() {
        return;
    }
    let machine = machine();
    for (runs, date) in [(2, "2024-01-01"), (3, "2024-01-07"), (4, "2024-01-14")] {
        let words = format!("backup {date}");
        let all = ends((0..runs).map(|_| start(&machine, &words)).collect());
        let archived = |end: &&(_, String, _)| end.1.contains(": archived, ");
        assert_eq!(all.iter().filter(archived).count(), 1, "{all:?}");
        for (code, stdout, stderr) in &all {
            match code {
                Some(3) => assert_eq!((stdout.as_str(), stderr.as_str()), ("", BUSY)),
                // The one, or one that began when it had ended.
                Some(0) => assert_eq!(stderr, ""),
                _ => panic!("{all:?}"),
            }
        }
    }
    let words = "backup 2024-01-21 --wait-lock 180";
    let all = ends((0..4).map(|_| start(&machine, words)).collect());
    assert!(all.iter().all(|end| end.0 == Some(0)), "{all:?}");
    let nothing_due = |end: &&(_, String, _)| end.1.contains("nothing due");
    assert_eq!(all.iter().filter(nothing_due).count(), 3, "{all:?}");
    assert_eq!(
        machine.archived(),
        [
            "2024-01-01 full",
            "2024-01-07 incremental",
            "2024-01-14 incremental",
            "2024-01-21 incremental"
        ]
    );
}

#[test]
fn runs_that_start_together_without_a_catalog_make_one() {
    let machine = Machine::fed(None);
    let stream = StreamBuilder::header(1)
        .subvol(b"2024-01-01", [1; 16], 10)
        .mkfile(b"a file")
        .write(b"a file", 0, b"dear reader")
        .finish();
    machine
        .run_with("decide 2024-01-01", &stream)
        .is(0, "c\n", "");
    for _ in 0..10 {
        for file in ["catalog.db", "catalog.db-wal", "catalog.db-shm"] {
            let _ = fs::remove_file(machine.state().join(file));
        }
        let words = "decide 2024-01-02 --wait-lock 180";
        let all = ends((0..4).map(|_| start(&machine, words)).collect());
        for end in &all {
            assert_eq!(end.0, Some(6), "{end:?}");
            assert!(end.2.contains("belongs to the ledger"), "{end:?}");
        }
    }
}

#[test]
fn inits_at_the_same_time_leave_one_set_of_keys_that_the_kit_has_too() {
    for _ in 0..5 {
        let machine = Machine::new();
        machine.write_config(&fed_config());
        let all = ends(
            (0..4)
                .map(|_| start(&machine, "init --kit $T/kit"))
                .collect(),
        );
        assert!(all.iter().all(|end| end.0 == Some(0)), "{all:?}");
        let made = |end: &&(_, String, _)| end.1.contains("signing keys");
        assert_eq!(all.iter().filter(made).count(), 1, "{all:?}");
        let kit = fs::read_to_string(machine.path("kit")).unwrap();
        assert_eq!(kit.matches("# root public key: ").count(), 1, "{kit}");
        assert_eq!(kit.matches("# source home").count(), 1, "{kit}");
        let root = fs::read_to_string(machine.state().join("root.pub")).unwrap();
        assert!(kit.contains(root.lines().nth(1).unwrap()), "{kit}");
        machine
            .run("init --kit $T/kit --quiet")
            .is(0, "nothing is missing\n", "");
        // What is signed is vouched for by that root.
        let stream = StreamBuilder::header(1)
            .subvol(b"2024-01-01", [1; 16], 10)
            .finish();
        machine
            .run_with("decide 2024-01-01", &stream)
            .is(0, "c\n", "");
        assert_eq!(machine.archived(), ["2024-01-01 full"]);
    }
}

#[test]
fn first_inits_at_the_same_time_make_one_identity_and_one_config_for_it() {
    for _ in 0..5 {
        let machine = Machine::new();
        fs::remove_file(machine.path("kit")).unwrap();
        let all = ends(
            (0..4)
                .map(|_| start(&machine, "init --kit $T/kit"))
                .collect(),
        );
        assert_eq!(
            all.iter().filter(|end| end.0 == Some(0)).count(),
            1,
            "{all:?}"
        );
        let kit = fs::read_to_string(machine.path("kit")).unwrap();
        let recipient = kit
            .lines()
            .find_map(|line| line.strip_prefix("# identity of "))
            .unwrap();
        let config = fs::read_to_string(machine.path("config.toml")).unwrap();
        assert!(config.contains(recipient), "{config}");
    }
}
