//! The old catalog: what it knows must not be lost or contradicted by the new one.

use std::collections::{BTreeSet, HashMap};

use super::flaw::Flaw;
use super::old_ledger::Earlier;
use super::old_places::OldPlaces;
use super::read::ImportedLedger;
use super::rebuilt::Rebuilt;
use super::request::{Rebuilding, Unfinished};
use crate::catalog::{Catalog, SourceRow};
use crate::engine::context::open_source::{is_place, store_url};
use crate::engine::context::state_dir::StateDir;
use crate::error::{Error, LedgerStateError, RebuildError, in_words};
use crate::model::{ArchiveId, LedgerId, SourceName};

/// The old catalog, as far as it can be read.
#[derive(Default)]
pub(super) struct Before {
    pub(super) catalog: Option<Catalog>,
    pub(super) sources: Vec<SourceRow>,
    /// Its copies.
    pub(super) places: OldPlaces,
    /// How many entries it has of each source's ledger.
    entries: HashMap<LedgerId, usize>,
    earlier: HashMap<LedgerId, Earlier>,
    nothing: Earlier,
}

impl Before {
    pub(super) fn open(state_dir: &StateDir, rebuilt: &mut Rebuilt) -> Result<Self, Error> {
        match Self::read(state_dir) {
            // Repairing such a catalog is what a rebuild is for.
            Err(Error::Catalog(error)) if error.is_integrity() => {
                rebuilt.remarks.push(format!(
                    "the old catalog can't be read, so nothing was taken from it: {}",
                    in_words(&error)
                ));
                Ok(Self::default())
            }
            read => read,
        }
    }

    fn read(state_dir: &StateDir) -> Result<Self, Error> {
        let mut catalog = state_dir.catalog_to_read()?;
        let sources = catalog.sources()?;
        let places = OldPlaces::of(&mut catalog)?;
        let mut entries = HashMap::new();
        let mut earlier = HashMap::new();
        for row in &sources {
            entries.insert(row.ledger, catalog.entries(&row.ledger)?.len());
            earlier.insert(row.ledger, Earlier::of(&catalog, &row.ledger)?);
        }
        Ok(Self {
            catalog: Some(catalog),
            sources,
            places,
            entries,
            earlier,
            nothing: Earlier::default(),
        })
    }

    /// Returns whether any entry of a source's ledger is known. A ledger that `init` has only named may be
    /// replaced.
    pub(super) fn is_opened(&self, row: &SourceRow) -> bool {
        self.entries
            .get(&row.ledger)
            .is_some_and(|known| *known > 0)
    }

    /// Returns what the old catalog has of a ledger.
    pub(super) fn of(&self, ledger: &LedgerId) -> &Earlier {
        self.earlier.get(ledger).unwrap_or(&self.nothing)
    }

    /// Returns the attempts that this machine began in a source's directory and that are in no ledger.
    pub(super) fn attempts_in(
        &self,
        directory: &SourceName,
        url: &str,
    ) -> Result<BTreeSet<ArchiveId>, Error> {
        let mut attempts = BTreeSet::new();
        let Some(catalog) = &self.catalog else {
            return Ok(attempts);
        };
        let rows = self.sources.iter();
        for row in rows.filter(|row| {
            row.directory == directory.as_str()
                && is_place(&row.store, url)
                && self.of(&row.ledger).entries.is_empty()
        }) {
            attempts.extend(catalog.abandoned(&row.ledger)?);
            let begun = catalog.archives(&row.ledger)?;
            attempts.extend(begun.into_iter().map(|archive| archive.id));
        }
        Ok(attempts)
    }

    /// Refuses to drop an attempt that only the old catalog can continue.
    pub(super) fn refuse_to_give_up(&self, job: &Rebuilding<'_>) -> Result<(), Error> {
        let (Some(catalog), Unfinished::Keep) = (&self.catalog, job.unfinished) else {
            return Ok(());
        };
        for row in &self.sources {
            if let Some(attempt) = catalog.unfinished(&row.ledger)?.first() {
                return Err(Error::Rebuild(RebuildError::UnfinishedHere {
                    source_name: row.name.clone(),
                    archive: attempt.id,
                }));
            }
        }
        Ok(())
    }

    /// Refuses a new catalog that lacks a source because its store could not be read.
    pub(super) fn refuse_unread(&self, new: &Catalog, rebuilt: &mut Rebuilt) -> Result<(), Error> {
        let known = new.sources()?;
        let mut lost = self
            .sources
            .iter()
            .filter(|row| self.is_opened(row))
            .filter(|row| known.iter().all(|new| new.ledger != row.ledger));
        let unread = lost.find_map(|row| {
            let mut unread = rebuilt.unread.iter();
            unread.position(|(url, _)| is_place(&row.store, url))
        });
        match unread {
            Some(at) => Err(Error::Store(rebuilt.unread.swap_remove(at).1)),
            None => Ok(()),
        }
    }

