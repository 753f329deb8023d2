//! `coldchain mirror`: bring the mirrors up to date.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::output::{answer, answer_json, answer_lines, count, observer};
use super::run_result::run_result;
use super::{activity_log, load_for_the_night, recorded, run_report};
use crate::activity_log::LogLine;
use crate::cli::{Everywhere, Mirror};
use crate::config::{Config, MirrorConfig, Source};
use crate::engine::{self, MirrorAsked, MirrorForeseen, MirrorRan, RunContext};
use crate::error::{Error, MirrorError, in_words};
use crate::model::SourceName;
use crate::model::size::Bytes;
use crate::progress::{Event, Observer};

/// Why a write can't fail here.
const NO_FAILURE: &str = "writing to a string does not fail";

pub(super) fn run(args: &Mirror, everywhere: &Everywhere) -> Result<(), Error> {
    let config = load_for_the_night(everywhere)?;
    let chosen = chosen(&config, args.source.name())?;
    let asked = MirrorAsked {
        ignore_room: args.ignore_room,
        forget_mark: args.forget_mark,
        confirmed: args.yes_delete,
        limit: args.limit.clone(),
    };
    let log = activity_log(&config);
    let observer = log.beside(observer(everywhere));
    let context = RunContext {
        wait_lock: args.lock.at_most(),
        ..RunContext::real(observer.as_ref())
    };
    let (mut errors, mut results, mut lines) = (Vec::new(), Vec::new(), String::new());
    let mut stopped = Ok(());
    run_report::covers(chosen.iter().map(|mirror| &mirror.name));
    for &mirror in &chosen {
        stopped = context.interrupt.check();
        if stopped.is_err() {
            break;
        }
        if args.dry_run {
            match engine::foresee_mirror(&config, mirror, &asked, context) {
                Ok(foreseen) => {
                    results.push(foreseen_json(mirror, &foreseen));
                    write_foreseen(&mut lines, mirror, &foreseen);
                }
                Err(error) => errors.push((&mirror.name, behind(mirror, error))),
            }
            continue;
        }
        let ran = recorded(
            (&log, "mirror"),
            Some(&mirror.name),
            || engine::mirror(&config, mirror, &asked, context),
            |ran| {
                LogLine::done(&mirror.name, "mirror-done")
                    .text("to", &mirror.to)
                    .fact("sent", ran.sent.len())
                    .fact("deleted", ran.deleted.len())
            },
        );
        match ran {
            Ok(ran) => {
                results.push(to_json(mirror, &ran));
                writeln!(lines, "{}", line(mirror, &ran)).expect(NO_FAILURE);
            }
            Err(error) => {
                let error = behind(mirror, context.interrupt.explain(error));
                failed(&mirror.name, &error, observer.as_ref());
                errors.push((&mirror.name, error));
            }
        }
    }
    let said = if everywhere.json {
        answer_json(&json!({"event": "done", "mirrors": results}))
    } else if args.dry_run {
        answer(&lines)
    } else if everywhere.quiet {
        Ok(())
    } else {
        answer_lines(lines.lines().map(str::to_owned))
    };
    run_result(errors, chosen.len(), everywhere, stopped)?;
    said
}

fn failed(name: &SourceName, error: &Error, observer: &dyn Observer) {
    observer.event(Event::Failed {
        source: name.clone(),
        message: in_words(error),
    });
}

/// Names the mirror that an error is about. What stopped the whole command needs no name.
fn behind(mirror: &MirrorConfig, error: Error) -> Error {
    match error {
        Error::Interrupted(_)
        | Error::Mirror(
            MirrorError::NotThere { .. }
            | MirrorError::OfAnotherSource { .. }
            | MirrorError::NoRoom { .. },
        ) => error,
        error => Error::Mirror(MirrorError::Behind {
            source_name: mirror.name.clone(),
            to: Box::new(mirror.to.clone()),
            source: Box::new(error),
        }),
    }
}

/// Returns the mirrors of the named source, or all.
fn chosen<'c>(config: &'c Config, named: Option<&str>) -> Result<Vec<&'c MirrorConfig>, Error> {
    let is_named = |mirror: &&MirrorConfig| named.is_none_or(|name| mirror.name.as_str() == name);
    let chosen: Vec<_> = config.mirrors.iter().filter(is_named).collect();
    if !chosen.is_empty() {
        return Ok(chosen);
    }
    // A name that is no source's is a slip of the pen.
    let source_name = match named {
        Some(name) => Some(config.source(name)?.name.clone()),
        None => None,
    };
    Err(Error::Mirror(MirrorError::None { source_name }))
}

