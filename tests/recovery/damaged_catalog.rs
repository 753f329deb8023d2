//! A catalog that is damaged, lost, or of a later version: it is said, nothing in the store is lost
//! by it, and with an older copy of it the next run goes on.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::common::loopfs::run;
use crate::common::machine::Machine;
use crate::common::rng::Rng;
use crate::common::whole::{first_and_seventh, visible_streams};

const DAMAGED: &str = "hint: run `coldchain catalog rebuild` to make a new catalog from the store; this one is kept. Or put back an older copy of catalog.db: coldchain reads from the ledger what it lacks. The archives are safe in the store\n";

/// A machine with the full of the 1st, what its catalog was then, and the streams.
struct Kept {
    machine: Machine,
    streams: [Vec<u8>; 2],
    catalog: Vec<u8>,
}

impl Kept {
    fn new() -> Self {
        let machine = Machine::fed(None);
        let streams = first_and_seventh(10);
        machine
            .run_with("decide 2024-01-01", &streams[0])
            .is(0, "c\n", "");
        let catalog = fs::read(machine.path("state/catalog.db")).unwrap();
        let kept = Self {
            machine,
            streams,
            catalog,
        };
        kept.copy("store", "store-kept");
        kept
    }

    fn copy(&self, from: &str, to: &str) {
        let _ = fs::remove_dir_all(self.machine.path(to));
        let (from, to) = (self.machine.path(from), self.machine.path(to));
        run(Command::new("cp").arg("-a").arg(from).arg(to)).unwrap();
    }

    /// As it was, but for the catalog.
    fn with_catalog(&self, bytes: &[u8]) {
        self.copy("store-kept", "store");
        self.put_back(bytes);
    }

    /// What the hint says.
    fn put_back(&self, bytes: &[u8]) {
        for file in ["catalog.db", "catalog.db-wal", "catalog.db-shm"] {
            let _ = fs::remove_file(self.machine.state().join(file));
        }
        fs::write(self.machine.path("state/catalog.db"), bytes).unwrap();
    }

    /// The catalog is as it is: every command says no, with that, and the store stays as it is.
    fn says(&self, code: i32, stderr: &str) {
        let before = self.machine.standing();
        for words in [
            "list",
            "show 2024-01-01",
            "plan 2024-01-07",
            "decide 2024-01-07",
            "restore home --from store --plan",
            "prune",
        ] {
            let run = self.machine.run_with(words, &self.streams[1]);
            run.is(code, "", stderr);
        }
        assert_eq!(self.machine.standing(), before);
    }

    /// With a good copy of the catalog, the 7th is archived, now or already.
    fn goes_on(&self) {
        self.put_back(&self.catalog);
        let run = self.machine.run_with("decide 2024-01-07", &self.streams[1]);
        assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""), "{run:?}");
        let visible = visible_streams(&self.machine);
        assert_eq!(visible["2024-01-01"], self.streams[0]);
        assert_eq!(visible["2024-01-07"], self.streams[1]);
        assert_eq!(
            self.machine.archived(),
            ["2024-01-01 full", "2024-01-07 incremental"]
        );
    }
}

fn sqlite(catalog: &Path, statement: &str) {
    run(Command::new("sqlite3").arg(catalog).arg(statement)).unwrap();
}

#[test]
fn a_catalog_that_is_no_database_or_cut_short_is_said() {
    let kept = Kept::new();
    let length = kept.catalog.len();
    let stderr = |words: &str| {
        format!("error: could not open the journal in the catalog\ncaused by: {words}\n{DAMAGED}")
    };
    let no_database = stderr("file is not a database (SQLite's code 26)");
    let malformed = stderr("database disk image is malformed (SQLite's code 11)");
    let mut without_header = kept.catalog.clone();
    without_header[..4096].fill(0);
    for (bytes, stderr) in [
        (Rng::new(41).bytes(length), &no_database),
        (b"not even a page".to_vec(), &no_database),
        (without_header, &no_database),
        (kept.catalog[..length / 2].to_vec(), &malformed),
        (kept.catalog[..5000].to_vec(), &malformed),
    ] {
        kept.with_catalog(&bytes);
        kept.says(6, stderr);
        kept.goes_on();
    }
}

