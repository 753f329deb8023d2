//! Reads btrsend's database: a file of another program, which may be writing to it.
//!
//! The file itself is never opened by SQLite: a reader's lock would make btrsend's commit fail, a lock of btrsend's would
//! make this wait, and a file in the form of a write-ahead log can't be read without writing beside it. Instead the bytes
//! of the database and of its journal are read until two readings are the same, and SQLite opens that copy: it rolls back
//! there what was not committed.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rusqlite::config::DbConfig;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags, OptionalExtension as _, Row};

use super::error::SqlError;
use crate::model::BtrsendRow;

/// More bytes than any database of btrsend's has: a row is less than a KiB, and it makes four a month.
const LARGEST: u64 = 64 << 20;

/// How often the files are read until two readings are the same.
const READINGS: usize = 50;

/// What SQLite appends to the database's name for its journals.
const JOURNALS: [&str; 2] = ["-journal", "-wal"];

/// The table, with the kind of value that each column has. `parent` may be null.
const COLUMNS: [&str; 5] = ["id", "arn", "date", "size", "parent"];

/// Why btrsend's database can't be read.
#[derive(Debug, thiserror::Error)]
pub enum BtrsendDbError {
    /// A file can't be read, or its copy can't be written.
    #[error("cannot {doing} {}", path.display())]
    File {
        /// What was being done.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is larger than any of btrsend's.
    #[error("{} is too large to be btrsend's database: {bytes} bytes", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its bytes.
        bytes: u64,
    },
    /// It changes all the time.
    #[error("{} changed at each of {READINGS} readings", path.display())]
    Changing {
        /// The file.
        path: PathBuf,
    },
    /// It is no SQLite database, or a damaged one.
    #[error("{} is not a database that SQLite can read", path.display())]
    NoDatabase {
        /// The file.
        path: PathBuf,
        /// SQLite's words.
        source: SqlError,
    },
    /// SQLite finds it damaged.
    #[error("{} is damaged: {what}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What SQLite found.
        what: String,
    },
    /// It has another shape.
    #[error("{} is not btrsend's database: {what}", path.display())]
    OtherShape {
        /// The file.
        path: PathBuf,
        /// What is missing or different.
        what: String,
    },
}

impl BtrsendDbError {
    /// Returns what to do next.
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::File { .. } => return None,
            Self::Changing { .. } => "run it again when btrsend does not run",
            Self::TooLarge { .. } | Self::NoDatabase { .. } | Self::OtherShape { .. } => {
                "give btrsend's own file with --db: it is .btrsend.db in the home directory of the user who ran btrsend"
            }
            Self::Damaged { .. } => {
                "recover it into a new file: `sqlite3 .btrsend.db .recover | sqlite3 new.db`, and import that"
            }
        })
    }
}

/// Reads all rows of btrsend's database, by their numbers. `scratch` is a directory for a copy, which is removed.
pub fn read_btrsend_db(path: &Path, scratch: &Path) -> Result<Vec<BtrsendRow>, BtrsendDbError> {
    let files = settled(path)?;
    let copy = ScratchCopy::of(&files, scratch)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(&copy.path, flags);
    connection
        .and_then(|connection| {
            // The file is another program's: nothing in it may act.
            connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
            connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
            rows_of(&connection, path)
        })
        .map_err(|source| BtrsendDbError::NoDatabase {
            path: path.to_owned(),
            source: SqlError(source),
        })?
}

