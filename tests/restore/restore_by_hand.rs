//! The script of `docs/restore-without-coldchain.md`, as it stands there, restores what coldchain
//! archived, and stops at whatever coldchain would stop at.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::common::by_hand::{by_hand, by_hand_with_path, can_run, root_of};
use crate::common::formats::{self, Frozen};
use crate::common::from_env;
use crate::common::loopfs::{LoopFs, btrfs};
use crate::common::machine::Machine;
use crate::common::rng::Rng;
use crate::common::stub::write_script;
use crate::common::tree::{compare_trees, make_rich_tree, mutate_tree};
use coldchain::btrfs::identity;
use coldchain::ledger::{SigningKey, encode_body, make_grant, root_grant, sign};
use coldchain::model::entry::{Entry, EntryHead, EntryKind, FORMAT, OpenEntry, Role};
use coldchain::seal::{ArchiveKey, Identities, open_segment};

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// What looks like a whole restored archive, by its name.
fn complete(target: &Path) -> Vec<String> {
    let mut found: Vec<String> = fs::read_dir(target)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            identity(path).is_ok_and(|found| found.read_only || found.received_uuid.is_some())
        })
        .map(|path| path.file_name().unwrap().to_str().unwrap().to_owned())
        .collect();
    found.sort();
    found
}

#[test]
fn the_frozen_archives_come_back_without_coldchain() {
    if !can_run() {
        return;
    }
    for frozen in formats::all() {
        let directory = tempfile::tempdir().unwrap();
        let store = directory.path().join("store");
        frozen.copy_store(&store);
        let source = store.join(&frozen.directory);
        let fs = LoopFs::new(256);
        let mut compared = BTreeSet::new();
        // The last of a chain brings all before it, so that each archive comes back once; in the soak each date by itself.
        let by_themselves = from_env("COLDCHAIN_SCRIPT_WAYS", 1) > 1;
        for (at, date) in frozen.dates().iter().enumerate().rev() {
            if at != 0 && !by_themselves && compared.contains(date) {
                continue;
            }
            let target = fs.path(date);
            fs::create_dir(&target).unwrap();
            let root = frozen.root.to_string();
            let output = by_hand(&source, &frozen.kit(), &root, date, &target);
            assert!(output.status.success(), "{}", said(&output));
            // The date with all of its chain before it: all the dates before it where there is one chain.
            let restored = complete(&target);
            let before = &frozen.dates()[..=at];
            assert!(before.ends_with(&restored) && !restored.is_empty());
            assert!(frozen.name != "v1" || restored == before, "{restored:?}");
            for earlier in &restored {
                let listing = formats::listing(&target.join(earlier));
                assert_eq!(listing, frozen.expected(earlier), "{date} {earlier}");
            }
            // Two receives of one stream on a filesystem could be taken for each other's parents.
            for earlier in &restored {
                btrfs(["subvolume", "delete"], &[&target.join(earlier)]);
            }
            compared.extend(restored);
        }
    }
}

#[test]
fn a_fresh_chain_comes_back_without_coldchain_also_when_foreign_entries_lie_in_its_ledger() {
    if !can_run() {
        return;
    }
    let machine = Machine::with_subvolume(512);
    let home = machine.btrfs().path("home");
    let mut rng = Rng::new(0x1e55_0ffe);
    make_rich_tree(&home, &mut rng);
    // More than one segment.
    fs::write(home.join("media/large"), rng.bytes(20 << 20)).unwrap();
    let backup = |date: &str| {
        let run = machine.run(&format!("backup {date}"));
        assert_eq!(run.code, Some(0), "{}", run.stderr);
    };
    backup("2024-01-01");
    mutate_tree(&home, &mut rng);
    backup("2024-01-07");
    // Bytes that nobody signed, and an entry that was signed for another place.
    let ledger = machine.path("store/home/ledger");
    fs::write(ledger.join("00000004.entry"), b"{}\nnot an entry\n").unwrap();
    fs::copy(ledger.join("00000002.entry"), ledger.join("00000005.entry")).unwrap();
    mutate_tree(&home, &mut rng);
    backup("2024-01-14");

    let other = LoopFs::new(512);
    let target = other.path("target");
    fs::create_dir(&target).unwrap();
    let (kit, root) = (machine.path("kit"), root_of(&machine));
    let output = by_hand(
        &machine.path("store/home"),
        &kit,
        &root,
        "2024-01-14",
        &target,
    );
    assert!(output.status.success(), "{}", said(&output));
    let dates = ["2024-01-01", "2024-01-07", "2024-01-14"];
    assert_eq!(complete(&target), dates);
    for date in dates {
        let snapshot = machine.btrfs().path("snapshots").join(date);
        compare_trees(&snapshot, &target.join(date));
    }
}

