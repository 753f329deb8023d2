use super::*;
use crate::model::archive::ArchiveState;
use crate::model::entry::{ArchiveEntry, Timestamp};
use crate::model::{
    ArchiveId, ArchiveKind, Blake3, LedgerId, SegmentRecord, Sha256, StorageClass, Tier, Uuid,
};

fn now() -> Timestamp {
    "2026-11-21T03:00:07Z".parse().unwrap()
}

fn source() -> SourceRow {
    SourceRow {
        name: "home".parse().unwrap(),
        directory: "home".to_owned(),
        store: "file:///srv/archive".to_owned(),
        ledger: LedgerId([7; 16]),
    }
}

fn catalog() -> Catalog {
    let mut catalog = Catalog::in_memory().unwrap();
    catalog.add_source(&source()).unwrap();
    catalog
}

fn attempt(id: &str) -> NewAttempt<'static> {
    let id: ArchiveId = id.parse().unwrap();
    NewAttempt {
        id,
        ledger: source().ledger,
        slot: id.date,
        chain: id,
        send_parent: None,
        segment_size: 16 << 20,
        frame_size: 4 << 20,
        recipients: Sha256([1; 32]),
        archive_key: "AGE-SECRET-KEY-1TEST",
        snapshot: None,
        begun_at: now(),
        storage_class: Some(StorageClass::DeepArchive),
    }
}

fn segment() -> SegmentRecord {
    SegmentRecord {
        raw_bytes: 100,
        sealed_bytes: 60,
        sha256: Sha256([2; 32]),
    }
}

fn archive_entry(id: &str) -> ArchiveEntry {
    let id: ArchiveId = id.parse().unwrap();
    ArchiveEntry {
        id,
        date: id.date,
        slot: id.date,
        kind: ArchiveKind::Full,
        send_parent: None,
        chain: id,
        stream_uuid: Uuid([3; 16]),
        stream_ctransid: 9,
        send_parent_uuid: None,
        raw_bytes: 100,
        sealed_bytes: 60,
        protocol: 1,
        kernel: None,
        btrfs_progs: None,
        segment_size: 16 << 20,
        frame_size: 4 << 20,
        key: String::new(),
        recipients: Sha256([1; 32]),
        retain_until: None,
        segments: vec![segment()],
        private: String::new(),
    }
}

fn entry(object: &[u8]) -> NewEntry<'_> {
    NewEntry {
        seq: 2,
        kind: "archive",
        hash: Sha256([4; 32]),
        object,
    }
}

const FULL: &str = "2026-11-21-full-5f0c9a12d4e6b801";

#[test]
fn an_attempt_becomes_committed_and_gives_up_its_key() {
    let mut catalog = catalog();
    let id = FULL.parse().unwrap();
    catalog.begin_attempt(&attempt(FULL)).unwrap();
    catalog
        .segment_sealed(&id, 0, &segment(), &Blake3([5; 32]), "somewhere")
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
    let key: Option<String> = catalog
        .connection
        .query_row("SELECT archive_key FROM archive", [], |row| row.get(0))
        .unwrap();
    assert_eq!(key, None);
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
    catalog
        .absorb(
            &ledger,
            &entry(b"x"),
            now(),
            Some((&archive, &["l".to_owned()])),
        )
        .unwrap();
    assert!(catalog.archives(&ledger).unwrap()[0].is_visible());
    assert!(catalog.entries(&ledger).unwrap()[0].committed);
}

#[test]
fn absorbing_into_an_empty_catalog_gives_the_same_archive() {
    let mut catalog = catalog();
    let archive = archive_entry(FULL);
    let ledger = source().ledger;
    catalog
        .absorb(
            &ledger,
            &entry(b"x"),
            now(),
            Some((&archive, &["l".to_owned()])),
        )
        .unwrap();
    let row = &catalog.archives(&ledger).unwrap()[0];
    assert_eq!(
        (row.id.to_string().as_str(), row.raw_bytes, row.sealed_bytes),
        (FULL, 100, 60)
    );
    assert_eq!(catalog.segments(&row.id).unwrap()[0].record, segment());
}

#[test]
fn a_new_attempt_abandons_the_one_that_came_to_nothing() {
    let mut catalog = catalog();
    catalog.begin_attempt(&attempt(FULL)).unwrap();
    catalog
        .begin_attempt(&attempt("2026-11-22-full-0000000000000001"))
        .unwrap();
    let archives = catalog.archives(&source().ledger).unwrap();
    assert_eq!(archives.len(), 1);
    assert_eq!(archives[0].date.to_string(), "2026-11-22");
}

#[test]
fn the_database_refuses_two_archives_of_one_date() {
    let mut catalog = catalog();
    let ledger = source().ledger;
    let archive = archive_entry(FULL);
    catalog
        .absorb(
            &ledger,
            &entry(b"x"),
            now(),
            Some((&archive, &["l".to_owned()])),
        )
        .unwrap();
    let mut other = archive_entry("2026-11-21-full-0000000000000001");
    other.stream_uuid = Uuid([8; 16]);
    let entry = NewEntry {
        seq: 3,
        ..entry(b"y")
    };
    assert!(
        catalog
            .absorb(&ledger, &entry, now(), Some((&other, &["l".to_owned()])))
            .is_err()
    );
}

#[test]
fn a_catalog_of_a_later_version_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("catalog.db");
    Catalog::open(&path).unwrap();
    Connection::open(&path)
        .unwrap()
        .pragma_update(None, "user_version", 99)
        .unwrap();
    let error = Catalog::open(&path).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the catalog has schema version 99, this coldchain knows 2"
    );
    assert!(error.is_integrity());
}

