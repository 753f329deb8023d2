//! Why the file index could not be read.

use std::fmt;
use std::path::PathBuf;

/// Why the file index could not be read.
#[derive(Debug, thiserror::Error)]
pub enum IndexReadError {
    /// SQLite returned an error.
    #[error("could not read the file index {}", path.display())]
    Sql {
        /// The index's file.
        path: PathBuf,
        /// The cause.
        source: IndexSqlError,
    },
    /// Its rows contradict each other.
    #[error("the file index {} is damaged: {what}", path.display())]
    Damaged {
        /// The index's file.
        path: PathBuf,
        /// What is wrong with it.
        what: &'static str,
    },
}

impl IndexReadError {
    /// Returns the index's file.
    pub fn path(&self) -> &PathBuf {
        match self {
            Self::Sql { path, .. } | Self::Damaged { path, .. } => path,
        }
    }
}

/// SQLite's own message.
#[derive(Debug)]
pub struct IndexSqlError(pub(super) Box<rusqlite::Error>);

impl fmt::Display for IndexSqlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for IndexSqlError {}