#[test]
fn a_key_that_was_attached_opens_and_one_that_was_rotated_out_signs_nothing() {
    if !can_run() {
        return;
    }
    let machine = Machine::with_subvolume(256);
    let run = |words: &str| {
        let run = machine.run(words);
        assert_eq!(run.code, Some(0), "{words}: {}", run.stderr);
    };
    let source = machine.path("store/home");
    let letter = machine.btrfs().path("home/letter");
    fs::write(&letter, "one\n").unwrap();
    run("backup 2024-01-01");
    let (secret, recipient) = coldchain::seal::generate_identity();
    let spare = machine.path("spare");
    fs::write(&spare, secret).unwrap();
    run(&format!(
        "key add-recipient {recipient} --identity $T/kit --source home"
    ));
    let old = fs::read_to_string(machine.state().join("signing.key")).unwrap();
    run("key rotate --kit $T/kit --new-signing-key");
    fs::write(&letter, "two\n").unwrap();
    run("backup 2024-01-07");
    run(&format!(
        "key add-recipient {recipient} --identity $T/kit --source home"
    ));

    let root = root_of(&machine);
    let other = LoopFs::new(256);
    let restored = |date: &str, name: &str| {
        let target = other.path(name);
        fs::create_dir(&target).unwrap();
        let output = by_hand(&source, &spare, &root, date, &target);
        assert!(output.status.success(), "{}", said(&output));
        compare_trees(
            &machine.btrfs().path("snapshots").join(date),
            &target.join(date),
        );
        for date in complete(&target) {
            btrfs(["subvolume", "delete"], &[&target.join(date)]);
        }
        said(&output)
    };
    restored("2024-01-07", "whole");

    // Whoever has the old key writes an entry that fits in all but its signer.
    let newest = fs::read(source.join("ledger/00000006.entry")).unwrap();
    let (body, _) = coldchain::ledger::split(&newest).unwrap();
    let mut entry = coldchain::ledger::decode_body(body).unwrap();
    entry.head.seq = 7;
    entry.head.prev = Some(coldchain::model::Sha256::of(body));
    let body = encode_body(&entry).unwrap();
    let old = SigningKey::from_file_text(&old).unwrap();
    let forged = sign(&body, &old).unwrap();
    fs::write(source.join("ledger/00000007.entry"), forged).unwrap();
    let said = restored("2024-01-07", "forged");
    assert!(
        said.contains("passed over, because no key of this ledger signed them: entry 7"),
        "{said}"
    );
}

