//! The mark of a restore's directory: whose restore it is, and which subvolumes in it were begun.
//!
//! What stands in a directory without the mark is none of coldchain's. With it, only the subvolumes that it
//! names, by name and subvolume id, are ever deleted.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use chrono::NaiveDate;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::model::{LedgerId, SourceName};

const NAME: &str = ".coldchain-restore.json";

/// The mark.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Mark {
    pub(super) ledger: LedgerId,
    pub(super) source: SourceName,
    /// The subvolume that was begun, until it stands under its date.
    pub(super) begun: Option<Begun>,
    /// What was received on the way to a later date, and goes once the next stands.
    #[serde(default)]
    pub(super) passing: Vec<Passing>,
}

/// A subvolume that was begun here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Begun {
    /// Its name: bytes, not always text, because a stream gives it.
    pub(super) name: Vec<u8>,
    /// Its subvolume id; `None` until it is known to have been made.
    pub(super) subvolume_id: Option<u64>,
}

/// A restored subvolume that is needed for the next one alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Passing {
    /// The date, which is its name.
    pub(super) date: NaiveDate,
    /// Its subvolume id.
    pub(super) subvolume_id: u64,
}

impl Mark {
    pub(super) fn new(ledger: LedgerId, source: &SourceName) -> Self {
        Self {
            ledger,
            source: source.clone(),
            begun: None,
            passing: Vec::new(),
        }
    }

    /// The mark of a directory, if it has one.
    pub(super) fn read(directory: &Path) -> Result<Option<Self>, Error> {
        let path = directory.join(NAME);
        match std::fs::read(&path) {
            Ok(text) => Ok(serde_json::from_slice(&text).ok()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::file("read", path, error)),
        }
    }

    /// Replaces the mark as a whole: a crash leaves the old or the new one.
    pub(super) fn write(&self, directory: &Path) -> Result<(), Error> {
        let path = directory.join(NAME);
        let new = directory.join(unfinished());
        let text = serde_json::to_vec(self).expect("a mark is plain data");
        let mut options = OpenOptions::new();
        let written = options
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&new)
            .and_then(|mut file| file.write_all(&text).and_then(|()| file.sync_all()))
            .and_then(|()| std::fs::rename(&new, &path))
            .and_then(|()| File::open(directory)?.sync_all());
        written.map_err(|error| Error::file("write", path, error))
    }
}

fn unfinished() -> OsString {
    format!("{NAME}.new").into()
}

/// Keeps other restores out of a directory, until the process ends.
pub(super) fn lock(directory: &Path, source: &SourceName) -> Result<File, Error> {
    let failed = |error| Error::file("lock", directory, error);
    let file = File::open(directory).map_err(failed)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(Errno::WOULDBLOCK) => Err(Error::Busy(source.clone())),
        Err(errno) => Err(failed(errno.into())),
    }
}

/// Whether a directory is private and has nothing in it but a mark that was never finished.
pub(super) fn holds_nothing(directory: &Path) -> Result<bool, Error> {
    let failed = |error| Error::file("look into", directory, error);
    let mode = std::fs::metadata(directory)
        .map_err(failed)?
        .permissions()
        .mode();
    for item in std::fs::read_dir(directory).map_err(failed)? {
        if item.map_err(failed)?.file_name() != unfinished() {
            return Ok(false);
        }
    }
    Ok(mode & 0o777 == 0o700)
}
