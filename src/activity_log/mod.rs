//! The activity log: a line in a file for each thing that was done or went wrong.
//!
//! The log never decides how a run ends. If a line can't be written, that is a warning, once.

mod file;
mod line;
mod observer;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use chrono::Utc;
use chrono_tz::Tz;

pub use file::LogRotation;
pub use line::{LogLevel, LogLine};

use crate::error::{Error, in_words};
use crate::model::SourceName;
use crate::printing;
use file::LogFile;

/// The activity log of a config. Without a file, nothing is written.
#[derive(Debug, Clone)]
pub struct ActivityLog(Option<Arc<Opened>>);

#[derive(Debug)]
struct Opened {
    timezone: Tz,
    file: Mutex<(LogFile, Warned)>,
}

/// Whether the user was warned that the log can't be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Warned {
    Yes,
    No,
}

impl ActivityLog {
    /// Returns the log in that file, with times in that zone. The file is opened by the first line.
    pub fn new(path: Option<PathBuf>, rotation: LogRotation, timezone: Tz) -> Self {
        Self(path.map(|path| {
            Arc::new(Opened {
                timezone,
                file: Mutex::new((LogFile::new(path, rotation), Warned::No)),
            })
        }))
    }

    /// Returns a log that is not kept.
    pub fn none() -> Self {
        Self(None)
    }

    /// Whether lines go anywhere.
    pub fn is_kept(&self) -> bool {
        self.0.is_some()
    }

    /// Writes a line.
    pub fn write(&self, line: &LogLine) {
        let Some(opened) = &self.0 else { return };
        let line = line.at(Utc::now().with_timezone(&opened.timezone));
        let mut guard = opened.file.lock().unwrap_or_else(PoisonError::into_inner);
        let (file, warned) = &mut *guard;
        if let Err(fault) = file.append(&line)
            && *warned == Warned::No
        {
            *warned = Warned::Yes;
            printing::warn(format_args!(
                "the activity log {}: {fault}; the run goes on",
                file.path().display()
            ));
        }
    }

    /// Writes that a command failed on a source, or before it had one.
    pub fn failed(&self, command: &str, source: Option<&SourceName>, error: &Error) {
        let code = error.exit_code() as u8;
        let hint = error.hint();
        self.failure(command, source, code, (&in_words(error), hint.as_deref()));
    }

    /// Writes that a command failed with that exit code, message and hint.
    pub fn failure(
        &self,
        command: &str,
        source: Option<&SourceName>,
        code: u8,
        (message, hint): (&str, Option<&str>),
    ) {
        let line = LogLine::new(LogLevel::Error, source, "failed")
            .fact("command", command)
            .fact("code", code)
            .text("error", message);
        self.write(&match hint {
            Some(hint) => line.text("hint", hint),
            None => line,
        });
    }
}
