//! Why the contents of an archive can't be read, copied or made.

use super::{Advice, Error, ExitCode, exit};
use crate::model::ArchiveId;

/// Why the contents of an archive can't be read, copied or made.
#[derive(Debug, thiserror::Error)]
pub enum ContentsFault {
    /// An object of them is missing, or is not the one that the ledger signs.
    #[error("the contents of {archive} are damaged: {key}: {what}")]
    Damaged {
        /// The archive.
        archive: ArchiveId,
        /// The object's key.
        key: String,
        /// What is wrong.
        what: String,
    },
    /// The archive has none.
    #[error("{archive} has no contents, so its files can't be brought back one by one")]
    Missing {
        /// The archive.
        archive: ArchiveId,
    },
    /// They can't be read, or do not fit what they are built on.
    #[error("cannot use the contents of {archive}: {what}")]
    Unusable {
        /// The archive.
        archive: ArchiveId,
        /// Why.
        what: String,
    },
    /// Their stream has a command that does not fit the files of the send parent: `btrfs receive` would refuse it.
    #[error("the send stream of {archive} does not fit what it is built on: {what}")]
    Unrestorable {
        /// The archive.
        archive: ArchiveId,
        /// Why.
        what: String,
    },
    /// The stream of an archive is not one that contents can be made of.
    #[error("cannot make the contents of {archive}: {what}")]
    Unmade {
        /// The archive.
        archive: ArchiveId,
        /// Why.
        what: String,
    },
    /// The identities open some archives, and not these.
    #[error("cannot open {unopened} of the archives without contents with {identity}")]
    Unopened {
        /// The name of the identities.
        identity: String,
        /// How many archives they do not open.
        unopened: usize,
    },
    /// Segments are cold, and the run was not asked to thaw them.
    #[error("cannot read {archives} of the archives without contents: their segments are cold")]
    Cold {
        /// How many archives.
        archives: usize,
    },
    /// A copy has an archive whole, but not its contents.
    #[error("copied {archive} to {to} without its contents")]
    NotCopied {
        /// The archive.
        archive: ArchiveId,
        /// The copy's URL.
        to: String,
        /// Why.
        source: Box<Error>,
    },
}

impl ContentsFault {
    pub(super) fn advice(&self) -> Advice {
        match self {
            Self::Damaged { archive, .. } => exit(ExitCode::Integrity).hint(format!(
                "run `coldchain verify --repair-from` with a place that has them sound, or make others from the segments with \
                 `coldchain index SOURCE --date {}`; the archive can be restored without them",
                archive.date
            )),
            Self::Missing { archive } => exit(ExitCode::Failed).hint(format!(
                "make its contents with `coldchain index SOURCE --date {}`, or restore the whole date with `coldchain restore`",
                archive.date
            )),
            Self::Unusable { archive, .. } => exit(ExitCode::Integrity).hint(format!(
                "run `coldchain verify --deep` to compare them with the archive; {archive} can be restored without them"
            )),
            Self::Unrestorable { .. } => exit(ExitCode::Integrity).hint(
                "keep the snapshot of that date: the next archive is a full. `coldchain verify --drill` tries a restore",
            ),
            Self::Unmade { .. } => exit(ExitCode::Integrity)
                .hint("run `coldchain verify --deep` with the same identity to see what is damaged"),
            Self::Unopened { .. } => exit(ExitCode::Failed).hint(
                "give the recovery kit or an identity that opens them with --identity; the others have contents now",
            ),
            Self::Cold { .. } => exit(ExitCode::Thawing).hint(
                "add --thaw to ask for them, which costs money; --plan says how much. The others have contents now",
            ),
            Self::NotCopied { source, .. } => exit(source.exit_code()).hint_of(source.hint()),
        }
    }
}
