//! The contents in entries: which have an effect, and that the others disturb no reader.

use super::retire::{archived, ledger_of};
use super::*;
use crate::ledger::{AttachedContents, decode_body};
use crate::model::ContentsRecord;
use crate::model::entry::{AttachEntry, Attachment, RotateEntry};

fn record(stream_bytes: u64, digest: u8) -> ContentsRecord {
    ContentsRecord {
        stream_bytes,
        objects: vec![SegmentRecord {
            raw_bytes: 100,
            sealed_bytes: 80,
            sha256: Sha256([digest; 32]),
        }],
    }
}

fn attachment(archive: &ArchiveEntry, contents: Option<ContentsRecord>) -> Attachment {
    Attachment {
        archive: archive.id,
        what: Attachment::CONTENTS.to_owned(),
        recipients: archive.recipients,
        sealed: String::new(),
        contents,
        replaces: None,
    }
}

fn attach(objects: &[Attachment]) -> EntryKind {
    EntryKind::Attach(AttachEntry {
        objects: objects.to_vec(),
    })
}

/// The next entry of that kind, with its body changed before it is signed.
fn changed(ledger: &Ledger, kind: EntryKind, change: impl FnOnce(&mut Value)) -> Vec<u8> {
    let head = ledger.head();
    let body = encode_body(&Entry { head, kind }).unwrap();
    let mut value: Value = serde_json::from_slice(&body).unwrap();
    change(&mut value);
    let mut line = to_canonical(&value).unwrap();
    line.push(b'\n');
    sign(&line, &ledger.writer).unwrap()
}

/// Values that no version of this format writes.
fn unusable() -> Vec<Value> {
    let good = serde_json::to_value(record(90, 1)).unwrap();
    let with = |name: &str, value: Value| {
        let mut changed = good.clone();
        changed[name] = value;
        changed
    };
    vec![
        json!({}),
        with("stream_bytes", json!(0)),
        with("stream_bytes", json!(101)),
        with("stream_bytes", json!("90")),
        with("stream_bytes", json!(-1)),
        with("objects", json!([])),
        with("objects", json!({"raw": 1})),
        with(
            "objects",
            json!([{"raw": 100, "sealed": 0, "sha256": "01".repeat(32)}]),
        ),
        with(
            "objects",
            json!([{"raw": 100, "sealed": 80, "sha256": "01"}]),
        ),
        with(
            "objects",
            json!([{"raw": (32 << 20) + 1, "sealed": 80, "sha256": "01".repeat(32)}]),
        ),
    ]
}

#[test]
fn contents_in_an_entry_are_read_as_they_were_written() {
    let first = ArchiveEntry {
        contents: Some(record(90, 1)),
        ..full("2026-11-01", 1)
    };
    let mut ledger = ledger_of(&[]);
    ledger.write(archived(&first));
    let Entry { kind, .. } = decode_body(ledger.bodies.last().unwrap()).unwrap();
    assert_eq!(kind, archived(&first));
    let kind = attach(&[
        attachment(&first, Some(record(90, 2))),
        attachment(&first, None),
    ]);
    ledger.write(kind.clone());
    assert_eq!(
        decode_body(ledger.bodies.last().unwrap()).unwrap().kind,
        kind
    );
}

#[test]
fn contents_that_can_not_be_used_are_ignored_and_their_entry_is_accepted() {
    for unusable in unusable()
        .into_iter()
        .chain([json!(7), json!("x"), json!(null)])
    {
        let ledger = Ledger::new();
        let first = full("2026-11-01", 1);
        let object = changed(&ledger, archived(&first), |body| {
            body["archive"]["contents"] = unusable.clone();
        });
        let mut replay = ledger.replayed();
        let absorbed = replay.absorb(2, &object).unwrap();
        assert_eq!(absorbed.entry.kind, archived(&first), "{unusable}");

        let mut ledger = ledger;
        ledger.write(archived(&first));
        let object = changed(&ledger, attach(&[attachment(&first, None)]), |body| {
            body["attach"]["objects"][0]["contents"] = unusable.clone();
        });
        let absorbed = ledger.replayed().absorb(3, &object).unwrap();
        let expected = attach(&[attachment(&first, None)]);
        assert_eq!(absorbed.entry.kind, expected, "{unusable}");
    }
}

