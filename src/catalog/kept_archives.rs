//! What each archive of a source takes, at home and in its copies.

use rusqlite::{Row, params};

use super::Catalog;
use super::columns::Columns;
use super::error::CatalogError;
use super::kept_objects::at_home;
use crate::model::archive::ArchiveKind;
use crate::model::entry::Timestamp;
use crate::model::{ArchiveId, LedgerId, StorageClass};

/// An archive that lies at home or in a copy, with what it takes there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeptArchiveRow {
    /// Its id.
    pub id: ArchiveId,
    /// The full of its chain.
    pub chain: ArchiveId,
    /// Whether it is retired.
    pub is_retired: bool,
    /// When it was stored there: at home when its attempt began, in a copy when it was whole.
    pub stored_at: Timestamp,
    /// The class that its segments were put into; `None` if that is not known here.
    pub class: Option<StorageClass>,
    /// Bytes of its send stream.
    pub raw_bytes: u64,
    /// How many segments it has.
    pub segments: u64,
    /// Bytes of its segments as stored.
    pub sealed_bytes: u64,
    /// The same, if each segment has at least as many as were asked for.
    pub raised_bytes: u64,
    /// How many objects its contents have there.
    pub contents_objects: u64,
    /// Their bytes.
    pub contents_bytes: u64,
    /// Bytes of its entry in the ledger.
    pub entry_bytes: u64,
}

impl KeptArchiveRow {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        let columns = Columns::of(row);
        Ok(Self {
            id: columns.parsed()?,
            chain: columns.parsed()?,
            is_retired: columns.value()?,
            stored_at: columns.parsed()?,
            class: columns.parsed_or_null()?,
            raw_bytes: columns.value()?,
            segments: columns.value()?,
            sealed_bytes: columns.value()?,
            raised_bytes: columns.value()?,
            contents_objects: columns.value()?,
            contents_bytes: columns.value()?,
            entry_bytes: columns.value()?,
        })
    }
}

/// The columns that do not depend on the place, from `raw_bytes` to `raised_bytes`.
const SIZES: &str = "raw_bytes, (SELECT count(*) FROM segment WHERE archive = archive.id),
    (SELECT coalesce(sum(sealed_bytes), 0) FROM segment WHERE archive = archive.id),
    (SELECT coalesce(sum(max(sealed_bytes, ?2)), 0) FROM segment WHERE archive = archive.id)";

/// The entry's bytes.
const ENTRY: &str = "coalesce((SELECT length(object) FROM entry
    WHERE entry.ledger = archive.ledger AND entry.seq = archive.seq), 0)";

impl Catalog {
    /// Returns the archives that are at home and whose deletion has not begun, or those that the copy of that number has, by
    /// date. Attempts are left out.
    pub fn kept_archive_rows(
        &self,
        ledger: &LedgerId,
        place: Option<i64>,
        at_least: u64,
    ) -> Result<Vec<KeptArchiveRow>, CatalogError> {
        let sql = match place {
            None => format!(
                "SELECT id, chain, state = 'retired', begun_at, storage_class, {SIZES},
                    (SELECT count(*) FROM contents WHERE archive = archive.id),
                    (SELECT coalesce(sum(sealed_bytes), 0) FROM contents WHERE archive = archive.id), {ENTRY}
                 FROM archive
                 WHERE id IN ({}) ORDER BY id",
                at_home("id")
            ),
            Some(place) => format!(
                "SELECT id, chain, state = 'retired', placed.copied_at, placed.storage_class, {SIZES},
                    (SELECT count(*) FROM contents WHERE archive = archive.id AND entry = placed.contents),
                    (SELECT coalesce(sum(sealed_bytes), 0) FROM contents
                        WHERE archive = archive.id AND entry = placed.contents), {ENTRY}
                 FROM archive JOIN placed ON placed.place = {place} AND placed.archive = archive.id
                 WHERE ledger = ?1 AND placed.copied_at IS NOT NULL ORDER BY id"
            ),
        };
        self.kept_rows(&sql, params![ledger.to_string(), at_least])
    }

    /// Returns the newest archives of a kind, deleted or not, at most so many, as they are or were at home.
    pub fn newest_sizes(
        &self,
        ledger: &LedgerId,
        kind: ArchiveKind,
        at_most: usize,
    ) -> Result<Vec<KeptArchiveRow>, CatalogError> {
        let sql = format!(
            "SELECT id, chain, state = 'retired', begun_at, storage_class, {SIZES},
                (SELECT count(*) FROM contents WHERE archive = archive.id),
                (SELECT coalesce(sum(sealed_bytes), 0) FROM contents WHERE archive = archive.id), {ENTRY}
             FROM archive
             WHERE id IN (SELECT id FROM archive
                WHERE ledger = ?1 AND state IN ('committed', 'retired') AND kind = ?3
                ORDER BY date DESC LIMIT {at_most})"
        );
        self.kept_rows(&sql, params![ledger.to_string(), 0, kind.as_str()])
    }

    fn kept_rows(
        &self,
        sql: &str,
        params: impl rusqlite::Params,
    ) -> Result<Vec<KeptArchiveRow>, CatalogError> {
        self.select("read what archives take", sql, params, KeptArchiveRow::read)
    }
}
