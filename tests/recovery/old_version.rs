//! What a version of before makes of a ledger with archives in a vault, whose entries are of format 2, and of one whose
//! archives have contents.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;
use std::time::UNIX_EPOCH;

use chrono::{Datelike as _, Days, Utc};
use coldchain::ledger::{Replay, SigningKey, Trust, decode_body, encode_body, sign, split};
use coldchain::model::entry::{
    ArchiveEntry, AttachEntry, Attachment, Entry, EntryHead, EntryKind, RetireEntry, ReviveEntry,
};
use coldchain::model::{ArchiveKind, Sha256, TreeHash, Uuid, VaultPlace, VaultSegment};

use crate::common::machine::{Machine, Run, fed_config};
use crate::common::stream_builder::StreamBuilder;

/// A machine with two archives of format 1, and the ledger that a later version has continued.
struct Continued {
    machine: Machine,
    replay: Replay,
    newest: Entry,
    archive: ArchiveEntry,
    before: OsString,
}

impl Continued {
    /// The second archive gets its contents later, if there are any.
    fn new(before: OsString, contents: bool) -> Self {
        let machine = Machine::fed(None);
        for (at, date) in ["2024-01-01", "2024-01-07"].into_iter().enumerate() {
            let head = StreamBuilder::header(1);
            let stream = match at {
                0 => head.subvol(date.as_bytes(), [b'a'; 16], 10).mkfile(b"file"),
                _ => head.snapshot(date.as_bytes(), [b'b'; 16], 10, [b'a'; 16], 10),
            };
            let stream = stream.write(b"file", 0, date.as_bytes()).finish();
            // The version of before refuses this key of a config.
            let with = contents && at == 0;
            machine.write_config(&format!("contents = {with}\n{}", fed_config()));
            let run = machine.run_with(&format!("decide {date}"), &stream);
            assert_eq!(run.code, Some(0), "{run:?}");
        }
        machine.write_config(&fed_config());
        let object = |seq: u64| {
            let path = format!("store/home/ledger/{seq:08}.entry");
            fs::read(machine.path(&path)).unwrap()
        };
        let read = |seq: u64| decode_body(split(&object(seq)).unwrap().0).unwrap();
        let EntryKind::Open(open) = read(1).kind else {
            panic!("the first entry opens the ledger");
        };
        let mut replay = Replay::new(Trust {
            ledger: read(1).head.ledger,
            source_directory: "home".to_owned(),
            root: open.keys[0].key.parse().unwrap(),
        });
        for seq in 1..4 {
            replay.absorb(seq, &object(seq)).unwrap();
        }
        let EntryKind::Archive(archive) = read(2).kind else {
            panic!("the second entry is a full");
        };
        let newest = read(3);
        Self {
            machine,
            replay,
            newest,
            archive: *archive,
            before,
        }
    }

    /// Writes the next entry, in the format that it needs.
    fn write(&mut self, kind: EntryKind) -> u32 {
        let head = EntryHead {
            format: self.replay.format_for(&kind),
            seq: self.replay.next_seq(),
            prev: self.replay.head().map(|head| head.hash),
            ..self.newest.head.clone()
        };
        let (format, seq) = (head.format, head.seq);
        let key = fs::read_to_string(self.machine.path("state/signing.key")).unwrap();
        let key = SigningKey::from_file_text(&key).unwrap();
        let object = sign(&encode_body(&Entry { head, kind }).unwrap(), &key).unwrap();
        self.replay.absorb(seq, &object).unwrap();
        let path = format!("store/home/ledger/{seq:08}.entry");
        fs::write(self.machine.path(&path), object).unwrap();
        format
    }

