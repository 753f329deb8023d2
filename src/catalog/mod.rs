//! The local SQLite database: a copy of each source's ledger, and the intents of the current run.
//!
//! This is the only place that uses SQL. A call is one statement that reads or one short transaction; none is
//! held across an upload. The tables and what each column means are in `schema/`.

mod absorb;
mod advice;
mod archives;
mod attempts;
mod btrsend_db;
mod columns;
mod contents;
mod copy;
mod cut;
mod entries;
mod error;
mod imported;
mod kept_archives;
mod kept_objects;
mod lineage;
mod mirrors;
mod names;
mod operation;
mod overview;
mod places;
mod pulls;
mod rebuild;
mod replicated;
mod resume;
mod snapshots;
mod sources;
mod thaws;
mod verifications;

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode, OptionalExtension as _, Transaction};

pub use absorb::Effect;
pub use archives::{ArchiveRow, SegmentRow, SegmentState};
pub use attempts::NewAttempt;
pub use btrsend_db::{BtrsendDbError, read_btrsend_db};
pub use entries::{EntryRow, NewEntry};
pub use error::{CatalogError, Cause, SqlError};
pub use imported::{ImportedArchiveRow, ImportedRow, ImportedState};
pub use kept_archives::KeptArchiveRow;
pub use kept_objects::{KeptRow, ObjectTotals};
pub use lineage::{Link, ListedRow, WhichArchives};
pub use mirrors::{MirrorRow, MirroredRow};
pub use names::{ArchivesNamed, CatalogNames};
pub use operation::{Access, CatalogOperation, Watch};
pub use overview::{SizedRow, ThawCounts};
pub use places::{PlaceRow, PlacedRow};
pub use pulls::PullRow;
pub use rebuild::NewCatalog;
pub use replicated::ReplicatedRow;
pub use resume::Attempt;
pub use snapshots::{NewSnapshot, SnapshotRow};
pub use sources::SourceRow;
pub use thaws::{ThawRow, ThawState};
pub use verifications::VerificationRow;

use error::Doing;

/// One script per schema version, applied in order; `PRAGMA user_version` counts those applied.
const MIGRATIONS: [&str; 15] = [
    include_str!("../../schema/0001_catalog.sql"),
    include_str!("../../schema/0002_thaw.sql"),
    include_str!("../../schema/0003_resume.sql"),
    include_str!("../../schema/0004_verification.sql"),
    include_str!("../../schema/0005_snapshot_parent.sql"),
    include_str!("../../schema/0006_deletion.sql"),
    include_str!("../../schema/0007_archive_by_state.sql"),
    include_str!("../../schema/0008_compressed_data.sql"),
    include_str!("../../schema/0009_snapshots.sql"),
    include_str!("../../schema/0010_mirrors.sql"),
    include_str!("../../schema/0011_pull.sql"),
    include_str!("../../schema/0012_places.sql"),
    include_str!("../../schema/0013_imported.sql"),
    include_str!("../../schema/0014_contents.sql"),
    include_str!("../../schema/0015_replaced_contents.sql"),
];

/// How long a statement waits for another process's transaction.
const BUSY: Duration = Duration::from_secs(30);

/// The page cache, in KiB, negative as SQLite takes it. A source with 2,500 archives has 4 MiB of rows, and a status reads
/// them several times.
const CACHE_KIB: i32 = -(8 << 10);

/// How long to wait before asking for the journal again.
const TRY_AGAIN: Duration = Duration::from_millis(5);

/// An open catalog.
#[derive(Debug)]
pub struct Catalog {
    connection: Connection,
    watch: Option<Arc<dyn Watch>>,
    keeps: Keeps,
    /// The number of the copy that it is turned to; 0 for home.
    place: i64,
}

/// Whether what is written is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Keeps {
    Everything,
    /// It is a copy in memory of a catalog that can't be written to.
    Nothing,
}

impl Catalog {
    /// Opens the catalog at `path`, makes it if it is missing (mode 0600), and brings its schema
    /// up to date.
    pub fn open(path: &Path) -> Result<Self, CatalogError> {
        // SQLite would create it with the umask's mode; the journal files inherit this one.
        OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(path)
            .map_err(|source| CatalogError::File {
                path: path.to_owned(),
                source,
            })?;
        let connection = Connection::open(path).doing("open the catalog")?;
        Self::prepare(connection)
    }

