//! Makes a new catalog from nothing but stores and a key.
//!
//! The stores are only read. A new database is written beside the old one and replaces it when it is
//! complete. The old one is kept under another name. The ledger's head in the store is compared with the one
//! in the old catalog and in the recovery kit: a store that has gone back is not trusted.

mod admit;
mod flaw;
mod inventory;
mod missing_sources;
mod old_catalog;
mod old_ledger;
mod read;
mod rebuilt;
mod relink_snapshots;
mod request;
mod revoked_keys;
mod swap;

use std::collections::{BTreeMap, BTreeSet};

use crate::catalog::{Catalog, NewCatalog, SourceRow};
use crate::config::StoreConfig;
use crate::engine::context::RunContext;
use crate::engine::context::kit_file::note_in_kit;
use crate::engine::context::open_source::{OpenSource, store_address, store_url};
use crate::engine::ledger::reader_warnings::{remember_as_of, remember_newer, remember_own_word};
use crate::error::{Error, LedgerStateError, RebuildError};
use crate::model::SourceName;
use crate::store::Store;

pub use flaw::Flaw;
pub use inventory::Unnamed;
pub(super) use inventory::{Survey, survey_of};
pub(super) use old_ledger::Earlier;
pub use read::ImportedLedger;
pub(super) use read::{LedgerPlace, read_ledger};
pub use rebuilt::Rebuilt;
pub use request::{AsOf, Rebuilding, Unfinished};

use admit::Admission;
use inventory::survey;
use old_catalog::Before;

/// Reads the ledgers of stores into a new catalog, and replaces the old catalog with it.
pub fn rebuild(job: &Rebuilding<'_>, context: RunContext<'_>) -> Result<Rebuilt, Error> {
    let rebuilt = rebuild_all(job, context);
    if rebuilt.is_err() {
        // A failure here does no harm. The error that led here is reported; a second one would only confuse.
        let _ = swap::discard(job.state_dir);
    }
    rebuilt
}

fn rebuild_all(job: &Rebuilding<'_>, context: RunContext<'_>) -> Result<Rebuilt, Error> {
    job.state_dir.create()?;
    let _state = job.state_dir.lock_for_init(context.interrupt)?;
    let mut rebuilt = Rebuilt {
        read: Vec::new(),
        left_out: Vec::new(),
        refused: Vec::new(),
        unread: Vec::new(),
        remarks: Vec::new(),
        kept: None,
    };
    let before = Before::open(job.state_dir, &mut rebuilt)?;
    if job.as_of.is_some() && before.sources.iter().any(|row| before.is_opened(row)) {
        return Err(RebuildError::AsOfHere(job.state_dir.path().to_owned()).into());
    }
    let mut names: BTreeSet<&SourceName> = before.sources.iter().map(|row| &row.name).collect();
    let configured = job.config.iter().flat_map(|config| &config.sources);
    names.extend(configured.map(|source| &source.name));
    let _locks = names
        .into_iter()
        .map(|name| job.state_dir.lock(name, &context))
        .collect::<Result<Vec<_>, _>>()?;
    before.refuse_to_give_up(job)?;

    let mut new = swap::begin(job.state_dir)?;
    let mut directories = BTreeSet::new();
    for config in job.stores {
        let surveyed = context.open(config).and_then(|store| {
            let surveys = survey(store.as_ref())?;
            Ok((store, surveys))
        });
        match surveyed {
            Ok((store, surveys)) => {
                directories.extend(surveys.keys().map(ToString::to_string));
                let surveyed = (store.as_ref(), surveys);
                job.read_store(config, surveyed, &before, &mut new, &mut rebuilt, context)?;
            }
            // Another store may be sound, and needed now.
            Err(Error::Store(error)) if job.stores.len() > 1 && error.kind.is_out_of_reach() => {
                rebuilt.unread.push((store_url(config), error));
            }
            Err(error) => return Err(error),
        }
    }
    if rebuilt.unread.is_empty() {
        job.require_named(&directories)?;
    }
    if let (Some(AsOf { only: None, .. }), [one, other, ..]) = (job.as_of, &rebuilt.read[..]) {
        return Err(Error::Rebuild(RebuildError::AsOfSeveral {
            one: one.directory.clone(),
            other: other.directory.clone(),
        }));
    }
    revoked_keys::leave_out(job, &before, &mut new, &mut rebuilt)?;
    if rebuilt.read.is_empty() {
        let refused = rebuilt.refused.pop().map(|(_, error)| error);
        let unread = rebuilt.unread.pop().map(|(_, error)| Error::Store(error));
        return Err(refused.or(unread).unwrap_or_else(|| {
            Error::Rebuild(RebuildError::NoLedger {
                stores: job.urls(),
                foreign: !rebuilt.left_out.is_empty(),
            })
        }));
    }
    job.note_elsewhere(&mut rebuilt);
    require_one_opened(&mut rebuilt)?;
    before.refuse_unread(&new, &mut rebuilt)?;
    before.refuse_loss(job, &new, &rebuilt.read)?;
    before.keep_what_was_never_archived(&mut new)?;
    before.keep_snapshots(&rebuilt.read, &mut new)?;
    before.keep_mirrors(&mut new)?;
    rebuilt.kept = swap::swap_in(job.state_dir, new, before.catalog)?;
    if let [root] = job.trusted.roots.as_slice() {
        // No archive made under another root key is lost by this, or the rebuild would have been refused.
        if let Some(kept) = job.state_dir.trust(root)? {
            rebuilt.remarks.push(format!(
                "another root key was trusted here, under which nothing was archived; it is kept as {}. Run \
                 `coldchain key rotate --kit FILE --new-signing-key` to let this machine sign",
                kept.display()
            ));
        }
    }
    Ok(rebuilt)
}

