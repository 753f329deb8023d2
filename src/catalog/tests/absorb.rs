use super::*;

#[test]
fn absorbing_an_own_entry_whose_answer_was_lost_commits_its_archive() {
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
    let archive = archive_entry(FULL);
    absorb(&mut catalog, &entry(b"x"), &archive).unwrap();
    assert!(catalog.archives(&ledger).unwrap()[0].is_visible());
    assert!(catalog.entries(&ledger).unwrap()[0].committed);
}

#[test]
fn absorbing_into_an_empty_catalog_gives_the_same_archive() {
    let mut catalog = catalog();
    let archive = archive_entry(FULL);
    let ledger = source().ledger;
    absorb(&mut catalog, &entry(b"x"), &archive).unwrap();
    let row = &catalog.archives(&ledger).unwrap()[0];
    assert_eq!(
        (row.id.to_string().as_str(), row.raw_bytes, row.sealed_bytes),
        (FULL, 100, 60)
    );
    assert_eq!(catalog.segments(&row.id).unwrap()[0].record, segment());
}

#[test]
fn the_database_refuses_two_archives_of_one_date() {
    let mut catalog = catalog();
    let archive = archive_entry(FULL);
    absorb(&mut catalog, &entry(b"x"), &archive).unwrap();
    let mut other = archive_entry("2026-11-21-full-0000000000000001");
    other.stream_uuid = Uuid([8; 16]);
    let entry = NewEntry {
        seq: 3,
        ..entry(b"y")
    };
    assert!(absorb(&mut catalog, &entry, &other).is_err());
    // All of it or nothing: the entry is not there without its archive.
    assert_eq!(catalog.entries(&source().ledger).unwrap().len(), 1);
}

#[test]
fn no_ledger_takes_another_ones_archive() {
    let mut catalog = catalog();
    absorb(&mut catalog, &entry(b"x"), &archive_entry(FULL)).unwrap();
    let other = SourceRow {
        name: "docs".parse().unwrap(),
        directory: "docs".to_owned(),
        ledger: LedgerId([8; 16]),
        ..source()
    };
    catalog.add_source(&other).unwrap();
    let archive = ArchiveEntry {
        raw_bytes: 1,
        ..archive_entry(FULL)
    };
    let effect = Effect::Archive {
        entry: &archive,
        locators: &["elsewhere".to_owned()],
    };
    let error = catalog
        .absorb(&other.ledger, &entry(b"y"), now(), effect)
        .unwrap_err();
    assert!(
        matches!(error, CatalogError::OtherLedgers { .. }),
        "{error}"
    );
    assert!(error.is_integrity());
    let row = &catalog.archives(&source().ledger).unwrap()[0];
    assert!(row.is_visible() && row.raw_bytes == 100);
    assert_eq!(catalog.segments(&row.id).unwrap()[0].record, segment());
    assert!(catalog.entries(&other.ledger).unwrap().is_empty());
}

#[test]
fn absorbing_clears_the_keys_of_an_own_attempt_and_its_segments_beyond_the_end() {
    let (mut catalog, id) = with_segments(3);
    absorb(&mut catalog, &entry(b"x"), &archive_entry(FULL)).unwrap();
    let segments = catalog.segments(&id).unwrap();
    assert_eq!(segments.len(), 1);
    assert_eq!(segments[0].state, SegmentState::Stored);
    // The bytes are those that were sealed here, so their raw hash is still known.
    assert_eq!(segments[0].raw_blake3, Some(Blake3([5; 32])));
    assert_eq!(
        column::<Option<String>>(&catalog, FULL, "archive_key"),
        None
    );
    assert_eq!(
        column::<Option<Vec<u8>>>(&catalog, FULL, "sealed_key"),
        None
    );
}

#[test]
fn an_own_entry_whose_number_another_one_took_is_unfinished_again() {
    let mut catalog = catalog();
    let ledger = source().ledger;
    catalog.begin_attempt(&attempt(FULL)).unwrap();
    let archive = archive_entry(FULL);
    catalog
        .begin_commit(&ledger, &entry(b"ours"), &archive, &Blake3([6; 32]))
        .unwrap();
    catalog
        .absorb(&ledger, &entry(b"theirs"), now(), Effect::None)
        .unwrap();
    let archives = catalog.archives(&ledger).unwrap();
    assert_eq!(
        (archives[0].state, archives[0].seq),
        (ArchiveState::Unfinished, None)
    );
    let entries = catalog.entries(&ledger).unwrap();
    assert_eq!(entries.len(), 1);
    assert_eq!(entries[0].object, b"theirs");
}

