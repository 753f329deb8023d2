//! Says what kind of failure an error is for the user, and what to do about it.

use std::io;

use rusqlite::{Error as Sqlite, ErrorCode, ffi};

use super::error::CatalogError;

/// The cause of a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trouble {
    /// The content is not what this program wrote.
    Damage,
    /// A later version wrote it.
    Newer,
    /// No space is left.
    Full,
    /// The file can't be written to.
    ReadOnly,
    /// Another process holds its lock.
    Held,
    /// The disk returns an error.
    Disk,
    /// A ledger names an archive of another ledger.
    Ledger,
    /// Any other cause.
    Other,
}

impl CatalogError {
    /// Whether the database itself is broken or foreign, rather than locked, full or unreachable.
    pub fn is_integrity(&self) -> bool {
        matches!(
            self.trouble(),
            Trouble::Damage | Trouble::Newer | Trouble::Ledger
        )
    }

    /// Whether the file may be sound, and only can't be written to.
    pub(super) fn is_unwritable(&self) -> bool {
        matches!(self.trouble(), Trouble::ReadOnly | Trouble::Full)
    }

    /// Whether the schema does not accept a value.
    pub fn is_constraint(&self) -> bool {
        let Self::Sql { source, .. } = self else {
            return false;
        };
        match &source.0 {
            Sqlite::SqliteFailure(failure, _) => failure.code == ErrorCode::ConstraintViolation,
            Sqlite::ToSqlConversionFailure(_) | Sqlite::StatementChangedRows(_) => true,
            _ => false,
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self.trouble() {
            Trouble::Damage => {
                "run `coldchain catalog rebuild` to make a new catalog from the store; this one is kept. Or put back an older copy of catalog.db: coldchain reads from the ledger what it lacks. The archives are safe in the store"
            }
            Trouble::Ledger => {
                "the catalog was not changed. Somebody else has the key that signed that entry: run `coldchain key rotate` to withdraw it, then `coldchain catalog rebuild` to read what is sound"
            }
            Trouble::Newer => "use the coldchain that wrote it, or a later one",
            Trouble::Full => {
                "free some space where `state_dir` is, and run again: nothing that was stored is lost"
            }
            Trouble::ReadOnly => "make `state_dir` writable, and run again",
            Trouble::Held => "find out what else has catalog.db open for so long, and run again",
            Trouble::Disk => {
                "check the disk under `state_dir`: it fails, and the kernel's log says more; nothing that was stored is lost"
            }
            Trouble::Other => return None,
        })
    }

    fn trouble(&self) -> Trouble {
        match self {
            Self::File { source, .. } => match source.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Trouble::Full,
                io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => {
                    Trouble::ReadOnly
                }
                _ => Trouble::Other,
            },
            Self::Watched { .. } => Trouble::Other,
            Self::Damaged(_) => Trouble::Damage,
            Self::Newer { .. } => Trouble::Newer,
            Self::OtherLedgers { .. } => Trouble::Ledger,
            Self::Sql { source, .. } => sqlite(&source.0),
        }
    }
}

fn sqlite(error: &Sqlite) -> Trouble {
    match error {
        Sqlite::SqliteFailure(failure, _) => code(*failure),
        // The statements are always the same: if one does not fit, the tables are not ours. And every value
        // in a column was written in the column's form.
        Sqlite::SqlInputError { .. }
        | Sqlite::FromSqlConversionFailure(..)
        | Sqlite::IntegralValueOutOfRange(..)
        | Sqlite::Utf8Error(..)
        | Sqlite::InvalidColumnName(_)
        | Sqlite::InvalidColumnType(..) => Trouble::Damage,
        _ => Trouble::Other,
    }
}

fn code(failure: ffi::Error) -> Trouble {
    match (failure.code, failure.extended_code) {
        (ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase, _) | (_, ffi::SQLITE_ERROR) => {
            Trouble::Damage
        }
        // SQLite reserves space for its journal's index before it uses it, and has no better code for a full
        // disk.
        (ErrorCode::DiskFull, _) | (_, ffi::SQLITE_IOERR_SHMSIZE) => Trouble::Full,
        (ErrorCode::ReadOnly | ErrorCode::PermissionDenied, _) => Trouble::ReadOnly,
        (ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked, _) => Trouble::Held,
        (ErrorCode::SystemIoFailure, _) => Trouble::Disk,
        _ => Trouble::Other,
    }
}
