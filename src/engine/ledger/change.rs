//! A change to a source's ledger that archives nothing: its lock is held, and its ledger caught up with,
//! before anything is written.

use crate::catalog::Catalog;
use crate::config::{Config, Source};
use crate::engine::context::RunContext;
use crate::engine::context::clock::local_date;
use crate::engine::context::open_source::{OpenSource, know_source, retain_until};
use crate::engine::context::state_dir::{Keys, StateDir};
use crate::engine::ledger::append::Writer;
use crate::engine::ledger::sync::{self, LedgerState};
use crate::error::Error;
use crate::ledger::PublicKey;

/// Opens a source's ledger, which is of that root key, and does that to it; `None` if the catalog does
/// not know the source yet.
pub(in crate::engine) fn change_ledger<T>(
    config: &Config,
    source: &Source,
    root: &PublicKey,
    context: RunContext<'_>,
    act: impl FnOnce(&OpenSource<'_>, &mut LedgerState, &mut Catalog) -> Result<T, Error>,
) -> Result<Option<T>, Error> {
    change_forked_ledger(config, source, root, context, |open, state, catalog| {
        state.require_no_fork(open)?;
        act(open, state, catalog)
    })
}

/// The same for whoever can end a fork: it comes with the ledger as far as that.
pub(in crate::engine) fn change_forked_ledger<T>(
    config: &Config,
    source: &Source,
    root: &PublicKey,
    context: RunContext<'_>,
    act: impl FnOnce(&OpenSource<'_>, &mut LedgerState, &mut Catalog) -> Result<T, Error>,
) -> Result<Option<T>, Error> {
    let state_dir = StateDir::new(&config.state_dir);
    let mut catalog = context.catalog(&state_dir)?;
    let _lock = state_dir.lock(&source.name, &context)?;
    if catalog.source(&source.name)?.is_none() {
        return Ok(None);
    }
    let store = context.open(&config.stores[&source.store])?;
    let open = OpenSource {
        config: source,
        row: know_source(config, source, &mut catalog)?,
        store: store.as_ref(),
    };
    let mut state = sync::catch_up_to_fork(&open, &mut catalog, root)?;
    state.warn(&source.name, context.observer);
    act(&open, &mut state, &mut catalog).map(Some)
}

impl<'a> Writer<'a> {
    /// A writer of entries that stand between those of archives: they are locked for as long.
    pub(in crate::engine) fn between(
        config: &'a Config,
        source: &'a OpenSource<'a>,
        keys: &'a Keys,
        context: RunContext<'a>,
    ) -> Self {
        let now = context.clock.now();
        let today = local_date(now, config.timezone);
        Self {
            config,
            source,
            keys,
            clock: context.clock,
            retain_until: retain_until(config, source.config, today, now),
        }
    }
}