#[test]
fn a_retire_takes_a_committed_archive_out_of_sight_and_abandons_an_attempt() {
    const OTHER: &str = "2026-11-22-full-0000000000000001";
    const UNKNOWN: &str = "2026-11-23-full-0000000000000002";
    let mut catalog = catalog();
    let ledger = source().ledger;
    absorb(&mut catalog, &entry(b"x"), &archive_entry(FULL)).unwrap();
    catalog.begin_attempt(&attempt(OTHER)).unwrap();
    let retire = NewEntry {
        seq: 3,
        kind: "retire",
        ..entry(b"y")
    };
    let ids = [FULL, OTHER, UNKNOWN].map(|id| id.parse::<ArchiveId>().unwrap());
    catalog
        .absorb(&ledger, &retire, now(), Effect::Retire(&ids))
        .unwrap();
    let archives = catalog.archives(&ledger).unwrap();
    assert_eq!(archives.len(), 1);
    assert_eq!(archives[0].state, ArchiveState::Retired);
    assert!(!archives[0].is_visible());
    assert_eq!(catalog.abandoned(&ledger).unwrap(), [ids[1]]);
    assert_eq!(
        column::<Option<String>>(&catalog, OTHER, "archive_key"),
        None
    );
    // Its date can be archived again, and so can its stream.
    let again = archive_entry("2026-11-21-full-0000000000000009");
    let entry = NewEntry {
        seq: 4,
        ..entry(b"z")
    };
    absorb(&mut catalog, &entry, &again).unwrap();
}

#[test]
fn a_revive_makes_what_was_retired_visible_and_no_listing_has_shown_it_since() {
    let mut catalog = catalog();
    let ledger = source().ledger;
    absorb(&mut catalog, &entry(b"x"), &archive_entry(FULL)).unwrap();
    let ids = [FULL.parse::<ArchiveId>().unwrap()];
    catalog.archive_verified(&ids[0], now()).unwrap();
    for (seq, kind, effect) in [
        (3, "retire", Effect::Retire(&ids)),
        (4, "revive", Effect::Revive(&ids)),
    ] {
        let entry = NewEntry {
            seq,
            kind,
            ..entry(kind.as_bytes())
        };
        catalog.absorb(&ledger, &entry, now(), effect).unwrap();
    }
    let archives = catalog.archives(&ledger).unwrap();
    assert!(archives[0].is_visible());
    assert_eq!(archives[0].verified_at, None);
}

#[test]
fn what_is_in_sight_comes_with_its_fulls_and_what_is_to_be_deleted_is_known() {
    const OLD: &str = "2026-11-01-full-0000000000000001";
    const LATER: &str = "2026-11-28-incr-0000000000000002";
    let mut catalog = catalog();
    let ledger = source().ledger;
    let [old, full, later] = [OLD, FULL, LATER].map(|id| id.parse::<ArchiveId>().unwrap());
    for (seq, id) in (2..).zip([OLD, FULL, LATER]) {
        let mut archive = archive_entry(id);
        archive.stream_uuid = Uuid([u8::try_from(seq).unwrap(); 16]);
        if id == LATER {
            (archive.kind, archive.chain) = (ArchiveKind::Incremental, full);
            (archive.send_parent, archive.send_parent_uuid) = (Some(full), Some(Uuid([3; 16])));
        }
        let entry = NewEntry {
            seq,
            ..entry(id.as_bytes())
        };
        absorb(&mut catalog, &entry, &archive).unwrap();
    }
    let ids = |rows: Vec<ArchiveRow>| rows.iter().map(|row| row.id).collect::<Vec<_>>();
    assert_eq!(ids(catalog.visible(&ledger).unwrap()), [old, full, later]);
    assert!(!catalog.has_to_delete(&ledger).unwrap());
    for (seq, kind, effect) in [
        (5, "retire", Effect::Retire(&[old, full])),
        (6, "delete", Effect::Delete(&[old, full])),
    ] {
        let entry = NewEntry {
            seq,
            kind,
            ..entry(kind.as_bytes())
        };
        catalog.absorb(&ledger, &entry, now(), effect).unwrap();
        assert_eq!(catalog.has_to_delete(&ledger).unwrap(), kind == "retire");
        assert_eq!(ids(catalog.visible(&ledger).unwrap()), [later]);
        let links = catalog.lineage(&ledger).unwrap();
        assert_eq!(
            links.iter().map(|link| link.id).collect::<Vec<_>>(),
            [later]
        );
        assert_eq!(links, [Link::from(&catalog.visible(&ledger).unwrap()[0])]);
        let listed = |what| {
            let rows = catalog.listed(&ledger, what).unwrap();
            rows.iter()
                .map(|row| (row.link.id, row.state))
                .collect::<Vec<_>>()
        };
        // The full of a current chain is listed with its state.
        let current = [
            (full, ArchiveState::Retired),
            (later, ArchiveState::Committed),
        ];
        assert_eq!(listed(WhichArchives::Current), current);
        assert_eq!(listed(WhichArchives::Everything)[1..], current);
        assert_eq!(ids(catalog.archives(&ledger).unwrap()), [old, full, later]);
    }
}

