//! The kind `retire`: what it may name, and what it does to the entries after it.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::model::entry::RetireEntry;

pub(super) fn retire(archives: &[ArchiveId]) -> EntryKind {
    EntryKind::Retire(RetireEntry {
        archives: archives.to_vec(),
        reason: "the chain's time is over".to_owned(),
    })
}

pub(super) fn archived(archive: &ArchiveEntry) -> EntryKind {
    EntryKind::Archive(Box::new(archive.clone()))
}

impl Ledger {
    /// The next entry's object, whether it is right or not.
    fn object_of(&self, kind: EntryKind) -> Vec<u8> {
        let head = self.head();
        sign(&encode_body(&Entry { head, kind }).unwrap(), &self.writer).unwrap()
    }

    pub(super) fn refusal_of(&self, kind: EntryKind) -> EntryRefusal {
        let refusal = self.refusal(&self.object_of(kind));
        // A key of the ledger has signed it, so it is never passed over.
        assert!(refusal.was_signed(), "{refusal}");
        refusal
    }
}

/// Three archives in a chain: a full, an incremental on it, and one on that.
pub(super) fn chain() -> [ArchiveEntry; 3] {
    let first = full("2026-11-01", 1);
    let second = incremental("2026-11-07", 2, &first);
    let third = incremental("2026-11-14", 3, &second);
    [first, second, third]
}

pub(super) fn ledger_of(archives: &[ArchiveEntry]) -> Ledger {
    let mut ledger = Ledger::new();
    for archive in archives {
        ledger.write(archived(archive));
    }
    ledger
}

#[test]
fn a_retired_archive_is_no_longer_visible_and_the_hashes_go_on() {
    let [first, second, third] = chain();
    let mut ledger = ledger_of(&[first.clone(), second.clone(), third.clone()]);
    ledger.write(retire(&[second.id, third.id]));
    let replay = ledger.replayed();
    assert!(replay.is_visible(&first.id) && !replay.is_retired(&first.id));
    for gone in [second.id, third.id] {
        assert!(!replay.is_visible(&gone) && replay.is_retired(&gone));
    }
    assert_eq!(
        replay.head(),
        Some(Head {
            seq: 5,
            hash: Sha256::of(&ledger.bodies[4])
        })
    );
    ledger.write(archived(&full("2026-11-21", 4)));
    let mut trusted = Replay::new(ledger.trust());
    for (seq, object) in (1..).zip(&ledger.objects) {
        let absorbed = trusted.absorb_trusted(seq, object).unwrap();
        assert_eq!(absorbed.warnings, Vec::new());
    }
    assert_eq!(trusted.head(), ledger.replayed().head());
    assert_eq!(trusted.head().unwrap().seq, 6);
}

#[test]
fn an_entry_after_a_retire_that_does_not_name_its_hash_is_a_fork() {
    let [first, ..] = chain();
    let mut ledger = ledger_of(std::slice::from_ref(&first));
    let before = Sha256::of(&ledger.bodies[1]);
    ledger.write(retire(&[first.id]));
    let object = ledger.changed(|body| body["prev"] = json!(before));
    assert!(matches!(
        ledger.refusal(&object),
        EntryRefusal::OtherPrevious { .. }
    ));
}

#[test]
fn a_retire_is_one_line_of_canonical_json() {
    let mut ledger = Ledger::new();
    ledger.write(retire(&[full("2026-11-01", 1).id]));
    let line = String::from_utf8(ledger.bodies[1].clone()).unwrap();
    let own = r#""kind":"retire","ledger":"#;
    assert!(line.contains(own), "{line}");
    let own = r#""retire":{"archives":["2026-11-01-full-0000000000000001"],"reason":"the chain's time is over"}"#;
    assert!(line.contains(own), "{line}");
    let signature = String::from_utf8(ledger.objects[1].clone()).unwrap();
    assert!(signature.contains(&format!("trusted comment: coldchain {ID} 2 retire\n")));
}

