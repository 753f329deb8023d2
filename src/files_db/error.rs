//! Why a file index can't be opened or brought up to date.

use std::fmt;
use std::path::PathBuf;

use rusqlite::ErrorCode;

use crate::model::ArchiveId;

/// An error of a file index.
#[derive(Debug, thiserror::Error)]
pub enum FilesDbError {
    /// A file of the index could not be made, locked or removed.
    #[error("could not {doing} {}", path.display())]
    File {
        /// What was being done.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// Another process has the index for too long.
    #[error("another run of coldchain is still writing the file index {}", .0.display())]
    Busy(PathBuf),
    /// SQLite returned an error.
    #[error("could not {doing} in the file index")]
    Sql {
        /// What was being done.
        doing: &'static str,
        /// The cause.
        source: FilesSqlError,
    },
    /// Its rows do not fit together.
    #[error("the file index is damaged: {0}")]
    Damaged(&'static str),
    /// An archive that others are to be built on is not indexed.
    #[error("the archive {0} is not in the file index")]
    NotIndexed(ArchiveId),
}

impl FilesDbError {
    /// Returns whether the index itself is broken. Then only a new one helps.
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Damaged(_) => true,
            Self::Sql { source, .. } => {
                let code = source.0.sqlite_error_code();
                // Other errors of values and columns mean tables that are not those of the schema.
                code.is_none_or(|code| {
                    matches!(
                        code,
                        ErrorCode::DatabaseCorrupt
                            | ErrorCode::NotADatabase
                            | ErrorCode::ConstraintViolation
                            | ErrorCode::Unknown
                    )
                })
            }
            Self::File { .. } | Self::Busy(_) | Self::NotIndexed(_) => false,
        }
    }
}

/// SQLite's own message about a file index, with its error code to look up.
#[derive(Debug)]
pub struct FilesSqlError(pub(super) rusqlite::Error);

impl fmt::Display for FilesSqlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            rusqlite::Error::SqliteFailure(code, Some(words)) => {
                write!(f, "{words} (SQLite's code {})", code.extended_code)
            }
            error => error.fmt(f),
        }
    }
}

impl std::error::Error for FilesSqlError {}

/// Adds what was being done to an error of SQLite.
pub(super) trait WhileDoing<T> {
    fn while_doing(self, doing: &'static str) -> Result<T, FilesDbError>;
}

impl<T> WhileDoing<T> for rusqlite::Result<T> {
    fn while_doing(self, doing: &'static str) -> Result<T, FilesDbError> {
        self.map_err(|source| FilesDbError::Sql {
            doing,
            source: FilesSqlError(source),
        })
    }
}
