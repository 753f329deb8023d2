//! A run that has ended.

use serde::{Deserialize, Serialize};

use crate::model::SourceName;
use crate::model::entry::Timestamp;

/// How a run has ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunEnd {
    /// Its exit code, or what that would have been with this source alone. `None` if it was killed.
    pub exit_code: Option<u8>,
    /// A word, such as `archived`, `nothing-due`, `done`, `failed` or `died`.
    pub result: String,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// How long it took, in seconds.
    #[serde(default)]
    pub seconds: u64,
}

impl RunEnd {
    /// Returns the end of a run that was killed, or that a power cut ended.
    pub fn died() -> Self {
        Self {
            exit_code: None,
            result: "died".to_owned(),
            error: Some("the run was killed, or the machine stopped: it left no end".to_owned()),
            seconds: 0,
        }
    }

    /// Returns whether all went well.
    pub fn is_success(&self) -> bool {
        self.exit_code == Some(0)
    }
}

/// A run that has ended, of a command on a source, or of a command as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndedRun {
    /// The command.
    pub command: String,
    /// The source; `None` for the whole.
    pub source: Option<SourceName>,
    /// When it began.
    pub begun_at: Timestamp,
    /// When it ended, or was found dead.
    pub ended_at: Timestamp,
    /// How.
    pub end: RunEnd,
    /// When the last run of this command on this source ended well.
    pub succeeded_at: Option<Timestamp>,
    /// Its place among all ends.
    pub(super) number: u64,
    /// Whether it failed for all sources, before it came to any.
    #[serde(default)]
    pub(super) is_of_all: bool,
}

impl EndedRun {
    pub(super) fn new(
        (command, source): (String, Option<SourceName>),
        (begun_at, ended_at): (Timestamp, Timestamp),
        end: RunEnd,
    ) -> Self {
        Self {
            command,
            source,
            begun_at,
            ended_at,
            succeeded_at: end.is_success().then_some(ended_at),
            end,
            number: 0,
            is_of_all: false,
        }
    }

    pub(super) fn is_of_same(&self, other: &Self) -> bool {
        let of = |run: &Self| (run.command.clone(), run.source.clone(), run.is_of_all);
        of(self) == of(other)
    }
}