#[test]
fn only_a_key_with_the_role_pruner_signs_a_retire() {
    let [first, ..] = chain();
    for (roles, may) in [
        ([Role::Writer].as_slice(), false),
        (&[Role::Pruner, Role::Writer], true),
    ] {
        let mut ledger = Ledger::new();
        ledger.bodies.clear();
        ledger.objects.clear();
        let grant = make_grant(&ledger.root, &ledger.writer.public(), roles).unwrap();
        let keys = vec![root_grant(&ledger.root.public()), grant];
        ledger.write(EntryKind::Open(OpenEntry { keys }));
        ledger.write(archived(&first));
        let object = ledger.object_of(retire(&[first.id]));
        let taken = ledger.replayed().absorb(3, &object);
        assert_eq!(taken.is_ok(), may, "{roles:?}");
        if let Err(refusal) = taken {
            assert!(matches!(&refusal, EntryRefusal::Unsigned { kind } if kind == "retire"));
            assert!(!refusal.was_signed());
        }
    }
    // The root key signs none either.
    let mut ledger = ledger_of(std::slice::from_ref(&first));
    ledger.writer = SigningKey::from_file_text(&ledger.root.to_file_text()).unwrap();
    let object = ledger.object_of(retire(&[first.id]));
    assert!(matches!(
        ledger.refusal(&object),
        EntryRefusal::Unsigned { .. }
    ));
}

#[test]
fn a_pruner_that_is_no_writer_retires_and_archives_nothing() {
    let [first, ..] = chain();
    let mut ledger = Ledger::new();
    ledger.bodies.clear();
    ledger.objects.clear();
    let pruner = SigningKey::generate().unwrap();
    let writers = make_grant(&ledger.root, &ledger.writer.public(), &[Role::Writer]).unwrap();
    let pruners = make_grant(&ledger.root, &pruner.public(), &[Role::Pruner]).unwrap();
    let keys = vec![root_grant(&ledger.root.public()), writers, pruners];
    ledger.write(EntryKind::Open(OpenEntry { keys }));
    ledger.write(archived(&first));
    ledger.writer = pruner;
    let object = ledger.object_of(archived(&full("2026-11-07", 2)));
    assert!(matches!(
        ledger.refusal(&object),
        EntryRefusal::Unsigned { .. }
    ));
    ledger.write(retire(&[first.id]));
    assert!(ledger.replayed().is_retired(&first.id));
}

#[test]
fn a_list_that_is_empty_unsorted_or_names_one_twice_is_refused() {
    let [first, second, third] = chain();
    let ledger = ledger_of(&[first.clone(), second.clone(), third.clone()]);
    for list in [
        [].as_slice(),
        &[third.id, second.id],
        &[second.id, third.id, third.id],
        &[third.id, second.id, third.id],
    ] {
        let refusal = ledger.refusal_of(retire(list));
        assert!(matches!(refusal, EntryRefusal::RetireList(_)), "{refusal}");
    }
    ledger
        .replayed()
        .absorb(5, &ledger.object_of(retire(&[second.id, third.id])))
        .unwrap();
}

#[test]
fn a_retire_that_was_sorted_otherwise_after_it_was_signed_does_not_verify() {
    let [first, second, _] = chain();
    let ledger = ledger_of(&[first.clone(), second.clone()]);
    let object = String::from_utf8(ledger.object_of(retire(&[first.id, second.id]))).unwrap();
    let sorted = format!("[\"{}\",\"{}\"]", first.id, second.id);
    assert!(object.contains(&sorted));
    let other = object.replace(&sorted, &format!("[\"{}\",\"{}\"]", second.id, first.id));
    assert!(matches!(
        ledger.refusal(other.as_bytes()),
        EntryRefusal::Unsigned { .. }
    ));
    // The same ids in the same order, with a space. It is refused even if a key has signed exactly that.
    let spaced = object.replace(&sorted, &sorted.replace(',', ", "));
    assert!(matches!(
        ledger.refusal(spaced.as_bytes()),
        EntryRefusal::Unsigned { .. }
    ));
    let (body, _) = split(spaced.as_bytes()).unwrap();
    assert!(matches!(
        ledger.refusal(&ledger.signed_unread(body, "retire")),
        EntryRefusal::NotCanonical(_)
    ));
}

