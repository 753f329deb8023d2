//! Reading past what is damaged or lost.

use super::*;

/// `open`, two fulls, an incremental on the second, and a third full.
fn five() -> (Ledger, [ArchiveEntry; 4]) {
    let mut ledger = Ledger::new();
    let first = full("2026-11-01", 1);
    let second = full("2026-11-07", 2);
    let third = incremental("2026-11-14", 3, &second);
    let fourth = full("2026-11-21", 4);
    let archives = [first, second, third, fourth];
    for archive in &archives {
        ledger.write(EntryKind::Archive(Box::new(archive.clone())));
    }
    (ledger, archives)
}

fn read_past(ledger: &Ledger, left_out: &[u64]) -> (Replay, Vec<RangeInclusive<u64>>) {
    let mut replay = Replay::reading_past(ledger.trust());
    let mut lost = Vec::new();
    for (seq, object) in (1..).zip(&ledger.objects) {
        if left_out.contains(&seq) {
            let mut rotten = object.clone();
            rotten[40] ^= 1;
            assert!(!replay.absorb(seq, &rotten).unwrap_err().was_signed());
            continue;
        }
        lost.extend(replay.absorb(seq, object).unwrap().lost);
    }
    (replay, lost)
}

#[test]
fn what_follows_a_rotten_entry_is_read_and_the_rotten_one_named() {
    let (ledger, [first, second, third, fourth]) = five();
    let (replay, lost) = read_past(&ledger, &[2]);
    assert_eq!(lost, [2..=2]);
    assert!(!replay.is_visible(&first.id));
    for archive in [second, third, fourth] {
        assert!(replay.is_visible(&archive.id));
    }
    assert_eq!(replay.head(), ledger.replayed().head());
}

#[test]
fn an_archive_whose_send_parent_is_lost_is_read_too() {
    let (ledger, [first, second, third, fourth]) = five();
    let (replay, lost) = read_past(&ledger, &[2, 3]);
    assert_eq!(lost, [2..=3]);
    assert!(!replay.is_visible(&first.id) && !replay.is_visible(&second.id));
    assert!(replay.is_visible(&third.id) && replay.is_visible(&fourth.id));
}

#[test]
fn a_refused_entry_after_a_lost_one_loosens_nothing() {
    let mut ledger = Ledger::new();
    // The second of them is lost, and the third repeats the first.
    for (date, nonce) in [("2026-11-01", 1), ("2026-11-07", 2), ("2026-11-01", 1)] {
        ledger.write(EntryKind::Archive(Box::new(full(date, nonce))));
    }
    let mut replay = Replay::reading_past(ledger.trust());
    for (seq, object) in (1..).zip(&ledger.objects[..2]) {
        replay.absorb(seq, object).unwrap();
    }
    let refusal = replay.absorb(4, &ledger.objects[3]).unwrap_err();
    assert!(matches!(refusal, EntryRefusal::Inconsistent { .. }));
    assert!(!replay.lacks_some());
}

#[test]
fn a_writer_stops_at_what_follows_a_rotten_entry() {
    let (ledger, _) = five();
    let mut replay = Replay::new(ledger.trust());
    replay.absorb(1, &ledger.objects[0]).unwrap();
    for seq in [2, 3] {
        replay.absorb(seq, b"rotten").unwrap_err();
        replay.quarantine(seq);
    }
    let refusal = replay.absorb(4, &ledger.objects[3]).unwrap_err();
    assert_eq!(refusal, EntryRefusal::AfterLost { first: 2, last: 3 });
    assert!(refusal.was_signed());
    assert_eq!(
        refusal.to_string(),
        "it follows entry 3, which is damaged or lost, and so is all since entry 2"
    );
}

#[test]
fn a_sound_ledger_is_read_past_nothing() {
    let (ledger, _) = five();
    let (replay, lost) = read_past(&ledger, &[]);
    assert_eq!(lost, []);
    assert_eq!(replay.head(), ledger.replayed().head());
    assert!(!replay.lacks_some());
}

#[test]
fn nothing_is_read_past_the_first_entry() {
    let (ledger, _) = five();
    let mut replay = Replay::reading_past(ledger.trust());
    for (seq, object) in (2..).zip(&ledger.objects[1..]) {
        let refusal = replay.absorb(seq, object).unwrap_err();
        assert_eq!(refusal, EntryRefusal::Gap { missing: 1 });
    }
}

#[test]
fn two_valid_entries_that_do_not_follow_each_other_are_a_fork_for_every_reader() {
    let ledger = Ledger::with_a_chain();
    let object = ledger.changed(|body| body["prev"] = json!(Sha256([9; 32])));
    let mut replay = Replay::reading_past(ledger.trust());
    for (seq, object) in (1..).zip(&ledger.objects) {
        replay.absorb(seq, object).unwrap();
    }
    let refusal = replay.absorb(4, &object).unwrap_err();
    assert!(matches!(refusal, EntryRefusal::OtherPrevious { .. }));
}

#[test]
fn an_entry_by_a_key_that_no_entry_has_granted_is_not_read() {
    let (mut ledger, _) = five();
    ledger.writer = SigningKey::generate().unwrap();
    ledger.write(EntryKind::Archive(Box::new(full("2026-12-01", 5))));
    let mut replay = Replay::reading_past(ledger.trust());
    replay.absorb(1, &ledger.objects[0]).unwrap();
    let refusal = replay.absorb(6, &ledger.objects[5]).unwrap_err();
    assert!(matches!(refusal, EntryRefusal::Unsigned { .. }));
}

#[test]
fn what_a_writer_passed_over_is_not_lost() {
    let mut ledger = Ledger::with_a_chain();
    ledger.bodies.push(ledger.bodies[2].clone());
    ledger.objects.push(b"somebody else's".to_vec());
    let before = Sha256::of(&ledger.bodies[2]);
    let object = ledger.changed(|body| {
        body["prev"] = json!(before);
        body["skips"] = json!([4]);
    });
    let mut replay = Replay::reading_past(ledger.trust());
    for (seq, object) in (1..).zip(&ledger.objects[..3]) {
        replay.absorb(seq, object).unwrap();
    }
    replay.absorb(4, &ledger.objects[3]).unwrap_err();
    assert!(replay.absorb(5, &object).unwrap().lost.is_none());
}
