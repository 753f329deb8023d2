//! What a run that prunes has in its hands before it looks at anything.

use crate::catalog::Catalog;
use crate::config::{Config, Source};
use crate::engine::context::RunContext;
use crate::engine::context::lock::Lock;
use crate::engine::context::open_source::{OpenSource, know_source};
use crate::engine::context::state_dir::{Keys, StateDir};
use crate::error::Error;
use crate::store::Store;

/// A source's keys, catalog and store, and the lock over it.
pub(in crate::engine) struct Opening<'a> {
    pub(in crate::engine) keys: Keys,
    pub(in crate::engine) catalog: Catalog,
    pub(in crate::engine) store: Box<dyn Store + 'a>,
    pub(in crate::engine) lock: Lock,
}

impl<'a> Opening<'a> {
    pub(in crate::engine) fn of(
        config: &Config,
        source: &Source,
        context: RunContext<'a>,
    ) -> Result<Self, Error> {
        let state_dir = StateDir::new(&config.state_dir);
        Ok(Self {
            keys: state_dir.keys()?,
            catalog: context.catalog(&state_dir)?,
            lock: state_dir.lock(&source.name, &context)?,
            store: context.open(&config.stores[&source.store])?,
        })
    }
}

impl<'a> OpenSource<'a> {
    /// A source that the catalog has seen before: what only prunes gives no source a ledger.
    pub(in crate::engine) fn known(
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
