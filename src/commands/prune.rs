//! `coldchain prune`: remove what attempts that came to nothing left in the store.

use serde_json::{Value, json};

use super::backup::end;
use super::output::{answer, answer_json, count};
use super::{load, sources};
use crate::cli::{Everywhere, Prune};
use crate::config::Source;
use crate::engine::{World, find_strays, remove_strays};
use crate::error::{Error, in_words};
use crate::model::size::Bytes;
use crate::plan::{Fate, StrayLine, StrayPlan};
use crate::progress::{Observer, Quiet, Verbose};
use crate::store::Swept;

/// Whether what is told was done.
#[derive(Clone, Copy)]
enum Tense {
    Planned,
    Done,
}

pub(super) fn run(args: &Prune, everywhere: &Everywhere) -> Result<(), Error> {
    let config = load(everywhere)?;
    let chosen = sources(&config, args.source.as_deref())?;
    let observer: Box<dyn Observer> = if everywhere.verbose {
        Box::new(Verbose)
    } else {
        Box::new(Quiet)
    };
    let world = World {
        wait_lock: args.lock.at_most(),
        ..World::real(observer.as_ref())
    };
    let tense = if args.dry_run {
        Tense::Planned
    } else {
        Tense::Done
    };
    let mut told = Vec::new();
    let mut errors = Vec::new();
    let mut said = Ok(());
    let mut stopped = Ok(());
    for source in &chosen {
        stopped = world.interrupt.check();
        if stopped.is_err() {
            break;
        }
        let plan = match tense {
            Tense::Planned => {
                find_strays(&config, source, world).map(|plan| (plan, Swept::default()))
            }
            Tense::Done => remove_strays(&config, source, world),
        };
        match plan {
            Ok((plan, swept)) => {
                if !everywhere.json && (!everywhere.quiet || args.dry_run) {
                    // What can't be said must not keep the other sources waiting.
                    said = said.and(answer(&to_text(source, &plan, swept, tense)));
                }
                told.push(to_json(source, &plan, swept));
            }
            Err(error) => {
                told.push(json!({"source": source.name, "error": in_words(&error)}));
                errors.push((source, error));
            }
        }
    }
    // A single failure is told once, as every command tells it.
    if everywhere.json && (errors.is_empty() || chosen.len() > 1) {
        said = said.and(answer_json(&json!({ "sources": told })));
    }
    end(errors, chosen.len(), everywhere, stopped)?;
    said
}

fn to_json(source: &Source, plan: &StrayPlan, swept: Swept) -> Value {
    let lines = |fate| -> Vec<Value> {
        plan.with(fate)
            .map(|line| {
                json!({
                    "archive": line.archive, "objects": line.objects.len(), "bytes": line.bytes(),
                    "reason": line.reason,
                })
            })
            .collect()
    };
    json!({
        "source": source.name, "removed": lines(Fate::Remove), "retired": lines(Fate::Retire),
        "kept": lines(Fate::Keep), "bytes": removed(plan).1,
        "swept": {"files": swept.files, "bytes": swept.bytes},
    })
}

/// How many objects are removed, and their bytes.
fn removed(plan: &StrayPlan) -> (u64, u64) {
    plan.with(Fate::Remove)
        .map(|line| (line.objects.len() as u64, line.bytes()))
        .fold((0, 0), |sum, line| (sum.0 + line.0, sum.1 + line.1))
}

/// A line for each attempt, and the sum of what is removed; nothing where there is nothing.
fn to_text(source: &Source, plan: &StrayPlan, swept: Swept, tense: Tense) -> String {
    let name = &source.name;
    let swept = match swept.files {
        0 => String::new(),
        files => format!(
            "{name}: {} of writers that died removed, {}\n",
            count(files as u64, "unfinished file"),
            Bytes(swept.bytes)
        ),
    };
    if plan.lines.is_empty() {
        return swept;
    }
    let lines = plan.lines.iter().fold(String::new(), |text, line| {
        text + &format!("{name}: {}\n", line_to_text(line, tense))
    });
    let verb = match tense {
        Tense::Planned => "to remove",
        Tense::Done => "removed",
    };
    match removed(plan) {
        (0, _) => format!("{lines}{name}: nothing {verb}\n{swept}"),
        (objects, bytes) => format!(
            "{lines}{name}: {} {verb}, {}\n{swept}",
            count(objects, "object"),
            Bytes(bytes)
        ),
    }
}

fn line_to_text(line: &StrayLine, tense: Tense) -> String {
    let verb = match (line.fate, tense) {
        (Fate::Remove, Tense::Planned) => "to remove",
        (Fate::Remove, Tense::Done) => "removed",
        (Fate::Retire, Tense::Planned) => "to retire",
        (Fate::Retire, Tense::Done) => "retired",
        (Fate::Keep, _) => "kept",
    };
    let archive = line
        .archive
        .map(|archive| format!(" {archive},"))
        .unwrap_or_default();
    format!(
        "{verb}{archive} {}, {}: {}",
        count(line.objects.len() as u64, "object"),
        Bytes(line.bytes()),
        line.reason
    )
}
