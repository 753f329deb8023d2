//! Reading archives and their segments.

use chrono::NaiveDate;
use rusqlite::Row;

use super::Catalog;
use super::columns::Columns;
use super::error::{CatalogError, parsed, parsed_or_null};
use crate::model::archive::{ArchiveKind, ArchiveState, UnknownWord};
use crate::model::entry::Timestamp;
use crate::model::keys::ArchiveObject;
use crate::model::{
    ArchiveId, Blake3, LedgerId, Protocol, SegmentRecord, Sha256, StorageClass, Uuid,
};

/// An archive, or an attempt at one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArchiveRow {
    /// Its id.
    pub id: ArchiveId,
    /// The number of its entry; `None` before it is signed.
    pub seq: Option<u64>,
    /// Its date.
    pub date: NaiveDate,
    /// The scheduled date that it fills.
    pub slot: NaiveDate,
    /// Full or incremental.
    pub kind: ArchiveKind,
    /// The full of its chain.
    pub chain: ArchiveId,
    /// What it is incremental on.
    pub send_parent: Option<ArchiveId>,
    /// Its state.
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
    /// Whether the stream carries data as it is compressed on disk; `None` if that is not recorded.
    pub compressed_data: Option<bool>,
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

/// The state of a segment.
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
    /// Its index, from 0.
    pub index: u32,
    /// Its record, as the ledger signs it.
    pub record: SegmentRecord,
    /// BLAKE3 of its raw bytes, where this machine knows it.
    pub raw_blake3: Option<Blake3>,
    /// How the store finds it.
    pub locator: String,
    /// Its state.
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

/// The columns that [`ArchiveRow::read`] reads, in its order. The sizes are summed up over the segments only
/// if the row has none of its own yet.
const COLUMNS: &str =
    "id, seq, date, slot, kind, chain, send_parent, state, stream_uuid, stream_ctransid,
    send_parent_uuid,
    coalesce(raw_bytes, (SELECT sum(raw_bytes) FROM segment WHERE archive = archive.id), 0),
    coalesce(sealed_bytes, (SELECT sum(sealed_bytes) FROM segment WHERE archive = archive.id), 0),
    protocol, compressed_data, kernel, btrfs_progs, (SELECT count(*) FROM segment WHERE archive = archive.id),
    recipients, snapshot, deletion, begun_at, verified_at, damaged_at, storage_class";

impl SegmentRow {
    /// Lists the objects of an archive with these segments, without its contents. What is signed of its key is not known
    /// here.
    pub fn objects<'a>(
        directory: &'a str,
        archive: &ArchiveId,
        rows: &'a [Self],
    ) -> impl Iterator<Item = ArchiveObject> {
        let segments = rows.iter().map(|row| (row.index, &row.record));
        ArchiveObject::list(directory, *archive, segments, [], None)
    }

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
        let columns = Columns::of(row);
        Ok(Self {
            id: columns.parsed()?,
            seq: columns.value()?,
            date: columns.parsed()?,
            slot: columns.parsed()?,
            kind: columns.parsed()?,
            chain: columns.parsed()?,
            send_parent: columns.parsed_or_null()?,
            state: columns.parsed()?,
            stream_uuid: columns.parsed_or_null()?,
            stream_ctransid: columns.value()?,
            send_parent_uuid: columns.parsed_or_null()?,
            raw_bytes: columns.value()?,
            sealed_bytes: columns.value()?,
            protocol: columns.value()?,
            compressed_data: columns.value()?,
            kernel: columns.value()?,
            btrfs_progs: columns.value()?,
            segments: columns.value()?,
            recipients: columns.parsed()?,
            snapshot: columns.value()?,
            deletion: columns.value()?,
            begun_at: columns.parsed()?,
            verified_at: columns.parsed_or_null()?,
            damaged_at: columns.parsed_or_null()?,
            storage_class: columns.parsed_or_null()?,
        })
    }

    /// The form of its stream, if its version is known.
    pub fn form(&self) -> Option<Protocol> {
        let version = self.protocol?;
        Some(Protocol::of(version, self.compressed_data))
    }

    /// Whether readers of the ledger see it.
    pub fn is_visible(&self) -> bool {
        self.state == ArchiveState::Committed
    }
}

impl Catalog {
    /// A ledger's archives and unfinished attempts by date; abandoned attempts are left out.
    pub fn archives(&self, ledger: &LedgerId) -> Result<Vec<ArchiveRow>, CatalogError> {
        let condition =
            "ledger = ?1 AND state IN ('unfinished', 'committing', 'committed', 'retired')";
        self.archives_where(condition, &ledger.to_string())
    }

    /// Returns a ledger's committed archives by date, which a night's plan uses. Retired archives do not slow
    /// it down.
    pub fn visible(&self, ledger: &LedgerId) -> Result<Vec<ArchiveRow>, CatalogError> {
        self.archives_where("ledger = ?1 AND state = 'committed'", &ledger.to_string())
    }

    /// Whether a ledger has retired archives whose deletion has not begun.
    pub fn has_to_delete(&self, ledger: &LedgerId) -> Result<bool, CatalogError> {
        let found = self.select(
            "look for archives to delete",
            "SELECT EXISTS (SELECT 1 FROM archive
                WHERE ledger = ?1 AND state = 'retired' AND deletion IS NULL)",
            [ledger.to_string()],
            |row| row.get::<_, bool>(0),
        )?;
        Ok(found == [true])
    }

    /// Returns an archive in any state.
    pub fn archive(&self, id: &ArchiveId) -> Result<Option<ArchiveRow>, CatalogError> {
        let mut rows = self.archives_where("id = ?1", &id.to_string())?;
        Ok(rows.pop())
    }

    fn archives_where(
        &self,
        condition: &str,
        parameter: &str,
    ) -> Result<Vec<ArchiveRow>, CatalogError> {
        let mut rows = self.select(
            "read the archives",
            &format!(
                "SELECT {COLUMNS} FROM {} WHERE {condition}",
                self.archive_table()
            ),
            [parameter],
            ArchiveRow::read,
        )?;
        sort(&mut rows);
        Ok(rows)
    }

    /// The segments of an archive, in order.
    pub fn segments(&self, archive: &ArchiveId) -> Result<Vec<SegmentRow>, CatalogError> {
        self.select(
            "read an archive's segments",
            &format!(
                "SELECT * FROM {} WHERE archive = ?1 ORDER BY idx",
                self.segment_table()
            ),
            [archive.to_string()],
            SegmentRow::read,
        )
    }
}

/// Sorts by date. SQLite would sort many rows on disk.
fn sort(rows: &mut [ArchiveRow]) {
    rows.sort_by_key(|row| (row.date, row.begun_at, row.id));
}
