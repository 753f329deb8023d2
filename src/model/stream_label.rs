//! What a send stream is of, for messages.

use std::fmt;

use super::{ArchiveId, SnapshotName};

/// What a send stream is of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StreamLabel {
    /// An archive.
    Archive(ArchiveId),
    /// A snapshot of the source, which need not be an archive.
    Snapshot(SnapshotName),
}

impl From<ArchiveId> for StreamLabel {
    fn from(archive: ArchiveId) -> Self {
        Self::Archive(archive)
    }
}

impl fmt::Display for StreamLabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Archive(archive) => archive.fmt(f),
            Self::Snapshot(name) => write!(f, "the snapshot {name}"),
        }
    }
}
