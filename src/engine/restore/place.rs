//! The directory that a restore works in: `DIR/<source>`, which belongs to it alone.
//!
//! It is a subvolume, so that a receiver can be confined to it. It has a
//! [mark](crate::engine::restore::progress_file) and a staging directory in which archives are received.
//! Complete subvolumes are beside that, under their dates. `DIR` itself may belong to another user:
//! everything below it is reached from a descriptor, and no link is followed.

use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::rc::Rc;

use chrono::NaiveDate;

use crate::btrfs::{BtrfsError, HeldDirectory, MadeAs};
use crate::engine::restore::progress_file::{
    APPEARS_WITHIN, Lies, Passing, RestoreState, in_the_way, lock, remove_unfinished,
};
use crate::error::Error;
use crate::model::{LedgerId, SourceName, Uuid};
use crate::owned::require_open;

const STAGING: &str = ".coldchain-staging";

/// A restore's directory, locked.
pub(in crate::engine) struct RestorePlace {
    /// `DIR/<source>`.
    pub(in crate::engine) directory: Rc<HeldDirectory>,
    /// Its mark, as it was found or made.
    pub(in crate::engine) mark: RestoreState,
    /// Keeps other restores out as long as it lives.
    _lock: OwnedFd,
}

impl RestorePlace {
    /// Takes the directory of an earlier restore of this ledger, if there is one. Makes no directory.
    pub(in crate::engine) fn of_earlier(
        to: &HeldDirectory,
        source: &SourceName,
        ledger: &LedgerId,
    ) -> Result<Option<Self>, Error> {
        let Some(directory) = enter(to, source)? else {
            return Ok(None);
        };
        let path = directory.path().to_owned();
        require_open(&path, &directory)?;
        // Lock before reading the mark: another restore may work on the subvolumes that it names.
        let held = lock(&directory, source)?;
        remove_unfinished(&directory)?;
        let Some(mark) = RestoreState::read(&directory)? else {
            let names = directory.names()?;
            let mode = directory.stat()?.st_mode;
            // Until it is protected, a subvolume has the mode that the umask gives.
            let is_new = names.is_empty() && directory.is_subvolume()?;
            if is_new {
                directory.protect()?;
            }
            let is_bare = directory
                .names()?
                .iter()
                .all(|name| name == STAGING.as_bytes());
            if !is_bare || (mode & 0o777 != 0o700 && !is_new) {
                return Err(in_the_way(&path, "no restore of coldchain made it"));
            }
            // An interrupted restore made it and did nothing else. An earlier version made a plain directory,
            // which a subvolume replaces.
            if !directory.is_subvolume()? {
                to.remove(OsStr::new(source.as_str()))?;
                return Ok(None);
            }
            let mark = RestoreState::new(*ledger, source);
            mark.write(&directory)?;
            return Ok(Some(Self::held(directory, mark, held)));
        };
        if (&mark.ledger, &mark.source) != (ledger, source) {
            return Err(in_the_way(&path, "it holds the restore of another source"));
        }
        Ok(Some(Self::held(directory, mark, held)))
    }

    /// Makes the directory, which must not exist.
    pub(in crate::engine) fn make(
        to: &HeldDirectory,
        source: &SourceName,
        ledger: &LedgerId,
    ) -> Result<Self, Error> {
        let name = OsStr::new(source.as_str());
        let directory = to.make(name, MadeAs::Subvolume)?;
        // If `DIR` belongs to another user, the opened directory may be a different one by now.
        require_open(directory.path(), &directory)?;
        let held = lock(&directory, source)?;
        if !directory.names()?.is_empty() {
            return Err(in_the_way(
                directory.path(),
                "something else was put into it just now",
            ));
        }
        let mark = RestoreState::new(*ledger, source);
        mark.write(&directory)?;
        Ok(Self::held(directory, mark, held))
    }

