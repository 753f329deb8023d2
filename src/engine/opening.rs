//! What a run that prunes has in its hands before it looks at anything.

use crate::catalog::Catalog;
use crate::config::{Config, Source};
use crate::engine::lock::Lock;
use crate::engine::source::{OpenSource, know_source};
use crate::engine::state::{Keys, StateDir};
use crate::engine::world::World;
use crate::error::Error;
use crate::store::Store;

/// A source's keys, catalog and store, and the lock over it.
pub(super) struct Opening<'a> {
    pub(super) keys: Keys,
    pub(super) catalog: Catalog,
    pub(super) store: Box<dyn Store + 'a>,
    pub(super) lock: Lock,
}

impl<'a> Opening<'a> {
    pub(super) fn of(config: &Config, source: &Source, world: World<'a>) -> Result<Self, Error> {
        let state_dir = StateDir::new(&config.state_dir);
        Ok(Self {
            keys: state_dir.keys()?,
            catalog: world.catalog(&state_dir)?,
            lock: state_dir.lock(&source.name, &world)?,
            store: world.open(&config.stores[&source.store])?,
        })
    }
}

impl<'a> OpenSource<'a> {
    /// A source that the catalog has seen before: what only prunes gives no source a ledger.
    pub(super) fn known(
        config: &Config,
        source: &'a Source,
        store: &'a dyn Store,
        catalog: &mut Catalog,
    ) -> Result<Option<Self>, Error> {
        if catalog.source(&source.name)?.is_none() {
            return Ok(None);
        }
        Ok(Some(Self {
            config: source,
            row: know_source(config, source, catalog)?,
            store,
        }))
    }
}
