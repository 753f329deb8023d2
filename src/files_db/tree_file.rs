//! A temporary file of the files of one archive: what a replay does not hold in memory. It has no name, and ends with the
//! process.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension as _, Params, Row};

use super::error::FilesSqlError;
use crate::model::file_node::ObjectId;

/// Objects with what is known of them, names, and what both were in the send parent, where the stream has changed it. In the
/// send parent, the object 0 stands for a name that was not there.
const TABLES: &str = "
    CREATE TABLE object (id INTEGER PRIMARY KEY, facts BLOB NOT NULL, pieces BLOB NOT NULL);
    CREATE TABLE name (directory INTEGER, name BLOB, object INTEGER NOT NULL,
        PRIMARY KEY (directory, name)) WITHOUT ROWID;
    CREATE TABLE parent_name (directory INTEGER, name BLOB, object INTEGER NOT NULL,
        PRIMARY KEY (directory, name)) WITHOUT ROWID;
    CREATE TABLE parent_data (id INTEGER PRIMARY KEY, pieces BLOB NOT NULL);
";

/// How many statements stay compiled.
const STATEMENTS: usize = 32;

/// Why a temporary file of a tree can't be used.
#[derive(Debug, thiserror::Error)]
pub enum TreeFileError {
    /// It can't be made.
    #[error("could not make a temporary file for the names and pieces of files in {}", directory.display())]
    Make {
        /// Where.
        directory: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// SQLite returned an error.
    #[error("could not {doing} the temporary file for the names and pieces of files in {}", directory.display())]
    Sql {
        /// What was being done.
        doing: &'static str,
        /// Where it is.
        directory: PathBuf,
        /// The cause.
        source: FilesSqlError,
    },
    /// It does not have what was written.
    #[error("the temporary file for the names and pieces of files in {} does not have what was written", directory.display())]
    Damaged {
        /// Where it is.
        directory: PathBuf,
    },
}

impl TreeFileError {
    /// Returns whether there is no more space where it is.
    pub fn is_full(&self) -> bool {
        match self {
            Self::Make { source, .. } => matches!(
                source.kind(),
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
            ),
            Self::Sql { source, .. } => source.0.sqlite_error_code() == Some(ErrorCode::DiskFull),
            Self::Damaged { .. } => false,
        }
    }
}

/// The file. One process has it, and nobody can open it by a name.
#[derive(Debug)]
pub struct TreeFile {
    connection: Connection,
    directory: PathBuf,
}

/// An object as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredObject {
    /// What is known of it.
    pub facts: Vec<u8>,
    /// The pieces of its data.
    pub pieces: Vec<u8>,
}

/// What a name named in the send parent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameBefore {
    /// Nothing is kept of it: what it names now.
    AsNow,
    /// This; `None` if nothing.
    Was(Option<ObjectId>),
}

impl TreeFile {
    /// Makes an empty file in a directory, which is made if it is missing. `name`: a name there that nobody uses, for a
    /// moment. SQLite keeps up to `cache` bytes of the file in memory.
    pub fn make(directory: &Path, name: &str, cache: u64) -> Result<Self, TreeFileError> {
        let failed = |source| TreeFileError::Make {
            directory: directory.to_owned(),
            source,
        };
        let mut private = DirBuilder::new();
        private.mode(0o700).recursive(true);
        private.create(directory).map_err(failed)?;
        // SQLite looks for a journal by the file's name: nobody else may make one.
        let within = directory.join(name);
        private.recursive(false).create(&within).map_err(failed)?;
        let path = within.join("tree");
        let opened = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
            .map_err(failed)
            .and_then(|_| connect(&path, cache).map_err(|error| sql("open", directory, error)));
        let _ = fs::remove_file(&path);
        let _ = fs::remove_dir(&within);
        let connection = opened?;
        connection
            .execute_batch(TABLES)
            .map_err(|error| sql("begin", directory, error))?;
        Ok(Self {
            connection,
            directory: directory.to_owned(),
        })
    }

    /// Returns an object.
    pub fn object(&self, object: ObjectId) -> Result<Option<StoredObject>, TreeFileError> {
        self.one(
            "SELECT facts, pieces FROM object WHERE id = ?1",
            [object.0],
            |row| {
                Ok(StoredObject {
                    facts: row.get(0)?,
                    pieces: row.get(1)?,
                })
            },
        )
    }

    /// Returns what is known of an object, without its pieces.
    pub fn facts(&self, object: ObjectId) -> Result<Option<Vec<u8>>, TreeFileError> {
        self.one(
            "SELECT facts FROM object WHERE id = ?1",
            [object.0],
            |row| row.get(0),
        )
    }

    /// Returns what a name in a directory names.
    pub fn name(
        &self,
        directory: ObjectId,
        name: &[u8],
    ) -> Result<Option<ObjectId>, TreeFileError> {
        self.one(
            "SELECT object FROM name WHERE directory = ?1 AND name = ?2",
            (directory.0, name),
            |row| row.get(0).map(ObjectId),
        )
    }

