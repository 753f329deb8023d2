//! What a check has shown, written to the catalog as soon as it is known: a check that is cut short has
//! still found what it has found.

use std::collections::BTreeSet;

use crate::catalog::{Catalog, VerificationRow};
use crate::engine::context::clock::Clock;
use crate::error::in_words;
use crate::model::entry::Timestamp;
use crate::model::{ArchiveId, VerifyLevel, VerifyOutcome};
use crate::plan::{LevelReport, Outcome};

/// Who writes it.
pub(super) struct Recorder<'a> {
    pub(super) catalog: &'a mut Catalog,
    clock: &'a dyn Clock,
    /// Archives whose ledger entries are missing or damaged: another machine may never learn of them,
    /// whatever their objects are like.
    without_entry: BTreeSet<ArchiveId>,
    /// Why something could not be written.
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

    /// Writes what a level has shown of each archive.
    pub(super) fn level(&mut self, report: &LevelReport) {
        self.write(report.outcomes());
    }

    /// Writes what was shown of archives.
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
        // What was found is told all the same: a report must not be lost over it.
        if let Err(error) = self.catalog.record_verifications(&rows) {
            self.failed.get_or_insert_with(|| in_words(&error));
        }
    }

    /// What came of an archive when its entry is counted in: that is damage that every listing finds
    /// again.
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

    /// What to tell of what could not be written.
    pub(super) fn note(self) -> Option<String> {
        self.failed
            .map(|why| format!("not all that was found could be recorded: {why}"))
    }
}
