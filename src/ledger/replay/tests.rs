use serde_json::{Value, json};

use super::*;
use crate::ledger::{SigningKey, encode_body, make_grant, root_grant, sign, to_canonical};
use crate::model::entry::{ArchiveEntry, EntryHead, FORMAT};
use crate::model::{ArchiveKind, SegmentRecord};

mod archive;
mod attach;
mod contents;
mod delete;
mod format;
mod moved;
mod open;
mod past;
mod refused;
mod retire;
mod revive;
mod rotate;
mod undo;
mod void;

/// A writer with its keys, and the ledger that it has written so far.
struct Ledger {
    root: SigningKey,
    writer: SigningKey,
    bodies: Vec<Vec<u8>>,
    objects: Vec<Vec<u8>>,
}

const ID: LedgerId = LedgerId([7; 16]);

fn archive_id(date: &str, kind: ArchiveKind, nonce: u64) -> ArchiveId {
    ArchiveId {
        date: date.parse().unwrap(),
        kind,
        nonce,
    }
}

fn full(date: &str, nonce: u64) -> ArchiveEntry {
    let id = archive_id(date, ArchiveKind::Full, nonce);
    ArchiveEntry {
        id,
        date: id.date,
        slot: id.date,
        kind: id.kind,
        send_parent: None,
        chain: id,
        stream_uuid: Uuid([u8::try_from(nonce).unwrap(); 16]),
        stream_ctransid: 5,
        send_parent_uuid: None,
        raw_bytes: 30,
        sealed_bytes: 22,
        protocol: 1,
        compressed_data: None,
        kernel: Some("6.18".to_owned()),
        btrfs_progs: Some("6.2".to_owned()),
        segment_size: 20,
        frame_size: 10,
        key: "a2V5".to_owned(),
        recipients: Sha256([3; 32]),
        retain_until: None,
        segments: vec![
            SegmentRecord {
                raw_bytes: 20,
                sealed_bytes: 12,
                sha256: Sha256([1; 32]),
            },
            SegmentRecord {
                raw_bytes: 10,
                sealed_bytes: 10,
                sha256: Sha256([2; 32]),
            },
        ],
        vault: None,
        contents: None,
        private: "cHJpdmF0ZQ==".to_owned(),
    }
}

fn incremental(date: &str, nonce: u64, parent: &ArchiveEntry) -> ArchiveEntry {
    let id = archive_id(date, ArchiveKind::Incremental, nonce);
    ArchiveEntry {
        id,
        date: id.date,
        slot: id.date,
        kind: id.kind,
        send_parent: Some(parent.id),
        chain: parent.chain,
        send_parent_uuid: Some(parent.stream_uuid),
        ..full(date, nonce)
    }
}

impl Ledger {
    fn new() -> Self {
        let root = SigningKey::generate().unwrap();
        let writer = SigningKey::generate().unwrap();
        let mut ledger = Self {
            root,
            writer,
            bodies: Vec::new(),
            objects: Vec::new(),
        };
        let grant = make_grant(
            &ledger.root,
            &ledger.writer.public(),
            &[Role::Writer, Role::Pruner],
        )
        .unwrap();
        let keys = vec![root_grant(&ledger.root.public()), grant];
        ledger.write(EntryKind::Open(OpenEntry { keys }));
        ledger
    }

    /// `open`, a full and an incremental on it.
    fn with_a_chain() -> Self {
        let mut ledger = Self::new();
        let first = full("2026-11-01", 1);
        ledger.write(EntryKind::Archive(Box::new(first.clone())));
        ledger.write(EntryKind::Archive(Box::new(incremental(
            "2026-11-07",
            2,
            &first,
        ))));
        ledger
    }

    fn head(&self) -> EntryHead {
        EntryHead {
            format: FORMAT,
            ledger: ID,
            source: "home".to_owned(),
            seq: self.bodies.len() as u64 + 1,
            prev: self.bodies.last().map(|body| Sha256::of(body)),
            made_at: "2026-11-21T03:00:07Z".parse().unwrap(),
            timezone: "Europe/Berlin".to_owned(),
            skips: Vec::new(),
        }
    }

    fn write(&mut self, kind: EntryKind) {
        let body = encode_body(&Entry {
            head: self.head(),
            kind,
        })
        .unwrap();
        let object = sign(&body, &self.writer).unwrap();
        self.bodies.push(body);
        self.objects.push(object);
    }

    fn archive_object(&self, archive: ArchiveEntry) -> Vec<u8> {
        let kind = EntryKind::Archive(Box::new(archive));
        sign(
            &encode_body(&Entry {
                head: self.head(),
                kind,
            })
            .unwrap(),
            &self.writer,
        )
        .unwrap()
    }

    /// The next entry with one of its body's members changed.
    fn changed(&self, change: impl FnOnce(&mut Value)) -> Vec<u8> {
        let kind = EntryKind::Archive(Box::new(full("2026-11-14", 9)));
        let body = encode_body(&Entry {
            head: self.head(),
            kind,
        })
        .unwrap();
        let mut value: Value = serde_json::from_slice(&body).unwrap();
        change(&mut value);
        let mut line = to_canonical(&value).unwrap();
        line.push(b'\n');
        sign(&line, &self.writer).unwrap()
    }

