//! Why the catalog could not be read or written.

use std::fmt;
use std::path::PathBuf;

use crate::model::ArchiveId;

/// Why a [`Watch`](super::Watch) refused an operation.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// An error of the catalog.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// The file could not be made or opened.
    #[error("could not open the catalog {}", path.display())]
    File {
        /// The catalog's path.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// SQLite returned an error.
    #[error("could not {doing} in the catalog")]
    Sql {
        /// What was being done.
        doing: &'static str,
        /// The cause.
        source: SqlError,
    },
    /// A [`Watch`](super::Watch) refused the operation.
    #[error("could not {doing} in the catalog")]
    Watched {
        /// What was being done.
        doing: &'static str,
        /// Why it refused.
        source: Cause,
    },
    /// A value does not have its column's form.
    #[error("the catalog is damaged: {0}")]
    Damaged(String),
    /// A ledger names an archive that is another ledger's.
    #[error("{archive} belongs to another ledger in the catalog")]
    OtherLedgers {
        /// The archive.
        archive: ArchiveId,
    },
    /// A later version of coldchain has written it.
    #[error("the catalog has schema version {found}, this coldchain knows {known}")]
    Newer {
        /// Its version.
        found: usize,
        /// The newest that this program knows.
        known: usize,
    },
}

/// SQLite's own message, with its error code to look up.
#[derive(Debug)]
pub struct SqlError(pub(super) rusqlite::Error);

impl fmt::Display for SqlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            rusqlite::Error::SqliteFailure(code, Some(words)) => {
                write!(f, "{words} (SQLite's code {})", code.extended_code)
            }
            rusqlite::Error::SqlInputError { error, msg, .. } => {
                write!(f, "{msg} (SQLite's code {})", error.extended_code)
            }
            error => error.fmt(f),
        }
    }
}

impl std::error::Error for SqlError {}

/// Adds what was being done to an error of SQLite.
pub(super) trait Doing<T> {
    fn doing(self, doing: &'static str) -> Result<T, CatalogError>;
}

impl<T> Doing<T> for rusqlite::Result<T> {
    fn doing(self, doing: &'static str) -> Result<T, CatalogError> {
        self.map_err(|source| CatalogError::Sql {
            doing,
            source: SqlError(source),
        })
    }
}

/// Reads a column that holds the text form of a value.
pub(super) fn parsed<T>(row: &rusqlite::Row<'_>, column: &str) -> rusqlite::Result<T>
where
    T: std::str::FromStr<Err: std::error::Error + Send + Sync + 'static>,
{
    let text: String = row.get(column)?;
    text.parse().map_err(|error| conversion(row, column, error))
}

/// Reads a nullable column that holds the text form of a value.
pub(super) fn parsed_or_null<T>(
    row: &rusqlite::Row<'_>,
    column: &str,
) -> rusqlite::Result<Option<T>>
where
    T: std::str::FromStr<Err: std::error::Error + Send + Sync + 'static>,
{
    let text: Option<String> = row.get(column)?;
    text.map(|text| text.parse().map_err(|error| conversion(row, column, error)))
        .transpose()
}

fn conversion(
    row: &rusqlite::Row<'_>,
    column: &str,
    error: impl std::error::Error + Send + Sync + 'static,
) -> rusqlite::Error {
    let index = row.as_ref().column_index(column).unwrap_or_default();
    rusqlite::Error::FromSqlConversionFailure(index, rusqlite::types::Type::Text, Box::new(error))
}