    /// Refuses a new catalog that lacks what the old one knows: a ledger, entries at its end, the same
    /// entries, or an archive whose commit was never answered.
    pub(super) fn refuse_loss(
        &self,
        job: &Rebuilding<'_>,
        new: &Catalog,
        read: &[ImportedLedger],
    ) -> Result<(), Error> {
        let Some(catalog) = &self.catalog else {
            return Ok(());
        };
        let known = new.sources()?;
        for row in self.sources.iter().filter(|row| self.is_opened(row)) {
            // Look in all stores: the store may have moved.
            let store = match known.iter().find(|new| new.ledger == row.ledger) {
                Some(found) => &found.store,
                None if job.reads(row) => &row.store,
                None => {
                    return Err(RebuildError::StoreLeftOut {
                        source_name: row.name.clone(),
                        store: row.store.clone(),
                    }
                    .into());
                }
            };
            let read = read.iter().find(|read| read.ledger == row.ledger);
            self.require_no_rollback(row, store, new, read)?;
            if job.unfinished == Unfinished::Keep {
                let archives = new.archives(&row.ledger)?;
                let committing = catalog.committing(&row.ledger)?;
                if let Some(archive) = committing
                    .into_iter()
                    .find(|id| archives.iter().all(|archive| archive.id != *id))
                {
                    return Err(RebuildError::UnfinishedHere {
                        source_name: row.name.clone(),
                        archive,
                    }
                    .into());
                }
            }
        }
        Ok(())
    }

    /// Refuses a store that has fewer or other entries of a ledger than the old catalog.
    fn require_no_rollback(
        &self,
        row: &SourceRow,
        store: &str,
        new: &Catalog,
        read: Option<&ImportedLedger>,
    ) -> Result<(), Error> {
        let forked = |seq| {
            Error::LedgerState(LedgerStateError::LedgerForked {
                source_name: row.name.clone(),
                store: store.to_owned(),
                seq,
            })
        };
        let earlier = self.of(&row.ledger);
        for (seq, entry) in &earlier.entries {
            // An entry that is lost between others is already reported as a flaw.
            let now = new.entry_hash(&row.ledger, *seq)?;
            if now.is_some_and(|now| now != entry.hash) {
                return Err(forked(*seq));
            }
        }
        let head = new.head(&row.ledger)?.map_or(0, |(seq, _)| seq);
        let known = earlier.entries.keys().next_back().copied().unwrap_or(0);
        if head >= known {
            return Ok(());
        }
        let mut flaws = read.into_iter().flat_map(|read| &read.flaws);
        let fork = flaws.find_map(|flaw| match flaw {
            Flaw::Forked(seq, _) => Some(forked(*seq)),
            _ => None,
        });
        Err(fork.unwrap_or_else(|| {
            Error::LedgerState(LedgerStateError::LedgerBehind {
                source_name: row.name.clone(),
                store: store.to_owned(),
                missing: head + 1,
                head: known,
            })
        }))
    }

    /// Copies the sources that have no entries. Only the old catalog and the kit have their ledger ids.
    pub(super) fn keep_what_was_never_archived(&self, new: &mut Catalog) -> Result<(), Error> {
        for row in &self.sources {
            let known = new.sources()?;
            let taken = known.iter().any(|known| {
                known.name == row.name
                    || known.ledger == row.ledger
                    || (known.directory == row.directory && is_place(&known.store, &row.store))
            });
            if !taken {
                new.add_source(row)?;
            }
        }
        Ok(())
    }

    /// Copies the snapshots of sources that have no ledger in the stores: those without a store, and those that were
    /// never archived. They are as they were recorded, since their disk may be away now.
    pub(super) fn keep_snapshots(
        &self,
        read: &[ImportedLedger],
        new: &mut Catalog,
    ) -> Result<(), Error> {
        let Some(catalog) = &self.catalog else {
            return Ok(());
        };
        let mut names = catalog.sources_of_snapshots_alone()?;
        let unread = self
            .sources
            .iter()
            .filter(|row| read.iter().all(|read| read.ledger != row.ledger));
        names.extend(unread.map(|row| row.name.clone()));
        for name in names {
            for row in catalog.snapshots(&name)? {
                new.take_over_snapshot(&name, &row)?;
            }
        }
        Ok(())
    }

    /// Copies the mirrors with what they have, the pulled subvolumes, and what was imported of another tool: no ledger knows
    /// them.
    pub(super) fn keep_mirrors(&self, new: &mut Catalog) -> Result<(), Error> {
        let Some(catalog) = &self.catalog else {
            return Ok(());
        };
        for row in catalog.mirrors()? {
            new.take_over_mirror(&row, &catalog.mirrored(row.id)?)?;
        }
        for row in catalog.pulls()? {
            new.take_over_pull(&row)?;
        }
        for row in catalog.imported()? {
            new.import(&row, &catalog.imported_archives(&row.name)?)?;
        }
        Ok(())
    }
}

impl Rebuilding<'_> {
    fn reads(&self, row: &SourceRow) -> bool {
        self.stores
            .iter()
            .any(|store| is_place(&row.store, &store_url(store)))
    }
}
