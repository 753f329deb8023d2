//! A directory as a store: one file for each object.
//!
//! An object is written to a temporary file beside its place, synced, and moved there by a rename that does
//! not replace. Then the directory is synced. So it appears complete and durable, or not at all. Of two
//! writers, one gets the answer that it existed.
//!
//! Below the root no symbolic link is followed: a user who may write to the store is not trusted.
//!
//! For tests of a restore it can play a cold class, into which it puts the segments.

mod atomic_rename;
mod cold;
mod directory;
mod list;
mod temporary;
mod write;

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use rustix::fs::{FileType, Stat as FileStat, fstat};

use super::copying::is_unread;
use super::error::{ErrorKind, Operation, StoreError};
use super::key::check_key;
use super::listing::DEFAULT_LISTING_BYTES;
use super::rate_limit::Paced;
use super::{
    Deleted, Finding, Listed, Locator, NewObject, Put, RateLimit, Readability, RemoteObject, Stat,
    Store, Swept, ThawAnswer, ThawRequest,
};
use crate::model::StorageClass;
use atomic_rename::{Placed, Placing, place, random_name};
use cold::{Cold, ColdLock};
use directory::{Directory, Spot, is_link, kind, split};
use temporary::{TEMPORARY, Temporary, sweep_below};

pub(super) use directory::LinkInTheWay;

const SINGLE_WRITER: &str = "this filesystem can't tell two writers apart: let only one machine at a time archive into the directory";

/// Whether the filesystem can tell two writers of one key apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exclusivity {
    /// It can, by a rename that does not replace, or by a hard link.
    ManyWriters,
    /// It has neither. Only one machine may write here at a time.
    SingleWriter,
}

/// A directory that holds objects.
#[derive(Debug)]
pub struct DirStore {
    root: PathBuf,
    url: String,
    placing: Placing,
    played: Option<Played>,
    /// Replaces the clocks of the machine and the filesystem.
    clock: Option<StoreClock>,
    limit: Option<RateLimit>,
    /// The most bytes of memory for a listing.
    listing_bytes: u64,
}

/// The class that segments are put into.
#[derive(Debug, Clone, Copy)]
struct Played {
    class: StorageClass,
    delay: Option<Duration>,
}

struct StoreClock(Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>);

impl fmt::Debug for StoreClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("StoreClock").field(&(self.0)()).finish()
    }
}

impl DirStore {
    /// Opens the store in an existing directory.
    pub fn open(root: &Path) -> Result<Self, StoreError> {
        let url = format!("file://{}", root.display());
        match fs::metadata(root) {
            Ok(metadata) if metadata.is_dir() => {}
            Ok(_) => {
                return Err(StoreError::new(
                    ErrorKind::MissingRoot,
                    Operation::Open,
                    "",
                    &url,
                ));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(StoreError::new(
                    ErrorKind::MissingRoot,
                    Operation::Open,
                    "",
                    &url,
                ));
            }
            Err(error) => return Err(StoreError::from_io(Operation::Open, "", &url, error)),
        }
        Ok(Self {
            root: root.to_owned(),
            url,
            placing: Placing::RenameNoReplace,
            played: None,
            clock: None,
            limit: None,
            listing_bytes: DEFAULT_LISTING_BYTES,
        })
    }

    /// Returns the store with a limit on its reads and writes.
    #[must_use]
    pub fn limited(self, limit: RateLimit) -> Self {
        Self {
            limit: Some(limit),
            ..self
        }
    }

    /// Returns the store with a limit on the memory of a listing, in bytes.
    #[must_use]
    pub fn listing_within(self, bytes: u64) -> Self {
        Self {
            listing_bytes: bytes,
            ..self
        }
    }

    /// Returns the store so that it puts new segments into this class. Segments keep their class, whatever
    /// the store plays later. A thaw takes `delay` in every tier, or the times of AWS if there is none.
    #[must_use]
    pub fn playing(self, class: StorageClass, delay: Option<Duration>) -> Self {
        Self {
            played: Some(Played { class, delay }),
            ..self
        }
    }

