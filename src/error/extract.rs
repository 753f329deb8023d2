//! Why extracted files can't be written.

use std::io;
use std::path::PathBuf;

use super::{Advice, ExitCode, exit};
use crate::model::shell;

/// Why extracted files can't be written.
#[derive(Debug, thiserror::Error)]
pub enum ExtractError {
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

impl ExtractError {
    pub(super) fn advice(&self) -> Advice {
        match self {
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
