//! Why a snapshot can't be made, sent or adopted.

use std::path::PathBuf;

use super::{Advice, Error, ExitCode, exit};
use crate::model::{ArchiveId, SnapshotName, SourceName, Uuid};

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
    /// A snapshot of this minute exists, and a name has one snapshot.
    #[error("`{source_name}` has a snapshot of this minute already: {name}")]
    SameMinute {
        /// The source.
        source_name: SourceName,
        /// Its name.
        name: SnapshotName,
    },
    /// More than half of the snapshots would be deleted.
    #[error(
        "{expiring} of the {of} snapshots of `{source_name}` have expired, more than half: none is deleted"
    )]
    ManyExpire {
        /// The source.
        source_name: SourceName,
        /// How many have expired.
        expiring: usize,
        /// How many there are.
        of: usize,
    },
    /// Another number of snapshots would be deleted than was confirmed.
    #[error(
        "{expiring} snapshots of `{source_name}` have expired, and --yes-delete says {confirmed}: none is deleted"
    )]
    OtherNumber {
        /// The source.
        source_name: SourceName,
        /// The number that the user gave.
        confirmed: usize,
        /// How many have expired.
        expiring: usize,
    },
    /// The clock is behind the newest snapshot.
    #[error(
        "the clock is behind the newest snapshot of `{source_name}`, {newest}: no snapshot is deleted"
    )]
    ClockBehind {
        /// The source.
        source_name: SourceName,
        /// The newest snapshot.
        newest: SnapshotName,
    },
    /// The snapshot was made, but a later step failed.
    #[error("the snapshot {name} of `{source_name}` was made, but a later step failed")]
    AfterSnapshot {
        /// The source.
        source_name: SourceName,
        /// The snapshot.
        name: SnapshotName,
        /// What failed.
        source: Box<Error>,
    },
    /// The source has no subvolume here.
    #[error("`{source_name}` has no `subvolume` here, so it has no snapshots")]
    NothingToSnapshot {
        /// The source.
        source_name: SourceName,
    },
    /// No source has a subvolume here.
    #[error("no source has a `subvolume`, so there is nothing to take a snapshot of")]
    NoneToSnapshot,
    /// The subvolume to adopt is not the restored archive.
    #[error("{} is not what a restore of {archive} makes", path.display())]
    NotRestored {
        /// The path that was given or searched.
        path: PathBuf,
        /// The newest archive.
        archive: ArchiveId,
    },
    /// There is no restored copy to adopt.
    #[error("{} has no restored copy of a snapshot of `{source_name}`", path.display())]
    NoCopyToAdopt {
        /// The source.
        source_name: SourceName,
        /// The directory that was searched.
        path: PathBuf,
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
            Self::SameMinute { .. } => {
                exit(ExitCode::Failed).hint("wait for the next minute, and run the command again")
            }
            Self::ManyExpire {
                source_name,
                expiring,
                ..
            } => exit(ExitCode::Usage).hint(format!(
                "run `coldchain snapshots {source_name} --plan` to see them; to delete them, run \
                 `coldchain snapshots {source_name} --prune --yes-delete {expiring}`"
            )),
            Self::OtherNumber { source_name, .. } => exit(ExitCode::Usage).hint(format!(
                "run `coldchain snapshots {source_name} --plan`, and type the number that it shows"
            )),
            Self::ClockBehind { .. } => exit(ExitCode::Failed).hint(
                "set the clock right; if the snapshot has a wrong name, delete it with `btrfs subvolume delete`",
            ),
            Self::AfterSnapshot { source, .. } => {
                exit(ExitCode::Later).hint_of(source.hint())
            }
            Self::NothingToSnapshot { .. } => exit(ExitCode::Usage).hint(
                "set `subvolume` and `snapshots` in its [[source]], or name another source",
            ),
            Self::NoneToSnapshot => {
                exit(ExitCode::Usage).hint("set `subvolume` and `snapshots` in a [[source]]")
            }
            Self::NotRestored { .. } => exit(ExitCode::Usage).hint(
                "restore the newest archive there first: `coldchain restore SOURCE --to DIR`; \
                 `adopt` takes only the read-only subvolume that this makes",
            ),
            Self::NoCopyToAdopt { .. } => exit(ExitCode::Usage).hint(
                "restore the newest copy of a mirror there first: `coldchain restore SOURCE --from mirror --to DIR`; \
                 `adopt` takes only the read-only subvolume that this, or `btrfs receive`, makes",
            ),
            Self::AdoptedElsewhere { .. } => exit(ExitCode::Usage).hint(
                "set `subvolume` and `snapshots` to paths on the filesystem where it was \
                 restored: btrfs sends an incremental only within one",
            ),
        }
    }
}