#[test]
fn an_archive_has_its_own_contents_or_else_the_first_that_were_attached() {
    let own = ArchiveEntry {
        contents: Some(record(90, 1)),
        ..full("2026-11-01", 1)
    };
    let without = full("2026-11-07", 2);
    let mut contents = AttachedContents::default();
    let for_others = Attachment {
        recipients: Sha256([9; 32]),
        ..attachment(&without, Some(record(90, 4)))
    };
    let of_another_kind = Attachment {
        what: Attachment::KEY.to_owned(),
        ..attachment(&without, Some(record(90, 5)))
    };
    contents.note(2, &attach(&[attachment(&without, Some(record(90, 3)))]));
    contents.note(4, &attach(&[for_others, of_another_kind]));
    contents.note(
        5,
        &attach(&[
            attachment(&own, Some(record(90, 6))),
            attachment(&without, Some(record(90, 7))),
            attachment(&without, Some(record(90, 8))),
        ]),
    );
    contents.note(6, &attach(&[attachment(&without, Some(record(90, 9)))]));
    let of = |contents: &AttachedContents, entry: &ArchiveEntry| {
        let mut entry = entry.clone();
        contents.complete(3, &mut entry);
        entry
            .contents
            .map(|contents| contents.objects[0].sha256.0[0])
    };
    assert_eq!(of(&contents, &own), Some(1));
    // What comes before the archive's own entry, here number 3, is of an archive that was lost.
    assert_eq!(of(&contents, &without), Some(7));
    let void = |voids: &[u64]| {
        EntryKind::Rotate(RotateEntry {
            keys: Vec::new(),
            voids: voids.to_vec(),
            retires: Vec::new(),
            revives: Vec::new(),
        })
    };
    contents.note(7, &void(&[5]));
    assert_eq!(of(&contents, &without), Some(9));
    contents.note(8, &void(&[6]));
    assert_eq!(
        (of(&contents, &without), of(&contents, &own)),
        (None, Some(1))
    );
}

#[test]
fn contents_that_are_lost_are_replaced_by_the_first_that_say_so() {
    let own = ArchiveEntry {
        contents: Some(record(90, 1)),
        ..full("2026-11-01", 1)
    };
    let replacing = |replaces, digest| Attachment {
        replaces: Some(replaces),
        ..attachment(&own, Some(record(90, digest)))
    };
    let mut ledger = ledger_of(&[]);
    ledger.write(archived(&own));
    let kind = attach(&[replacing(2, 3)]);
    ledger.write(kind.clone());
    let body = ledger.bodies.last().unwrap();
    assert_eq!(decode_body(body).unwrap().kind, kind);
    let object = changed(&ledger, attach(&[replacing(2, 3)]), |body| {
        body["attach"]["objects"][0]["replaces"] = json!("2");
    });
    let absorbed = ledger.replayed().absorb(4, &object).unwrap();
    assert_eq!(absorbed.entry.kind, attach(&[attachment(&own, None)]));

    let mut contents = AttachedContents::default();
    let of = |contents: &AttachedContents| -> Vec<u8> {
        let counting = contents.of(2, &own).into_iter();
        counting
            .map(|record| record.objects[0].sha256.0[0])
            .collect()
    };
    let for_others = Attachment {
        recipients: Sha256([9; 32]),
        ..replacing(2, 3)
    };
    contents.note(
        3,
        &attach(&[for_others, attachment(&own, Some(record(90, 4)))]),
    );
    contents.note(4, &attach(&[replacing(3, 5)]));
    assert_eq!(of(&contents), [1]);
    contents.note(5, &attach(&[replacing(2, 6)]));
    contents.note(6, &attach(&[replacing(2, 7)]));
    contents.note(7, &attach(&[replacing(5, 8)]));
    assert_eq!(of(&contents), [1, 6, 8]);
    let mut entry = own.clone();
    contents.complete(2, &mut entry);
    assert_eq!(entry.contents, Some(record(90, 8)));
    let void = EntryKind::Rotate(RotateEntry {
        keys: Vec::new(),
        voids: vec![5],
        retires: Vec::new(),
        revives: Vec::new(),
    });
    contents.note(8, &void);
    assert_eq!(of(&contents), [1, 7]);
}