#[test]
fn a_deletion_is_remembered_also_where_the_retire_is_lost() {
    let ids = [FULL.parse::<ArchiveId>().unwrap()];
    let retire = (3, "retire", Effect::Retire(&ids));
    let delete = (4, "delete", Effect::Delete(&ids));
    for entries in [&[retire, delete][..], &[delete]] {
        let mut catalog = catalog();
        let ledger = source().ledger;
        absorb(&mut catalog, &entry(b"x"), &archive_entry(FULL)).unwrap();
        for (seq, kind, effect) in entries {
            let entry = NewEntry {
                seq: *seq,
                kind,
                ..entry(kind.as_bytes())
            };
            catalog.absorb(&ledger, &entry, now(), *effect).unwrap();
        }
        let archives = catalog.archives(&ledger).unwrap();
        assert_eq!(archives[0].state, ArchiveState::Retired);
        assert_eq!(archives[0].deletion, Some(4));
    }
}

#[test]
fn a_retire_in_one_ledger_says_nothing_of_another() {
    let mut catalog = catalog();
    let other = SourceRow {
        name: "mail".parse().unwrap(),
        directory: "mail".to_owned(),
        ledger: LedgerId([8; 16]),
        ..source()
    };
    catalog.add_source(&other).unwrap();
    absorb(&mut catalog, &entry(b"x"), &archive_entry(FULL)).unwrap();
    let ids = [FULL.parse().unwrap()];
    catalog
        .absorb(&other.ledger, &entry(b"y"), now(), Effect::Retire(&ids))
        .unwrap();
    assert!(catalog.archives(&source().ledger).unwrap()[0].is_visible());
}

/// A snapshot of the source that is here.
fn snapshot(catalog: &mut Catalog, uuid: u8, received: Option<u8>, ctransid: u64) -> i64 {
    let identity = SubvolumeIdentity {
        subvolume_id: 256,
        uuid: Uuid([uuid; 16]),
        parent_uuid: None,
        received_uuid: received.map(|byte| Uuid([byte; 16])),
        ctransid,
        otransid: ctransid,
        read_only: true,
    };
    let new = NewSnapshot {
        source: &source().name,
        name: format!("2026-11-{uuid:02}").parse().unwrap(),
        path: std::path::Path::new("/snapshots/it"),
        identity: &identity,
        taken_of: None,
        made_at: now(),
    };
    catalog.add_snapshot(&new).unwrap().id
}

/// The snapshot that an absorbed archive with stream uuid 3 and ctransid 9 is tied to.
fn tied_to(catalog: &mut Catalog) -> Option<i64> {
    absorb(catalog, &entry(b"x"), &archive_entry(FULL)).unwrap();
    catalog.archives(&source().ledger).unwrap()[0].snapshot
}

#[test]
fn an_absorbed_archive_is_tied_to_the_snapshot_that_it_was_sent_from() {
    let mut catalog = catalog();
    snapshot(&mut catalog, 4, None, 9);
    let sent = snapshot(&mut catalog, 3, None, 9);
    assert_eq!(tied_to(&mut catalog), Some(sent));
}

#[test]
fn an_absorbed_archive_is_tied_to_an_adopted_snapshot_by_its_received_uuid() {
    let mut catalog = catalog();
    let adopted = snapshot(&mut catalog, 4, Some(3), 70);
    assert_eq!(tied_to(&mut catalog), Some(adopted));
}

#[test]
fn an_absorbed_archive_is_not_tied_to_a_snapshot_that_is_gone_or_has_other_content() {
    let mut gone = catalog();
    let id = snapshot(&mut gone, 3, None, 9);
    gone.forget_snapshot(id, now()).unwrap();
    assert_eq!(tied_to(&mut gone), None);

    let mut changed = catalog();
    snapshot(&mut changed, 3, None, 10);
    assert_eq!(tied_to(&mut changed), None);

    // The same uuid under another received uuid is another stream.
    let mut received = catalog();
    snapshot(&mut received, 3, Some(4), 9);
    assert_eq!(tied_to(&mut received), None);
}

#[test]
fn an_attempt_keeps_the_snapshot_that_its_row_names() {
    let mut catalog = catalog();
    let named = snapshot(&mut catalog, 4, None, 9);
    snapshot(&mut catalog, 3, None, 9);
    let attempt = NewAttempt {
        snapshot: Some(named),
        ..attempt(FULL)
    };
    catalog.begin_attempt(&attempt).unwrap();
    assert_eq!(tied_to(&mut catalog), Some(named));
}
