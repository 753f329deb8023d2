//! `coldchain backup`: the nightly command.

use serde_json::json;

use super::attended::attended;
use super::limited_store::open_store;
use super::night::{NightRan, after_archive, night, warn_of};
use super::output::{answer, answer_json, answer_lines, observer, stdout_columns};
use super::run_result::run_result;
use super::target::chosen;
use super::{
    activity_log, copy, load_for_the_night, mirror, plan, pull, run_facts, run_report, snapshot,
    today,
};
use crate::cli::{Backup, Everywhere};
use crate::config::{Config, Source};
use crate::engine::{
    self, Asking, BackupRequest, CommittedArchive, MirrorAsked, Outcome, RunContext, StateDir,
};
use crate::error::{BackupError, Error, in_words};
use crate::hooks::HookEvent;
use crate::model::size::Bytes;
use crate::plan::{DateOverride, Request, snapshots_alone};
use crate::progress::Event;

pub(super) fn run(args: &Backup, everywhere: &Everywhere) -> Result<(), Error> {
    let config = load_for_the_night(everywhere)?;
    let target = chosen(args.target.typed(), &config)?;
    let asked = BackupRequest {
        date: target.day()?.unwrap_or_else(|| today(&config)),
        today: today(&config),
        request: if args.full {
            Request::Full
        } else {
            Request::Scheduled
        },
        override_date: if args.date_override {
            DateOverride::Given
        } else {
            DateOverride::Absent
        },
    };
    let mut chosen = target.sources();
    if target.source.is_none() {
        // A source without a subvolume gets its streams through `decide`.
        chosen.retain(|source| source.live.is_some());
    }
    if chosen.is_empty() {
        return Err(BackupError::NothingLive.into());
    }
    if args.dry_run {
        return dry_run(&config, &chosen, asked, everywhere);
    }
    run_report::covers(chosen.iter().map(|source| &source.name));
    let log = activity_log(&config);
    let observer = log.beside(observer(everywhere));
    let mut results = Vec::new();
    let mut errors = Vec::new();
    let mut said = Ok(());
    let mut archived = None;
    let open_store = open_store(args.limit.clone());
    let context = RunContext {
        wait_lock: args.lock.at_most(),
        stores: &open_store,
        ..RunContext::real(observer.as_ref())
    };
    let mirror_asked = MirrorAsked {
        limit: args.limit.clone(),
        ..MirrorAsked::default()
    };
    // An error of the catalog is reported by the runs of the sources.
    let _ = engine::warn_of_unconfigured(&config, context);
    let mut stopped = Ok(());
    for &source in &chosen {
        // A source that is not begun any more has no result.
        stopped = context.interrupt.check();
        if stopped.is_err() {
            break;
        }
        let end = attended(
            (&config, &log),
            (HookEvent::Backup, source, asked.date),
            observer.as_ref(),
            || night(&config, source, asked, &mirror_asked, context),
            run_facts::of_night,
        );
        results.push(result_json(source, &end.ran, end.seconds));
        errors.extend(end.hook.map(|error| (source, error)));
        match end.ran {
            Ok(night) => {
                if !everywhere.json && !everywhere.quiet {
                    // A failed write to stdout must not keep the other sources from being archived.
                    said = said.and(answer_lines(all_lines(source, asked, &night)));
                }
                if let Outcome::Archived { .. } = night.outcome {
                    archived = Some(&source.name);
                }
                // One error a source: the first counts, the others are warnings.
                let mut all = night.failed_later(source, context).into_iter();
                errors.extend(all.next().map(|error| (source, error)));
                all.for_each(|error| warn_of(source, &error, observer.as_ref()));
            }
            Err(error) => errors.push((source, error)),
        }
    }
    for (source, error) in &errors {
        observer.event(Event::Failed {
            source: source.name.clone(),
            message: in_words(error),
        });
    }
    if everywhere.json {
        said = said.and(answer_json(&json!({"event": "done", "sources": results})));
    }
    run_result(errors, chosen.len(), everywhere, stopped)?;
    said.map_err(|error| match archived {
        Some(name) => after_archive(name, Box::new(error)),
        None => error,
    })
}

