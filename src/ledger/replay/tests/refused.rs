//! What is certainly no entry of the ledger, and what may be a damaged one.

use super::*;
use crate::model::entry::{KeyGrant, RotateEntry};

/// What that object is under the next number.
fn what_is(ledger: &Ledger, object: &[u8]) -> Refused {
    what_is_to(&mut ledger.replayed(), object)
}

fn what_is_to(replay: &mut Replay, object: &[u8]) -> Refused {
    let refusal = replay.absorb(replay.next_seq(), object).unwrap_err();
    replay.what_is(object, &refusal)
}

#[test]
fn an_entry_with_one_rotten_place_is_a_suspect_wherever_that_is() {
    let ledger = Ledger::with_a_chain();
    let object = ledger.archive_object(full("2026-11-14", 9));
    let replay = &mut ledger.replayed();
    for at in 0..object.len() {
        let mut rotten = object.clone();
        rotten[at] ^= 1;
        assert_eq!(what_is_to(replay, &rotten), Refused::Suspect, "byte {at}");
    }
    // A page of it, or all from there on.
    for at in (0..object.len()).step_by(64) {
        let mut rotten = object.clone();
        let end = object.len().min(at + 256);
        rotten[at..end].fill(0);
        assert_eq!(what_is_to(replay, &rotten), Refused::Suspect, "from {at}");
    }
    for len in 0..object.len() {
        assert_eq!(
            what_is_to(replay, &object[..len]),
            Refused::Suspect,
            "{len}"
        );
    }
    for blank in [vec![0; object.len()], vec![0xff; 512]] {
        assert_eq!(what_is_to(replay, &blank), Refused::Suspect);
    }
}

#[test]
fn what_is_certainly_no_entry_of_this_ledger_is_litter() {
    let ledger = Ledger::with_a_chain();
    let mut other = Ledger::with_a_chain();
    other.writer = SigningKey::generate().unwrap();
    let foreign = other.changed(|body| body["ledger"] = json!(LedgerId([9; 16])));
    for (what, object) in [
        ("garbage", b"garbage".to_vec()),
        ("a text", b"somebody else's\nwords\n".to_vec()),
        ("an entry of another ledger", foreign.clone()),
        ("a piece of one", foreign[..foreign.len() - 300].to_vec()),
        ("an entry of another number", ledger.objects[1].clone()),
    ] {
        assert_eq!(what_is(&ledger, &object), Refused::Litter, "{what}");
    }
}

#[test]
fn an_entry_by_a_key_that_was_withdrawn_is_litter_and_by_one_that_nobody_knows_a_suspect() {
    let mut ledger = Ledger::with_a_chain();
    let new = SigningKey::generate().unwrap();
    let keys = vec![
        root_grant(&ledger.root.public()),
        KeyGrant {
            key: new.public().to_string(),
            roles: vec![Role::Pruner, Role::Writer],
            grant: None,
        },
    ];
    let head = ledger.head();
    let kind = EntryKind::Rotate(RotateEntry {
        keys,
        voids: Vec::new(),
    });
    let rotate = encode_body(&Entry { head, kind }).unwrap();
    ledger.objects.push(sign(&rotate, &ledger.root).unwrap());
    ledger.bodies.push(rotate);
    let by_the_old = ledger.archive_object(full("2026-11-14", 9));
    assert_eq!(what_is(&ledger, &by_the_old), Refused::Litter);
    // It may be one that an entry which has rotted has given a role.
    ledger.writer = SigningKey::generate().unwrap();
    let by_nobody = ledger.archive_object(full("2026-11-14", 9));
    assert_eq!(what_is(&ledger, &by_nobody), Refused::Suspect);
}

#[test]
fn a_fork_and_a_gap_stop_every_reader() {
    let ledger = Ledger::with_a_chain();
    let forked = ledger.changed(|body| body["prev"] = json!(Sha256([9; 32])));
    assert_eq!(what_is(&ledger, &forked), Refused::Stop);
    let after = ledger.changed(|body| body["seq"] = json!(6));
    let mut replay = ledger.replayed();
    let refusal = replay.absorb(6, &after).unwrap_err();
    assert_eq!(replay.what_is(&after, &refusal), Refused::Stop);
}

#[test]
fn an_open_of_a_later_format_says_that_the_ledger_is_newer() {
    let ledger = Ledger::new();
    let mut value: Value = serde_json::from_slice(&ledger.bodies[0]).unwrap();
    value["format"] = json!(2);
    let mut line = to_canonical(&value).unwrap();
    line.push(b'\n');
    let object = sign(&line, &ledger.writer).unwrap();
    let refusal = Replay::new(ledger.trust()).absorb(1, &object).unwrap_err();
    assert_eq!(
        refusal.to_string(),
        "the ledger has format 2, and this version knows format 1"
    );
}

#[test]
fn what_a_refusal_quotes_can_t_command_a_terminal() {
    let ledger = Ledger::with_a_chain();
    let object = ledger.changed(|body| {
        body["source"] = json!("home\u{1b}[2J\r\nall is sound");
    });
    let told = ledger.refusal(&object).to_string();
    assert!(!told.contains(|letter: char| letter.is_control()), "{told}");
    assert!(
        told.contains("`home\\u{1b}[2J\\r\\nall is sound`"),
        "{told}"
    );
    let mut value: Value = serde_json::from_slice(&ledger.bodies[0]).unwrap();
    value["open"] = json!({"keys": [{"key": "RW", "roles": ["\u{1b}[2J\n"]}]});
    let mut line = to_canonical(&value).unwrap();
    line.push(b'\n');
    let told = decode_body(&line).unwrap_err().to_string();
    assert!(!told.contains(|letter: char| letter.is_control()), "{told}");
    assert!(told.contains("unknown variant"), "{told}");
}
