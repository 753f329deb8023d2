//! Sources that the catalog knows, and that the config no longer names, or names without their store.

use std::path::PathBuf;

use crate::catalog::{Catalog, MirrorRow, SourceRow};
use crate::config::{Config, Source};
use crate::engine::context::RunContext;
use crate::engine::context::open_source::{is_place, store_url};
use crate::engine::context::state_dir::{CatalogFile, StateDir};
use crate::engine::mirror::forget::unconfigured_mirrors;
use crate::error::{Error, RequestError};
use crate::model::SourceName;
use crate::progress::Event;

/// What the catalog knows of a source, and what remains elsewhere after `forget`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remembered {
    /// The source.
    pub row: SourceRow,
    /// How many of its archives are committed, visible or retired.
    pub archives: usize,
    /// Their sealed bytes.
    pub sealed_bytes: u64,
    /// How many attempts only this catalog can continue.
    pub unfinished: usize,
    /// The local snapshots of it that coldchain made.
    pub snapshots: Vec<PathBuf>,
    /// Its mirrors, which the config does not name either.
    pub mirrors: Vec<MirrorRow>,
}

/// Returns what the catalog knows of a source that the config does not name. A source that keeps snapshots
/// alone is refused too: without its snapshots' records, coldchain would never delete one.
pub fn remembered(config: &Config, name: &str) -> Result<Remembered, Error> {
    let name: SourceName = name.parse()?;
    if config
        .sources
        .iter()
        .any(|source| source.name == name && source.is_in_file())
    {
        return Err(RequestError::StillConfigured(name).into());
    }
    let catalog = StateDir::new(&config.state_dir).catalog_to_read()?;
    let row = catalog
        .source(&name)?
        .ok_or(RequestError::NeverSeen(name))?;
    let archives = catalog.archives(&row.ledger)?;
    let (stored, unfinished): (Vec<_>, Vec<_>) =
        archives.iter().partition(|archive| archive.seq.is_some());
    let snapshots = catalog.snapshots(&row.name)?.into_iter();
    Ok(Remembered {
        archives: stored.len(),
        sealed_bytes: stored.iter().map(|archive| archive.sealed_bytes).sum(),
        unfinished: unfinished.len(),
        snapshots: snapshots
            .filter(|snapshot| snapshot.local_parent.is_some())
            .map(|snapshot| snapshot.path)
            .collect(),
        mirrors: mirrors_of(config, &row.name, &catalog)?,
        row,
    })
}

/// Returns the mirrors of a source that the config does not name.
fn mirrors_of(
    config: &Config,
    name: &SourceName,
    catalog: &Catalog,
) -> Result<Vec<MirrorRow>, Error> {
    let mut rows = unconfigured_mirrors(config, catalog)?;
    rows.retain(|row| row.source == *name);
    Ok(rows)
}

/// Removes a source and its mirrors from the catalog. Removes nothing in the store or at a mirror, and no snapshot.
pub fn forget(config: &Config, row: &SourceRow, context: RunContext<'_>) -> Result<(), Error> {
    let state_dir = StateDir::new(&config.state_dir);
    let _lock = state_dir.lock(&row.name, &context)?;
    let mut catalog = context.catalog(&state_dir)?;
    for mirror in mirrors_of(config, &row.name, &catalog)? {
        catalog.forget_mirror(mirror.id)?;
    }
    Ok(catalog.drop_source(&row.name, &row.ledger)?)
}

/// Returns whether this is the row of a source that is configured to keep snapshots alone, and has had no
/// archive yet. There is nothing of it to remember.
fn is_empty_and_without_store(
    config: &Config,
    row: &SourceRow,
    catalog: &Catalog,
) -> Result<bool, Error> {
    let is_named = |source: &Source| source.name == row.name && source.store.is_none();
    Ok(config.sources.iter().any(is_named)
        && catalog.entries(&row.ledger)?.is_empty()
        && catalog.archives(&row.ledger)?.is_empty())
}

/// Returns the sources that the catalog knows, and that the config does not name with a store.
pub fn unconfigured(config: &Config, catalog: &Catalog) -> Result<Vec<SourceRow>, Error> {
    let mut missing = Vec::new();
    for row in catalog.sources()? {
        let is_configured = config.archived().any(|(source, store)| {
            let is_there = source.directory.as_str() == row.directory
                && is_place(&store_url(store), &row.store);
            source.name == row.name || is_there
        });
        if !is_configured && !is_empty_and_without_store(config, &row, catalog)? {
            missing.push(row);
        }
    }
    Ok(missing)
}

/// Returns the warning about such a source.
pub fn warning_of_unconfigured(config: &Config, name: &SourceName) -> String {
    if config.sources.iter().any(|source| source.name == *name) {
        return "the config names no store for it any more, so it is not archived, and none of its archives is retired or \
             deleted: put its `store` back to continue"
            .to_owned();
    }
    format!(
        "the config does not name it any more, so nothing of it is archived, retired or deleted: put its [[source]] \
         back, or run `coldchain forget {name}`"
    )
}

const UNCONFIGURED: &str = "not in the config";

/// Warns once of each source that the config no longer names, or names without its store.
pub fn warn_of_unconfigured(config: &Config, context: RunContext<'_>) -> Result<(), Error> {
    let state_dir = StateDir::new(&config.state_dir);
    if state_dir.catalog_file()? == CatalogFile::Missing {
        // It has no sources, and only a run that has keys may begin one.
        return Ok(());
    }
    let missing = unconfigured(config, &state_dir.catalog_to_read()?)?;
    let mut catalog = context.catalog(&state_dir)?;
    for (source, _) in config.archived() {
        if catalog.told(&source.name, UNCONFIGURED)?.is_some() {
            catalog.untell(&source.name, UNCONFIGURED)?;
        }
    }
    for row in missing {
        let message = warning_of_unconfigured(config, &row.name);
        if catalog.tell(&row.name, UNCONFIGURED, &message)? {
            context.observer.event(Event::Warning {
                source: row.name,
                message,
            });
        }
    }
    Ok(())
}
