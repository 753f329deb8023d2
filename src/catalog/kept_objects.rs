//! How many objects of a source lie at home and in its copies, and how large they are.
//!
//! This is asked of all sources at once, often. So it reads as few rows as it can: none of archives that are deleted, and of
//! an archive its own row instead of those of its segments.

use rusqlite::{Row, params};

use super::Catalog;
use super::error::{CatalogError, parsed_or_null};
use crate::model::{LedgerId, StorageClass};

/// Segments in one storage class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeptRow {
    /// The class that they were put into; `None` if that is not known here.
    pub class: Option<StorageClass>,
    /// Whether their archives are committed.
    pub is_committed: bool,
    /// How many they are.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// How many objects there are, and how large they are together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ObjectTotals {
    /// How many there are.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// How many entries of a ledger are measured.
const MEASURED_ENTRIES: u64 = 50;

/// The contents of how many archives of a ledger are measured.
const MEASURED_ARCHIVES: u64 = 500;

/// The columns that add up the segments of archives: all but the last of an archive have `segment_size` raw bytes.
const SEGMENTS: &str = "sum((raw_bytes + segment_size - 1) / segment_size) AS objects,
    sum(sealed_bytes) AS bytes";

/// Returns a query of the archives that are at home: committed ones, and retired ones whose deletion has not begun. Once it
/// has begun, their objects count as gone.
///
/// It has two parts, because each has an index of its own.
pub(super) fn at_home(columns: &str) -> String {
    format!(
        "SELECT {columns} FROM archive WHERE ledger = ?1 AND state = 'committed'
         UNION ALL
         SELECT {columns} FROM archive INDEXED BY archive_to_delete
            WHERE ledger = ?1 AND state = 'retired' AND deletion IS NULL"
    )
}

/// Returns a query of the archives that a copy has.
fn in_copy(place: i64) -> String {
    format!(
        "SELECT archive.id, placed.storage_class, placed.contents, raw_bytes, segment_size, sealed_bytes
            FROM placed JOIN archive ON archive.id = placed.archive
            WHERE archive.ledger = ?1 AND place = {place} AND copied_at IS NOT NULL"
    )
}

/// Returns a query of the archives at home, or in the copy of that number, with what adds their segments up.
fn archives_at(place: Option<i64>) -> String {
    match place {
        None => at_home("id, storage_class, raw_bytes, segment_size, sealed_bytes"),
        Some(place) => in_copy(place),
    }
}

impl KeptRow {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            class: parsed_or_null(row, "class")?,
            is_committed: row.get("is_committed")?,
            objects: row.get("objects")?,
            bytes: row.get("bytes")?,
        })
    }
}

impl ObjectTotals {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            objects: row.get("objects")?,
            bytes: row.get("bytes")?,
        })
    }

    /// Returns what so many have, if these are measured ones of them.
    fn scaled(self, all: u64, measured: u64) -> Self {
        let scaled = |number: u64| {
            let number = u128::from(number) * u128::from(all) / u128::from(measured.max(1));
            u64::try_from(number).unwrap_or(u64::MAX)
        };
        Self {
            objects: scaled(self.objects),
            bytes: scaled(self.bytes),
        }
    }
}

impl Catalog {
    /// Returns the segments that are at home, or in the copy of that number, by class. Of an attempt, those that the store
    /// has.
    pub fn kept_segments(
        &self,
        ledger: &LedgerId,
        place: Option<i64>,
    ) -> Result<Vec<KeptRow>, CatalogError> {
        let doing = "add up what segments are stored";
        let sql = format!(
            "SELECT storage_class AS class, TRUE AS is_committed, {SEGMENTS} FROM ({})
             GROUP BY class ORDER BY class",
            archives_at(place)
        );
        let mut rows = self.select(doing, &sql, [ledger.to_string()], KeptRow::read)?;
        if place.is_none() {
            let sql = "SELECT storage_class AS class, FALSE AS is_committed, count(*) AS objects,
                    sum(segment.sealed_bytes) AS bytes
                 FROM archive JOIN segment ON segment.archive = archive.id AND segment.state = 'stored'
                 WHERE ledger = ?1 AND archive.state IN ('unfinished', 'committing')
                 GROUP BY class ORDER BY class";
            rows.extend(self.select(doing, sql, [ledger.to_string()], KeptRow::read)?);
        }
        Ok(rows)
    }