    /// Signs any line with the writer's key, as the next entry of that kind.
    fn signed_unread(&self, line: &[u8], kind: &str) -> Vec<u8> {
        let comment = format!("coldchain {ID} {} {kind}", self.head().seq);
        let untrusted = "coldchain ledger entry";
        let signature = self.writer.sign(line, untrusted, &comment, "a test's line");
        [line, signature.unwrap().as_bytes()].concat()
    }

    fn trust(&self) -> Trust {
        Trust {
            ledger: ID,
            source_directory: "home".to_owned(),
            root: self.root.public(),
        }
    }

    fn replayed(&self) -> Replay {
        let mut replay = Replay::new(self.trust());
        for (seq, object) in (1..).zip(&self.objects) {
            replay.absorb(seq, object).unwrap();
        }
        replay
    }

    fn refusal(&self, object: &[u8]) -> EntryRefusal {
        let mut replay = self.replayed();
        let next = replay.next_seq();
        replay.absorb(next, object).unwrap_err()
    }
}

#[test]
fn a_ledger_replays_to_its_head() {
    let ledger = Ledger::with_a_chain();
    let replay = ledger.replayed();
    assert_eq!(
        replay.head(),
        Some(Head {
            seq: 3,
            hash: Sha256::of(&ledger.bodies[2])
        })
    );
    assert_eq!((replay.next_seq(), replay.skips()), (4, Vec::new()));
    let mut trusted = Replay::new(ledger.trust());
    for (seq, object) in (1..).zip(&ledger.objects) {
        trusted.absorb_trusted(seq, object).unwrap();
    }
    assert_eq!(trusted.head(), replay.head());
}

#[test]
fn every_changed_byte_of_an_entry_is_refused() {
    let ledger = Ledger::with_a_chain();
    let object = &ledger.objects[2];
    for at in 0..object.len() {
        for change in [1, 0x20, 0x80] {
            let mut changed = object.clone();
            changed[at] ^= change;
            let mut replay = Replay::new(ledger.trust());
            replay.absorb(1, &ledger.objects[0]).unwrap();
            replay.absorb(2, &ledger.objects[1]).unwrap();
            assert!(
                replay.absorb(3, &changed).is_err(),
                "byte {at} changed by {change}"
            );
        }
    }
}

#[test]
fn an_entry_that_is_cut_or_has_more_after_it_is_refused() {
    let ledger = Ledger::new();
    let object = &ledger.objects[0];
    for len in 0..object.len() {
        assert!(
            Replay::new(ledger.trust())
                .absorb(1, &object[..len])
                .is_err(),
            "{len} bytes"
        );
    }
    for more in ["\n", " ", "x", "untrusted comment: more\n"] {
        let longer = [object.as_slice(), more.as_bytes()].concat();
        assert!(
            Replay::new(ledger.trust()).absorb(1, &longer).is_err(),
            "{more:?}"
        );
    }
}

#[test]
fn entries_in_another_order_twice_or_left_out_are_refused() {
    let ledger = Ledger::with_a_chain();
    let [open, first, second] = [0, 1, 2].map(|at| ledger.objects[at].as_slice());
    let orders: [&[&[u8]]; 5] = [
        &[first, open],
        &[open, second],
        &[open, first, first],
        &[open, second, first],
        &[open, open],
    ];
    for order in orders {
        let mut replay = Replay::new(ledger.trust());
        let all = (1..)
            .zip(order)
            .try_for_each(|(seq, object)| replay.absorb(seq, object).map(drop));
        assert!(all.is_err());
    }
    let mut replay = Replay::new(ledger.trust());
    replay.absorb(1, open).unwrap();
    assert_eq!(
        replay.absorb(3, second).unwrap_err(),
        EntryRefusal::Gap { missing: 2 }
    );
}

#[test]
fn what_an_entry_passes_over_need_not_be_there_any_more() {
    let ledger = Ledger::with_a_chain();
    let passing = |skips: &[u64], prev: Option<Sha256>| {
        ledger.changed(|body| {
            body["seq"] = json!(6);
            body["skips"] = json!(skips);
            if let Some(prev) = prev {
                body["prev"] = json!(prev);
            }
        })
    };
    let mut replay = ledger.replayed();
    let gap = EntryRefusal::Gap { missing: 4 };
    for object in [
        passing(&[5], None),
        passing(&[], None),
        passing(&[4, 5], Some(Sha256([9; 32]))),
        b"somebody's\n".to_vec(),
    ] {
        assert_eq!(replay.absorb(6, &object).unwrap_err(), gap);
        assert_eq!(replay.next_seq(), 4, "a refused object changes nothing");
    }
    replay.absorb(6, &passing(&[4, 5], None)).unwrap();
    assert_eq!((replay.next_seq(), replay.skips()), (7, Vec::new()));

    // The next entry names them all, whichever of them were looked at.
    let mut replay = ledger.replayed();
    replay.quarantine(5);
    assert_eq!((replay.next_seq(), replay.skips()), (6, vec![4, 5]));
}