/// Refuses an identity that opens no archive at all. If it opens none of one ledger only, that is a flaw of
/// this ledger: its recipients may be others.
fn require_one_opened(rebuilt: &mut Rebuilt) -> Result<(), Error> {
    if rebuilt.read.iter().any(|read| read.opened > 0) {
        return Ok(());
    }
    let locked = rebuilt.read.iter_mut().find_map(|read| read.locked.take());
    locked.map_or(Ok(()), Err)
}

impl Rebuilding<'_> {
    fn urls(&self) -> String {
        let urls: Vec<String> = self.stores.iter().map(store_url).collect();
        urls.join(", ")
    }

    /// Refuses the name of a directory that no store has: it is probably a typing error.
    fn require_named(&self, directories: &BTreeSet<String>) -> Result<(), Error> {
        let included = self.included.iter().map(String::as_str);
        let only = self.as_of.and_then(|as_of| as_of.only);
        match included
            .chain(only)
            .find(|name| !directories.contains(*name))
        {
            Some(name) => Err(Error::Rebuild(RebuildError::NoSuchDirectory {
                directory: name.to_owned(),
                stores: self.urls(),
            })),
            None => Ok(()),
        }
    }

    fn read_store(
        &self,
        config: &StoreConfig,
        (store, surveys): (&dyn Store, BTreeMap<SourceName, Survey>),
        before: &Before,
        new: &mut NewCatalog,
        rebuilt: &mut Rebuilt,
        context: RunContext<'_>,
    ) -> Result<(), Error> {
        let url = store_url(config);
        self.note_absent(&url, store, &surveys, rebuilt)?;
        let only = self.as_of.and_then(|as_of| as_of.only);
        for (directory, survey) in surveys {
            if only.is_some_and(|only| directory.as_str() != only) {
                continue;
            }
            if survey.entries.is_empty() {
                self.note_without_ledger(&directory, (&url, store), &survey, before, rebuilt)?;
                continue;
            }
            let place = format!("{url}/{directory}");
            match self.choose(&directory, &url, store, &survey, before, new)? {
                Admission::Read(root, row) => {
                    let source = self.source(&row, &url)?;
                    let open = OpenSource {
                        config: &source,
                        row: SourceRow {
                            store: store_address(config),
                            ..row
                        },
                        store: Box::new(store),
                    };
                    new.add_source(&open.row)?;
                    let earlier = before.of(&open.row.ledger);
                    survey.require_all_entries(store, &open.row.directory, earlier)?;
                    let place_of_ledger = LedgerPlace {
                        source: &open,
                        root: &root,
                        survey: &survey,
                        earlier,
                        identities: self.identities,
                        until: self.as_of.map(|as_of| as_of.entry),
                    };
                    match read_ledger(&place_of_ledger, new, context) {
                        Ok(mut read) => {
                            if let Some(as_of) = self.as_of {
                                // A ledger may end before the entry that was typed.
                                let end = read.head.as_ref().map_or(0, |head| head.seq);
                                remember_as_of(&open.row.name, as_of.entry.min(end), new)?;
                            } else {
                                self.hold_against_kit(&mut read, new)?;
                            }
                            if self.trusted.names(&read.ledger) {
                                note_in_kit(&open.row, new)?;
                            }
                            remember_newer(&open.row.name, read.unknown(), new)?;
                            if self.trusted.takes_any() {
                                remember_own_word(&open.row.name, &root, new)?;
                            }
                            let regained = relink_snapshots::regain(
                                &source,
                                &open.row,
                                before.catalog.as_ref(),
                                new,
                                context,
                            )?;
                            read.pins = regained.tied;
                            read.of_unknown_origin = regained.of_unknown_origin;
                            rebuilt.read.push(read);
                        }
                        Err(
                            error @ (Error::LedgerState(LedgerStateError::EntryRefused { .. })
                            | Error::Rebuild(RebuildError::LedgerUntrusted { .. })),
                        ) => {
                            new.forget_source(&open.row)?;
                            rebuilt.refused.push((place, error));
                        }
                        Err(error) => return Err(error),
                    }
                }
                Admission::LeaveOut(why) => rebuilt.left_out.push((place, why)),
                Admission::Refuse(error) => rebuilt.refused.push((place, error)),
            }
        }
        Ok(())
    }

    /// Notes what the kit knows of a ledger and the store does not show.
    fn hold_against_kit(&self, read: &mut ImportedLedger, new: &Catalog) -> Result<(), Error> {
        let witness = "the recovery kit";
        let newest = read.head.map_or(0, |head| head.seq);
        let named = self.trusted.sources.iter();
        for head in named
            .filter(|source| source.ledger == read.ledger)
            .filter_map(|source| source.head)
        {
            if head.seq > newest {
                let missing = newest + 1..=head.seq;
                read.flaws.push(Flaw::Behind { missing, witness });
            } else if new
                .entry_hash(&read.ledger, head.seq)?
                .is_some_and(|hash| hash != head.hash)
            {
                let seq = head.seq;
                read.flaws.push(Flaw::Changed { seq, witness });
            }
        }
        Ok(())
    }
}
