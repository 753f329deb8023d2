//! The finding for a failed operation.

use crate::store::error::StoreError;
use crate::store::{Finding, Severity};

impl Finding {
    /// Returns the finding for a failed operation, with its causes and what to do next.
    pub fn failed(subject: &'static str, error: &StoreError) -> Self {
        let mut text = in_words(error);
        if let Some(hint) = error.hint() {
            text = format!("{text}; {hint}");
        }
        Self {
            failed: Some(error.kind),
            ..Self::new(subject, Severity::Failure, text)
        }
    }
}

pub(super) fn in_words(error: &StoreError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(next) = cause {
        text = format!("{text}: {next}");
        cause = next.source();
    }
    text
}
