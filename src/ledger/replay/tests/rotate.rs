//! The kind `rotate`: which keys it may name, and who may sign after it.

use super::retire::{archived, retire};
use super::*;
use crate::model::entry::{KeyGrant, RotateEntry};

fn granted(key: &SigningKey, roles: &[Role]) -> KeyGrant {
    KeyGrant {
        key: key.public().to_string(),
        roles: roles.to_vec(),
        grant: None,
    }
}

impl Ledger {
    /// Makes a `rotate` to the root key and these keys, signed by `signer`.
    fn rotate_by(&self, signer: &SigningKey, others: &[KeyGrant]) -> Vec<u8> {
        let keys = [&[root_grant(&self.root.public())], others].concat();
        self.object_by(
            signer,
            EntryKind::Rotate(RotateEntry {
                keys,
                voids: Vec::new(),
                retires: Vec::new(),
                revives: Vec::new(),
            }),
        )
    }

    fn object_by(&self, signer: &SigningKey, kind: EntryKind) -> Vec<u8> {
        let head = self.head();
        sign(&encode_body(&Entry { head, kind }).unwrap(), signer).unwrap()
    }

    fn push(&mut self, object: Vec<u8>) {
        self.bodies.push(split(&object).unwrap().0.to_vec());
        self.objects.push(object);
    }

    fn rotate(&mut self, others: &[KeyGrant]) {
        self.push(self.rotate_by(&self.root, others));
    }
}

const BOTH: [Role; 2] = [Role::Pruner, Role::Writer];

#[test]
fn a_key_that_is_rotated_out_signs_nothing_and_what_it_signed_before_stays() {
    let mut ledger = Ledger::with_a_chain();
    let new = SigningKey::generate().unwrap();
    ledger.rotate(&[granted(&new, &BOTH)]);
    let replay = ledger.replayed();
    assert_eq!(replay.roles_of(&ledger.writer.public()), []);
    assert_eq!(replay.roles_of(&new.public()), BOTH);
    assert_eq!(replay.roles_of(&ledger.root.public()), [Role::Root]);
    assert_eq!(replay.withdrawn(), [ledger.writer.public()]);
    let again = full("2026-11-14", 3);
    let old = ledger.object_by(&ledger.writer, archived(&again));
    let refusal = ledger.refusal(&old);
    // It is passed over like unsigned bytes, and stops no writer.
    assert!(!refusal.was_signed(), "{refusal}");
    assert!(matches!(refusal, EntryRefusal::Unsigned { .. }));
    ledger.push(ledger.object_by(&new, archived(&again)));
    let replay = ledger.replayed();
    assert!(replay.is_visible(&again.id));
    assert!(replay.is_visible(&full("2026-11-01", 1).id));
}

#[test]
fn a_key_that_is_rotated_out_can_t_rotate_itself_in_again() {
    let mut ledger = Ledger::with_a_chain();
    let new = SigningKey::generate().unwrap();
    ledger.rotate(&[granted(&new, &BOTH)]);
    let own = granted(&ledger.writer, &BOTH);
    for signer in [&ledger.writer, &new] {
        let refusal = ledger.refusal(&ledger.rotate_by(signer, std::slice::from_ref(&own)));
        assert!(
            matches!(refusal, EntryRefusal::Unsigned { .. }),
            "{refusal}"
        );
    }
    ledger.rotate(&[own]);
    ledger.write(archived(&full("2026-11-14", 3)));
    ledger.replayed();
}

#[test]
fn each_key_signs_what_its_new_role_lets_it() {
    let mut ledger = Ledger::with_a_chain();
    let pruner = SigningKey::generate().unwrap();
    ledger.rotate(&[
        granted(&ledger.writer, &[Role::Writer]),
        granted(&pruner, &[Role::Pruner]),
    ]);
    let goes = archive_id("2026-11-07", ArchiveKind::Incremental, 2);
    let more = archived(&full("2026-11-14", 3));
    for (signer, kind) in [
        (&ledger.writer, retire(&[goes])),
        (&pruner, more.clone()),
        (&ledger.root, retire(&[goes])),
        (&ledger.root, more.clone()),
    ] {
        let refusal = ledger.refusal(&ledger.object_by(signer, kind));
        assert!(
            matches!(refusal, EntryRefusal::Unsigned { .. }),
            "{refusal}"
        );
    }
    ledger.push(ledger.object_by(&pruner, retire(&[goes])));
    ledger.write(more);
    assert!(!ledger.replayed().is_visible(&goes));
}

#[test]
fn a_ledger_whose_keys_are_all_withdrawn_is_read_and_not_written() {
    let mut ledger = Ledger::with_a_chain();
    ledger.rotate(&[]);
    assert!(ledger.replayed().is_visible(&full("2026-11-01", 1).id));
    let refusal = ledger.refusal(&ledger.object_by(&ledger.writer, retire(&[])));
    assert!(
        matches!(refusal, EntryRefusal::Unsigned { .. }),
        "{refusal}"
    );
}

#[test]
fn a_set_of_keys_that_is_none_is_refused() {
    let ledger = Ledger::with_a_chain();
    let other = SigningKey::generate().unwrap();
    let root = root_grant(&ledger.root.public());
    let key = granted(&other, &BOTH);
    let with = |change: fn(&mut KeyGrant)| {
        let mut key = key.clone();
        change(&mut key);
        vec![root.clone(), key]
    };
    for (keys, what) in [
        (vec![], "is empty"),
        (
            vec![key.clone()],
            "does not begin with the ledger's root key",
        ),
        (
            vec![granted(&ledger.root, &[Role::Root, Role::Writer])],
            "does not begin with the ledger's root key",
        ),
        (
            vec![root.clone(), key.clone(), key.clone()],
            "names a key twice",
        ),
        (vec![root.clone(), root.clone()], "names a key twice"),
        (
            with(|key| key.key = format!(" {}", key.key)),
            "has something that is not a public key",
        ),
        (
            with(|key| key.roles = vec![]),
            "gives no role, roles that are not sorted, or the root key's role",
        ),
        (
            with(|key| key.roles = vec![Role::Root]),
            "gives no role, roles that are not sorted, or the root key's role",
        ),
        (
            with(|key| key.roles.reverse()),
            "gives no role, roles that are not sorted, or the root key's role",
        ),
    ] {
        let object = ledger.object_by(
            &ledger.root,
            EntryKind::Rotate(RotateEntry {
                keys,
                voids: Vec::new(),
                retires: Vec::new(),
                revives: Vec::new(),
            }),
        );
        let refusal = ledger.refusal(&object);
        assert_eq!(refusal, EntryRefusal::RotateKeys(what));
        // The root key has signed it, so it is not passed over.
        assert!(refusal.was_signed());
    }
}
