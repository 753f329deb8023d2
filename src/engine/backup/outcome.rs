//! What a backup is asked to do, and what it came to.

use chrono::NaiveDate;

use crate::error::Error;
use crate::model::ArchiveId;
use crate::plan::{DateOverride, Request};

/// How a source fared.
#[derive(Debug)]
pub enum Outcome {
    /// Nothing was due.
    NothingDue {
        /// Why.
        reason: String,
    },
    /// Archives were committed: one, or two where an unfinished one of an earlier night was gone
    /// on with first.
    Archived {
        /// In the order of their dates, never empty.
        archives: Vec<CommittedArchive>,
        /// The error of a later step: these archives stand all the same.
        later: Option<Box<Error>>,
    },
}

/// An archive that a run has committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommittedArchive {
    /// Its id.
    pub archive: ArchiveId,
    /// Why it was made.
    pub reason: String,
    /// Bytes of its send stream.
    pub raw_bytes: u64,
    /// Bytes as stored.
    pub sealed_bytes: u64,
    /// Bytes of those that this run has stored.
    pub uploaded_bytes: u64,
}

/// What a backup is asked to do.
#[derive(Debug, Clone, Copy)]
pub struct BackupRequest {
    /// The date that it stands for.
    pub date: NaiveDate,
    /// The system clock's date.
    pub today: NaiveDate,
    /// Whether a full was asked for.
    pub request: Request,
    /// Whether a date ahead of the clock is meant.
    pub override_date: DateOverride,
}
