//! The kind `attach`: what it may name, and who may sign it.

use super::retire::{ledger_of, retire};
use super::*;
use crate::model::entry::{AttachEntry, Attachment};

fn attach(archives: &[ArchiveId], what: &str) -> EntryKind {
    let object = |archive: &ArchiveId| Attachment {
        archive: *archive,
        what: what.to_owned(),
        recipients: Sha256([4; 32]),
        sealed: "c2VhbGVk".to_owned(),
        contents: None,
        replaces: None,
    };
    EntryKind::Attach(AttachEntry {
        objects: archives.iter().map(object).collect(),
    })
}

#[test]
fn a_key_is_attached_to_any_earlier_archive_and_changes_nothing_of_it() {
    let first = full("2026-11-01", 1);
    let second = incremental("2026-11-07", 2, &first);
    let mut ledger = ledger_of(&[first.clone(), second.clone()]);
    ledger.write(retire(&[second.id]));
    ledger.write(attach(&[first.id, second.id], Attachment::KEY));
    // This version ignores what a later version attaches.
    ledger.write(attach(&[first.id], "file-index"));
    let replay = ledger.replayed();
    assert!(replay.is_visible(&first.id) && replay.is_retired(&second.id));
}

#[test]
fn nothing_is_attached_to_what_is_no_archive() {
    let ledger = Ledger::with_a_chain();
    let archive = archive_id("2026-11-14", ArchiveKind::Full, 9);
    assert_eq!(
        ledger.refusal_of(attach(&[archive], Attachment::KEY)),
        EntryRefusal::AttachUnknown { archive }
    );
    assert_eq!(
        ledger.refusal_of(attach(&[], Attachment::KEY)),
        EntryRefusal::AttachNothing
    );
}

#[test]
fn the_root_key_attaches_nothing() {
    let ledger = Ledger::with_a_chain();
    let kind = attach(&[full("2026-11-01", 1).id], Attachment::KEY);
    let head = ledger.head();
    let body = encode_body(&Entry { head, kind }).unwrap();
    let refusal = ledger.refusal(&sign(&body, &ledger.root).unwrap());
    assert!(
        matches!(refusal, EntryRefusal::Unsigned { .. }),
        "{refusal}"
    );
}