    /// Returns the bytes of the committed segments of a class that are there, if each counts as `at_least` bytes at least.
    /// This reads each segment.
    pub fn raised_segments(
        &self,
        ledger: &LedgerId,
        place: Option<i64>,
        class: Option<StorageClass>,
        at_least: u64,
    ) -> Result<u64, CatalogError> {
        let sql = format!(
            "SELECT count(*) AS objects, coalesce(sum(max(segment.sealed_bytes, ?3)), 0) AS bytes
             FROM ({}) AS kept CROSS JOIN segment ON segment.archive = kept.id
             WHERE kept.storage_class IS ?2",
            archives_at(place)
        );
        let of = params![
            ledger.to_string(),
            class.map(StorageClass::as_str),
            at_least
        ];
        Ok(self.totals("add up small segments", &sql, of)?.bytes)
    }

    /// Returns the contents that are at home, with those that others have replaced, or those in the copy of that number.
    /// `archives` is the number of archives there. If there are many, it measures the newest `MEASURED_ARCHIVES` only, and
    /// takes the others to be like them.
    pub fn kept_contents(
        &self,
        ledger: &LedgerId,
        place: Option<i64>,
        archives: u64,
    ) -> Result<ObjectTotals, CatalogError> {
        let kept = match place {
            None if archives > MEASURED_ARCHIVES => {
                "SELECT id FROM archive WHERE ledger = ?1 AND state = 'committed' ORDER BY date DESC".to_owned()
            }
            None => at_home("id"),
            Some(place) => in_copy(place),
        };
        let of_copy = match place {
            None => "",
            Some(_) => "AND contents.entry = kept.contents",
        };
        let sql = format!(
            "SELECT count(*) AS objects, coalesce(sum(contents.sealed_bytes), 0) AS bytes
             FROM (SELECT * FROM ({kept}) LIMIT {MEASURED_ARCHIVES}) AS kept
             CROSS JOIN contents ON contents.archive = kept.id {of_copy}"
        );
        let doing = "add up what contents are stored";
        let measured = self.totals(doing, &sql, [ledger.to_string()])?;
        Ok(measured.scaled(archives, archives.min(MEASURED_ARCHIVES)))
    }

    /// Returns how many archives are at home, or in the copy of that number. Attempts are not counted.
    pub fn kept_archives(
        &self,
        ledger: &LedgerId,
        place: Option<i64>,
    ) -> Result<u64, CatalogError> {
        let kept = match place {
            None => at_home("1"),
            Some(place) => in_copy(place),
        };
        let counted = self.select(
            "count the archives that are stored",
            &format!("SELECT count(*) FROM ({kept})"),
            [ledger.to_string()],
            |row| row.get(0),
        )?;
        Ok(counted.first().copied().unwrap_or(0))
    }

    /// Returns the entries of a ledger up to a number. It reads how long the newest `MEASURED_ENTRIES` are, and counts
    /// older ones as large as those are on average: an old ledger has thousands, which cost next to nothing together.
    pub fn kept_entries(
        &self,
        ledger: &LedgerId,
        until: u64,
    ) -> Result<ObjectTotals, CatalogError> {
        let until = i64::try_from(until).unwrap_or(i64::MAX);
        let of = params![ledger.to_string(), until];
        let doing = "add up a ledger's entries";
        let all =
            "SELECT count(*) AS objects, 0 AS bytes FROM entry WHERE ledger = ?1 AND seq <= ?2";
        let all = self.totals(doing, all, of)?.objects;
        // SQLite reads no blob to know its length.
        let measured = format!(
            "SELECT count(*) AS objects, coalesce(sum(bytes), 0) AS bytes
             FROM (SELECT length(object) AS bytes FROM entry WHERE ledger = ?1 AND seq <= ?2
                ORDER BY seq DESC LIMIT {MEASURED_ENTRIES})"
        );
        let measured = self.totals(doing, &measured, of)?;
        Ok(measured.scaled(all, measured.objects))
    }

    fn totals(
        &self,
        doing: &'static str,
        sql: &str,
        params: impl rusqlite::Params,
    ) -> Result<ObjectTotals, CatalogError> {
        let totals = self.select(doing, sql, params, ObjectTotals::read)?;
        Ok(totals.first().copied().unwrap_or_default())
    }
}
