//! Why contents can't be applied to a tree, and where.

use crate::btrfs::stream::StreamRefusal;
use crate::btrfs::{Command, ContentsError};

/// A replay that failed. `E` is the tree's own error.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError<E> {
    /// The contents can't be read, or a command is not what the guard would accept.
    #[error(transparent)]
    Contents(ContentsError),
    /// A command does not fit the tree.
    #[error(
        "the contents do not fit the tree of files at byte {offset} of the stream (command {command})"
    )]
    Refused {
        /// Where the command begins in the stream.
        offset: u64,
        /// Its number; the first is 1.
        command: u64,
        /// What is wrong.
        #[source]
        refusal: ReplayRefusal,
    },
    /// The tree can't be read or changed.
    #[error("the tree of files can't be changed")]
    Tree(E),
}

/// What is wrong with a command.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum ReplayRefusal {
    #[error(transparent)]
    Stream(#[from] StreamRefusal),
    #[error("a full stream for a tree that is not empty")]
    NotEmptyTree,
    #[error("a {command} command on `{}`, which is not there", .path.escape_ascii())]
    Missing { command: Command, path: Vec<u8> },
    #[error("a {command} command on `{}`, which is already there", .path.escape_ascii())]
    Taken { command: Command, path: Vec<u8> },
    #[error("the path `{}` leads through a file", .path.escape_ascii())]
    ThroughFile { path: Vec<u8> },
    #[error("a {command} command on `{}`, which is a directory", .path.escape_ascii())]
    IsDirectory { command: Command, path: Vec<u8> },
    #[error("a {command} command on `{}`, which is not a directory", .path.escape_ascii())]
    NoDirectory { command: Command, path: Vec<u8> },
    #[error("a {command} command on `{}`, which is not a regular file", .path.escape_ascii())]
    NoRegularFile { command: Command, path: Vec<u8> },
    #[error("a {command} command on `{}`, which is a symlink", .path.escape_ascii())]
    IsSymlink { command: Command, path: Vec<u8> },
    #[error("a {command} command on `{}`, a directory that is not empty", .path.escape_ascii())]
    NotEmpty { command: Command, path: Vec<u8> },
    #[error("the mode {mode:o} of the device node `{}` is not that of a device", .path.escape_ascii())]
    NodeMode { path: Vec<u8>, mode: u64 },
    #[error("a {command} command on `{}` with the number {number}, which is too large", .path.escape_ascii())]
    TooLarge {
        command: Command,
        path: Vec<u8>,
        number: u64,
    },
    #[error("`{}` has too many extended attributes: coldchain can index at most {limit} bytes of their names and digests", .path.escape_ascii())]
    TooManyAttributes { path: Vec<u8>, limit: usize },
}

impl ReplayRefusal {
    /// Returns whether `btrfs receive` refuses the command too, by the names that are there. Anything else is a rule or a
    /// limit of the index.
    pub fn stops_a_restore(&self) -> bool {
        match self {
            Self::Missing { .. }
            | Self::Taken { .. }
            | Self::ThroughFile { .. }
            | Self::IsDirectory { .. }
            | Self::NoDirectory { .. }
            | Self::NoRegularFile { .. }
            | Self::NotEmpty { .. } => true,
            Self::Stream(_)
            | Self::NotEmptyTree
            | Self::IsSymlink { .. }
            | Self::NodeMode { .. }
            | Self::TooLarge { .. }
            | Self::TooManyAttributes { .. } => false,
        }
    }
}

/// Why a command can't be applied.
#[derive(Debug)]
pub(super) enum ReplayFault<E> {
    /// It does not fit.
    Refusal(ReplayRefusal),
    /// The tree can't be read or changed.
    Tree(E),
}

impl<E> ReplayFault<E> {
    /// Adds where it was.
    pub(super) fn at(self, offset: u64, command: u64) -> ReplayError<E> {
        match self {
            Self::Refusal(refusal) => ReplayError::Refused {
                offset,
                command,
                refusal,
            },
            Self::Tree(error) => ReplayError::Tree(error),
        }
    }
}

impl<E> From<ReplayRefusal> for ReplayFault<E> {
    fn from(refusal: ReplayRefusal) -> Self {
        Self::Refusal(refusal)
    }
}

impl<E> From<StreamRefusal> for ReplayFault<E> {
    fn from(refusal: StreamRefusal) -> Self {
        Self::Refusal(refusal.into())
    }
}