#[test]
fn a_retire_without_its_fields_is_refused() {
    let ledger = Ledger::with_a_chain();
    for own in [
        json!({"reason": "none"}),
        json!({"archives": ["2026-11-01-full-0000000000000001"]}),
        json!({"archives": "2026-11-01-full-0000000000000001", "reason": "a text, no list"}),
        json!({"archives": ["../key.age"], "reason": "no id"}),
        json!(null),
    ] {
        let mut value: Value =
            serde_json::from_slice(&encode_body(&entry_of(&ledger)).unwrap()).unwrap();
        value["retire"] = own;
        let mut line = to_canonical(&value).unwrap();
        line.push(b'\n');
        // `sign` refuses such a line.
        assert!(sign(&line, &ledger.writer).is_err());
        let signed = ledger.object_of(entry_of(&ledger).kind);
        let (_, signature) = split(&signed).unwrap();
        let refusal = ledger.refusal(&[line.as_slice(), signature].concat());
        assert!(
            matches!(refusal, EntryRefusal::Unsigned { .. }),
            "{refusal}"
        );
        // The owner of the key could sign it in another way.
        let refusal = ledger.refusal(&ledger.signed_unread(&line, "retire"));
        assert!(matches!(refusal, EntryRefusal::Fields(_)), "{refusal}");
    }
}

fn entry_of(ledger: &Ledger) -> Entry {
    Entry {
        head: ledger.head(),
        kind: retire(&[full("2026-11-01", 1).id]),
    }
}

#[test]
fn what_a_visible_archive_builds_on_is_not_retired_without_it() {
    let [first, second, third] = chain();
    let ledger = ledger_of(&[first.clone(), second.clone(), third.clone()]);
    for (list, archive, parent) in [
        ([first.id].as_slice(), second.id, first.id),
        (&[second.id], third.id, second.id),
        (&[first.id, second.id], third.id, second.id),
        (&[first.id, third.id], second.id, first.id),
    ] {
        assert_eq!(
            ledger.refusal_of(retire(list)),
            EntryRefusal::Orphaned { archive, parent }
        );
    }
    // What builds on it may be retired before it, or with it.
    let mut ledger = ledger;
    ledger.write(retire(&[third.id]));
    ledger.write(retire(&[first.id, second.id]));
    ledger.replayed();
}

#[test]
fn an_id_is_retired_once() {
    let [first, second, _] = chain();
    let stray = archive_id("2026-11-07", ArchiveKind::Full, 9);
    let mut ledger = ledger_of(&[first.clone(), second.clone()]);
    // A full comes before an incremental of the same date.
    ledger.write(retire(&[stray, second.id]));
    for again in [vec![second.id], vec![stray], vec![first.id, second.id]] {
        let refusal = ledger.refusal_of(retire(&again));
        assert!(
            matches!(refusal, EntryRefusal::RetiredTwice { .. }),
            "{refusal}"
        );
    }
}

#[test]
fn an_attempt_that_was_retired_by_its_id_can_not_be_committed_any_more() {
    let [first, second, _] = chain();
    let mut ledger = ledger_of(std::slice::from_ref(&first));
    ledger.write(retire(&[second.id]));
    let replay = ledger.replayed();
    assert!(replay.is_retired(&second.id) && !replay.is_visible(&second.id));
    assert_eq!(
        ledger.refusal_of(archived(&second)),
        EntryRefusal::Retired { archive: second.id }
    );
    // Another attempt may archive the same stream, because the retired attempt never archived it.
    let again = ArchiveEntry {
        id: archive_id("2026-11-07", ArchiveKind::Incremental, 5),
        ..second
    };
    ledger.write(archived(&again));
    assert!(ledger.replayed().is_visible(&again.id));
}

#[test]
fn a_retired_archive_does_not_come_back_and_nothing_builds_on_it() {
    let [first, second, third] = chain();
    let mut ledger = ledger_of(&[first.clone(), second.clone()]);
    ledger.write(retire(&[second.id]));
    assert_eq!(
        ledger.refusal_of(archived(&third)),
        EntryRefusal::RetiredParent {
            archive: third.id,
            parent: second.id
        }
    );
    let refusal = ledger.refusal_of(archived(&second));
    assert!(
        matches!(refusal, EntryRefusal::Inconsistent { .. }),
        "{refusal}"
    );
    // Its stream stays known, so no other attempt may archive it.
    let again = ArchiveEntry {
        id: archive_id("2026-11-08", ArchiveKind::Incremental, 5),
        date: "2026-11-08".parse().unwrap(),
        ..second.clone()
    };
    assert_eq!(
        ledger.refusal_of(archived(&again)),
        EntryRefusal::KnownStream {
            archive: again.id,
            uuid: second.stream_uuid
        }
    );
    // The rest of the chain goes on.
    ledger.write(archived(&incremental("2026-11-14", 6, &first)));
    ledger.replayed();
}

