//! Home's ledger, as a run that copies reads it.

use crate::catalog::Catalog;
use crate::engine::context::RunContext;
use crate::engine::context::open_source::OpenSource;
use crate::engine::context::state_dir::StateDir;
use crate::engine::ledger::scratch_catalog::rehearsal;
use crate::engine::ledger::sync::{self, LedgerState};
use crate::error::Error;
use crate::ledger::PublicKey;

/// Brings the catalog to the head of home's ledger. The source's lock is held for this moment alone.
pub(super) fn take_in(
    home: &OpenSource<'_>,
    root: &PublicKey,
    state_dir: &StateDir,
    catalog: &mut Catalog,
    context: RunContext<'_>,
) -> Result<LedgerState, Error> {
    let _lock = state_dir.lock(home.name(), &context)?;
    let state = sync::catch_up(home, catalog, root)?;
    state.warn(home.name(), context.observer);
    Ok(state)
}

/// Reads home's ledger as it is now, without a lock: the catalog stays as it is.
pub(super) fn look_again(
    home: &OpenSource<'_>,
    root: &PublicKey,
    catalog: &Catalog,
) -> Result<LedgerState, Error> {
    let mut now = rehearsal(home, catalog)?;
    sync::catch_up(home, &mut now, root)
}
