//! What the root key ends and undoes, in a `rotate` of format 2.

use super::*;
use crate::model::entry::{AttachEntry, Attachment, DeleteEntry, RotateEntry};

impl Ledger {
    /// Makes a `rotate` of that format as the next entry, signed by the root key. Its keys are `keeps`.
    fn undoing(
        &self,
        format: u32,
        keeps: &[&SigningKey],
        change: impl Fn(&mut RotateEntry),
    ) -> Vec<u8> {
        let skipped = u64::try_from(self.objects.len() - self.bodies.len()).unwrap();
        let mut head = self.head();
        head.format = format;
        head.skips = (head.seq..head.seq + skipped).collect();
        head.seq += skipped;
        let mut keys = vec![root_grant(&self.root.public())];
        keys.extend(keeps.iter().map(|key| crate::model::entry::KeyGrant {
            key: key.public().to_string(),
            roles: vec![Role::Pruner, Role::Writer],
            grant: None,
        }));
        let mut rotate = RotateEntry {
            keys,
            voids: Vec::new(),
            retires: Vec::new(),
            revives: Vec::new(),
        };
        change(&mut rotate);
        let kind = EntryKind::Rotate(rotate);
        sign(&encode_body(&Entry { head, kind }).unwrap(), &self.root).unwrap()
    }

    /// Reads the ledger to its end, and notes each entry that does not fit as a fork.
    fn forked(&self, reading: fn(Trust) -> Replay) -> Replay {
        let mut replay = reading(self.trust());
        for (seq, object) in (1..).zip(&self.objects) {
            if let Err(refusal) = replay.absorb(seq, object) {
                assert_eq!(replay.what_is(object, &refusal), Refused::Fork, "{refusal}");
                replay.fork(seq);
            }
        }
        replay
    }
}

/// A ledger in which a thief of the writer's key has put an entry that does not follow, and two more:
/// one that follows it, and one that follows the last sound entry and passes over the first.
fn with_a_fork() -> Ledger {
    let mut ledger = Ledger::with_a_chain();
    let first = ledger.changed(|body| body["prev"] = json!(Sha256([9; 32])));
    let on_it = ledger.changed(|body| {
        body["seq"] = json!(5);
        body["prev"] = json!(Sha256::of(split(&first).unwrap().0));
    });
    let beside_it = ledger.changed(|body| {
        body["seq"] = json!(6);
        body["skips"] = json!([4, 5]);
    });
    ledger.objects.extend([first, on_it, beside_it]);
    ledger
}

#[test]
fn nothing_but_the_root_key_s_word_follows_a_fork() {
    for reading in [Replay::new, Replay::reading_past] {
        let ledger = with_a_fork();
        let replay = ledger.forked(reading);
        assert_eq!(replay.forked(), [4, 5, 6]);
        assert_eq!(replay.head().unwrap().seq, 3);
        let new = SigningKey::generate().unwrap();
        for (format, voids) in [(1, &[4, 5, 6][..]), (2, &[4, 5]), (2, &[])] {
            let object = ledger.undoing(format, &[&new], |rotate| rotate.voids = voids.to_vec());
            let refusal = replay.clone().absorb(7, &object).unwrap_err();
            assert_eq!(
                refusal,
                EntryRefusal::AfterFork { fork: 4 },
                "{format} {voids:?}"
            );
        }
        let object = ledger.undoing(2, &[&new], |rotate| rotate.voids = vec![4, 5, 6]);
        let mut replay = replay;
        replay.absorb(7, &object).unwrap();
        assert!(replay.forked().is_empty());
        assert_eq!((replay.next_seq(), replay.skips()), (8, Vec::new()));
        // A reader that has only copies of the valid entries reads the same.
        let mut trusted = Replay::new(ledger.trust());
        for (seq, object) in (1..4).zip(&ledger.objects).chain([(7, &object)]) {
            trusted.absorb_trusted(seq, object).unwrap();
        }
        assert_eq!(trusted.head(), replay.head());
        assert_eq!(trusted.keys(), replay.keys());
    }
}

