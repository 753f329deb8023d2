mod absorb;
mod attempts;
mod contents;
mod file;
mod kept_objects;
mod lineage;
mod places;
mod resume;
mod thaws;
mod verifications;
mod watch;

use super::*;
use crate::model::archive::ArchiveState;
use crate::model::entry::{ArchiveEntry, Timestamp};
use crate::model::{
    ArchiveId, ArchiveKind, Blake3, LedgerId, PlaceId, Protocol, SegmentRecord, Sha256,
    StorageClass, SubvolumeIdentity, Tier, Uuid,
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
        sealed_key: b"the bytes of key.age",
        snapshot: None,
        protocol: Some(Protocol::V2),
        begun_at: now(),
        storage_class: Some(StorageClass::DeepArchive),
        retain_until: None,
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
        compressed_data: None,
        kernel: None,
        btrfs_progs: None,
        segment_size: 16 << 20,
        frame_size: 4 << 20,
        key: String::new(),
        recipients: Sha256([1; 32]),
        retain_until: None,
        segments: vec![segment()],
        vault: None,
        contents: None,
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

/// Absorbs an archive's entry.
fn absorb(
    catalog: &mut Catalog,
    entry: &NewEntry<'_>,
    archive: &ArchiveEntry,
) -> Result<(), CatalogError> {
    let locators = vec!["somewhere".to_owned(); archive.segments.len()];
    let effect = Effect::Archive {
        entry: archive,
        locators: &locators,
    };
    catalog.absorb(&source().ledger, entry, now(), effect)
}

/// What a column of an archive holds.
fn column<T: rusqlite::types::FromSql>(catalog: &Catalog, archive: &str, column: &str) -> T {
    let sql = format!("SELECT {column} FROM archive WHERE id = ?1");
    catalog
        .connection
        .query_row(&sql, [archive], |row| row.get(0))
        .unwrap()
}

/// An attempt with so many sealed segments.
fn with_segments(count: u32) -> (Catalog, ArchiveId) {
    let mut catalog = catalog();
    let id = FULL.parse().unwrap();
    catalog.begin_attempt(&attempt(FULL)).unwrap();
    for index in 0..count {
        catalog
            .segment_sealed(
                &id,
                index,
                &segment(),
                (&Blake3([5; 32]), b"layout"),
                "somewhere",
            )
            .unwrap();
    }
    (catalog, id)
}
