use super::*;

#[test]
fn an_attempt_becomes_committed_and_gives_up_its_key() {
    let mut catalog = catalog();
    let id = FULL.parse().unwrap();
    catalog.begin_attempt(&attempt(FULL)).unwrap();
    catalog
        .segment_sealed(
            &id,
            0,
            &segment(),
            (&Blake3([5; 32]), b"layout"),
            "somewhere",
        )
        .unwrap();
    assert_eq!(
        catalog.segments(&id).unwrap()[0].state,
        SegmentState::Sealed
    );
    catalog.segment_stored(&id, 0, "somewhere").unwrap();
    let ledger = source().ledger;
    catalog
        .begin_commit(
            &ledger,
            &entry(b"x"),
            &archive_entry(FULL),
            &Blake3([6; 32]),
        )
        .unwrap();
    assert_eq!(
        catalog.archives(&ledger).unwrap()[0].state,
        ArchiveState::Committing
    );
    catalog.finish_commit(&ledger, 2).unwrap();
    let archives = catalog.archives(&ledger).unwrap();
    assert!(archives[0].is_visible());
    assert_eq!((archives[0].raw_bytes, archives[0].segments), (100, 1));
    for key in ["archive_key", "sealed_key"] {
        assert_eq!(column::<Option<Vec<u8>>>(&catalog, FULL, key), None);
    }
}

#[test]
fn a_commit_that_never_reached_the_store_is_taken_back() {
    let mut catalog = catalog();
    catalog.begin_attempt(&attempt(FULL)).unwrap();
    let ledger = source().ledger;
    catalog
        .begin_commit(
            &ledger,
            &entry(b"x"),
            &archive_entry(FULL),
            &Blake3([6; 32]),
        )
        .unwrap();
    catalog.undo_commit(&ledger, 2).unwrap();
    assert_eq!(
        catalog.archives(&ledger).unwrap()[0].state,
        ArchiveState::Unfinished
    );
    assert!(catalog.entries(&ledger).unwrap().is_empty());
}

#[test]
fn an_archive_knows_the_class_that_it_was_put_into() {
    let (catalog, _) = with_segments(0);
    let archives = catalog.archives(&source().ledger).unwrap();
    assert_eq!(archives[0].storage_class, Some(StorageClass::DeepArchive));
}
