//! The way out of a vault: copied through jobs, moved to a bucket, archived on there, and what is left deleted. Real btrfs,
//! the real program, and servers that follow Amazon's APIs.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::whole::Vaulted;
use crate::common::bucket::write_credentials;
use crate::common::loopfs::{LoopFs, real_btrfs_available};
use crate::common::rng::Rng;
use crate::common::s3_server::{ACCESS_KEY, BUCKET, Config, S3Server, SECRET_KEY};
use crate::common::sandbox::{Ran, SOURCE};
use crate::common::tree::{compare_trees, make_rich_tree, mutate_tree};
use crate::common::vault_server::{ENV, Operation};

const DATES: [&str; 4] = ["2026-01-01", "2026-01-07", "2026-01-14", "2026-01-21"];

/// A source in a vault, and a bucket that is to be its new home.
struct Leaving {
    vaulted: Vaulted,
    bucket: S3Server,
    credentials: tempfile::TempDir,
}

impl Leaving {
    fn new() -> Self {
        let bucket = S3Server::start(Config::default());
        let credentials = tempfile::tempdir().unwrap();
        let file = credentials.path().join("credentials");
        write_credentials(&file, ACCESS_KEY, SECRET_KEY);
        let table = bucket.store_table(&format!(
            "prefix = \"laptop\"\ncredentials_file = \"{}\"\n",
            file.display()
        ));
        let vaulted = Vaulted::beside("", &format!("\n[store.new]\n{table}"));
        Self {
            vaulted,
            bucket,
            credentials,
        }
    }

    fn run(&self, words: &str) -> Ran {
        let kit = self.vaulted.sandbox.kit();
        let words = words.replace("KIT", kit.to_str().unwrap());
        self.vaulted.sandbox.run(words.split(' '))
    }

    fn jobs(&self) -> usize {
        self.vaulted.server.count(Operation::InitiateJob)
    }

    /// The entries that the bucket has.
    fn entries(&self) -> Vec<Value> {
        let objects = self.bucket.objects(BUCKET);
        let entries = objects.iter().filter(|(key, _)| key.contains("/ledger/0"));
        let first_line = |body: &[u8]| {
            let text = String::from_utf8(body.to_vec()).unwrap();
            serde_json::from_str(text.lines().next().unwrap()).unwrap()
        };
        entries
            .map(|(_, object)| first_line(&object.body))
            .collect()
    }

    /// A machine with the state of this moment, and with the vault as home in its config.
    fn unaware(&self) -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        let state = self.vaulted.sandbox.config().with_file_name("state");
        let copied = Command::new("cp")
            .arg("-a")
            .args([&state, &directory.path().join("state")])
            .status();
        assert!(copied.unwrap().success());
        let config = fs::read_to_string(self.vaulted.sandbox.config()).unwrap();
        let there = directory.path().join("state");
        let config = config.replace(state.to_str().unwrap(), there.to_str().unwrap());
        fs::write(directory.path().join("config.toml"), config).unwrap();
        directory
    }
}

/// Runs the program on another machine.
fn on(machine: &Path, words: &str) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_coldchain"))
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap())
        .envs(ENV)
        .env("COLDCHAIN_CONFIG", machine.join("config.toml"))
        .args(words.split(' '))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code(), said)
}

