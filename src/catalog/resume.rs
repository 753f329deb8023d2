//! Unfinished attempts: what a later run needs to resume one, or to give it up.

use std::collections::BTreeMap;
use std::fmt;

use chrono::NaiveDate;
use rusqlite::{Row, params};

use super::Catalog;
use super::error::{CatalogError, parsed, parsed_or_null};
use crate::model::entry::Timestamp;
use crate::model::{ArchiveId, LedgerId, Protocol, Sha256, StorageClass};

/// An attempt that was begun, and neither committed nor given up.
#[derive(Clone, PartialEq, Eq)]
pub struct Attempt {
    /// Its id, which holds its date.
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
    /// Fingerprint of the recipients that its key was sealed to.
    pub recipients: Sha256,
    /// The archive key's secret line.
    pub archive_key: Option<String>,
    /// The bytes of its `key.age`; `None` if a version that could not resume began it.
    pub sealed_key: Option<Vec<u8>>,
    /// The snapshot that is sent; `None` if the stream comes on stdin.
    pub snapshot: Option<i64>,
    /// The form that its stream was requested in; `None` if the stream comes on stdin, or if an older version
    /// of coldchain began it and did not record the form.
    pub protocol: Option<Protocol>,
    /// When it began.
    pub begun_at: Timestamp,
    /// The class that its segments are put into, where the store has classes.
    pub storage_class: Option<StorageClass>,
    /// Until when its objects are locked; `None` if they are not.
    pub retain_until: Option<Timestamp>,
}

/// Leaves out the keys, because debug output ends up in logs.
impl fmt::Debug for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attempt")
            .field("id", &self.id)
            .field("slot", &self.slot)
            .field("chain", &self.chain)
            .field("send_parent", &self.send_parent)
            .field("snapshot", &self.snapshot)
            .field("begun_at", &self.begun_at)
            .finish_non_exhaustive()
    }
}

impl Attempt {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            id: parsed(row, "id")?,
            ledger: parsed(row, "ledger")?,
            slot: parsed(row, "slot")?,
            chain: parsed(row, "chain")?,
            send_parent: parsed_or_null(row, "send_parent")?,
            segment_size: row.get("segment_size")?,
            frame_size: row.get("frame_size")?,
            recipients: parsed(row, "recipients")?,
            archive_key: row.get("archive_key")?,
            sealed_key: row.get("sealed_key")?,
            snapshot: row.get("snapshot")?,
            protocol: {
                let version: Option<u32> = row.get("protocol")?;
                let compressed_data = row.get("compressed_data")?;
                version.map(|version| Protocol::of(version, compressed_data))
            },
            begun_at: parsed(row, "begun_at")?,
            storage_class: parsed_or_null(row, "storage_class")?,
            retain_until: parsed_or_null(row, "retain_until")?,
        })
    }
}

impl Catalog {
    /// Returns a ledger's unfinished attempts, oldest first.
    pub fn unfinished(&self, ledger: &LedgerId) -> Result<Vec<Attempt>, CatalogError> {
        self.select(
            "read the unfinished attempts",
            "SELECT * FROM archive WHERE ledger = ?1 AND state = 'unfinished' ORDER BY begun_at, id",
            [ledger.to_string()],
            Attempt::read,
        )
    }

    /// Returns a ledger's archives whose entry was signed, but whose commit got no answer, oldest first.
    pub fn committing(&self, ledger: &LedgerId) -> Result<Vec<ArchiveId>, CatalogError> {
        self.select(
            "read the archives in commit",
            "SELECT id FROM archive WHERE ledger = ?1 AND state = 'committing' ORDER BY begun_at, id",
            [ledger.to_string()],
            |row| parsed(row, "id"),
        )
    }

    /// Returns the layouts of an attempt's segments, by index. A segment that an older version has sealed has none.
    pub fn segment_layouts(
        &self,
        attempt: &ArchiveId,
    ) -> Result<BTreeMap<u32, Vec<u8>>, CatalogError> {
        let layouts = self.select(
            "read the layouts of segments",
            "SELECT idx, layout FROM segment WHERE archive = ?1 AND layout IS NOT NULL",
            [attempt.to_string()],
            |row| Ok((row.get("idx")?, row.get("layout")?)),
        )?;
        Ok(layouts.into_iter().collect())
    }

    /// Gives up an unfinished attempt: its objects become orphaned, its snapshot is no longer pinned, and its
    /// key is deleted. An archive in another state stays as it is.
    pub fn abandon(&mut self, attempt: &ArchiveId) -> Result<(), CatalogError> {
        self.write("abandon an attempt", |transaction| {
            transaction.execute(
                "UPDATE segment SET layout = NULL WHERE layout IS NOT NULL
                    AND archive = (SELECT id FROM archive WHERE id = ?1 AND state = 'unfinished')",
                [attempt.to_string()],
            )?;
            transaction.execute(
                "UPDATE archive SET state = 'abandoned', archive_key = NULL, sealed_key = NULL
                 WHERE id = ?1 AND state = 'unfinished'",
                [attempt.to_string()],
            )?;
            Ok(())
        })
    }

    /// A ledger's attempts that were given up here, oldest first.
    pub fn abandoned(&self, ledger: &LedgerId) -> Result<Vec<ArchiveId>, CatalogError> {
        self.select(
            "read the abandoned attempts",
            "SELECT id FROM archive WHERE ledger = ?1 AND state = 'abandoned' ORDER BY begun_at, id",
            [ledger.to_string()],
            |row| parsed(row, "id"),
        )
    }

    /// Records that a listing lacks a segment that was stored: it has to be sealed and stored again.
    /// Only for an unfinished attempt; a committed archive that lacks one is damaged.
    pub fn segment_lost(&mut self, attempt: &ArchiveId, index: u32) -> Result<(), CatalogError> {
        self.execute(
            "record a lost segment",
            "UPDATE segment SET state = 'sealed' WHERE idx = ?2
                AND archive = (SELECT id FROM archive WHERE id = ?1 AND state = 'unfinished')",
            params![attempt.to_string(), index],
        )
    }

    /// Deletes the rows of an unfinished attempt's segments from an index on: its new stream has fewer than
    /// an earlier one had.
    pub fn forget_segments_from(
        &mut self,
        attempt: &ArchiveId,
        first: u32,
    ) -> Result<(), CatalogError> {
        self.execute(
            "forget segments of an earlier stream",
            "DELETE FROM segment WHERE idx >= ?2
                AND archive = (SELECT id FROM archive WHERE id = ?1 AND state = 'unfinished')",
            params![attempt.to_string(), first],
        )
    }
}
