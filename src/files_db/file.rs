//! Opening the file of an index, and making it anew.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior};

use super::error::{FilesDbError, WhileDoing as _};
use crate::model::LedgerId;

const SCHEMA: &str = include_str!("../../schema/files/0001_files.sql");

/// The schema's version. An index with another one is made anew.
const VERSION: i64 = 1;

/// How long to wait for another process that is loading archives.
const BUSY: Duration = Duration::from_mins(10);

/// How long to wait before asking for the lock again.
const ASK_AGAIN: Duration = Duration::from_millis(20);

/// How long SQLite waits for a reader.
const READERS: Duration = Duration::from_secs(30);

/// What SQLite keeps of the file in memory: 32 MiB, in its own unit.
const CACHE_KIB: i64 = -(32 << 10);

/// How many statements stay compiled.
const STATEMENTS: usize = 64;

/// The file index of one ledger, open for writing. Only one process at a time has it so.
#[derive(Debug)]
pub struct FilesDb {
    pub(super) connection: Connection,
    pub(super) path: PathBuf,
    /// Released last: fields are dropped in order.
    _lock: File,
}

impl FilesDb {
    /// Opens the index at `path`, and makes it if it is missing (mode 0600). An index that is damaged, of another ledger or
    /// of another version is replaced by an empty one.
    pub fn open(path: &Path, ledger: &LedgerId) -> Result<Self, FilesDbError> {
        Self::open_within(BUSY, path, ledger)
    }

    /// Does the same, but does not wait for another process that has it.
    pub fn open_at_once(path: &Path, ledger: &LedgerId) -> Result<Self, FilesDbError> {
        Self::open_within(Duration::ZERO, path, ledger)
    }

    fn open_within(
        patience: Duration,
        path: &Path,
        ledger: &LedgerId,
    ) -> Result<Self, FilesDbError> {
        if let Some(directory) = path.parent() {
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(directory)
                .map_err(|source| file_error("create", directory, source))?;
        }
        // SQLite deletes the journal of a database by its name. So an index that another process has open must stay.
        let lock = lock(path, patience)?;
        remove_asides(path);
        let opened = match connect(path, ledger) {
            Ok(Some(connection)) => Ok(connection),
            Ok(None) => {
                remove_files(path)?;
                connect(path, ledger)?.ok_or(FilesDbError::Damaged("it is not what was written"))
            }
            Err(error) if error.is_damage() => {
                remove_files(path)?;
                connect(path, ledger)?.ok_or(FilesDbError::Damaged("it is not what was written"))
            }
            Err(error) => Err(error),
        };
        Ok(Self {
            connection: opened?,
            path: path.to_owned(),
            _lock: lock,
        })
    }

    /// Removes the index of a ledger, if there is one.
    pub fn remove(path: &Path) -> Result<(), FilesDbError> {
        if !path.parent().is_some_and(Path::exists) {
            return Ok(());
        }
        let _lock = lock(path, BUSY)?;
        remove_asides(path);
        remove_files(path)
    }

    /// Puts an index that was made beside this one in its place. Questions that are being answered go on with the old one.
    pub fn replace(path: &Path, made: &Path, ledger: &LedgerId) -> Result<(), FilesDbError> {
        let new = Self::open_at_once(made, ledger)?;
        // What is in its journal would be lost by the new name.
        let doing = "finish the new index";
        let is_busy: bool = new
            .connection
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))
            .while_doing(doing)?;
        if is_busy {
            return Err(FilesDbError::Busy(made.to_owned()));
        }
        let _lock = lock(path, BUSY)?;
        remove_asides(path);
        let Self {
            connection,
            path: _,
            _lock: _made_lock,
        } = new;
        drop(connection);
        remove_files(path)?;
        fs::rename(made, path).map_err(|source| file_error("rename", made, source))
    }

    /// Returns the path of its file.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Opens the database; `None` if it is of another ledger or version.
fn connect(path: &Path, ledger: &LedgerId) -> Result<Option<Connection>, FilesDbError> {
    // The journal files inherit its mode.
    make_private(path)?;
    let mut connection = Connection::open(path).while_doing("open the file")?;
    prepare(&connection).while_doing("set the options of the database")?;
    let transaction = connection
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .while_doing("begin to look at the tables")?;
    let doing = "read the version of the tables";
    let version: i64 = transaction
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .while_doing(doing)?;
    let tables: i64 = transaction
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .while_doing(doing)?;
    if version == 0 && tables == 0 {
        let doing = "make the tables";
        transaction.execute_batch(SCHEMA).while_doing(doing)?;
        transaction
            .execute(
                "INSERT INTO meta (ledger) VALUES (?1)",
                [ledger.to_string()],
            )
            .while_doing(doing)?;
        transaction
            .pragma_update(None, "user_version", VERSION)
            .while_doing(doing)?;
    } else if version != VERSION {
        return Ok(None);
    } else {
        let of: Option<String> = transaction
            .query_row("SELECT ledger FROM meta", [], |row| row.get(0))
            .optional()
            .while_doing("read whose index it is")?;
        if of != Some(ledger.to_string()) {
            return Ok(None);
        }
    }
    transaction.commit().while_doing("finish the tables")?;
    Ok(Some(connection))
}

fn prepare(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(READERS)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    // Without this, a plan may depend on the values of parameters, and SQLite compiles many statements again for each new value:
    // two joined tables or an interval are enough. That took most of the time of an incremental.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    // Readers see the state before until a transaction is committed, and a kill at any time leaves that state. After a loss
    // of power the last archives may be missing: they are indexed again.
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    connection.pragma_update(None, "cache_size", CACHE_KIB)?;
    // No names in files of the system's directory for temporary files.
    connection.pragma_update(None, "temp_store", "MEMORY")
}

fn lock(path: &Path, patience: Duration) -> Result<File, FilesDbError> {
    let path = path.with_extension("lock");
    let file = make_private(&path)?;
    let until = Instant::now() + patience;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if Instant::now() < until => thread::sleep(ASK_AGAIN),
            Err(TryLockError::WouldBlock) => return Err(FilesDbError::Busy(path)),
            Err(TryLockError::Error(source)) => return Err(file_error("lock", &path, source)),
        }
    }
}

/// Removes the database and its journals. The database goes first: SQLite removes journals that are beside an empty one.
fn remove_files(path: &Path) -> Result<(), FilesDbError> {
    for end in ["", "-wal", "-shm", "-journal"] {
        let mut name = path.as_os_str().to_owned();
        name.push(end);
        match fs::remove_file(&name) {
            Err(source) if source.kind() != ErrorKind::NotFound => {
                return Err(file_error("remove", Path::new(&name), source));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Makes a file that its owner alone can read, unless it is there: SQLite would use the umask's mode.
pub(super) fn make_private(path: &Path) -> Result<File, FilesDbError> {
    OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(path)
        .map_err(|source| file_error("open", path, source))
}

/// Returns the name of the file for trees that are built aside.
pub(super) fn aside(path: &Path) -> PathBuf {
    path.with_extension("aside")
}

/// Removes what a killed run left beside the index. Nothing uses it.
fn remove_asides(path: &Path) {
    let _ = fs::remove_file(aside(path));
}

pub(super) fn file_error(doing: &'static str, path: &Path, source: std::io::Error) -> FilesDbError {
    FilesDbError::File {
        doing,
        path: path.to_owned(),
        source,
    }
}
