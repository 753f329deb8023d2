//! The kind `revive`: what it may name, and what it does to the entries after it.

use super::retire::{archived, chain, ledger_of, retire};
use super::*;
use crate::model::entry::ReviveEntry;

pub(super) fn revive(archives: &[ArchiveId]) -> EntryKind {
    EntryKind::Revive(ReviveEntry {
        archives: archives.to_vec(),
        reason: "it is wanted after all".to_owned(),
    })
}

/// A chain of three whose incrementals are retired.
fn with_two_retired() -> ([ArchiveEntry; 3], Ledger) {
    let archives = chain();
    let mut ledger = ledger_of(&archives);
    ledger.write(retire(&[archives[1].id, archives[2].id]));
    (archives, ledger)
}

#[test]
fn what_is_revived_is_visible_and_can_be_built_on_and_retired_again() {
    let ([first, second, third], mut ledger) = with_two_retired();
    ledger.write(revive(&[second.id, third.id]));
    let replay = ledger.replayed();
    for id in [first.id, second.id, third.id] {
        assert!(replay.is_visible(&id) && !replay.is_retired(&id));
    }
    let fourth = incremental("2026-11-21", 4, &third);
    ledger.write(archived(&fourth));
    ledger.write(retire(&[third.id, fourth.id]));
    assert!(!ledger.replayed().is_visible(&third.id));
}

#[test]
fn a_part_may_be_revived_if_all_that_it_builds_on_is_visible() {
    let ([_, second, third], mut ledger) = with_two_retired();
    assert_eq!(
        ledger.refusal_of(revive(&[third.id])),
        EntryRefusal::RetiredParent {
            archive: third.id,
            parent: second.id
        }
    );
    ledger.write(revive(&[second.id]));
    let replay = ledger.replayed();
    assert!(replay.is_visible(&second.id) && replay.is_retired(&third.id));
}

#[test]
fn only_what_was_archived_and_is_retired_can_be_revived() {
    let ([first, second, third], mut ledger) = with_two_retired();
    let attempt = archive_id("2026-11-21", ArchiveKind::Full, 9);
    ledger.write(retire(&[attempt]));
    let unknown = archive_id("2026-11-21", ArchiveKind::Full, 10);
    for archive in [first.id, attempt, unknown] {
        assert_eq!(
            ledger.refusal_of(revive(&[archive])),
            EntryRefusal::NotRetired { archive }
        );
    }
    assert_eq!(
        ledger.refusal_of(revive(&[])),
        EntryRefusal::ReviveList("is empty")
    );
    for list in [[third.id, second.id], [second.id, second.id]] {
        assert_eq!(
            ledger.refusal_of(revive(&list)),
            EntryRefusal::ReviveList("is not sorted, or names one twice")
        );
    }
    ledger.write(revive(&[second.id, third.id]));
    assert_eq!(
        ledger.refusal_of(revive(&[second.id])),
        EntryRefusal::NotRetired { archive: second.id }
    );
}

#[test]
fn a_date_that_was_archived_again_stays_with_its_new_archive() {
    let ([first, second, third], mut ledger) = with_two_retired();
    let again = ArchiveEntry {
        stream_uuid: Uuid([9; 16]),
        ..incremental("2026-11-07", 9, &first)
    };
    ledger.write(archived(&again));
    assert_eq!(
        ledger.refusal_of(revive(&[second.id, third.id])),
        EntryRefusal::DateTaken {
            archive: second.id,
            other: again.id
        }
    );
    ledger.write(retire(&[again.id]));
    ledger.write(revive(&[second.id, third.id]));
    assert_eq!(
        ledger.refusal_of(revive(&[again.id])),
        EntryRefusal::DateTaken {
            archive: again.id,
            other: second.id
        }
    );
}

#[test]
fn a_key_without_the_role_of_a_pruner_revives_nothing() {
    let ([_, second, third], ledger) = with_two_retired();
    let writer = SigningKey::generate().unwrap();
    let head = ledger.head();
    let kind = revive(&[second.id, third.id]);
    let body = encode_body(&Entry { head, kind }).unwrap();
    let refusal = ledger.refusal(&sign(&body, &writer).unwrap());
    assert!(!refusal.was_signed(), "{refusal}");
}
