//! How many objects of a source lie at home and in its copies, and how large they are.

use rusqlite::{Row, params};

use super::Catalog;
use super::error::{CatalogError, parsed_or_null};
use crate::model::{LedgerId, StorageClass};

/// Segments, or objects of contents, in one storage class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeptRow {
    /// The class that their archives' segments were put into; `None` if that is not known here.
    pub class: Option<StorageClass>,
    /// Whether their archives are committed.
    pub is_committed: bool,
    /// How many objects they are.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Their bytes, if each object has at least as many as were asked for.
    pub raised_bytes: u64,
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

/// Returns a query of the archives whose objects are at home: those in these states, and retired ones whose deletion has
/// not begun. Once it has begun, their objects count as gone.
///
/// It has two parts, because each has an index of its own: most archives of an old ledger are deleted, and are not read.
pub(super) fn at_home(states: &str) -> String {
    format!(
        "SELECT id FROM archive WHERE ledger = ?1 AND state IN ({states})
         UNION ALL
         SELECT id FROM archive INDEXED BY archive_to_delete
            WHERE ledger = ?1 AND state = 'retired' AND deletion IS NULL"
    )
}

/// The states of archives and attempts that have objects.
const STATES: &str = "'committed', 'committing', 'unfinished'";

/// The archives that a copy has.
fn in_copy(place: i64) -> String {
    format!(
        "(SELECT placed.archive, placed.storage_class, placed.contents
            FROM placed JOIN archive ON archive.id = placed.archive
            WHERE archive.ledger = ?1 AND place = {place} AND copied_at IS NOT NULL) AS placed"
    )
}

impl KeptRow {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            class: parsed_or_null(row, "class")?,
            is_committed: row.get("is_committed")?,
            objects: row.get("objects")?,
            bytes: row.get("bytes")?,
            raised_bytes: row.get("raised_bytes")?,
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
}

impl Catalog {
    /// Returns the segments that are at home, or in the copy of that number, by class. Of an attempt, those that the store
    /// has.
    pub fn kept_segments(
        &self,
        ledger: &LedgerId,
        place: Option<i64>,
        at_least: u64,
    ) -> Result<Vec<KeptRow>, CatalogError> {
        const SUMS: &str = "count(*) AS objects, sum(segment.sealed_bytes) AS bytes,
            sum(max(segment.sealed_bytes, ?2)) AS raised_bytes";
        let sql = match place {
            None => format!(
                "SELECT storage_class AS class, archive.state IN ('committed', 'retired') AS is_committed, {SUMS}
                 FROM ({}) AS kept CROSS JOIN archive ON archive.id = kept.id
                 CROSS JOIN segment ON segment.archive = kept.id AND segment.state = 'stored'
                 GROUP BY class, is_committed ORDER BY class, is_committed",
                at_home(STATES)
            ),
            Some(place) => format!(
                "SELECT storage_class AS class, TRUE AS is_committed, {SUMS}
                 FROM {} JOIN segment ON segment.archive = placed.archive
                 GROUP BY class ORDER BY class",
                in_copy(place)
            ),
        };
        self.select(
            "add up what segments are stored",
            &sql,
            params![ledger.to_string(), at_least],
            KeptRow::read,
        )
    }

    /// Returns the contents that are at home, with those of which others took the place; or in the copy of that number.
    pub fn kept_contents(
        &self,
        ledger: &LedgerId,
        place: Option<i64>,
    ) -> Result<ObjectTotals, CatalogError> {
        const SUMS: &str = "count(*) AS objects, coalesce(sum(sealed_bytes), 0) AS bytes";
        let sql = match place {
            None => format!(
                "SELECT {SUMS} FROM ({}) AS kept CROSS JOIN contents ON contents.archive = kept.id",
                at_home(STATES)
            ),
            Some(place) => format!(
                "SELECT {SUMS} FROM {} JOIN contents ON contents.archive = placed.archive
                    AND contents.entry = placed.contents",
                in_copy(place)
            ),
        };
        self.totals(
            "add up what contents are stored",
            &sql,
            params![ledger.to_string()],
        )
    }

    /// Returns how many archives are at home, with attempts and retired ones; or in the copy of that number.
    pub fn kept_archives(
        &self,
        ledger: &LedgerId,
        place: Option<i64>,
    ) -> Result<u64, CatalogError> {
        let sql = match place {
            None => format!("SELECT count(*) FROM ({})", at_home(STATES)),
            Some(place) => format!("SELECT count(*) FROM {}", in_copy(place)),
        };
        let counted = self.select(
            "count the archives that are stored",
            &sql,
            [ledger.to_string()],
            |row| row.get(0),
        )?;
        Ok(counted.first().copied().unwrap_or(0))
    }

    /// Returns the entries of a ledger up to a number. It reads how long the newest [`MEASURED_ENTRIES`] are, and counts
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
        let all = self.totals(doing, all, of)?;
        // SQLite reads no blob to know its length.
        let measured = format!(
            "SELECT count(*) AS objects, coalesce(sum(bytes), 0) AS bytes
             FROM (SELECT length(object) AS bytes FROM entry WHERE ledger = ?1 AND seq <= ?2
                ORDER BY seq DESC LIMIT {MEASURED_ENTRIES})"
        );
        let measured = self.totals(doing, &measured, of)?;
        let bytes = u128::from(measured.bytes) * u128::from(all.objects)
            / u128::from(measured.objects.max(1));
        Ok(ObjectTotals {
            objects: all.objects,
            bytes: u64::try_from(bytes).unwrap_or(u64::MAX),
        })
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