#[test]
fn a_source_moves_out_of_its_vault_goes_on_in_a_bucket_and_leaves_nothing_behind() {
    if !real_btrfs_available() {
        return;
    }
    let leaving = Leaving::new();
    let (vaulted, sandbox) = (&leaving.vaulted, &leaving.vaulted.sandbox);
    assert!(leaving.credentials.path().is_dir());
    let mut rng = Rng::new(95);
    make_rich_tree(&sandbox.source(), &mut rng);
    fs::write(sandbox.source().join("large"), rng.bytes(40 << 20)).unwrap();
    for date in &DATES[..3] {
        sandbox.backup(date);
        mutate_tree(&sandbox.source(), &mut rng);
    }
    // What others have in the vault is nobody's business.
    let foreign = [
        vaulted.server.plant("a file of another program", b"theirs"),
        vaulted.server.plant(
            &format!(
                "coldchain 1 {} {SOURCE}/archives/2026-01-01-full-00000000000000aa/000000-00000000000000aa.zst.age {}",
                "77".repeat(16),
                "00".repeat(32)
            ),
            b"another machine's",
        ),
    ];
    let segments = vaulted.ids().len() - foreign.len();
    assert!(segments >= 5, "{segments}");
    let unaware = leaving.unaware();

    // Priced and asked first, then asked for once, and copied when it is there.
    let plan = leaving.run("copy --to new --plan").ok();
    assert!(plan.stdout.contains("to thaw"), "{plan:?}");
    assert_eq!(
        leaving.run("copy --to new --max-cost 0 --yes").code,
        Some(2)
    );
    assert_eq!(leaving.run("copy --to new").code, Some(2));
    assert_eq!(leaving.jobs(), 0);
    assert_eq!(leaving.run("copy --to new --yes").code, Some(5));
    assert_eq!(leaving.jobs(), segments);
    vaulted.advance(3);
    assert_eq!(leaving.run("copy --to new --yes").code, Some(5));
    vaulted.advance(10);
    let copied = leaving.run("copy --to new --yes").ok();
    assert!(
        copied.stdout.contains("it has all 3 archives"),
        "{copied:?}"
    );
    leaving.run("copy --to new --yes").ok();
    assert_eq!(leaving.jobs(), segments, "nothing is asked for twice");
    let old_home = format!("prune {SOURCE} --old-home shelf");
    let is_home = leaving.run(&format!("{old_home} --dry-run"));
    assert_eq!(is_home.code, Some(2));
    assert!(is_home.stderr.contains("it is the home"), "{is_home:?}");

    leaving
        .run(&format!("move {SOURCE} --to new --yes --kit KIT"))
        .ok();
    let config = fs::read_to_string(sandbox.config()).unwrap();
    let config = config.replace("store = \"shelf\"", "store = \"new\"");
    fs::write(sandbox.config(), config).unwrap();
    sandbox.backup(DATES[3]);
    assert_eq!(sandbox.committed().len(), 4);
    let entries = leaving.entries();
    let last = entries.last().unwrap();
    assert_eq!(
        (&last["format"], &last["kind"]),
        (&2.into(), &"archive".into())
    );
    let archive = &last["archive"];
    assert!(archive["send_parent"].is_string(), "{last}");
    assert!(archive.get("vault").is_none(), "{last}");
    assert!(entries[1]["archive"].get("vault").is_some());
    assert_eq!(leaving.jobs(), segments);
    // Another machine archives nothing in the vault any more. It may ask for an inventory before it reads the ledger.
    let ids = vaulted.ids();
    let (code, said) = on(unaware.path(), &format!("prune {SOURCE}"));
    assert_eq!(code, Some(6), "{said}");
    assert!(said.contains("is no longer the home"), "{said}");
    assert_eq!(vaulted.ids(), ids);

    // All comes back without a job.
    let jobs = leaving.jobs();
    let to = LoopFs::new(512);
    vaulted.restore(&to.root(), DATES[3]).ok();
    for date in DATES {
        compare_trees(&sandbox.snapshot(date), &to.path(SOURCE).join(date));
    }
    assert_eq!(leaving.jobs(), jobs);
    deletes_what_is_left(&leaving, &old_home, &foreign);
    let to = LoopFs::new(512);
    vaulted.restore(&to.root(), DATES[3]).ok();
    leaving.run("verify --deep --identity KIT").ok();
}

/// Deletes what the vault still has, once a check has read the new home.
fn deletes_what_is_left(leaving: &Leaving, old_home: &str, foreign: &[String]) {
    let vaulted = &leaving.vaulted;
    let ids = vaulted.ids();
    let unread = leaving.run(&format!("{old_home} --dry-run")).ok();
    assert!(
        unread.stdout.contains("no archive may be deleted"),
        "{unread:?}"
    );
    assert!(unread.stdout.contains("no check has read it"), "{unread:?}");
    leaving.run(&format!("{old_home} --yes-delete 3")).ok();
    assert_eq!(vaulted.ids(), ids);

    leaving.run("verify --deep --identity KIT").ok();
    let plan = leaving.run(&format!("{old_home} --dry-run")).ok();
    assert!(
        plan.stdout
            .contains("--yes-delete 3 would delete 3 archives"),
        "{plan:?}"
    );
    for agreed in ["", " --yes-delete 2", " --yes-delete 4"] {
        let refused = leaving.run(&format!("{old_home}{agreed}"));
        assert_eq!(refused.code, Some(2), "{refused:?}");
    }
    assert_eq!(vaulted.ids(), ids);
    leaving.run(&format!("{old_home} --yes-delete 3")).ok();
    assert_eq!(vaulted.ids(), foreign.iter().cloned().collect());
    let again = leaving.run(&format!("{old_home} --dry-run")).ok();
    assert!(again.stdout.contains("has no archive of it"), "{again:?}");
    let no_vault = leaving.run(&format!("prune {SOURCE} --old-home ledger --dry-run"));
    assert_eq!(no_vault.code, Some(2));
    assert!(no_vault.stderr.contains("it is no vault"), "{no_vault:?}");
}
