//! `coldchain copy`: bring archives to other stores.

mod plan;

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::limited_store::open_store;
use super::output::{answer_json, answer_lines, count, observer};
use super::prompt::{Agreed, confirm};
use super::prune::{freed, plan_to_json};
use super::restore::thaw_request;
use super::run_result::run_result;
use super::{activity_log, load_for_the_night, recorded, run_report, sources};
use crate::activity_log::LogLine;
use crate::cli::{Copy, Everywhere};
use crate::config::{Config, PruneMode, Source};
use crate::engine::{self, CopyRan, CopyRequest, RunContext};
use crate::error::{CopyError, Error, RestoreError, in_words};
use crate::model::StorageClass;
use crate::model::size::Bytes;
use crate::plan::refuse_copy_beyond;
use crate::progress::Event;

/// Why a write can't fail here.
const NO_FAILURE: &str = "writing to a string does not fail";

pub(super) fn run(args: &Copy, everywhere: &Everywhere) -> Result<(), Error> {
    let config = load_for_the_night(everywhere)?;
    let wanted = wanted(args, &config)?;
    let log = activity_log(&config);
    let observer = log.beside(observer(everywhere));
    let open_store = open_store(args.limit.clone());
    let context = RunContext {
        wait_lock: args.lock.at_most(),
        stores: &open_store,
        ..RunContext::real(observer.as_ref())
    };
    if args.plan {
        return foresee(args, &config, &wanted, everywhere, context);
    }
    let (mut errors, mut results, mut lines) = (Vec::new(), Vec::new(), Vec::new());
    let mut stopped = Ok(());
    run_report::covers(wanted.iter().map(|(source, _)| &source.name));
    for &(source, to) in &wanted {
        stopped = context.interrupt.check();
        if stopped.is_err() {
            break;
        }
        let ran = recorded(
            (&log, "copy"),
            Some(&source.name),
            || copy_one(args, &config, source, to, context),
            |ran| {
                LogLine::done(&source.name, "copy-done")
                    .text("to", &ran.store)
                    .fact("archives", ran.copied.len())
                    .fact("deleted", freed(&ran.pruned).0)
            },
        );
        let error = match ran {
            Ok(mut ran) => {
                results.push(to_json(source, &ran));
                lines.extend(self::lines(source, to, &ran));
                ended(source, to, &mut ran, context)
            }
            Err(error) => Some(error),
        };
        if let Some(error) = error {
            let error = behind(source, to, context.interrupt.explain(error));
            observer.event(Event::Failed {
                source: source.name.clone(),
                message: in_words(&error),
            });
            errors.push((&source.name, error));
        }
    }
    let said = if everywhere.json {
        answer_json(&json!({"event": "done", "copies": results}))
    } else if everywhere.quiet {
        Ok(())
    } else {
        answer_lines(lines)
    };
    run_result(errors, wanted.len(), everywhere, stopped)?;
    said
}

/// Returns which source is to be copied where: to the store that was named, or to those of the config.
fn wanted<'c>(args: &'c Copy, config: &'c Config) -> Result<Vec<(&'c Source, &'c str)>, Error> {
    let mut wanted = Vec::new();
    for source in sources(config, args.source.name())? {
        match &args.to {
            Some(to) => wanted.push((source, to.as_str())),
            None => wanted.extend(source.copies.iter().map(|to| (source, to.as_str()))),
        }
    }
    if wanted.is_empty() {
        return Err(CopyError::NoneConfigured.into());
    }
    Ok(wanted)
}

/// Says what would be copied, and what it costs.
fn foresee(
    args: &Copy,
    config: &Config,
    wanted: &[(&Source, &str)],
    everywhere: &Everywhere,
    context: RunContext<'_>,
) -> Result<(), Error> {
    let tier = args.thawing.tier;
    let (mut plans, mut lines) = (Vec::new(), Vec::new());
    for &(source, to) in wanted {
        let foreseen = engine::foresee_copy(config, source, to, args.thawing.thaw_days, context)?;
        refuse_copy_beyond(&foreseen.cost, tier, args.thawing.max_cost)?;
        plans.push(plan::to_json(source, &foreseen, tier)?);
        lines.extend(plan::in_words(source, to, &foreseen));
    }
    if everywhere.json {
        answer_json(&json!({"copies": plans}))
    } else {
        answer_lines(lines)
    }
}

/// Copies one source to one store, and asks before it thaws.
fn copy_one(
    args: &Copy,
    config: &Config,
    source: &Source,
    to: &str,
    context: RunContext<'_>,
) -> Result<CopyRan, Error> {
    // A place that can't have the copy is refused before anything is asked.
    engine::copy_store(config, source, to)?;
    if args.thawing.max_cost.is_some() {
        // If it costs too much, nothing is asked for.
        let foreseen = engine::foresee_copy(config, source, to, args.thawing.thaw_days, context)?;
        refuse_copy_beyond(&foreseen.cost, args.thawing.tier, args.thawing.max_cost)?;
    }
    let home = config.store_of(source)?.storage_class();
    let is_cold = home.is_some_and(StorageClass::is_cold);
    if is_cold && !args.yes {
        confirm(
            Agreed::NotYet,
            &format!(
                "Thaw what is cold at home and not in {to} yet, with the tier {}?",
                args.thawing.tier
            ),
        )?;
    }
    let asked = CopyRequest {
        thaw: is_cold.then(|| thaw_request(&args.thawing)),
        anew: args.anew,
        no_prune: args.no_prune,
    };
    engine::copy(config, source, to, asked, context)
}

