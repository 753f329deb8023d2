//! What a status shows of a source: sizes and dates of many archives, with few columns of each.

use chrono::NaiveDate;

use super::Catalog;
use super::columns::{Columns, Last};
use super::error::CatalogError;
use crate::model::entry::Timestamp;
use crate::model::{ArchiveId, LedgerId, VerifyLevel, VerifyOutcome};

/// A visible archive with its sizes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SizedRow {
    /// Its id.
    pub id: ArchiveId,
    /// The full of its chain.
    pub chain: ArchiveId,
    /// Bytes of its send stream.
    pub raw_bytes: u64,
    /// Bytes of its segments as stored.
    pub sealed_bytes: u64,
    /// Whether a check found a segment missing or damaged.
    pub is_damaged: bool,
    /// Until when its objects are locked; `None` if they are not.
    pub retain_until: Option<Timestamp>,
}

/// Thaws of a source that were requested and whose archives were not received yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ThawCounts {
    /// Segments that are not readable yet, as far as this machine knows.
    pub waiting: u64,
    /// Segments that are.
    pub readable: u64,
    /// When the first of these is cold again, by the store's clock.
    pub readable_until: Option<Timestamp>,
}

impl Catalog {
    /// A ledger's visible archives with their sizes, by date.
    pub fn sized(&self, ledger: &LedgerId) -> Result<Vec<SizedRow>, CatalogError> {
        let sql = format!(
            "SELECT id, chain, coalesce(raw_bytes, 0), coalesce(sealed_bytes, 0), damaged_at IS NOT NULL,
                retain_until
             FROM {} WHERE ledger = ?1 AND state = 'committed'",
            self.archive_table()
        );
        let (mut id, mut chain) = (Last::NONE, Last::NONE);
        let mut rows = self.select(
            "read the sizes of archives",
            &sql,
            [ledger.to_string()],
            |row| {
                let columns = Columns::of(row);
                Ok(SizedRow {
                    id: columns.parsed_again(&mut id)?,
                    chain: columns.parsed_again(&mut chain)?,
                    raw_bytes: columns.value()?,
                    sealed_bytes: columns.value()?,
                    is_damaged: columns.value()?,
                    retain_until: columns.parsed_or_null()?,
                })
            },
        )?;
        rows.sort_unstable_by_key(|row| row.id);
        Ok(rows)
    }

    /// When checks of more than a listing last found archives sound, of all ledgers.
    pub fn sound_checks(&self) -> Result<Vec<(ArchiveId, VerifyLevel, Timestamp)>, CatalogError> {
        let sql = format!(
            "SELECT archive, level, at FROM verification WHERE place = ?1 AND level <> '{}' AND outcome = '{}'",
            VerifyLevel::Listing,
            VerifyOutcome::Sound
        );
        self.select("read when checks were made", &sql, [self.place], |row| {
            let columns = Columns::of(row);
            Ok((columns.parsed()?, columns.parsed()?, columns.parsed()?))
        })
    }

    /// The thaws of a ledger's archives that are under way.
    pub fn thaw_counts(&self, ledger: &LedgerId) -> Result<ThawCounts, CatalogError> {
        let rows = self.select(
            "count the thaws",
            "SELECT count(*) FILTER (WHERE thaw.state IN ('requested', 'thawing')),
                count(*) FILTER (WHERE thaw.state = 'readable'),
                min(readable_until) FILTER (WHERE thaw.state = 'readable')
             FROM thaw CROSS JOIN archive ON archive.id = thaw.archive WHERE archive.ledger = ?1",
            [ledger.to_string()],
            |row| {
                let columns = Columns::of(row);
                Ok(ThawCounts {
                    waiting: columns.value()?,
                    readable: columns.value()?,
                    readable_until: columns.parsed_or_null()?,
                })
            },
        )?;
        Ok(rows.into_iter().next().unwrap_or_default())
    }

    /// The unfinished attempts of a ledger: the date, since when, and the bytes of the stream that are stored.
    pub fn unfinished_sizes(
        &self,
        ledger: &LedgerId,
    ) -> Result<Vec<(NaiveDate, Timestamp, u64)>, CatalogError> {
        self.select(
            "read the unfinished archives",
            "SELECT date, begun_at,
                coalesce((SELECT sum(raw_bytes) FROM segment WHERE archive = archive.id), 0)
             FROM archive WHERE ledger = ?1 AND state IN ('unfinished', 'committing') ORDER BY date",
            [ledger.to_string()],
            |row| {
                let columns = Columns::of(row);
                Ok((columns.parsed()?, columns.parsed()?, columns.value()?))
            },
        )
    }
}
