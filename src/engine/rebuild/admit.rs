//! Decides whether the ledger in a directory is trusted, and what its source is called.

use super::inventory::Survey;
use super::old_catalog::Before;
use super::request::Rebuilding;
use crate::catalog::{Catalog, SourceRow};
use crate::config::{Source, SourcePlace, StoreConfig};
use crate::engine::context::open_source::{is_place, store_url};
use crate::engine::ledger::object::is_no_entry;
use crate::error::{Error, LedgerStateError, RebuildError};
use crate::ledger::{EntryRefusal, PublicKey, decode_body, split};
use crate::model::entry::OPEN_BYTES;
use crate::model::entry::{Entry, EntryKind};
use crate::model::{LedgerId, SourceName, keys};
use crate::store::Store;

/// What to do with a source's directory.
pub(super) enum Admission {
    Read(PublicKey, SourceRow),
    /// Its ledger was read from another place, as that of this source.
    ReadBefore(SourceRow),
    LeaveOut(String),
    Refuse(Error),
}

impl Admission {
    fn refuse(why: impl Into<Error>) -> Self {
        Self::Refuse(why.into())
    }
}

impl Rebuilding<'_> {
    /// Decides whether the ledger in a directory is trusted, and what its source is called.
    pub(super) fn choose(
        &self,
        directory: &SourceName,
        url: &str,
        store: &dyn Store,
        survey: &Survey,
        before: &Before,
        new: &Catalog,
    ) -> Result<Admission, Error> {
        let known: Vec<(LedgerId, SourceName)> = before
            .sources
            .iter()
            .filter(|row| before.is_opened(row))
            .filter(|row| row.directory == directory.as_str() && is_place(&row.store, url))
            .map(|row| (row.ledger, row.name.clone()))
            .chain(
                self.trusted
                    .in_directory(directory.as_str())
                    .map(|named| (named.ledger, named.name.clone())),
            )
            .collect();
        let (claimed, refused) = match claimed(directory, store)? {
            Ok(entry) => (Some(entry), None),
            Err(why) => (None, Some(why)),
        };
        let refuse = |why: EntryRefusal| {
            let seq = match why {
                EntryRefusal::Gap { .. } => survey.entries.first().copied().unwrap_or(1),
                _ => 1,
            };
            Admission::refuse(LedgerStateError::EntryRefused {
                seq,
                source_name: self
                    .configured(directory, url)
                    .map_or_else(|| directory.clone(), |source| source.name.clone()),
                store: url.to_owned(),
                source: Box::new(why),
            })
        };
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
        let (ledger, name) = match (found.or(known.first()), ledger) {
            // If the ledger there is another one, reading it reports that.
            (Some((ledger, name)), _) => (*ledger, name.clone()),
            (None, None) if self.trusted.sources.is_empty() || !self.trusted.typed.is_empty() => {
                // It may be a trusted ledger, but only its first entry would show that.
                return Ok(refuse(refused.unwrap_or(EntryRefusal::Open)));
            }
            (None, None) => {
                return Ok(Admission::LeaveOut(
                    "the recovery kit does not name that ledger, and the ledger's first entry is missing or damaged"
                        .to_owned(),
                ));
            }
            (None, Some(ledger)) => match (&root, self.trusted.sources.is_empty()) {
                (_, true) => (ledger, name_of(ledger, directory, before)),
                (Some(root), false) if self.trusted.typed.contains(root) => {
                    (ledger, name_of(ledger, directory, before))
                }
                (Some(root), false) => {
                    return Ok(Admission::refuse(RebuildError::LedgerUnlisted {
                        directory: directory.clone(),
                        store: url.to_owned(),
                        root: root.to_string(),
                    }));
                }
                (None, false) => {
                    return Ok(Admission::LeaveOut(
                        "the recovery kit names neither its ledger nor its root key".to_owned(),
                    ));
                }
            },
        };
        let Some(root) = root.or_else(|| self.trusted.roots.first().cloned()) else {
            let newer = claimed.filter(|entry| matches!(entry.kind, EntryKind::Unknown(_)));
            return Ok(refuse(newer.map_or(EntryRefusal::Open, |entry| {
                EntryRefusal::Newer {
                    format: entry.head.format,
                }
            })));
        };
        let read = new.sources()?.into_iter();
        if let Some(known) = read.into_iter().find(|known| known.ledger == ledger) {
            return Ok(Admission::ReadBefore(known));
        }
        let is_copy = survey.markers.is_copy && survey.markers.homes.is_empty();
        let configured = match self.configured(directory, url) {
            None if is_copy => self.home_of_copy(directory, url, ledger, before),
            configured => configured,
        };
        let row = SourceRow {
            name: match configured {
                // The config's name has precedence, as everywhere.
                Some(source) => source.name.clone(),
                None => self.free_name(&name, new)?,
            },
            directory: directory.to_string(),
            store: url.to_owned(),
            ledger,
        };
        Ok(Admission::Read(root, row))
    }

    /// Returns the source that the config has in this directory.
    fn configured(&self, directory: &SourceName, url: &str) -> Option<&Source> {
        let mut archived = self.config?.archived();
        let found = archived
            .find(|(source, store)| source.directory == *directory && store_url(store) == url);
        found.map(|(source, _)| source)
    }

    /// Returns the source of the config of which this directory has a copy of the ledger: one that has its home in
    /// another store. The config, the old catalog or the kit must say that it is this ledger's, or no other source can be.
    pub(super) fn home_of_copy(
        &self,
        directory: &SourceName,
        url: &str,
        ledger: LedgerId,
        before: &Before,
    ) -> Option<&Source> {
        let config = self.config?;
        let elsewhere = || {
            config
                .archived()
                .filter(|(source, _)| source.directory == *directory)
                .filter(|(_, store)| !is_place(&store_url(store), url))
        };
        let is_here = |name: &String| is_place(&store_url(&config.stores[name]), url);
        let named = elsewhere().find(|(source, store)| {
            let home = store_url(store);
            let mut known = before.sources.iter();
            let mut in_kit = self.trusted.sources.iter();
            source.copies.iter().any(is_here)
                || known.any(|row| row.ledger == ledger && is_place(&row.store, &home))
                || in_kit.any(|row| row.ledger == ledger && is_place(&row.store, &home))
        });
        let is_store_known = config.stores.keys().any(is_here);
        let only = match elsewhere().collect::<Vec<_>>()[..] {
            [only] if is_store_known => Some(only),
            _ => None,
        };
        named.or(only).map(|(source, _)| source)
    }

    /// Returns the source as configured, or else one made from its row.
    pub(super) fn source(&self, row: &SourceRow, url: &str) -> Result<Source, Error> {
        let directory: SourceName = row.directory.parse()?;
        if let Some(configured) = self.configured(&directory, url) {
            return Ok(configured.clone());
        }
        let place = SourcePlace {
            name: row.name.clone(),
            directory,
            store: row.store.clone(),
        };
        // Its snapshots are still here if it keeps snapshots alone now.
        let mut sources = self.config.into_iter().flat_map(|config| &config.sources);
        let alone = sources.find(|source| source.name == row.name && source.store.is_none());
        Ok(match alone {
            Some(alone) => alone.with_archives_at(&place),
            None => Source::at(&place),
        })
    }

    /// Returns this name, or one with a number if it is taken: by another source, or in the config by another
    /// source in these stores. Each store may have a directory of the same name.
    fn free_name(&self, name: &SourceName, new: &Catalog) -> Result<SourceName, Error> {
        let mut taken: Vec<SourceName> = new.sources()?.into_iter().map(|row| row.name).collect();
        if let Some(config) = self.config {
            let is_read = |store: &StoreConfig| {
                let place = store_url(store);
                self.stores.iter().any(|store| store_url(store) == place)
            };
            let configured = config.archived().filter(|(_, store)| is_read(store));
            taken.extend(configured.map(|(source, _)| source.name.clone()));
        }
        let mut free = name.clone();
        let mut number = 2;
        while taken.contains(&free) {
            free = format!("{name}.{number}").parse()?;
            number += 1;
        }
        Ok(free)
    }
}