/// Returns why a copy is not up to date, or else why it is not pruned. If both are so, the second is a warning.
fn ended(source: &Source, to: &str, ran: &mut CopyRan, context: RunContext<'_>) -> Option<Error> {
    let awaited = ran
        .awaited
        .take()
        .map(|awaited| Error::Restore(RestoreError::Thawing(Box::new(awaited))));
    let behind = ran.stopped.take().or(awaited);
    let unpruned = ran
        .unpruned
        .take()
        .map(|error| match context.interrupt.explain(error) {
            error @ Error::Interrupted(_) => error,
            error => Error::Copy(CopyError::Unpruned {
                source_name: source.name.clone(),
                to: to.to_owned(),
                source: Box::new(error),
            }),
        });
    if let (Some(_), Some(unpruned)) = (&behind, &unpruned) {
        context.observer.event(Event::Warning {
            source: source.name.clone(),
            message: in_words(unpruned),
        });
    }
    behind.or(unpruned)
}

/// Names the copy that an error is about. What stopped the whole command needs no name.
fn behind(source: &Source, to: &str, error: Error) -> Error {
    match error {
        Error::Interrupted(_)
        | Error::Busy(_)
        | Error::Copy(_)
        | Error::Config(_)
        | Error::Restore(RestoreError::Thawing(_)) => error,
        error => Error::Copy(CopyError::Behind {
            source_name: source.name.clone(),
            to: to.to_owned(),
            source: Box::new(error),
        }),
    }
}

/// Brings the copies of a source up to date after its night, and returns what came of each.
pub(crate) fn after_night<'c>(
    config: &'c Config,
    source: &'c Source,
    context: RunContext<'_>,
) -> Vec<CopyEnding<'c>> {
    let mut endings = Vec::new();
    for to in &source.copies {
        if context.interrupt.check().is_err() {
            break;
        }
        let asked = CopyRequest {
            // Then the credentials of this machine need not be able to delete anything.
            no_prune: config.prune == PruneMode::Elsewhere,
            ..CopyRequest::default()
        };
        let ran = match engine::copy(config, source, to, asked, context) {
            Err(Error::Busy(_)) => {
                context.observer.event(Event::Warning {
                    source: source.name.clone(),
                    message: format!("another run is copying to {to}, so this one leaves it alone"),
                });
                continue;
            }
            Ok(mut ran) => match ended(source, to, &mut ran, context) {
                None => Ok((to.as_str(), ran)),
                Some(error) => Err(error),
            },
            Err(error) => Err(error),
        };
        endings.push(ran.map_err(|error| match context.interrupt.explain(error) {
            error @ (Error::Interrupted(_) | Error::Copy(CopyError::Unpruned { .. })) => error,
            error => Error::Copy(CopyError::AfterNight {
                source_name: source.name.clone(),
                to: to.clone(),
                source: Box::new(error),
            }),
        }));
    }
    endings
}

/// How a copy's part of a night ended: the store's name in the config, and what was done.
pub(crate) type CopyEnding<'c> = Result<(&'c str, CopyRan), Error>;

/// Returns the lines about a copy.
pub(super) fn lines(source: &Source, to: &str, ran: &CopyRan) -> Vec<String> {
    let mut lines = vec![line(source, to, ran)];
    if ran.is_new && !ran.is_in_kit {
        lines.push(format!(
            "{}: no recovery kit names this copy yet; where the kit is, run: coldchain key kit --kit FILE",
            source.name
        ));
    }
    lines
}

fn line(source: &Source, to: &str, ran: &CopyRan) -> String {
    let name = &source.name;
    let mut line = format!("{name}: copy in {to}: ");
    if ran.of == 0 {
        line.push_str("nothing is archived yet");
        return line;
    }
    if !ran.copied.is_empty() {
        let archives = count(ran.copied.len() as u64, "archive");
        let bytes = Bytes(ran.copied.iter().map(|it| it.sealed_bytes).sum());
        write!(line, "{archives} copied, {bytes}; ").expect(NO_FAILURE);
    }
    match (ran.has, ran.of) {
        (has, of) if has == of => {
            write!(line, "it has all {}", count(of as u64, "archive")).expect(NO_FAILURE);
        }
        (has, of) => {
            write!(line, "it has {has} of {}", count(of as u64, "archive")).expect(NO_FAILURE);
        }
    }
    let (objects, bytes) = freed(&ran.pruned);
    if objects > 0 {
        write!(
            line,
            "; deleted there: {}, {}",
            count(objects, "object"),
            Bytes(bytes)
        )
        .expect(NO_FAILURE);
    }
    line
}

/// Returns the JSON form of what was done.
pub(super) fn to_json(source: &Source, ran: &CopyRan) -> Value {
    let copied = ran.copied.iter();
    let copied: Vec<Value> = copied
        .map(|it| json!({"id": it.id, "sealed_bytes": it.sealed_bytes}))
        .collect();
    json!({
        "source": source.name, "to": ran.store, "new": ran.is_new, "in_kit": ran.is_in_kit, "copied": copied, "has": ran.has, "of": ran.of,
        "entries": ran.entries, "pruned": plan_to_json(&ran.pruned),
    })
}
