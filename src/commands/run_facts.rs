//! What came of the run of one source, as the JSON answer, the activity log and the hooks have it.

use chrono::NaiveDate;

use super::failure::failure_of;
use super::night::NightRan;
use crate::activity_log::LogLine;
use crate::engine::{CommittedArchive, Outcome, PullRan, Snapshotted};
use crate::error::{Error, ExitCode};
use crate::hooks::{HookFailure, RunFacts};
use crate::model::SourceName;

/// The result of a pull that is no part of a night.
const PULLED: &str = "pulled";

pub(crate) fn of(outcome: &Outcome) -> RunFacts {
    match outcome {
        Outcome::NothingDue { reason } => RunFacts {
            result: "nothing-due",
            reason: Some(reason.clone()),
            ..RunFacts::default()
        },
        Outcome::Snapshot(taken) => of_snapshot(taken),
        Outcome::Archived { archives, later } => {
            let sum = |of: fn(&CommittedArchive) -> u64| archives.iter().map(of).sum();
            RunFacts {
                result: "archived",
                archives: archives.iter().map(|made| made.archive).collect(),
                raw_bytes: sum(|made| made.raw_bytes),
                sealed_bytes: sum(|made| made.sealed_bytes),
                uploaded_bytes: sum(|made| made.uploaded_bytes),
                failure: later.as_deref().map(failure_later),
                ..RunFacts::default()
            }
        }
    }
}

/// Returns the facts of a source's night. The error of a mirror or a copy counts if there is none before it.
pub(crate) fn of_night(night: &NightRan<'_>) -> RunFacts {
    let facts = of(&night.outcome);
    let mirrors = night.mirrors.iter().filter_map(|it| it.as_ref().err());
    let copies = night.copies.iter().filter_map(|it| it.as_ref().err());
    let failed = mirrors.chain(copies).next();
    RunFacts {
        failure: facts.failure.or_else(|| failed.map(failure_later)),
        ..facts
    }
}

pub(crate) fn of_snapshot(taken: &Snapshotted) -> RunFacts {
    RunFacts {
        result: "snapshot",
        snapshot: Some(taken.name),
        deleted: taken.deleted.unwrap_or_default(),
        failure: taken.later.as_deref().map(failure_later),
        ..RunFacts::default()
    }
}

pub(crate) fn of_pull(_: &PullRan) -> RunFacts {
    RunFacts {
        result: PULLED,
        ..RunFacts::default()
    }
}

pub(super) fn failed(error: &Error) -> RunFacts {
    RunFacts {
        result: "failed",
        failure: Some(failure_of(error)),
        ..RunFacts::default()
    }
}

/// Returns what hooks learn of the error of a step after what was asked for was done.
fn failure_later(later: &Error) -> HookFailure {
    HookFailure {
        exit_code: ExitCode::Later as u8,
        ..failure_of(later)
    }
}

/// Returns the log's line about a run that did not fail.
pub(super) fn line(run: &RunFacts, source: &SourceName, date: NaiveDate) -> LogLine {
    if run.result == PULLED {
        // What was pulled has a line of its own.
        return LogLine::done(source, "done").fact("seconds", run.seconds);
    }
    // The making of a snapshot has a line of its own.
    let action = run.snapshot.map_or(run.result, |_| "done");
    let line = LogLine::done(source, action);
    let line = match (&run.reason, run.snapshot) {
        (Some(reason), _) => line.of([date]).text("reason", reason),
        (None, Some(snapshot)) => line.of([snapshot]).fact("deleted", run.deleted),
        (None, None) => line
            .of(&run.archives)
            .fact("raw", run.raw_bytes)
            .fact("sealed", run.sealed_bytes)
            .fact("uploaded", run.uploaded_bytes),
    };
    line.fact("seconds", run.seconds)
}
