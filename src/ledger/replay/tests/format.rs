//! Format 2: archives whose segments are in a vault, and every entry that names one.

use super::retire::{archived, retire};
use super::*;
use crate::model::entry::{
    AttachEntry, Attachment, DeleteEntry, KeyGrant, MovedEntry, ReviveEntry, RotateEntry,
};
use crate::model::{TreeHash, VaultPlace, VaultSegment};

/// The same archive with its two segments in a vault.
fn in_vault(archive: ArchiveEntry) -> ArchiveEntry {
    let segments = (0..2).map(|index| VaultSegment {
        id: format!("{}-{index}", archive.id).parse().unwrap(),
        tree_hash: TreeHash([index; 32]),
    });
    ArchiveEntry {
        vault: Some(VaultPlace {
            name: "archives".to_owned(),
            region: "eu-central-1".to_owned(),
            segments: segments.collect(),
        }),
        ..archive
    }
}

fn revive(archives: &[ArchiveId]) -> EntryKind {
    EntryKind::Revive(ReviveEntry {
        archives: archives.to_vec(),
        reason: "wanted".to_owned(),
    })
}

fn delete(archives: &[ArchiveId]) -> EntryKind {
    EntryKind::Delete(DeleteEntry {
        archives: archives.to_vec(),
        reason: "expired".to_owned(),
    })
}

fn attach(archives: &[ArchiveId]) -> EntryKind {
    let object = |archive: &ArchiveId| Attachment {
        archive: *archive,
        what: Attachment::KEY.to_owned(),
        recipients: Sha256([1; 32]),
        sealed: String::new(),
        contents: None,
        replaces: None,
    };
    EntryKind::Attach(AttachEntry {
        objects: archives.iter().map(object).collect(),
    })
}

impl Ledger {
    /// The next entry in that format, signed by that key.
    fn object_in(&self, format: u32, kind: EntryKind, by: &SigningKey) -> Vec<u8> {
        let head = EntryHead {
            format,
            ..self.head()
        };
        sign(&encode_body(&Entry { head, kind }).unwrap(), by).unwrap()
    }

    /// Writes the next entry in the format that the replay says.
    fn write_as_needed(&mut self, kind: EntryKind) -> u32 {
        let format = self.replayed().format_for(&kind);
        let object = self.object_in(format, kind, &self.writer);
        self.replayed()
            .absorb(self.head().seq, &object)
            .expect("what is written can be read");
        self.bodies.push(split(&object).unwrap().0.to_vec());
        self.objects.push(object);
        format
    }

    /// What happens to the next entry in that format.
    fn judged(&self, format: u32, kind: EntryKind) -> Result<Replay, EntryRefusal> {
        let mut replay = self.replayed();
        replay.absorb(self.head().seq, &self.object_in(format, kind, &self.writer))?;
        Ok(replay)
    }
}

/// A ledger with two fulls, the first of which is in a vault.
fn with_a_vault() -> (Ledger, ArchiveEntry, ArchiveEntry) {
    let mut ledger = Ledger::new();
    let first = in_vault(full("2026-11-01", 1));
    let second = full("2026-11-07", 2);
    assert_eq!(ledger.write_as_needed(archived(&first)), 2);
    assert_eq!(ledger.write_as_needed(archived(&second)), 1);
    (ledger, first, second)
}

#[test]
fn an_entry_is_in_the_format_of_the_archives_that_it_names() {
    let (mut ledger, first, second) = with_a_vault();
    let on_first = incremental("2026-11-14", 3, &first);
    let on_second = incremental("2026-11-21", 4, &second);
    // It is in no vault, as after a move out of it.
    assert_eq!(ledger.write_as_needed(archived(&on_first)), 2);
    assert_eq!(ledger.write_as_needed(archived(&on_second)), 1);
    for (id, format) in [(second.id, 1), (on_first.id, 2)] {
        assert_eq!(ledger.write_as_needed(attach(&[id])), format);
    }
    assert_eq!(ledger.write_as_needed(attach(&[second.id, first.id])), 2);
    let both = [second.id, on_second.id];
    assert_eq!(ledger.write_as_needed(retire(&both)), 1);
    assert_eq!(ledger.write_as_needed(revive(&both)), 1);
    assert_eq!(ledger.write_as_needed(retire(&both)), 1);
    assert_eq!(ledger.write_as_needed(delete(&both)), 1);
    let both = [first.id, on_first.id];
    assert_eq!(ledger.write_as_needed(retire(&both)), 2);
    assert_eq!(ledger.write_as_needed(revive(&both)), 2);
    assert!(ledger.replayed().is_visible(&on_first.id));
    assert_eq!(ledger.write_as_needed(retire(&both)), 2);
    assert_eq!(ledger.write_as_needed(delete(&both)), 2);
    // An attempt that was never archived is in no format.
    let attempt = archive_id("2026-11-28", ArchiveKind::Full, 9);
    assert_eq!(ledger.write_as_needed(retire(&[attempt])), 1);
    let place = PlaceId([1; 16]);
    let moved = EntryKind::Moved(MovedEntry { place });
    assert_eq!(ledger.write_as_needed(moved), 1);
    let replay = ledger.replayed();
    assert!(replay.unknown().is_empty());
    assert!(replay.is_deleted(&first.id) && replay.is_deleted(&second.id));
}

