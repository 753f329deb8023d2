//! Archives of a configured source that the catalog here knows nothing of: it was lost, or they are another machine's.
//! To call such a source new would be wrong.

use crate::catalog::Catalog;
use crate::config::{Config, Origin, Source, StoreConfig};
use crate::engine::context::open_source::{is_place, open_impatient_store, store_url};
use crate::engine::context::state_dir::{CatalogFile, StateDir};
use crate::error::{Error, LedgerStateError};
use crate::ledger::{decode_body, split};
use crate::model::entry::OPEN_BYTES;
use crate::model::{LedgerId, keys};
use crate::progress::Quiet;
use crate::store::Store;

/// Which stores may be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asking {
    /// All of them.
    Everywhere,
    /// Directories alone: a plan needs neither a network nor credentials.
    Here,
}

/// Refuses a catalog that is gone, and one that knows nothing of a ledger in the store of one of these sources. Where archives of
/// all sources are known, no store is asked.
pub fn require_known_archives(
    config: &Config,
    sources: &[&Source],
    asking: Asking,
) -> Result<(), Error> {
    let state_dir = StateDir::new(&config.state_dir);
    let file = state_dir.catalog_file()?;
    if file == CatalogFile::Missing && state_dir.has_keys() {
        return Err(LedgerStateError::CatalogGone(state_dir.catalog_path()).into());
    }
    let catalog = state_dir.catalog_to_read()?;
    for source in sources {
        match require_known(config, source, asking, &catalog) {
            // Without a catalog nothing else tells that there was no archive. With one, that is likely.
            Err(Error::Store(_)) if file == CatalogFile::There || asking == Asking::Here => {}
            known => known?,
        }
    }
    Ok(())
}

/// Refuses a source that is new to the catalog, and has a ledger in its store.
pub fn require_known(
    config: &Config,
    source: &Source,
    asking: Asking,
    catalog: &Catalog,
) -> Result<(), Error> {
    let store = &config.stores[&source.store];
    let is_local = matches!(store, StoreConfig::Dir { .. });
    if source.origin == Origin::Catalog || !(is_local || asking == Asking::Everywhere) {
        return Ok(());
    }
    let (directory, url) = (source.directory.as_str(), store_url(store));
    let mut own = None;
    for row in catalog.sources()? {
        // By its name, though it may have moved, and by its place, though it may be called otherwise.
        let is_there = row.directory == directory && is_place(&row.store, &url);
        if (row.name == source.name || is_there) && !catalog.entries(&row.ledger)?.is_empty() {
            return Ok(());
        }
        if is_there {
            own = Some(row.ledger);
        }
    }
    let store = open_impatient_store(store, &Quiet)?;
    let listed = store.list(&keys::ledger_prefix(directory))?;
    let mut found = listed.iter().map(|listed| listed.key.as_str());
    match found.find(|key| keys::ledger_seq(directory, key).is_some()) {
        // Another machine writes to the ledger that is known here: the next run takes that in.
        Some(first) if own.is_some() && own == ledger_of(store.as_ref(), first) => Ok(()),
        Some(_) => Err(LedgerStateError::LedgerUnread {
            source_name: source.name.clone(),
            store: url,
        }
        .into()),
        None => Ok(()),
    }
}

/// Reads which ledger an entry says it belongs to; its signature is not checked. `None` if it can't be read.
fn ledger_of(store: &dyn Store, entry: &str) -> Option<LedgerId> {
    let object = store.get(&store.locate(entry), OPEN_BYTES).ok()?;
    let (body, _) = split(&object).ok()?;
    Some(decode_body(body).ok()?.head.ledger)
}