#[test]
fn what_stands_before_a_damaged_or_missing_entry_comes_back() {
    if !can_run() {
        return;
    }
    let frozen = v1();
    let fs = LoopFs::new(256);
    let harms: [(&str, Harm); 2] = [
        ("damaged", |victim| {
            forge(
                &victim.entry(3),
                "\"frame_size\":4194304",
                "\"frame_size\":1",
            );
        }),
        ("missing", |victim| {
            fs::remove_file(victim.entry(3)).unwrap();
        }),
    ];
    for (what, harm) in harms {
        let mut victim = Victim::of(&frozen);
        harm(&mut victim);
        let target = fs.path(what);
        fs::create_dir(&target).unwrap();
        let output = victim.restore("2024-01-01", &target);
        let said = said(&output);
        assert!(output.status.success(), "{what}: {said}");
        let told = "DAMAGED: entries 3 to 3; entry 4 comes after them";
        assert!(said.contains(told), "{what}: {said}");
        assert_eq!(complete(&target), ["2024-01-01"], "{what}");
        let restored = target.join("2024-01-01");
        assert_eq!(formats::listing(&restored), frozen.expected("2024-01-01"));
        btrfs(["subvolume", "delete"], &[&restored]);
    }
}

#[test]
fn an_archive_that_builds_on_nothing_lost_comes_back_past_a_rotten_entry() {
    if !can_run() {
        return;
    }
    let machine = Machine::with_subvolume(256);
    let run = |words: &str| {
        let run = machine.run(words);
        assert_eq!(run.code, Some(0), "{words}: {}", run.stderr);
    };
    let letter = machine.btrfs().path("home/letter");
    fs::write(&letter, "one\n").unwrap();
    run("backup 2024-01-01");
    let (_, recipient) = coldchain::seal::generate_identity();
    run(&format!(
        "key add-recipient {recipient} --identity $T/kit --source home"
    ));
    fs::write(&letter, "two\n").unwrap();
    run("backup 2024-01-07");
    let source = machine.path("store/home");
    let ledger = source.join("ledger");
    change(&ledger.join("00000003.entry"), |bytes| bytes[40] ^= 1);
    // What a synchronised folder or a file manager leaves beside an entry is none.
    for copy in ["00000004.sync-conflict-1.entry", "00000004 (1).entry"] {
        fs::copy(ledger.join("00000004.entry"), ledger.join(copy)).unwrap();
    }

    let (kit, root) = (machine.path("kit"), root_of(&machine));
    let other = LoopFs::new(256);
    let target = other.path("target");
    fs::create_dir(&target).unwrap();
    let output = by_hand(&source, &kit, &root, "2024-01-07", &target);
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(complete(&target), ["2024-01-01", "2024-01-07"]);
    for date in complete(&target) {
        let snapshot = machine.btrfs().path("snapshots").join(&date);
        compare_trees(&snapshot, &target.join(&date));
    }
}

/// A copy of the frozen store that something happens to.
struct Victim {
    directory: tempfile::TempDir,
    kit: PathBuf,
    root: String,
}

impl Victim {
    fn of(frozen: &Frozen) -> Self {
        let directory = tempfile::tempdir().unwrap();
        frozen.copy_store(&directory.path().join("store"));
        Self {
            directory,
            kit: frozen.kit(),
            root: frozen.root.to_string(),
        }
    }

    fn source(&self) -> PathBuf {
        self.directory.path().join("store/home")
    }

    fn entry(&self, seq: u64) -> PathBuf {
        self.source().join(format!("ledger/{seq:08}.entry"))
    }

    /// A segment by its archive's date and its index.
    fn segment(&self, date: &str, index: u32) -> PathBuf {
        let find = |directory: PathBuf, start: &str| {
            fs::read_dir(directory)
                .unwrap()
                .map(|entry| entry.unwrap().path())
                .find(|path| {
                    path.file_name()
                        .unwrap()
                        .to_string_lossy()
                        .starts_with(start)
                })
                .unwrap()
        };
        let archive = find(self.source().join("archives"), date);
        find(archive, &format!("{index:06}-"))
    }

    fn restore(&self, date: &str, target: &Path) -> Output {
        by_hand(&self.source(), &self.kit, &self.root, date, target)
    }
}

fn change(path: &Path, how: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).unwrap();
    how(&mut bytes);
    fs::write(path, bytes).unwrap();
}

