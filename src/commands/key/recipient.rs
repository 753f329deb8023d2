//! `coldchain key add-recipient`: seal the keys of existing archives to one more recipient.

use std::fmt::Write as _;

use serde_json::json;

use crate::activity_log::LogLine;
use crate::cli::{Everywhere, KeyAddRecipient};
use crate::commands::identity::ask_for_identities;
use crate::commands::output::{answer, answer_json, count};
use crate::commands::run_result::run_result;
use crate::commands::{activity_log, load, recorded, sources};
use crate::engine::{Attach, Attached, RunContext, attach_recipient};
use crate::error::{Error, KeyError, RestoreError, in_words};
use crate::model::Line;
use crate::progress::Quiet;
use crate::seal::Recipients;

pub(super) fn run(args: &KeyAddRecipient, everywhere: &Everywhere) -> Result<(), Error> {
    let config = load(everywhere)?;
    let chosen = sources(&config, args.source.name())?;
    let recipient = Recipients::parse(std::slice::from_ref(&args.recipient))
        .map_err(|error| Error::Key(KeyError::TypedRecipient(error)))?;
    let configured = Recipients::parse(config.recipients()?)?;
    let file = args.identity.as_ref().ok_or(RestoreError::NoIdentity)?;
    let identities = ask_for_identities(file)?;
    let identity = file.display().to_string();
    let which = if args.again {
        Attach::Again
    } else {
        Attach::WhereMissing
    };
    let log = activity_log(&config);
    let observer = log.beside(Box::new(Quiet));
    let context = RunContext {
        wait_lock: args.lock.at_most(),
        ..RunContext::real(observer.as_ref())
    };
    let mut told = Vec::new();
    let mut errors = Vec::new();
    let mut text = String::new();
    let mut stopped = Ok(());
    for &source in &chosen {
        stopped = context.interrupt.check();
        if stopped.is_err() {
            break;
        }
        let with = (&identities, identity.as_str());
        let attached = recorded(
            (&log, "key add-recipient"),
            Some(&source.name),
            || attach_recipient(&config, source, (&recipient, which), with, context),
            |done| {
                LogLine::done(&source.name, "recipient-added")
                    .fact("archives", done.attached)
                    .fact("unopened", done.unopened.len())
            },
        );
        match attached {
            Ok(done) => {
                writeln!(text, "{}: {}", source.name, line(&done)).expect("a string takes it");
                told.push(json!({
                    "source": source.name, "attached": done.attached, "already": done.already,
                    "unopened": done.unopened,
                }));
                if !done.unopened.is_empty() {
                    let of = done.attached + done.already + done.unopened.len();
                    let error = Error::Key(KeyError::NotAttached {
                        identity: identity.clone(),
                        unopened: done.unopened.len(),
                        of,
                    });
                    errors.push((source, error));
                }
            }
            Err(error) => {
                told.push(json!({"source": source.name, "error": in_words(&error)}));
                errors.push((source, error));
            }
        }
    }
    let configured: Vec<&str> = configured.texts().collect();
    let text_of = recipient.texts().next().unwrap_or_default();
    if !configured.contains(&text_of) {
        writeln!(
            text,
            "add it to `recipients` in {}, so that the archives to come are sealed to it too; \
             the first of them begins a new chain",
            Line(config.path.display())
        )
        .expect("a string takes it");
    }
    if everywhere.json {
        answer_json(&json!({ "sources": told }))?;
    } else if !everywhere.quiet {
        answer(&text)?;
    }
    run_result(errors, chosen.len(), everywhere, stopped)
}

fn line(done: &Attached) -> String {
    let mut parts = vec![format!(
        "the keys of {} sealed to it",
        count(done.attached as u64, "archive")
    )];
    if done.already > 0 {
        parts.push(format!("{} were sealed to it before", done.already));
    }
    if !done.unopened.is_empty() {
        parts.push(format!("{} not opened", done.unopened.len()));
    }
    parts.join(", ")
}
