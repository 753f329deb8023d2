//! What checks of archives have shown.

use rusqlite::{Row, Transaction, params};

use super::Catalog;
use super::columns::Columns;
use super::error::CatalogError;
use super::places::HOME;
use crate::model::entry::Timestamp;
use crate::model::{ArchiveId, LedgerId, VerifyLevel, VerifyOutcome};

/// The newest check of an archive on one level with one outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VerificationRow {
    /// The archive.
    pub archive: ArchiveId,
    /// How thorough it was.
    pub level: VerifyLevel,
    /// What it showed.
    pub outcome: VerifyOutcome,
    /// When.
    pub at: Timestamp,
}

impl VerificationRow {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        let columns = Columns::of(row);
        Ok(Self {
            archive: columns.parsed()?,
            level: columns.parsed()?,
            outcome: columns.parsed()?,
            at: columns.parsed()?,
        })
    }
}

impl Catalog {
    /// What checks of a ledger's archives have shown.
    pub fn verifications(&self, ledger: &LedgerId) -> Result<Vec<VerificationRow>, CatalogError> {
        self.select(
            "read what checks have shown",
            "SELECT archive, level, outcome, at FROM verification
             JOIN archive ON archive.id = verification.archive
             WHERE archive.ledger = ?1 AND place = ?2 ORDER BY archive.date, archive.id, at",
            params![ledger.to_string(), self.place],
            VerificationRow::read,
        )
    }

    /// Records checks, and with them whether each archive is known to be damaged. Only a sound check that
    /// would have found the damage again takes it back. Archives that the catalog does not have are ignored.
    pub fn record_verifications(&mut self, rows: &[VerificationRow]) -> Result<(), CatalogError> {
        let place = self.place;
        self.write("record what a check has shown", |transaction| {
            rows.iter()
                .try_for_each(|row| record(transaction, place, row))
        })
    }

    /// Records that a listing after the commit showed every segment of an archive.
    pub fn archive_verified(
        &mut self,
        archive: &ArchiveId,
        at: Timestamp,
    ) -> Result<(), CatalogError> {
        self.record_verifications(&[listed(archive, VerifyOutcome::Sound, at)])
    }

    /// Records that a listing lacked a segment of a committed archive: its chain takes no more
    /// incrementals.
    pub fn archive_damaged(
        &mut self,
        archive: &ArchiveId,
        at: Timestamp,
    ) -> Result<(), CatalogError> {
        self.record_verifications(&[listed(archive, VerifyOutcome::Damaged, at)])
    }
}

pub(super) fn listed(
    archive: &ArchiveId,
    outcome: VerifyOutcome,
    at: Timestamp,
) -> VerificationRow {
    VerificationRow {
        archive: *archive,
        level: VerifyLevel::Listing,
        outcome,
        at,
    }
}

pub(super) fn record(
    transaction: &Transaction<'_>,
    place: i64,
    row: &VerificationRow,
) -> rusqlite::Result<()> {
    let archive = row.archive.to_string();
    let at = row.at.to_string();
    // The order of recording counts, not the times: clocks go back.
    let forget = |level: VerifyLevel, outcome: VerifyOutcome| {
        transaction.execute(
            "DELETE FROM verification WHERE place = ?1 AND archive = ?2 AND level = ?3 AND outcome = ?4",
            params![place, archive, level.as_str(), outcome.as_str()],
        )
    };
    match row.outcome {
        VerifyOutcome::Sound => {
            forget(row.level, VerifyOutcome::Partial)?;
            for level in VerifyLevel::ALL {
                if row.level.would_find(level) {
                    forget(level, VerifyOutcome::Damaged)?;
                }
            }
        }
        VerifyOutcome::Damaged => {
            for level in VerifyLevel::ALL {
                if level >= row.level {
                    forget(level, VerifyOutcome::Sound)?;
                    forget(level, VerifyOutcome::Partial)?;
                }
            }
        }
        VerifyOutcome::Partial => {}
    }
    transaction.execute(
        "INSERT INTO verification (place, archive, level, outcome, at)
         SELECT ?1, id, ?3, ?4, ?5 FROM archive WHERE id = ?2
         ON CONFLICT (place, archive, level, outcome) DO UPDATE SET at = excluded.at",
        params![place, archive, row.level.as_str(), row.outcome.as_str(), at],
    )?;
    let (table, of_archive) = match place {
        HOME => ("archive", "id = ?2 AND ?1 = 0"),
        _ => ("placed", "archive = ?2 AND place = ?1"),
    };
    if (row.level, row.outcome) == (VerifyLevel::Listing, VerifyOutcome::Sound) {
        transaction.execute(
            &format!("UPDATE {table} SET verified_at = ?3 WHERE {of_archive}"),
            params![place, archive, at],
        )?;
    }
    transaction
        .execute(
            &format!(
                "UPDATE {table} SET damaged_at = (SELECT min(at) FROM verification
                    WHERE place = ?1 AND archive = ?2 AND outcome = 'damaged') WHERE {of_archive}"
            ),
            params![place, archive],
        )
        .map(drop)
}