    /// The version of the schema that this program knows, and that an open catalog has.
    pub const SCHEMA: usize = MIGRATIONS.len();

    /// A catalog that lives in memory, for tests and for plans without a state directory.
    pub fn in_memory() -> Result<Self, CatalogError> {
        // All migrations take ten times as long as a copy of the tables that they make.
        static EMPTY: Mutex<Option<Catalog>> = Mutex::new(None);
        let open = || Connection::open_in_memory().doing("open a catalog in memory");
        let mut made = EMPTY.lock().unwrap_or_else(PoisonError::into_inner);
        let empty = match &mut *made {
            Some(empty) => empty,
            none => none.insert(Self::prepare(open()?)?),
        };
        let mut connection = open()?;
        copy::duplicate(&empty.connection, &mut connection)?;
        drop(made);
        Self::prepare(connection)
    }

    fn prepare(connection: Connection) -> Result<Self, CatalogError> {
        connection
            .busy_timeout(BUSY)
            .doing("set the busy timeout")?;
        open_journal(&connection).doing("open the journal")?;
        // WAL with NORMAL may lose the last commits on power loss; an intent must not be lost.
        connection
            .pragma_update(None, "synchronous", "FULL")
            .doing("set synchronous")?;
        // A commit removes the archive key from the catalog: the key must not stay in a free page.
        connection
            .pragma_update(None, "secure_delete", "ON")
            .doing("switch secure deletion on")?;
        connection
            .pragma_update(None, "cache_size", CACHE_KIB)
            .doing("set the size of the cache")?;
        let mut catalog = Self {
            connection,
            watch: None,
            keeps: Keeps::Everything,
            place: places::HOME,
        };
        // While a table is made anew, others refer to one that is not there.
        catalog.refer(false)?;
        catalog.migrate()?;
        catalog.refer(true)?;
        Ok(catalog)
    }

    /// Switches foreign keys on or off.
    fn refer(&self, on: bool) -> Result<(), CatalogError> {
        self.connection
            .pragma_update(None, "foreign_keys", on)
            .doing("switch foreign keys on or off")
    }

    fn migrate(&mut self) -> Result<(), CatalogError> {
        let transaction = self
            .connection
            .transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)
            .doing("begin a migration")?;
        let version: usize = transaction
            .pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0))
            .doing("read the schema's version")?
            .try_into()
            .unwrap_or(usize::MAX);
        if version > MIGRATIONS.len() {
            return Err(CatalogError::Newer {
                found: version,
                known: MIGRATIONS.len(),
            });
        }
        for script in &MIGRATIONS[version..] {
            transaction
                .execute_batch(script)
                .doing("bring the schema up to date")?;
        }
        if version < MIGRATIONS.len() {
            require_references(&transaction)?;
            transaction
                .pragma_update(None, "user_version", MIGRATIONS.len())
                .doing("write the schema's version")?;
        }
        transaction.commit().doing("finish the migration")
    }
}

/// Fails if a row refers to one that does not exist.
fn require_references(transaction: &Transaction<'_>) -> Result<(), CatalogError> {
    let broken: Option<String> = transaction
        .query_row("PRAGMA foreign_key_check", [], |row| row.get(0))
        .optional()
        .doing("check the catalog's references")?;
    match broken {
        None => Ok(()),
        Some(table) => Err(CatalogError::Damaged(format!(
            "a row of `{table}` refers to one that does not exist"
        ))),
    }
}

/// Switches a new catalog to a write-ahead journal, which an old one has already.
///
/// SQLite does not wait here: the connection has read the file to see which journal it has, and a connection
/// that has read gets an error at once if another one is writing, since they might wait for each other. If
/// several runs make a new catalog together, all but one would fail without this loop.
fn open_journal(connection: &Connection) -> rusqlite::Result<()> {
    let until = Instant::now() + BUSY;
    loop {
        match connection.pragma_update(None, "journal_mode", "WAL") {
            Err(error)
                if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy)
                    && Instant::now() < until =>
            {
                thread::sleep(TRY_AGAIN);
            }
            done => return done,
        }
    }
}

#[cfg(test)]
mod tests;
