//! A source's night: its pull, its archive, its mirrors and its copies.

use super::copy::{self, CopyEnding};
use super::mirror::{self, MirrorEnding};
use crate::config::{Config, Source};
use crate::engine::{self, BackupRequest, MirrorAsked, Outcome, PullRan, RunContext, StateDir};
use crate::error::{BackupError, Error, in_words};
use crate::model::SourceName;
use crate::progress::{Event, Observer};

/// A source's night.
pub(crate) struct NightRan<'c> {
    /// Its own part.
    pub(crate) outcome: Outcome,
    /// That of each mirror.
    pub(crate) mirrors: Vec<MirrorEnding<'c>>,
    /// That of each copy.
    pub(crate) copies: Vec<CopyEnding<'c>>,
    /// What was pulled before.
    pub(crate) pulled: Option<PullRan>,
}

impl NightRan<'_> {
    /// Returns the errors of what came after the source's own part.
    pub(super) fn failed_later(self, source: &Source, context: RunContext<'_>) -> Vec<Error> {
        let later = match self.outcome {
            Outcome::NothingDue { .. } => None,
            Outcome::Snapshot(taken) => taken.failed_later(&source.name),
            Outcome::Archived { later, .. } => {
                later.map(|later| after_archive(&source.name, later))
            }
        };
        let later = later.map(|later| context.interrupt.explain(later));
        let mirrors = self.mirrors.into_iter().filter_map(Result::err);
        let copies = self.copies.into_iter().filter_map(Result::err);
        later.into_iter().chain(mirrors).chain(copies).collect()
    }
}

/// Runs a source's night, and brings its mirrors and copies up to date after it. If the pull or the archive fails, the mirrors still
/// get the snapshots that there are.
pub(crate) fn night<'c>(
    config: &'c Config,
    source: &'c Source,
    asked: BackupRequest,
    mirrors: &MirrorAsked,
    context: RunContext<'_>,
) -> Result<NightRan<'c>, Error> {
    let pulled = match pull_first(config, source, asked, context) {
        Ok(pulled) => pulled,
        Err(error) if matches!(error, Error::Pull(_)) => {
            mirror_all_the_same(config, source, mirrors, context);
            return Err(error);
        }
        Err(error) => return Err(error),
    };
    match engine::backup(config, source, asked, context) {
        Ok(outcome) => {
            let mirrors = mirror::after_night(config, source, mirrors, context);
            let copies = copy::after_night(config, source, context);
            Ok(NightRan {
                outcome,
                mirrors,
                copies,
                pulled,
            })
        }
        Err(error) if is_of_archive(&error) => {
            mirror_all_the_same(config, source, mirrors, context);
            Err(error)
        }
        Err(error) => Err(error),
    }
}

/// Brings the mirrors up to date in a night that failed: they get the snapshots that there are.
fn mirror_all_the_same(
    config: &Config,
    source: &Source,
    mirrors: &MirrorAsked,
    context: RunContext<'_>,
) {
    let mirrored = mirror::after_night(config, source, mirrors, context);
    let failed = mirrored.into_iter().filter_map(Result::err);
    failed.for_each(|failed| warn_of(source, &failed, context.observer));
}

/// Pulls a source that comes from elsewhere. Nothing is pulled for a date that is refused anyway.
fn pull_first(
    config: &Config,
    source: &Source,
    asked: BackupRequest,
    context: RunContext<'_>,
) -> Result<Option<PullRan>, Error> {
    if source.pull.is_none() {
        return Ok(None);
    }
    let catalog = context.catalog(&StateDir::new(&config.state_dir))?;
    engine::check_date(source, asked, &catalog)?;
    drop(catalog);
    engine::pull_for_the_night(config, source, asked.date, context)
}

/// Returns whether a night failed by its archive or its store, so that its snapshot may be there all the same.
fn is_of_archive(error: &Error) -> bool {
    matches!(
        error,
        Error::Store(_)
            | Error::Backup(_)
            | Error::LedgerState(_)
            | Error::Btrfs(_)
            | Error::Seal(_)
    )
}

pub(super) fn warn_of(source: &Source, error: &Error, observer: &dyn Observer) {
    observer.event(Event::Warning {
        source: source.name.clone(),
        message: in_words(error),
    });
}

pub(crate) fn after_archive(name: &SourceName, later: Box<Error>) -> Error {
    Error::Backup(BackupError::AfterArchive {
        source_name: name.clone(),
        source: later,
    })
}