    fn held(directory: HeldDirectory, mark: RestoreState, lock: OwnedFd) -> Self {
        Self {
            directory: Rc::new(directory),
            mark,
            _lock: lock,
        }
    }

    /// Opens the staging directory, if it exists.
    pub(in crate::engine) fn staging(&self) -> Result<Option<HeldDirectory>, Error> {
        let staging = match self.directory.enter(OsStr::new(STAGING)) {
            Err(BtrfsError::NotADirectory { path }) => {
                return Err(in_the_way(&path, "it is not a directory"));
            }
            found => found?,
        };
        if let Some(staging) = &staging {
            require_open(staging.path(), staging)?;
        }
        Ok(staging)
    }

    /// Opens the staging directory, and makes it if it is missing.
    pub(in crate::engine) fn make_staging(&self) -> Result<HeldDirectory, Error> {
        match self.staging()? {
            Some(staging) => Ok(staging),
            None => Ok(self
                .directory
                .make(OsStr::new(STAGING), MadeAs::Directory)?),
        }
    }

    /// Deletes the subvolume that was begun, and no other. If it was complete, its snapshot has the date by
    /// now.
    pub(in crate::engine) fn remove_begun(&mut self) -> Result<(), Error> {
        let Some(begun) = self.mark.begun.clone() else {
            return Ok(());
        };
        let staging = match begun.lies {
            Lies::AmongDates => None,
            Lies::Staged => Some(self.staging()?),
        };
        let lies_in = match &staging {
            None => Some(&*self.directory),
            Some(staging) => staging.as_ref(),
        };
        let name = OsStr::from_bytes(&begun.name);
        let found = lies_in.map(|directory| directory.subvolume(name));
        if let (Some(directory), Some(found)) = (lies_in, found.transpose()?.flatten()) {
            let identity = found.identity()?;
            // If the id is missing, the run died between making the subvolume and noting its id.
            let ours = match (begun.subvolume_id, begun.told) {
                (Some(id), _) => id == identity.subvolume_id,
                (None, Some(told)) => told.made(&identity, found.made_at()?, APPEARS_WITHIN),
                (None, None) => false,
            };
            if !ours {
                return Err(in_the_way(
                    found.path(),
                    "an interrupted restore may have begun it, but that is not certain",
                ));
            }
            drop(found);
            if let Some(date) = begun.passes {
                note_passing(&mut self.mark, &self.directory, date, identity.uuid)?;
            }
            directory.delete(name, identity.subvolume_id)?;
        }
        self.mark.begun = None;
        self.mark.write(&self.directory)
    }

    /// Removes the staging directory if it is empty.
    pub(in crate::engine) fn remove_staging(&self) {
        let _ = self.directory.remove(OsStr::new(STAGING));
    }
}

/// Notes the subvolume under this date as passing, if it is a snapshot of the one with uuid `of`.
fn note_passing(
    mark: &mut RestoreState,
    directory: &HeldDirectory,
    date: NaiveDate,
    of: Uuid,
) -> Result<(), Error> {
    let Some(found) = directory.subvolume(OsStr::new(&date.to_string()))? else {
        return Ok(());
    };
    let identity = found.identity()?;
    if identity.parent_uuid != Some(of) {
        return Ok(());
    }
    let passing = Passing {
        date,
        subvolume_id: identity.subvolume_id,
    };
    mark.passing.retain(|noted| *noted != passing);
    mark.passing.push(passing);
    // Note this before the other one is deleted. Later nothing would show that this restore made it.
    mark.write(directory)
}

/// Opens `DIR/<source>`; `None` if it does not exist.
pub(in crate::engine) fn enter(
    to: &HeldDirectory,
    source: &SourceName,
) -> Result<Option<HeldDirectory>, Error> {
    match to.enter(OsStr::new(source.as_str())) {
        Err(BtrfsError::NotADirectory { path }) => Err(in_the_way(&path, "it is not a directory")),
        found => Ok(found?),
    }
}
