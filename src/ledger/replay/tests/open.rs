//! Who opens a ledger.

use super::*;

#[test]
fn a_forged_ledger_with_the_same_root_key_is_refused() {
    // An attacker with access to the store names the trusted root key, and grants a role to a writer of their
    // own.
    let ledger = Ledger::new();
    let forger = SigningKey::generate().unwrap();
    let forge = |grant: KeyGrantOf| {
        let mut theirs = Ledger {
            root: SigningKey::from_file_text(&ledger.root.to_file_text()).unwrap(),
            writer: SigningKey::from_file_text(&forger.to_file_text()).unwrap(),
            bodies: Vec::new(),
            objects: Vec::new(),
        };
        let keys = vec![root_grant(&ledger.root.public()), grant(&ledger, &forger)];
        theirs.write(EntryKind::Open(OpenEntry { keys }));
        Replay::new(ledger.trust())
            .absorb(1, &theirs.objects[0])
            .unwrap_err()
    };
    let own_word =
        forge(|_, forger| make_grant(forger, &forger.public(), &[Role::Writer]).unwrap());
    assert!(matches!(own_word, EntryRefusal::NoGrant { .. }));
    // The true writer's grant, with the forger's key put in its place.
    let stolen = forge(|ledger, forger| {
        let mut grant = make_grant(
            &ledger.root,
            &ledger.writer.public(),
            &[Role::Pruner, Role::Writer],
        )
        .unwrap();
        grant.key = forger.public().to_string();
        grant
    });
    assert!(matches!(stolen, EntryRefusal::NoGrant { .. }));
    // A valid grant for another role.
    let pruner = forge(|ledger, forger| {
        make_grant(&ledger.root, &forger.public(), &[Role::Pruner]).unwrap()
    });
    assert!(matches!(pruner, EntryRefusal::Unsigned { .. }));
}

type KeyGrantOf = fn(&Ledger, &SigningKey) -> crate::model::entry::KeyGrant;

#[test]
fn another_root_key_opens_nothing() {
    let ledger = Ledger::new();
    let trust = Trust {
        root: SigningKey::generate().unwrap().public(),
        ..ledger.trust()
    };
    let refusal = Replay::new(trust)
        .absorb(1, &ledger.objects[0])
        .unwrap_err();
    assert!(matches!(refusal, EntryRefusal::OtherRoot { .. }));
}
