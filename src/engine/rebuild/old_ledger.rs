//! What the old catalog has of a ledger: a second copy of its entries, and the results of checks.

use std::collections::{BTreeMap, BTreeSet};

use crate::catalog::{Catalog, EntryRow, VerificationRow};
use crate::error::Error;
use crate::model::{ArchiveId, LedgerId, VerifyLevel, VerifyOutcome};

/// What the old catalog has of a ledger; empty if it has none.
#[derive(Debug, Default)]
pub(in crate::engine) struct Earlier {
    /// The committed entries, by their numbers.
    pub(in crate::engine) entries: BTreeMap<u64, EntryRow>,
    /// The results of checks of its archives. No store has these.
    pub(in crate::engine) checks: Vec<VerificationRow>,
}

impl Earlier {
    pub(in crate::engine) fn of(catalog: &Catalog, ledger: &LedgerId) -> Result<Self, Error> {
        let entries = catalog.entries(ledger)?.into_iter();
        let mut checks = catalog.verifications(ledger)?;
        let told: BTreeSet<ArchiveId> = checks
            .iter()
            .filter(|check| check.outcome == VerifyOutcome::Damaged)
            .map(|check| check.archive)
            .collect();
        // Damage for which an older version kept only the time.
        for row in catalog.archives(ledger)? {
            if let Some(at) = row.damaged_at
                && !told.contains(&row.id)
            {
                checks.push(VerificationRow {
                    archive: row.id,
                    level: VerifyLevel::Listing,
                    outcome: VerifyOutcome::Damaged,
                    at,
                });
            }
        }
        Ok(Self {
            entries: entries
                .filter(|entry| entry.committed)
                .map(|entry| (entry.seq, entry))
                .collect(),
            checks,
        })
    }
}