#[test]
fn the_root_key_s_entry_is_in_format_2_if_it_retires_or_revives() {
    let (ledger, first, _) = with_a_vault();
    let rotate = |retires: &[ArchiveId], revives: &[ArchiveId]| {
        EntryKind::Rotate(RotateEntry {
            keys: vec![root_grant(&ledger.root.public())],
            voids: Vec::new(),
            retires: retires.to_vec(),
            revives: revives.to_vec(),
        })
    };
    let replay = ledger.replayed();
    assert_eq!(replay.format_for(&rotate(&[], &[])), 1);
    assert_eq!(replay.format_for(&rotate(&[first.id], &[])), 2);
    assert_eq!(replay.format_for(&rotate(&[], &[first.id])), 2);
    // Without these it names no archive, and a version of before takes over the keys.
    let object = ledger.object_in(1, rotate(&[], &[]), &ledger.root);
    let mut replay = ledger.replayed();
    replay.absorb(4, &object).unwrap();
    assert_eq!(replay.keys().len(), 1);
}

#[test]
fn an_entry_of_too_low_a_format_is_a_fork_but_for_a_retire_of_an_id_that_might_be_an_attempt() {
    let (mut ledger, first, _) = with_a_vault();
    let low = EntryRefusal::LowFormat {
        archive: first.id,
        needed: 2,
    };
    assert!(low.was_signed());
    let on_first = incremental("2026-11-14", 3, &first);
    for kind in [archived(&on_first), attach(&[first.id])] {
        assert_eq!(ledger.judged(1, kind.clone()).unwrap_err(), low);
        ledger.judged(2, kind).unwrap();
    }
    // A version of before takes it for an attempt, and shows the archive neither before nor after.
    let replay = ledger.judged(1, retire(&[first.id])).unwrap();
    assert!(!replay.is_visible(&first.id));
    ledger.write_as_needed(retire(&[first.id]));
    for kind in [revive(&[first.id]), delete(&[first.id])] {
        assert_eq!(ledger.judged(1, kind.clone()).unwrap_err(), low);
        ledger.judged(2, kind).unwrap();
    }
}

#[test]
fn a_higher_format_than_is_needed_is_read() {
    let mut ledger = Ledger::with_a_chain();
    let more = full("2026-11-14", 3);
    let replay = ledger.judged(2, archived(&more)).unwrap();
    assert!(replay.is_visible(&more.id) && replay.unknown().is_empty());
    // From here on what names it is of format 2, since a version of before does not know of it.
    let object = ledger.object_in(2, archived(&more), &ledger.writer);
    ledger.bodies.push(split(&object).unwrap().0.to_vec());
    ledger.objects.push(object);
    assert_eq!(ledger.replayed().format_for(&retire(&[more.id])), 2);
}

#[test]
fn a_pruner_that_is_no_writer_signs_nothing_of_format_2() {
    let (mut ledger, first, second) = with_a_vault();
    let pruner = SigningKey::generate().unwrap();
    let keys = [
        (&ledger.writer, vec![Role::Writer]),
        (&pruner, vec![Role::Pruner]),
    ];
    let keys = keys.map(|(key, roles)| KeyGrant {
        key: key.public().to_string(),
        roles,
        grant: None,
    });
    let rotate = EntryKind::Rotate(RotateEntry {
        keys: [&[root_grant(&ledger.root.public())], &keys[..]].concat(),
        voids: Vec::new(),
        retires: Vec::new(),
        revives: Vec::new(),
    });
    let object = ledger.object_in(1, rotate, &ledger.root);
    ledger.bodies.push(split(&object).unwrap().0.to_vec());
    ledger.objects.push(object);
    // An earlier version finds no key that may sign this, and neither does this version.
    let object = ledger.object_in(2, retire(&[first.id]), &pruner);
    let refusal = ledger.refusal(&object);
    assert!(
        matches!(refusal, EntryRefusal::Unsigned { .. }),
        "{refusal}"
    );
    assert_eq!(
        ledger.replayed().what_is(&object, &refusal),
        Refused::Litter
    );
    let object = ledger.object_in(1, retire(&[second.id]), &pruner);
    ledger.replayed().absorb(5, &object).unwrap();
}

