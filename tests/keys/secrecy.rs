//! Nothing that is stored, and no command line, tells what is archived, where from, or for whom.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::common::loopfs::{LoopFs, real_btrfs_available};
use crate::common::machine::{LIVE_CONFIG, Machine};
use crate::common::stub::{Pipe, send_by_btrfs, write_script};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD as BASE64, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use coldchain::kit::Kit;
use coldchain::ledger::{decode_body, split};
use coldchain::model::entry::{ArchiveEntry, EntryKind, PrivateFacts};
use coldchain::model::keys;
use coldchain::seal::{ArchiveKey, Identities, open_segment};

const HOST: &str = "canary-host-3f61b07c";
const SUBVOLUME: &str = "canary-subvolume-8d20e5";
const SNAPSHOTS: &str = "canary-snapshots-5b77a1";
const DIRECTORY: &str = "canary-directory-c41d09";
const FILE: &str = "canary-file-name-e6b3f2";
const CONTENT: &str = "canary-content-90a4d7 that is told nowhere";
const XATTR: &str = "canary-xattr-value-17fe08";
const TARGET: &str = "canary-link-target-a2905e";

/// Runs the program as on a machine of that name.
fn run_on_host(machine: &Machine, path: &str, words: &[&str]) {
    let output = Command::new("unshare")
        .args(["--uts", "sh", "-c"])
        .arg("echo \"$0\" >/proc/sys/kernel/hostname && exec \"$@\"")
        .arg(HOST)
        .arg(env!("CARGO_BIN_EXE_coldchain"))
        .args(words)
        .env("COLDCHAIN_CONFIG", machine.path("config.toml"))
        .env("PATH", path)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
}

/// A machine with two archives that are full of canaries, and its recipient.
fn archived(path: &str) -> (Machine, String) {
    let machine = Machine::with_subvolume(256);
    let home = machine.btrfs().subvolume(SUBVOLUME);
    let config = LIVE_CONFIG
        .replace("$FS/home", &format!("$FS/{SUBVOLUME}"))
        .replace("$FS/snapshots", &format!("$FS/{SNAPSHOTS}"));
    machine.write_config(&config);
    let init = machine.run("init --kit $T/kit");
    assert_eq!(init.code, Some(0), "{}", init.stderr);
    send_by_btrfs(&machine.path("config.toml"));

    let below = home.join(DIRECTORY);
    fs::create_dir(&below).unwrap();
    fs::write(below.join(FILE), CONTENT).unwrap();
    // Noise, which zstd leaves as it is: only encryption hides what stands between it.
    let mut noise = vec![0; 64 << 10];
    blake3::Hasher::new().finalize_xof().fill(&mut noise);
    noise[1000..1000 + CONTENT.len()].copy_from_slice(CONTENT.as_bytes());
    fs::write(below.join("noise"), noise).unwrap();
    std::os::unix::fs::symlink(TARGET, below.join("link")).unwrap();
    let flags = rustix::fs::XattrFlags::empty();
    rustix::fs::setxattr(below.join(FILE), "user.note", XATTR.as_bytes(), flags).unwrap();
    run_on_host(&machine, path, &["backup", "2024-01-01", "--verbose"]);
    fs::write(below.join("more"), CONTENT).unwrap();
    run_on_host(&machine, path, &["backup", "2024-01-07", "--verbose"]);
    let recipient = machine.fill("$R");
    (machine, recipient)
}

fn walk(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        found.push(path.clone());
        if path.is_dir() {
            walk(&path, found);
        }
    }
}

/// Everything below a directory: names of files and directories, and contents.
fn everything(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut paths = Vec::new();
    walk(directory, &mut paths);
    assert!(!paths.is_empty(), "{}", directory.display());
    let mut all = BTreeMap::new();
    for path in paths {
        let name = path.strip_prefix(directory).unwrap().to_str().unwrap();
        all.insert(format!("the name {name}"), name.as_bytes().to_vec());
        if path.is_file() {
            all.insert(format!("the file {name}"), fs::read(&path).unwrap());
        }
    }
    all
}

