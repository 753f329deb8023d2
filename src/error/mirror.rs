//! Why a mirror can't be brought up to date.

use std::path::PathBuf;

use super::{Advice, Error, ExitCode, exit};
use crate::model::size::Bytes;
use crate::model::{MirrorLocation, SnapshotName, SourceName};

/// Why a mirror can't be brought up to date.
#[derive(Debug, thiserror::Error)]
pub enum MirrorError {
    /// The mirror is not attached, or something else is in its place.
    #[error("the mirror {to} is not there: {what}")]
    NotThere {
        /// Where it is.
        to: Box<MirrorLocation>,
        /// What is there instead.
        what: String,
    },
    /// The directory at the mirror has the snapshots of another source.
    #[error(
        "the mirror {to} holds copies under the name `{source_name}`, and none of them is of a snapshot that is here"
    )]
    OfAnotherSource {
        /// The source.
        source_name: SourceName,
        /// Where the mirror is.
        to: Box<MirrorLocation>,
    },
    /// The directory of another mirror that should be mirrored is missing.
    #[error("there is no directory {}, whose copies the mirror {to} is to get", path.display())]
    NothingToMirror {
        /// The directory.
        path: PathBuf,
        /// Where the mirror is.
        to: Box<MirrorLocation>,
    },
    /// Something that is not the mirror has its place.
    #[error("{} is in the way of the mirror: {what}", path.display())]
    InTheWay {
        /// What is there.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// The mirror has no room for a full stream.
    #[error("the mirror {to} has {} free, and the snapshot {name} has about {}", Bytes(*free), Bytes(*needed))]
    NoRoom {
        /// Where it is.
        to: Box<MirrorLocation>,
        /// The snapshot.
        name: SnapshotName,
        /// About how many bytes its stream has.
        needed: u64,
        /// Free bytes there.
        free: u64,
    },
    /// Another subvolume on the mirror's filesystem has the parent's received uuid, and `btrfs receive` may take that.
    #[error(
        "{} has the same received uuid as the copy {name}, and btrfs receive may take either for it",
        path.display()
    )]
    TwoParents {
        /// The copy.
        name: SnapshotName,
        /// The other subvolume.
        path: PathBuf,
    },
    /// The parent is not at the mirror any more.
    #[error(
        "the copy that the snapshot {name} of `{source_name}` is sent against is not at the mirror any more"
    )]
    ParentGone {
        /// The source.
        source_name: SourceName,
        /// The snapshot.
        name: SnapshotName,
    },
    /// A name that the snapshot should get is taken.
    #[error("{} is in the way of the mirrored snapshot", path.display())]
    NameTaken {
        /// Its path.
        path: PathBuf,
    },
    /// The source has no mirror.
    #[error("no mirror is configured{}", source_name.as_ref().map(|name| format!(" for `{name}`")).unwrap_or_default())]
    None {
        /// The source that was named.
        source_name: Option<SourceName>,
    },
    /// `forget` was given a mirror that the config names.
    #[error("cannot forget the mirror {to} of `{source_name}`: the config still names it")]
    StillConfigured {
        /// The source.
        source_name: SourceName,
        /// Where it is.
        to: Box<MirrorLocation>,
    },
    /// `forget` was given a mirror that the catalog does not have.
    #[error("the catalog has no mirror {to} of `{source_name}`")]
    NeverSeen {
        /// The source.
        source_name: SourceName,
        /// Where it is.
        to: Box<MirrorLocation>,
    },
    /// A mirror of a source failed.
    #[error("the mirror {to} of `{source_name}` is not up to date")]
    Behind {
        /// The source.
        source_name: SourceName,
        /// Where it is.
        to: Box<MirrorLocation>,
        /// Why.
        source: Box<Error>,
    },
    /// The night is done, but a mirror failed.
    #[error("the night of `{source_name}` is done, but the mirror {to} is not up to date")]
    AfterNight {
        /// The source.
        source_name: SourceName,
        /// Where it is.
        to: Box<MirrorLocation>,
        /// Why.
        source: Box<Error>,
    },
}

impl MirrorError {
    pub(super) fn advice(&self) -> Advice {
        match self {
            Self::NotThere { .. } => exit(ExitCode::Failed).hint(
                "attach and mount its disk, and run `coldchain mirror`; if the mirror was made anew on purpose, run \
                 `coldchain mirror SOURCE --forget-mark` once",
            ),
            Self::OfAnotherSource { .. } => exit(ExitCode::Usage).hint(
                "set `to` in its [[mirror]] to another directory, or move the old directory aside; if they are its old copies, \
                 run `coldchain mirror SOURCE --forget-mark`: it goes on beside them with a full",
            ),
            Self::NothingToMirror { .. } => exit(ExitCode::Failed)
                .hint("attach and mount the disk of `from`, and run `coldchain mirror` again"),
            Self::InTheWay { .. } => exit(ExitCode::Usage).hint(
                "move it away, or set `to` in the [[mirror]] to another directory; if only the file .coldchain-mirror.json \
                 was lost, put it back",
            ),
            Self::NoRoom { .. } => exit(ExitCode::Failed).hint(
                "free space there, or take a larger disk; if the mirror compresses and it will fit, run \
                 `coldchain mirror --ignore-room`",
            ),
            Self::TwoParents { .. } => exit(ExitCode::Failed).hint(
                "delete that subvolume with `btrfs subvolume delete` if it is not needed, or keep the mirror on another \
                 filesystem",
            ),
            Self::ParentGone { .. } => exit(ExitCode::Failed)
                .hint("run the command again: it makes a new plan"),
            Self::NameTaken { .. } => exit(ExitCode::Usage).hint("rename it or delete it, and run again"),
            Self::None { .. } => exit(ExitCode::Usage)
                .hint("add a [[mirror]] with `source` and `to` to the config"),
            Self::StillConfigured { .. } => {
                exit(ExitCode::Usage).hint("take its [[mirror]] out of the config first")
            }
            Self::NeverSeen { .. } => exit(ExitCode::Usage)
                .hint("write it as the config did; `coldchain doctor` names each mirror that the config no longer names"),
            Self::Behind { source, .. } => exit(source.exit_code()).hint_of(source.hint()),
            Self::AfterNight { source, .. } => exit(ExitCode::Later).hint_of(source.hint()),
        }
    }
}