/// Reads the rows, or says what is wrong with the shape.
fn rows_of(
    connection: &Connection,
    path: &Path,
) -> rusqlite::Result<Result<Vec<BtrsendRow>, BtrsendDbError>> {
    let other = |what: String| {
        Ok(Err(BtrsendDbError::OtherShape {
            path: path.to_owned(),
            what,
        }))
    };
    let damage: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if damage != "ok" {
        return Ok(Err(BtrsendDbError::Damaged {
            path: path.to_owned(),
            what: damage,
        }));
    }
    let kind: Option<String> = connection
        .query_row(
            "SELECT type FROM sqlite_schema WHERE name = 'btrsend'",
            [],
            |row| row.get(0),
        )
        .optional()?;
    match kind.as_deref() {
        Some("table") => {}
        Some(kind) => return other(format!("`btrsend` is no table in it, but a {kind}")),
        None => return other("it has no table `btrsend`".to_owned()),
    }
    let mut statement = connection.prepare("SELECT name FROM pragma_table_xinfo('btrsend')")?;
    let columns: Vec<String> = statement
        .query_map([], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    for column in COLUMNS {
        if !columns.iter().any(|found| found == column) {
            return other(format!("its table has no column `{column}`"));
        }
    }
    let mut statement =
        connection.prepare("SELECT id, arn, date, size, parent FROM main.btrsend ORDER BY id")?;
    let mut rows = statement.query([])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        match record(row) {
            Ok(record) => found.push(record),
            Err(column) => {
                let number = match row.get_ref(0)? {
                    ValueRef::Integer(number) => number.to_string(),
                    _ => format!("at place {}", found.len() + 1),
                };
                let (column, kind) = (COLUMNS[column], row.get_ref(column)?.data_type());
                return other(format!("row {number} has a `{column}` of type {kind}"));
            }
        }
    }
    Ok(Ok(found))
}

/// Reads a row; on an error, the number of the column with a value of another type.
fn record(row: &Row<'_>) -> Result<BtrsendRow, usize> {
    let integer = |column: usize| match row.get_ref(column) {
        Ok(ValueRef::Integer(value)) => Ok(value),
        _ => Err(column),
    };
    let text = |column: usize| match row.get_ref(column) {
        Ok(ValueRef::Text(text)) => Ok(String::from_utf8_lossy(text).into_owned()),
        _ => Err(column),
    };
    Ok(BtrsendRow {
        number: integer(0)?,
        arn: text(1)?,
        date: text(2)?,
        bytes: integer(3)?,
        parent: match row.get_ref(4) {
            Ok(ValueRef::Null) => None,
            _ => Some(text(4)?),
        },
    })
}

/// The bytes of the database and of its journals; `None` for one that is not there.
type Files = [Option<Vec<u8>>; 3];

/// Reads the files until two readings are the same.
fn settled(path: &Path) -> Result<Files, BtrsendDbError> {
    let mut before = reading(path)?;
    for _ in 1..READINGS {
        let now = reading(path)?;
        if now == before {
            return Ok(now);
        }
        before = now;
    }
    Err(BtrsendDbError::Changing {
        path: path.to_owned(),
    })
}

fn reading(path: &Path) -> Result<Files, BtrsendDbError> {
    let database = bytes_of(path)?.ok_or_else(|| BtrsendDbError::File {
        doing: "read",
        path: path.to_owned(),
        source: io::ErrorKind::NotFound.into(),
    })?;
    let [journal, wal] = JOURNALS.map(|ending| bytes_of(&with_ending(path, ending)));
    Ok([Some(database), journal?, wal?])
}

fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