    /// Returns the store with another clock than the machine's, except for the times of the files.
    #[must_use]
    pub fn with_clock(self, clock: Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>) -> Self {
        Self {
            clock: Some(StoreClock(clock)),
            ..self
        }
    }

    /// Tests with a temporary file how the filesystem can place files, and uses the best way from now on.
    pub fn probe(&mut self) -> Result<Exclusivity, StoreError> {
        let failed = |error| StoreError::from_io(Operation::Open, "", &self.url, error);
        let root = Directory::root(&self.root).map_err(failed)?;
        let placed = format!("{TEMPORARY}placed-{}", random_name());
        let mut found = Err(io::Error::from(io::ErrorKind::Unsupported));
        for placing in [Placing::RenameNoReplace, Placing::Link] {
            // The file is locked, so that no other run sweeps it meanwhile.
            let probe = Temporary::in_directory(&root).map_err(failed)?;
            found = place(placing, &root, probe.name(), &placed).map(|_| placing);
            probe.remove(&root);
            let _ = root.remove(&placed);
            if found.is_ok() {
                break;
            }
        }
        self.placing = found.unwrap_or(Placing::Rename);
        Ok(self.exclusivity())
    }

    /// Returns whether several machines may write here.
    pub fn exclusivity(&self) -> Exclusivity {
        match self.placing {
            Placing::RenameNoReplace | Placing::Link => Exclusivity::ManyWriters,
            Placing::Rename => Exclusivity::SingleWriter,
        }
    }

    fn machine_now(&self) -> DateTime<Utc> {
        self.clock
            .as_ref()
            .map_or_else(Utc::now, |clock| (clock.0)())
    }

    /// Returns the place of an object. Its directory must exist, and is reached without a symbolic link.
    fn spot<'k>(&self, operation: Operation, key: &'k str) -> Result<Spot<'k>, StoreError> {
        check_key(operation, &self.url, key)?;
        let (above, name) = split(key);
        let directory = Directory::root(&self.root).and_then(|root| root.below(above));
        let directory = directory.map_err(|error| self.absent_or(operation, key, error))?;
        Ok(Spot { directory, name })
    }

    /// Opens an object for reading. Fails for anything but a regular file.
    fn object(
        &self,
        operation: Operation,
        key: &str,
        spot: &Spot<'_>,
    ) -> Result<(File, FileStat), StoreError> {
        let no_object = || StoreError::new(ErrorKind::NotAnObject, operation, key, &self.url);
        let opened = spot.directory.open(spot.name);
        let opened =
            opened.and_then(|file| fstat(&file).map(|stat| (file, stat)).map_err(Into::into));
        match opened {
            Ok((_, stat)) if kind(&stat) != FileType::RegularFile => Err(no_object()),
            Ok(opened) => Ok(opened),
            Err(error) if is_link(&error) => Err(no_object()),
            Err(error) => Err(self.absent_or(operation, key, error)),
        }
    }

    /// Reads the record of an object in a cold class.
    fn cold(
        &self,
        operation: Operation,
        key: &str,
        spot: &Spot<'_>,
    ) -> Result<Option<Cold>, StoreError> {
        Cold::read(&spot.directory, key)
            .map_err(|error| StoreError::from_io(operation, key, &self.url, error))
    }

    /// Opens an object to read its content. Fails if it is cold.
    fn readable(&self, locator: &Locator) -> Result<(File, u64), StoreError> {
        let key = locator.0.as_str();
        let spot = self.spot(Operation::Get, key)?;
        let (file, stat) = self.object(Operation::Get, key, &spot)?;
        let cold = self.cold(Operation::Get, key, &spot)?;
        match cold.map(|cold| cold.readability(self.machine_now())) {
            None | Some(Readability::Always | Readability::Until(..)) => Ok((file, length(&stat))),
            Some(Readability::Cold(_) | Readability::Thawing(_)) => Err(StoreError::new(
                ErrorKind::Cold,
                Operation::Get,
                key,
                &self.url,
            )),
        }
    }

    /// Converts an error. "Not found" is only an answer if the store's root exists.
    fn absent_or(&self, operation: Operation, key: &str, error: io::Error) -> StoreError {
        let error = StoreError::from_io(operation, key, &self.url, error);
        if error.is_not_found() && !self.root.is_dir() {
            return StoreError {
                kind: ErrorKind::MissingRoot,
                ..error
            };
        }
        error
    }
}

