//! Whose ledger lies in a directory, and what its source is called.

use super::Rebuilding;
use super::before::Before;
use crate::catalog::{Catalog, SourceRow};
use crate::config::{Source, SourcePlace};
use crate::engine::head::MAX_ENTRY_BYTES;
use crate::engine::source::{is_place, store_url};
use crate::error::Error;
use crate::ledger::{PublicKey, decode_body, split};
use crate::model::entry::EntryKind;
use crate::model::{LedgerId, SourceName, keys};
use crate::store::Store;

/// What is done with a source's directory.
pub(super) enum Choice {
    Read(PublicKey, SourceRow),
    LeaveOut(String),
    Refuse(Error),
}

impl Rebuilding<'_> {
    /// Whether a directory's ledger is one that is trusted, and what its source is called.
    pub(super) fn choose(
        &self,
        directory: &SourceName,
        url: &str,
        store: &dyn Store,
        before: &Before,
        new: &Catalog,
    ) -> Result<Choice, Error> {
        let first = keys::ledger_entry(directory.as_str(), 1);
        let known: Vec<(LedgerId, SourceName)> = before
            .sources
            .iter()
            .filter(|row| row.directory == directory.as_str() && is_place(&row.store, url))
            .map(|row| (row.ledger, row.name.clone()))
            .chain(
                self.trusted
                    .in_directory(directory.as_str())
                    .map(|named| (named.ledger, named.name.clone())),
            )
            .collect();
        let claimed = store
            .get(&store.locate(&first), MAX_ENTRY_BYTES)
            .ok()
            .and_then(|object| decode_body(split(&object).ok()?.0).ok());
        let root = claimed.as_ref().and_then(|entry| {
            let EntryKind::Open(open) = &entry.kind else {
                return None;
            };
            let named = &open.keys.first()?.key;
            if self.trusted.takes_any() {
                return named.parse().ok();
            }
            let mut roots = self.trusted.roots.iter();
            roots.find(|root| root.to_string() == *named).cloned()
        });
        let ledger = claimed.as_ref().map(|entry| entry.head.ledger);
        let found = known.iter().find(|(known, _)| Some(*known) == ledger);
        let is_known = !known.is_empty();
        let (ledger, name) = match (found, ledger) {
            (Some((ledger, name)), _) => (*ledger, name.clone()),
            // What it should be, so that reading it says what it is instead.
            (None, _) if is_known => known[0].clone(),
            (None, Some(ledger)) if self.trusted.sources.is_empty() => {
                (ledger, self.name(directory, url))
            }
            (None, Some(_)) => {
                return Ok(Choice::LeaveOut(
                    "the recovery kit does not name its ledger".to_owned(),
                ));
            }
            (None, None) => {
                return Ok(Choice::LeaveOut(
                    "its first ledger entry is missing or damaged".to_owned(),
                ));
            }
        };
        let Some(root) = root.or_else(|| self.trusted.roots.first().cloned()) else {
            return Err(Error::NobodyTrusted);
        };
        let row = SourceRow {
            name: free_name(&name, new)?,
            directory: directory.to_string(),
            store: url.to_owned(),
            ledger,
        };
        if new.sources()?.iter().any(|known| known.ledger == ledger) {
            return Ok(Choice::Refuse(Error::LedgerTwice {
                source_name: row.name,
                store: url.to_owned(),
            }));
        }
        Ok(Choice::Read(root, row))
    }

    /// What the config calls the source there; else it is called like its directory.
    fn name(&self, directory: &SourceName, url: &str) -> SourceName {
        let configured = self.config.and_then(|config| {
            config.sources.iter().find(|source| {
                source.directory == *directory && store_url(&config.stores[&source.store]) == url
            })
        });
        configured.map_or_else(|| directory.clone(), |source| source.name.clone())
    }

    /// What the config says of the source, or what is known without one.
    pub(super) fn source(&self, row: &SourceRow, url: &str) -> Result<Source, Error> {
        let directory: SourceName = row.directory.parse()?;
        let configured = self.config.and_then(|config| {
            config.sources.iter().find(|source| {
                source.directory == directory && store_url(&config.stores[&source.store]) == url
            })
        });
        Ok(configured.cloned().unwrap_or_else(|| {
            Source::at(&SourcePlace {
                name: row.name.clone(),
                directory,
                store: row.store.clone(),
            })
        }))
    }
}

/// That name, or one like it if another source has it already: stores may have a directory of the same
/// name each.
fn free_name(name: &SourceName, new: &Catalog) -> Result<SourceName, Error> {
    let taken: Vec<SourceName> = new.sources()?.into_iter().map(|row| row.name).collect();
    let mut free = name.clone();
    let mut number = 2;
    while taken.contains(&free) {
        free = format!("{name}.{number}").parse()?;
        number += 1;
    }
    Ok(free)
}
