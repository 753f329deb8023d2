//! The directory that a restore or a mirror works in: `DIR/<source>`, which belongs to it alone.
//!
//! It is a subvolume, so that a receiver can be confined to it. It has a
//! [mark](crate::engine::receive::mark) and a staging directory in which streams are received.
//! Complete subvolumes are beside that, under their names. `DIR` itself may belong to another user:
//! everything below it is reached from a descriptor, and no link is followed.

use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use chrono::NaiveDate;

use crate::btrfs::{BtrfsError, HeldDirectory, MadeAs, ReadOnly};
use crate::engine::receive::mark::{
    APPEARS_WITHIN, Lies, Passing, PlaceMark, PlaceUse, PublishedCopy, in_the_way, lock,
    remove_unfinished,
};
use crate::error::{Error, RestoreError};
use crate::model::{LedgerId, SnapshotName, SourceName, SubvolumeIdentity, Uuid};
use crate::owned::require_open;

const STAGING: &str = ".coldchain-staging";

/// The id in the mark of a restore whose source has no ledger, or one that is not known here. The first restore that
/// knows the ledger puts its id there.
pub(in crate::engine) const UNKNOWN_LEDGER: LedgerId = LedgerId([0; 16]);

/// The directory of a restore or of a mirror, locked.
pub(in crate::engine) struct ReceivePlace {
    /// `DIR/<source>`.
    pub(in crate::engine) directory: Rc<HeldDirectory>,
    /// Its mark, as it was found or made.
    pub(in crate::engine) mark: PlaceMark,
    /// Keeps other runs out as long as it lives.
    _lock: OwnedFd,
}

impl ReceivePlace {
    /// Takes the directory of an earlier run for this id, if there is one. Makes no directory. Without an id, any will
    /// do, and one that an interrupted run left without a mark is not taken.
    pub(in crate::engine) fn of_earlier(
        to: &HeldDirectory,
        source: &SourceName,
        used_for: PlaceUse,
        id: Option<LedgerId>,
    ) -> Result<Option<Self>, Error> {
        let Some(directory) = enter(to, source)? else {
            return Ok(None);
        };
        let path = directory.path().to_owned();
        require_open(&path, &directory)?;
        // Lock before reading the mark: another run may work on the subvolumes that it names.
        let held = lock(&directory, source)?;
        remove_unfinished(&directory)?;
        let Some(mark) = PlaceMark::read(&directory, used_for)? else {
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
                return Err(in_the_way(&path, used_for.not_ours()));
            }
            // An interrupted restore made it and did nothing else. An earlier version made a plain directory,
            // which a subvolume replaces.
            if !directory.is_subvolume()? {
                to.remove(OsStr::new(source.as_str()))?;
                return Ok(None);
            }
            let Some(id) = id else {
                return Ok(None);
            };
            let mark = PlaceMark::new(used_for, id, source);
            mark.write(&directory)?;
            return Ok(Some(Self::held(directory, mark, held)));
        };
        let mut mark = mark;
        if let Some(id) = id
            && used_for == PlaceUse::Restore
            && mark.id == UNKNOWN_LEDGER
        {
            mark.id = id;
            mark.write(&directory)?;
        }
        if id.is_some_and(|id| mark.id != id) || mark.source != *source {
            return Err(in_the_way(&path, used_for.of_another()));
        }
        Ok(Some(Self::held(directory, mark, held)))
    }

    /// Makes the directory, which must not exist.
    pub(in crate::engine) fn make(
        to: &HeldDirectory,
        source: &SourceName,
        used_for: PlaceUse,
        id: LedgerId,
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
        let mark = PlaceMark::new(used_for, id, source);
        mark.write(&directory)?;
        Ok(Self::held(directory, mark, held))
    }

    fn held(directory: HeldDirectory, mark: PlaceMark, lock: OwnedFd) -> Self {
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
        let staging = match self.staging()? {
            Some(staging) => staging,
            None => self
                .directory
                .make(OsStr::new(STAGING), MadeAs::Directory)?,
        };
        staging.drop_default_acl()?;
        Ok(staging)
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
                    "an interrupted run may have begun it, but that is not certain",
                ));
            }
            drop(found);
            if let Some(date) = begun.passes {
                note_passing(&mut self.mark, &self.directory, date, identity.uuid)?;
            }
            if let Some(name) = begun.becomes {
                note_published(
                    &mut self.mark,
                    &self.directory,
                    name,
                    identity.uuid,
                    begun.of,
                )?;
            }
            directory.delete(name, identity.subvolume_id)?;
        }
        self.mark.begun = None;
        self.mark.write(&self.directory)
    }

    /// Gives what was received whole its name, durably, and returns its identity. Only one subvolume has its received
    /// uuid then.
    pub(in crate::engine) fn publish(
        &mut self,
        staging: &HeldDirectory,
        wanted: &WantedSubvolume<'_>,
    ) -> Result<SubvolumeIdentity, Error> {
        let wrong = |path: &Path, what: &str| {
            Error::Restore(RestoreError::ReceivedWrong {
                path: path.to_owned(),
                what: what.to_owned(),
            })
        };
        // Exit code 0 of receive does not mean durable: a crash now would leave every file empty.
        staging.sync()?;
        let begun = self.mark.begun.clone();
        let named = begun.filter(|begun| begun.lies == Lies::Staged);
        let nothing = "the stream named no subvolume";
        let begun = named.ok_or_else(|| wrong(staging.path(), nothing))?;
        let path = staging.join(OsStr::from_bytes(&begun.name));
        let staged = staging.subvolume(OsStr::from_bytes(&begun.name))?;
        let staged = staged.ok_or_else(|| wrong(&path, "it is gone"))?;
        let identity = staged.identity()?;
        if Some(identity.subvolume_id) != begun.subvolume_id {
            return Err(wrong(&path, "another subvolume has its name"));
        }
        if !identity.read_only {
            return Err(wrong(&path, "it is not read-only"));
        }
        if identity.received_uuid != Some(wanted.stream) {
            let what = format!("its received uuid is not {}", wanted.stream);
            return Err(wrong(&path, &what));
        }
        let is_built_on_it = match wanted.built_on {
            BuiltOn::Nothing => true,
            BuiltOn::Subvolume(uuid) => identity.parent_uuid == Some(uuid),
            BuiltOn::Unknown => false,
        };
        if !is_built_on_it {
            return Err(wrong(&path, "btrfs receive built it on another subvolume"));
        }
        self.directory
            .snapshot(&staged, wanted.name, ReadOnly::Yes)
            .map_err(|error| match error {
                BtrfsError::Exists { path } => {
                    in_the_way(&path, "it is not the subvolume that was received there")
                }
                other => other.into(),
            })?;
        drop(staged);
        let path = self.directory.join(wanted.name);
        let published = self.directory.subvolume(wanted.name)?;
        let published = published.ok_or_else(|| wrong(&path, "it is gone"))?;
        let found = published.identity()?;
        let is_whole = found.read_only && found.received_uuid == Some(wanted.stream);
        if !is_whole || found.parent_uuid != Some(identity.uuid) {
            return Err(wrong(&path, "it is not a snapshot of what was received"));
        }
        // `btrfs receive` accepts any subvolume with the right received uuid as the send parent, so only one
        // may have it.
        self.remove_begun()?;
        Ok(found)
    }

    /// Checks that the path still leads to this directory, and not to one that another user has put there.
    pub(in crate::engine) fn stands_in(&self, to: &HeldDirectory) -> Result<(), Error> {
        let name = self.directory.path().file_name().unwrap_or_default();
        let there = to.enter(name).ok().flatten();
        if there.is_some_and(|there| there.is(&self.directory).unwrap_or(false)) {
            return Ok(());
        }
        let what = "what was restored was moved away, and something else or nothing is there now";
        Err(in_the_way(self.directory.path(), what))
    }

    /// Makes a writable snapshot of the restored subvolume `of`, unless it exists, and returns its path.
    pub(in crate::engine) fn make_writable(
        &self,
        name: &OsStr,
        of: &OsStr,
    ) -> Result<PathBuf, Error> {
        let path = self.directory.join(of);
        let restored = self.directory.subvolume(of)?;
        let restored = restored.ok_or(BtrfsError::Missing { path })?;
        if !self.directory.holds(name)? {
            self.directory.snapshot(&restored, name, ReadOnly::No)?;
        }
        self.refuse_writable(name, Some(restored.identity()?.uuid))?;
        Ok(self.directory.join(name))
    }

    /// Refuses a name that exists, unless it is a writable snapshot of the subvolume with this uuid.
    pub(in crate::engine) fn refuse_writable(
        &self,
        name: &OsStr,
        restored: Option<Uuid>,
    ) -> Result<(), Error> {
        if !self.directory.holds(name)? {
            return Ok(());
        }
        let found = self.directory.subvolume(name).ok().flatten();
        let found = found.and_then(|found| found.identity().ok());
        let is_its = |it: &SubvolumeIdentity| {
            !it.read_only && restored.is_some() && it.parent_uuid == restored
        };
        if found.as_ref().is_some_and(is_its) {
            return Ok(());
        }
        Err(in_the_way(
            &self.directory.join(name),
            "the writable snapshot needs that name",
        ))
    }

    /// Removes the staging directory if it is empty.
    pub(in crate::engine) fn remove_staging(&self) {
        let _ = self.directory.remove(OsStr::new(STAGING));
    }
}

