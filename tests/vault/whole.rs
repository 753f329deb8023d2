//! A source archived into a vault and brought back: real btrfs, the real program, a server that follows Amazon's API.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

use chrono::TimeDelta;

use crate::common::loopfs::{LoopFs, real_btrfs_available};
use crate::common::rng::Rng;
use crate::common::sandbox::{CHAIN_OF_TWELVE, Ran, SOURCE, Sandbox, Setup};
use crate::common::tree::{compare_trees, make_rich_tree, mutate_tree};
use crate::common::vault_server::{ENV, Operation, VaultServer};

/// A source whose segments go into a vault, and the directory of its ledger.
pub(super) struct Vaulted {
    pub(super) server: Arc<VaultServer>,
    ledger: tempfile::TempDir,
    pub(super) sandbox: Sandbox,
}

impl Vaulted {
    fn new(schedule: &str) -> Self {
        Self::beside(schedule, "")
    }

    /// The same with these tables of the config.
    pub(super) fn beside(schedule: &str, tables: &str) -> Self {
        Self::at(Arc::new(VaultServer::new()), schedule, tables)
    }

    /// Another machine with the same vault, and a ledger store of its own.
    fn at(server: Arc<VaultServer>, schedule: &str, tables: &str) -> Self {
        let ledger = tempfile::tempdir().unwrap();
        let more = format!(
            "ledger_store = \"ledger\"\ngive_up_after = \"30s\"\n\n[store.ledger]\ntype = \"dir\"\npath = \"{}\"\n{tables}",
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

    /// Whether every archive of the only chain was verified.
    fn is_verified(&self) -> bool {
        let listed = self.sandbox.listed();
        let chains = listed["chains"].as_array().unwrap();
        assert_eq!(chains.len(), 1);
        !chains[0]["verified_at"].is_null()
    }

    /// `coldchain thaw home`.
    fn thaw(&self, more: &[&str]) -> Ran {
        self.sandbox
            .run(["thaw", SOURCE, "--yes"].iter().chain(more))
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
    assert!(!vaulted.is_verified(), "no inventory was made");
    vaulted.read_inventory();
    assert!(vaulted.is_verified());

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
    // The rebuilt catalog knows what is in the vault, and an inventory is read again.
    sandbox.run(["verify"]).ok();
    vaulted.read_inventory();
    assert!(vaulted.is_verified());
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

#[test]
fn two_machines_and_strangers_share_a_vault_and_none_sees_the_others() {
    if !real_btrfs_available() {
        return;
    }
    let one = Vaulted::new("");
    let other = Vaulted::at(Arc::clone(&one.server), "", "");
    for (vaulted, seed) in [(&one, 93), (&other, 94)] {
        make_rich_tree(&vaulted.sandbox.source(), &mut Rng::new(seed));
        vaulted.sandbox.backup("2026-01-01");
    }
    let segments = one.ids().len();
    let planted = [
        one.server.plant("photos of 2019", b"not coldchain's"),
        one.server
            .plant("coldchain 1 nothing that can be read", b"mangled"),
    ];
    one.read_inventory();
    other.read_inventory();
    for vaulted in [&one, &other] {
        assert!(vaulted.is_verified());
        // Nothing of the others is an orphaned object here.
        let ran = vaulted.sandbox.run(["prune", "--dry-run"]).ok();
        assert!(
            ran.stdout.contains("nothing to retire, delete or remove"),
            "{ran:?}"
        );
        vaulted.sandbox.run(["prune"]).ok();
    }
    let ids = one.ids();
    assert_eq!(ids.len(), segments + planted.len());
    assert!(planted.iter().all(|id| ids.contains(id)));
    for vaulted in [&one, &other] {
        let to = LoopFs::new(512);
        assert_eq!(vaulted.restore(&to.root(), "2026-01-01").code, Some(5));
        vaulted.advance(6);
        vaulted.restore(&to.root(), "2026-01-01").ok();
        let restored = to.path(SOURCE).join("2026-01-01");
        compare_trees(&vaulted.sandbox.snapshot("2026-01-01"), &restored);
    }
}

#[test]
fn a_tier_that_is_not_to_be_had_is_refused_with_the_reason_and_nothing_is_asked_for() {
    if !real_btrfs_available() {
        return;
    }
    let vaulted = Vaulted::new("");
    make_rich_tree(&vaulted.sandbox.source(), &mut Rng::new(95));
    vaulted.sandbox.backup("2026-01-01");
    vaulted.server.configure(|config| {
        config.no_expedited = true;
        config.retrieval_strategy = "BytesPerHour";
        config.bytes_per_hour = 1;
    });
    let ran = vaulted.thaw(&["--tier", "expedited"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(
        ran.stderr
            .contains("the tier `expedited` has no capacity now"),
        "{}",
        ran.stderr
    );
    let ran = vaulted.thaw(&["--tier", "standard"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.stderr.contains("use the tier `bulk`"), "{}", ran.stderr);
    assert!(vaulted.server.jobs().is_empty());
    let list = vaulted.sandbox.config().with_file_name("list");
    let ran = vaulted.thaw(&["--tier", "bulk", "--batch", list.to_str().unwrap()]);
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(vaulted.server.jobs().is_empty());
    let ran = vaulted.thaw(&["--tier", "bulk"]);
    assert_eq!(ran.code, Some(5), "{ran:?}");
    let ran = vaulted.thaw(&["--status"]);
    assert_eq!(ran.code, Some(5), "{ran:?}");
    assert!(ran.stdout.contains("due by"), "{}", ran.stdout);
    vaulted.advance(13);
    vaulted.thaw(&["--status"]).ok();
}

/// Runs a script of `restore --explain` with the `aws` command; `None` if that, or another of its programs, is not
/// here.
fn by_hand(script: &Path, argument: Option<&str>) -> Option<Output> {
    for program in ["aws", "age", "zstd"] {
        let asked = Command::new(program).arg("--version").output();
        if !asked.is_ok_and(|asked| asked.status.success()) {
            let in_ci = std::env::var_os("CI").is_some_and(|ci| ci == "true");
            assert!(
                !in_ci,
                "CI=true, but there is no `{program}` here: run scripts/install-dependencies"
            );
            eprintln!("skipped: there is no `{program}` here");
            return None;
        }
    }
    let mut command = Command::new("bash");
    command
        .arg(script)
        .args(argument)
        .envs(ENV)
        .stdin(Stdio::null());
    Some(command.output().unwrap())
}

#[test]
fn a_vault_is_restored_by_hand_with_the_aws_command() {
    if !real_btrfs_available() {
        return;
    }
    let vaulted = Vaulted::new("");
    let sandbox = &vaulted.sandbox;
    make_rich_tree(&sandbox.source(), &mut Rng::new(96));
    sandbox.backup("2026-01-01");
    let to = LoopFs::new(512);
    let target = to.path("by-hand");
    fs::create_dir(&target).unwrap();
    let kit = sandbox.kit();
    let words = ["restore", SOURCE, "--explain", "--to"]
        .map(OsStr::new)
        .into_iter();
    let words = words.chain([
        target.as_os_str(),
        OsStr::new("--identity"),
        kit.as_os_str(),
    ]);
    let explained = sandbox.run(words).ok();
    let script = sandbox.config().with_file_name("by-hand.sh");
    fs::write(&script, &explained.stdout).unwrap();
    let Some(thawed) = by_hand(&script, Some("thaw")) else {
        return;
    };
    assert!(thawed.status.success(), "{thawed:?}");
    assert_eq!(vaulted.server.jobs().len(), vaulted.ids().len());
    let early = by_hand(&script, None).unwrap();
    assert!(!early.status.success(), "it is not thawed yet: {early:?}");
    vaulted.advance(6);
    let restored = by_hand(&script, None).unwrap();
    assert!(restored.status.success(), "{restored:?}");
    compare_trees(&sandbox.snapshot("2026-01-01"), &target.join("2026-01-01"));
}
