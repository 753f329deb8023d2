//! Writing an archive: the intent, its segments, and the commit.

use std::fmt;

use chrono::NaiveDate;
use rusqlite::{Transaction, params};

use super::Catalog;
use super::contents::{OF_ATTEMPT, write_own};
use super::entries::{NewEntry, insert_entry};
use super::error::CatalogError;
use crate::model::entry::{ArchiveEntry, Timestamp};
use crate::model::{ArchiveId, Blake3, LedgerId, Protocol, SegmentRecord, Sha256, StorageClass};

/// An attempt as it is written before the sender starts.
#[derive(Clone)]
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
    /// The bytes of its `key.age`. They are removed at the commit.
    pub sealed_key: &'a [u8],
    /// The snapshot that is sent; `None` if the stream comes on stdin.
    pub snapshot: Option<i64>,
    /// The form that its stream is requested in; `None` if the stream comes on stdin.
    pub protocol: Option<Protocol>,
    /// When it began.
    pub begun_at: Timestamp,
    /// The class that its segments are put into, where the store has classes.
    pub storage_class: Option<StorageClass>,
    /// Until when its objects are locked; `None` if the store does not lock them.
    pub retain_until: Option<Timestamp>,
}

/// Leaves out the keys, because debug output ends up in logs.
impl fmt::Debug for NewAttempt<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewAttempt")
            .field("id", &self.id)
            .field("ledger", &self.ledger)
            .field("slot", &self.slot)
            .field("chain", &self.chain)
            .field("send_parent", &self.send_parent)
            .field("snapshot", &self.snapshot)
            .finish_non_exhaustive()
    }
}

/// Removes the entry of that number if it is not committed yet; its archive becomes unfinished again.
pub(super) fn take_back(
    transaction: &Transaction<'_>,
    ledger: &LedgerId,
    seq: u64,
) -> rusqlite::Result<()> {
    let taken_back = transaction.execute(
        "DELETE FROM entry WHERE ledger = ?1 AND seq = ?2 AND state = 'committing'",
        params![ledger.to_string(), seq],
    )?;
    // This reads all archives, and most entries that are absorbed are no attempt of this machine.
    if taken_back > 0 {
        transaction.execute(
            "UPDATE contents SET entry = ?3 WHERE entry = ?2 AND archive IN
                (SELECT id FROM archive WHERE ledger = ?1 AND seq = ?2 AND state = 'committing')",
            params![ledger.to_string(), seq, OF_ATTEMPT],
        )?;
        transaction.execute(
            "UPDATE archive SET state = 'unfinished', seq = NULL
             WHERE ledger = ?1 AND seq = ?2 AND state = 'committing'",
            params![ledger.to_string(), seq],
        )?;
    }
    Ok(())
}

impl Catalog {
    /// Writes the intent. Earlier attempts stay as they are.
    pub fn begin_attempt(&mut self, new: &NewAttempt<'_>) -> Result<(), CatalogError> {
        self.execute(
            "write an attempt",
            "INSERT INTO archive (id, ledger, date, slot, kind, chain, send_parent, state, segment_size,
                frame_size, recipients, archive_key, sealed_key, snapshot, begun_at, storage_class,
                retain_until, protocol, compressed_data)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 'unfinished', ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17,
                ?18)",
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
                new.sealed_key,
                new.snapshot,
                new.begun_at.to_string(),
                new.storage_class.map(StorageClass::as_str),
                new.retain_until.map(|until| until.to_string()),
                new.protocol.map(Protocol::version),
                new.protocol.and_then(Protocol::compressed_data),
            ],
        )
    }

    /// Writes a sealed segment's row, before its PUT. `layout` is what the table in the archive's contents will say of it.
    pub fn segment_sealed(
        &mut self,
        archive: &ArchiveId,
        index: u32,
        record: &SegmentRecord,
        (raw_blake3, layout): (&Blake3, &[u8]),
        locator: &str,
    ) -> Result<(), CatalogError> {
        self.execute(
            "write a segment",
            "INSERT OR REPLACE INTO segment
                (archive, idx, raw_bytes, sealed_bytes, sha256, raw_blake3, locator, layout, state)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 'sealed')",
            params![
                archive.to_string(),
                index,
                record.raw_bytes,
                record.sealed_bytes,
                record.sha256.to_string(),
                raw_blake3.to_string(),
                locator,
                layout,
            ],
        )
    }

    /// Records that the store has a segment.
    pub fn segment_stored(
        &mut self,
        archive: &ArchiveId,
        index: u32,
        locator: &str,
    ) -> Result<(), CatalogError> {
        self.execute(
            "record a stored segment",
            "UPDATE segment SET state = 'stored', locator = ?3 WHERE archive = ?1 AND idx = ?2",
            params![archive.to_string(), index, locator],
        )
    }

    /// Writes the signed entry, before its PUT, and with it all that the entry says of the archive.
    pub fn begin_commit(
        &mut self,
        ledger: &LedgerId,
        entry: &NewEntry<'_>,
        archive: &ArchiveEntry,
        raw_blake3: &Blake3,
    ) -> Result<(), CatalogError> {
        self.write("write a commit", |transaction| {
            insert_entry(transaction, ledger, entry, "committing")?;
            transaction.execute(
                "UPDATE archive SET state = 'committing', seq = ?2, stream_uuid = ?3, stream_ctransid = ?4,
                    send_parent_uuid = ?5, raw_bytes = ?6, sealed_bytes = ?7, protocol = ?8, kernel = ?9,
                    btrfs_progs = ?10, raw_blake3 = ?11, compressed_data = ?12
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
                    archive.compressed_data,
                ],
            )?;
            let contents = archive.contents.as_ref();
            write_own(transaction, entry.seq, &archive.id, contents)
        })
    }

    /// Records that the store has the entry: the archive is committed.
    pub fn finish_commit(&mut self, ledger: &LedgerId, seq: u64) -> Result<(), CatalogError> {
        self.write("finish a commit", |transaction| {
            transaction.execute(
                "UPDATE entry SET state = 'committed' WHERE ledger = ?1 AND seq = ?2",
                params![ledger.to_string(), seq],
            )?;
            transaction.execute(
                "UPDATE segment SET layout = NULL WHERE layout IS NOT NULL AND archive IN
                    (SELECT id FROM archive WHERE ledger = ?1 AND seq = ?2 AND state = 'committing')",
                params![ledger.to_string(), seq],
            )?;
            transaction.execute(
                "UPDATE archive SET state = 'committed', archive_key = NULL, sealed_key = NULL
                 WHERE ledger = ?1 AND seq = ?2 AND state = 'committing'",
                params![ledger.to_string(), seq],
            )?;
            Ok(())
        })
    }

    /// Takes back an entry whose PUT never reached the store: its archive is unfinished again.
    pub fn undo_commit(&mut self, ledger: &LedgerId, seq: u64) -> Result<(), CatalogError> {
        self.write("undo a commit", |transaction| {
            take_back(transaction, ledger, seq)
        })
    }
}
