//! Prunes of a vault by the real program over HTTP: what has expired is deleted, what an upload left whose answer was lost
//! is found, and nothing else ever goes.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::time::{Duration, SystemTime};

use chrono::{TimeDelta, Utc};
use serde_json::Value;

use super::face::Owner;
use crate::common::vault_server::{Fault, FaultKind, Operation, VaultServer};

/// How many days ago the chain was archived that has expired, and the one that stands.
/// More than the eleven days that the longest part of a month has lie between: each date calls for an archive,
/// whatever today is.
const OLD: [i64; 2] = [200, 185];
const NEW: [i64; 2] = [25, 10];

/// The date so many days ago.
fn date(days: i64) -> String {
    (Utc::now() - TimeDelta::days(days))
        .format("%F")
        .to_string()
}

/// Days by which the vault's clock is behind the machine's at first: what is uploaded then is old for the machine.
const BEHIND: u32 = 30;

/// How an upload loses its answer.
#[derive(Debug, Clone, Copy)]
enum Lost {
    /// The connection is reset.
    Reset,
    /// The service says that it took too long, although it has it all.
    TimedOut,
}

/// A machine with two chains in a vault, whose clock the tests turn.
struct Pruning {
    owner: Owner,
}

impl Pruning {
    fn new() -> Self {
        let server = VaultServer::new();
        server.clock().advance(-TimeDelta::days(BEHIND.into()));
        let owner = Owner::new(server);
        let text = fs::read_to_string(owner.machine.path("config.toml")).unwrap();
        // What has expired is left to `prune`, and nothing waits after it.
        let text = format!(
            "prune = \"elsewhere\"\ndelete_after = \"0s\"\n{text}\n[schedule]\nmax_incrementals = 1\n"
        );
        fs::write(owner.machine.path("config.toml"), text).unwrap();
        Self { owner }
    }

    fn archive(&self, days: [i64; 2]) {
        let [full, incremental] = days.map(date);
        self.owner.archive(&full);
        self.owner.archive_on(&incremental, &full);
    }

    fn prunes_itself(&self) {
        let path = self.owner.machine.path("config.toml");
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, text.replace("prune = \"elsewhere\"\n", "")).unwrap();
    }

    fn ids(&self) -> BTreeSet<String> {
        let archives = self.owner.server.archives().into_iter();
        archives.map(|archive| archive.id).collect()
    }

    /// Lets the vault make an inventory, and the machine take it over.
    fn read_inventory(&self, days: i64) {
        self.owner.server.clock().advance(TimeDelta::days(days));
        let said = self.owner.run("verify home");
        assert_eq!(said.code, Some(0), "{said:?}");
        self.owner.server.clock().advance(TimeDelta::hours(5));
        let said = self.owner.run("verify home");
        assert_eq!(said.code, Some(0), "{said:?}");
    }

    /// Makes the ledger store's objects as old as what was uploaded beside them.
    fn age_ledger_store(&self) {
        let then = SystemTime::now() - Duration::from_hours(24 * u64::from(BEHIND));
        let mut left = vec![self.owner.machine.path("ledger")];
        while let Some(directory) = left.pop() {
            for entry in fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    left.push(path);
                } else {
                    File::open(&path).unwrap().set_modified(then).unwrap();
                }
            }
        }
    }

    fn prune(&self, words: &str) -> String {
        let ran = self.owner.run(&format!("prune home{words}"));
        assert_eq!(ran.code, Some(0), "{ran:?}");
        ran.stdout
    }

    /// Plants what is not this source's to delete. Returns the ids.
    fn plant_foreign(&self) -> BTreeSet<String> {
        let server = &self.owner.server;
        let ours = server.archives()[0].description.clone();
        let words: Vec<&str> = ours.split(' ').collect();
        let [name, version, ledger, key, sha256] = words[..] else {
            panic!("{ours}");
        };
        let other = "77".repeat(16);
        [
            "a file of another program".to_owned(),
            String::new(),
            // The same source of another machine.
            format!("{name} {version} {other} {key} {sha256}"),
            // What was ours, and can't be read.
            format!("{name} {version} {ledger} {key}"),
            format!("{name} 2 {ledger} {key} {sha256}"),
            format!("{name} {version} {ledger} ../{key} {sha256}"),
            // Another source in the same ledger store has a ledger of its own.
            format!(
                "{name} {version} {other} {} {sha256}",
                key.replace("home", "work")
            ),
        ]
        .iter()
        .map(|description| server.plant(description, b"foreign"))
        .collect()
    }
}

