//! Who may sign what, and how far each ledger goes, as the catalog's copy of it says.

use crate::catalog::{Catalog, SourceRow};
use crate::config::Config;
use crate::engine::source::store_address;
use crate::error::Error;
use crate::kit::KitSource;
use crate::ledger::{Head, PublicKey, Replay, Trust};
use crate::model::SourceName;
use crate::model::entry::Role;

/// The keys of a source's ledger, the root key first; none before it is opened.
pub fn keys_of(
    row: &SourceRow,
    root: &PublicKey,
    catalog: &Catalog,
) -> Result<Vec<(PublicKey, Vec<Role>)>, Error> {
    // A copy that was rebuilt may lack entries.
    let mut replay = Replay::reading_past(Trust {
        ledger: row.ledger,
        source_directory: row.directory.clone(),
        root: root.clone(),
    });
    let entries = catalog.entries(&row.ledger)?;
    for entry in entries.iter().filter(|entry| entry.committed) {
        replay
            .absorb_trusted(entry.seq, &entry.object)
            .map_err(|refusal| Error::EntryRefused {
                seq: entry.seq,
                source_name: row.name.clone(),
                store: row.store.clone(),
                source: Box::new(refusal),
            })?;
    }
    Ok(replay.keys().to_vec())
}

/// The keys that other ledgers in the catalog have beside the root key, and this one does not: with what
/// they may sign there, and where.
pub(super) fn keys_elsewhere(
    here: &SourceRow,
    root: &PublicKey,
    catalog: &Catalog,
) -> Result<Vec<(PublicKey, Vec<Role>, SourceName)>, Error> {
    let mut known: Vec<PublicKey> = keys_of(here, root, catalog)?
        .into_iter()
        .map(|(key, _)| key)
        .collect();
    let mut elsewhere = Vec::new();
    for row in catalog.sources()? {
        for (key, roles) in keys_of(&row, root, catalog)? {
            if !known.contains(&key) {
                known.push(key.clone());
                elsewhere.push((key, roles, row.name.clone()));
            }
        }
    }
    Ok(elsewhere)
}

/// What a recovery kit should say of every source that the catalog knows.
pub fn kit_sources(config: &Config, catalog: &Catalog) -> Result<Vec<KitSource>, Error> {
    let mut sources = Vec::new();
    for row in catalog.sources()? {
        let entries = catalog.entries(&row.ledger)?;
        let newest = entries.iter().rfind(|entry| entry.committed);
        let head = newest.map(|entry| Head {
            seq: entry.seq,
            hash: entry.hash,
        });
        sources.push(kit_source(config, row, head));
    }
    Ok(sources)
}

/// What a recovery kit says of a source.
pub fn kit_source(config: &Config, row: SourceRow, head: Option<Head>) -> KitSource {
    // The config may tell more of how the store is reached than its URL does.
    let configured = config
        .sources
        .iter()
        .find(|source| source.name == row.name)
        .map(|source| store_address(&config.stores[&source.store]));
    KitSource {
        store: configured.unwrap_or(row.store),
        name: row.name,
        directory: row.directory,
        ledger: row.ledger,
        head,
    }
}
