//! The kind `delete`: what it may name, and that nothing comes back after it.

use super::retire::{archived, chain, ledger_of, retire};
use super::revive::revive;
use super::*;
use crate::model::entry::DeleteEntry;

fn delete(archives: &[ArchiveId]) -> EntryKind {
    EntryKind::Delete(DeleteEntry {
        archives: archives.to_vec(),
        reason: "retired 8 days ago".to_owned(),
    })
}

/// A chain of three that is retired.
fn with_a_retired_chain() -> ([ArchiveId; 3], Ledger) {
    let archives = chain();
    let mut ledger = ledger_of(&archives);
    let ids = archives.map(|archive| archive.id);
    ledger.write(retire(&ids));
    (ids, ledger)
}

#[test]
fn what_is_being_deleted_stays_retired_and_is_never_revived() {
    let (ids, mut ledger) = with_a_retired_chain();
    ledger.write(delete(&ids));
    let replay = ledger.replayed();
    for id in ids {
        assert!(replay.is_deleted(&id) && replay.is_retired(&id) && !replay.is_visible(&id));
    }
    for some in [&ids[..], &ids[..1], &ids[2..]] {
        assert_eq!(
            ledger.refusal_of(revive(some)),
            EntryRefusal::RevivedLate { archive: some[0] }
        );
    }
    assert_eq!(
        ledger.refusal_of(delete(&ids)),
        EntryRefusal::DeletedTwice { archive: ids[0] }
    );
    assert_eq!(
        ledger.refusal_of(retire(&ids)),
        EntryRefusal::RetiredTwice { archive: ids[0] }
    );
    // It does not affect the next chain.
    ledger.write(archived(&full("2026-12-01", 40)));
}

#[test]
fn only_a_whole_chain_that_is_retired_can_be_deleted() {
    let (ids, mut ledger) = with_a_retired_chain();
    for (some, left) in [(&ids[1..], ids[0]), (&ids[..2], ids[2])] {
        assert_eq!(
            ledger.refusal_of(delete(some)),
            EntryRefusal::DeletedInPart { left }
        );
    }
    let attempt = archive_id("2026-11-21", ArchiveKind::Full, 50);
    let unknown = archive_id("2026-11-21", ArchiveKind::Full, 51);
    ledger.write(retire(&[attempt]));
    for archive in [attempt, unknown] {
        assert_eq!(
            ledger.refusal_of(delete(&[archive])),
            EntryRefusal::DeletedVisible { archive }
        );
    }
    assert_eq!(
        ledger.refusal_of(delete(&[])),
        EntryRefusal::DeleteList("is empty")
    );
    for list in [[ids[1], ids[0], ids[2]], [ids[0], ids[0], ids[1]]] {
        assert_eq!(
            ledger.refusal_of(delete(&list)),
            EntryRefusal::DeleteList("is not sorted, or names one twice")
        );
    }
    ledger.write(revive(&ids));
    assert_eq!(
        ledger.refusal_of(delete(&ids)),
        EntryRefusal::DeletedVisible { archive: ids[0] }
    );
    // Retired in part: a chain goes as a whole.
    ledger.write(retire(&ids[2..]));
    assert_eq!(
        ledger.refusal_of(delete(&ids[2..])),
        EntryRefusal::DeletedInPart { left: ids[0] }
    );
}

#[test]
fn a_key_without_the_role_of_a_pruner_deletes_nothing() {
    let (ids, ledger) = with_a_retired_chain();
    let writer = SigningKey::generate().unwrap();
    let head = ledger.head();
    let kind = delete(&ids);
    let body = encode_body(&Entry { head, kind }).unwrap();
    let refusal = ledger.refusal(&sign(&body, &writer).unwrap());
    assert!(!refusal.was_signed(), "{refusal}");
}
