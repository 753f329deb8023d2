//! Why a snapshot can't be made, sent or adopted.

use std::path::PathBuf;

use super::{Advice, ExitCode, exit};
use crate::model::ArchiveId;
use crate::model::SourceName;
use crate::model::Uuid;

/// Why a snapshot can't be made, sent or adopted.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The snapshots directory is missing.
    #[error("there is no directory {} for the snapshots of `{source_name}`", path.display())]
    NoSnapshotsDir {
        /// The source.
        source_name: SourceName,
        /// The directory.
        path: PathBuf,
    },
    /// The snapshots directory is on another filesystem.
    #[error("the snapshots directory {} is not on the filesystem of {}", path.display(), subvolume.display())]
    SnapshotsElsewhere {
        /// The directory.
        path: PathBuf,
        /// The source.
        subvolume: PathBuf,
    },
    /// Something that can't be the snapshot has the snapshot's name.
    #[error("{} is in the way of the snapshot: {what}", path.display())]
    SnapshotInTheWay {
        /// The snapshot's path.
        path: PathBuf,
        /// What is at that path.
        what: String,
    },
    /// A snapshot with a received uuid would share its stream uuid with all its siblings.
    #[error("{} has a received uuid ({received}), so its stream would carry the uuid of another subvolume", path.display())]
    SnapshotReceived {
        /// The snapshot or source.
        path: PathBuf,
        /// Its received uuid.
        received: Uuid,
    },
    /// The subvolume to adopt is not the restored archive.
    #[error("{} is not what a restore of {archive} makes", path.display())]
    NotRestored {
        /// The path that was given or searched.
        path: PathBuf,
        /// The newest archive.
        archive: ArchiveId,
    },
    /// The subvolume to adopt is on another filesystem than the source, so it can't be a send parent.
    #[error("{} is not on the filesystem of {}", path.display(), subvolume.display())]
    AdoptedElsewhere {
        /// The restored subvolume.
        path: PathBuf,
        /// The source.
        subvolume: PathBuf,
    },
}

impl SnapshotError {
    pub(super) fn advice(&self) -> Advice {
        match self {
            Self::NoSnapshotsDir { .. } => {
                exit(ExitCode::Usage).hint("create it, or run `coldchain init`")
            }
            Self::SnapshotsElsewhere { .. } => exit(ExitCode::Usage).hint(
                "set `snapshots` to a directory on the filesystem of the subvolume: btrfs makes \
                 a snapshot only within one",
            ),
            Self::SnapshotInTheWay { .. } => {
                exit(ExitCode::Usage).hint("rename it or delete it, and run again")
            }
            Self::SnapshotReceived { .. } => exit(ExitCode::Usage).hint(
                "archive a writable snapshot of it instead: `btrfs subvolume snapshot` drops the \
                 received uuid",
            ),
            Self::NotRestored { .. } => exit(ExitCode::Usage).hint(
                "restore the newest archive there first: `coldchain restore SOURCE --to DIR`; \
                 `adopt` takes only the read-only subvolume that this makes",
            ),
            Self::AdoptedElsewhere { .. } => exit(ExitCode::Usage).hint(
                "set `subvolume` and `snapshots` to paths on the filesystem where it was \
                 restored: btrfs sends an incremental only within one",
            ),
        }
    }
}
