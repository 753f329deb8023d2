//! A catalog that can't be written to, because its filesystem is read-only or full: it is read into memory.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::backup::Backup;
use rusqlite::{Connection, OpenFlags};

use super::error::Doing;
use super::{BUSY, Catalog, CatalogError, Keeps};

/// Pages that are copied at a time.
const PAGES: i32 = 4096;

impl Catalog {
    /// Opens an existing catalog for a command that only reads. If the file can't be written to, it is copied
    /// into memory: the copy accepts all that the command writes, and keeps none of it.
    pub fn open_to_read(path: &Path) -> Result<Self, CatalogError> {
        match Self::open(path) {
            Err(error) if error.is_unwritable() => Self::copy_of(path).map_err(|_| error),
            opened => opened,
        }
    }

    /// Whether it is a copy in memory, which keeps nothing of what is written.
    pub fn is_copy(&self) -> bool {
        self.keeps == Keeps::Nothing
    }

    fn copy_of(path: &Path) -> Result<Self, CatalogError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
        let read_only = Connection::open_with_flags(uri(path), flags).doing("open the catalog")?;
        read_only.busy_timeout(BUSY).doing("set the busy timeout")?;
        let mut copy = Connection::open_in_memory().doing("open a catalog in memory")?;
        duplicate(&read_only, &mut copy)?;
        let mut catalog = Self::prepare(copy)?;
        catalog.keeps = Keeps::Nothing;
        Ok(catalog)
    }
}

/// Copies all of a catalog into one in memory.
pub(super) fn duplicate(from: &Connection, to: &mut Connection) -> Result<(), CatalogError> {
    Backup::new(from, to)
        .and_then(|backup| backup.run_to_completion(PAGES, Duration::ZERO, None))
        .doing("copy the catalog into memory")
}

/// The file's address for SQLite.
pub(super) fn uri(path: &Path) -> String {
    let mut uri = "file:".to_owned();
    for byte in path.as_os_str().as_encoded_bytes() {
        if byte.is_ascii_alphanumeric() || b"/._-".contains(byte) {
            uri.push(char::from(*byte));
        } else {
            write!(uri, "%{byte:02X}").expect("a string takes it");
        }
    }
    uri.push_str("?mode=ro");
    // Without a journal the file is complete, and `immutable` lets SQLite read it without making one.
    if !journal(path).exists() {
        uri.push_str("&immutable=1");
    }
    uri
}

fn journal(path: &Path) -> PathBuf {
    let mut journal = OsString::from(path);
    journal.push("-wal");
    journal.into()
}
