//! What is certainly no entry of the ledger, and what may be a damaged one.

use super::*;
use crate::model::entry::{FURTHEST, KeyGrant, RotateEntry};

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
        retires: Vec::new(),
        revives: Vec::new(),
    });
    let rotate = encode_body(&Entry { head, kind }).unwrap();
    ledger.objects.push(sign(&rotate, &ledger.root).unwrap());
    ledger.bodies.push(rotate);
    let by_the_old = ledger.archive_object(full("2026-11-14", 9));
    assert_eq!(what_is(&ledger, &by_the_old), Refused::Litter);
    // A damaged entry may have given its key a role.
    ledger.writer = SigningKey::generate().unwrap();
    let by_nobody = ledger.archive_object(full("2026-11-14", 9));
    assert_eq!(what_is(&ledger, &by_nobody), Refused::Suspect);
}

#[test]
fn a_fork_and_a_gap_stop_every_reader() {
    let ledger = Ledger::with_a_chain();
    let forked = ledger.changed(|body| body["prev"] = json!(Sha256([9; 32])));
    assert_eq!(what_is(&ledger, &forked), Refused::Fork);
    let after = ledger.changed(|body| body["seq"] = json!(6));
    let mut replay = ledger.replayed();
    let refusal = replay.absorb(6, &after).unwrap_err();
    assert_eq!(replay.what_is(&after, &refusal), Refused::Stop);
}

#[test]
fn what_a_key_has_signed_that_is_no_entry_is_litter_and_not_a_damaged_one() {
    let ledger = Ledger::with_a_chain();
    for line in [
        "\n".to_owned(),
        "{}\n".to_owned(),
        format!("{{\"ledger\":\"{ID}\"}}\n"),
        format!("[{}0]\n", "0,".repeat(1000)),
    ] {
        let object = ledger.signed_unread(line.as_bytes(), "archive");
        assert_eq!(what_is(&ledger, &object), Refused::Litter, "{line}");
    }
}

#[test]
fn lists_that_take_more_memory_than_their_text_have_a_limit() {
    let ledger = Ledger::with_a_chain();
    let refusal = |member: &str, list: Value| {
        let object = ledger.changed(|body| body[member] = list);
        ledger.refusal(&object)
    };
    let within = Value::from(vec![1_u64; usize::try_from(FURTHEST).unwrap()]);
    assert!(matches!(
        refusal("skips", within),
        EntryRefusal::OtherSkips { .. }
    ));
    let mut ledger_of_lines = Ledger::with_a_chain();
    let beyond = vec!["1"; usize::try_from(FURTHEST).unwrap() + 1].join(",");
    let body = String::from_utf8(ledger_of_lines.bodies.pop().unwrap()).unwrap();
    let skips = format!("\"skips\":[{beyond}],\"source\"");
    let line = body.replace("\"source\"", &skips);
    let refusal = ledger.refusal(&ledger.signed_unread(line.as_bytes(), "archive"));
    assert!(refusal.to_string().contains("at most 10000"), "{refusal}");
    // More keys than a list may have.
    let key = json!({"key": "RW", "roles": []});
    let keys = json!({"keys": vec![key; 1001]});
    let mut value: Value = serde_json::from_slice(&ledger.bodies[0]).unwrap();
    value["open"] = keys;
    let mut line = to_canonical(&value).unwrap();
    line.push(b'\n');
    let refusal = Replay::new(ledger.trust()).absorb(1, &ledger.signed_unread(&line, "open"));
    let refusal = refusal.unwrap_err().to_string();
    assert!(refusal.contains("at most 1000"), "{refusal}");
}

#[test]
fn a_first_entry_that_is_longer_than_any_is_is_not_read() {
    let ledger = Ledger::new();
    let long = vec![b'['; usize::try_from(OPEN_BYTES).unwrap() + 1];
    let refusal = Replay::new(ledger.trust()).absorb(1, &long).unwrap_err();
    assert!(
        matches!(refusal, EntryRefusal::OpenTooLong { .. }),
        "{refusal}"
    );
}

#[test]
fn a_number_that_is_far_beyond_the_last_is_no_entry_s() {
    let ledger = Ledger::with_a_chain();
    let furthest = 3 + FURTHEST;
    let skips: Vec<u64> = (4..furthest).collect();
    let object = ledger.changed(|body| {
        body["seq"] = json!(furthest);
        body["skips"] = json!(skips);
    });
    ledger.replayed().absorb(furthest, &object).unwrap();
    for far in [furthest + 1, (1 << 53) - 1] {
        let object = ledger.changed(|body| body["seq"] = json!(far));
        for mut replay in [ledger.replayed(), {
            let mut past = Replay::reading_past(ledger.trust());
            for (seq, object) in (1..).zip(&ledger.objects) {
                past.absorb(seq, object).unwrap();
            }
            past
        }] {
            let refusal = replay.absorb(far, &object).unwrap_err();
            assert!(
                matches!(refusal, EntryRefusal::TooFar { head: 3 }),
                "{refusal}"
            );
            assert_eq!(replay.what_is(&object, &refusal), Refused::Stop);
        }
    }
}

#[test]
fn numbers_are_in_reach_as_far_as_no_gap_is_wider_than_an_entry_passes_over() {
    for (numbers, head, reached) in [
        (&[][..], 0, 0),
        (&[1, 2, 3], 0, 3),
        (&[FURTHEST], 0, 1),
        (&[FURTHEST + 1], 0, 0),
        (&[FURTHEST + 1], 1, 1),
        (
            &[1, 2, 2 + FURTHEST, 2 + 2 * FURTHEST, 3 + 3 * FURTHEST],
            0,
            4,
        ),
        (&[1, u64::MAX], 0, 1),
        (&[1, u64::MAX], u64::MAX - 1, 2),
    ] {
        assert_eq!(within_reach(numbers, head), reached, "{numbers:?} {head}");
    }
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
