//! Makes a new catalog from nothing but stores and a key.
//!
//! The stores are only read. A new database is written beside the old one and replaces it when it is
//! complete. The old one is kept under another name. The ledger's head in the store is compared with the one
//! in the old catalog and in the recovery kit: a store that has gone back is not trusted.

mod admit;
mod copy_found;
mod flaw;
mod inventory;
mod missing_sources;
mod old_catalog;
mod old_ledger;
mod old_places;
mod places;
mod read;
mod read_segments;
mod rebuilt;
mod relink_snapshots;
mod request;
mod revoked_keys;
mod swap;

use std::collections::BTreeSet;

use crate::engine::context::RunContext;
use crate::engine::context::open_source::store_url;
use crate::error::{Error, RebuildError};
use crate::model::SourceName;

pub use copy_found::CopyFound;
pub use flaw::Flaw;
pub use inventory::Unnamed;
pub(super) use inventory::{Survey, survey_of};
pub(super) use old_ledger::Earlier;
pub use read::ImportedLedger;
pub(super) use read::{LedgerPlace, ReadFrom, read_ledger};
pub use rebuilt::Rebuilt;
pub use request::{AsOf, Rebuilding, Unfinished};

use inventory::survey;
use old_catalog::Before;
use places::SurveyedPlaces;

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
    let mut places = SurveyedPlaces::default();
    for config in job.stores {
        let surveyed = context.open(config).and_then(|store| {
            let surveys = survey(store.as_ref())?;
            Ok((store, surveys))
        });
        match surveyed {
            Ok((store, surveys)) => {
                directories.extend(surveys.keys().map(ToString::to_string));
                job.note_absent(&store_url(config), store.as_ref(), &surveys, &mut rebuilt)?;
                places.add(config, store, surveys);
            }
            // Another store may be sound, and needed now.
            Err(Error::Store(error)) if job.stores.len() > 1 && error.kind.is_out_of_reach() => {
                rebuilt.unread.push((store_url(config), error));
            }
            Err(error) => return Err(error),
        }
    }
    places.read(job, &before, &mut new, &mut rebuilt, context)?;
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
    rebuilt.remarks.extend(before.places.keep(&mut new)?);
    job.note_copies_of_kit(&mut new)?;
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
}