#[test]
fn a_refused_retire_retires_nothing() {
    let [first, second, _] = chain();
    let ledger = ledger_of(&[first.clone(), second.clone()]);
    let mut replay = ledger.replayed();
    let mut changed = ledger.object_of(retire(&[second.id]));
    let end = changed.len() - 3;
    changed[end] ^= 1;
    for object in [changed, ledger.object_of(retire(&[first.id]))] {
        let seq = replay.next_seq();
        assert!(replay.absorb(seq, &object).is_err());
        assert!(replay.is_visible(&first.id) && replay.is_visible(&second.id));
        assert!(!replay.is_retired(&first.id) && !replay.is_retired(&second.id));
    }
}

/// Something that a writer or pruner tries to commit; indices are taken modulo what there is.
#[derive(Debug, Clone)]
enum Attempt {
    Full,
    Incremental(usize),
    Retire(Vec<usize>),
    RetireUnknown,
}

fn attempts() -> impl Strategy<Value = Vec<Attempt>> {
    let one = prop_oneof![
        2 => Just(Attempt::Full),
        4 => any::<usize>().prop_map(Attempt::Incremental),
        4 => prop::collection::vec(any::<usize>(), 1..4).prop_map(Attempt::Retire),
        1 => Just(Attempt::RetireUnknown),
    ];
    prop::collection::vec(one, 1..14)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn after_any_history_what_is_visible_has_a_visible_send_parent_up_to_a_full(
        attempts in attempts()
    ) {
        let mut ledger = Ledger::new();
        let mut replay = ledger.replayed();
        let mut committed: Vec<ArchiveEntry> = Vec::new();
        let mut retired = BTreeSet::new();
        for (nonce, attempt) in (1..).zip(attempts) {
            // A date is archived once.
            let date = format!("2026-{:02}-{:02}", 1 + nonce / 28, 1 + nonce % 28);
            let (kind, right) = match attempt {
                Attempt::Incremental(at) if !committed.is_empty() => {
                    let parent = &committed[at % committed.len()];
                    let archive = incremental(&date, nonce, parent);
                    (archived(&archive), !retired.contains(&parent.id))
                }
                Attempt::Retire(picked) if !committed.is_empty() => {
                    let picked: BTreeSet<ArchiveId> = picked
                        .into_iter()
                        .map(|at| committed[at % committed.len()].id)
                        .collect();
                    let left_alone = committed.iter().any(|archive| {
                        let stays = !retired.contains(&archive.id) && !picked.contains(&archive.id);
                        stays && archive.send_parent.is_some_and(|parent| picked.contains(&parent))
                    });
                    let list: Vec<ArchiveId> = picked.iter().copied().collect();
                    (retire(&list), picked.is_disjoint(&retired) && !left_alone)
                }
                Attempt::RetireUnknown => {
                    (retire(&[archive_id("2026-11-21", ArchiveKind::Full, nonce)]), true)
                }
                _ => (archived(&full(&date, nonce)), true),
            };
            let object = ledger.object_of(kind.clone());
            let mut next = replay.clone();
            prop_assert_eq!(next.absorb(replay.next_seq(), &object).is_ok(), right);
            if right {
                match &kind {
                    EntryKind::Archive(archive) => committed.push((**archive).clone()),
                    EntryKind::Retire(retire) => retired.extend(&retire.archives),
                    _ => unreachable!("nothing else was tried"),
                }
                ledger.write(kind);
                replay = next;
            }
            for archive in &committed {
                let visible = replay.is_visible(&archive.id);
                prop_assert_eq!(visible, !retired.contains(&archive.id));
                if visible && let Some(parent) = archive.send_parent {
                    prop_assert!(replay.is_visible(&parent));
                }
            }
        }
        // A reader that comes later sees the same.
        let later = ledger.replayed();
        prop_assert_eq!(later.head(), replay.head());
        for id in &retired {
            prop_assert!(later.is_retired(id) && !later.is_visible(id));
        }
    }
}
