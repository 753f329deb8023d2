//! Entries and keys against Debian's `minisign`: what is signed here verifies there, by hand, and the
//! key files that are written here work there.

use std::path::Path;
use std::process::Command;

use coldchain::ledger::{SigningKey, encode_body, make_grant, root_grant, sign};
use coldchain::model::LedgerId;
use coldchain::model::entry::{Entry, EntryHead, EntryKind, FORMAT, OpenEntry, Role};

fn minisign_is_there() -> bool {
    let there = Command::new("minisign").arg("-v").output().is_ok();
    assert!(
        there || std::env::var_os("CI").is_none(),
        "minisign is missing"
    );
    if !there {
        eprintln!("skipped: minisign is missing");
    }
    there
}

fn minisign(directory: &Path, args: &[&str]) -> (bool, String) {
    let output = Command::new("minisign")
        .args(args)
        .current_dir(directory)
        .output()
        .unwrap();
    (
        output.status.success(),
        String::from_utf8_lossy(&output.stdout).into_owned(),
    )
}

fn entry(root: &SigningKey, writer: &SigningKey) -> Vec<u8> {
    let grant = make_grant(root, &writer.public(), &[Role::Writer]).unwrap();
    let head = EntryHead {
        format: FORMAT,
        ledger: LedgerId([0xab; 16]),
        source: "home".to_owned(),
        seq: 1,
        prev: None,
        made_at: "2026-11-21T03:00:07Z".parse().unwrap(),
        timezone: "UTC".to_owned(),
        skips: Vec::new(),
    };
    let kind = EntryKind::Open(OpenEntry {
        keys: vec![root_grant(&root.public()), grant],
    });
    sign(&encode_body(&Entry { head, kind }).unwrap(), writer).unwrap()
}

#[test]
fn an_entry_verifies_by_hand_as_the_format_page_says() {
    if !minisign_is_there() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (root, writer) = (
        SigningKey::generate().unwrap(),
        SigningKey::generate().unwrap(),
    );
    std::fs::write(dir.path().join("N.entry"), entry(&root, &writer)).unwrap();
    let split = Command::new("sh")
        .args([
            "-c",
            "head -n 1 N.entry > b; tail -n +2 N.entry > b.minisig",
        ])
        .current_dir(dir.path())
        .status()
        .unwrap();
    assert!(split.success());
    let key = writer.public().to_string();
    let (good, said) = minisign(dir.path(), &["-V", "-P", &key, "-m", "b"]);
    assert!(good);
    assert!(
        said.contains("Trusted comment: coldchain abababababababababababababababab 1 open"),
        "{said}"
    );
    let (good, _) = minisign(
        dir.path(),
        &["-V", "-P", &root.public().to_string(), "-m", "b"],
    );
    assert!(!good, "another key must not verify it");
    let body = std::fs::read_to_string(dir.path().join("b")).unwrap();
    std::fs::write(dir.path().join("b"), body.replace("home", "hope")).unwrap();
    assert!(
        !minisign(dir.path(), &["-V", "-P", &key, "-m", "b"]).0,
        "a changed body must not verify"
    );
}

#[test]
fn minisign_takes_the_key_files() {
    if !minisign_is_there() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let key = SigningKey::generate().unwrap();
    std::fs::write(dir.path().join("k.key"), key.to_file_text()).unwrap();
    std::fs::write(dir.path().join("k.pub"), key.public().to_file_text()).unwrap();
    std::fs::write(dir.path().join("m"), "a message\n").unwrap();
    assert!(
        minisign(dir.path(), &["-S", "-s", "k.key", "-m", "m"]).0,
        "it signs with our secret key file"
    );
    assert!(
        minisign(dir.path(), &["-V", "-p", "k.pub", "-m", "m"]).0,
        "it verifies with our public key file"
    );
}
