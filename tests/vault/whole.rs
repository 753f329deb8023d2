//! A source archived into a vault and brought back: real btrfs, the real program, a server that follows Amazon's API.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::path::Path;

use chrono::TimeDelta;
use serde_json::Value;

use crate::common::loopfs::{LoopFs, real_btrfs_available};
use crate::common::rng::Rng;
use crate::common::sandbox::{CHAIN_OF_TWELVE, Ran, SOURCE, Sandbox, Setup};
use crate::common::tree::{compare_trees, make_rich_tree, mutate_tree};
use crate::common::vault_server::{ENV, Operation, VaultServer};

/// A source whose segments go into a vault, and the directory of its ledger.
pub(super) struct Vaulted {
    pub(super) server: VaultServer,
    ledger: tempfile::TempDir,
    pub(super) sandbox: Sandbox,
}

impl Vaulted {
    fn new(schedule: &str) -> Self {
        Self::beside(schedule, "")
    }

    /// The same with these tables of the config.
    pub(super) fn beside(schedule: &str, tables: &str) -> Self {
        let server = VaultServer::new();
        let ledger = tempfile::tempdir().unwrap();
        let more = format!(
            "ledger_store = \"ledger\"\ngive_up_after = \"4s\"\n\n[store.ledger]\ntype = \"dir\"\npath = \"{}\"\n{tables}",
            ledger.path().display()
        );
        let sandbox = Sandbox::with(&Setup {
            store: Some(&server.store_table(&more)),
            schedule,
            env: &ENV,
            ..Setup::default()
        });
        Self {
            server,
            ledger,
            sandbox,
        }
    }

    pub(super) fn advance(&self, hours: i64) {
        self.server.clock().advance(TimeDelta::hours(hours));
    }

    pub(super) fn restore(&self, to: &Path, date: &str) -> Ran {
        let kit = self.sandbox.kit();
        let words = [
            "restore", SOURCE, "--from", "store", "--yes", "--date", date, "--to",
        ];
        let words = words.into_iter().map(OsStr::new);
        let words = words.chain([to.as_os_str(), OsStr::new("--identity"), kit.as_os_str()]);
        self.sandbox.run(words)
    }

    /// Has the vault's inventory made and read, some days after all that is stored.
    fn read_inventory(&self) {
        self.advance(60);
        self.sandbox.run(["verify"]);
        self.advance(5);
        let ran = self.sandbox.run(["verify"]).ok();
        assert!(
            !ran.stdout.contains("not in the vault's inventory yet"),
            "{ran:?}"
        );
    }

    /// The dates of archives that were verified.
    fn verified(&self) -> BTreeSet<String> {
        let is_verified = |archive: &&Value| !archive["verified_at"].is_null();
        let archives = self.sandbox.archives("committed");
        let verified = archives.iter().filter(is_verified);
        verified
            .map(|archive| archive["date"].as_str().unwrap().to_owned())
            .collect()
    }

    /// Ids of the archives that are in the vault.
    pub(super) fn ids(&self) -> BTreeSet<String> {
        self.server
            .archives()
            .into_iter()
            .map(|archive| archive.id)
            .collect()
    }
}

#[test]
fn a_chain_of_twelve_comes_back_after_all_state_is_lost() {
    if !real_btrfs_available() {
        return;
    }
    let vaulted = Vaulted::new("max_chain_days = 36000");
    let sandbox = &vaulted.sandbox;
    let mut rng = Rng::new(91);
    make_rich_tree(&sandbox.source(), &mut rng);
    for date in CHAIN_OF_TWELVE {
        let ran = sandbox.backup(date);
        assert_eq!(ran.stderr, "", "{date}");
        mutate_tree(&sandbox.source(), &mut rng);
    }
    assert!(vaulted.ids().len() >= 12);
    assert!(vaulted.verified().is_empty(), "no inventory was made");
    vaulted.read_inventory();
    assert_eq!(vaulted.verified().len(), 12);

    fs::remove_dir_all(sandbox.config().with_file_name("state")).unwrap();
    let kit = sandbox.kit();
    let words = ["catalog", "rebuild", "--identity"].map(OsStr::new);
    sandbox.run(words.into_iter().chain([kit.as_os_str()])).ok();
    let to = LoopFs::new(512);
    let last = CHAIN_OF_TWELVE[11];
    let ran = vaulted.restore(&to.root(), last);
    assert_eq!(ran.code, Some(5), "{ran:?}");
    let jobs = vaulted.server.count(Operation::InitiateJob);
    // Nothing is asked for again while it is on its way.
    vaulted.advance(3);
    assert_eq!(vaulted.restore(&to.root(), last).code, Some(5));
    assert_eq!(vaulted.server.count(Operation::InitiateJob), jobs);
    vaulted.advance(10);
    vaulted.restore(&to.root(), last).ok();
    for date in CHAIN_OF_TWELVE {
        compare_trees(&sandbox.snapshot(date), &to.path(SOURCE).join(date));
    }
    assert_eq!(vaulted.server.count(Operation::InitiateJob), jobs);
    // The rebuilt catalog goes on where the old one was.
    sandbox.backup("2026-04-01");
    assert!(vaulted.ledger.path().join(SOURCE).join("ledger").is_dir());
}

#[test]
fn output_that_is_gone_is_asked_for_again() {
    if !real_btrfs_available() {
        return;
    }
    let vaulted = Vaulted::new("");
    let sandbox = &vaulted.sandbox;
    make_rich_tree(&sandbox.source(), &mut Rng::new(92));
    sandbox.backup("2026-01-01");
    let to = LoopFs::new(512);
    assert_eq!(vaulted.restore(&to.root(), "2026-01-01").code, Some(5));
    let asked = vaulted.server.count(Operation::InitiateJob);
    vaulted.advance(40);
    assert_eq!(vaulted.restore(&to.root(), "2026-01-01").code, Some(5));
    assert_eq!(vaulted.server.count(Operation::InitiateJob), 2 * asked);
    vaulted.advance(6);
    vaulted.restore(&to.root(), "2026-01-01").ok();
    compare_trees(
        &sandbox.snapshot("2026-01-01"),
        &to.path(SOURCE).join("2026-01-01"),
    );
}
