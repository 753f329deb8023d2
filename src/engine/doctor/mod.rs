//! Finds problems of this machine and of the stores before a backup meets them.

mod config_file;
mod keys;
mod local_check;
mod machine;
mod outputs;
mod programs;
mod repair;
mod sources;
mod state;
mod stores;
mod timers;

pub use local_check::LocalCheck;
pub use repair::{SafeRepair, safe_repairs};
pub use stores::{StoreReport, doctor};

use crate::config::Config;
use crate::engine::context::RunContext;
use crate::engine::context::state_dir::StateDir;
use crate::engine::status::status_of;
use crate::model::entry::Timestamp;
use crate::run_records::{RunFile, RunningProcess};

/// Looks at everything that needs no store and no mirror: this machine, the config, the state directory, the keys, the
/// sources and the timers, in this order.
pub fn local_checks(config: &Config, context: RunContext<'_>) -> Vec<LocalCheck> {
    let state_dir = StateDir::new(&config.state_dir);
    let mut records = RunFile::new(&config.state_dir).read().unwrap_or_default();
    records.bury_dead(Timestamp(context.clock.now()), RunningProcess::is_alive);
    // Errors of the catalog are a check of the state directory.
    let catalog = state_dir.catalog_to_read();
    let sources: Vec<_> = config.sources.iter().filter(|it| it.is_in_file()).collect();
    let statuses = match &catalog {
        Ok(catalog) => status_of(config, &sources, catalog, &records, context),
        Err(_) => Ok(Vec::new()),
    };
    let (statuses, unread) = match statuses {
        Ok(statuses) => (statuses, None),
        Err(error) => (Vec::new(), Some(error)),
    };
    let newest = statuses
        .iter()
        .filter_map(|it| it.newest())
        .map(|it| it.date);
    let mut checks = machine::checks(config, catalog.as_ref().ok(), newest.max(), context);
    checks.extend(config_file::checks(config));
    checks.extend(state::checks(
        config,
        &state_dir,
        catalog.as_ref(),
        unread.as_ref(),
    ));
    checks.extend(keys::checks(config, &state_dir, catalog.as_ref().ok()));
    for source in sources {
        let status = statuses.iter().find(|it| it.name == source.name);
        checks.extend(sources::checks(config, source, status, context));
    }
    checks.extend(timers::checks());
    checks
}
