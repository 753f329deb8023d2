//! Reading archives and their segments.

use chrono::NaiveDate;
use rusqlite::Row;

use super::Catalog;
use super::error::{CatalogError, parsed, parsed_or_null};
use crate::model::archive::{ArchiveKind, ArchiveState, UnknownWord};
use crate::model::entry::Timestamp;
use crate::model::{ArchiveId, Blake3, LedgerId, SegmentRecord, Sha256, StorageClass, Uuid};

/// An archive, or an attempt at one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArchiveRow {
    /// Its id.
    pub id: ArchiveId,
    /// The number of its entry; `None` before it is signed.
    pub seq: Option<u64>,
    /// The date that it stands for.
    pub date: NaiveDate,
    /// The scheduled date that it fills.
    pub slot: NaiveDate,
    /// Full or incremental.
    pub kind: ArchiveKind,
    /// The full of its chain.
    pub chain: ArchiveId,
    /// What it is incremental on.
    pub send_parent: Option<ArchiveId>,
    /// How far it got.
    pub state: ArchiveState,
    /// The uuid in its send stream.
    pub stream_uuid: Option<Uuid>,
    /// The ctransid in its send stream.
    pub stream_ctransid: Option<u64>,
    /// The send parent's stream uuid.
    pub send_parent_uuid: Option<Uuid>,
    /// Bytes of its send stream, or of the segments so far.
    pub raw_bytes: u64,
    /// Bytes of its segments as stored, so far.
    pub sealed_bytes: u64,
    /// Version of the send stream.
    pub protocol: Option<u32>,
    /// Kernel that sent.
    pub kernel: Option<String>,
    /// btrfs-progs that sent.
    pub btrfs_progs: Option<String>,
    /// How many segments it has so far.
    pub segments: u64,
    /// Fingerprint of its recipients.
    pub recipients: Sha256,
    /// The snapshot that was sent.
    pub snapshot: Option<i64>,
    /// The number of the entry by which its objects are being deleted; `None` while it may be revived.
    pub deletion: Option<u64>,
    /// When the attempt began.
    pub begun_at: Timestamp,
    /// When a listing after the commit showed every segment.
    pub verified_at: Option<Timestamp>,
    /// When a check found a segment missing or damaged.
    pub damaged_at: Option<Timestamp>,
    /// The class that its segments were put into; `None` if that is not known here.
    pub storage_class: Option<StorageClass>,
}

/// How far a segment got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SegmentState {
    /// Sealed; its PUT has not been answered.
    Sealed,
    /// The store has it.
    Stored,
}

/// A segment of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentRow {
    /// Its place, from 0.
    pub index: u32,
    /// What the ledger signs of it.
    pub record: SegmentRecord,
    /// BLAKE3 of its raw bytes, where this machine knows it.
    pub raw_blake3: Option<Blake3>,
    /// How the store finds it.
    pub locator: String,
    /// How far it got.
    pub state: SegmentState,
}

impl std::str::FromStr for SegmentState {
    type Err = UnknownWord;

    fn from_str(word: &str) -> Result<Self, UnknownWord> {
        match word {
            "sealed" => Ok(Self::Sealed),
            "stored" => Ok(Self::Stored),
            _ => Err(UnknownWord(word.to_owned())),
        }
    }
}

const ARCHIVES: &str = "SELECT archive.*,
        (SELECT count(*) FROM segment WHERE archive = archive.id) AS segments,
        (SELECT sum(raw_bytes) FROM segment WHERE archive = archive.id) AS raw_so_far,
        (SELECT sum(sealed_bytes) FROM segment WHERE archive = archive.id) AS sealed_so_far
    FROM archive WHERE ledger = ?1 AND state <> 'abandoned' ORDER BY date, begun_at, id";

impl SegmentRow {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            index: row.get("idx")?,
            record: SegmentRecord {
                raw_bytes: row.get("raw_bytes")?,
                sealed_bytes: row.get("sealed_bytes")?,
                sha256: parsed(row, "sha256")?,
            },
            raw_blake3: parsed_or_null(row, "raw_blake3")?,
            locator: row.get("locator")?,
            state: parsed(row, "state")?,
        })
    }
}

impl ArchiveRow {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        let or_so_far = |column: &str, so_far: &str| -> rusqlite::Result<u64> {
            Ok(match row.get::<_, Option<u64>>(column)? {
                Some(bytes) => bytes,
                None => row.get::<_, Option<u64>>(so_far)?.unwrap_or(0),
            })
        };
        Ok(Self {
            id: parsed(row, "id")?,
            seq: row.get("seq")?,
            date: parsed(row, "date")?,
            slot: parsed(row, "slot")?,
            kind: parsed(row, "kind")?,
            chain: parsed(row, "chain")?,
            send_parent: parsed_or_null(row, "send_parent")?,
            state: parsed(row, "state")?,
            stream_uuid: parsed_or_null(row, "stream_uuid")?,
            stream_ctransid: row.get("stream_ctransid")?,
            send_parent_uuid: parsed_or_null(row, "send_parent_uuid")?,
            raw_bytes: or_so_far("raw_bytes", "raw_so_far")?,
            sealed_bytes: or_so_far("sealed_bytes", "sealed_so_far")?,
            protocol: row.get("protocol")?,
            kernel: row.get("kernel")?,
            btrfs_progs: row.get("btrfs_progs")?,
            segments: row.get("segments")?,
            recipients: parsed(row, "recipients")?,
            snapshot: row.get("snapshot")?,
            deletion: row.get("deletion")?,
            begun_at: parsed(row, "begun_at")?,
            verified_at: parsed_or_null(row, "verified_at")?,
            damaged_at: parsed_or_null(row, "damaged_at")?,
            storage_class: parsed_or_null(row, "storage_class")?,
        })
    }

    /// Whether readers of the ledger see it.
    pub fn is_visible(&self) -> bool {
        self.state == ArchiveState::Committed
    }
}

impl Catalog {
    /// A ledger's archives and unfinished attempts by date; abandoned attempts are left out.
    pub fn archives(&self, ledger: &LedgerId) -> Result<Vec<ArchiveRow>, CatalogError> {
        self.select(
            "read the archives",
            ARCHIVES,
            [ledger.to_string()],
            ArchiveRow::read,
        )
    }

    /// The segments of an archive, in order.
    pub fn segments(&self, archive: &ArchiveId) -> Result<Vec<SegmentRow>, CatalogError> {
        self.select(
            "read an archive's segments",
            "SELECT * FROM segment WHERE archive = ?1 ORDER BY idx",
            [archive.to_string()],
            SegmentRow::read,
        )
    }
}