#[test]
fn the_vault_in_an_entry_of_format_1_says_nothing_whatever_it_is() {
    let mut ledger = Ledger::with_a_chain();
    let more = full("2026-11-14", 3);
    for vault in [json!(null), json!(7), json!({"name": "archives"})] {
        let object = ledger.changed(|body| {
            let mut own = serde_json::to_value(&more).unwrap();
            own["vault"] = vault.clone();
            body["archive"] = own;
        });
        let absorbed = ledger.replayed().absorb(4, &object).unwrap();
        let EntryKind::Archive(archive) = absorbed.entry.kind else {
            panic!("{vault}: {:?}", absorbed.entry.kind);
        };
        assert_eq!(archive.vault, None);
    }
    // It is not written either.
    let head = ledger.head();
    let kind = archived(&in_vault(more));
    let refusal = encode_body(&Entry { head, kind }).unwrap_err();
    assert!(
        refusal.to_string().contains("format 1 has no `vault`"),
        "{refusal}"
    );
    ledger.write(archived(&full("2026-11-21", 4)));
}

#[test]
fn a_vault_that_does_not_fit_its_archive_is_a_fork() {
    type Change = fn(&mut VaultPlace);

    let (mut ledger, first, _) = with_a_vault();
    let sound = in_vault(full("2026-11-14", 3));
    ledger.judged(2, archived(&sound)).unwrap();
    let segments = |archive: &ArchiveEntry| archive.vault.as_ref().unwrap().segments.clone();
    let cases: [(&str, Change); 5] = [
        ("a name", |vault| vault.name = "../elsewhere".to_owned()),
        ("a region", |vault| vault.region = String::new()),
        ("one too few", |vault| {
            vault.segments.pop();
        }),
        ("one too many", |vault| {
            let id = "one-more".parse().unwrap();
            vault.segments.push(VaultSegment {
                id,
                tree_hash: TreeHash([9; 32]),
            });
        }),
        ("one twice", |vault| {
            vault.segments[1].id = vault.segments[0].id.clone();
        }),
    ];
    for (what, change) in cases {
        let mut archive = sound.clone();
        change(archive.vault.as_mut().unwrap());
        let refusal = ledger.judged(2, archived(&archive)).unwrap_err();
        assert!(refusal.was_signed(), "{what}: {refusal}");
        assert!(
            matches!(refusal, EntryRefusal::Inconsistent { .. }),
            "{what}: {refusal}"
        );
    }
    // One that takes a segment of another archive could delete it, also after that one was retired.
    let mut thief = sound.clone();
    thief.vault.as_mut().unwrap().segments[1] = segments(&first)[0].clone();
    for _ in 0..2 {
        let refusal = ledger.judged(2, archived(&thief)).unwrap_err();
        assert!(
            refusal.to_string().contains("an earlier archive"),
            "{refusal}"
        );
        if !ledger.replayed().is_retired(&first.id) {
            ledger.write_as_needed(retire(&[first.id]));
        }
    }
}

#[test]
fn where_an_entry_is_lost_its_format_is_not_known() {
    let (ledger, first, _) = with_a_vault();
    let mut ledger = ledger;
    ledger.write_as_needed(archived(&incremental("2026-11-14", 3, &first)));
    let mut replay = Replay::reading_past(ledger.trust());
    for seq in [1_u32, 3, 4] {
        replay
            .absorb(seq.into(), &ledger.objects[seq as usize - 1])
            .unwrap();
    }
    assert!(replay.is_visible(&archive_id("2026-11-14", ArchiveKind::Incremental, 3)));
    let attach = ledger.object_in(1, attach(&[first.id]), &ledger.writer);
    replay.absorb(5, &attach).unwrap();
}

#[test]
fn a_version_of_before_can_t_void_what_this_version_understands() {
    let (ledger, ..) = with_a_vault();
    let rotate = EntryKind::Rotate(RotateEntry {
        keys: vec![root_grant(&ledger.root.public())],
        voids: vec![2],
        retires: Vec::new(),
        revives: Vec::new(),
    });
    let refusal = ledger.refusal(&ledger.object_in(1, rotate, &ledger.root));
    assert_eq!(refusal, EntryRefusal::VoidsKnown { seq: 2 });
    assert!(refusal.was_signed());
}