/// What has to have been received.
pub(in crate::engine) struct WantedSubvolume<'a> {
    /// The name that it gets.
    pub(in crate::engine) name: &'a OsStr,
    /// The uuid in its stream.
    pub(in crate::engine) stream: Uuid,
    /// What it is built on.
    pub(in crate::engine) built_on: BuiltOn,
}

/// What a received subvolume has to be built on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::engine) enum BuiltOn {
    /// On nothing: the stream is a full one.
    Nothing,
    /// On the subvolume with this uuid in this place.
    Subvolume(Uuid),
    /// On one that is not there.
    Unknown,
}

/// Notes the subvolume under this date as passing, if it is a snapshot of the one with uuid `of`.
fn note_passing(
    mark: &mut PlaceMark,
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
    // Note this before the other one is deleted. Later nothing would show that coldchain made it.
    mark.write(directory)
}

/// Notes the subvolume with this name as a copy, if it is a snapshot of the one with uuid `staged`.
fn note_published(
    mark: &mut PlaceMark,
    directory: &HeldDirectory,
    name: SnapshotName,
    staged: Uuid,
    of: Option<Uuid>,
) -> Result<(), Error> {
    let Some(found) = directory.subvolume(OsStr::new(&name.to_string()))? else {
        return Ok(());
    };
    let identity = found.identity()?;
    if identity.parent_uuid == Some(staged) {
        mark.published.push(PublishedCopy {
            name,
            subvolume_id: identity.subvolume_id,
            of,
        });
        // Note this before the other one is deleted. Later nothing would show that coldchain made it.
        mark.write(directory)?;
    }
    Ok(())
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
