//! The directory that a restore works in: `DIR/<source>`, which is its own and nobody else's.
//!
//! It is a subvolume, so that a receiver can be confined to it, and has a [mark](super::restore_mark), and a
//! staging directory in which archives are received. What is whole stands beside that under its date.
//! `DIR` itself may be anybody's: everything below is reached from a descriptor, and no link is followed.

use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::rc::Rc;

use crate::btrfs::{BtrfsError, HeldDirectory, MadeAs};
use crate::engine::restore_mark::{Mark, lock, remove_unfinished};
use crate::error::Error;
use crate::model::{LedgerId, SourceName};
use crate::owned::require_open;

const STAGING: &str = ".coldchain-staging";

/// A directory that a restore holds.
pub(super) struct RestorePlace {
    /// `DIR/<source>`.
    pub(super) directory: Rc<HeldDirectory>,
    /// Its mark, as it was found or made.
    pub(super) mark: Mark,
    /// Other restores are kept out while it lives.
    _lock: OwnedFd,
}

impl RestorePlace {
    /// Takes the directory of an earlier restore of that ledger, if there is one. Nothing is made.
    pub(super) fn of_earlier(
        to: &HeldDirectory,
        source: &SourceName,
        ledger: &LedgerId,
    ) -> Result<Option<Self>, Error> {
        let Some(directory) = enter(to, source)? else {
            return Ok(None);
        };
        let path = directory.path().to_owned();
        require_open(&path, &directory)?;
        // Before the mark is read: another restore may be at work on what it names.
        let held = lock(&directory, source)?;
        remove_unfinished(&directory)?;
        let Some(mark) = Mark::read(&directory)? else {
            let names = directory.names()?;
            let mode = directory.stat()?.st_mode;
            if !names.iter().all(|name| name == STAGING.as_bytes()) || mode & 0o777 != 0o700 {
                return Err(in_the_way(&path, "no restore of coldchain made it"));
            }
            // An interrupted restore made it, and came no further. A version before this one made a plain
            // directory, whose place the subvolume takes.
            if !directory.is_subvolume()? {
                to.remove(OsStr::new(source.as_str()))?;
                return Ok(None);
            }
            let mark = Mark::new(*ledger, source);
            mark.write(&directory)?;
            return Ok(Some(Self::held(directory, mark, held)));
        };
        if (&mark.ledger, &mark.source) != (ledger, source) {
            return Err(in_the_way(&path, "it holds the restore of another source"));
        }
        Ok(Some(Self::held(directory, mark, held)))
    }

    /// Makes the directory, where none is.
    pub(super) fn make(
        to: &HeldDirectory,
        source: &SourceName,
        ledger: &LedgerId,
    ) -> Result<Self, Error> {
        let name = OsStr::new(source.as_str());
        let directory = to.make(name, MadeAs::Subvolume)?;
        // If `DIR` is somebody else's, what was opened may be another by now.
        require_open(directory.path(), &directory)?;
        let held = lock(&directory, source)?;
        if !directory.names()?.is_empty() {
            return Err(in_the_way(directory.path(), "it was put there just now"));
        }
        let mark = Mark::new(*ledger, source);
        mark.write(&directory)?;
        Ok(Self::held(directory, mark, held))
    }

    fn held(directory: HeldDirectory, mark: Mark, lock: OwnedFd) -> Self {
        Self {
            directory: Rc::new(directory),
            mark,
            _lock: lock,
        }
    }

    /// Its staging directory, made if it is missing.
    pub(super) fn staging(&self) -> Result<HeldDirectory, Error> {
        let name = OsStr::new(STAGING);
        let found = match self.directory.enter(name) {
            Err(BtrfsError::NotADirectory { path }) => {
                return Err(in_the_way(&path, "it is not a directory"));
            }
            found => found?,
        };
        let staging = match found {
            Some(found) => found,
            None => self.directory.make(name, MadeAs::Directory)?,
        };
        require_open(staging.path(), &staging)?;
        Ok(staging)
    }

    /// Removes the staging directory if it is empty.
    pub(super) fn remove_staging(&self) {
        let _ = self.directory.remove(OsStr::new(STAGING));
    }
}

/// Opens `DIR/<source>`; `None` if nothing is there.
pub(super) fn enter(
    to: &HeldDirectory,
    source: &SourceName,
) -> Result<Option<HeldDirectory>, Error> {
    match to.enter(OsStr::new(source.as_str())) {
        Err(BtrfsError::NotADirectory { path }) => Err(in_the_way(&path, "it is not a directory")),
        found => Ok(found?),
    }
}

/// That something stands where the restore would go.
pub(super) fn in_the_way(path: &Path, what: &str) -> Error {
    Error::TargetInTheWay {
        path: path.to_owned(),
        what: what.to_owned(),
    }
}
