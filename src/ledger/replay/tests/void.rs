//! Entries that this version does not understand: who may sign one, and how writers go on after it.

use super::retire::archived;
use super::*;
use crate::model::entry::{KeyGrant, RotateEntry};

impl Ledger {
    /// The next entry as one of a kind or a format that is not known here.
    fn unknown_by(&self, signer: &SigningKey, change: &Value) -> Vec<u8> {
        let head = self.head();
        let kind = archived(&full("2026-11-14", 9));
        let body = encode_body(&Entry { head, kind }).unwrap();
        let mut value: Value = serde_json::from_slice(&body).unwrap();
        for (name, member) in change.as_object().unwrap() {
            value[name.as_str()] = member.clone();
        }
        let mut line = to_canonical(&value).unwrap();
        line.push(b'\n');
        sign(&line, signer).unwrap()
    }

    fn voiding(&self, voids: &[u64]) -> Vec<u8> {
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

    fn append(&mut self, object: Vec<u8>) {
        self.bodies.push(split(&object).unwrap().0.to_vec());
        self.objects.push(object);
    }
}

#[test]
fn a_key_that_may_not_write_stops_no_writer() {
    let mut ledger = Ledger::with_a_chain();
    let pruner = SigningKey::generate().unwrap();
    let writer = KeyGrant {
        key: ledger.writer.public().to_string(),
        roles: vec![Role::Writer],
        grant: None,
    };
    let only_prunes = KeyGrant {
        key: pruner.public().to_string(),
        roles: vec![Role::Pruner],
        grant: None,
    };
    let kind = EntryKind::Rotate(RotateEntry {
        keys: vec![root_grant(&ledger.root.public()), writer, only_prunes],
        voids: Vec::new(),
        retires: Vec::new(),
        revives: Vec::new(),
    });
    let head = ledger.head();
    let rotate = sign(&encode_body(&Entry { head, kind }).unwrap(), &ledger.root).unwrap();
    ledger.append(rotate);
    for change in [json!({"format": 3}), json!({"kind": "rewind"})] {
        let refusal = ledger.refusal(&ledger.unknown_by(&pruner, &change));
        assert!(
            matches!(refusal, EntryRefusal::Unsigned { .. }),
            "{refusal}"
        );
        assert!(!refusal.was_signed());
        for signer in [&ledger.writer, &ledger.root] {
            let mut replay = ledger.replayed();
            replay
                .absorb(5, &ledger.unknown_by(signer, &change))
                .unwrap();
            assert_eq!(replay.unknown().len(), 1);
        }
    }
}

#[test]
fn the_root_key_voids_what_is_not_understood_by_its_number_and_nothing_else() {
    let mut ledger = Ledger::with_a_chain();
    for change in [json!({"format": 3}), json!({"kind": "rewind"})] {
        ledger.append(ledger.unknown_by(&ledger.writer, &change));
    }
    let numbers =
        |replay: &Replay| -> Vec<u64> { replay.unknown().iter().map(Warning::seq).collect() };
    assert_eq!(numbers(&ledger.replayed()), [4, 5]);
    for voids in [&[3][..], &[4, 6], &[1, 4, 5]] {
        let refusal = ledger.refusal(&ledger.voiding(voids));
        assert!(matches!(refusal, EntryRefusal::VoidsKnown { .. }));
        assert!(refusal.was_signed());
    }
    ledger.append(ledger.voiding(&[4]));
    assert_eq!(numbers(&ledger.replayed()), [5]);
    ledger.append(ledger.voiding(&[5]));
    assert!(numbers(&ledger.replayed()).is_empty());
    assert_eq!(
        ledger.refusal(&ledger.voiding(&[5])),
        EntryRefusal::VoidsKnown { seq: 5 }
    );
    let next = ledger.archive_object(full("2026-11-14", 9));
    ledger.replayed().absorb(8, &next).unwrap();
}
