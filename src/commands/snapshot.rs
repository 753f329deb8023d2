//! `coldchain snapshot`: take a snapshot now.

use serde_json::json;

use super::backup::observer;
use super::load_for_the_night;
use super::output::{answer_json, answer_lines, count};
use super::run_result::run_result;
use super::snapshots::with_snapshots;
use crate::cli::{Everywhere, Snapshot};
use crate::config::Source;
use crate::engine::{self, RunContext, Snapshotted};
use crate::error::Error;

pub(super) fn run(args: &Snapshot, everywhere: &Everywhere) -> Result<(), Error> {
    let config = load_for_the_night(everywhere)?;
    let chosen = with_snapshots(&config, args.source.name())?;
    let observer = observer(everywhere);
    let context = RunContext {
        wait_lock: args.lock.at_most(),
        ..RunContext::real(observer.as_ref())
    };
    let mut errors = Vec::new();
    let mut results = Vec::new();
    let mut said = Ok(());
    let mut stopped = Ok(());
    for &source in &chosen {
        stopped = context.interrupt.check();
        if stopped.is_err() {
            break;
        }
        let taken = engine::snapshot(&config, source, context);
        match taken.map_err(|error| context.interrupt.explain(error)) {
            Ok(mut taken) => {
                if !everywhere.json && !everywhere.quiet {
                    said = said.and(answer_lines([line(source, &taken)]));
                }
                results.push(json!({
                    "name": source.name, "snapshot": taken.name, "deleted": taken.deleted,
                }));
                if taken.later.is_none() && args.sync && taken.deleted.is_some_and(|it| it > 0) {
                    let freed = engine::wait_until_freed(source);
                    taken.later = freed.err().map(Box::new);
                }
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
