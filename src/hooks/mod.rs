//! The edge to programs of the user's: hooks that run before and after a source's run.
//!
//! A hook is started directly and never by a shell. It is judged each time before it starts, because it runs with all
//! the rights of this program. A hook that hangs is killed; what it prints does not reach stdout.

mod error;
mod facts;

use std::env;
use std::fmt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

pub use error::HookError;
pub use facts::{HookEvent, HookFacts, HookFailure, RunFacts};

use crate::owned::{self, OpenError};
use crate::process::run_for;

/// The variables that a hook inherits, besides those that begin with [`OURS`].
const INHERITED: &str = "PATH";
const OURS: &str = "COLDCHAIN_";

/// The hooks of a config.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hooks {
    /// Those that are configured, each at most once.
    pub commands: Vec<(Hook, HookCommand)>,
    /// How long each may take.
    pub timeout: Duration,
}

/// When a hook runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hook {
    /// Before the run. If it fails, there is no run.
    Before,
    /// After a run that succeeded.
    OnSuccess,
    /// After a run that failed.
    OnFailure,
    /// After every run, and after the other hooks.
    After,
}

impl Hook {
    /// All of them, in the order in which they run.
    pub const ALL: [Self; 4] = [Self::Before, Self::OnSuccess, Self::OnFailure, Self::After];

    /// Its name in the config.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Before => "before",
            Self::OnSuccess => "on_success",
            Self::OnFailure => "on_failure",
            Self::After => "after",
        }
    }
}

impl fmt::Display for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A program with its arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HookCommand {
    /// Its path, absolute.
    pub program: PathBuf,
    /// Its arguments, as they are.
    pub arguments: Vec<String>,
}

impl Hooks {
    /// Runs a hook, and returns its program and what it printed last; `None` if it is not configured.
    pub fn run(
        &self,
        hook: Hook,
        facts: &HookFacts,
    ) -> Option<Result<(PathBuf, String), HookError>> {
        let (_, command) = self.commands.iter().find(|(other, _)| *other == hook)?;
        let printed = self.run_command(hook, command, facts);
        Some(printed.map(|printed| (command.program.clone(), printed)))
    }

    fn run_command(
        &self,
        hook: Hook,
        command: &HookCommand,
        facts: &HookFacts,
    ) -> Result<String, HookError> {
        command.judge(hook)?;
        let HookCommand { program, arguments } = command;
        let mut starting = Command::new(program);
        let inherited = env::vars_os().filter(|(name, _)| {
            let name = name.to_string_lossy();
            name == INHERITED || name.starts_with(OURS)
        });
        starting
            .args(arguments)
            .current_dir("/")
            .env_clear()
            .envs(inherited)
            .envs(facts.variables(hook));
        let run =
            run_for(starting, Stdio::null(), self.timeout).map_err(|source| HookError::Unfit {
                hook,
                program: program.clone(),
                source,
            })?;
        let program = program.clone();
        match run.status {
            Some(status) if status.success() => Ok(run.output),
            Some(status) => Err(HookError::Failed {
                hook,
                program,
                status,
                output: run.output,
            }),
            None => Err(HookError::TimedOut {
                hook,
                program,
                timeout: self.timeout,
                output: run.output,
            }),
        }
    }
}

impl HookCommand {
    /// Refuses a program that is missing, or that others can change or replace.
    pub fn judge(&self, hook: Hook) -> Result<(), HookError> {
        owned::require_program(&self.program).map_err(|error| match error {
            OpenError::Untrusted(untrusted) => HookError::Untrusted { hook, untrusted },
            OpenError::Io(source) => HookError::Unfit {
                hook,
                program: self.program.clone(),
                source,
            },
        })
    }
}
