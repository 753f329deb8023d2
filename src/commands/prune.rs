//! `coldchain prune`: retire what has expired, delete what was retired, remove what attempts left.

use std::time::Instant;

use serde_json::{Value, json};

use super::output::{answer, answer_json, count};
use super::run_result::run_result;
use super::{
    activity_log, load_for_the_night, record_if_forced, recorded, run_report, sources, today,
};
use crate::activity_log::{ActivityLog, LogLine};
use crate::cli::{Everywhere, Prune};
use crate::config::{Config, Source};
use crate::engine::{
    PruneAsked, Pruned, RunContext, UnfinishedPrune, foresee_prune, prune, revive,
};
use crate::error::{Error, RequestError, in_words};
use crate::interrupt;
use crate::model::date_word::DateWord;
use crate::plan::{EarlyDeletion, Fate, PrunePlan, Usd};
use crate::progress::{Observer, Quiet, Verbose};

mod old_home;
mod report;

pub(super) use report::freed;
use report::{Tense, to_text};

pub(super) fn run(args: &Prune, everywhere: &Everywhere) -> Result<(), Error> {
    if let Some(name) = &args.imported {
        return super::imported::prune::run(args, name, everywhere);
    }
    if let Some(old_home) = &args.old_home {
        return old_home::run(args, old_home, everywhere);
    }
    let config = load_for_the_night(everywhere)?;
    let chosen = sources(&config, args.source.name())?;
    let observer: Box<dyn Observer> = if everywhere.verbose {
        Box::new(Verbose)
    } else {
        Box::new(Quiet)
    };
    let log = if args.dry_run {
        ActivityLog::none()
    } else {
        activity_log(&config)
    };
    let observer = log.beside(observer);
    let context = RunContext {
        wait_lock: args.lock.at_most(),
        ..RunContext::real(observer.as_ref())
    };
    if let Some(chain) = &args.revive {
        return bring_back((&config, &log), chosen[0], chain, context, everywhere);
    }
    let asked = PruneAsked {
        date: today(&config),
        yes_delete: args.yes_delete,
    };
    let tense = if args.dry_run {
        Tense::Planned
    } else {
        Tense::Done
    };
    let mut told = Vec::new();
    let mut has_acted = false;
    let mut errors = Vec::new();
    let mut said = Ok(());
    let mut stopped = Ok(());
    run_report::covers(chosen.iter().map(|source| &source.name));
    for &source in &chosen {
        stopped = context.interrupt.check();
        if stopped.is_err() {
            break;
        }
        let begun = Instant::now();
        record_if_forced((&log, "prune"), Some(&source.name));
        let pruned = match tense {
            Tense::Planned => {
                foresee_prune(&config, source, asked, context).map_err(UnfinishedPrune::from)
            }
            Tense::Done => prune(&config, source, asked, context),
        };
        interrupt::run_is_over();
        // What was done is reported, however the run ended.
        let (pruned, error) = match pruned {
            Ok(pruned) => (Some(pruned), None),
            Err(cut) => (cut.done.map(|done| *done), Some(cut.error)),
        };
        let mut line = match &pruned {
            Some(pruned) => to_json(&config, source, pruned, tense),
            None => json!({"source": source.name}),
        };
        if let Some(pruned) = &pruned {
            has_acted = true;
            if !everywhere.json && (!everywhere.quiet || args.dry_run) {
                // A failed write to stdout must not stop the other sources.
                let text = to_text(&source.name, pruned, &config.prices, tense);
                said = said.and(answer(&text));
            }
        }
        let seconds = begun.elapsed().as_secs();
        if let (Some(pruned), None) = (&pruned, &error) {
            let (objects, bytes) = report::freed(&pruned.plan);
            let done = LogLine::done(&source.name, "pruned");
            let done = done.fact("objects", objects).fact("bytes", bytes);
            log.write(&done.fact("seconds", seconds));
        }
        if tense == Tense::Done {
            let result = error.as_deref().map_or(Ok(()), Err);
            run_report::source_ended_with("prune", &source.name, result, seconds);
        }
        if let Some(error) = error {
            log.failed("prune", Some(&source.name), &error);
            line["error"] = json!(in_words(&error));
            errors.push((source, *error));
        }
        told.push(line);
    }
    // A single failure before anything was done is reported once, as in every command.
    if everywhere.json && (has_acted || chosen.len() > 1) {
        said = said.and(answer_json(&json!({ "sources": told })));
    }
    run_result(errors, chosen.len(), everywhere, stopped)?;
    said
}

