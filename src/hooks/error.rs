//! Why a hook did not run, or failed.

use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use super::Hook;
use crate::owned::Untrusted;

/// Why a hook did not run, or failed.
#[derive(Debug, thiserror::Error)]
pub enum HookError {
    /// Others can change the program, or a directory on the way to it.
    #[error("cannot run the hook `{hook}`: {untrusted}")]
    Untrusted {
        /// The hook.
        hook: Hook,
        /// What can't be trusted.
        untrusted: Untrusted,
    },
    /// The program is missing, or can't be started.
    #[error("cannot run {} as the hook `{hook}`", program.display())]
    Unfit {
        /// The hook.
        hook: Hook,
        /// Its program.
        program: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The program ran and failed.
    #[error("the hook `{hook}`, {}, ended with {status}{}", program.display(), saying(output))]
    Failed {
        /// The hook.
        hook: Hook,
        /// Its program.
        program: PathBuf,
        /// How it ended.
        status: ExitStatus,
        /// The last that it printed, control characters escaped.
        output: String,
    },
    /// The program did not end in time, and was killed.
    #[error(
        "the hook `{hook}`, {}, did not end within {} s and was killed{}",
        program.display(), timeout.as_secs(), saying(output)
    )]
    TimedOut {
        /// The hook.
        hook: Hook,
        /// Its program.
        program: PathBuf,
        /// How long it could take.
        timeout: Duration,
        /// The last that it printed, control characters escaped.
        output: String,
    },
}

fn saying(output: &str) -> String {
    if output.is_empty() {
        String::new()
    } else {
        format!(": {output}")
    }
}

impl HookError {
    /// Whether the config names a program that can't be used.
    pub fn is_of_config(&self) -> bool {
        matches!(self, Self::Untrusted { .. } | Self::Unfit { .. })
    }

    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Untrusted { untrusted, .. } => Some(untrusted.hint()),
            Self::Unfit { hook, .. } => Some(format!(
                "name an executable file in `hooks.{hook}`, or remove the key"
            )),
            Self::Failed { .. } => None,
            Self::TimedOut { .. } => {
                Some("find out what it waits for, or raise `timeout` in [hooks]".to_owned())
            }
        }
    }
}
