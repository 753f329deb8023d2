//! What the catalog of before knows, and must not be lost or contradicted by a new one.

use super::{Rebuilding, Rebuilt, Unfinished};
use crate::catalog::{Catalog, SourceRow};
use crate::engine::source::{is_place, store_url};
use crate::engine::state::StateDir;
use crate::error::{Error, in_words};

/// The catalog of before, as far as it can be read.
pub(super) struct Before {
    pub(super) catalog: Option<Catalog>,
    pub(super) sources: Vec<SourceRow>,
}

impl Before {
    pub(super) fn open(state_dir: &StateDir, rebuilt: &mut Rebuilt) -> Result<Self, Error> {
        let read = || -> Result<Self, Error> {
            let catalog = state_dir.catalog_to_read()?;
            let sources = catalog.sources()?;
            Ok(Self {
                catalog: Some(catalog),
                sources,
            })
        };
        match read() {
            // It is what this is here to mend.
            Err(Error::Catalog(error)) if error.is_integrity() => {
                rebuilt.remarks.push(format!(
                    "the catalog that was here can't be read, and nothing was taken from it: {}",
                    in_words(&error)
                ));
                Ok(Self {
                    catalog: None,
                    sources: Vec::new(),
                })
            }
            read => read,
        }
    }

    /// Refuses to drop what the catalog of before alone knows.
    pub(super) fn refuse_loss(&self, job: &Rebuilding<'_>) -> Result<(), Error> {
        let Some(catalog) = &self.catalog else {
            return Ok(());
        };
        for row in &self.sources {
            if !catalog.entries(&row.ledger)?.is_empty() && !job.reads(row) {
                return Err(Error::StoreLeftOut {
                    source_name: row.name.clone(),
                    store: row.store.clone(),
                });
            }
            if job.unfinished == Unfinished::Keep
                && let Some(attempt) = catalog.unfinished(&row.ledger)?.first()
            {
                return Err(Error::UnfinishedHere {
                    source_name: row.name.clone(),
                    archive: attempt.id,
                });
            }
        }
        Ok(())
    }

    /// Refuses a store that shows less of a ledger than the catalog of before, or another.
    pub(super) fn require_no_rollback(&self, new: &Catalog) -> Result<(), Error> {
        let Some(catalog) = &self.catalog else {
            return Ok(());
        };
        for row in &self.sources {
            let Some((seq, hash)) = catalog.head(&row.ledger)? else {
                continue;
            };
            let head = new.head(&row.ledger)?.map_or(0, |(seq, _)| seq);
            if head < seq {
                return Err(Error::LedgerBehind {
                    source_name: row.name.clone(),
                    store: row.store.clone(),
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
                    store: row.store.clone(),
                    seq,
                });
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
                    || (known.directory == row.directory && known.store == row.store)
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
