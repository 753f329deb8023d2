//! Brings a command that only reads up to date with the ledger: another machine may have retired, revived or
//! archived since this catalog took in its newest entry.

use crate::catalog::Catalog;
use crate::engine::context::RunContext;
use crate::engine::context::open_source::OpenSource;
use crate::engine::context::state_dir::StateDir;
use crate::engine::ledger::reader_warnings::stands_as_of;
use crate::engine::ledger::scratch_catalog::rehearsal;
use crate::engine::ledger::sync;
use crate::engine::restore::{Which, plan_details};
use crate::error::{Error, LedgerStateError, PruneError, in_words};
use crate::plan::RestorePlan;
use crate::progress::Event;

/// Brings the catalog itself to the ledger's head under the source's lock, as any run does.
pub fn take_in(
    source: &OpenSource<'_>,
    state_dir: &StateDir,
    catalog: &mut Catalog,
    context: RunContext<'_>,
) -> Result<(), Error> {
    let root = state_dir.root_key()?;
    let _lock = state_dir.lock(source.name(), &context)?;
    sync::catch_up(source, catalog, &root).map(drop)
}

/// Refuses to restore archives that have been retired meanwhile: their objects may be deleted soon. If the
/// ledger can't be read, it only warns.
pub fn still_stands(
    source: &OpenSource<'_>,
    plan: &RestorePlan,
    state_dir: &StateDir,
    catalog: &Catalog,
    context: RunContext<'_>,
) -> Result<(), Error> {
    // The user asked to leave out later entries.
    if stands_as_of(source.name(), catalog)? {
        return Ok(());
    }
    // A catalog that was rebuilt without a trusted root key has none to check the ledger with.
    let Ok(root) = state_dir.root_key() else {
        return Ok(());
    };
    let asked = rehearsal(source, catalog).and_then(|mut now| {
        sync::catch_up(source, &mut now, &root)?;
        Ok(now)
    });
    let now = match asked {
        Ok(now) => now,
        // What is damaged in the ledger is told by what looks after it.
        Err(Error::LedgerState(
            LedgerStateError::EntryRefused { .. } | LedgerStateError::Forked { .. },
        )) => return Ok(()),
        Err(error) => {
            context.observer.event(Event::Warning {
                source: source.name().clone(),
                message: format!(
                    "could not read the newest entries of the ledger; the restore uses what the catalog has: {}",
                    in_words(&error)
                ),
            });
            return Ok(());
        }
    };
    let (again, _) = plan_details(source.config, Some(plan.date), Which::Visible, &now)?;
    if again.archives == plan.archives {
        return Ok(());
    }
    // Another archive stands for that date by now.
    Err(PruneError::DateRetired {
        source_name: source.name().clone(),
        date: plan.date,
        chain: plan.archives.first().map_or(plan.date, |full| full.date),
        is_deleted: false,
    }
    .into())
}
