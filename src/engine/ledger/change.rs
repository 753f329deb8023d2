//! Changes a source's ledger without archiving. It takes the source's lock and reads all new entries before
//! it writes.

use crate::catalog::Catalog;
use crate::config::{Config, Source};
use crate::engine::context::RunContext;
use crate::engine::context::session::{LockedSource, Session};
use crate::engine::context::state_dir::Keys;
use crate::engine::ledger::sync::{self, LedgerState};
use crate::error::Error;

/// Opens a source's ledger with those keys, and does that to it; `None` if the catalog does not know the source yet.
pub(in crate::engine) fn change_ledger<T>(
    config: &Config,
    source: &Source,
    keys: Keys,
    context: RunContext<'_>,
    act: impl FnOnce(&Session<'_>, &mut LedgerState, &mut Catalog) -> Result<T, Error>,
) -> Result<Option<T>, Error> {
    change_forked_ledger(config, source, keys, context, |session, state, catalog| {
        state.require_no_fork(&session.source)?;
        act(session, state, catalog)
    })
}

/// The same for a change that can end a fork: it comes with the ledger as far as that.
pub(in crate::engine) fn change_forked_ledger<T>(
    config: &Config,
    source: &Source,
    keys: Keys,
    context: RunContext<'_>,
    act: impl FnOnce(&Session<'_>, &mut LedgerState, &mut Catalog) -> Result<T, Error>,
) -> Result<Option<T>, Error> {
    let (locked, mut catalog) = LockedSource::new(config, source, keys, context)?;
    let Some(row) = locked.known_row(&mut catalog)? else {
        return Ok(None);
    };
    let session = locked.open(row)?;
    let root = &session.keys.root;
    let mut state = sync::catch_up_to_fork(&session.source, &mut catalog, root)?;
    state.warn(&source.name, context.observer);
    act(&session, &mut state, &mut catalog).map(Some)
}
