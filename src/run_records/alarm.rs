//! An alarm that was announced.

use serde::{Deserialize, Serialize};

use crate::model::SourceName;
use crate::model::entry::Timestamp;

/// An alarm that was announced when it began, and will be once more when it ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedAlarm {
    /// The source; `None` if it is of the whole machine.
    pub source: Option<SourceName>,
    /// A word, such as `overdue`.
    pub kind: String,
    /// What it is about beside the source, such as a mirror; often empty.
    #[serde(default)]
    pub subject: String,
    /// Since when.
    pub since: Timestamp,
    /// What was announced.
    pub text: String,
    /// Whether a message has said it, or there is nobody to send one to. What could not be sent is sent with the next run.
    #[serde(default)]
    pub is_told: bool,
}

impl RecordedAlarm {
    /// Returns whether it is the same alarm, whatever it says today.
    pub fn is_same(&self, other: &Self) -> bool {
        (&self.source, &self.kind, &self.subject) == (&other.source, &other.kind, &other.subject)
    }
}