    /// An archive of that date in a vault, or on another one that was in a vault.
    fn in_vault(&self, date: &str, on: Option<&ArchiveEntry>) -> ArchiveEntry {
        let mut archive = self.archive.clone();
        archive.date = date.parse().unwrap();
        archive.slot = archive.date;
        archive.id.date = archive.date;
        archive.id.nonce = date.bytes().map(u64::from).sum();
        archive.stream_uuid = Uuid([date.as_bytes()[9]; 16]);
        if let Some(on) = on {
            archive.kind = ArchiveKind::Incremental;
            archive.id.kind = archive.kind;
            archive.send_parent = Some(on.id);
            archive.send_parent_uuid = Some(on.stream_uuid);
            archive.chain = on.chain;
        } else {
            archive.chain = archive.id;
            let segments = archive.segments.iter().enumerate();
            let segments = segments.map(|(index, segment)| VaultSegment {
                id: format!("{}-{index}", archive.id).parse().unwrap(),
                tree_hash: TreeHash(segment.sha256.0),
            });
            let url = "glacier-vault://eu-central-1/archives";
            archive.vault = VaultPlace::at(url, segments.collect());
        }
        archive
    }

    /// The version of before archives an incremental of that date.
    fn old_decides(&self, date: &str, uuid: [u8; 16], parent: [u8; 16]) {
        let stream = StreamBuilder::header(1)
            .snapshot(date.as_bytes(), uuid, 10, parent, 10)
            .write(b"file", 0, b"later")
            .finish();
        let input = self.machine.path("later");
        fs::write(&input, stream).unwrap();
        let words = format!("decide {date} --state-dir $T/before");
        let mut decide = self.machine.command_of(&self.before, &words);
        decide.stdin(fs::File::open(input).unwrap());
        let run = self.machine.run_command(&mut decide);
        assert_eq!(run.code, Some(0), "{run:?}");
    }

    /// Runs the version of before, with a state directory of its own.
    fn old(&self, words: &str) -> Run {
        let words = format!("{words} --state-dir $T/before");
        let mut command = self.machine.command_of(&self.before, &words);
        self.machine.run_command(&mut command)
    }

    #[track_caller]
    fn old_is(&self, words: &str, code: i32, says: &str) -> Run {
        let run = self.old(words);
        assert_eq!(run.code, Some(code), "{words}: {run:?}");
        let said = format!("{}{}", run.stdout, run.stderr);
        assert!(said.contains(says), "{words}: {said}");
        run
    }
}

/// `COLDCHAIN_BEFORE` names the program; `scripts/soak old-version` builds it.
#[test]
#[ignore = "`scripts/soak old-version` builds that version"]
fn a_version_of_before_reads_past_what_is_in_a_vault_and_changes_nothing() {
    let before = std::env::var_os("COLDCHAIN_BEFORE").expect("it names the program");
    let mut ledger = Continued::new(before, false);
    let full = ledger.in_vault("2024-01-14", None);
    let on_it = ledger.in_vault("2024-01-21", Some(&full));
    let archives = vec![full.id, on_it.id];
    let reason = "a test".to_owned();
    let attachment = Attachment {
        archive: full.id,
        what: Attachment::KEY.to_owned(),
        recipients: Sha256([1; 32]),
        sealed: full.key.clone(),
        contents: None,
        replaces: None,
    };
    for kind in [
        EntryKind::Archive(Box::new(full)),
        EntryKind::Archive(Box::new(on_it)),
        EntryKind::Attach(AttachEntry {
            objects: vec![attachment],
        }),
        EntryKind::Retire(RetireEntry {
            archives: archives.clone(),
            reason: reason.clone(),
        }),
        EntryKind::Revive(ReviveEntry {
            archives: archives.clone(),
            reason,
        }),
    ] {
        assert_eq!(ledger.write(kind), 2);
    }
    let machine = &ledger.machine;
    // As after a move out of the vault: what that version does not know is no orphan, however old it is.
    for id in [archives[0], archives[1]] {
        let object = machine.path(&format!("store/home/archives/{id}/key.age"));
        fs::create_dir(object.parent().unwrap()).unwrap();
        let file = fs::File::create(object).unwrap();
        file.set_modified(UNIX_EPOCH).unwrap();
    }
    let contents = || -> BTreeMap<PathBuf, Vec<u8>> {
        let objects = machine.objects("").into_iter();
        let objects = objects.filter(|path| path.is_file());
        objects
            .map(|path| (path.clone(), fs::read(path).unwrap()))
            .collect()
    };
    let objects = contents();
    let read = ledger.old_is(
        "catalog rebuild --store file://$T/store --identity $T/kit",
        6,
        "entry 4 has format 2",
    );
    assert!(
        read.stdout.contains("8 entries read, 2 archives"),
        "{read:?}"
    );
    for file in ["signing.key", "signing.pub", "signing.grant"] {
        let kept = machine.path("before").join(file);
        fs::copy(machine.state().join(file), kept).unwrap();
    }
    let newer = "its ledger is newer than this program";
    let listed = ledger.old_is("list", 0, newer);
    assert!(listed.stdout.contains("2024-01-07"), "{listed:?}");
    assert!(!listed.stdout.contains("2024-01-14"), "{listed:?}");
    ledger.old_is("show 2024-01-07", 0, newer);
    ledger.old_is("verify", 0, newer);
    for date in ["2024-01-01", "2024-01-07"] {
        let words =
            format!("restore home --date {date} --stream $T/{date} --identity $T/kit --yes");
        ledger.old_is(&words, 0, newer);
        let stream = fs::read(machine.path(date)).unwrap();
        assert!(stream.starts_with(b"btrfs-stream\0"), "{date}");
    }
    let knows_not = "has entries that this version does not know";
    for words in ["decide 2024-02-01", "prune", "prune home --yes-delete 2"] {
        ledger.old_is(words, 6, knows_not);
    }
    assert!(
        contents() == objects,
        "it has changed something in the store"
    );
}

