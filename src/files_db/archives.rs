//! Which archives an index has.

use chrono::NaiveDate;
use rusqlite::OptionalExtension as _;

use super::error::{FilesDbError, WhileDoing as _};
use super::file::FilesDb;
use crate::model::{ArchiveId, Sha256};

/// An archive that an index has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadedArchive {
    /// Its number: they count up in the order in which archives were loaded.
    pub number: i64,
    /// Its id.
    pub id: ArchiveId,
    /// Digest of the record of its contents.
    pub contents: Sha256,
    /// Whether it is retired.
    pub is_hidden: bool,
}

/// An archive that is to be loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ArchiveToLoad {
    /// Its id.
    pub id: ArchiveId,
    /// Its date.
    pub date: NaiveDate,
    /// Digest of the record of its contents.
    pub contents: Sha256,
}

impl FilesDb {
    /// Returns the archives, by number.
    pub fn archives(&self) -> Result<Vec<LoadedArchive>, FilesDbError> {
        let doing = "list the archives";
        let mut statement = self
            .connection
            .prepare_cached("SELECT number, id, contents, hidden FROM archive ORDER BY number")
            .while_doing(doing)?;
        let rows = statement
            .query_map([], |row| {
                let texts: (String, String) = (row.get(1)?, row.get(2)?);
                Ok((row.get(0)?, texts, row.get(3)?))
            })
            .while_doing(doing)?;
        rows.map(|row| {
            let (number, (id, contents), is_hidden) = row.while_doing(doing)?;
            let damaged = FilesDbError::Damaged("an archive's id or digest has not its form");
            let (Ok(id), Ok(contents)) = (id.parse(), contents.parse()) else {
                return Err(damaged);
            };
            Ok(LoadedArchive {
                number,
                id,
                contents,
                is_hidden,
            })
        })
        .collect()
    }

    /// Hides an archive, or shows it again. Returns whether the index has it.
    pub fn hide(&self, id: &ArchiveId, is_hidden: bool) -> Result<bool, FilesDbError> {
        let rows = self
            .connection
            .execute(
                "UPDATE archive SET hidden = ?2 WHERE id = ?1",
                (id.to_string(), is_hidden),
            )
            .while_doing("hide or show an archive")?;
        Ok(rows > 0)
    }

    /// Deletes what only hidden archives had, and then forgets these archives. The newest is always kept: the next archive is
    /// loaded on its state.
    pub fn collect(&mut self) -> Result<(), FilesDbError> {
        let doing = "delete the rows of retired archives";
        let transaction = self.connection.transaction().while_doing(doing)?;
        let hidden: Option<i64> = transaction
            .query_row(
                "SELECT number FROM archive
                 WHERE hidden AND number < (SELECT max(number) FROM archive) LIMIT 1",
                [],
                |row| row.get(0),
            )
            .optional()
            .while_doing(doing)?;
        if hidden.is_none() {
            return Ok(());
        }
        transaction
            .execute_batch(
                "DELETE FROM entry WHERE till < 9223372036854775807 AND NOT EXISTS
                   (SELECT 1 FROM archive WHERE NOT hidden AND number >= since AND number < till);
                 DELETE FROM version WHERE till < 9223372036854775807 AND NOT EXISTS
                   (SELECT 1 FROM archive WHERE NOT hidden AND number >= since AND number < till);
                 DELETE FROM subtree WHERE NOT EXISTS
                   (SELECT 1 FROM version WHERE version.object = subtree.object);
                 DELETE FROM archive WHERE hidden AND number < (SELECT max(number) FROM archive);",
            )
            .while_doing(doing)?;
        transaction.commit().while_doing(doing)
    }
}