/// Returns what a listing says of a file.
fn told(stat: &FileStat, cold: Option<Cold>) -> Stat {
    Stat {
        bytes: length(stat),
        sha256: None,
        modified: modified(stat),
        class: cold.map(|cold| cold.class),
    }
}

fn length(stat: &FileStat) -> u64 {
    u64::try_from(stat.st_size).expect("no file's length is negative")
}

fn modified(stat: &FileStat) -> DateTime<Utc> {
    let nanoseconds = u32::try_from(stat.st_mtime_nsec).unwrap_or_default();
    DateTime::from_timestamp(stat.st_mtime, nanoseconds).unwrap_or_default()
}

impl Store for DirStore {
    fn url(&self) -> String {
        self.url.clone()
    }

    fn put_if_absent(&self, object: &NewObject<'_>) -> Result<Put, StoreError> {
        let key = object.key;
        check_key(Operation::Put, &self.url, key)?;
        let locator = self.locate(key);
        match self.write_and_place(object) {
            Ok(Placed::Moved | Placed::Linked) => Ok(Put::Created(locator)),
            Ok(Placed::Existed) => Ok(Put::Existed(locator)),
            Err(error) => Err(self.absent_or(Operation::Put, key, error)),
        }
    }

    fn relay(
        &self,
        from: &dyn Store,
        at: &Locator,
        object: &RemoteObject<'_>,
    ) -> Result<Option<Put>, StoreError> {
        let key = object.key;
        check_key(Operation::Put, &self.url, key)?;
        match self.relay_and_place(from, at, object) {
            Ok(Placed::Moved | Placed::Linked) => Ok(Some(Put::Created(self.locate(key)))),
            // Nothing tells its digest.
            Ok(Placed::Existed) => Ok(None),
            Err(error) if is_unread(&error) => Ok(None),
            Err(error) => Err(self.absent_or(Operation::Put, key, error)),
        }
    }

    fn locate(&self, key: &str) -> Locator {
        Locator(key.to_owned())
    }

    fn get(&self, locator: &Locator, max_bytes: u64) -> Result<Vec<u8>, StoreError> {
        let (file, len) = self.readable(locator)?;
        let too_large =
            || StoreError::new(ErrorKind::TooLarge, Operation::Get, &locator.0, &self.url);
        if len > max_bytes {
            return Err(too_large());
        }
        let mut bytes = Vec::with_capacity(usize::try_from(len).map_err(|_| too_large())?);
        // Read one byte more: the file may have grown since.
        Paced::new(file, self.limit.as_ref())
            .take(max_bytes.saturating_add(1))
            .read_to_end(&mut bytes)
            .map_err(|error| StoreError::from_io(Operation::Get, &locator.0, &self.url, error))?;
        if bytes.len() as u64 > max_bytes {
            return Err(too_large());
        }
        Ok(bytes)
    }

    fn get_range(&self, locator: &Locator, offset: u64, len: u64) -> Result<Vec<u8>, StoreError> {
        let (mut file, bytes) = self.readable(locator)?;
        if offset.checked_add(len).is_none_or(|end| end > bytes) {
            return Err(StoreError::new(
                ErrorKind::TooShort,
                Operation::Get,
                &locator.0,
                &self.url,
            ));
        }
        let mut range = vec![0; usize::try_from(len).expect("a range fits in memory")];
        let read = file
            .seek(SeekFrom::Start(offset))
            .and_then(|_| Paced::new(file, self.limit.as_ref()).read_exact(&mut range));
        read.map_err(|error| StoreError::from_io(Operation::Get, &locator.0, &self.url, error))?;
        Ok(range)
    }