fn swap(one: &Path, other: &Path) {
    let aside = one.with_extension("aside");
    fs::rename(one, &aside).unwrap();
    fs::rename(other, one).unwrap();
    fs::rename(&aside, other).unwrap();
}

/// Replaces a text of the body by another of any length.
fn forge(path: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(path).unwrap();
    assert!(text.contains(from), "{from}");
    fs::write(path, text.replace(from, to)).unwrap();
}

type Harm = fn(&mut Victim);

/// What is done, what the script says, and what of the chain is restored before it stops.
const HARMS: [(&str, Harm, &str, &[&str]); 18] = [
    (
        "a flipped byte in the full",
        |victim| change(&victim.segment("2024-01-01", 1), |bytes| bytes[300] ^= 1),
        "is damaged",
        &[],
    ),
    (
        "a flipped byte in the last archive",
        |victim| change(&victim.segment("2024-01-14", 0), |bytes| bytes[300] ^= 1),
        "is damaged",
        &["2024-01-01", "2024-01-07"],
    ),
    (
        "a segment that is longer",
        |victim| change(&victim.segment("2024-01-01", 0), |bytes| bytes.push(0)),
        "is damaged",
        &[],
    ),
    (
        "a segment that is cut short",
        |victim| change(&victim.segment("2024-01-01", 1), |bytes| bytes.truncate(99)),
        "is damaged",
        &[],
    ),
    (
        "a missing segment",
        |victim| fs::remove_file(victim.segment("2024-01-01", 1)).unwrap(),
        "is damaged",
        &[],
    ),
    (
        "segments in each other's place",
        |victim| {
            swap(
                &victim.segment("2024-01-01", 0),
                &victim.segment("2024-01-01", 1),
            );
        },
        "is damaged",
        &[],
    ),
    (
        "a changed body in the middle",
        |victim| {
            forge(
                &victim.entry(3),
                "\"frame_size\":4194304",
                "\"frame_size\":1",
            );
        },
        "2024-01-14 needs 2024-01-07-incr-",
        &[],
    ),
    (
        "a changed body at the end",
        |victim| {
            forge(
                &victim.entry(4),
                "\"frame_size\":4194304",
                "\"frame_size\":1",
            );
        },
        "no archive of 2024-01-14",
        &[],
    ),
    (
        "a body that is another entry's, with its own signature",
        |victim| {
            fs::copy(victim.entry(3), victim.entry(4)).unwrap();
        },
        "no archive of 2024-01-14",
        &[],
    ),
    (
        "a signature of another entry",
        |victim| {
            let other = fs::read_to_string(victim.entry(3)).unwrap();
            let (_, signature) = other.split_once('\n').unwrap();
            let entry = fs::read_to_string(victim.entry(4)).unwrap();
            let (body, _) = entry.split_once('\n').unwrap();
            fs::write(victim.entry(4), format!("{body}\n{signature}")).unwrap();
        },
        "no archive of 2024-01-14",
        &[],
    ),
    (
        "entries in each other's place",
        |victim| swap(&victim.entry(3), &victim.entry(4)),
        "no archive of 2024-01-14",
        &[],
    ),
    (
        "a missing entry",
        |victim| fs::remove_file(victim.entry(3)).unwrap(),
        "2024-01-14 needs 2024-01-07-incr-",
        &[],
    ),
    (
        "a missing first entry",
        |victim| fs::remove_file(victim.entry(1)).unwrap(),
        "entry 1 is missing",
        &[],
    ),
    (
        "no ledger at all",
        |victim| fs::remove_dir_all(victim.source().join("ledger")).unwrap(),
        "entry 1 is missing",
        &[],
    ),
    (
        "a changed first entry",
        |victim| forge(&victim.entry(1), "Europe/Berlin", "Europe/Berlim"),
        "is not signed by a key of this ledger",
        &[],
    ),
    (
        "another root key",
        |victim| victim.root = SigningKey::generate().unwrap().public().to_string(),
        "another root key opened this ledger",
        &[],
    ),
    (
        "a kit for another ledger",
        |victim| {
            let kit = fs::read_to_string(&victim.kit).unwrap();
            let (before, ledger) = kit.split_once("#   ledger  ").unwrap();
            let (_, after) = ledger.split_once('\n').unwrap();
            let other = victim.directory.path().join("kit");
            let id = "0123456789abcdef0123456789abcdef";
            fs::write(&other, format!("{before}#   ledger  {id}\n{after}")).unwrap();
            victim.kit = other;
        },
        "the kit knows no ledger",
        &[],
    ),
    (
        "a first entry whose keys the root key does not vouch for",
        |victim| {
            let (stranger, writer) = (
                SigningKey::generate().unwrap(),
                SigningKey::generate().unwrap(),
            );
            let grant = make_grant(&stranger, &writer.public(), &[Role::Writer]).unwrap();
            let first = fs::read_to_string(victim.entry(1)).unwrap();
            let first: serde_json::Value =
                serde_json::from_str(first.lines().next().unwrap()).unwrap();
            let head = EntryHead {
                format: FORMAT,
                ledger: first["ledger"].as_str().unwrap().parse().unwrap(),
                source: "home".to_owned(),
                seq: 1,
                prev: None,
                made_at: "2024-01-01T03:00:00Z".parse().unwrap(),
                timezone: "UTC".to_owned(),
                skips: Vec::new(),
            };
            let keys = vec![root_grant(&victim.root.parse().unwrap()), grant];
            let kind = EntryKind::Open(OpenEntry { keys });
            let body = encode_body(&Entry { head, kind }).unwrap();
            fs::write(victim.entry(1), sign(&body, &writer).unwrap()).unwrap();
        },
        "a key has no valid grant of the root key",
        &[],
    ),
];

