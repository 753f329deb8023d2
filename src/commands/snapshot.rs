//! `coldchain snapshot`: take a snapshot now.

use serde_json::json;

use super::attended::attended;
use super::output::{answer_json, answer_lines, count, observer};
use super::run_result::run_result;
use super::snapshots::with_snapshots;
use super::{activity_log, load_for_the_night, run_facts, run_report, today};
use crate::cli::{Everywhere, Snapshot};
use crate::config::{Config, Source};
use crate::engine::{self, RunContext, Snapshotted};
use crate::error::Error;
use crate::hooks::HookEvent;

pub(super) fn run(args: &Snapshot, everywhere: &Everywhere) -> Result<(), Error> {
    let config = load_for_the_night(everywhere)?;
    let chosen = with_snapshots(&config, args.source.name())?;
    let log = activity_log(&config);
    let observer = log.beside(observer(everywhere));
    let context = RunContext {
        wait_lock: args.lock.at_most(),
        ..RunContext::real(observer.as_ref())
    };
    let mut errors = Vec::new();
    let mut results = Vec::new();
    let mut said = Ok(());
    let mut stopped = Ok(());
    run_report::covers(chosen.iter().map(|source| &source.name));
    for &source in &chosen {
        stopped = context.interrupt.check();
        if stopped.is_err() {
            break;
        }
        let end = attended(
            (&config, &log),
            (HookEvent::Snapshot, source, today(&config)),
            observer.as_ref(),
            || take(&config, source, args, context),
            run_facts::of_snapshot,
        );
        errors.extend(end.hook.map(|error| (source, error)));
        match end.ran {
            Ok(taken) => {
                if !everywhere.json && !everywhere.quiet {
                    said = said.and(answer_lines([line(source, &taken)]));
                }
                results.push(json!({
                    "name": source.name, "snapshot": taken.name, "deleted": taken.deleted,
                }));
                if let Some(later) = taken.failed_later(&source.name) {
                    errors.push((source, context.interrupt.explain(later)));
                }
            }
            Err(error) => errors.push((source, error)),
        }
    }
    if everywhere.json {
        said = said.and(answer_json(&json!({"event": "done", "sources": results})));
    }
    run_result(errors, chosen.len(), everywhere, stopped)?;
    said
}

/// Takes the snapshot of a source; with `--sync`, waits until the space of those that it deleted is free.
fn take(
    config: &Config,
    source: &Source,
    args: &Snapshot,
    context: RunContext<'_>,
) -> Result<Snapshotted, Error> {
    let mut taken = engine::snapshot(config, source, context)?;
    if taken.later.is_none() && args.sync && taken.deleted.is_some_and(|it| it > 0) {
        let freed = engine::wait_until_freed(source);
        taken.later = freed.err().map(Box::new);
    }
    Ok(taken)
}

/// Returns the line about a snapshot that was taken.
pub(super) fn line(source: &Source, taken: &Snapshotted) -> String {
    let snapshot = if taken.is_new {
        "made"
    } else {
        "exists already"
    };
    let deleted = match taken.deleted {
        Some(0) => String::new(),
        Some(deleted) => format!("; {} deleted", count(deleted as u64, "expired snapshot")),
        None if taken.later.is_none() => {
            "; expired snapshots are deleted by a later run, since one is at work on this source"
                .to_owned()
        }
        None => String::new(),
    };
    format!(
        "{}: snapshot {} {snapshot}{deleted}",
        source.name, taken.name
    )
}