#[test]
fn what_a_withdrawn_key_has_attached_is_voided_and_what_another_has_is_not() {
    let mut ledger = Ledger::with_a_chain();
    let object = Attachment {
        archive: full("2026-11-01", 1).id,
        what: Attachment::KEY.to_owned(),
        recipients: Sha256([1; 32]),
        sealed: String::new(),
        contents: None,
        replaces: None,
    };
    ledger.write(EntryKind::Attach(AttachEntry {
        objects: vec![object],
    }));
    let old = ledger.writer.to_file_text();
    let old = SigningKey::from_file_text(&old).unwrap();
    let void = |rotate: &mut RotateEntry| rotate.voids = vec![4];
    let refusal = ledger.refusal(&ledger.undoing(2, &[&old], void));
    assert_eq!(refusal, EntryRefusal::VoidsKept { seq: 4 });
    let refusal = ledger.refusal(&ledger.undoing(1, &[], void));
    assert_eq!(refusal, EntryRefusal::VoidsKnown { seq: 4 });
    let undoing = ledger.undoing(2, &[], void);
    let mut replay = ledger.replayed();
    replay.absorb(5, &undoing).unwrap();
    // An archive is retired, and not voided.
    let refusal = ledger.refusal(&ledger.undoing(2, &[], |rotate| rotate.voids = vec![3]));
    assert_eq!(refusal, EntryRefusal::VoidsKnown { seq: 3 });
}

#[test]
fn a_deletion_is_undone_if_who_has_begun_it_can_t_go_on() {
    let mut ledger = Ledger::with_a_chain();
    let ids = [full("2026-11-01", 1).id, {
        let first = full("2026-11-01", 1);
        incremental("2026-11-07", 2, &first).id
    }];
    let retire = EntryKind::Retire(crate::model::entry::RetireEntry {
        archives: ids.to_vec(),
        reason: "stolen".to_owned(),
    });
    ledger.write(retire);
    ledger.write(EntryKind::Delete(DeleteEntry {
        archives: ids.to_vec(),
        reason: "stolen".to_owned(),
    }));
    let old = SigningKey::from_file_text(&ledger.writer.to_file_text()).unwrap();
    let new = SigningKey::generate().unwrap();
    let all = |rotate: &mut RotateEntry| rotate.revives = ids.to_vec();
    let refusal = ledger.refusal(&ledger.undoing(2, &[&old], all));
    assert_eq!(refusal, EntryRefusal::RevivesKept { archive: ids[0] });
    for (change, told) in [
        (&[ids[1]][..], "which was retired"),
        (&[ids[1], ids[0]], "not sorted"),
        (&[ids[0], full("2026-12-01", 9).id], "no retired archive"),
    ] {
        let object = ledger.undoing(2, &[&new], |rotate| rotate.revives = change.to_vec());
        let refusal = ledger.refusal(&object);
        assert!(refusal.was_signed());
        assert!(refusal.to_string().contains(told), "{refusal}");
    }
    // Format 1 knows no such field.
    let object = ledger.undoing(1, &[&new], all);
    let mut replay = ledger.replayed();
    replay.absorb(6, &object).unwrap();
    assert!(replay.is_deleted(&ids[0]) && !replay.is_visible(&ids[0]));

    let object = ledger.undoing(2, &[&new], all);
    let mut replay = ledger.replayed();
    replay.absorb(6, &object).unwrap();
    for id in &ids {
        assert!(replay.is_visible(id) && !replay.is_retired(id) && !replay.is_deleted(id));
    }
    assert_eq!(replay.signer(5), Some(&old.public()));
    assert_eq!(replay.roles_of(&old.public()), []);
}

#[test]
fn the_root_key_retires_as_a_pruner_does() {
    let ledger = Ledger::with_a_chain();
    let first = full("2026-11-01", 1);
    let second = incremental("2026-11-07", 2, &first).id;
    let first = first.id;
    let refusal = ledger.refusal(&ledger.undoing(2, &[], |rotate| rotate.retires = vec![first]));
    assert!(
        matches!(refusal, EntryRefusal::Orphaned { .. }),
        "{refusal}"
    );
    let both = ledger.undoing(2, &[], |rotate| {
        rotate.retires = vec![first, second];
        rotate.revives = vec![first];
    });
    let refusal = ledger.refusal(&both);
    assert_eq!(refusal, EntryRefusal::RetiresAndRevives { archive: first });
    let mut replay = ledger.replayed();
    let object = ledger.undoing(2, &[], |rotate| rotate.retires = vec![first, second]);
    replay.absorb(4, &object).unwrap();
    assert!(!replay.is_visible(&first) && replay.is_retired(&second));
    assert!(!replay.is_deleted(&first));
}