#[test]
fn an_entry_that_follows_another_history_is_a_signed_fork() {
    let ledger = Ledger::with_a_chain();
    let object = ledger.changed(|body| body["prev"] = json!(Sha256([9; 32])));
    let refusal = ledger.refusal(&object);
    assert!(matches!(refusal, EntryRefusal::OtherPrevious { .. }));
    assert!(refusal.was_signed());
}

#[test]
fn an_entry_of_another_ledger_or_source_or_number_is_refused() {
    let ledger = Ledger::with_a_chain();
    let other = |change: fn(&mut Value)| ledger.refusal(&ledger.changed(change));
    assert!(matches!(
        other(|body| body["ledger"] = json!("00000000000000000000000000000000")),
        EntryRefusal::OtherLedger { .. }
    ));
    assert!(matches!(
        other(|body| body["source"] = json!("work")),
        EntryRefusal::OtherSource { .. }
    ));
    assert!(matches!(
        other(|body| body["seq"] = json!(5)),
        EntryRefusal::OtherNumber { found: 5 }
    ));
}

#[test]
fn a_key_without_the_role_signs_no_archive() {
    let mut ledger = Ledger::with_a_chain();
    ledger.writer = SigningKey::from_file_text(&ledger.root.to_file_text()).unwrap();
    let object = ledger.archive_object(full("2026-11-14", 9));
    assert!(matches!(
        ledger.refusal(&object),
        EntryRefusal::Unsigned { .. }
    ));
}

#[test]
fn bytes_that_do_not_verify_are_passed_over_by_name() {
    let ledger = Ledger::with_a_chain();
    let mut replay = ledger.replayed();
    let refusal = replay.absorb(4, b"somebody else's bytes\n").unwrap_err();
    assert_eq!(
        replay.what_is(b"somebody else's bytes\n", &refusal),
        Refused::Litter
    );
    replay.quarantine(4);
    assert_eq!((replay.next_seq(), replay.skips()), (5, vec![4]));
    // An entry 5 that does not say so is refused, one that does is the next.
    let silent = ledger.changed(|body| body["seq"] = json!(5));
    let mut silent_replay = ledger.replayed();
    silent_replay.quarantine(4);
    assert!(matches!(
        silent_replay.absorb(5, &silent).unwrap_err(),
        EntryRefusal::OtherSkips { .. }
    ));
    let naming = ledger.changed(|body| {
        body["seq"] = json!(5);
        body["skips"] = json!([4]);
    });
    replay.absorb(5, &naming).unwrap();
    assert_eq!((replay.next_seq(), replay.skips()), (6, Vec::new()));
    // And one that passes over what is valid is refused.
    let needless = ledger.changed(|body| body["skips"] = json!([3]));
    assert!(matches!(
        ledger.refusal(&needless),
        EntryRefusal::OtherSkips { .. }
    ));
}

#[test]
fn an_unknown_kind_and_a_higher_format_count_in_the_chain_with_a_warning() {
    let ledger = Ledger::with_a_chain();
    for (change, warning) in [
        (
            json!({"kind": "rewind"}),
            "entry 4 is of the unknown kind \"rewind\"",
        ),
        (json!({"format": 3}), "entry 4 has format 3"),
    ] {
        let object = ledger.changed(|body| {
            for (name, value) in change.as_object().unwrap() {
                body[name.as_str()] = value.clone();
            }
        });
        let mut replay = ledger.replayed();
        let absorbed = replay.absorb(4, &object).unwrap();
        assert_eq!(absorbed.warnings[0].to_string(), warning);
        assert_eq!(replay.head().unwrap().seq, 4);
    }
}

#[test]
fn unknown_fields_are_ignored_but_signed() {
    let ledger = Ledger::with_a_chain();
    let object = ledger.changed(|body| {
        body["later"] = json!({"deep": [1, null, "x"]});
        body["archive"]["later"] = json!(true);
    });
    let mut replay = ledger.replayed();
    let absorbed = replay.absorb(4, &object).unwrap();
    let (body, _) = split(&object).unwrap();
    assert_eq!(absorbed.hash, Sha256::of(body));
    let text = String::from_utf8(object)
        .unwrap()
        .replace("\"later\":true", "\"later\":null");
    assert!(matches!(
        ledger.refusal(text.as_bytes()),
        EntryRefusal::Unsigned { .. }
    ));
}

#[test]
fn a_refused_object_leaves_the_replay_as_it_was() {
    let ledger = Ledger::with_a_chain();
    let mut replay = ledger.replayed();
    let mut bad = ledger.archive_object(full("2026-11-14", 9));
    let end = bad.len() - 3;
    bad[end] ^= 1;
    assert!(replay.absorb(4, &bad).is_err());
    // The same archive: it was not remembered from the refused object.
    let again = ledger.archive_object(full("2026-11-14", 9));
    replay.absorb(4, &again).unwrap();
}