/// `--revive`: makes a retired chain visible again.
fn bring_back(
    (config, log): (&Config, &ActivityLog),
    source: &Source,
    chain: &str,
    context: RunContext<'_>,
    everywhere: &Everywhere,
) -> Result<(), Error> {
    let chain = match chain.parse()? {
        DateWord::Archive(full) => full.date,
        date => date
            .day(today(config))
            .ok_or_else(|| RequestError::NoSuchArchive(chain.to_owned()))?,
    };
    let revived = recorded(
        (log, "prune"),
        Some(&source.name),
        || revive(config, source, chain, context),
        |revived| LogLine::done(&source.name, "revived").of(&revived.archives),
    )?;
    if everywhere.json {
        return answer_json(&json!({
            "source": source.name, "revived": chain, "archives": revived.archives,
            "expires": revived.expires,
        }));
    }
    if everywhere.quiet {
        return Ok(());
    }
    let archives = count(revived.archives.len() as u64, "archive");
    let again = match revived.expires {
        Some(reason) => format!(
            "{}: the next prune would retire it again ({reason}): raise `expire_after_days` before that\n",
            source.name
        ),
        None => String::new(),
    };
    answer(&format!(
        "{}: the chain of {chain} is visible again, {archives}\n{again}",
        source.name
    ))
}

fn to_json(config: &Config, source: &Source, pruned: &Pruned, tense: Tense) -> Value {
    let plan = &pruned.plan;
    let strays = |fate| -> Vec<Value> {
        plan.strays
            .with(fate)
            .map(|line| {
                json!({
                    "archive": line.archive, "objects": line.objects.len(), "bytes": line.bytes(),
                    "reason": line.reason,
                    "early": early_to_json(&report::early_strays(line, pruned, &config.prices), pruned),
                })
            })
            .collect()
    };
    let chains: Vec<Value> = plan
        .chains
        .iter()
        .map(|line| {
            let early = report::early(line, pruned, &config.prices);
            json!({
                "chain": line.chain.date, "fate": report::word(line.fate),
                "archives": line.archives, "objects": line.objects.len(),
                "bytes": line.bytes(), "reason": line.reason, "until": report::until(line.fate),
                "early": early_to_json(&early, pruned),
            })
        })
        .collect();
    let leftovers: Vec<Value> = pruned
        .leftovers
        .iter()
        .map(|leftover| {
            let fate = if leftover.is_ours() { "remove" } else { "keep" };
            json!({"path": leftover.path, "fate": fate, "reason": leftover.reason()})
        })
        .collect();
    let mut told = json!({
        "source": source.name, "chains": chains, "removed": strays(Fate::Remove),
        "retired": strays(Fate::Retire), "kept": strays(Fate::Keep), "bytes": report::freed(plan).1,
        "swept": {"files": pruned.swept.files, "bytes": pruned.swept.bytes},
    });
    if !leftovers.is_empty() {
        told["leftovers"] = json!(leftovers);
    }
    if let Some(archives) = report::to_agree(plan, tense) {
        told["yes_delete"] = json!(archives);
    }
    told
}

/// Returns the JSON form of what a prune of a copy did and left.
pub(super) fn plan_to_json(plan: &PrunePlan) -> Value {
    let chains: Vec<Value> = plan
        .chains
        .iter()
        .map(|line| {
            json!({
                "chain": line.chain.date, "fate": report::word(line.fate),
                "archives": line.archives, "objects": line.objects.len(),
                "bytes": line.bytes(), "reason": line.reason, "until": report::until(line.fate),
            })
        })
        .collect();
    let strays = |fate| -> Vec<Value> {
        let told = plan.strays.with(fate).map(|line| {
            json!({
                "archive": line.archive, "objects": line.objects.len(), "bytes": line.bytes(),
                "reason": line.reason,
            })
        });
        told.collect()
    };
    json!({
        "chains": chains, "removed": strays(Fate::Remove), "kept": strays(Fate::Keep),
        "bytes": freed(plan).1,
    })
}

fn early_to_json(early: &[EarlyDeletion], pruned: &Pruned) -> Vec<Value> {
    early
        .iter()
        .map(|early| {
            json!({
                "class": early.class, "minimum_days": early.minimum_days,
                "objects": early.objects, "bytes": early.bytes, "days": early.days,
                "usd": report::known_usd(early, pruned).map(Usd::as_number),
            })
        })
        .collect()
}