/// Brings the mirrors of a source up to date after its night, and returns what came of each.
pub(crate) fn after_night<'c>(
    config: &'c Config,
    source: &'c Source,
    asked: &MirrorAsked,
    context: RunContext<'_>,
) -> Vec<MirrorEnding<'c>> {
    let mut endings = Vec::new();
    for mirror in config.mirrors_of(source) {
        if context.interrupt.check().is_err() {
            break;
        }
        let ran = match engine::mirror(config, mirror, asked, context) {
            Err(Error::Busy(_)) => {
                context.observer.event(Event::Warning {
                    source: source.name.clone(),
                    message: format!(
                        "another run is sending snapshots to the mirror {}, so this one leaves it alone",
                        mirror.to
                    ),
                });
                continue;
            }
            Ok(ran) => Ok((mirror, ran)),
            Err(error) => Err(match context.interrupt.explain(error) {
                error @ Error::Interrupted(_) => error,
                error => Error::Mirror(MirrorError::AfterNight {
                    source_name: source.name.clone(),
                    to: Box::new(mirror.to.clone()),
                    source: Box::new(error),
                }),
            }),
        };
        endings.push(ran);
    }
    endings
}

/// How a mirror's part of a night ended.
pub(crate) type MirrorEnding<'c> = Result<(&'c MirrorConfig, MirrorRan), Error>;

/// Returns the line about a mirror that is up to date now.
pub(super) fn line(mirror: &MirrorConfig, ran: &MirrorRan) -> String {
    let mut line = format!("{}: mirror {}: ", mirror.name, mirror.to);
    match (&ran.sent[..], ran.newest) {
        ([], None) => line.push_str("nothing to send yet"),
        ([], Some(newest)) => {
            write!(line, "up to date, the newest copy is {newest}").expect(NO_FAILURE);
        }
        (sent, _) => {
            let names: Vec<String> = sent.iter().map(|it| it.name.to_string()).collect();
            let bytes = sent.iter().filter_map(|it| it.bytes).sum();
            let full = sent.iter().filter(|it| it.parent.is_none()).count() as u64;
            let names = match names.as_slice() {
                [first, .., last] if names.len() > 3 => format!("{first} to {last}"),
                names => names.join(", "),
            };
            let what = count(sent.len() as u64, "snapshot");
            write!(line, "{what} sent ({names}), {}", Bytes(bytes)).expect(NO_FAILURE);
            if full > 0 {
                write!(line, ", {full} in full").expect(NO_FAILURE);
            }
        }
    }
    if !ran.deleted.is_empty() {
        let deleted = count(ran.deleted.len() as u64, "expired copy").replace("copys", "copies");
        write!(line, "; {deleted} deleted").expect(NO_FAILURE);
    }
    line
}

pub(super) fn to_json(mirror: &MirrorConfig, ran: &MirrorRan) -> Value {
    json!({
        "source": mirror.name, "to": mirror.to, "sent": sent_json(&ran.sent), "deleted": ran.deleted,
        "newest": ran.newest,
    })
}

fn sent_json(sent: &[engine::SentSnapshot]) -> Vec<Value> {
    let one = |it: &engine::SentSnapshot| {
        json!({
            "name": it.name, "kind": if it.parent.is_some() { "incremental" } else { "full" },
            "parent": it.parent, "raw_bytes": it.bytes,
        })
    };
    sent.iter().map(one).collect()
}

fn foreseen_json(mirror: &MirrorConfig, foreseen: &MirrorForeseen) -> Value {
    json!({
        "source": mirror.name, "to": mirror.to, "would_send": sent_json(&foreseen.send),
        "free_bytes": foreseen.free_bytes, "newest": foreseen.newest, "remarks": foreseen.remarks,
    })
}

/// Writes what a run would send, a line a snapshot.
fn write_foreseen(text: &mut String, mirror: &MirrorConfig, foreseen: &MirrorForeseen) {
    let newest = match foreseen.newest {
        Some(newest) => format!("its newest copy is {newest}"),
        None => "it has no copy yet".to_owned(),
    };
    writeln!(
        text,
        "{}: mirror {}: {newest}; {} free",
        mirror.name,
        mirror.to,
        Bytes(foreseen.free_bytes)
    )
    .expect(NO_FAILURE);
    for it in &foreseen.send {
        let how = match it.parent {
            Some(parent) => format!("on {parent}"),
            None => "in full".to_owned(),
        };
        let about = it.bytes.map(|bytes| format!(", about {}", Bytes(bytes)));
        let about = about.unwrap_or_default();
        writeln!(text, "  would send {} {how}{about}", it.name).expect(NO_FAILURE);
    }
    if foreseen.send.is_empty() {
        writeln!(text, "  nothing to send").expect(NO_FAILURE);
    }
    for remark in &foreseen.remarks {
        writeln!(text, "  {remark}").expect(NO_FAILURE);
    }
}
