//! Runs a source's night with what stands around it: hooks before and after, and lines in the activity log.

use std::env;
use std::path::{Path, absolute};
use std::time::Instant;

use chrono::NaiveDate;

use super::failure::failure_of;
use super::{run_facts, run_report};
use crate::activity_log::{ActivityLog, LogLevel, LogLine};
use crate::config::{Config, Source};
use crate::error::Error;
use crate::hooks::{Hook, HookEvent, HookFacts, Hooks, RunFacts};
use crate::interrupt::{self, Interrupt};
use crate::printing::warn;
use crate::progress::{Event, Observer};

/// A variable that each hook gets. A run that finds it was started by a hook and runs none, because it would start
/// itself for ever.
const WITHIN_A_HOOK: &str = "COLDCHAIN_HOOK";

/// How an attended run ended.
pub(crate) struct AttendedEnd<T> {
    /// The result of the run itself; the error of the hook `before` if that failed.
    pub(crate) ran: Result<T, Error>,
    /// The error of a later hook, if all else succeeded.
    pub(crate) hook: Option<Error>,
    /// How long the run took, without the later hooks.
    pub(crate) seconds: u64,
}

/// Runs a source's night: the hook `before`, the run, the hook `on_success` or `on_failure`, and the hook `after`.
/// The run takes the source's lock and gives it back, so no hook runs under it.
pub(crate) fn attended<T>(
    (config, log): (&Config, &ActivityLog),
    (event, source, date): (HookEvent, &Source, NaiveDate),
    observer: &dyn Observer,
    run: impl FnOnce() -> Result<T, Error>,
    facts: impl FnOnce(&T) -> RunFacts,
) -> AttendedEnd<T> {
    let begun = Instant::now();
    let around = Around {
        hooks: hooks(config, source, observer),
        log: log.clone(),
        facts: HookFacts {
            event,
            source: source.name.clone(),
            date,
            config: from_root(&config.path),
            state_dir: from_root(&config.state_dir),
            run: None,
        },
    };
    let has_last_work = log.is_kept() || !around.hooks.commands.is_empty();
    if has_last_work {
        let around = around.clone();
        interrupt::in_case_of_force(Box::new(move |error| around.end_by_force(error, begun)));
    }
    let before = around.run_hook(Hook::Before, &around.facts);
    let interrupt = Interrupt::of_this_process();
    let ran = before
        .and_then(|()| run())
        .map_err(|error| interrupt.explain(error));
    if has_last_work {
        interrupt::run_is_over();
    }
    let mut facts = match &ran {
        Ok(done) => facts(done),
        Err(error) => run_facts::failed(error),
    };
    facts.seconds = begun.elapsed().as_secs();
    let seconds = facts.seconds;
    let mut hook = None;
    let may_fail_it = facts.failure.is_none();
    around.conclude(&facts, &mut |error| {
        if may_fail_it && hook.is_none() {
            hook = Some(interrupt.explain(error));
        } else {
            observer.event(Event::Warning {
                source: source.name.clone(),
                message: failure_of(&error).error,
            });
        }
    });
    AttendedEnd { ran, hook, seconds }
}

/// The path for a program that has another working directory.
fn from_root(path: &Path) -> std::path::PathBuf {
    absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// Returns the hooks that run around a source's run.
fn hooks(config: &Config, source: &Source, observer: &dyn Observer) -> Hooks {
    let mut hooks = config.hooks.clone();
    if !hooks.commands.is_empty() && env::var_os(WITHIN_A_HOOK).is_some() {
        hooks.commands.clear();
        observer.event(Event::Warning {
            source: source.name.clone(),
            message: "this run was started by a hook, so it runs no hooks".to_owned(),
        });
    }
    hooks
}

/// What stands around a run.
#[derive(Clone)]
struct Around {
    hooks: Hooks,
    log: ActivityLog,
    facts: HookFacts,
}

impl Around {
    /// Records what came of the run, and runs the hooks that come after it. Their errors go to `failed`.
    fn conclude(&self, run: &RunFacts, failed: &mut dyn FnMut(Error)) {
        let HookFacts {
            event,
            source,
            date,
            ..
        } = &self.facts;
        if run.result != "failed" {
            self.log.write(&run_facts::line(run, source, *date));
        }
        if let Some(failure) = &run.failure {
            let words = (failure.error.as_str(), failure.hint.as_deref());
            self.log
                .failure(event.as_str(), Some(source), failure.exit_code, words);
        }
        let first = match run.failure {
            None => Hook::OnSuccess,
            Some(_) => Hook::OnFailure,
        };
        let mut failure = run.failure.clone();
        for hook in [first, Hook::After] {
            // The hook that comes next learns of the failure of this one.
            let facts = HookFacts {
                run: Some(RunFacts {
                    failure: failure.clone(),
                    ..run.clone()
                }),
                ..self.facts.clone()
            };
            interrupt::let_hooks_run();
            if let Err(error) = self.run_hook(hook, &facts) {
                let error = match error {
                    Error::Hook(cause) if failure.is_none() => Error::AfterRun {
                        source_name: source.clone(),
                        source: cause,
                    },
                    error => error,
                };
                failure.get_or_insert_with(|| failure_of(&error));
                failed(error);
            }
        }
        run_report::source_ended(
            event.as_str(),
            source,
            run.result,
            failure.as_ref(),
            run.seconds,
        );
    }

    /// Runs a hook, and records that.
    fn run_hook(&self, hook: Hook, facts: &HookFacts) -> Result<(), Error> {
        let begun = Instant::now();
        let Some(ran) = self.hooks.run(hook, facts) else {
            return Ok(());
        };
        let seconds = begun.elapsed().as_secs();
        let line = |level, action: &str| {
            LogLine::new(level, Some(&facts.source), action)
                .fact("hook", hook)
                .fact("seconds", seconds)
        };
        match ran {
            Ok((program, printed)) => {
                let line = line(LogLevel::Info, "hook").text("program", program.display());
                self.log.write(&match printed.as_str() {
                    "" => line,
                    printed => line.text("printed", printed),
                });
                Ok(())
            }
            Err(error) => {
                let error = Error::from(error);
                let failure = failure_of(&error);
                let line = line(LogLevel::Error, "hook-failed").text("error", failure.error);
                self.log.write(&match failure.hint {
                    Some(hint) => line.text("hint", hint),
                    None => line,
                });
                Err(error)
            }
        }
    }

    /// Concludes a run that a signal could not stop in time, or that panicked. The process ends after this.
    fn end_by_force(self, error: &Error, begun: Instant) {
        let run = RunFacts {
            seconds: begun.elapsed().as_secs(),
            ..run_facts::failed(error)
        };
        self.conclude(&run, &mut |error| warn(failure_of(&error).error));
    }
}
