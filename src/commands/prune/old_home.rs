//! `coldchain prune --old-home`: delete what a vault still has of a source that was moved out of it.

use serde_json::{Value, json};

use crate::activity_log::LogLine;
use crate::cli::{Everywhere, Prune};
use crate::commands::output::{answer_json, answer_lines, count};
use crate::commands::{activity_log, load_for_the_night, recorded, sources};
use crate::engine::{OldHomeAsked, OldHomePruned, RunContext, prune_old_home};
use crate::error::Error;
use crate::model::size::Bytes;
use crate::model::{Line, SourceName};
use crate::plan::{LeftFate, LeftLine};
use crate::progress::Quiet;

pub(super) fn run(args: &Prune, old_home: &str, everywhere: &Everywhere) -> Result<(), Error> {
    let config = load_for_the_night(everywhere)?;
    let source = sources(&config, args.source.name())?[0];
    let name = &source.name;
    let log = activity_log(&config);
    let observer = log.beside(Box::new(Quiet));
    let context = RunContext {
        wait_lock: args.lock.at_most(),
        ..RunContext::real(observer.as_ref())
    };
    let asked = if args.dry_run {
        OldHomeAsked::Plan
    } else {
        OldHomeAsked::Delete {
            agreed: args.yes_delete,
        }
    };
    let prune = || prune_old_home(&config, source, old_home, asked, context);
    let pruned = if args.dry_run {
        prune()?
    } else {
        recorded((&log, "prune"), Some(name), prune, |pruned| {
            LogLine::done(name, "old-home-pruned")
                .text("store", &pruned.store)
                .fact("archives", pruned.to_delete())
        })?
    };
    if everywhere.json {
        return answer_json(&to_json(name, &pruned, args.dry_run));
    }
    if everywhere.quiet && !args.dry_run {
        return Ok(());
    }
    answer_lines(in_words(name, &pruned, args.dry_run))
}

fn in_words(name: &SourceName, pruned: &OldHomePruned, is_plan: bool) -> Vec<String> {
    let store = Line(&pruned.store);
    let mut lines = Vec::new();
    for line in &pruned.lines {
        let fate = match (line.fate, is_plan) {
            (LeftFate::Keep, _) => "keep",
            (LeftFate::Delete, true) => "delete",
            (LeftFate::Delete, false) => "deleted",
        };
        lines.push(format!(
            "  {}  {fate:7}  {}, {}: {}",
            line.id,
            count(line.segments as u64, "segment"),
            Bytes(line.bytes),
            Line(&line.reason)
        ));
    }
    let deleted = pruned.to_delete();
    let bytes: u64 = pruned
        .lines
        .iter()
        .filter(|it| it.fate == LeftFate::Delete)
        .map(|it| it.bytes)
        .sum();
    let archives = count(deleted as u64, "archive");
    let mut head = match (pruned.lines.len(), is_plan) {
        (0, _) => format!("{name}: {store} has no archive of it"),
        (_, true) if deleted > 0 => {
            format!(
                "{name}: --yes-delete {deleted} would delete {archives} from {store}, {}",
                Bytes(bytes)
            )
        }
        (_, true) => format!("{name}: no archive may be deleted from {store}"),
        (_, false) => format!("{name}: {archives} deleted from {store}, {}", Bytes(bytes)),
    };
    if pruned.orphans > 0 {
        let orphans = count(pruned.orphans as u64, "orphaned object");
        head = format!("{head}; and {orphans}, {}", Bytes(pruned.orphan_bytes));
    }
    lines.insert(0, head);
    lines
}

fn to_json(name: &SourceName, pruned: &OldHomePruned, is_plan: bool) -> Value {
    let lines = |fate: LeftFate| -> Vec<Value> {
        let of = pruned.lines.iter().filter(|line| line.fate == fate);
        of.map(|line: &LeftLine| {
            json!({"id": line.id, "segments": line.segments, "bytes": line.bytes, "reason": line.reason})
        })
        .collect()
    };
    let deleted = if is_plan { "would_delete" } else { "deleted" };
    json!({
        "source": name, "old_home": pruned.store, deleted: lines(LeftFate::Delete), "kept": lines(LeftFate::Keep),
        "orphans": pruned.orphans, "orphan_bytes": pruned.orphan_bytes, "yes_delete": pruned.to_delete(),
    })
}
