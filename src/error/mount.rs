//! Why archives can't be mounted.

use std::path::PathBuf;

use super::{Advice, Error, ExitCode, exit};
use crate::fuse::FuseError;
use crate::model::shell;

impl From<FuseError> for Error {
    fn from(error: FuseError) -> Self {
        Self::Mount(error.into())
    }
}

/// Why archives can't be mounted.
#[derive(Debug, thiserror::Error)]
pub enum MountError {
    /// FUSE refuses, or its connection broke.
    #[error(transparent)]
    Fuse(#[from] FuseError),
    /// The mount would hide what is in the directory.
    #[error("cannot mount on {}: it is not empty", .0.display())]
    NotEmpty(PathBuf),
    /// It is a file, or something else.
    #[error("cannot mount on {}: it is not a directory", .0.display())]
    NotADirectory(PathBuf),
    /// It lies in something that coldchain itself works on.
    #[error("cannot mount on {}: it is in {what} {}", at.display(), within.display())]
    Within {
        /// The directory.
        at: PathBuf,
        /// What it is in.
        what: &'static str,
        /// Where that is.
        within: PathBuf,
    },
    /// Another filesystem is there whose process is gone.
    #[error("cannot mount on {}: the filesystem that is mounted there has lost its process, and it is not coldchain's", .0.display())]
    ForeignStale(PathBuf),
    /// No source that was asked for is indexed.
    #[error("there is nothing to mount: no archive is indexed")]
    Nothing,
}

impl MountError {
    pub(super) fn advice(&self) -> Advice {
        match self {
            Self::Fuse(error) => fuse_advice(error),
            Self::NotEmpty(_) | Self::NotADirectory(_) | Self::Within { .. } => {
                exit(ExitCode::Usage).hint("give an empty directory, or the name of a new one")
            }
            Self::ForeignStale(at) => exit(ExitCode::Usage).hint(format!(
                "run `umount {}`, or give another directory",
                shell::path(at)
            )),
            Self::Nothing => exit(ExitCode::Usage).hint(
                "add --identity FILE to index the archives that have contents; `coldchain index` makes contents for those that have none",
            ),
        }
    }
}

fn fuse_advice(error: &FuseError) -> Advice {
    match error {
        FuseError::NoDevice => {
            exit(ExitCode::Missing).hint("run `modprobe fuse`; in a container, pass --device /dev/fuse and --cap-add SYS_ADMIN to it")
        }
        FuseError::DeviceDenied(_) => exit(ExitCode::Missing)
            .hint("run it as root, or let this user read and write /dev/fuse"),
        FuseError::NoHelper => {
            exit(ExitCode::Missing).hint("install fuse3, or run it as root")
        }
        FuseError::OthersDenied => exit(ExitCode::Missing)
            .hint("add the line `user_allow_other` to /etc/fuse.conf, leave out --allow-other, or run it as root"),
        FuseError::Refused { .. } => exit(ExitCode::Missing)
            .hint("check that this user may mount here; `coldchain extract` brings files back without a mount"),
        FuseError::StaleStays { at, .. } => {
            exit(ExitCode::Failed).hint(format!("run `umount -l {}`", shell::path(at)))
        }
        FuseError::Broke { .. } => exit(ExitCode::Failed).hint("run the command again"),
    }
}