#[test]
fn a_catalog_of_a_later_version_is_said_and_left_alone() {
    let kept = Kept::new();
    kept.with_catalog(&kept.catalog);
    let catalog = kept.machine.path("state/catalog.db");
    let known = String::from_utf8(
        run(Command::new("sqlite3")
            .arg(&catalog)
            .arg("PRAGMA user_version"))
        .unwrap()
        .stdout,
    );
    sqlite(&catalog, "PRAGMA user_version = 99");
    let stderr = format!(
        "error: the catalog has schema version 99, this coldchain knows {}\n\
         hint: use the coldchain that wrote it, or a later one\n",
        known.unwrap().trim()
    );
    kept.says(6, &stderr);
    kept.goes_on();
}

#[test]
fn a_catalog_with_other_tables_or_values_is_said() {
    let kept = Kept::new();
    for (statement, what, cause) in [
        (
            "ALTER TABLE source RENAME TO sources",
            "read the sources",
            "no such table: source (SQLite's code 1)",
        ),
        (
            "PRAGMA ignore_check_constraints = ON; PRAGMA foreign_keys = OFF; UPDATE source SET ledger = 'no ledger'",
            "read the sources",
            "",
        ),
    ] {
        kept.with_catalog(&kept.catalog);
        sqlite(&kept.machine.path("state/catalog.db"), statement);
        let run = kept.machine.run("plan 2024-01-07");
        let said = format!("error: could not {what} in the catalog\ncaused by: {cause}");
        assert!(run.stderr.starts_with(&said), "{statement}: {run:?}");
        assert!(run.stderr.ends_with(DAMAGED), "{statement}: {run:?}");
        assert_eq!(run.code, Some(6), "{statement}: {run:?}");
        kept.goes_on();
    }
}

#[test]
fn a_catalog_that_is_gone_is_said_before_anything_is_written() {
    let kept = Kept::new();
    kept.with_catalog(b"");
    let before = kept.machine.standing();
    let run = kept.machine.run_with("decide 2024-01-07", &kept.streams[1]);
    run.is(
        6,
        "",
        "error: ledger entry 1 of `home` in file://$T/store was refused\n\
         caused by: it belongs to the ledger $HEX32, not to $HEX32\n\
         hint: run `coldchain catalog rebuild --identity KIT` with the recovery kit of these archives if their catalog was lost; if another machine archives there, give this machine another directory or store. Nothing was written\n",
    );
    assert_eq!(kept.machine.standing(), before);
    kept.goes_on();
}

/// Whatever the damage, the program ends as programs end, what it makes visible is whole, and a good
/// copy of the catalog goes on.
fn survives(kept: &Kept, bytes: &[u8], what: &str) {
    kept.with_catalog(bytes);
    for words in [
        "list",
        "plan 2024-01-07",
        "restore home --from store --plan",
        "prune",
    ] {
        let run = kept.machine.run(words);
        let ended = matches!(run.code, Some(0 | 1 | 2 | 6 | 7));
        assert!(ended, "{what}: {words}: {run:?}");
    }
    let run = kept.machine.run_with("decide 2024-01-07", &kept.streams[1]);
    let ended = matches!(run.code, Some(0 | 1 | 2 | 4 | 6 | 7));
    assert!(ended, "{what}: {run:?}");
    let visible = visible_streams(&kept.machine);
    assert_eq!(visible["2024-01-01"], kept.streams[0], "{what}");
    assert!(visible.len() <= 2, "{what}");
    kept.goes_on();
}

#[test]
fn no_page_of_the_catalog_that_is_lost_costs_an_archive() {
    let kept = Kept::new();
    let pages = kept.catalog.len() / 4096;
    for page in 0..pages {
        let mut bytes = kept.catalog.clone();
        bytes[page * 4096..(page + 1) * 4096].fill(0);
        survives(&kept, &bytes, &format!("page {page} of {pages}"));
    }
}

#[test]
fn no_bit_of_the_catalog_that_flips_costs_an_archive() {
    let kept = Kept::new();
    let seed = std::env::var("COLDCHAIN_SEED").map_or(42, |seed| seed.parse().unwrap());
    let flips = std::env::var("COLDCHAIN_FLIPS").map_or(20, |flips| flips.parse().unwrap());
    let mut rng = Rng::new(seed);
    // Most of a page is empty: bytes that say something are the ones to turn over.
    let saying: Vec<usize> = (0..kept.catalog.len())
        .filter(|at| kept.catalog[*at] != 0)
        .collect();
    for _ in 0..flips {
        let at = *rng.pick(&saying);
        let bit = rng.below(8);
        let mut bytes = kept.catalog.clone();
        bytes[at] ^= 1 << bit;
        survives(
            &kept,
            &bytes,
            &format!("bit {bit} of byte {at}, seed {seed}"),
        );
    }
}
