//! `coldchain decide`: btrsend's protocol. stdout carries the answer and nothing else.

use std::io::IsTerminal;

use super::attended::attended;
use super::night::{NightRan, warn_of};
use super::target::chosen;
use super::{activity_log, copy, load_for_the_night, run_facts, run_report, today};
use crate::cli::{Decide, Everywhere};
use crate::engine::{self, BackupRequest, Outcome, RunContext, Stdin, WantedStream};
use crate::error::{Error, RequestError};
use crate::hooks::HookEvent;
use crate::plan::{DateOverride, Request};
use crate::printing;
use crate::progress::{Observer, Quiet, Verbose};

pub(super) fn run(args: &Decide, everywhere: &Everywhere) -> Result<(), Error> {
    let config = load_for_the_night(everywhere)?;
    let target = chosen(args.target.typed(), &config)?;
    let date = target.day()?.ok_or_else(|| {
        Error::Request(RequestError::CommandLine(
            "the command line names no date, and `decide` needs one".to_owned(),
        ))
    })?;
    let source = target.one_source()?;
    run_report::covers([&source.name]);
    let asked = BackupRequest {
        date,
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
    let observer: Box<dyn Observer> = if everywhere.verbose {
        Box::new(Verbose)
    } else {
        Box::new(Quiet)
    };
    let log = activity_log(&config);
    let observer = log.beside(observer);
    if std::io::stdin().is_terminal() {
        return Err(RequestError::Stdio(
            "a send stream is read from stdin, and stdin is a terminal",
        )
        .into());
    }
    let context = RunContext {
        wait_lock: args.lock.at_most(),
        ..RunContext::real(observer.as_ref())
    };
    let stdin = Stdin::open(context.interrupt)?;
    let end = attended(
        (&config, &log),
        (HookEvent::Decide, source, date),
        observer.as_ref(),
        || {
            let outcome = engine::decide(&config, source, asked, context, stdin, say)?;
            Ok(NightRan {
                outcome,
                mirrors: Vec::new(),
                copies: copy::after_night(&config, source, context),
                pulled: None,
            })
        },
        run_facts::of_night,
    );
    let night = end.ran?;
    if let (Outcome::NothingDue { reason }, true) = (&night.outcome, everywhere.verbose) {
        printing::say(format_args!(
            "{}: {date}: nothing due: {reason}",
            source.name
        ));
    }
    // The first error counts, the others are warnings.
    let mut later = night.failed_later(source, context).into_iter();
    let first = later.next();
    later.for_each(|error| warn_of(source, &error, observer.as_ref()));
    first.or(end.hook).map_or(Ok(()), Err)
}

/// Prints the answer. The reader starts `btrfs send` when it arrives, so it must be out before stdin is read.
fn say(wanted: WantedStream) -> Result<(), Error> {
    match wanted {
        WantedStream::Full => printing::reply(format_args!("c")),
        WantedStream::Incremental(date) => printing::reply(format_args!("i {date}")),
    }
}