    /// Returns the names in a directory, by their bytes, and at most so many.
    pub fn names_in(
        &self,
        directory: ObjectId,
        most: u64,
    ) -> Result<Vec<(Vec<u8>, ObjectId)>, TreeFileError> {
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let read = || -> rusqlite::Result<Vec<(Vec<u8>, ObjectId)>> {
            let mut all = self.connection.prepare_cached(
                "SELECT name, object FROM name WHERE directory = ?1 ORDER BY name LIMIT ?2",
            )?;
            let rows = all.query_map((directory.0, most), |row| {
                Ok((row.get(0)?, ObjectId(row.get(1)?)))
            })?;
            rows.collect()
        };
        read().map_err(|error| self.failed("read", error))
    }

    /// Returns what a name named in the send parent.
    pub fn parent_name(
        &self,
        directory: ObjectId,
        name: &[u8],
    ) -> Result<NameBefore, TreeFileError> {
        let found = self.one(
            "SELECT object FROM parent_name WHERE directory = ?1 AND name = ?2",
            (directory.0, name),
            |row| {
                let object: i64 = row.get(0)?;
                Ok((object != 0).then_some(ObjectId(object)))
            },
        )?;
        Ok(found.map_or(NameBefore::AsNow, NameBefore::Was))
    }

    /// Returns the pieces that a file had in the send parent, where they are kept.
    pub fn parent_data(&self, file: ObjectId) -> Result<Option<Vec<u8>>, TreeFileError> {
        self.one(
            "SELECT pieces FROM parent_data WHERE id = ?1",
            [file.0],
            |row| row.get(0),
        )
    }

    /// Forgets what was in the send parent.
    pub fn forget_parent(&mut self) -> Result<(), TreeFileError> {
        self.connection
            .execute_batch("DELETE FROM parent_name; DELETE FROM parent_data;")
            .map_err(|error| self.failed("write", error))
    }

    /// Writes many things at once. After an error, the file is of no use.
    pub fn write<E: From<TreeFileError>>(
        &mut self,
        write: impl FnOnce(&TreeFileWriter<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.run("BEGIN")?;
        write(&TreeFileWriter { file: self })?;
        Ok(self.run("COMMIT")?)
    }

    fn run(&self, sql: &str) -> Result<(), TreeFileError> {
        let run = self.connection.execute_batch(sql);
        run.map_err(|error| self.failed("write", error))
    }

    fn one<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Option<T>, TreeFileError> {
        let statement = self.connection.prepare_cached(sql);
        let found = statement.and_then(|mut it| it.query_row(params, read).optional());
        found.map_err(|error| self.failed("read", error))
    }

    fn failed(&self, doing: &'static str, error: rusqlite::Error) -> TreeFileError {
        sql(doing, &self.directory, error)
    }

    /// Returns the error that something was read which was never written.
    pub fn damaged(&self) -> TreeFileError {
        TreeFileError::Damaged {
            directory: self.directory.clone(),
        }
    }
}

/// Writes to the file.
#[derive(Debug)]
pub struct TreeFileWriter<'f> {
    file: &'f TreeFile,
}

impl TreeFileWriter<'_> {
    /// Writes an object.
    pub fn object(
        &self,
        object: ObjectId,
        facts: &[u8],
        pieces: &[u8],
    ) -> Result<(), TreeFileError> {
        self.execute(
            "INSERT OR REPLACE INTO object VALUES (?1, ?2, ?3)",
            (object.0, facts, pieces),
        )
    }

    /// Writes what a name names; with `None` it is removed.
    pub fn name(
        &self,
        directory: ObjectId,
        name: &[u8],
        object: Option<ObjectId>,
    ) -> Result<(), TreeFileError> {
        match object {
            Some(object) => self.execute(
                "INSERT OR REPLACE INTO name VALUES (?1, ?2, ?3)",
                (directory.0, name, object.0),
            ),
            None => self.execute(
                "DELETE FROM name WHERE directory = ?1 AND name = ?2",
                (directory.0, name),
            ),
        }
    }

    /// Writes what a name named in the send parent.
    pub fn parent_name(
        &self,
        directory: ObjectId,
        name: &[u8],
        object: Option<ObjectId>,
    ) -> Result<(), TreeFileError> {
        self.execute(
            "INSERT OR REPLACE INTO parent_name VALUES (?1, ?2, ?3)",
            (directory.0, name, object.map_or(0, |object| object.0)),
        )
    }

    /// Writes the pieces that a file had in the send parent.
    pub fn parent_data(&self, file: ObjectId, pieces: &[u8]) -> Result<(), TreeFileError> {
        self.execute(
            "INSERT OR REPLACE INTO parent_data VALUES (?1, ?2)",
            (file.0, pieces),
        )
    }

    fn execute(&self, sql: &str, params: impl Params) -> Result<(), TreeFileError> {
        let statement = self.file.connection.prepare_cached(sql);
        let done = statement.and_then(|mut it| it.execute(params));
        done.map(drop)
            .map_err(|error| self.file.failed("write", error))
    }
}

fn connect(path: &Path, cache: u64) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    // It ends with the process: nothing is ever read again after a failure.
    connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
    connection.pragma_update(None, "journal_mode", "OFF")?;
    connection.pragma_update(None, "synchronous", "OFF")?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    let kib = i64::try_from(cache >> 10).unwrap_or(i64::MAX);
    connection.pragma_update(None, "cache_size", -kib)?;
    Ok(connection)
}

fn sql(doing: &'static str, directory: &Path, error: rusqlite::Error) -> TreeFileError {
    TreeFileError::Sql {
        doing,
        directory: directory.to_owned(),
        source: FilesSqlError(error),
    }
}