/// Returns what a night has to tell: a line for each thing that was done.
fn all_lines(source: &Source, asked: BackupRequest, night: &NightRan<'_>) -> Vec<String> {
    let pulled = night.pulled.iter();
    let pulled = pulled.map(|ran| pull::line(source, ran, false));
    let mirrored = night.mirrors.iter().filter_map(|it| it.as_ref().ok());
    let mirrored = mirrored.map(|(mirror, ran)| mirror::line(mirror, ran));
    let copied = night.copies.iter().filter_map(|it| it.as_ref().ok());
    let copied = copied.flat_map(|(to, ran)| copy::lines(source, to, ran));
    let lines = lines(source, asked, &night.outcome);
    pulled.chain(lines).chain(mirrored).chain(copied).collect()
}

fn dry_run(
    config: &Config,
    chosen: &[&Source],
    asked: BackupRequest,
    everywhere: &Everywhere,
) -> Result<(), Error> {
    let catalog = StateDir::new(&config.state_dir).catalog_to_read()?;
    engine::require_known_archives(config, chosen, Asking::Here)?;
    let mut plans = Vec::new();
    for source in chosen {
        if source.store.is_none() {
            plans.push(snapshots_alone(&source.name, asked.date));
            plan::add_snapshots(config, source, asked.date, &catalog, &mut plans)?;
            continue;
        }
        engine::check_date(source, asked, &catalog)?;
        let foreseen = engine::foresee(config, source, asked, &catalog)?;
        plans.extend(plan::of_a_night(foreseen, asked.date)?);
        plan::add_snapshots(config, source, asked.date, &catalog, &mut plans)?;
    }
    if everywhere.json {
        answer_json(&plan::to_json(&plans, &[]))
    } else {
        answer(&plan::in_columns(&plans, stdout_columns()))
    }
}

fn lines(source: &Source, asked: BackupRequest, outcome: &Outcome) -> Vec<String> {
    let of_one = |made: &CommittedArchive| {
        format!(
            "{}: {}: archived, {}, {} raw, {} stored: {}",
            source.name,
            made.archive.date,
            made.archive.kind,
            Bytes(made.raw_bytes),
            Bytes(made.sealed_bytes),
            made.reason,
        )
    };
    match outcome {
        Outcome::NothingDue { reason } => {
            vec![format!(
                "{}: {}: nothing due: {reason}",
                source.name, asked.date
            )]
        }
        Outcome::Snapshot(taken) => vec![snapshot::line(source, taken)],
        Outcome::Archived { archives, .. } => archives.iter().map(of_one).collect(),
    }
}

fn result_json(
    source: &Source,
    night: &Result<NightRan<'_>, Error>,
    seconds: u64,
) -> serde_json::Value {
    let facts = match night {
        Ok(night) => run_facts::of(&night.outcome),
        Err(error) => run_facts::failed(error),
    };
    let mirrors: Vec<_> = match night {
        Ok(night) => night
            .mirrors
            .iter()
            .filter_map(|it| it.as_ref().ok())
            .map(|(mirror, ran)| mirror::to_json(mirror, ran))
            .collect(),
        Err(_) => Vec::new(),
    };
    let mut result = json!({
        "name": source.name, "result": facts.result, "archives": facts.archives,
        "raw_bytes": facts.raw_bytes, "sealed_bytes": facts.sealed_bytes,
        "uploaded_bytes": facts.uploaded_bytes, "seconds": seconds, "mirrors": mirrors,
    });
    if let Ok(night) = night {
        let copies = night.copies.iter().filter_map(|it| it.as_ref().ok());
        let copies: Vec<_> = copies.map(|(_, ran)| copy::to_json(source, ran)).collect();
        result["copies"] = copies.into();
        if let Some(pulled) = &night.pulled {
            result["pulled"] = pull::to_json(pulled);
        }
    }
    result
}
