//! What a look at a store found out.

use super::error::ErrorKind;

/// How grave it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// As it should be.
    Fine,
    /// It could not be found out.
    Unknown,
    /// Archives are made and restored, but with less safety or at a higher price.
    Warning,
    /// Archives can't be made, or can't be relied on.
    Failure,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What was looked at: `versioning`.
    pub subject: &'static str,
    /// How grave it is.
    pub verdict: Verdict,
    /// What is so, and what coldchain does about it.
    pub text: String,
    /// Why an operation failed, if one did.
    pub failed: Option<ErrorKind>,
}

impl Finding {
    /// A finding.
    pub fn new(subject: &'static str, verdict: Verdict, text: impl Into<String>) -> Self {
        Self {
            subject,
            verdict,
            text: text.into(),
            failed: None,
        }
    }
}
