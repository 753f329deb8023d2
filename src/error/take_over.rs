//! Why another tool's config can't be taken over.

use std::path::PathBuf;

use super::{Advice, ExitCode, exit};
use crate::config::ForeignFault;
use crate::model::size::Bytes;

/// Why another tool's config can't be taken over.
#[derive(Debug, thiserror::Error)]
pub enum TakeOverError {
    /// There is a config of coldchain already.
    #[error("cannot take over another tool's config: {} exists already", path.display())]
    ConfigExists {
        /// The config of coldchain.
        path: PathBuf,
    },
    /// No real config is so large.
    #[error("cannot take over {}: it has more than {}", path.display(), Bytes(*limit))]
    TooLarge {
        /// The other tool's config.
        path: PathBuf,
        /// The limit in bytes.
        limit: u64,
    },
    /// A line of it can't be read.
    #[error("cannot take over {}: {fault}", path.display())]
    Unreadable {
        /// The other tool's config.
        path: PathBuf,
        /// Where, and why.
        fault: ForeignFault,
    },
    /// It has no subvolume that can be a source.
    #[error("cannot take over {}: it has no subvolume that can be a source here", path.display())]
    NoSubvolume {
        /// The other tool's config, or its directory.
        path: PathBuf,
    },
    /// The directory has no config.
    #[error("cannot take over snapper's configs: {} has none", path.display())]
    NoSnapperConfig {
        /// The directory.
        path: PathBuf,
    },
}

impl TakeOverError {
    pub(super) fn advice(&self) -> Advice {
        exit(ExitCode::Usage).hint(match self {
            Self::ConfigExists { .. } => {
                "nothing was changed; name a new config with --config, and copy from it what you need"
            }
            Self::TooLarge { .. } => "check that it is the config of the other tool; nothing was written",
            Self::Unreadable { .. } => {
                "correct the line, or take it out of a copy and name that copy; nothing was written"
            }
            Self::NoSubvolume { .. } => {
                "run `coldchain init` without it to write a config to fill in; nothing was written"
            }
            Self::NoSnapperConfig { .. } => "name a config of snapper, or a directory that has some",
        })
    }
}
