//! What the catalog of before knows, and must not be lost or contradicted by a new one.

use std::collections::HashMap;

use super::{Rebuilding, Rebuilt, Unfinished};
use crate::catalog::{Catalog, SourceRow};
use crate::engine::source::{is_place, store_url};
use crate::engine::state::StateDir;
use crate::error::{Error, in_words};
use crate::model::LedgerId;

/// The catalog of before, as far as it can be read.
#[derive(Default)]
pub(super) struct Before {
    pub(super) catalog: Option<Catalog>,
    pub(super) sources: Vec<SourceRow>,
    /// How many entries of each source's ledger it knows, if any.
    entries: HashMap<LedgerId, usize>,
}

impl Before {
    pub(super) fn open(state_dir: &StateDir, rebuilt: &mut Rebuilt) -> Result<Self, Error> {
        match Self::read(state_dir) {
            // It is what this is here to mend.
            Err(Error::Catalog(error)) if error.is_integrity() => {
                rebuilt.remarks.push(format!(
                    "the catalog that was here can't be read, and nothing was taken from it: {}",
                    in_words(&error)
                ));
                Ok(Self::default())
            }
            read => read,
        }
    }

    fn read(state_dir: &StateDir) -> Result<Self, Error> {
        let catalog = state_dir.catalog_to_read()?;
        let sources = catalog.sources()?;
        let mut entries = HashMap::new();
        for row in &sources {
            entries.insert(row.ledger, catalog.entries(&row.ledger)?.len());
        }
        Ok(Self {
            catalog: Some(catalog),
            sources,
            entries,
        })
    }

    /// Whether anything of a source's ledger is known. The ledger of one that `init` has named, and nothing
    /// was archived of, binds nobody.
    pub(super) fn is_opened(&self, row: &SourceRow) -> bool {
        self.entries
            .get(&row.ledger)
            .is_some_and(|known| *known > 0)
    }

    /// Refuses to drop an attempt that only the catalog of before can go on with.
    pub(super) fn refuse_to_give_up(&self, job: &Rebuilding<'_>) -> Result<(), Error> {
        let (Some(catalog), Unfinished::Keep) = (&self.catalog, job.unfinished) else {
            return Ok(());
        };
        for row in &self.sources {
            if let Some(attempt) = catalog.unfinished(&row.ledger)?.first() {
                return Err(Error::UnfinishedHere {
                    source_name: row.name.clone(),
                    archive: attempt.id,
                });
            }
        }
        Ok(())
    }

    /// Refuses a new catalog that lacks what the one of before knows: a ledger, entries at its end, other
    /// entries, or an archive whose commit was never answered.
    pub(super) fn refuse_loss(&self, job: &Rebuilding<'_>, new: &Catalog) -> Result<(), Error> {
        let Some(catalog) = &self.catalog else {
            return Ok(());
        };
        let known = new.sources()?;
        for row in self.sources.iter().filter(|row| self.is_opened(row)) {
            // Wherever it is by now: a store may have moved.
            let store = match known.iter().find(|new| new.ledger == row.ledger) {
                Some(found) => &found.store,
                None if job.reads(row) => &row.store,
                None => {
                    return Err(Error::StoreLeftOut {
                        source_name: row.name.clone(),
                        store: row.store.clone(),
                    });
                }
            };
            if let Some((seq, hash)) = catalog.head(&row.ledger)? {
                let head = new.head(&row.ledger)?.map_or(0, |(seq, _)| seq);
                if head < seq {
                    return Err(Error::LedgerBehind {
                        source_name: row.name.clone(),
                        store: store.clone(),
                        missing: head + 1,
                        head: seq,
                    });
                }
                // One that is lost in between is told as such.
                if new
                    .entry_hash(&row.ledger, seq)?
                    .is_some_and(|now| now != hash)
                {
                    return Err(Error::LedgerForked {
                        source_name: row.name.clone(),
                        store: store.clone(),
                        seq,
                    });
                }
            }
            if job.unfinished == Unfinished::Keep {
                let archives = new.archives(&row.ledger)?;
                let committing = catalog.committing(&row.ledger)?;
                if let Some(archive) = committing
                    .into_iter()
                    .find(|id| archives.iter().all(|archive| archive.id != *id))
                {
                    return Err(Error::UnfinishedHere {
                        source_name: row.name.clone(),
                        archive,
                    });
                }
            }
        }
        Ok(())
    }

    /// A source without an entry has its ledger's id here and in the kit alone.
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
}

impl Rebuilding<'_> {
    fn reads(&self, row: &SourceRow) -> bool {
        self.stores
            .iter()
            .any(|store| is_place(&row.store, &store_url(store)))
    }
}
