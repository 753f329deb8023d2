//! dump's way: an hourly snapshot for three days, a second disk, a checkpoint, and `yest` and `hist` as the old scripts
//! answer. The oracle here is written from their rules, and reads whole files.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use chrono::{DateTime, DurationRound as _, TimeDelta, Utc};
use coldchain::config::Config;
use coldchain::engine::{self, Clock, RunContext};
use coldchain::progress::Quiet;

use crate::common::loopfs::{LoopFs, real_btrfs_available};
use crate::common::machine::Machine;
use crate::common::rng::Rng;
use crate::common::tree::compare_trees;
use crate::page;

const PAGE: &str = "dump.md";
const HOURS: i64 = 72;
const FILES: [&str; 5] = ["letter", "list", "d/one", "d/two", "never"];

/// A clock that stands.
struct At(DateTime<Utc>);

impl Clock for At {
    fn now(&self) -> DateTime<Utc> {
        self.0
    }
}

/// A machine with the page's config, and its second disk.
struct Dump {
    machine: Machine,
    second: LoopFs,
    /// The snapshots, by the time at which they were taken.
    taken: BTreeMap<DateTime<Utc>, PathBuf>,
}

impl Dump {
    fn new() -> Self {
        let machine = Machine::with_subvolume(700);
        let second = LoopFs::new(700);
        let btrfs = machine.btrfs();
        fs::create_dir(btrfs.path("newage")).unwrap();
        btrfs.subvolume("newage/NEWAGE");
        fs::create_dir(btrfs.path("newage/dump")).unwrap();
        let disk = second.root().display().to_string();
        let paths = [
            ("\"/newage/", "\"$FS/newage/"),
            ("/mnt/second", &*disk),
            ("age1…", "$R"),
        ];
        page::settle(&machine, PAGE, &paths);
        fs::create_dir(second.path("checkpoints")).unwrap();
        let init = machine.run("init --kit $T/kit --quiet");
        assert_eq!((init.code, init.stderr.as_str()), (Some(0), ""));
        Self {
            machine,
            second,
            taken: BTreeMap::new(),
        }
    }

    fn live(&self) -> PathBuf {
        self.machine.btrfs().path("newage/NEWAGE")
    }

    /// Takes the snapshot of an hour. Its clock is an argument; all else is what the command does.
    fn take(&mut self, at: DateTime<Utc>) {
        let config = Config::load(&self.machine.path("config.toml")).unwrap();
        let context = RunContext {
            clock: &At(at),
            ..RunContext::real(&Quiet)
        };
        // The kernel's sender is not needed: nothing is sent.
        let taken = engine::snapshot(&config, &config.sources[0], context).unwrap();
        assert!(taken.is_new && taken.later.is_none(), "{taken:?}");
        let name = taken.name.to_string();
        let path = self.machine.btrfs().path("newage/dump").join(name);
        self.taken.insert(at, path);
    }

    /// Runs one of dump's scripts.
    fn script(&self, name: &str, words: &[&str], path: &Path) -> Output {
        let packaging = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/dump");
        Command::new(packaging.join(name))
            .args(words)
            .arg(path)
            .env("COLDCHAIN", env!("CARGO_BIN_EXE_coldchain"))
            .env("COLDCHAIN_CONFIG", self.machine.path("config.toml"))
            .current_dir(self.live())
            .output()
            .unwrap()
    }

    /// `yest`'s rule: the newest version that is not younger than that.
    fn yest(&self, file: &str, back: TimeDelta, now: DateTime<Utc>) -> Option<PathBuf> {
        let before = self.taken.range(..=now - back).rev();
        let mut paths = before.map(|(_, snapshot)| snapshot.join(file));
        paths.find(|path| path.exists())
    }

    /// `hist`'s rule: what came, changed and went from one dump to the next.
    fn hist(&self, file: &str) -> Vec<(&'static str, PathBuf)> {
        let mut events = Vec::new();
        let mut before: Option<(PathBuf, Vec<u8>)> = None;
        for (number, snapshot) in self.taken.values().enumerate() {
            let path = snapshot.join(file);
            let now = fs::read(&path).ok();
            match (&before, &now) {
                (None, Some(_)) if number == 0 => events.push(("exists", path.clone())),
                (None, Some(_)) => events.push(("created", path.clone())),
                (Some((_, old)), Some(new)) if old != new => events.push(("changed", path.clone())),
                (Some((last, _)), None) => events.push(("deleted", last.clone())),
                _ => {}
            }
            before = now.map(|content| (path, content));
        }
        events
    }

    /// What `hist` prints, without times and sizes.
    fn printed(&self, words: &[&str], file: &str) -> Vec<(String, PathBuf)> {
        let ran = self.script("hist", words, &self.live().join(file));
        assert!(ran.status.success(), "{file}: {ran:?}");
        let text = String::from_utf8(ran.stdout).unwrap();
        let of_line = |line: &str| {
            let words: Vec<&str> = line.split_whitespace().collect();
            (words[2].to_owned(), PathBuf::from(words.last().unwrap()))
        };
        text.lines().map(of_line).collect()
    }
}

