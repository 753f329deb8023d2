//! Why `init` can't write a config from what it was told.

use std::path::PathBuf;

use super::{Advice, ExitCode, exit};
use crate::model::ids::IdError;
use crate::model::{Line, SourceName};

/// Why `init` can't write a config from what it was told.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// A store without a source.
    #[error("nothing says what is archived: there is no --source")]
    NoSource,
    /// The text before the first `=` is no name.
    #[error("--source {}: {fault}", Line(said))]
    Name {
        /// What was given.
        said: String,
        /// What is wrong with the name.
        fault: IdError,
    },
    /// Two sources have one name.
    #[error("two sources would be called `{0}`")]
    SameName(SourceName),
    /// A snapshot, which never changes.
    #[error("cannot archive {}: it is read-only, so it is a snapshot", .0.display())]
    ReadOnly(PathBuf),
    /// A config can't contain the path.
    #[error("cannot archive {}: its path is not UTF-8, and a config is", .0.display())]
    NotUtf8(PathBuf),
    /// It is neither a directory nor a bucket.
    #[error("archives can't go to `{}`: it is no place that coldchain knows", Line(.0))]
    Place(String),
    /// The directory in which a store would be made is missing.
    #[error("archives can't go to {}: there is no directory {}", place.display(), missing.display())]
    NoParent {
        /// The store.
        place: PathBuf,
        /// What is missing.
        missing: PathBuf,
    },
    /// Each archive would have the earlier ones in it.
    #[error("archives can't go to {}: it is in the subvolume {source_path} itself", place.display())]
    InSource {
        /// The store.
        place: PathBuf,
        /// The subvolume.
        source_path: String,
    },
    /// A class was given, and the store has none.
    #[error("--storage-class takes a bucket: a directory has no storage classes")]
    NoClasses,
    /// The terminal was closed.
    #[error("the terminal ended before all questions were answered")]
    NoAnswer,
}

impl InitError {
    pub(super) fn advice(&self) -> Advice {
        exit(ExitCode::Usage).hint(match self {
            Self::NoSource => "name a subvolume with --source; nothing was written",
            Self::Name { .. } => {
                "put another name before the `=`, or write the path alone; nothing was written"
            }
            Self::SameName(_) => {
                "give one of them another name: --source NAME=SUBVOLUME; nothing was written"
            }
            Self::ReadOnly(_) => {
                "name the subvolume that it is a snapshot of; nothing was written"
            }
            Self::NotUtf8(_) => "rename it, or mount it at another path; nothing was written",
            Self::Place(_) => {
                "give the absolute path of a directory, or s3://BUCKET/PREFIX; docs/configuration.md has all kinds of \
                 stores; nothing was written"
            }
            Self::NoParent { .. } => {
                "mount the disk that it is on, or make that directory; nothing was written"
            }
            Self::InSource { .. } => {
                "each archive would have the earlier ones in it; name a directory on another disk; nothing was written"
            }
            Self::NoClasses => "leave it out; nothing was written",
            Self::NoAnswer => "nothing was written; run `coldchain init` again",
        })
    }
}
