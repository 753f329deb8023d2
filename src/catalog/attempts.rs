//! Writing an archive: the intent, its segments, and the commit.

use chrono::NaiveDate;
use rusqlite::params;

use super::Catalog;
use super::entries::{NewEntry, insert_entry};
use super::error::{CatalogError, Doing};
use crate::model::archive::ArchiveKind;
use crate::model::entry::{ArchiveEntry, Timestamp};
use crate::model::{ArchiveId, Blake3, LedgerId, SegmentRecord, Sha256, StorageClass};

/// What is written before the sender starts.
#[derive(Debug, Clone)]
pub struct NewAttempt<'a> {
    /// Its id.
    pub id: ArchiveId,
    /// The ledger that it is for.
    pub ledger: LedgerId,
    /// The scheduled date that it fills.
    pub slot: NaiveDate,
    /// The full of its chain.
    pub chain: ArchiveId,
    /// What it is incremental on.
    pub send_parent: Option<ArchiveId>,
    /// Raw bytes of a segment.
    pub segment_size: u64,
    /// Raw bytes of a frame.
    pub frame_size: u64,
    /// Fingerprint of the recipients.
    pub recipients: Sha256,
    /// The archive key's secret line. It is removed at the commit.
    pub archive_key: &'a str,
    /// The snapshot that is sent; `None` if the stream comes on stdin.
    pub snapshot: Option<i64>,
    /// When it began.
    pub begun_at: Timestamp,
    /// The class that its segments are put into, where the store has classes.
    pub storage_class: Option<StorageClass>,
}

