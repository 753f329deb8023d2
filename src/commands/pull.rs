//! `coldchain pull`: bring sources up to date that come from elsewhere.

use serde_json::{Value, json};

use super::attended::attended;
use super::output::{answer_json, answer_lines, count, observer};
use super::run_result::run_result;
use super::{activity_log, load_for_the_night, run_facts, run_report, today};
use crate::cli::{Everywhere, Pull};
use crate::config::{Config, Source};
use crate::engine::{self, PullAsked, PullRan, RunContext};
use crate::error::{Error, PullError, in_words};
use crate::hooks::HookEvent;
use crate::model::size::Bytes;
use crate::progress::Event;

pub(super) fn run(args: &Pull, everywhere: &Everywhere) -> Result<(), Error> {
    let config = load_for_the_night(everywhere)?;
    let chosen = chosen(&config, args.source.name())?;
    let asked = PullAsked {
        accept_deletions: args.accept_deletions,
    };
    let log = activity_log(&config);
    let observer = log.beside(observer(everywhere));
    let context = RunContext {
        wait_lock: args.lock.at_most(),
        ..RunContext::real(observer.as_ref())
    };
    let (mut errors, mut results, mut lines) = (Vec::new(), Vec::new(), Vec::new());
    let mut stopped = Ok(());
    run_report::covers(chosen.iter().map(|source| &source.name));
    for &source in &chosen {
        stopped = context.interrupt.check();
        if stopped.is_err() {
            break;
        }
        let ran = if args.dry_run {
            engine::foresee_pull(&config, source, asked, context)
        } else {
            let end = attended(
                (&config, &log),
                (HookEvent::Pull, source, today(&config)),
                observer.as_ref(),
                || engine::pull(&config, source, asked, context),
                run_facts::of_pull,
            );
            errors.extend(end.hook.map(|error| (source, error)));
            end.ran
        };
        match ran {
            Ok(ran) => {
                let mut result = to_json(&ran);
                result["name"] = json!(source.name);
                results.push(result);
                lines.push(line(source, &ran, args.dry_run));
            }
            Err(error) => {
                let error = context.interrupt.explain(error);
                if !args.dry_run {
                    observer.event(Event::Failed {
                        source: source.name.clone(),
                        message: in_words(&error),
                    });
                }
                errors.push((source, error));
            }
        }
    }
    let said = if everywhere.json {
        let key = if args.dry_run {
            "would_pull"
        } else {
            "sources"
        };
        answer_json(&json!({"event": "done", key: results}))
    } else if everywhere.quiet && !args.dry_run {
        Ok(())
    } else {
        answer_lines(lines)
    };
    run_result(errors, chosen.len(), everywhere, stopped)?;
    said
}

/// Returns the named source, or all that are pulled.
fn chosen<'c>(config: &'c Config, named: Option<&str>) -> Result<Vec<&'c Source>, Error> {
    if let Some(name) = named {
        return Ok(vec![config.source(name)?]);
    }
    let pulled: Vec<_> = config
        .sources
        .iter()
        .filter(|it| it.pull.is_some())
        .collect();
    if pulled.is_empty() {
        return Err(PullError::NothingToPull { source_name: None }.into());
    }
    Ok(pulled)
}

/// Returns the line about a source that is pulled, or would be.
pub(super) fn line(source: &Source, ran: &PullRan, is_trial: bool) -> String {
    let from = source.pull.as_ref().map(|pull| pull.from.to_string());
    let would = if is_trial { "would be " } else { "" };
    format!(
        "{}: {} of {} {would}pulled from {}, {}; {} {would}deleted",
        source.name,
        count(ran.files, "file"),
        count(ran.entries, "entry").replace("entrys", "entries"),
        from.unwrap_or_default(),
        Bytes(ran.bytes),
        ran.deleted,
    )
}

pub(super) fn to_json(ran: &PullRan) -> Value {
    json!({
        "entries": ran.entries, "created": ran.created, "deleted": ran.deleted, "files": ran.files,
        "bytes": ran.bytes,
    })
}
