//! One source in the hands of one run: what it holds is opened here, once and in one order.

use crate::catalog::{Catalog, SourceRow};
use crate::config::{Config, Source};
use crate::engine::context::RunContext;
use crate::engine::context::lock::Lock;
use crate::engine::context::open_source::{OpenSource, know_source};
use crate::engine::context::state_dir::{Keys, StateDir};
use crate::error::Error;

/// What a run works with on a source. The catalog is beside it, since it changes.
pub(in crate::engine) struct Session<'a> {
    pub(in crate::engine) config: &'a Config,
    pub(in crate::engine) source: OpenSource<'a>,
    /// What it signs with, and the root key that it trusts.
    pub(in crate::engine) keys: Keys,
    pub(in crate::engine) context: RunContext<'a>,
    /// Keeps other runs off the source; a run that only looks holds none.
    _lock: Option<Lock>,
}

impl<'a> Session<'a> {
    /// A session that writes nothing.
    pub(in crate::engine) fn to_look(
        config: &'a Config,
        source: OpenSource<'a>,
        keys: Keys,
        context: RunContext<'a>,
    ) -> Self {
        Self {
            config,
            source,
            keys,
            context,
            _lock: None,
        }
    }
}

/// A source that no other run can work on, whose store is not opened yet.
pub(in crate::engine) struct LockedSource<'a> {
    config: &'a Config,
    source: &'a Source,
    keys: Keys,
    context: RunContext<'a>,
    lock: Lock,
}

impl<'a> LockedSource<'a> {
    /// Opens the catalog, and takes the source's lock. `keys` come first: a machine without any has nothing to do.
    pub(in crate::engine) fn new(
        config: &'a Config,
        source: &'a Source,
        keys: Keys,
        context: RunContext<'a>,
    ) -> Result<(Self, Catalog), Error> {
        let state_dir = StateDir::new(&config.state_dir);
        let catalog = context.catalog(&state_dir)?;
        let lock = state_dir.lock(&source.name, &context)?;
        let locked = Self {
            config,
            source,
            keys,
            context,
            lock,
        };
        Ok((locked, catalog))
    }

    /// The same with the keys of this machine.
    pub(in crate::engine) fn ours(
        config: &'a Config,
        source: &'a Source,
        context: RunContext<'a>,
    ) -> Result<(Self, Catalog), Error> {
        let keys = StateDir::new(&config.state_dir).keys()?;
        Self::new(config, source, keys, context)
    }

    /// The same for a run that archives, and may have to open the ledger at its end.
    pub(in crate::engine) fn to_archive(
        config: &'a Config,
        source: &'a Source,
        context: RunContext<'a>,
    ) -> Result<(Self, Catalog), Error> {
        let (locked, catalog) = Self::ours(config, source, context)?;
        locked.keys.require_grant(&source.name, &catalog)?;
        Ok((locked, catalog))
    }

    /// The source's row in the catalog, which is made if it is missing.
    pub(in crate::engine) fn row(&self, catalog: &mut Catalog) -> Result<SourceRow, Error> {
        know_source(self.config, self.source, catalog)
    }

    /// The source's row, if the catalog has one: a run that archives nothing gives no source a ledger.
    pub(in crate::engine) fn known_row(
        &self,
        catalog: &mut Catalog,
    ) -> Result<Option<SourceRow>, Error> {
        match catalog.source(&self.source.name)? {
            Some(_) => self.row(catalog).map(Some),
            None => Ok(None),
        }
    }

    /// Opens the store.
    pub(in crate::engine) fn open(self, row: SourceRow) -> Result<Session<'a>, Error> {
        Ok(Session {
            config: self.config,
            source: OpenSource {
                config: self.source,
                row,
                store: self.context.open(self.config.store_of(self.source)?)?,
            },
            keys: self.keys,
            context: self.context,
            _lock: Some(self.lock),
        })
    }
}
