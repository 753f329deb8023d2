//! Reads the file index of one source. Each method is one statement; what several of them mean together is for the engine.

mod changes;
mod entries;
mod error;
mod paths;
mod rows;
mod scan;

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, OptionalExtension as _, Params, Row};

pub use changes::ChangeSpan;
pub use entries::LinkedVersion;
pub use error::IndexReadError;
pub use paths::PathFinder;
pub use rows::{ArchiveSpan, IndexedArchive, IndexedName, IndexedVersion, SubtreeTotals};
pub use scan::{NameFilter, NodeFilter};

use error::IndexSqlError;
use rows::VERSION_COLUMNS;

use crate::model::LedgerId;
use crate::model::file_node::ObjectId;

/// How long a statement waits for a process that is loading an archive.
const BUSY: Duration = Duration::from_secs(30);

/// What SQLite keeps of the file in memory while questions are asked: 64 MiB, in its own unit. With its default of 2 MiB, what
/// many changed files have in common is read again for each of them.
const CACHE_KIB: i64 = -(64 << 10);

/// The file index of a source, as it was when it was opened: what another process loads meanwhile is not seen.
pub struct FileQuestions {
    connection: Connection,
    path: PathBuf,
    archives: Vec<IndexedArchive>,
}

impl FileQuestions {
    /// Opens an index to read it; `None` if there is none, or if it is of another ledger.
    pub fn open(path: &Path, ledger: &LedgerId) -> Result<Option<Self>, IndexReadError> {
        if !path.exists() {
            return Ok(None);
        }
        let failed = |error| IndexReadError::sql(path, error);
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags).map_err(failed)?;
        connection.busy_timeout(BUSY).map_err(failed)?;
        // Else SQLite compiles many statements again for each value of a parameter.
        connection
            .set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)
            .map_err(failed)?;
        connection
            .pragma_update(None, "cache_size", CACHE_KIB)
            .map_err(failed)?;
        // One transaction for all that is asked: the answers fit each other. It ends with the connection.
        connection.execute_batch("BEGIN").map_err(failed)?;
        let found: Option<String> = connection
            .query_row("SELECT ledger FROM meta", [], |row| row.get(0))
            .optional()
            .map_err(failed)?;
        if found.as_deref() != Some(ledger.to_string().as_str()) {
            return Ok(None);
        }
        let mut questions = Self {
            connection,
            path: path.to_owned(),
            archives: Vec::new(),
        };
        let mut archives = questions.rows(
            "SELECT number, id, date, hidden FROM archive",
            [],
            IndexedArchive::read,
        )?;
        archives.sort_by_key(|archive| (archive.date, archive.number));
        questions.archives = archives;
        Ok(Some(questions))
    }

    /// Returns the indexed archives, by date; also those that are retired.
    pub fn archives(&self) -> &[IndexedArchive] {
        &self.archives
    }

    /// Returns the index's file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns what a name in a directory names in an archive.
    pub fn child(
        &self,
        parent: ObjectId,
        name: &[u8],
        at: i64,
    ) -> Result<Option<ObjectId>, IndexReadError> {
        let found = self.rows(
            "SELECT object, till FROM entry WHERE parent = ?1 AND name = ?2 AND since <= ?3
             ORDER BY since DESC LIMIT 1",
            (parent.0, name, at),
            |row| Ok((ObjectId(row.get(0)?), row.get::<_, i64>(1)?)),
        )?;
        let found = found.into_iter().find(|(_, till)| *till > at);
        Ok(found.map(|(object, _)| object))
    }

    /// Returns what a path below the root names in an archive; an empty path names the root.
    pub fn resolve(&self, path: &[u8], at: i64) -> Result<Option<ObjectId>, IndexReadError> {
        let mut object = ObjectId::ROOT;
        for name in path.split(|byte| *byte == b'/') {
            if name.is_empty() {
                continue;
            }
            match self.child(object, name, at)? {
                Some(child) => object = child,
                None => return Ok(None),
            }
        }
        Ok(Some(object))
    }

    /// Returns an object's version in an archive.
    pub fn version(
        &self,
        object: ObjectId,
        at: i64,
    ) -> Result<Option<IndexedVersion>, IndexReadError> {
        let sql = format!(
            "SELECT {VERSION_COLUMNS} FROM version v JOIN attr a ON a.id = v.attr
             WHERE v.object = ?1 AND v.since <= ?2 ORDER BY v.since DESC LIMIT 1"
        );
        let found = self.rows(&sql, (object.0, at), IndexedVersion::read)?;
        let mut found = found.into_iter();
        Ok(found.find(|version| version.span.has(at)))
    }

    /// Returns all versions of an object, in the order of the archives' numbers.
    pub fn versions(&self, object: ObjectId) -> Result<Vec<IndexedVersion>, IndexReadError> {
        let sql = format!(
            "SELECT {VERSION_COLUMNS} FROM version v JOIN attr a ON a.id = v.attr
             WHERE v.object = ?1 ORDER BY v.since"
        );
        self.rows(&sql, [object.0], IndexedVersion::read)
    }

    /// Returns the names of an object in an archive, byte-wise; several for a file with hard links, none for the root.
    pub fn names_at(&self, object: ObjectId, at: i64) -> Result<Vec<IndexedName>, IndexReadError> {
        self.rows(
            "SELECT parent, name, since, till, object FROM entry
             WHERE object = ?1 AND since <= ?2 AND till > ?2 ORDER BY parent, name",
            (object.0, at),
            IndexedName::read,
        )
    }

    /// Returns all names that an object ever had.
    pub fn names(&self, object: ObjectId) -> Result<Vec<IndexedName>, IndexReadError> {
        self.rows(
            "SELECT parent, name, since, till, object FROM entry WHERE object = ?1
             ORDER BY parent, name, since",
            [object.0],
            IndexedName::read,
        )
    }

    /// Returns what a directory holds in an archive, byte-wise by name.
    pub fn children(
        &self,
        parent: ObjectId,
        at: i64,
    ) -> Result<Vec<(Vec<u8>, IndexedVersion)>, IndexReadError> {
        let sql = format!(
            "SELECT {VERSION_COLUMNS}, e.name FROM entry e
             CROSS JOIN version v ON v.object = e.object AND v.since <= ?2 AND v.till > ?2
             CROSS JOIN attr a ON a.id = v.attr
             WHERE e.parent = ?1 AND e.since <= ?2 AND e.till > ?2 ORDER BY e.name"
        );
        self.rows(&sql, (parent.0, at), |row| {
            Ok((row.get("name")?, IndexedVersion::read(row)?))
        })
    }

    /// Returns the directories in a directory in an archive, byte-wise by name. There may be millions of files beside them.
    pub fn directories_in(
        &self,
        parent: ObjectId,
        at: i64,
    ) -> Result<Vec<(Vec<u8>, ObjectId)>, IndexReadError> {
        let sql = "SELECT e.name, e.object FROM entry e
             CROSS JOIN version v ON v.object = e.object AND v.since <= ?2 AND v.till > ?2
             CROSS JOIN attr a ON a.id = v.attr
             WHERE e.parent = ?1 AND e.since <= ?2 AND e.till > ?2 AND (a.mode & 0xf000) = 0x4000
             ORDER BY e.name";
        self.rows(sql, (parent.0, at), |row| {
            Ok((row.get(0)?, ObjectId(row.get(1)?)))
        })
    }

    /// Returns what the tree of a directory weighs in an archive; `None` if nothing is recorded of it.
    pub fn subtree(
        &self,
        directory: ObjectId,
        at: i64,
    ) -> Result<Option<SubtreeTotals>, IndexReadError> {
        let found = self.rows(
            "SELECT bytes, files FROM subtree WHERE object = ?1 AND since <= ?2
             ORDER BY since DESC LIMIT 1",
            (directory.0, at),
            SubtreeTotals::read,
        )?;
        Ok(found.into_iter().next())
    }

    fn rows<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, IndexReadError> {
        let all = || -> rusqlite::Result<Vec<T>> {
            let mut statement = self.connection.prepare_cached(sql)?;
            let rows = statement.query_map(params, read)?;
            rows.collect()
        };
        all().map_err(|error| IndexReadError::sql(&self.path, error))
    }
}

impl std::fmt::Debug for FileQuestions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FileQuestions")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl IndexReadError {
    fn sql(path: &Path, error: rusqlite::Error) -> Self {
        Self::Sql {
            path: path.to_owned(),
            source: IndexSqlError(Box::new(error)),
        }
    }
}