/// A text as it is, in hexadecimal, and in base64 wherever in a longer text it begins.
fn disguises(text: &str) -> Vec<Vec<u8>> {
    let hex = text.bytes().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").unwrap();
        hex
    });
    let mut forms = vec![
        text.as_bytes().to_vec(),
        text.to_uppercase().into_bytes(),
        hex.to_uppercase().into_bytes(),
        hex.into_bytes(),
        text.encode_utf16().flat_map(u16::to_le_bytes).collect(),
    ];
    for before in 0..3 {
        let longer = [vec![0; before], text.as_bytes().to_vec()].concat();
        // The characters at both ends depend on what stands before and after.
        let whole = longer.len() / 3 * 4;
        let first = (before * 8).div_ceil(6);
        for form in [
            STANDARD_NO_PAD.encode(&longer),
            URL_SAFE_NO_PAD.encode(&longer),
        ] {
            forms.push(form.as_bytes()[first..whole].to_vec());
        }
    }
    forms
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack
        .windows(needle.len())
        .any(|window| window == needle)
}

/// Panics if one of the texts stands anywhere in these bytes, in any disguise.
fn tells_none_of(all: &BTreeMap<String, Vec<u8>>, texts: &[String]) {
    for text in texts {
        assert!(text.len() >= 16, "{text} could be there by chance");
        for form in disguises(text) {
            for (place, bytes) in all {
                let form_shown = form.escape_ascii();
                assert!(
                    !contains(bytes, &form),
                    "{place} tells {text} as {form_shown}"
                );
            }
        }
    }
}

/// The signed archives of the machine's ledger.
fn archives(machine: &Machine) -> Vec<ArchiveEntry> {
    let mut archives = Vec::new();
    for path in machine.objects(".entry") {
        let object = fs::read(path).unwrap();
        let (body, _) = split(&object).unwrap();
        if let EntryKind::Archive(archive) = decode_body(body).unwrap().kind {
            archives.push(*archive);
        }
    }
    assert_eq!(archives.len(), 2);
    archives
}

fn unsealed(machine: &Machine, archive: &ArchiveEntry) -> ArchiveKey {
    let kit = Identities::from_file(&machine.path("kit"), &|_| None).unwrap();
    ArchiveKey::unseal(&BASE64.decode(&archive.key).unwrap(), &kit).unwrap()
}

/// The secrets of the kit and of the state directory: nothing but their owner's files has them.
fn secrets(machine: &Machine) -> Vec<String> {
    let kit = fs::read_to_string(machine.path("kit")).unwrap();
    let signing = fs::read_to_string(machine.state().join("signing.key")).unwrap();
    let mut secrets: Vec<String> = kit
        .lines()
        .filter(|line| line.starts_with("AGE-SECRET-KEY-"))
        .map(str::to_owned)
        .collect();
    // In minisign's file the secret is in the second half of a line of base64.
    let after_comment = |text: &str| {
        let line = text
            .lines()
            .skip_while(|line| !line.contains("untrusted comment"))
            .nth(1);
        let line = line.unwrap();
        assert!(line.len() > 200, "{line}");
        // Bytes 62 to 94 are the secret scalar's seed; whole groups of it.
        line[84..124].to_owned()
    };
    let root = Kit::parse(kit.as_bytes()).unwrap().root_secret.unwrap();
    secrets.extend([after_comment(&root.to_file_text()), after_comment(&signing)]);
    for archive in archives(machine) {
        secrets.push(unsealed(machine, &archive).to_secret_string().to_string());
    }
    assert_eq!(secrets.len(), 5);
    secrets
}

#[test]
fn no_path_name_content_host_or_recipient_is_in_the_store_and_no_secret_either() {
    if !real_btrfs_available() {
        return;
    }
    let (machine, recipient) = archived(&std::env::var("PATH").unwrap());
    let mut stored = everything(&machine.path("store"));
    // What an entry holds in base64 is looked into as well.
    for archive in archives(&machine) {
        for (field, text) in [("key", &archive.key), ("private", &archive.private)] {
            let bytes = BASE64.decode(text).unwrap();
            stored.insert(format!("{field} of {}", archive.id), bytes);
        }
    }
    let mut canaries: Vec<String> = [
        HOST, SUBVOLUME, SNAPSHOTS, DIRECTORY, FILE, CONTENT, XATTR, TARGET,
    ]
    .map(str::to_owned)
    .to_vec();
    canaries.push(machine.fill("$FS/").trim_end_matches('/').to_owned());
    canaries.push(recipient["age1".len()..].to_owned());
    canaries.extend(secrets(&machine));
    tells_none_of(&stored, &canaries);

    // The canaries did go in: whoever has the kit finds them.
    let archive = &archives(&machine)[0];
    let key = unsealed(&machine, archive);
    let private = key
        .open_private(&BASE64.decode(&archive.private).unwrap())
        .unwrap();
    let private: PrivateFacts = serde_json::from_slice(&private).unwrap();
    assert_eq!(private.host.as_deref(), Some(HOST));
    assert!(private.subvolume.unwrap().ends_with(SUBVOLUME));
    assert!(private.snapshot.unwrap().contains(SNAPSHOTS));
    let segment = keys::segment("home", &archive.id, 0, &archive.segments[0].sha256);
    let sealed = fs::read(machine.path("store").join(segment)).unwrap();
    let mut stream = Vec::new();
    open_segment(&sealed, &key, archive.segments[0].raw_bytes)
        .unwrap()
        .read_to_end(&mut stream)
        .unwrap();
    for canary in [DIRECTORY, FILE, CONTENT, XATTR, TARGET] {
        assert!(contains(&stream, canary.as_bytes()), "{canary}");
    }
}