impl Catalog {
    /// Writes the intent. Earlier attempts of this ledger that came to nothing are abandoned: their
    /// objects are strays, and their snapshots are no longer pinned.
    pub fn begin_attempt(&mut self, new: &NewAttempt<'_>) -> Result<(), CatalogError> {
        let transaction = self.connection.transaction().doing("begin an attempt")?;
        transaction
            .execute(
                "UPDATE archive SET state = 'abandoned', archive_key = NULL
                 WHERE ledger = ?1 AND state = 'unfinished'",
                [new.ledger.to_string()],
            )
            .doing("abandon an earlier attempt")?;
        transaction
            .execute(
                "INSERT INTO archive (id, ledger, date, slot, kind, chain, send_parent, state, segment_size,
                    frame_size, recipients, archive_key, snapshot, begun_at, storage_class)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 'unfinished', ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
                params![
                    new.id.to_string(),
                    new.ledger.to_string(),
                    new.id.date.to_string(),
                    new.slot.to_string(),
                    new.id.kind.as_str(),
                    new.chain.to_string(),
                    new.send_parent.map(|id| id.to_string()),
                    new.segment_size,
                    new.frame_size,
                    new.recipients.to_string(),
                    new.archive_key,
                    new.snapshot,
                    new.begun_at.to_string(),
                    new.storage_class.map(StorageClass::as_str),
                ],
            )
            .doing("write an attempt")?;
        transaction.commit().doing("write an attempt")
    }

    /// Writes a sealed segment's row, before its PUT.
    pub fn segment_sealed(
        &mut self,
        archive: &ArchiveId,
        index: u32,
        record: &SegmentRecord,
        raw_blake3: &Blake3,
        locator: &str,
    ) -> Result<(), CatalogError> {
        self.connection
            .execute(
                "INSERT OR REPLACE INTO segment
                    (archive, idx, raw_bytes, sealed_bytes, sha256, raw_blake3, locator, state)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 'sealed')",
                params![
                    archive.to_string(),
                    index,
                    record.raw_bytes,
                    record.sealed_bytes,
                    record.sha256.to_string(),
                    raw_blake3.to_string(),
                    locator,
                ],
            )
            .doing("write a segment")?;
        Ok(())
    }

    /// Records that the store has a segment.
    pub fn segment_stored(
        &mut self,
        archive: &ArchiveId,
        index: u32,
        locator: &str,
    ) -> Result<(), CatalogError> {
        self.connection
            .execute(
                "UPDATE segment SET state = 'stored', locator = ?3 WHERE archive = ?1 AND idx = ?2",
                params![archive.to_string(), index, locator],
            )
            .doing("record a stored segment")?;
        Ok(())
    }

    /// Writes the signed entry, before its PUT, and with it all that the entry says of the archive.
    pub fn begin_commit(
        &mut self,
        ledger: &LedgerId,
        entry: &NewEntry<'_>,
        archive: &ArchiveEntry,
        raw_blake3: &Blake3,
    ) -> Result<(), CatalogError> {
        let transaction = self.connection.transaction().doing("begin a commit")?;
        insert_entry(&transaction, ledger, entry, "committing")?;
        transaction
            .execute(
                "UPDATE archive SET state = 'committing', seq = ?2, stream_uuid = ?3, stream_ctransid = ?4,
                    send_parent_uuid = ?5, raw_bytes = ?6, sealed_bytes = ?7, protocol = ?8, kernel = ?9,
                    btrfs_progs = ?10, raw_blake3 = ?11
                 WHERE id = ?1",
                params![
                    archive.id.to_string(),
                    entry.seq,
                    archive.stream_uuid.to_string(),
                    archive.stream_ctransid,
                    archive.send_parent_uuid.map(|uuid| uuid.to_string()),
                    archive.raw_bytes,
                    archive.sealed_bytes,
                    archive.protocol,
                    archive.kernel,
                    archive.btrfs_progs,
                    raw_blake3.to_string(),
                ],
            )
            .doing("write a commit")?;
        transaction.commit().doing("write a commit")
    }

    /// Records that the store has the entry: the archive is committed.
    pub fn finish_commit(&mut self, ledger: &LedgerId, seq: u64) -> Result<(), CatalogError> {
        let transaction = self.connection.transaction().doing("finish a commit")?;
        transaction
            .execute(
                "UPDATE entry SET state = 'committed' WHERE ledger = ?1 AND seq = ?2",
                params![ledger.to_string(), seq],
            )
            .doing("finish a commit")?;
        transaction
            .execute(
                "UPDATE archive SET state = 'committed', archive_key = NULL
                 WHERE ledger = ?1 AND seq = ?2 AND state = 'committing'",
                params![ledger.to_string(), seq],
            )
            .doing("finish a commit")?;
        transaction.commit().doing("finish a commit")
    }

    /// Takes back an entry whose PUT never reached the store: its archive is unfinished again.
    pub fn undo_commit(&mut self, ledger: &LedgerId, seq: u64) -> Result<(), CatalogError> {
        let transaction = self.connection.transaction().doing("undo a commit")?;
        transaction
            .execute(
                "UPDATE archive SET state = 'unfinished', seq = NULL
                 WHERE ledger = ?1 AND seq = ?2 AND state = 'committing'",
                params![ledger.to_string(), seq],
            )
            .doing("undo a commit")?;
        transaction
            .execute(
                "DELETE FROM entry WHERE ledger = ?1 AND seq = ?2 AND state = 'committing'",
                params![ledger.to_string(), seq],
            )
            .doing("undo a commit")?;
        transaction.commit().doing("undo a commit")
    }

    /// Records that a listing after the commit showed every segment of an archive.
    pub fn archive_verified(
        &mut self,
        archive: &ArchiveId,
        at: Timestamp,
    ) -> Result<(), CatalogError> {
        self.connection
            .execute(
                "UPDATE archive SET verified_at = ?2 WHERE id = ?1",
                params![archive.to_string(), at.to_string()],
            )
            .doing("record a verification")?;
        Ok(())
    }

    /// Records that a listing lacked a segment of a committed archive: its chain takes no more
    /// incrementals.
    pub fn archive_damaged(
        &mut self,
        archive: &ArchiveId,
        at: Timestamp,
    ) -> Result<(), CatalogError> {
        self.connection
            .execute(
                "UPDATE archive SET damaged_at = ?2 WHERE id = ?1",
                params![archive.to_string(), at.to_string()],
            )
            .doing("record damage")?;
        Ok(())
    }

    /// Writes an archive that was found in the ledger, as its entry says it is.
    pub(super) fn write_absorbed(
        transaction: &rusqlite::Transaction<'_>,
        ledger: &LedgerId,
        seq: u64,
        made_at: Timestamp,
        archive: &ArchiveEntry,
        locators: &[String],
    ) -> Result<(), CatalogError> {
        let kind: ArchiveKind = archive.kind;
        transaction
            .execute(
                "INSERT INTO archive (id, ledger, seq, date, slot, kind, chain, send_parent, state, stream_uuid,
                    stream_ctransid, send_parent_uuid, raw_bytes, sealed_bytes, protocol, kernel, btrfs_progs,
                    segment_size, frame_size, recipients, begun_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 'committed', ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17,
                    ?18, ?19, ?20)
                 ON CONFLICT (id) DO UPDATE SET state = 'committed', seq = ?3, archive_key = NULL,
                    stream_uuid = ?9, stream_ctransid = ?10, send_parent_uuid = ?11, raw_bytes = ?12,
                    sealed_bytes = ?13, protocol = ?14, kernel = ?15, btrfs_progs = ?16",
                params![
                    archive.id.to_string(),
                    ledger.to_string(),
                    seq,
                    archive.date.to_string(),
                    archive.slot.to_string(),
                    kind.as_str(),
                    archive.chain.to_string(),
                    archive.send_parent.map(|id| id.to_string()),
                    archive.stream_uuid.to_string(),
                    archive.stream_ctransid,
                    archive.send_parent_uuid.map(|uuid| uuid.to_string()),
                    archive.raw_bytes,
                    archive.sealed_bytes,
                    archive.protocol,
                    archive.kernel,
                    archive.btrfs_progs,
                    archive.segment_size,
                    archive.frame_size,
                    archive.recipients.to_string(),
                    made_at.to_string(),
                ],
            )
            .doing("absorb an archive")?;
        for (index, (record, locator)) in archive.segments.iter().zip(locators).enumerate() {
            transaction
                .execute(
                    "INSERT INTO segment (archive, idx, raw_bytes, sealed_bytes, sha256, locator, state)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, 'stored')
                     ON CONFLICT (archive, idx) DO UPDATE SET raw_bytes = ?3, sealed_bytes = ?4,
                        raw_blake3 = iif(sha256 = ?5, raw_blake3, NULL), sha256 = ?5, locator = ?6, state = 'stored'",
                    params![
                        archive.id.to_string(),
                        index,
                        record.raw_bytes,
                        record.sealed_bytes,
                        record.sha256.to_string(),
                        locator,
                    ],
                )
                .doing("absorb a segment")?;
        }
        Ok(())
    }
}