/// Returns the name that the source of this ledger had in the old catalog, in any store; else the name of its
/// directory.
fn name_of(ledger: LedgerId, directory: &SourceName, before: &Before) -> SourceName {
    let known = before.sources.iter().find(|row| row.ledger == ledger);
    known.map_or_else(|| directory.clone(), |row| row.name.clone())
}

/// Reads the first entry of a directory's ledger without checking its signature, or returns why it can't be
/// read. If the first try fails, it is fetched once more.
fn claimed(
    directory: &SourceName,
    store: &dyn Store,
) -> Result<Result<Entry, EntryRefusal>, Error> {
    let first = store.locate(&keys::ledger_entry(directory.as_str(), 1));
    let look = || match store.get(&first, OPEN_BYTES) {
        Ok(object) => Ok(split(&object).and_then(|(body, _)| decode_body(body))),
        Err(error) if error.is_not_found() => Ok(Err(EntryRefusal::Gap { missing: 1 })),
        Err(error) if is_no_entry(&error) => Ok(Err(EntryRefusal::Shape(
            "the store has no such object there, or one that is too long",
        ))),
        Err(error) => Err(Error::from(error)),
    };
    match look()? {
        Ok(entry) => Ok(Ok(entry)),
        Err(_) => look(),
    }
}
