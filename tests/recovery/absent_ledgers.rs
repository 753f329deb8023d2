//! Rebuilding where a ledger is gone as a whole, can't be told, or is there twice: what is not read is
//! never left unsaid.

use std::fs;
use std::path::{Path, PathBuf};

use crate::common::machine::{Machine, Run, fed_config};
use crate::common::stream_builder::StreamBuilder;
use coldchain::ledger::SigningKey;

/// Where the second source goes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Work {
    BesideHome,
    InAnotherStore,
}

/// A machine that had `home` and `work`, each with one archive, and has lost everything but the stores and
/// the kit.
struct Bare {
    machine: Machine,
}

/// Whether the kit knows how far the ledgers went.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Heads {
    Known,
    Unknown,
}

impl Bare {
    fn new(work: Work, heads: Heads) -> Self {
        let machine = Machine::fed(None);
        let (store, section) = match work {
            Work::BesideHome => ("disk", ""),
            Work::InAnotherStore => (
                "other",
                "[store.other]\ntype = \"dir\"\npath = \"$T/other\"\n\n",
            ),
        };
        let source = format!("[[source]]\nname = \"work\"\nstore = \"{store}\"\n\n{section}");
        let config = fed_config().replace("[store.disk]", &format!("{source}[store.disk]"));
        machine.write_config(&config);
        assert_eq!(machine.run("init --kit $T/kit --quiet").code, Some(0));
        for (at, name) in [(1, "home"), (2, "work")] {
            let stream = StreamBuilder::header(1)
                .subvol(b"2024-01-01", [at; 16], 10)
                .finish();
            let run = machine.run_with(&format!("decide 2024-01-01 --source {name}"), &stream);
            assert_eq!(run.code, Some(0), "{run:?}");
        }
        if heads == Heads::Known {
            let run = machine.run("key kit --kit $T/kit");
            assert_eq!(run.code, Some(0), "{run:?}");
        }
        fs::remove_dir_all(machine.state()).unwrap();
        fs::remove_file(machine.path("config.toml")).unwrap();
        Self { machine }
    }

    fn root(&self) -> String {
        let kit = fs::read_to_string(self.machine.path("kit")).unwrap();
        let line = kit
            .lines()
            .find_map(|line| line.strip_prefix("# root public key: "));
        line.unwrap().to_owned()
    }

    fn path(&self, below: &str) -> PathBuf {
        self.machine.path(below)
    }

    #[track_caller]
    fn rebuild(&self, words: &str, code: i32, saying: &[&str]) -> Run {
        let run = self
            .machine
            .run(&format!("catalog rebuild --state-dir $T/state {words}"));
        assert_eq!(run.code, Some(code), "{run:?}");
        for words in saying {
            let said = run.stdout.contains(words) || run.stderr.contains(words);
            assert!(said, "{words}: {run:?}");
        }
        run
    }
}

fn copy(from: &Path, to: &Path) {
    let copied = std::process::Command::new("cp")
        .arg("-a")
        .args([from, to])
        .status()
        .unwrap();
    assert!(copied.success());
}

const SOUND: &str = "home: 2 entries read, 1 archive\n";
const BOTH: &str = "--store file://$T/store --store file://$T/other";

#[test]
fn a_source_that_the_kit_has_seen_archived_is_missed_in_the_second_store_too() {
    let bare = Bare::new(Work::InAnotherStore, Heads::Known);
    bare.rebuild(&format!("{BOTH} --identity $T/kit"), 0, &[SOUND]);
    fs::remove_dir_all(bare.path("state")).unwrap();
    fs::remove_dir_all(bare.path("other/work")).unwrap();
    bare.rebuild(
        &format!("{BOTH} --identity $T/kit"),
        6,
        &[
            SOUND,
            "file://$T/other/work was refused: the ledger of `work` in file://$T/other has gone back: entry 1 is missing, but entries up to 2 were committed\n",
        ],
    );
}

#[test]
fn a_store_that_the_kit_names_and_that_was_not_read_is_told() {
    let bare = Bare::new(Work::InAnotherStore, Heads::Known);
    bare.rebuild(
        "--store file://$T/store --identity $T/kit",
        0,
        &[
            SOUND,
            "work: the kit names it in file://$T/other, a store that was not read\n",
        ],
    );
}

#[test]
fn archives_whose_ledger_is_gone_are_damage_and_are_counted() {
    for trust in ["--identity $T/kit".to_owned(), String::new()] {
        let bare = Bare::new(Work::BesideHome, Heads::Unknown);
        let trust = match trust.as_str() {
            "" => format!("--trust {}", bare.root()),
            _ => trust,
        };
        fs::remove_dir_all(bare.path("store/work/ledger")).unwrap();
        bare.rebuild(
            &format!("--store file://$T/store {trust}"),
            6,
            &[
                SOUND,
                "file://$T/store/work was refused: the ledger of `work` in file://$T/store is gone: \
                 the store has 3 objects of 1 archive, but no entry\n",
            ],
        );
        // And alone.
        fs::remove_dir_all(bare.path("store/home")).unwrap();
        fs::remove_dir_all(bare.path("state")).unwrap();
        bare.rebuild(
            &format!("--store file://$T/store {trust}"),
            6,
            &["error: the ledger of `work` in file://$T/store is gone"],
        );
    }
}

#[test]
fn a_ledger_without_its_first_entry_is_refused_beside_a_sound_one_and_alone() {
    for (harm, told) in [
        (
            "lost",
            "ledger entry 2 of `work` in file://$T/store was refused: entry 1 is missing before it\n",
        ),
        (
            "rotten",
            "ledger entry 1 of `work` in file://$T/store was refused: it is not a body line",
        ),
        (
            "a directory",
            "ledger entry 1 of `work` in file://$T/store was refused: ",
        ),
    ] {
        let bare = Bare::new(Work::BesideHome, Heads::Unknown);
        let first = bare.path("store/work/ledger/00000001.entry");
        fs::remove_file(&first).unwrap();
        match harm {
            "rotten" => fs::write(&first, "").unwrap(),
            "a directory" => fs::create_dir(&first).unwrap(),
            _ => {}
        }
        let words = format!("--store file://$T/store --trust {}", bare.root());
        let told = format!("file://$T/store/work was refused: {told}");
        bare.rebuild(&words, 6, &[SOUND, &told]);
        fs::remove_dir_all(bare.path("store/home")).unwrap();
        fs::remove_dir_all(bare.path("state")).unwrap();
        bare.rebuild(&words, 6, &["of `work` in file://$T/store was refused\n"]);
    }
}

#[test]
fn a_ledger_that_nobody_trusts_is_told_apart_from_one_that_is_damaged() {
    let bare = Bare::new(Work::BesideHome, Heads::Unknown);
    let other = SigningKey::generate().unwrap().public();
    bare.rebuild(
        &format!("--store file://$T/store --trust {other}"),
        6,
        &[
            "in file://$T/store is not trusted\ncaused by: it names another root key (",
            "hint: nothing of it was read; check --trust, or give the recovery kit of these archives\n",
        ],
    );
}

#[test]
fn the_same_ledger_twice_is_told_with_both_places() {
    let bare = Bare::new(Work::BesideHome, Heads::Unknown);
    copy(&bare.path("store"), &bare.path("copy"));
    bare.rebuild(
        "--store file://$T/store --store file://$T/copy --identity $T/kit",
        6,
        &[
            SOUND,
            "file://$T/copy/home was refused: the ledger of `home` is in two places: \
             it was read from file://$T/store/home, and file://$T/copy/home has it too\n",
        ],
    );
}
