//! `kill -9` of the program or of its sender at random moments, and run again until it is done:
//! nothing is lost, nothing is archived twice, and nothing stays behind.

use std::collections::BTreeSet;
use std::fs::{self, File, FileTimes};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use crate::common::from_env;
use crate::common::loopfs::real_btrfs_available;
use crate::common::rng::Rng;
use crate::common::sandbox::{SOURCE, Sandbox, Setup};
use crate::common::tree::{make_rich_tree, mutate_tree};
use rustix::process::{Pid, Signal, kill_process};

/// A full, its eleven incrementals, and the full of the next chain.
const NIGHTS: [&str; 13] = [
    "2025-01-01",
    "2025-01-07",
    "2025-01-14",
    "2025-01-21",
    "2025-02-01",
    "2025-02-07",
    "2025-02-14",
    "2025-02-21",
    "2025-03-01",
    "2025-03-07",
    "2025-03-14",
    "2025-03-21",
    "2025-04-01",
];

/// Who is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Victim {
    Program,
    Sender,
}

/// A machine whose nights are interrupted, over the life of a chain.
struct Life {
    sandbox: Sandbox,
    rng: Rng,
    /// How long the last run took that was let alone: what a moment is chosen from.
    length: Duration,
    kills: u64,
    /// Runs that were over before the blow fell.
    missed: u64,
}

impl Life {
    fn new(seed: u64) -> Self {
        let sandbox = Sandbox::with(&Setup {
            mib: 768,
            ..Setup::default()
        });
        let mut rng = Rng::new(seed);
        make_rich_tree(&sandbox.source(), &mut rng);
        Self {
            sandbox,
            rng,
            length: Duration::from_millis(400),
            kills: 0,
            missed: 0,
        }
    }

    /// Some of the source changes: between one and three segments of it.
    fn a_day_goes_by(&mut self) {
        mutate_tree(&self.sandbox.source(), &mut self.rng);
        let bytes = self.rng.length(1 << 20, 40 << 20);
        let content = self.rng.bytes(bytes);
        fs::write(self.sandbox.source().join("changing"), content).unwrap();
    }

    fn start(&self, date: &str) -> Child {
        Command::new(env!("CARGO_BIN_EXE_coldchain"))
            .env("COLDCHAIN_CONFIG", self.sandbox.config())
            .args(["backup", date])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    }

    /// One run, ended at some moment; whether it was struck.
    fn strike(&mut self, date: &str) {
        let victim = match self.rng.length(0, 3) {
            0 => Victim::Sender,
            _ => Victim::Program,
        };
        let length = usize::try_from(self.length.as_micros()).unwrap();
        let moment = Duration::from_micros(self.rng.length(0, length) as u64);
        let mut child = self.start(date);
        thread::sleep(moment);
        let program = Pid::from_child(&child);
        let struck = match victim {
            Victim::Program => child.try_wait().unwrap().is_none() && kill(program),
            Victim::Sender => sender_of(program).is_some_and(kill),
        };
        child.wait().unwrap();
        if struck {
            self.kills += 1;
        } else {
            self.missed += 1;
        }
    }

    /// A night: some runs that are ended, and one that is let alone.
    fn night(&mut self, date: &str, kills: usize) {
        for _ in 0..kills {
            self.strike(date);
            // Whatever state it was left in can be read.
            self.sandbox.run(["list"]).ok();
        }
        let begun = Instant::now();
        let last = self.sandbox.run(["backup", date]);
        // The last one had less to do: what was stored before it was only read.
        self.length = begun.elapsed().max(Duration::from_millis(100)) * 3 / 2;
        assert_eq!(last.code, Some(0), "{date}: {last:?}");
    }

    /// Nothing is lost, no date has two archives, and no object is left that nothing names.
    fn reckon(&self) {
        let nights: Vec<String> = NIGHTS.map(str::to_owned).to_vec();
        assert_eq!(self.sandbox.committed(), nights);
        // A life's strays are younger than prune allows: their age is what a test can lift.
        set_back(&self.sandbox.store(), Duration::from_hours(8 * 24));
        self.sandbox.run(["prune"]).ok();
        // Not before: a dead writer's file may lie beside the entries.
        assert_eq!(self.sandbox.ledger().len(), 1 + NIGHTS.len());
        let named = named(&self.sandbox);
        let stored: BTreeSet<String> = self
            .sandbox
            .stored()
            .into_keys()
            .map(|path| {
                let key = path.strip_prefix(self.sandbox.store()).unwrap();
                key.to_str().unwrap().to_owned()
            })
            .filter(|key| key.contains("/archives/"))
            .collect();
        assert_eq!(stored, named, "strays, or segments that are missing");
        self.sandbox.restores_equal(&NIGHTS[..12]);
        self.sandbox.restores_equal(&NIGHTS[12..]);
    }
}

/// The keys that the committed archives name.
fn named(sandbox: &Sandbox) -> BTreeSet<String> {
    let mut named = BTreeSet::new();
    for archive in sandbox.archives("committed") {
        let id = archive["id"].as_str().unwrap();
        let shown = sandbox.run(["show", id, "--json"]).ok().json();
        for list in [&shown["segments"], &shown["contents"]["objects"]] {
            for object in list.as_array().unwrap() {
                named.insert(object["key"].as_str().unwrap().to_owned());
            }
        }
        named.insert(format!("{SOURCE}/archives/{id}/key.age"));
    }
    named
}

/// As if everything had been stored that long ago.
fn set_back(directory: &Path, age: Duration) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            set_back(&path, age);
        } else {
            let then = SystemTime::now() - age;
            let times = FileTimes::new().set_modified(then);
            File::open(&path).unwrap().set_times(times).unwrap();
        }
    }
}

fn kill(process: Pid) -> bool {
    kill_process(process, Signal::KILL).is_ok()
}

/// The sender that a program runs, if it runs one now.
fn sender_of(program: Pid) -> Option<Pid> {
    let children = format!(
        "/proc/{0}/task/{0}/children",
        program.as_raw_nonzero().get()
    );
    let children = fs::read_to_string(children).ok()?;
    children.split_whitespace().find_map(|child| {
        let words = fs::read(format!("/proc/{child}/cmdline")).ok()?;
        let sends = words
            .split(|byte| *byte == 0)
            .any(|word| word == b"send-stream");
        let child = child.parse().ok().and_then(Pid::from_raw);
        child.filter(|_| sends)
    })
}

#[test]
fn a_run_that_is_killed_at_any_moment_loses_nothing_and_leaves_nothing() {
    if !real_btrfs_available() {
        return;
    }
    let wanted = from_env("COLDCHAIN_KILLS", 10);
    let seed = from_env("COLDCHAIN_SEED", 1);
    // A life costs its restores: many kills make the most of it.
    let most = if wanted > 100 { 16 } else { 4 };
    let (mut kills, mut missed, mut lives) = (0, 0, 0);
    while kills < wanted {
        println!("seed {}: {kills} kills so far", seed + lives);
        let mut life = Life::new(seed + lives);
        for date in NIGHTS {
            life.a_day_goes_by();
            let times = life.rng.length(1, most);
            life.night(date, times);
        }
        life.reckon();
        kills += life.kills;
        missed += life.missed;
        lives += 1;
    }
    println!(
        "{kills} kills in {lives} lives of {} nights each, {missed} runs were over before the blow",
        NIGHTS.len()
    );
}
