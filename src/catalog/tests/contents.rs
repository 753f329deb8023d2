//! The contents of archives: whose count, and what becomes of them.

use super::*;
use crate::model::ContentsRecord;
use crate::model::entry::Attachment;

fn record(digest: u8, objects: u8) -> ContentsRecord {
    ContentsRecord {
        stream_bytes: 70,
        objects: (0..objects)
            .map(|index| SegmentRecord {
                raw_bytes: 100,
                sealed_bytes: 80,
                sha256: Sha256([digest + index; 32]),
            })
            .collect(),
    }
}

fn attachment(contents: ContentsRecord) -> Attachment {
    Attachment {
        archive: FULL.parse().unwrap(),
        what: Attachment::CONTENTS.to_owned(),
        recipients: Sha256([1; 32]),
        sealed: String::new(),
        contents: Some(contents),
        replaces: None,
    }
}

fn take(catalog: &mut Catalog, seq: u64, kind: &str, effect: Effect<'_>) {
    let new = NewEntry {
        seq,
        kind,
        ..entry(b"x")
    };
    let taken = catalog.absorb(&source().ledger, &new, now(), effect);
    taken.unwrap();
}

fn contents(catalog: &Catalog) -> Option<ContentsRecord> {
    catalog.contents(&FULL.parse().unwrap()).unwrap()
}

#[test]
fn an_archives_own_contents_are_those_of_its_entry_whatever_is_attached() {
    let mut catalog = catalog();
    let archive = ArchiveEntry {
        contents: Some(record(10, 2)),
        ..archive_entry(FULL)
    };
    absorb(&mut catalog, &entry(b"x"), &archive).unwrap();
    let other = [attachment(record(20, 1))];
    take(&mut catalog, 3, "attach", Effect::Attach(&other));
    assert_eq!(contents(&catalog), Some(record(10, 2)));
    let bytes = catalog.contents_bytes(&source().ledger).unwrap();
    assert_eq!(bytes, [(FULL.parse().unwrap(), 160)]);
    let replicated = catalog.replicated(&source().ledger).unwrap();
    let rows = replicated.iter().filter(|row| row.table == "contents");
    assert_eq!(rows.count(), 3);
}

#[test]
fn of_what_is_attached_the_first_counts_that_is_for_the_archives_recipients_and_not_voided() {
    let mut catalog = catalog();
    absorb(&mut catalog, &entry(b"x"), &archive_entry(FULL)).unwrap();
    assert_eq!(contents(&catalog), None);
    let for_others = Attachment {
        recipients: Sha256([9; 32]),
        ..attachment(record(20, 1))
    };
    let a_key = Attachment {
        what: Attachment::KEY.to_owned(),
        ..attachment(record(30, 1))
    };
    let unknown = Attachment {
        archive: "2026-11-28-full-5f0c9a12d4e6b801".parse().unwrap(),
        ..attachment(record(35, 1))
    };
    let nothing = [for_others, a_key, unknown];
    take(&mut catalog, 3, "attach", Effect::Attach(&nothing));
    assert_eq!(contents(&catalog), None);
    let two = [attachment(record(40, 2)), attachment(record(50, 1))];
    take(&mut catalog, 4, "attach", Effect::Attach(&two));
    let later = [attachment(record(60, 1))];
    take(&mut catalog, 5, "attach", Effect::Attach(&later));
    assert_eq!(contents(&catalog), Some(record(40, 2)));

    let id = FULL.parse().unwrap();
    let place = catalog.know_place(&source().ledger, "file:///second", PlaceId([1; 16]));
    let place = place.unwrap().id;
    catalog.begin_placed(place, &id, None).unwrap();
    assert_eq!(catalog.placed_contents(place).unwrap(), []);
    catalog.place_contents(place, &id).unwrap();
    assert_eq!(catalog.placed_contents(place).unwrap(), [id]);

    let undo = Effect::Undo {
        retires: &[],
        revives: &[],
        voids: &[4],
    };
    take(&mut catalog, 6, "rotate", undo);
    assert_eq!(contents(&catalog), Some(record(60, 1)));
    // The copy has others.
    assert_eq!(catalog.placed_contents(place).unwrap(), []);
    let rows = catalog.archives(&source().ledger).unwrap();
    catalog.cut_ledger(&source().ledger, 4, &rows).unwrap();
    assert_eq!(contents(&catalog), None);
}