#[test]
fn the_script_stops_at_whatever_was_tampered_with_and_leaves_nothing_that_looks_complete() {
    if !can_run() {
        return;
    }
    let frozen = v1();
    let fs = LoopFs::new(256);
    for (at, (what, harm, says, before)) in HARMS.into_iter().enumerate() {
        let target = fs.path(at.to_string());
        fs::create_dir(&target).unwrap();
        let mut victim = Victim::of(&frozen);
        harm(&mut victim);
        let output = victim.restore("2024-01-14", &target);
        let said = said(&output);
        assert!(!output.status.success(), "{what}: {said}");
        assert!(said.contains(says), "{what}: {said}");
        assert_eq!(complete(&target), before, "{what}: {said}");
        let left = fs::read_dir(&target).unwrap().count();
        assert_eq!(left, before.len(), "{what}: {said}");
        for date in before {
            let restored = target.join(date);
            let listing = formats::listing(&restored);
            assert_eq!(listing, frozen.expected(date), "{what}");
            btrfs(["subvolume", "delete"], &[&restored]);
        }
    }
}

#[test]
fn an_end_of_the_ledger_that_nobody_signed_does_not_keep_earlier_dates_from_coming_back() {
    if !can_run() {
        return;
    }
    let frozen = v1();
    let victim = Victim::of(&frozen);
    forge(&victim.entry(4), "incremental", "incremental ");
    fs::write(victim.entry(5), b"more of that").unwrap();
    let fs = LoopFs::new(256);
    let output = victim.restore("2024-01-07", &fs.root());
    assert!(output.status.success(), "{}", said(&output));
    assert!(said(&output).contains("passed over"), "{}", said(&output));
    assert!(said(&output).contains("entry 4 5"), "{}", said(&output));
    assert_eq!(complete(&fs.root()), ["2024-01-01", "2024-01-07"]);
}

