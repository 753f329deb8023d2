//! What can go wrong with another program.

use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;

/// A program that could not be run to its end.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// The program could not be started.
    #[error("cannot start `{}` to {action}", .program.display())]
    Spawn {
        /// The program.
        program: PathBuf,
        /// What it was to do, with the path.
        action: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// All programs were ended, and none is started any more.
    #[error("cannot {action}: coldchain is being stopped")]
    Stopping {
        /// What was to be done, with the path.
        action: String,
    },
    /// The program ran and failed.
    #[error("cannot {action}: `{program}` ended with {status}: {stderr}")]
    Failed {
        /// Its name: `btrfs`, or coldchain itself.
        program: &'static str,
        /// What it was to do, with the path.
        action: String,
        /// How it ended.
        status: ExitStatus,
        /// The last of what it wrote to stderr, control characters escaped.
        stderr: String,
    },
    /// Its output could not be read, or it could not be waited for.
    #[error("lost contact with `{program}` that was to {action}")]
    Contact {
        /// Its name.
        program: &'static str,
        /// What it was to do, with the path.
        action: String,
        /// Why.
        #[source]
        source: io::Error,
    },
}
