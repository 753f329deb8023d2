//! Sources from elsewhere, brought up to date.

use std::time::Duration;

use super::config::LoadedConfig;
use super::error::ApiError;
use super::warnings::Warnings;
use crate::commands::attended::attended;
use crate::commands::{self, run_facts};
use crate::engine::{self, PullAsked, PullRan, RunContext};
use crate::hooks::HookEvent;

/// How to pull. The default is what the command does.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct PullRequest {
    /// Whether more deletions than `max_delete` allows are meant.
    pub accept_deletions: bool,
    /// How long to wait for another run that works on the source. The default is not to wait.
    pub wait_lock: Duration,
}

/// What a pull has done.
#[derive(Debug)]
#[non_exhaustive]
pub struct PullEnd {
    /// What it brought.
    pub pulled: SourcePulled,
    /// What failed afterwards: a hook.
    pub later: Option<ApiError>,
    /// What the command would have warned of.
    pub warnings: Vec<String>,
}

/// What was pulled of a source.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SourcePulled {
    /// Entries of the tree there: files, directories, links and others.
    pub entries: u64,
    /// Entries that were new.
    pub created: u64,
    /// Entries that were deleted.
    pub deleted: u64,
    /// Files whose content was brought.
    pub files: u64,
    /// Bytes of file content that were written.
    pub bytes: u64,
}

/// Brings the subvolume of a source up to date with the place that its `[source.pull]` names, by rsync. It takes no
/// snapshot: [`backup`](fn@super::backup) pulls first, and [`snapshot`](fn@super::snapshot) can follow. It runs the hooks of
/// the config, needs root, and prints nothing.
///
/// ```no_run
/// use coldchain::api::{self, Config, PullRequest, SnapshotRequest};
///
/// # fn main() -> Result<(), api::Error> {
/// let config = Config::load("/etc/coldchain/config.toml".as_ref())?;
/// let end = api::pull(&config, "web", &PullRequest::default())?;
/// println!("{} bytes", end.pulled.bytes);
/// api::snapshot(&config, "web", &SnapshotRequest::default())?;
/// # Ok(())
/// # }
/// ```
pub fn pull(
    config: &LoadedConfig,
    source: &str,
    request: &PullRequest,
) -> Result<PullEnd, ApiError> {
    let config = &config.inner;
    let source = config.source(source)?;
    let (log, warnings) = (commands::activity_log(config), Warnings::default());
    let observer = log.beside(Box::new(warnings.clone()));
    let context = RunContext {
        wait_lock: request.wait_lock,
        ..RunContext::real(observer.as_ref())
    };
    let asked = PullAsked {
        accept_deletions: request.accept_deletions,
    };
    let end = attended(
        (config, &log),
        (HookEvent::Pull, source, commands::today(config)),
        observer.as_ref(),
        || engine::pull(config, source, asked, context),
        run_facts::of_pull,
    );
    Ok(PullEnd {
        pulled: end.ran?.into(),
        later: end.hook.map(ApiError::from),
        warnings: warnings.take(),
    })
}

impl From<PullRan> for SourcePulled {
    fn from(ran: PullRan) -> Self {
        Self {
            entries: ran.entries,
            created: ran.created,
            deleted: ran.deleted,
            files: ran.files,
            bytes: ran.bytes,
        }
    }
}
