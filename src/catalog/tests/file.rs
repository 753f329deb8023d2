use super::*;

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
        format!(
            "the catalog has schema version 99, this coldchain knows {}",
            MIGRATIONS.len()
        )
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
fn a_new_catalog_waits_for_whoever_makes_it_too() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("catalog.db");
    let other = Connection::open(&path).unwrap();
    for hold in ["BEGIN IMMEDIATE", "BEGIN EXCLUSIVE"] {
        other.execute_batch(hold).unwrap();
        thread::scope(|scope| {
            let opened = scope.spawn(|| Catalog::open(&path).map(drop));
            thread::sleep(Duration::from_millis(100));
            assert!(!opened.is_finished(), "{hold}");
            other.execute_batch("ROLLBACK").unwrap();
            opened.join().unwrap().unwrap();
        });
        other.pragma_update(None, "journal_mode", "DELETE").unwrap();
    }
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

#[test]
fn lineage_reads_with_plain_sql() {
    let mut catalog = catalog();
    let archive = archive_entry(FULL);
    absorb(&mut catalog, &entry(b"x"), &archive).unwrap();
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