/// Contents are an addition to format 1: a version that does not know them reads, verifies and continues such a ledger,
/// whether an archive has them by its own entry, by a later one, or by one that replaces lost ones.
#[test]
#[ignore = "`scripts/soak old-version` builds that version"]
fn a_version_of_before_reads_verifies_and_continues_archives_with_contents() {
    let before = std::env::var_os("COLDCHAIN_BEFORE").expect("it names the program");
    let ledger = Continued::new(before, true);
    let machine = &ledger.machine;
    assert!(ledger.archive.contents.is_some());
    let ok = |words: &str| {
        let run = machine.run(words);
        assert_eq!(run.code, Some(0), "{words}: {run:?}");
        run.stdout
    };
    ok("index --identity $T/kit");
    let contents = || {
        let mut objects = machine.objects("");
        objects.retain(|path| path.to_string_lossy().contains("/contents-"));
        objects
    };
    let [of_full, _] = &contents()[..] else {
        panic!("each archive has one object of contents");
    };
    fs::remove_file(of_full).unwrap();
    ok("index --identity $T/kit");
    assert_eq!(contents().len(), 2);
    assert!(!of_full.exists());
    let objects = machine.objects("");
    let rebuild = "catalog rebuild --store file://$T/store --identity $T/kit";
    ledger.old_is(rebuild, 0, "5 entries read, 2 archives");
    ledger.old_is("list", 0, "2024-01-07");
    ledger.old_is("verify", 0, "");
    ledger.old_is("verify --deep --identity $T/kit", 0, "");
    for date in ["2024-01-01", "2024-01-07"] {
        let words =
            format!("restore home --date {date} --stream $T/{date} --identity $T/kit --yes");
        ledger.old_is(&words, 0, "");
        let stream = fs::read(machine.path(date)).unwrap();
        assert!(stream.starts_with(b"btrfs-stream\0"), "{date}");
    }
    for file in ["signing.key", "signing.pub", "signing.grant"] {
        let kept = machine.path("before").join(file);
        fs::copy(machine.state().join(file), kept).unwrap();
    }
    assert_eq!(machine.objects(""), objects);
    ledger.old_decides("2024-01-14", *b"cccccccccccccccc", *b"bbbbbbbbbbbbbbbb");
    // Contents are there still, and the archive without any builds on them.
    let kept = machine.objects("");
    assert!(objects.iter().all(|object| kept.contains(object)));
    ok("verify --deep --identity $T/kit");
    // This version archives on, and the one of before sees that too.
    let stream = StreamBuilder::header(1)
        .snapshot(b"2024-01-21", [b'd'; 16], 10, [b'c'; 16], 10)
        .write(b"file", 0, b"later")
        .finish();
    machine.write_config(&format!("contents = true\n{}", fed_config()));
    let run = machine.run_with("decide 2024-01-21", &stream);
    assert_eq!(run.code, Some(0), "{run:?}");
    machine.write_config(&fed_config());
    assert_eq!((contents().len(), machine.archived().len()), (3, 4));
    let says = "home: note       entry 7 is not in the catalog yet";
    ledger.old_is("verify --deep --identity $T/kit", 0, says);
    ok("catalog check");
}

