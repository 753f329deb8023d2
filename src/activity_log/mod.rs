//! The activity log: a line in a file for each thing that was done or went wrong.
//!
//! The log never decides how a run ends. If a line can't be written, that is a warning, once.

mod file;
mod line;
mod observer;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
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
    file: Mutex<LogFile>,
}

/// The logs of which the user was warned that they can't be written.
static WARNED: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

/// Returns whether this is the first fault of the log at that path.
fn is_new(path: &Path) -> bool {
    let mut warned = WARNED.lock().unwrap_or_else(PoisonError::into_inner);
    warned.insert(path.to_owned())
}

impl ActivityLog {
    /// Returns the log in that file, with times in that zone. The file is opened by the first line.
    pub fn new(path: Option<PathBuf>, rotation: LogRotation, timezone: Tz) -> Self {
        Self(path.map(|path| {
            Arc::new(Opened {
                timezone,
                file: Mutex::new(LogFile::new(path, rotation)),
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
        let mut file = opened.file.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(fault) = file.append(&line)
            && is_new(file.path())
        {
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
