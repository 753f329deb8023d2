//! Why extracted files can't be written.

use std::io;
use std::path::PathBuf;

use super::{Advice, Error, ExitCode, exit};
use crate::files_db::TreeFileError;
use crate::model::{ArchiveId, shell};

/// Why extracted files can't be written.
#[derive(Debug, thiserror::Error)]
pub enum ExtractError {
    /// The pieces of one file need more memory than there may be for all.
    #[error(
        "a file of {archive} is in so many pieces, or has so many attributes, that they do not fit into {limit} bytes of memory"
    )]
    TooManyPieces {
        /// The archive at which the limit was reached.
        archive: ArchiveId,
        /// The limit in bytes.
        limit: u64,
    },
    /// What is known of the segments of a chain needs most of the memory that there may be.
    #[error(
        "the tables of segments of {archive}, and of what it is built on, do not fit into three quarters of {limit} bytes of memory"
    )]
    TooManySegments {
        /// The archive at which the limit was reached.
        archive: ArchiveId,
        /// The limit in bytes.
        limit: u64,
    },
    /// What is to be extracted has too many names for the memory that there may be.
    #[error(
        "what is to be extracted of {archive} has more names than fit into {limit} bytes of memory"
    )]
    TooManyNames {
        /// The archive.
        archive: ArchiveId,
        /// The limit in bytes.
        limit: u64,
    },
    /// Names and pieces that do not fit into memory can't be written to disk, or read from there.
    #[error(transparent)]
    TreeFile(TreeFileError),
    /// The data of some files can't be had.
    #[error(
        "left out {lost} of the files, whose data is damaged or missing in every place; the others are extracted"
    )]
    DataLost {
        /// How many files.
        lost: u64,
    },
    /// The target could not hold everything.
    #[error(
        "extracted, but the target does not have everything as it was archived: {left_out} left out, {not_kept} without something"
    )]
    NotAllKept {
        /// How many names were left out.
        left_out: u64,
        /// The most names that lack one and the same thing.
        not_kept: u64,
    },
    /// What is to be written exists already.
    #[error("cannot write {}: it exists already", .0.display())]
    TargetExists(PathBuf),
    /// A directory on the way to what is written is a link, a mount or no directory.
    #[error("cannot write into {}: it is not a directory of the target's filesystem", .0.display())]
    NoDirectory(PathBuf),
    /// The list of what is to be extracted makes no tree.
    #[error("the contents name no files that can be extracted: {0}")]
    NoTree(String),
    /// Another run extracts the same.
    #[error("another run of coldchain is extracting the same to {}", .0.display())]
    Busy(PathBuf),
    /// The directory in which files are made was made by another user.
    #[error("cannot use {}: another user owns it or can enter it", .0.display())]
    NotOwn(PathBuf),
    /// What an earlier run has left can't be used.
    #[error("cannot continue from {}: {why}", path.display())]
    NotToContinue {
        /// The directory in which files are made.
        path: PathBuf,
        /// What is wrong.
        why: &'static str,
    },
    /// A file can't be written, through no fault of its own.
    #[error("could not {doing} {}", path.display())]
    Stopped {
        /// What was being done.
        doing: &'static str,
        /// To which file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
}

impl From<TreeFileError> for Error {
    fn from(error: TreeFileError) -> Self {
        ExtractError::TreeFile(error).into()
    }
}

impl ExtractError {
    pub(super) fn advice(&self) -> Advice {
        match self {
            Self::TooManyPieces { .. } | Self::TooManySegments { .. } => exit(ExitCode::Failed).hint(
                "raise `memory_limit` in the config, or restore the whole date with `coldchain restore`",
            ),
            Self::TooManyNames { .. } => exit(ExitCode::Failed).hint(
                "raise `memory_limit` in the config, extract a directory at a time, or restore the whole date with `coldchain restore`",
            ),
            Self::TreeFile(error) => exit(ExitCode::Failed).hint(if error.is_full() {
                "free some space there, or raise `memory_limit` in the config, so that more fits into memory"
            } else {
                "check that disk, or raise `memory_limit` in the config, so that more fits into memory"
            }),
            Self::DataLost { .. } => exit(ExitCode::Integrity).hint(
                "run `coldchain verify --deep` to see what is damaged, and take these files from another --date; `coldchain history` lists their versions",
            ),
            Self::NotAllKept { .. } => exit(ExitCode::Later).hint(
                "run it as root, or with --to on another filesystem, such as ext4 or btrfs, to keep more; --devices makes devices",
            ),
            Self::TargetExists(_) => exit(ExitCode::Usage).hint(
                "move it away, or give another directory with --to: nothing is ever replaced",
            ),
            Self::NoDirectory(_) => exit(ExitCode::Usage)
                .hint("give another directory with --to: links and mounts in it are not followed"),
            Self::NoTree(_) => exit(ExitCode::Integrity).hint(
                "nothing was written; take another date, or restore the archive with `coldchain restore`",
            ),
            Self::Busy(_) => exit(ExitCode::Busy).hint("wait for it to end, and run again"),
            Self::NotOwn(_) => exit(ExitCode::Usage)
                .hint("remove it, or give another directory with --to, which only you can write to"),
            Self::NotToContinue { path, .. } => exit(ExitCode::Failed).hint(format!(
                "remove {}, then run the command again: it begins anew",
                shell::path(path)
            )),
            Self::Stopped { source, .. } => exit(ExitCode::Failed).hint(match source.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                    "free some space there, then run the command again: it continues where it stopped"
                }
                io::ErrorKind::ReadOnlyFilesystem => {
                    "make it writable, then run the command again: it continues where it stopped"
                }
                io::ErrorKind::PermissionDenied => {
                    "check the permissions there, or give another directory with --to"
                }
                _ => "run the command again: it continues where it stopped",
            }),
        }
    }
}
