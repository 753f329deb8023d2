//! The kind `moved`: who may sign it, what it says of home, and how the root key voids it.

use super::*;
use crate::model::entry::{KeyGrant, MovedEntry, RotateEntry};

const FIRST: PlaceId = PlaceId([1; 16]);
const SECOND: PlaceId = PlaceId([2; 16]);

fn moved(place: PlaceId) -> EntryKind {
    EntryKind::Moved(MovedEntry { place })
}

impl Ledger {
    /// A `rotate` of format 1 as the next entry, which withdraws no key and voids these numbers.
    fn voids_moves(&self, voids: &[u64]) -> Vec<u8> {
        let writer = KeyGrant {
            key: self.writer.public().to_string(),
            roles: vec![Role::Pruner, Role::Writer],
            grant: None,
        };
        let kind = EntryKind::Rotate(RotateEntry {
            keys: vec![root_grant(&self.root.public()), writer],
            voids: voids.to_vec(),
            retires: Vec::new(),
            revives: Vec::new(),
        });
        let head = self.head();
        sign(&encode_body(&Entry { head, kind }).unwrap(), &self.root).unwrap()
    }
}

#[test]
fn the_newest_move_names_home_and_changes_no_archive() {
    let mut ledger = Ledger::with_a_chain();
    let before = ledger.replayed();
    assert_eq!(before.moved_to(), None);
    ledger.write(moved(FIRST));
    assert_eq!(ledger.replayed().moved_to(), Some(FIRST));
    ledger.write(moved(SECOND));
    ledger.write(EntryKind::Archive(Box::new(full("2026-11-14", 9))));
    let replay = ledger.replayed();
    assert_eq!(replay.moved_to(), Some(SECOND));
    assert!(replay.unknown().is_empty());
    for archive in [full("2026-11-01", 1).id, full("2026-11-14", 9).id] {
        assert!(replay.is_visible(&archive), "{archive}");
    }
}

#[test]
fn only_a_writer_and_the_root_key_move_home() {
    let mut ledger = Ledger::with_a_chain();
    let pruner = SigningKey::generate().unwrap();
    let grant = |key: &SigningKey, role| KeyGrant {
        key: key.public().to_string(),
        roles: vec![role],
        grant: None,
    };
    let kind = EntryKind::Rotate(RotateEntry {
        keys: vec![
            root_grant(&ledger.root.public()),
            grant(&ledger.writer, Role::Writer),
            grant(&pruner, Role::Pruner),
        ],
        voids: Vec::new(),
        retires: Vec::new(),
        revives: Vec::new(),
    });
    let head = ledger.head();
    let rotate = sign(&encode_body(&Entry { head, kind }).unwrap(), &ledger.root).unwrap();
    ledger.bodies.push(split(&rotate).unwrap().0.to_vec());
    ledger.objects.push(rotate);
    let head = ledger.head();
    let kind = moved(FIRST);
    let body = encode_body(&Entry { head, kind }).unwrap();
    for other in [&pruner, &SigningKey::generate().unwrap()] {
        let refusal = ledger.refusal(&sign(&body, other).unwrap());
        assert!(!refusal.was_signed(), "{refusal}");
    }
    for signer in [&ledger.root, &ledger.writer] {
        let mut replay = ledger.replayed();
        replay.absorb(5, &sign(&body, signer).unwrap()).unwrap();
        assert_eq!(replay.moved_to(), Some(FIRST));
    }
}

#[test]
fn a_move_is_of_format_1_and_names_a_place() {
    let ledger = Ledger::with_a_chain();
    let head = ledger.head();
    let kind = moved(FIRST);
    let body = encode_body(&Entry { head, kind }).unwrap();
    for wrong in [json!({"place": "somewhere"}), json!({}), json!(null)] {
        let mut value: Value = serde_json::from_slice(&body).unwrap();
        value["moved"] = wrong;
        let line = [&to_canonical(&value).unwrap()[..], b"\n"].concat();
        let refusal = ledger.refusal(&ledger.signed_unread(&line, "moved"));
        assert!(matches!(refusal, EntryRefusal::Fields(_)), "{refusal}");
    }
    let later = ledger.changed(|body| {
        body["format"] = json!(2);
        body["kind"] = json!("moved");
        body["moved"] = json!({"place": FIRST});
    });
    let mut replay = ledger.replayed();
    replay.absorb(4, &later).unwrap();
    assert_eq!(replay.moved_to(), None);
    assert_eq!(replay.unknown().len(), 1);
}

#[test]
fn the_root_key_voids_a_move_in_format_1_and_home_is_where_it_was_before() {
    let mut ledger = Ledger::with_a_chain();
    ledger.write(moved(FIRST));
    ledger.write(moved(SECOND));
    assert_eq!(ledger.replayed().moved_to_without(&[5]), Some(FIRST));
    assert_eq!(ledger.replayed().moved_to_without(&[4, 5]), None);
    let voiding = ledger.voids_moves(&[5]);
    ledger.bodies.push(split(&voiding).unwrap().0.to_vec());
    ledger.objects.push(voiding);
    let replay = ledger.replayed();
    assert_eq!(replay.moved_to(), Some(FIRST));
    assert!(replay.is_moving(4) && !replay.is_moving(5));
    let again = ledger.refusal(&ledger.voids_moves(&[5]));
    assert_eq!(again, EntryRefusal::VoidsKnown { seq: 5 });
    let mut replay = ledger.replayed();
    replay.absorb(7, &ledger.voids_moves(&[4])).unwrap();
    assert_eq!(replay.moved_to(), None);
}
