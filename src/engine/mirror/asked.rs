//! What is asked of a run on a mirror, and what came of it.

use crate::model::SnapshotName;
use crate::store::RateLimit;

/// How a mirror is to be brought up to date.
#[derive(Debug, Clone, Default)]
pub struct MirrorAsked {
    /// Whether a full stream is sent that is larger than the free space there.
    pub ignore_room: bool,
    /// Whether the mark that is there now is taken for the mirror's.
    pub forget_mark: bool,
    /// How many deletions the user has confirmed, if that was asked of them.
    pub confirmed: Option<usize>,
    /// The most bytes a second.
    pub limit: Option<RateLimit>,
}

/// What a run did to a mirror.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MirrorRan {
    /// The snapshots that it sent, oldest first.
    pub sent: Vec<SentSnapshot>,
    /// The copies that the mirror deleted.
    pub deleted: Vec<SnapshotName>,
    /// The newest copy there now.
    pub newest: Option<SnapshotName>,
}

/// A snapshot that was sent, or will be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentSnapshot {
    /// Its name.
    pub name: SnapshotName,
    /// What it is sent against; `None` for a full stream.
    pub parent: Option<SnapshotName>,
    /// Bytes of its stream; in a plan about how many, or `None`.
    pub bytes: Option<u64>,
}

/// What a run would do to a mirror.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MirrorForeseen {
    /// What it would send, oldest first.
    pub send: Vec<SentSnapshot>,
    /// Free bytes there.
    pub free_bytes: u64,
    /// The newest copy there.
    pub newest: Option<SnapshotName>,
    /// What stands in the way of some, in words.
    pub remarks: Vec<String>,
}
