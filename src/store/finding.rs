//! The findings of a test of a store.

use super::error::ErrorKind;

/// The severity of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// It is as it should be.
    Fine,
    /// It is not known.
    Unknown,
    /// Archives are made and restored, but with less safety or at a higher price.
    Warning,
    /// Archives can't be made, or can't be relied on.
    Failure,
}

/// The result of one test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What was tested, such as `versioning`.
    pub subject: &'static str,
    /// Its severity.
    pub verdict: Severity,
    /// What was found, and what coldchain does about it.
    pub text: String,
    /// Why an operation failed, if one did.
    pub failed: Option<ErrorKind>,
}

impl Finding {
    /// Returns a finding of a test in which no operation failed.
    pub fn new(subject: &'static str, verdict: Severity, text: impl Into<String>) -> Self {
        Self {
            subject,
            verdict,
            text: text.into(),
            failed: None,
        }
    }
}