    fn stat(&self, locator: &Locator) -> Result<Stat, StoreError> {
        let key = locator.0.as_str();
        let spot = self.spot(Operation::Stat, key)?;
        let (_, stat) = self.object(Operation::Stat, key, &spot)?;
        Ok(told(&stat, self.cold(Operation::Stat, key, &spot)?))
    }

    fn list(&self, prefix: &str) -> Result<Vec<Listed>, StoreError> {
        self.list_all(prefix)
    }

    fn delete(&self, locator: &Locator) -> Result<Deleted, StoreError> {
        let key = locator.0.as_str();
        let failed = |error| self.absent_or(Operation::Delete, key, error);
        let spot = match self.spot(Operation::Delete, key) {
            Err(error) if error.is_not_found() => return Ok(Deleted::Absent),
            spot => spot?,
        };
        let _lock = ColdLock::over(&spot);
        let deleted = match spot.directory.remove(spot.name) {
            Ok(()) => {
                spot.sync().map_err(failed)?;
                Deleted::Removed
            }
            Err(error) => match failed(error) {
                error if error.is_not_found() => Deleted::Absent,
                error => return Err(error),
            },
        };
        Cold::forget(&spot).map_err(failed)?;
        // The last object of an archive takes its directory with it. A directory that is not empty stays.
        if let Some((directory, _)) = key.rsplit_once('/') {
            let (above, name) = split(directory);
            let above = Directory::root(&self.root).and_then(|root| root.below(above));
            let _ = above.and_then(|above| above.remove_empty(name));
        }
        Ok(deleted)
    }

    fn readability(&self, locator: &Locator) -> Result<Readability, StoreError> {
        let key = locator.0.as_str();
        let spot = self.spot(Operation::Stat, key)?;
        self.object(Operation::Stat, key, &spot)?;
        let cold = self.cold(Operation::Stat, key, &spot)?;
        Ok(cold.map_or(Readability::Always, |cold| {
            cold.readability(self.machine_now())
        }))
    }

    fn thaw(&self, locator: &Locator, request: ThawRequest) -> Result<ThawAnswer, StoreError> {
        let key = locator.0.as_str();
        let spot = self.spot(Operation::Thaw, key)?;
        let now = self.machine_now();
        let delay = self.played.and_then(|played| played.delay);
        let _lock = ColdLock::over(&spot);
        self.object(Operation::Thaw, key, &spot)?;
        let Some(before) = self.cold(Operation::Thaw, key, &spot)? else {
            return Ok(ThawAnswer::NotCold);
        };
        let mut cold = before;
        let answer = cold.thaw(request, delay, now).map_err(|refused| {
            StoreError::new(ErrorKind::Unsupported, Operation::Thaw, key, &self.url)
                .because(refused)
        })?;
        if cold != before {
            cold.write(&spot)
                .map_err(|error| StoreError::from_io(Operation::Thaw, key, &self.url, error))?;
        }
        Ok(answer)
    }

    /// A new file has the time of the machine that keeps the files. On a network filesystem that is another
    /// machine.
    fn now(&self) -> Result<DateTime<Utc>, StoreError> {
        if let Some(clock) = &self.clock {
            return Ok((clock.0)());
        }
        let failed = |error| self.absent_or(Operation::Clock, "", error);
        let root = Directory::root(&self.root).map_err(failed)?;
        let temporary = Temporary::in_directory(&root).map_err(failed)?;
        let made = root.stat(temporary.name());
        temporary.remove(&root);
        Ok(modified(&made.map_err(failed)?))
    }

    fn guessed_now(&self) -> Result<DateTime<Utc>, StoreError> {
        Ok(self.machine_now())
    }

    fn sweep(&self, prefix: &str) -> Result<Swept, StoreError> {
        sweep_below(&self.root, &self.url, prefix)
    }

    fn remarks(&self) -> Vec<String> {
        match self.exclusivity() {
            Exclusivity::ManyWriters => Vec::new(),
            Exclusivity::SingleWriter => vec![SINGLE_WRITER.to_owned()],
        }
    }

    fn examine(&self) -> Result<Vec<Finding>, StoreError> {
        Ok(Vec::new())
    }
}

#[cfg(test)]
mod tests;