#[test]
fn a_file_that_is_no_database_is_an_integrity_error() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("catalog.db");
    std::fs::write(
        &path,
        "this is not a database, and it is long enough to be read as one",
    )
    .unwrap();
    assert!(Catalog::open(&path).unwrap_err().is_integrity());
}

#[test]
fn the_catalog_and_its_journal_are_readable_by_their_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("catalog.db");
    let mut catalog = Catalog::open(&path).unwrap();
    catalog.add_source(&source()).unwrap();
    for file in std::fs::read_dir(dir.path()).unwrap() {
        let mode = file.unwrap().metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0);
    }
}

#[test]
fn lineage_reads_with_plain_sql() {
    let mut catalog = catalog();
    let archive = archive_entry(FULL);
    catalog
        .absorb(
            &source().ledger,
            &entry(b"x"),
            now(),
            Some((&archive, &["l".to_owned()])),
        )
        .unwrap();
    let line: (String, String, i64) = catalog
        .connection
        .query_row(
            "SELECT source, chain_date, segments FROM lineage",
            [],
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
        )
        .unwrap();
    assert_eq!(line, ("home".to_owned(), "2026-11-21".to_owned(), 1));
}

/// An attempt with so many sealed segments.
fn with_segments(count: u32) -> (Catalog, ArchiveId) {
    let mut catalog = catalog();
    let id = FULL.parse().unwrap();
    catalog.begin_attempt(&attempt(FULL)).unwrap();
    for index in 0..count {
        catalog
            .segment_sealed(&id, index, &segment(), &Blake3([5; 32]), "somewhere")
            .unwrap();
    }
    (catalog, id)
}

#[test]
fn a_thaw_is_remembered_from_the_request_to_the_end() {
    let (mut catalog, id) = with_segments(3);
    let later: Timestamp = "2026-11-29T00:00:00Z".parse().unwrap();
    let expected = |state, readable_until| ThawRow {
        tier: Tier::Bulk,
        days: 7,
        state,
        asked_at: now(),
        readable_until,
    };
    assert!(catalog.thaws(&id).unwrap().is_empty());
    catalog
        .thaw_requested(&[(id, 0), (id, 2)], Tier::Bulk, 7, now())
        .unwrap();
    let thaws = catalog.thaws(&id).unwrap();
    assert_eq!(thaws.keys().copied().collect::<Vec<_>>(), [0, 2]);
    assert_eq!(thaws[&0], expected(ThawState::Requested, None));
    catalog.thaw_running(&[(id, 0)]).unwrap();
    catalog.thaw_readable(&[(id, 2, later)]).unwrap();
    let thaws = catalog.thaws(&id).unwrap();
    assert_eq!(thaws[&0], expected(ThawState::Thawing, None));
    assert_eq!(thaws[&2], expected(ThawState::Readable, Some(later)));
    catalog.thaw_fetched(&id).unwrap();
    catalog.thaw_readable(&[(id, 2, later)]).unwrap();
    let thaws = catalog.thaws(&id).unwrap();
    assert_eq!(thaws[&2], expected(ThawState::Fetched, Some(later)));
    // Asked for again: what was before is of no meaning any more.
    catalog
        .thaw_requested(&[(id, 2)], Tier::Bulk, 7, now())
        .unwrap();
    let thaws = catalog.thaws(&id).unwrap();
    assert_eq!(thaws[&2], expected(ThawState::Requested, None));
}

#[test]
fn what_was_not_asked_for_here_gets_no_row_and_leaves_with_its_segment() {
    let (mut catalog, id) = with_segments(1);
    catalog.thaw_running(&[(id, 0)]).unwrap();
    catalog.thaw_readable(&[(id, 0, now())]).unwrap();
    assert!(catalog.thaws(&id).unwrap().is_empty());
    let no_such = catalog.thaw_requested(&[(id, 1)], Tier::Bulk, 7, now());
    assert!(no_such.is_err());
    catalog
        .thaw_requested(&[(id, 0)], Tier::Bulk, 7, now())
        .unwrap();
    catalog
        .segment_sealed(&id, 0, &segment(), &Blake3([6; 32]), "elsewhere")
        .unwrap();
    assert!(catalog.thaws(&id).unwrap().is_empty());
}

#[test]
fn an_archive_knows_the_class_that_it_was_put_into() {
    let (catalog, _) = with_segments(0);
    let archives = catalog.archives(&source().ledger).unwrap();
    assert_eq!(archives[0].storage_class, Some(StorageClass::DeepArchive));
}

#[test]
fn a_catalog_of_the_first_schema_is_brought_up_to_date_and_keeps_its_archives() {
    let connection = Connection::open_in_memory().unwrap();
    connection.execute_batch(MIGRATIONS[0]).unwrap();
    connection.pragma_update(None, "user_version", 1).unwrap();
    connection
        .execute_batch(
            "INSERT INTO source VALUES ('home', 'home', 's3://b', '07070707070707070707070707070707');
             INSERT INTO archive (id, ledger, date, slot, kind, chain, state, segment_size, frame_size,
                 recipients, begun_at)
             VALUES ('2026-11-21-full-5f0c9a12d4e6b801', '07070707070707070707070707070707', '2026-11-21',
                 '2026-11-21', 'full', '2026-11-21-full-5f0c9a12d4e6b801', 'unfinished', 1, 1,
                 '0101010101010101010101010101010101010101010101010101010101010101',
                 '2026-11-21T03:00:07Z');",
        )
        .unwrap();
    let catalog = Catalog::prepare(connection).unwrap();
    let archives = catalog.archives(&source().ledger).unwrap();
    assert_eq!(archives[0].id.to_string(), FULL);
    assert_eq!(archives[0].storage_class, None);
}
