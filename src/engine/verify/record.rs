//! Writes the results of a check to the catalog as soon as they are known, so that a check that breaks off
//! loses none.

use std::collections::BTreeSet;

use crate::catalog::{Catalog, VerificationRow};
use crate::engine::context::clock::Clock;
use crate::error::in_words;
use crate::model::entry::Timestamp;
use crate::model::{ArchiveId, VerifyLevel, VerifyOutcome};
use crate::plan::{LevelReport, Outcome};

/// Writes the results.
pub(super) struct Recorder<'a> {
    pub(super) catalog: &'a mut Catalog,
    clock: &'a dyn Clock,
    /// Archives whose ledger entries are missing or damaged. Another machine may never learn of them, even if
    /// their objects are sound.
    without_entry: BTreeSet<ArchiveId>,
    /// The first error when a result could not be written.
    failed: Option<String>,
}

impl<'a> Recorder<'a> {
    pub(super) fn new(
        catalog: &'a mut Catalog,
        clock: &'a dyn Clock,
        without_entry: BTreeSet<ArchiveId>,
    ) -> Self {
        Self {
            catalog,
            clock,
            without_entry,
            failed: None,
        }
    }

    /// Writes the results of a level for each archive.
    pub(super) fn level(&mut self, report: &LevelReport) {
        self.write(report.outcomes());
    }

    /// Writes results of archives.
    pub(super) fn write(&mut self, outcomes: impl IntoIterator<Item = Outcome>) {
        let at = Timestamp(self.clock.now());
        let rows: Vec<VerificationRow> = outcomes
            .into_iter()
            .map(|(archive, level, outcome)| VerificationRow {
                archive,
                level,
                outcome: self.with_entry(&archive, level, outcome),
                at,
            })
            .collect();
        // The report comes all the same: a failed write must not lose it.
        if let Err(error) = self.catalog.record_verifications(&rows) {
            self.failed.get_or_insert_with(|| in_words(&error));
        }
    }

    /// Returns the outcome of an archive, its ledger entry included: a missing or damaged entry is damage
    /// that every listing finds again.
    fn with_entry(
        &self,
        archive: &ArchiveId,
        level: VerifyLevel,
        outcome: VerifyOutcome,
    ) -> VerifyOutcome {
        match (self.without_entry.contains(archive), level, outcome) {
            (true, VerifyLevel::Listing, _) => VerifyOutcome::Damaged,
            (true, _, VerifyOutcome::Sound) => VerifyOutcome::Partial,
            (_, _, outcome) => outcome,
        }
    }

    /// Returns a note about results that could not be written.
    pub(super) fn note(self) -> Option<String> {
        self.failed
            .map(|why| format!("not all that was found could be recorded: {why}"))
    }
}