/// Changes some of the files, with contents of equal length too, and lets others alone.
fn change(live: &Path, rng: &mut Rng) {
    fs::create_dir_all(live.join("d")).unwrap();
    for file in &FILES[..4] {
        let path = live.join(file);
        match rng.below(6) {
            0 => drop(fs::remove_file(&path)),
            1 | 2 => fs::write(&path, format!("{:08}\n", rng.below(1_000_000))).unwrap(),
            // The same content anew: no version of its own.
            3 => {
                if let Ok(content) = fs::read(&path) {
                    fs::remove_file(&path).unwrap();
                    fs::write(&path, content).unwrap();
                }
            }
            _ => {}
        }
    }
}

#[test]
fn three_days_by_the_hour_are_looked_into_as_the_old_scripts_do_and_copied_twice() {
    if !real_btrfs_available() {
        return;
    }
    let mut dump = Dump::new();
    let mut rng = Rng::new(91);
    let now = Utc::now();
    // Half an hour from what any option means, so that this test's own time plays no part.
    let last = (now - TimeDelta::minutes(30)).duration_trunc(TimeDelta::minutes(1));
    let last = last.unwrap();
    for hour in (0..HOURS).rev() {
        change(&dump.live(), &mut rng);
        dump.take(last - TimeDelta::hours(hour));
    }
    assert_eq!(dump.taken.len(), usize::try_from(HOURS).unwrap());
    assert!(dump.taken.values().all(|path| path.exists()));

    let options: [(&[&str], TimeDelta); 8] = [
        (&[], TimeDelta::days(1)),
        (&["-d", "2"], TimeDelta::days(2)),
        (&["-h", "3"], TimeDelta::hours(27)),
        (&["-d", "1", "-h", "20"], TimeDelta::hours(44)),
        (&["-d", "0", "-h", "1"], TimeDelta::hours(1)),
        (&["-d", "0", "-h", "7"], TimeDelta::hours(7)),
        (&["-h", "46"], TimeDelta::hours(70)),
        (&["-y", "1"], TimeDelta::days(365)),
    ];
    let newest = dump.taken.values().next_back().unwrap().clone();
    let mut found = 0;
    for file in FILES {
        for (words, back) in options {
            let expected = dump.yest(file, back, now);
            // From the live tree, and from inside the dump.
            for path in [PathBuf::from(file), newest.join(file)] {
                let ran = dump.script("yest", words, &path);
                let printed = String::from_utf8(ran.stdout).unwrap();
                let printed = printed.lines().next().map(PathBuf::from);
                assert_eq!(printed, expected, "{file} {words:?}");
                let code = i32::from(expected.is_none());
                assert_eq!(ran.status.code(), Some(code), "{file} {words:?}");
            }
            found += usize::from(expected.is_some());
        }
        let expected = dump.hist(file);
        if expected.is_empty() {
            continue;
        }
        let printed = dump.printed(&["-c"], file);
        let expected: Vec<_> = expected
            .into_iter()
            .map(|(what, path)| (what.to_owned(), path))
            .collect();
        assert_eq!(printed, expected, "{file}");
    }
    assert!(found > 10, "{found}");

    // The second disk takes the last one of each day.
    let run = dump.machine.run("--quiet mirror");
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
    let mut of_days = BTreeMap::new();
    for (at, path) in &dump.taken {
        of_days.insert(at.date_naive(), path);
    }
    let copies = fs::read_dir(dump.second.path("newage")).unwrap();
    let copies = copies.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut copies: Vec<String> = copies.filter(|name| name.starts_with("20")).collect();
    copies.sort();
    let expected = of_days.values().map(|path| path.file_name().unwrap());
    let expected: Vec<String> = expected
        .map(|name| name.to_str().unwrap().to_owned())
        .collect();
    assert_eq!(copies, expected);
    for path in of_days.values() {
        let copy = dump.second.path("newage").join(path.file_name().unwrap());
        compare_trees(path, &copy);
    }

    // The checkpoint of the month is a full, and comes back without anything else.
    let run = dump.machine.run("--quiet backup newage --full");
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let archived = dump.machine.archived();
    assert_eq!(archived.len(), 1);
    assert!(archived[0].ends_with(" full"), "{archived:?}");
    let disk = LoopFs::new(256);
    let run = dump.machine.run(&format!(
        "restore newage --from store --identity $T/kit --yes --to {}",
        disk.root().display()
    ));
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let date = &archived[0][..10];
    compare_trees(
        &dump.machine.btrfs().path("newage/dump").join(date),
        &disk.path("newage").join(date),
    );
}
