//! A snapshot now.

use std::path::PathBuf;
use std::time::Duration;

use super::config::LoadedConfig;
use super::error::ApiError;
use super::warnings::Warnings;
use crate::commands::attended::attended;
use crate::commands::{self, run_facts};
use crate::engine::{self, RunContext, Snapshotted};
use crate::hooks::HookEvent;

/// How to take a snapshot.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct SnapshotRequest {
    /// How long to wait for another run that works on the source. The default is not to wait.
    pub wait_lock: Duration,
}

/// A snapshot that was taken, or existed already.
#[derive(Debug)]
#[non_exhaustive]
pub struct SnapshotTaken {
    /// Its name: a date, or a date and a time.
    pub name: String,
    /// Where it is.
    pub path: PathBuf,
    /// Whether this call took it.
    pub is_new: bool,
    /// How many expired snapshots were deleted; `None` if a later run deletes them, because another one works on the
    /// source.
    pub deleted: Option<usize>,
    /// What failed after it was taken.
    pub later: Option<ApiError>,
    /// What the command would have warned of.
    pub warnings: Vec<String>,
}

/// Takes a snapshot of a source now, moves its links, and deletes the snapshots that have expired. It runs the hooks of
/// the config, needs root, and prints nothing.
///
/// ```no_run
/// use coldchain::api::{self, Config, SnapshotRequest};
///
/// # fn main() -> Result<(), api::Error> {
/// let config = Config::load("/etc/coldchain/config.toml".as_ref())?;
/// let taken = api::snapshot(&config, "home", &SnapshotRequest::default())?;
/// println!("{}", taken.path.display());
/// # Ok(())
/// # }
/// ```
pub fn snapshot(
    config: &LoadedConfig,
    source: &str,
    request: &SnapshotRequest,
) -> Result<SnapshotTaken, ApiError> {
    let config = &config.inner;
    let source = config.source(source)?;
    let (log, warnings) = (commands::activity_log(config), Warnings::default());
    let observer = log.beside(Box::new(warnings.clone()));
    let context = RunContext {
        wait_lock: request.wait_lock,
        ..RunContext::real(observer.as_ref())
    };
    let end = attended(
        (config, &log),
        (HookEvent::Snapshot, source, commands::today(config)),
        observer.as_ref(),
        || engine::snapshot(config, source, context),
        run_facts::of_snapshot,
    );
    let taken = end.ran?;
    let hook = end.hook.map(ApiError::from);
    let live = source.live.as_ref();
    let path = live.map(|live| live.snapshots.join(taken.name.to_string()));
    let Snapshotted {
        name,
        is_new,
        deleted,
        ..
    } = taken;
    let later = taken.failed_later(&source.name).map(ApiError::from);
    Ok(SnapshotTaken {
        name: name.to_string(),
        path: path.unwrap_or_default(),
        is_new,
        deleted,
        later: later.or(hook),
        warnings: warnings.take(),
    })
}