#[test]
fn a_stream_that_is_cut_off_on_its_way_is_not_taken_for_a_whole_one() {
    if !can_run() {
        return;
    }
    let frozen = v1();
    let victim = Victim::of(&frozen);
    let real = Command::new("sh")
        .args(["-c", "command -v age"])
        .output()
        .unwrap();
    let real = String::from_utf8(real.stdout).unwrap();
    let bin = tempfile::tempdir().unwrap();
    let path = format!(
        "{}:{}",
        bin.path().display(),
        std::env::var("PATH").unwrap()
    );
    let path = OsStr::new(&path);
    // The second segment opens as far as a few bytes, as if the disk failed there, or not at all. Of
    // the first come whole commands, whose end btrfs receive must not take for the stream's.
    let cut = after_commands(&opened_segment(&victim), 6);
    let first = format!("| zstd -dcq | head -c {cut} | zstd -cq; exit 1");
    for (segment, dies) in [
        ("000001", "| head -c 100; exit 1"),
        ("000001", ">/dev/null; exit 1"),
        ("000000", first.as_str()),
    ] {
        let script = format!(
            "case \"$*\" in */{segment}-*) {real} \"$@\" {dies};; esac\nexec {real} \"$@\"",
            real = real.trim()
        );
        write_script(&bin.path().join("age"), &script);
        let fs = LoopFs::new(256);
        let output = by_hand_with_path(
            path,
            &victim.source(),
            &victim.kit,
            &victim.root,
            "2024-01-14",
            &fs.root(),
        );
        assert!(!output.status.success());
        assert!(
            said(&output).contains("was not received"),
            "{}",
            said(&output)
        );
        assert_eq!(complete(&fs.root()), Vec::<String>::new());
    }
}

/// The raw bytes of the full's first segment.
fn opened_segment(victim: &Victim) -> Vec<u8> {
    let kit = Identities::from_file(&victim.kit, &|_| None).unwrap();
    let segment = victim.segment("2024-01-01", 0);
    let sealed_key = fs::read(segment.with_file_name("key.age")).unwrap();
    let key = ArchiveKey::unseal(&sealed_key, &kit).unwrap();
    let mut raw = Vec::new();
    open_segment(&fs::read(segment).unwrap(), &key, 16 << 20)
        .unwrap()
        .read_to_end(&mut raw)
        .unwrap();
    raw
}

/// Where so many commands of a send stream end: each begins with the length of its data in 4 bytes,
/// then 6 bytes of its header, after a stream header of 17.
fn after_commands(stream: &[u8], commands: usize) -> usize {
    (0..commands).fold(17, |at, _| {
        let length = u32::from_le_bytes(stream[at..at + 4].try_into().unwrap());
        at + 10 + usize::try_from(length).unwrap()
    })
}

#[test]
fn an_identity_that_opens_nothing_or_a_target_that_is_not_empty_restores_nothing() {
    if !can_run() {
        return;
    }
    let frozen = v1();
    let mut victim = Victim::of(&frozen);
    let fs = LoopFs::new(256);
    fs::write(fs.path("in the way"), b"").unwrap();
    let output = victim.restore("2024-01-01", &fs.root());
    assert!(!output.status.success());
    assert!(said(&output).contains("is not an empty directory"));

    fs::remove_file(fs.path("in the way")).unwrap();
    let (secret, _) = coldchain::seal::generate_identity();
    victim.kit = victim.directory.path().join("other");
    fs::write(&victim.kit, format!("# another\n{secret}\n")).unwrap();
    let output = victim.restore("2024-01-01", &fs.root());
    assert!(!output.status.success());
    let said = said(&output);
    assert!(said.contains("names no ledger"), "{said}");
    assert!(said.contains("no identity matched"), "{said}");
    assert_eq!(fs::read_dir(fs.root()).unwrap().count(), 0);
}

fn v1() -> Frozen {
    let mut all = formats::all().into_iter();
    all.find(|frozen| frozen.name == "v1").unwrap()
}
