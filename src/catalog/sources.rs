//! The sources that this machine has seen, and their ledgers.

use rusqlite::{Row, params};

use super::Catalog;
use super::error::{CatalogError, parsed};
use crate::model::{LedgerId, SourceName};

/// A source as the catalog knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceRow {
    /// The configured name.
    pub name: SourceName,
    /// Its directory in the store, fixed when it was first seen.
    pub directory: String,
    /// The store's URL.
    pub store: String,
    /// Its ledger.
    pub ledger: LedgerId,
}

impl SourceRow {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            name: parsed(row, "name")?,
            directory: row.get("directory")?,
            store: row.get("store")?,
            ledger: parsed(row, "ledger")?,
        })
    }
}

impl Catalog {
    /// The source of that name, if this machine has seen it.
    pub fn source(&self, name: &SourceName) -> Result<Option<SourceRow>, CatalogError> {
        let sources = self.select(
            "read a source",
            "SELECT * FROM source WHERE name = ?1",
            [name.as_str()],
            SourceRow::read,
        )?;
        Ok(sources.into_iter().next())
    }

    /// All sources, by name.
    pub fn sources(&self) -> Result<Vec<SourceRow>, CatalogError> {
        self.select(
            "read the sources",
            "SELECT * FROM source ORDER BY name",
            [],
            SourceRow::read,
        )
    }

    /// Adds a new source. If another process has just added one of that name, that one stays as it is.
    pub fn add_source(&mut self, source: &SourceRow) -> Result<(), CatalogError> {
        self.execute(
            "add a source",
            "INSERT INTO source (name, directory, store, ledger) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (name) DO NOTHING",
            params![
                source.name.as_str(),
                source.directory,
                source.store,
                source.ledger.to_string()
            ],
        )
    }

    /// Changes the store and directory of a source. Does nothing if its ledger has an entry already.
    pub fn move_source(&mut self, source: &SourceRow) -> Result<(), CatalogError> {
        self.execute(
            "move a source",
            "UPDATE source SET directory = ?2, store = ?3
             WHERE name = ?1 AND ledger NOT IN (SELECT ledger FROM entry)",
            params![source.name.as_str(), source.directory, source.store],
        )
    }

    /// Renames a source. A source that has the new name already is removed, and the renamed one gets its
    /// snapshots. Only allowed if the removed one has neither entries nor archives.
    pub fn rename_source(
        &mut self,
        from: &SourceName,
        to: &SourceName,
    ) -> Result<(), CatalogError> {
        self.write("rename a source", |transaction| {
            // Between the statements, rows name a source that does not exist.
            transaction.pragma_update(None, "defer_foreign_keys", true)?;
            for sql in [
                "UPDATE OR IGNORE snapshot SET source = ?1 WHERE source = ?2",
                // A name has one snapshot that is not deleted: the other is recorded as deleted, but stays on
                // disk.
                "UPDATE snapshot SET source = ?1, deleted_at = made_at WHERE source = ?2",
                "DELETE FROM told WHERE source = ?2 AND ?1 <> ?2",
                "DELETE FROM quarantine
                 WHERE ?1 <> ?2 AND ledger IN (SELECT ledger FROM source WHERE name = ?2)",
                "DELETE FROM source WHERE name = ?2 AND ?1 <> ?2",
                "UPDATE source SET name = ?2 WHERE name = ?1",
                "UPDATE snapshot SET source = ?2 WHERE source = ?1",
                "UPDATE told SET source = ?2 WHERE source = ?1",
            ] {
                transaction.execute(sql, params![from.as_str(), to.as_str()])?;
            }
            Ok(())
        })
    }

    /// Returns the last warning about a subject.
    pub fn told(&self, source: &SourceName, subject: &str) -> Result<Option<String>, CatalogError> {
        let told = self.select(
            "read a warning",
            "SELECT message FROM told WHERE source = ?1 AND subject = ?2",
            params![source.as_str(), subject],
            |row| row.get(0),
        )?;
        Ok(told.into_iter().next())
    }

    /// Deletes the warning about a subject.
    pub fn untell(&mut self, source: &SourceName, subject: &str) -> Result<(), CatalogError> {
        self.execute(
            "forget a warning",
            "DELETE FROM told WHERE source = ?1 AND subject = ?2",
            params![source.as_str(), subject],
        )
    }

    /// Records a lasting warning, and returns whether it differs from the last one about the subject.
    pub fn tell(
        &mut self,
        source: &SourceName,
        subject: &str,
        message: &str,
    ) -> Result<bool, CatalogError> {
        self.write("note a warning", |transaction| {
            let changed = transaction.execute(
                "INSERT INTO told (source, subject, message) VALUES (?1, ?2, ?3)
                 ON CONFLICT (source, subject) DO UPDATE SET message = ?3 WHERE message <> ?3",
                params![source.as_str(), subject, message],
            )?;
            Ok(changed > 0)
        })
    }
}
