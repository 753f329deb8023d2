//! What checks of archives have shown.

use rusqlite::{Row, Transaction, params};

use super::Catalog;
use super::columns::Columns;
use super::error::CatalogError;
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
             WHERE archive.ledger = ?1 ORDER BY archive.date, archive.id, at",
            [ledger.to_string()],
            VerificationRow::read,
        )
    }

    /// Records checks, and with them whether each archive is known to be damaged. Only a sound check that
    /// would have found the damage again takes it back. Archives that the catalog does not have are ignored.
    pub fn record_verifications(&mut self, rows: &[VerificationRow]) -> Result<(), CatalogError> {
        self.write("record what a check has shown", |transaction| {
            rows.iter().try_for_each(|row| record(transaction, row))
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

pub(super) fn record(transaction: &Transaction<'_>, row: &VerificationRow) -> rusqlite::Result<()> {
    let archive = row.archive.to_string();
    let at = row.at.to_string();
    // The order of recording counts, not the times: clocks go back.
    let forget = |level: VerifyLevel, outcome: VerifyOutcome| {
        transaction.execute(
            "DELETE FROM verification WHERE archive = ?1 AND level = ?2 AND outcome = ?3",
            params![archive, level.as_str(), outcome.as_str()],
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
        "INSERT INTO verification (archive, level, outcome, at)
         SELECT id, ?2, ?3, ?4 FROM archive WHERE id = ?1
         ON CONFLICT (archive, level, outcome) DO UPDATE SET at = excluded.at",
        params![archive, row.level.as_str(), row.outcome.as_str(), at],
    )?;
    if (row.level, row.outcome) == (VerifyLevel::Listing, VerifyOutcome::Sound) {
        transaction.execute(
            "UPDATE archive SET verified_at = ?2 WHERE id = ?1",
            params![archive, at],
        )?;
    }
    transaction
        .execute(
            "UPDATE archive SET damaged_at = (SELECT min(at) FROM verification
                WHERE archive = archive.id AND outcome = 'damaged') WHERE id = ?1",
            [archive],
        )
        .map(drop)
}
