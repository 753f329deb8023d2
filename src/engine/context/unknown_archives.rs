//! Archives of a configured source that the local catalog does not know: the catalog was lost, or another
//! machine made them. Such a source must not be treated as new.

use crate::catalog::Catalog;
use crate::config::{Config, Source, SourceOrigin, StoreConfig};
use crate::engine::context::open_source::{is_place, open_impatient_store, store_url};
use crate::engine::context::state_dir::{CatalogFile, StateDir};
use crate::error::{Error, LedgerStateError};
use crate::ledger::{decode_body, split};
use crate::model::entry::OPEN_BYTES;
use crate::model::{LedgerId, keys};
use crate::progress::Quiet;
use crate::store::Store;

/// Which stores may be listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asking {
    /// All of them.
    Everywhere,
    /// Only directories: a plan needs neither a network nor credentials.
    Here,
}

/// Refuses to go on if the catalog is gone, or if it does not know a ledger in the store of one of these
/// sources. Asks no store if the catalog has archives of all sources.
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
            // Without a catalog, only the store can show that there is no archive. With a catalog, it is
            // likely that there is none.
            Err(Error::Store(_)) if file == CatalogFile::There || asking == Asking::Here => {}
            known => known?,
        }
    }
    Ok(())
}

/// Refuses a source that is new to the catalog but has a ledger in its store.
pub fn require_known(
    config: &Config,
    source: &Source,
    asking: Asking,
    catalog: &Catalog,
) -> Result<(), Error> {
    // A source that keeps snapshots alone has no archives elsewhere.
    let Ok(store) = config.store_of(source) else {
        return Ok(());
    };
    // The vault itself has nothing to say here.
    let ledger_store = store.ledger_store();
    let is_local = matches!(ledger_store, StoreConfig::Dir { .. });
    if source.origin == SourceOrigin::Catalog || !(is_local || asking == Asking::Everywhere) {
        return Ok(());
    }
    let (directory, url) = (source.directory.as_str(), store_url(store));
    let mut own = None;
    for row in catalog.sources()? {
        // It is known by its name, even if it has moved, and by its place, even if its name is different.
        let is_there = row.directory == directory && is_place(&row.store, &url);
        if (row.name == source.name || is_there) && catalog.has_entries(&row.ledger)? {
            return Ok(());
        }
        if is_there {
            own = Some(row.ledger);
        }
    }
    let store = open_impatient_store(ledger_store, &Quiet)?;
    let listed = store.list(&keys::ledger_prefix(directory))?;
    let mut found = listed.iter().map(|listed| listed.key.as_str());
    match found.find(|key| keys::ledger_seq(directory, key).is_some()) {
        // Another machine writes to the ledger that is known here. The next run reads its entries.
        Some(first) if own.is_some() && own == ledger_of(store.as_ref(), first) => Ok(()),
        Some(_) => Err(LedgerStateError::LedgerUnread {
            source_name: source.name.clone(),
            store: url,
        }
        .into()),
        None => Ok(()),
    }
}

/// Returns the ledger id that an entry states, without checking its signature; `None` if the entry can't be
/// read.
fn ledger_of(store: &dyn Store, entry: &str) -> Option<LedgerId> {
    let object = store.get(&store.locate(entry), OPEN_BYTES).ok()?;
    let (body, _) = split(&object).ok()?;
    Some(decode_body(body).ok()?.head.ledger)
}