#[test]
fn a_canary_is_found_in_any_of_its_disguises() {
    let text = "a canary of sixteen bytes and more";
    for before in 0..4 {
        let hidden = [&[b'x'; 4][..before], text.as_bytes(), b"after"].concat();
        for place in [
            hidden.clone(),
            BASE64.encode(&hidden).into_bytes(),
            URL_SAFE_NO_PAD.encode(&hidden).into_bytes(),
        ] {
            let found = disguises(text).iter().any(|form| contains(&place, form));
            assert!(found, "{}", place.escape_ascii());
        }
    }
    let innocent = BASE64.encode([7; 300]).into_bytes();
    assert!(!disguises(text).iter().any(|form| contains(&innocent, form)));
}

#[test]
fn state_and_kit_are_for_their_owner_alone() {
    if !real_btrfs_available() {
        return;
    }
    let (machine, _) = archived(&std::env::var("PATH").unwrap());
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode(&machine.state()), 0o700);
    assert_eq!(mode(&machine.path("kit")), 0o600);
    let mut paths = Vec::new();
    walk(&machine.state(), &mut paths);
    for file in ["catalog.db", "signing.key", "signing.grant", "home.lock"] {
        assert!(paths.contains(&machine.state().join(file)), "{file}");
    }
    for path in paths {
        let expected = if path.is_dir() { 0o700 } else { 0o600 };
        assert_eq!(mode(&path), expected, "{}", path.display());
    }
}

#[test]
fn the_state_directory_keeps_no_identity_no_root_secret_and_no_key_of_a_committed_archive() {
    if !real_btrfs_available() {
        return;
    }
    let (machine, _) = archived(&std::env::var("PATH").unwrap());
    tells_none_of(&everything(&machine.state()), &secrets(&machine)[..2]);
    // Whoever takes the machine reads no archive, neither from a row nor from what a row has left.
    for date in ["2024-01-14", "2024-01-21", "2024-02-01", "2024-02-07"] {
        let run = machine.run(&format!("backup {date}"));
        assert_eq!(run.code, Some(0), "{}", run.stderr);
        for (place, bytes) in everything(&machine.state()) {
            let found = contains(&bytes, b"AGE-SECRET-KEY-1");
            assert!(!found, "{place} has the key of an archive after {date}");
        }
    }
}

#[test]
fn no_program_that_is_run_is_given_a_secret() {
    if !real_btrfs_available() {
        return;
    }
    let bin = tempfile::tempdir().unwrap();
    let log = Pipe::new();
    let path = std::env::var("PATH").unwrap();
    let script = format!(
        "{{ printf '%s\\n' \"$0\" \"$@\"; env; }} >{}\nPATH='{path}' exec btrfs \"$@\"",
        log.path()
    );
    write_script(&bin.path().join("btrfs"), &script);
    let watched = format!("{}:{path}", bin.path().display());
    let (machine, recipient) = archived(&watched);
    let other = LoopFs::new(256);
    let (kit, to) = (machine.path("kit"), other.root());
    run_on_host(
        &machine,
        &watched,
        &[
            "restore",
            "home",
            "--from",
            "store",
            "--identity",
            kit.to_str().unwrap(),
            "--to",
            to.to_str().unwrap(),
            "--yes",
        ],
    );
    let log = log.drain();
    for word in ["\nsend\n", "\nreceive\n"] {
        assert!(contains(&log, word.as_bytes()), "{word}");
    }
    let mut hidden = secrets(&machine);
    hidden.push(recipient);
    let seen = BTreeMap::from([("a command line or environment".to_owned(), log)]);
    tells_none_of(&seen, &hidden);
}
