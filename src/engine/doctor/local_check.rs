//! What a look at one thing on this machine found.

use crate::error::{Error, in_words};
use crate::store::Severity;

/// What a look at one thing on this machine found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalCheck {
    /// What it belongs to: `this machine`, `config`, `state`, `keys`, `source NAME` or `schedule`.
    pub section: String,
    /// What was looked at, in a word or two.
    pub subject: String,
    /// The verdict.
    pub verdict: Severity,
    /// What was found, in one line.
    pub text: String,
    /// What to do about it; `None` if nothing is to be done, or no command does it.
    pub mend: Option<String>,
}

/// The checks of one section, as they are gathered.
pub(super) struct SectionChecks {
    section: String,
    checks: Vec<LocalCheck>,
}

impl SectionChecks {
    pub(super) fn of(section: impl Into<String>) -> Self {
        Self {
            section: section.into(),
            checks: Vec::new(),
        }
    }

    fn add(
        &mut self,
        (subject, verdict): (&str, Severity),
        text: impl Into<String>,
        mend: Option<String>,
    ) {
        self.checks.push(LocalCheck {
            section: self.section.clone(),
            subject: subject.to_owned(),
            verdict,
            text: text.into(),
            mend,
        });
    }

    pub(super) fn fine(&mut self, subject: &str, text: impl Into<String>) {
        self.add((subject, Severity::Fine), text, None);
    }

    pub(super) fn unknown(&mut self, subject: &str, text: impl Into<String>) {
        self.add((subject, Severity::Unknown), text, None);
    }

    pub(super) fn warning(
        &mut self,
        subject: &str,
        text: impl Into<String>,
        mend: impl Into<String>,
    ) {
        self.add((subject, Severity::Warning), text, Some(mend.into()));
    }

    pub(super) fn failure(
        &mut self,
        subject: &str,
        text: impl Into<String>,
        mend: impl Into<String>,
    ) {
        self.add((subject, Severity::Failure), text, Some(mend.into()));
    }

    /// Adds an error with its hint.
    pub(super) fn error(&mut self, subject: &str, verdict: Severity, error: &Error) {
        self.add((subject, verdict), in_words(error), error.hint());
    }

    pub(super) fn checks(self) -> Vec<LocalCheck> {
        self.checks
    }
}
