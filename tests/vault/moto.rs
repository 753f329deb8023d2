//! A chain of twelve archives in the vault of moto, a server that others wrote.
//!
//! moto gives a plain SHA-256 as tree hash, which is the same for at most 1 MiB, and ignores ranges: so each archive is
//! one segment of less. It gives equal bodies one id, but no two sealed segments are equal. Its clock is the real one,
//! and cannot be turned: its jobs take seconds. It announces one inventory, of the moment when the vault was made, so a
//! machine that has read it asks for no other; here the state is lost after the last night, and all is verified by the
//! inventory that is read then.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use coldchain::store::{DirStore, VaultSettings, VaultStore};

use crate::common::bucket::{patience_without_stalls, write_credentials};
use crate::common::loopfs::{LoopFs, real_btrfs_available};
use crate::common::rng::Rng;
use crate::common::sandbox::{CHAIN_OF_TWELVE, SOURCE, Sandbox, Setup};
use crate::common::servers::{Moto, Server, until};
use crate::common::tree::compare_trees;

const VAULT: &str = "twelve-archives";
/// The most bytes of an archive for which moto's tree hash is right.
const MAX_BYTES: u64 = 1 << 20;

/// The vault without a machine around it.
fn vault(server: &Server, directory: &Path) -> VaultStore<'static> {
    let credentials = directory.join("credentials");
    write_credentials(&credentials, server.access_key(), server.secret_key());
    let settings = VaultSettings {
        endpoint: Some(server.endpoint().to_owned()),
        credentials_file: Some(credentials),
        patience: patience_without_stalls(),
        ..VaultSettings::new("us-east-1", VAULT)
    };
    let beside = DirStore::open(directory).unwrap();
    VaultStore::open(
        settings,
        Box::new(|_| {}),
        Box::new(beside),
        directory.join("state"),
    )
    .unwrap()
}

/// Makes, changes, renames and removes a few small files.
fn change(tree: &Path, date: &str, rng: &mut Rng) {
    fs::write(tree.join(date), rng.bytes(20_000)).unwrap();
    let kept = tree.join("directory/kept");
    fs::write(&kept, rng.text(30_000)).unwrap();
    let [moved, link] = ["moved", "link"].map(|name| tree.join(name));
    let _ = fs::remove_file(&moved);
    fs::rename(tree.join(date), &moved).unwrap();
    fs::write(tree.join(format!("of {date}")), date).unwrap();
    let _ = fs::remove_file(&link);
    symlink(format!("of {date}"), link).unwrap();
}

fn restore(sandbox: &Sandbox, to: &LoopFs) -> Option<i32> {
    let (kit, root) = (sandbox.kit(), to.root());
    let words = [
        "restore",
        SOURCE,
        "--from",
        "store",
        "--yes",
        "--tier",
        "expedited",
    ];
    let words = words.into_iter().map(OsStr::new);
    let ran = sandbox.run(words.chain([
        OsStr::new("--date"),
        OsStr::new(CHAIN_OF_TWELVE[11]),
        OsStr::new("--to"),
        root.as_os_str(),
        OsStr::new("--identity"),
        kit.as_os_str(),
    ]));
    assert!(matches!(ran.code, Some(0 | 5)), "{ran:?}");
    ran.code
}

#[test]
fn a_chain_of_twelve_comes_back_from_moto_after_all_state_is_lost() {
    let Some(server) = Moto::shared() else {
        return;
    };
    if !real_btrfs_available() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let vault = vault(server, directory.path());
    vault.client().create().unwrap();
    let table = format!(
        "type = \"glacier-vault\"\nvault = \"{VAULT}\"\nregion = \"us-east-1\"\nendpoint = \"{}\"\n\
         ledger_store = \"ledger\"\n\n[store.ledger]\ntype = \"dir\"\npath = \"{}\"\n",
        server.endpoint(),
        directory.path().join("ledger").display(),
    );
    let sandbox = Sandbox::with(&Setup {
        store: Some(&table),
        schedule: "max_chain_days = 36000",
        env: &server.env(),
        ..Setup::default()
    });
    let mut rng = Rng::new(97);
    fs::create_dir(sandbox.source().join("directory")).unwrap();
    for date in CHAIN_OF_TWELVE {
        change(&sandbox.source(), date, &mut rng);
        sandbox.backup(date);
    }
    let archives = sandbox.archives("committed");
    assert_eq!(archives.len(), 12);
    for archive in &archives {
        assert_eq!(archive["segments"], 1, "{archive}");
        assert!(
            archive["sealed_bytes"].as_u64().unwrap() <= MAX_BYTES,
            "{archive}"
        );
    }
    assert_eq!(vault.client().describe().unwrap().archives, 12);

    fs::remove_dir_all(sandbox.config().with_file_name("state")).unwrap();
    let kit = sandbox.kit();
    let words = ["catalog", "rebuild", "--identity"].map(OsStr::new);
    sandbox.run(words.into_iter().chain([kit.as_os_str()])).ok();
    assert_eq!(sandbox.committed(), CHAIN_OF_TWELVE);
    let to = LoopFs::new(512);
    assert_eq!(restore(&sandbox, &to), Some(5));
    until("the jobs are done", || restore(&sandbox, &to) == Some(0));
    for date in CHAIN_OF_TWELVE {
        compare_trees(&sandbox.snapshot(date), &to.path(SOURCE).join(date));
    }
    let jobs = vault.client().jobs("the jobs").unwrap();
    let of_archives = jobs
        .iter()
        .filter(|job| matches!(job.kind, coldchain::store::VaultJobKind::Archive { .. }));
    assert_eq!(of_archives.count(), 12, "a job was asked for twice");
    until("the inventory shows all", || {
        sandbox.run(["verify"]).ok();
        !sandbox.listed()["chains"][0]["verified_at"].is_null()
    });
}
