//! A source's night: snapshot, archive and mirrors.

use std::time::Duration;

use super::config::LoadedConfig;
use super::date::ApiDate;
use super::error::ApiError;
use super::pull::SourcePulled;
use super::rate::rate_limit;
use super::warnings::Warnings;
use crate::commands::attended::attended;
use crate::commands::limited_store::open_store;
use crate::commands::mirror::MirrorEnding;
use crate::commands::night::{after_archive, night};
use crate::commands::{self, run_facts};
use crate::config::Source;
use crate::engine::{self, BackupRequest, CommittedArchive, MirrorAsked, Outcome, RunContext};
use crate::hooks::HookEvent;
use crate::model::ArchiveKind;
use crate::plan::{DateOverride, Request};

/// How to back a source up. The default is what the nightly command does.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct NightRequest {
    /// The date of the archive; `None` is today.
    pub date: Option<ApiDate>,
    /// Whether to archive in full, due or not.
    pub full: bool,
    /// Whether a date more than a day ahead of the system clock is meant.
    pub date_override: bool,
    /// The most bytes a second that go to the store and the mirrors, at least 65,536; `None` is no limit.
    pub limit: Option<u64>,
    /// How long to wait for another run that works on the source. The default is not to wait.
    pub wait_lock: Duration,
}

/// What a night has done.
#[derive(Debug)]
#[non_exhaustive]
pub struct NightEnd {
    /// The result for the source.
    pub result: NightResult,
    /// What was pulled before; `None` if the source is not pulled.
    pub pulled: Option<SourcePulled>,
    /// The mirrors that are up to date now.
    pub mirrors: Vec<MirrorUpdate>,
    /// What failed after the archive was stored or the snapshot taken: a step of its own, mirrors, hooks.
    pub later: Vec<ApiError>,
    /// What the command would have warned of.
    pub warnings: Vec<String>,
}

/// The result of a night for its source.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum NightResult {
    /// No archive was due.
    NothingDue {
        /// Why not.
        reason: String,
    },
    /// The source has no store, and this snapshot was taken or existed already.
    Snapshot {
        /// Its name.
        name: String,
    },
    /// These archives were stored, in the order of their dates.
    Archived(Vec<StoredArchive>),
}

/// An archive that was stored.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoredArchive {
    /// Its date.
    pub date: ApiDate,
    /// Its id, which the commands take too.
    pub id: String,
    /// Whether it is a full; if not, it is an incremental.
    pub is_full: bool,
    /// Why it was due.
    pub reason: String,
    /// Bytes of its send stream.
    pub raw_bytes: u64,
    /// Bytes in the store.
    pub sealed_bytes: u64,
}

/// A mirror that is up to date.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct MirrorUpdate {
    /// Where it is, as the config has it.
    pub to: String,
    /// The snapshots that were sent, oldest first.
    pub sent: Vec<String>,
    /// The copies that were deleted there.
    pub deleted: Vec<String>,
    /// Its newest copy.
    pub newest: Option<String>,
}

/// Does the night of a source, like `coldchain backup SOURCE`: pulls it, if it is pulled, takes the snapshot, archives it if the date calls for
/// it, deletes what has expired, and brings the mirrors and the copies in other stores up to date. It runs the hooks of the config, needs root, and
/// prints nothing.
///
/// An error means that nothing was archived. What failed later is in [`NightEnd::later`].
///
/// ```no_run
/// use coldchain::api::{self, Config, NightRequest, NightResult};
///
/// # fn main() -> Result<(), api::Error> {
/// let config = Config::load("/etc/coldchain/config.toml".as_ref())?;
/// for source in config.sources() {
///     let end = api::backup(&config, &source, &NightRequest::default())?;
///     if let NightResult::Archived(archives) = &end.result {
///         println!("{source}: {} archives", archives.len());
///     }
///     for error in &end.later {
///         eprintln!("{source}: {} (exit code {})", error.message(), error.exit_code());
///     }
/// }
/// # Ok(())
/// # }
/// ```
pub fn backup(
    config: &LoadedConfig,
    source: &str,
    request: &NightRequest,
) -> Result<NightEnd, ApiError> {
    let config = &config.inner;
    let source = config.source(source)?;
    let limit = rate_limit(request.limit)?;
    let (log, warnings) = (commands::activity_log(config), Warnings::default());
    let observer = log.beside(Box::new(warnings.clone()));
    let stores = open_store(limit.clone());
    let context = RunContext {
        wait_lock: request.wait_lock,
        stores: &stores,
        ..RunContext::real(observer.as_ref())
    };
    let mirror_asked = MirrorAsked {
        limit,
        ..MirrorAsked::default()
    };
    let today = commands::today(config);
    let asked = BackupRequest {
        date: request.date.map_or(today, |date| date.0),
        today,
        request: if request.full {
            Request::Full
        } else {
            Request::Scheduled
        },
        override_date: if request.date_override {
            DateOverride::Given
        } else {
            DateOverride::Absent
        },
    };
    // An error of the catalog is the run's own.
    let _ = engine::warn_of_unconfigured(config, context);
    let end = attended(
        (config, &log),
        (HookEvent::Backup, source, asked.date),
        observer.as_ref(),
        || night(config, source, asked, &mirror_asked, context),
        run_facts::of_night,
    );
    let night = end.ran?;
    let mut later = Vec::new();
    let result = result_of(source, night.outcome, &mut later);
    let mirrors = night
        .mirrors
        .into_iter()
        .filter_map(|ending| updated(ending, &mut later));
    let mirrors = mirrors.collect();
    let failed = night.copies.into_iter().filter_map(Result::err);
    later.extend(failed.map(ApiError::from));
    later.extend(end.hook.map(ApiError::from));
    Ok(NightEnd {
        result,
        pulled: night.pulled.map(SourcePulled::from),
        mirrors,
        later,
        warnings: warnings.take(),
    })
}

fn result_of(source: &Source, outcome: Outcome, failed: &mut Vec<ApiError>) -> NightResult {
    match outcome {
        Outcome::NothingDue { reason } => NightResult::NothingDue { reason },
        Outcome::Snapshot(taken) => {
            let name = taken.name.to_string();
            failed.extend(taken.failed_later(&source.name).map(ApiError::from));
            NightResult::Snapshot { name }
        }
        Outcome::Archived { archives, later } => {
            failed.extend(later.map(|later| after_archive(&source.name, later).into()));
            NightResult::Archived(archives.into_iter().map(StoredArchive::from).collect())
        }
    }
}

impl From<CommittedArchive> for StoredArchive {
    fn from(made: CommittedArchive) -> Self {
        Self {
            date: ApiDate(made.archive.date),
            id: made.archive.to_string(),
            is_full: made.archive.kind == ArchiveKind::Full,
            reason: made.reason,
            raw_bytes: made.raw_bytes,
            sealed_bytes: made.sealed_bytes,
        }
    }
}

fn updated(ending: MirrorEnding<'_>, failed: &mut Vec<ApiError>) -> Option<MirrorUpdate> {
    match ending {
        Ok((mirror, ran)) => Some(MirrorUpdate {
            to: mirror.to.to_string(),
            sent: ran.sent.iter().map(|it| it.name.to_string()).collect(),
            deleted: ran.deleted.iter().map(ToString::to_string).collect(),
            newest: ran.newest.map(|name| name.to_string()),
        }),
        Err(error) => {
            failed.push(error.into());
            None
        }
    }
}
