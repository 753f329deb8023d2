use super::*;

const OTHER: &str = "2026-11-22-full-0000000000000001";

fn ids(attempts: &[Attempt]) -> Vec<String> {
    attempts
        .iter()
        .map(|attempt| attempt.id.to_string())
        .collect()
}

#[test]
fn an_attempt_is_read_back_as_it_was_begun_and_its_keys_are_not_printed() {
    let mut catalog = catalog();
    let new = NewAttempt {
        retain_until: Some(now()),
        ..attempt(FULL)
    };
    catalog.begin_attempt(&new).unwrap();
    let attempts = catalog.unfinished(&source().ledger).unwrap();
    let expected = Attempt {
        id: FULL.parse().unwrap(),
        ledger: source().ledger,
        slot: "2026-11-21".parse().unwrap(),
        chain: FULL.parse().unwrap(),
        send_parent: None,
        segment_size: 16 << 20,
        frame_size: 4 << 20,
        recipients: Sha256([1; 32]),
        archive_key: Some("AGE-SECRET-KEY-1TEST".to_owned()),
        sealed_key: Some(b"the bytes of key.age".to_vec()),
        snapshot: None,
        protocol: Some(Protocol::V2),
        begun_at: now(),
        storage_class: Some(StorageClass::DeepArchive),
        retain_until: Some(now()),
    };
    assert_eq!(attempts, [expected]);
    let printed = format!("{attempts:?} {new:?}");
    assert!(printed.contains("begun_at"), "{printed}");
    assert!(!printed.contains("key"), "{printed}");
}

#[test]
fn a_new_attempt_leaves_those_before_it_alone_and_the_oldest_comes_first() {
    let mut catalog = catalog();
    let later = NewAttempt {
        begun_at: "2026-11-23T03:00:00Z".parse().unwrap(),
        ..attempt(FULL)
    };
    catalog.begin_attempt(&later).unwrap();
    catalog.begin_attempt(&attempt(OTHER)).unwrap();
    let attempts = catalog.unfinished(&source().ledger).unwrap();
    assert_eq!(ids(&attempts), [OTHER, FULL]);
    assert!(catalog.unfinished(&LedgerId([9; 16])).unwrap().is_empty());
}

#[test]
fn an_abandoned_attempt_gives_up_its_keys_and_is_never_gone_on_with() {
    let mut catalog = catalog();
    let ledger = source().ledger;
    catalog.begin_attempt(&attempt(FULL)).unwrap();
    catalog.begin_attempt(&attempt(OTHER)).unwrap();
    for _ in 0..2 {
        catalog.abandon(&FULL.parse().unwrap()).unwrap();
        assert_eq!(ids(&catalog.unfinished(&ledger).unwrap()), [OTHER]);
        assert_eq!(
            catalog.abandoned(&ledger).unwrap(),
            [FULL.parse::<ArchiveId>().unwrap()]
        );
    }
    assert_eq!(
        column::<Option<String>>(&catalog, FULL, "archive_key"),
        None
    );
    assert_eq!(
        column::<Option<Vec<u8>>>(&catalog, FULL, "sealed_key"),
        None
    );
    assert_eq!(catalog.archives(&ledger).unwrap().len(), 1);
}

#[test]
fn what_is_being_committed_is_not_abandoned() {
    let mut catalog = catalog();
    catalog.begin_attempt(&attempt(FULL)).unwrap();
    let ledger = source().ledger;
    let archive = archive_entry(FULL);
    catalog
        .begin_commit(&ledger, &entry(b"x"), &archive, &Blake3([6; 32]))
        .unwrap();
    catalog.abandon(&FULL.parse().unwrap()).unwrap();
    assert_eq!(
        catalog.archives(&ledger).unwrap()[0].state,
        ArchiveState::Committing
    );
    assert!(catalog.abandoned(&ledger).unwrap().is_empty());
    assert!(catalog.unfinished(&ledger).unwrap().is_empty());
    // After the commit is undone, it can be resumed: its keys are still there.
    catalog.undo_commit(&ledger, 2).unwrap();
    let attempts = catalog.unfinished(&ledger).unwrap();
    assert!(attempts[0].archive_key.is_some() && attempts[0].sealed_key.is_some());
}

#[test]
fn a_lost_segment_has_to_be_stored_again_and_others_stay_stored() {
    let (mut catalog, id) = with_segments(2);
    catalog.segment_stored(&id, 0, "somewhere").unwrap();
    catalog.segment_stored(&id, 1, "somewhere").unwrap();
    catalog.segment_lost(&id, 1).unwrap();
    let states = |catalog: &Catalog| -> Vec<_> {
        let rows = catalog.segments(&id).unwrap();
        rows.iter().map(|row| row.state).collect()
    };
    assert_eq!(
        states(&catalog),
        [SegmentState::Stored, SegmentState::Sealed]
    );
    // The segments of an attempt that was given up are not stored again.
    catalog.abandon(&id).unwrap();
    catalog.segment_lost(&id, 0).unwrap();
    assert_eq!(
        states(&catalog),
        [SegmentState::Stored, SegmentState::Sealed]
    );
}

#[test]
fn segments_beyond_the_end_are_forgotten_of_an_unfinished_attempt_alone() {
    let (mut catalog, id) = with_segments(3);
    catalog.forget_segments_from(&id, 1).unwrap();
    assert_eq!(catalog.segments(&id).unwrap().len(), 1);
    absorb(&mut catalog, &entry(b"x"), &archive_entry(FULL)).unwrap();
    catalog.forget_segments_from(&id, 0).unwrap();
    assert_eq!(catalog.segments(&id).unwrap().len(), 1);
}