/// To a version that does not know contents they are foreign objects beside an archive. What it leaves of a deleted
/// chain, the next prune of this version deletes.
#[test]
#[ignore = "`scripts/soak old-version` builds that version"]
fn contents_that_a_pruner_of_before_leaves_are_deleted_by_the_next_one() {
    let before = std::env::var_os("COLDCHAIN_BEFORE").expect("it names the program");
    let machine = Machine::fed(None);
    // `prune` goes by the clock, and deletes nothing after a long silence.
    let today = Utc::now().date_naive();
    let dates = [24, 16, 8].map(|days| today - Days::new(days));
    let mut days = dates.map(|date| date.day());
    days.sort_unstable();
    let config = format!(
        "delete_after = \"0s\"\n{}\n[schedule]\ndays = {days:?}\nmax_incrementals = 1\nexpire_after_days = 10\n",
        fed_config()
    );
    machine.write_config(&format!("contents = true\n{config}"));
    let uuid =
        |date: &str| -> [u8; 16] { format!("uuid {date:>11}").into_bytes().try_into().unwrap() };
    let [first, second, third] = dates.map(|date| date.to_string());
    for (date, parent) in [(&first, None), (&second, Some(&first)), (&third, None)] {
        let head = StreamBuilder::header(1);
        let stream = match parent {
            None => head.subvol(date.as_bytes(), uuid(date), 10).mkfile(b"file"),
            Some(parent) => head.snapshot(date.as_bytes(), uuid(date), 10, uuid(parent), 10),
        };
        let stream = stream.write(b"file", 0, date.as_bytes()).finish();
        let run = machine.run_with(&format!("decide {date}"), &stream);
        assert_eq!(run.code, Some(0), "{run:?}");
    }
    machine.write_config(&config);
    let old = |words: &str| {
        let mut command = machine.command_of(&before, &format!("{words} --state-dir $T/before"));
        let run = machine.run_command(&mut command);
        assert_eq!(run.code, Some(0), "{words}: {run:?}");
    };
    old("catalog rebuild --store file://$T/store --identity $T/kit");
    for file in ["signing.key", "signing.pub", "signing.grant"] {
        let kept = machine.path("before").join(file);
        fs::copy(machine.state().join(file), kept).unwrap();
    }
    let left = |of: &str| {
        let mut objects = machine.objects("");
        objects.retain(|path| path.is_file() && path.to_string_lossy().contains(of));
        objects.len()
    };
    let left_of_chain = || [&first, &second].map(|date| left(&format!("/{date}-")));
    assert_eq!(left_of_chain(), [3, 3]);
    // The first retires what has expired, the second deletes what it knows.
    for _ in 0..2 {
        old(&format!("decide {today}"));
    }
    assert_eq!(left_of_chain(), [1, 1]);
    assert_eq!(left("/contents-"), 3);
    // The first finds the chain that stays verified, and with that lets the other go.
    for _ in 0..2 {
        let run = machine.run("prune");
        assert_eq!(run.code, Some(0), "{run:?}");
    }
    assert_eq!(left_of_chain(), [0, 0]);
    assert_eq!(left("/contents-"), 1);
    let run = machine.run("verify --deep --identity $T/kit");
    assert_eq!(run.code, Some(0), "{run:?}");
}