#[test]
fn a_commit_that_is_taken_back_and_made_again_under_another_number_keeps_the_contents() {
    let mut catalog = catalog();
    catalog.begin_attempt(&attempt(FULL)).unwrap();
    let archive = ArchiveEntry {
        contents: Some(record(10, 2)),
        ..archive_entry(FULL)
    };
    let ledger = source().ledger;
    let begin = |catalog: &mut Catalog, seq| {
        let new = NewEntry { seq, ..entry(b"x") };
        let blake3 = Blake3([6; 32]);
        catalog
            .begin_commit(&ledger, &new, &archive, &blake3)
            .unwrap();
    };
    begin(&mut catalog, 2);
    assert_eq!(contents(&catalog), Some(record(10, 2)));
    catalog.undo_commit(&ledger, 2).unwrap();
    begin(&mut catalog, 3);
    catalog.finish_commit(&ledger, 3).unwrap();
    assert_eq!(contents(&catalog), Some(record(10, 2)));
    let entry = catalog.contents_entry(&FULL.parse().unwrap()).unwrap();
    assert_eq!(entry, Some(3));
    let rows = catalog.replicated(&ledger).unwrap();
    assert_eq!(rows.iter().filter(|row| row.table == "contents").count(), 2);
}

#[test]
fn contents_in_entries_that_an_older_version_took_are_taken_over() {
    let mut catalog = catalog();
    absorb(&mut catalog, &entry(b"x"), &archive_entry(FULL)).unwrap();
    take(&mut catalog, 3, "attach", Effect::None);
    let ledger = source().ledger;
    let attached = [attachment(record(40, 1))];
    catalog.take_contents(&ledger, 3, None, &attached).unwrap();
    assert_eq!(contents(&catalog), Some(record(40, 1)));
    let archive = ArchiveEntry {
        contents: Some(record(10, 2)),
        ..archive_entry(FULL)
    };
    // Another entry than the one that has made it an archive here.
    catalog
        .take_contents(&ledger, 7, Some(&archive), &[])
        .unwrap();
    assert_eq!(contents(&catalog), Some(record(40, 1)));
    catalog
        .take_contents(&ledger, 2, Some(&archive), &[])
        .unwrap();
    assert_eq!(contents(&catalog), Some(record(10, 2)));
    let id = FULL.parse().unwrap();
    let entries: Vec<_> = catalog
        .contents_entries(&ledger)
        .unwrap()
        .into_iter()
        .collect();
    assert_eq!(entries, [(id, 2), (id, 3)]);
}

#[test]
fn contents_that_are_lost_are_replaced_by_the_first_that_say_so() {
    let mut catalog = catalog();
    let archive = ArchiveEntry {
        contents: Some(record(10, 2)),
        ..archive_entry(FULL)
    };
    absorb(&mut catalog, &entry(b"x"), &archive).unwrap();
    let id = FULL.parse().unwrap();
    let ledger = source().ledger;
    let place = catalog.know_place(&ledger, "file:///second", PlaceId([1; 16]));
    let place = place.unwrap().id;
    catalog.begin_placed(place, &id, None).unwrap();
    catalog.place_contents(place, &id).unwrap();
    for (seq, replaces) in [(3, None), (4, Some(2)), (5, Some(2)), (6, Some(4))] {
        let digest = u8::try_from(seq).unwrap() * 10;
        let attached = [Attachment {
            replaces,
            ..attachment(record(digest, 1))
        }];
        take(&mut catalog, seq, "attach", Effect::Attach(&attached));
    }
    assert_eq!(contents(&catalog), Some(record(60, 1)));
    assert_eq!(catalog.contents_bytes(&ledger).unwrap(), [(id, 80)]);
    // The copy has those of the archive's entry.
    assert_eq!(catalog.placed_contents(place).unwrap(), []);
    let undo = Effect::Undo {
        retires: &[],
        revives: &[],
        voids: &[4],
    };
    take(&mut catalog, 7, "rotate", undo);
    assert_eq!(contents(&catalog), Some(record(50, 1)));
    catalog.place_contents(place, &id).unwrap();
    assert_eq!(catalog.placed_contents(place).unwrap(), [id]);
}
