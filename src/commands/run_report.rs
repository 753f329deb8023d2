//! Records a run and reports it: at every end, also of a run that could not begin.
//!
//! A process has one run at most, of one of the commands that are followed. It is recorded when it begins; what came of
//! each source is added as it ends; the end itself is recorded by what ends the process: the command, or a signal that it
//! does not heed. Nothing here changes how the run ends.

mod announce;
mod followed;
mod tell;

use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use chrono::Utc;

use super::failure::failure_of;
use crate::cli::Cli;
use crate::config::{Config, RunOutputs};
use crate::error::{Error, ExitCode, in_words};
use crate::hooks::HookFailure;
use crate::model::SourceName;
use crate::model::entry::Timestamp;
use crate::notify::{self, PingKind};
use crate::printing;
use crate::run_records::{NewRun, RunEnd, RunFile, RunRecords, RunningProcess};

/// Whether a warning has said that this run can't be recorded.
static WARNED: AtomicBool = AtomicBool::new(false);

static THIS_RUN: Mutex<Option<ThisRun>> = Mutex::new(None);

/// The run of this process.
struct ThisRun {
    id: String,
    command: &'static str,
    config: Result<Config, String>,
    outputs: RunOutputs,
    since: Instant,
    /// The start ping, which is on its way while the run works.
    start: Option<JoinHandle<()>>,
    /// What came of each source so far.
    sources: Vec<(SourceName, RunEnd)>,
}

fn this_run() -> MutexGuard<'static, Option<ThisRun>> {
    THIS_RUN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Records that a run begins, if its command is one that is followed.
pub(super) fn begin(cli: &Cli) {
    let Some((command, asked)) = followed::followed(&cli.command) else {
        return;
    };
    let path = cli.everywhere.config();
    let (config, mut outputs) = match Config::load(&path) {
        Ok(config) => {
            let outputs = config.run_outputs();
            (Ok(config), outputs)
        }
        Err(error) => {
            let text = std::fs::read_to_string(&path).unwrap_or_default();
            (
                Err(in_words(&Error::from(error))),
                RunOutputs::of_faulty(&text, &path),
            )
        }
    };
    if let Some(state_dir) = &cli.everywhere.state_dir {
        outputs.state_dir.clone_from(state_dir);
    }
    if outputs.notify.with_log {
        printing::keep_recent();
    }
    let id = random_id();
    let new = NewRun {
        id: id.clone(),
        command: command.to_owned(),
        asked,
        begun_at: Timestamp(Utc::now()),
        process: RunningProcess::this(),
    };
    record(&outputs, |records| {
        records.bury_dead(Timestamp(Utc::now()), RunningProcess::is_alive);
        records.begin(new);
    });
    let start = tell::ping_of(&outputs.notify, command).and_then(|url| start_ping(url, &id));
    *this_run() = Some(ThisRun {
        id,
        command,
        config,
        outputs,
        since: Instant::now(),
        start,
        sources: Vec::new(),
    });
}

/// Sends the start ping while the run works. Where no thread can be started for it, the run waits for it.
fn start_ping(url: &str, id: &str) -> Option<JoinHandle<()>> {
    let ping = |url: &str, id: &str| {
        let _ = tell::warn_if(notify::ping(url, PingKind::Start, id, ""));
    };
    let (of_thread, run) = (url.to_owned(), id.to_owned());
    let thread = thread::Builder::new().name("start ping".to_owned());
    let started = thread.spawn(move || ping(&of_thread, &run));
    started.map_err(|_| ping(url, id)).ok()
}

/// Returns a uuid, as Healthchecks.io takes it.
fn random_id() -> String {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).expect("the kernel gives random bytes");
    let mut id = String::new();
    for (at, byte) in bytes.iter().enumerate() {
        if [4, 6, 8, 10].contains(&at) {
            id.push('-');
        }
        let _ = write!(id, "{byte:02x}");
    }
    id
}

/// Changes the records. A state directory that does not exist has none.
fn record(outputs: &RunOutputs, change: impl FnOnce(&mut RunRecords)) {
    if !outputs.state_dir.is_dir() {
        return;
    }
    let file = RunFile::new(&outputs.state_dir);
    if let Err(error) = file.update(change) {
        // Another user's, or read-only: the command itself says so where it matters.
        let is_denied = matches!(
            error.kind(),
            std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem
        );
        if !is_denied && !WARNED.swap(true, Ordering::SeqCst) {
            printing::warn(format_args!(
                "cannot record this run in {}: {error}; `coldchain status` will not know of it",
                file.path().display()
            ));
        }
    }
}

/// Notes which sources the run works on.
pub(super) fn covers<'s>(sources: impl IntoIterator<Item = &'s SourceName>) {
    if let Some(run) = &*this_run() {
        let names: Vec<SourceName> = sources.into_iter().cloned().collect();
        record(&run.outputs, |records| records.covers(&run.id, &names));
    }
}

/// Notes how the run has ended for a source.
pub(super) fn source_ended(
    command: &str,
    source: &SourceName,
    result: &str,
    failure: Option<&HookFailure>,
    seconds: u64,
) {
    let mut guard = this_run();
    let Some(run) = guard.as_mut().filter(|run| run.command == command) else {
        return;
    };
    let end = RunEnd {
        exit_code: Some(failure.map_or(0, |failure| failure.exit_code)),
        result: result.to_owned(),
        error: failure.map(|failure| failure.error.clone()),
        seconds,
    };
    let known = run.sources.iter_mut().find(|(of, _)| of == source);
    match known {
        // A source may have several ends in one run, of each of its mirrors: one that failed counts.
        Some((_, known)) if !known.is_success() => return,
        Some((_, known)) => {
            let seconds = known.seconds.max(end.seconds);
            *known = RunEnd {
                seconds,
                ..end.clone()
            };
        }
        None => run.sources.push((source.clone(), end.clone())),
    }
    record(&run.outputs, |records| {
        records.source_ended(&run.id, source, Timestamp(Utc::now()), end);
    });
}

/// Notes how a run of this command has ended for a source.
pub(super) fn source_ended_with(
    command: &str,
    source: &SourceName,
    result: Result<(), &Error>,
    seconds: u64,
) {
    let failure = result.err().map(failure_of);
    let word = if failure.is_some() { "failed" } else { "done" };
    source_ended(command, source, word, failure.as_ref(), seconds);
}

/// Notes that the run has failed for a source.
pub(super) fn source_failed(source: &SourceName, error: &Error) {
    let command = this_run().as_ref().map(|run| run.command);
    if let Some(command) = command {
        source_ended_with(command, source, Err(error), 0);
    }
}

/// Records how the run of this process has ended, and tells of it. Only the first call does anything.
pub fn end_run(ended: &Result<(), Error>) {
    match ended {
        Ok(()) => end(0, None),
        Err(Error::Answered(ExitCode::Failed)) => end(ExitCode::Failed as u8, None),
        Err(error) => end(error.exit_code() as u8, Some(in_words(error))),
    }
}

fn end(exit_code: u8, error: Option<String>) {
    let Some(run) = this_run().take() else {
        return;
    };
    let end = RunEnd {
        exit_code: Some(exit_code),
        result: if exit_code == 0 { "done" } else { "failed" }.to_owned(),
        error,
        seconds: run.since.elapsed().as_secs(),
    };
    record(&run.outputs, |records| {
        records.ended(&run.id, Timestamp(Utc::now()), &end);
    });
    announce::announce(run, &end);
}