fn bytes_of(path: &Path) -> Result<Option<Vec<u8>>, BtrsendDbError> {
    let failed = |source| BtrsendDbError::File {
        doing: "read",
        path: path.to_owned(),
        source,
    };
    // A pipe in its place would never end.
    let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let file = match File::options().read(true).custom_flags(flags).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let found = file.metadata().map_err(failed)?;
    if !found.is_file() {
        return Err(failed(io::Error::other("it is not a regular file")));
    }
    let mut bytes = Vec::new();
    file.take(LARGEST + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if bytes.len() as u64 > LARGEST {
        return Err(BtrsendDbError::TooLarge {
            path: path.to_owned(),
            bytes: found.len(),
        });
    }
    Ok(Some(bytes))
}

/// A private copy, which is removed when this is dropped.
struct ScratchCopy {
    path: PathBuf,
}

impl ScratchCopy {
    fn of(files: &Files, scratch: &Path) -> Result<Self, BtrsendDbError> {
        let path = scratch.join(format!(".btrsend-import-{}.db", std::process::id()));
        let copy = Self { path };
        // One that a killed run left.
        copy.remove();
        for (bytes, ending) in files.iter().zip([""].iter().chain(&JOURNALS)) {
            let Some(bytes) = bytes else { continue };
            let path = with_ending(&copy.path, ending);
            let mut options = File::options();
            let file = options.write(true).create_new(true).mode(0o600).open(&path);
            file.and_then(|mut file| file.write_all(bytes))
                .map_err(|source| BtrsendDbError::File {
                    doing: "write",
                    path,
                    source,
                })?;
        }
        Ok(copy)
    }

    fn remove(&self) {
        for ending in [""].iter().chain(&JOURNALS).chain(&["-shm"]) {
            // What can't be removed holds nothing secret, and the next run tries again.
            let _ = fs::remove_file(with_ending(&self.path, ending));
        }
    }
}

impl Drop for ScratchCopy {
    fn drop(&mut self) {
        self.remove();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table as btrsend makes it.
    const TABLE: &str = "CREATE TABLE btrsend (id INTEGER PRIMARY KEY AUTOINCREMENT, arn VARCHAR(1000) NOT NULL, \
                         date DATETIME NOT NULL, size INTEGER NOT NULL, parent DATE)";

    const ROWS: &str = "INSERT INTO btrsend (arn, date, size, parent) VALUES \
                        ('AbC', '2014-01-01', 8, NULL), ('dEf', '2014-01-07', 9, '2014-01-01')";

    struct Db(tempfile::TempDir);

    impl Db {
        fn new(sql: &[&str]) -> Self {
            let db = Self(tempfile::tempdir().unwrap());
            let connection = db.open();
            for sql in sql {
                connection.execute_batch(sql).unwrap();
            }
            db
        }

        fn path(&self) -> PathBuf {
            self.0.path().join(".btrsend.db")
        }

        fn open(&self) -> Connection {
            Connection::open(self.path()).unwrap()
        }

        fn read(&self) -> Result<Vec<BtrsendRow>, BtrsendDbError> {
            let scratch = tempfile::tempdir().unwrap();
            let read = read_btrsend_db(&self.path(), scratch.path());
            assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 0);
            read
        }

        fn names(&self) -> Vec<String> {
            let names = fs::read_dir(self.0.path()).unwrap();
            let mut names: Vec<_> = names
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            names.sort();
            names
        }
    }

    fn rows() -> Vec<BtrsendRow> {
        vec![
            BtrsendRow {
                number: 1,
                arn: "AbC".to_owned(),
                date: "2014-01-01".to_owned(),
                bytes: 8,
                parent: None,
            },
            BtrsendRow {
                number: 2,
                arn: "dEf".to_owned(),
                date: "2014-01-07".to_owned(),
                bytes: 9,
                parent: Some("2014-01-01".to_owned()),
            },
        ]
    }

    #[test]
    fn all_rows_are_read_and_nothing_is_left_beside_the_file() {
        let db = Db::new(&[TABLE, ROWS]);
        let before = fs::read(db.path()).unwrap();
        assert_eq!(db.read().unwrap(), rows());
        assert_eq!(db.names(), [".btrsend.db"]);
        assert_eq!(fs::read(db.path()).unwrap(), before);
        assert_eq!(Db::new(&[TABLE]).read().unwrap(), []);
    }

    #[test]
    fn another_process_may_hold_any_lock() {
        let db = Db::new(&[TABLE, ROWS]);
        let writer = db.open();
        writer
            .execute_batch("BEGIN EXCLUSIVE; DELETE FROM btrsend")
            .unwrap();
        assert_eq!(db.read().unwrap(), rows());
        // With so small a cache, pages that are not committed are in the file.
        writer
            .execute_batch(
                "ROLLBACK; PRAGMA cache_size = 1; PRAGMA cache_spill = 1; BEGIN IMMEDIATE",
            )
            .unwrap();
        for number in 0..2000 {
            let row = format!(
                "INSERT INTO btrsend (arn, date, size) VALUES ('{number:0500}', '2015-01-01', 1)"
            );
            writer.execute_batch(&row).unwrap();
        }
        let written = fs::metadata(db.path()).unwrap().len();
        assert!(written > 100_000, "{written}");
        assert_eq!(db.read().unwrap(), rows());
        writer.execute_batch("COMMIT").unwrap();
        assert_eq!(db.read().unwrap().len(), 2002);
    }

    #[test]
    fn what_is_in_a_write_ahead_log_counts() {
        let db = Db::new(&[TABLE, "PRAGMA journal_mode = WAL"]);
        let writer = db.open();
        writer
            .execute_batch("PRAGMA wal_autocheckpoint = 0")
            .unwrap();
        writer.execute_batch(ROWS).unwrap();
        assert_eq!(db.read().unwrap(), rows());
        writer
            .execute_batch("BEGIN IMMEDIATE; DELETE FROM btrsend")
            .unwrap();
        assert_eq!(db.read().unwrap(), rows());
        drop(writer);
        // Closed, it has no log beside it, and its header still says that it may have one.
        let _ = db.open().execute_batch("SELECT * FROM btrsend");
        assert_eq!(db.read().unwrap(), rows());
    }

    #[test]
    fn another_shape_is_refused_with_what_is_different() {
        for (sql, what) in [
            (vec!["CREATE TABLE t (x)"], "it has no table `btrsend`"),
            (
                vec!["CREATE VIEW btrsend AS SELECT 1 AS id"],
                "`btrsend` is no table in it, but a view",
            ),
            (
                vec!["CREATE TABLE btrsend (id, arn, date, size)"],
                "its table has no column `parent`",
            ),
            (
                vec![
                    TABLE,
                    "INSERT INTO btrsend (arn, date, size) VALUES (x'00', '2014-01-01', 1)",
                ],
                "row 1 has a `arn` of type Blob",
            ),
            (
                vec![
                    TABLE,
                    "INSERT INTO btrsend (arn, date, size) VALUES ('a', 20140101, 1)",
                ],
                "row 1 has a `date` of type Integer",
            ),
            (
                vec![
                    TABLE,
                    "INSERT INTO btrsend (arn, date, size) VALUES ('a', '2014-01-01', 'x')",
                ],
                "row 1 has a `size` of type Text",
            ),
            (
                vec![
                    TABLE,
                    "INSERT INTO btrsend (arn, date, size, parent) VALUES ('a', '2014-01-01', 1, 1.5)",
                ],
                "row 1 has a `parent` of type Real",
            ),
            (
                vec![
                    "CREATE TABLE btrsend (id, arn, date, size, parent)",
                    "INSERT INTO btrsend VALUES ('x', 'a', '2014-01-01', 1, NULL)",
                ],
                "row at place 1 has a `id` of type Text",
            ),
        ] {
            let error = Db::new(&sql).read().unwrap_err();
            let message = error.to_string();
            assert!(
                message.ends_with(&format!("is not btrsend's database: {what}")),
                "{message}"
            );
        }
    }

    #[test]
    fn what_is_no_database_is_refused() {
        let db = Db(tempfile::tempdir().unwrap());
        let missing = db.read().unwrap_err();
        assert!(matches!(missing, BtrsendDbError::File { .. }), "{missing}");
        fs::create_dir(db.path()).unwrap();
        assert!(matches!(db.read(), Err(BtrsendDbError::File { .. })));
        fs::remove_dir(db.path()).unwrap();
        fs::write(db.path(), [b'x'; 5000]).unwrap();
        assert!(matches!(db.read(), Err(BtrsendDbError::NoDatabase { .. })));
        // SQLite takes an empty file for a new database.
        fs::write(db.path(), "").unwrap();
        assert!(matches!(db.read(), Err(BtrsendDbError::OtherShape { .. })));
        let large = File::create(db.path()).unwrap();
        large.set_len(LARGEST + 1).unwrap();
        assert!(matches!(db.read(), Err(BtrsendDbError::TooLarge { .. })));
        let whole = Db::new(&[TABLE, ROWS]);
        let mut bytes = fs::read(whole.path()).unwrap();
        let half = bytes.len() / 2;
        bytes[half..].fill(0xff);
        fs::write(db.path(), bytes).unwrap();
        let damaged = db.read();
        assert!(
            matches!(
                damaged,
                Err(BtrsendDbError::Damaged { .. } | BtrsendDbError::NoDatabase { .. })
            ),
            "{damaged:?}"
        );
    }
}
