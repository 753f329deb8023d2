//! The names in a catalog, for the completion of a command line: read at once or not at all. Nothing is waited for,
//! brought up to date or written.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, Params};

use super::Catalog;
use super::copy::uri;

/// A catalog that is open to read names from. What can't be read is as good as absent.
#[derive(Debug)]
pub struct CatalogNames {
    connection: Connection,
}

/// Which archives of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArchivesNamed {
    /// Those that can be restored.
    Committed,
    /// Those that were retired, and whose deletion has not begun.
    Retired,
}

impl CatalogNames {
    /// Opens a catalog of the schema that this program knows. It takes no lock that a writer waits for, and makes no
    /// file unless a journal is there, as a running program has one.
    pub fn open(path: &Path) -> Option<Self> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
        // SQLite would wait for the other end of a FIFO.
        if !path.metadata().ok()?.is_file() {
            return None;
        }
        let connection = Connection::open_with_flags(uri(path), flags).ok()?;
        connection.busy_timeout(Duration::ZERO).ok()?;
        let schema: i64 = connection
            .pragma_query_value(None, "user_version", |row| row.get(0))
            .ok()?;
        (usize::try_from(schema) == Ok(Catalog::SCHEMA)).then_some(Self { connection })
    }

    /// The sources.
    pub fn sources(&self) -> Vec<String> {
        self.texts("SELECT name FROM source ORDER BY name", [])
    }

    /// The dates of the archives of a source, the newest first; of all sources if none is named.
    pub fn dates(&self, source: Option<&str>, which: ArchivesNamed) -> Vec<String> {
        let state = match which {
            ArchivesNamed::Committed => "state = 'committed'",
            ArchivesNamed::Retired => "state = 'retired' AND deletion IS NULL",
        };
        match source {
            Some(source) => self.texts(
                &format!(
                    "SELECT DISTINCT date FROM archive
                     WHERE ledger = (SELECT ledger FROM source WHERE name = ?1) AND {state}
                     ORDER BY date DESC"
                ),
                [source],
            ),
            // By its index, a source at a time: the table as a whole has wide rows.
            None => self.texts(
                &format!(
                    "SELECT DISTINCT archive.date FROM source
                     CROSS JOIN archive ON archive.ledger = source.ledger AND {state}
                     ORDER BY date DESC"
                ),
                [],
            ),
        }
    }

    /// What was imported from another tool.
    pub fn imported(&self) -> Vec<String> {
        self.texts("SELECT name FROM imported ORDER BY name", [])
    }

    /// The places of mirrors.
    pub fn mirrors(&self) -> Vec<String> {
        self.texts("SELECT DISTINCT location FROM mirror ORDER BY location", [])
    }

    fn texts(&self, sql: &str, parameters: impl Params) -> Vec<String> {
        let read = || -> rusqlite::Result<Vec<String>> {
            let mut statement = self.connection.prepare(sql)?;
            let rows = statement.query_map(parameters, |row| row.get(0))?;
            rows.collect()
        };
        read().unwrap_or_default()
    }
}