/// The numbers of the archives by their state: `(committed, retired)`.
fn states(listed: &Value) -> (usize, usize) {
    let chains = listed["sources"][0]["chains"].as_array().unwrap().iter();
    let archives: Vec<&Value> = chains
        .flat_map(|chain| chain["archives"].as_array().unwrap())
        .collect();
    let count = |state: &str| archives.iter().filter(|it| it["state"] == state).count();
    (count("committed"), count("retired"))
}

#[test]
fn a_prune_deletes_the_expired_chain_and_the_orphans_and_the_next_inventory_agrees() {
    let pruning = Pruning::new();
    let server = &pruning.owner.server;
    pruning.archive(OLD);
    assert_eq!(pruning.ids().len(), 2);
    for lost in [Lost::Reset, Lost::TimedOut] {
        let what = match lost {
            Lost::Reset => FaultKind::ResetAfter,
            Lost::TimedOut => {
                FaultKind::RefusalAfter(408, "RequestTimeoutException", "Request timed out.")
            }
        };
        server.fail(Fault::on(Operation::Upload, what));
    }
    // The first upload of the next full is made three times.
    pruning.archive(NEW);
    assert_eq!(server.faults_struck(), 2);
    let all = pruning.ids();
    assert_eq!(all.len(), 6);
    let archives = server.archives();
    let of_new: Vec<&str> = archives[2..].iter().map(|it| it.id.as_str()).collect();
    // The one whose answer came is the one that the entry names.
    let orphans = BTreeSet::from([of_new[0].to_owned(), of_new[1].to_owned()]);
    let foreign = pruning.plant_foreign();

    // Nothing is retired before an inventory has shown the newer full.
    pruning.prunes_itself();
    let listed = pruning.owner.run("list");
    assert!(
        listed
            .stdout
            .contains("    does not expire yet: its newest archive is"),
        "{listed:?}"
    );
    assert!(
        listed
            .stdout
            .contains("    2 archives are not in the vault's inventory yet\n"),
        "{listed:?}"
    );
    let json = pruning.owner.machine.listed();
    let chains = &json["sources"][0]["chains"];
    assert_eq!(chains[0]["not_in_inventory"], 2, "{chains}");
    assert!(chains[0]["held_back"].is_string() && chains[1]["held_back"].is_null());
    let shown = pruning.owner.run(&format!("show home {}", date(NEW[1])));
    assert!(
        shown
            .stdout
            .contains("waits         the vault's inventory does not show it yet\n"),
        "{shown:?}"
    );
    let said = pruning.prune("");
    assert!(
        said.contains("is not in the vault's inventory yet"),
        "{said}"
    );
    assert_eq!(pruning.ids().len(), all.len() + foreign.len());

    // An attempt is as young as its newest object.
    pruning.age_ledger_store();
    // The vault's clock is now three days before the machine's, and then three days after it.
    pruning.read_inventory(i64::from(BEHIND) - 3);
    pruning.read_inventory(6);
    let listed = pruning.owner.run("list");
    assert!(!listed.stdout.contains("inventory"), "{listed:?}");
    let json = pruning.owner.machine.listed();
    assert_eq!(json["sources"][0]["chains"][0]["not_in_inventory"], 0);
    let plan = pruning.prune(" --dry-run");
    assert!(plan.contains("2 objects to remove"), "{plan}");
    assert_eq!(pruning.ids().len(), all.len() + foreign.len());
    // Retired and removed now, and deleted by the next run.
    pruning.prune("");
    assert!(pruning.ids().is_disjoint(&orphans));
    pruning.prune("");
    let left: BTreeSet<String> = pruning.ids().difference(&foreign).cloned().collect();
    let kept = BTreeSet::from([of_new[2].to_owned(), of_new[3].to_owned()]);
    assert_eq!(left, kept);
    assert!(pruning.ids().is_superset(&foreign));
    assert_eq!(states(&pruning.owner.machine.listed()), (2, 0));

    // The inventory that shows what is gone is no reason to do anything, and the next one agrees.
    let deletes = server.count(Operation::DeleteArchive);
    assert_eq!(deletes, 4);
    for days in [0, 3] {
        if days > 0 {
            pruning.read_inventory(days);
        }
        assert_eq!(pruning.prune(""), "");
        assert_eq!(server.count(Operation::DeleteArchive), deletes);
    }
    let verified = pruning.owner.run("verify home --checksums");
    assert_eq!(verified.code, Some(0), "{verified:?}");
    let rebuilt = pruning.owner.run("catalog rebuild --identity $T/kit");
    assert_eq!(rebuilt.code, Some(0), "{rebuilt:?}");
    assert_eq!(pruning.prune(""), "");
    assert_eq!(server.count(Operation::DeleteArchive), deletes);
}
