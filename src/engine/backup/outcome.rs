//! The request and the outcome of a backup.

use chrono::NaiveDate;

use crate::engine::files::contents::kept::KeptContents;
use crate::engine::snapshots::at_any_time::Snapshotted;
use crate::error::Error;
use crate::model::ArchiveId;
use crate::plan::{DateOverride, Request};

/// The outcome of a backup of one source.
#[derive(Debug)]
pub enum Outcome {
    /// No archive was due.
    NothingDue {
        /// Why no archive is due: the plan's reason.
        reason: String,
    },
    /// The source has no store: its snapshot was taken, or existed already.
    Snapshot(Snapshotted),
    /// Archives were committed: one, or more if unfinished ones of earlier nights were completed first.
    Archived {
        /// In the order of their dates, never empty.
        archives: Vec<CommittedArchive>,
        /// The error of a step after the commit. The archives are committed all the same.
        later: Option<Box<Error>>,
    },
}

/// An archive that a run has committed.
#[derive(Debug)]
pub struct CommittedArchive {
    /// Its id.
    pub archive: ArchiveId,
    /// The plan's reason for it.
    pub reason: String,
    /// Raw bytes of its send stream.
    pub raw_bytes: u64,
    /// Sealed bytes of its segments.
    pub sealed_bytes: u64,
    /// Sealed bytes that this run has stored.
    pub uploaded_bytes: u64,
    /// Its contents as they are on this machine; `None` if it has none, or if they could not be kept.
    pub contents: Option<KeptContents>,
}

/// The request for a backup.
#[derive(Debug, Clone, Copy)]
pub struct BackupRequest {
    /// The date of the archive.
    pub date: NaiveDate,
    /// The system clock's date.
    pub today: NaiveDate,
    /// Whether the user asked for a full.
    pub request: Request,
    /// Whether the user confirmed a date ahead of the clock.
    pub override_date: DateOverride,
}
