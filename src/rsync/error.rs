//! Why rsync can't be used at all.

use std::path::PathBuf;

use super::version::RsyncVersion;
use crate::process::ProcessError;

/// Why rsync can't be used at all.
#[derive(Debug, thiserror::Error)]
pub enum RsyncError {
    /// There is no such program.
    #[error("cannot find the program `rsync` in {path}")]
    NoProgram {
        /// Where it was looked for.
        path: String,
    },
    /// It does not say which version it is.
    #[error("cannot tell the version of {}: it says `{output}`", program.display())]
    NoVersion {
        /// The program.
        program: PathBuf,
        /// The first line of what it printed.
        output: String,
    },
    /// It is too old.
    #[error("rsync {found} is too old to pull with: {needed} or newer is needed")]
    TooOld {
        /// Which it is.
        found: RsyncVersion,
        /// The oldest that can be used.
        needed: RsyncVersion,
    },
    /// It could not be run to its end.
    #[error(transparent)]
    Process(#[from] ProcessError),
}

impl RsyncError {
    /// Returns what to do next.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NoProgram { .. } => {
                Some("install rsync: on Debian it is in the package of that name")
            }
            Self::NoVersion { .. } => Some("install the rsync of rsync.samba.org, 3.1.3 or newer"),
            Self::TooOld { .. } => Some("update rsync"),
            Self::Process(_) => None,
        }
    }

    /// Returns whether the program is missing or too old.
    pub fn is_missing_or_old(&self) -> bool {
        !matches!(self, Self::Process(_))
    }
}
