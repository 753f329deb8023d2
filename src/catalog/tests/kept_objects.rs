use super::*;
use crate::catalog::{KeptRow, ObjectTotals};

const DEEP: Option<StorageClass> = Some(StorageClass::DeepArchive);
const LEDGER: LedgerId = LedgerId([7; 16]);

fn segments(catalog: &Catalog, place: Option<i64>) -> Vec<(Option<StorageClass>, bool, u64, u64)> {
    let rows = catalog.kept_segments(&LEDGER, place).unwrap();
    let told = |row: &KeptRow| (row.class, row.is_committed, row.objects, row.bytes);
    rows.iter().map(told).collect()
}

/// The bytes of segments of which each counts as 100 bytes at least.
fn raised(catalog: &Catalog, place: Option<i64>, class: Option<StorageClass>) -> u64 {
    catalog.raised_segments(&LEDGER, place, class, 100).unwrap()
}

#[test]
fn an_attempt_has_the_segments_that_the_store_has() {
    let (mut catalog, id) = with_segments(3);
    assert_eq!(segments(&catalog, None), []);
    catalog.segment_stored(&id, 0, "there").unwrap();
    catalog.segment_stored(&id, 2, "there").unwrap();
    assert_eq!(segments(&catalog, None), [(DEEP, false, 2, 120)]);
    assert_eq!(catalog.kept_archives(&LEDGER, None).unwrap(), 0);
    catalog.abandon(&id).unwrap();
    assert_eq!(segments(&catalog, None), []);
}

#[test]
fn an_archive_counts_until_its_deletion_begins() {
    let mut catalog = catalog();
    let object = b"{}\nsigned";
    absorb(&mut catalog, &entry(object), &archive_entry(FULL)).unwrap();
    let there = [(None, true, 1, 60)];
    assert_eq!(segments(&catalog, None), there);
    assert_eq!(raised(&catalog, None, None), 100);
    assert_eq!(raised(&catalog, None, DEEP), 0);
    for (change, count) in [("state = 'retired'", 1), ("deletion = 9", 0)] {
        let sql = format!("UPDATE archive SET {change}");
        catalog.connection.execute(&sql, []).unwrap();
        assert_eq!(segments(&catalog, None).len(), count, "{change}");
        assert_eq!(catalog.kept_archives(&LEDGER, None).unwrap(), count as u64);
    }
}

#[test]
fn a_copy_has_what_was_copied_whole() {
    let mut catalog = catalog();
    let object = b"{}\nsigned";
    absorb(&mut catalog, &entry(object), &archive_entry(FULL)).unwrap();
    let id: ArchiveId = FULL.parse().unwrap();
    let mark = PlaceId([7; 16]);
    let place = catalog
        .know_place(&LEDGER, "file:///second", mark)
        .unwrap()
        .id;
    catalog
        .begin_placed(place, &id, Some(StorageClass::Glacier))
        .unwrap();
    assert_eq!(segments(&catalog, Some(place)), []);
    catalog.finish_placed(place, &id, now()).unwrap();
    let glacier = Some(StorageClass::Glacier);
    assert_eq!(segments(&catalog, Some(place)), [(glacier, true, 1, 60)]);
    assert_eq!(raised(&catalog, Some(place), glacier), 100);
    assert_eq!(catalog.kept_archives(&LEDGER, Some(place)).unwrap(), 1);
    assert_eq!(segments(&catalog, Some(place + 1)), []);
}

#[test]
fn old_entries_count_as_large_as_the_newest() {
    let mut catalog = catalog();
    let mut put = |seq: u64, bytes: usize| {
        let object = vec![b'x'; bytes];
        let new = NewEntry {
            seq,
            ..entry(&object)
        };
        catalog.begin_entry(&LEDGER, &new).unwrap();
        catalog.finish_commit(&LEDGER, seq).unwrap();
    };
    put(1, 1000);
    for seq in 2..=3 {
        put(seq, 10);
    }
    let totals = |objects, bytes| ObjectTotals { objects, bytes };
    let kept = |catalog: &Catalog, until| catalog.kept_entries(&LEDGER, until).unwrap();
    assert_eq!(kept(&catalog, u64::MAX), totals(3, 1020));
    assert_eq!(kept(&catalog, 2), totals(2, 1010));
    let mut put = |seq: u64, bytes: usize| {
        let object = vec![b'x'; bytes];
        let new = NewEntry {
            seq,
            ..entry(&object)
        };
        catalog.begin_entry(&LEDGER, &new).unwrap();
    };
    for seq in 4..=51 {
        put(seq, 10);
    }
    // The first is not measured.
    assert_eq!(kept(&catalog, u64::MAX), totals(51, 510));
    assert_eq!(kept(&catalog, 0), totals(0, 0));
}

/// How long it takes where there are many archives: `COLDCHAIN_CATALOG=FILE cargo test --lib kept_takes -- --ignored --nocapture`.
#[test]
#[ignore = "a measurement"]
fn kept_takes() {
    let path = std::env::var_os("COLDCHAIN_CATALOG").unwrap();
    let catalog = Catalog::open(path.as_ref()).unwrap();
    let sources = catalog.sources().unwrap();
    let begun = std::time::Instant::now();
    for source in &sources {
        catalog.kept_segments(&source.ledger, None).unwrap();
    }
    let segments = begun.elapsed();
    for source in &sources {
        let archives = catalog.kept_archives(&source.ledger, None).unwrap();
        let contents = catalog.kept_contents(&source.ledger, None, archives);
        contents.unwrap();
    }
    let contents = begun.elapsed();
    for source in &sources {
        catalog.kept_entries(&source.ledger, u64::MAX).unwrap();
        catalog.places(&source.ledger).unwrap();
    }
    eprintln!("{segments:?} {contents:?} {:?}", begun.elapsed());
}
