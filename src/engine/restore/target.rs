//! The target of a restore: a directory of its own, and one subvolume after the other in it.
//!
//! An archive is received in the staging directory and checked. A read-only snapshot gives it its date (a
//! read-only subvolume can't be moved to another directory), and the staged one is deleted. The mark names
//! the subvolumes that were begun, by name and subvolume id. Only those are ever deleted.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use crate::btrfs::{
    self, BtrfsError, Confinement, HeldDirectory, Holds, Receiver, StreamSummary, Tools,
};
use crate::catalog::{ArchiveRow, SourceRow};
use crate::config::Source;
use crate::engine::receive::mark::{Lies, Passing, PlaceMark, PlaceUse, in_the_way};
use crate::engine::receive::place::{BuiltOn, ReceivePlace, WantedSubvolume, enter};
use crate::engine::receive::receiving::{Parent, Receiving};
use crate::error::{Error, RestoreError};
use crate::model::entry::ArchiveEntry;
use crate::model::{ArchiveId, LedgerId, SourceName, SubvolumeIdentity, Uuid};

/// The text for something that is in an archive's place and is not that archive.
const NOT_RESTORED: &str = "it is not the subvolume that was restored there";

/// A restore's directory.
pub(in crate::engine) struct Target<'a> {
    tools: &'a Tools,
    /// `DIR`.
    to: HeldDirectory,
    place: ReceivePlace,
    staging: Rc<HeldDirectory>,
    /// The newest restored subvolume of the chain. The next archive is received on it.
    newest: Option<RestoredSubvolume>,
    /// Whether it may hold fifos or setuid files.
    holds: Holds,
    /// Warnings to give before anything is fetched.
    pub(in crate::engine) warnings: Vec<String>,
}

/// A restored subvolume.
#[derive(Debug, Clone)]
struct RestoredSubvolume {
    /// Its name.
    date: OsString,
    /// The uuid in its send stream.
    stream: Uuid,
    /// Its own uuid in this place.
    local: Uuid,
}

/// What to do with a subvolume when the next one is complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Afterwards {
    /// Keep it.
    Stays,
    /// Delete it: only the next one needed it.
    Goes,
}

/// Refuses a directory into which the source can't be restored, before the user is asked anything. Does not
/// change it.
pub fn require_target(to: &Path, source: &Source) -> Result<(), Error> {
    btrfs::require_root()?;
    if !to.is_dir() {
        return Err(RestoreError::NoTarget(to.to_owned()).into());
    }
    let held = HeldDirectory::open(to)?;
    held.fitness()?;
    let live = source.live.as_ref();
    // Without the source's subvolume, the target can't be in it.
    let live = live.and_then(|live| btrfs::identity(&live.subvolume).ok());
    match live {
        Some(live) if live.uuid == held.identity()?.uuid => Err(RestoreError::TargetInSource {
            path: to.to_owned(),
            source_name: source.name.clone(),
        }
        .into()),
        _ => Ok(()),
    }
}

impl<'a> Target<'a> {
    /// Checks everything that could be in the way, and only then makes the directory.
    pub(in crate::engine) fn prepare(
        tools: &'a Tools,
        to: &Path,
        source: &SourceName,
        ledger: &LedgerId,
        entries: &[ArchiveEntry],
        writable: Option<&str>,
    ) -> Result<Self, Error> {
        if !to.is_dir() {
            return Err(RestoreError::NoTarget(to.to_owned()).into());
        }
        let held = HeldDirectory::open(to)?;
        Confinement::try_in(tools, &held)?;
        let mut warnings = held.fitness()?;
        let earlier = ReceivePlace::of_earlier(&held, source, PlaceUse::Restore, Some(*ledger))?;
        let mut ours = Vec::new();
        if let Some(place) = &earlier {
            let begun = place.mark.begun.as_ref();
            for entry in entries {
                let is_begun = begun.is_some_and(|begun| {
                    begun.lies == Lies::AmongDates && begun.name == dated(entry).as_bytes()
                });
                if !is_begun && let Some(identity) = whole(&place.directory, entry)? {
                    ours.push(identity.subvolume_id);
                }
            }
            ours.extend(begun.and_then(|begun| begun.subvolume_id));
        }
        let uuids: Vec<Uuid> = entries.iter().map(|entry| entry.stream_uuid).collect();
        for foreign in btrfs::snapshots::received_from(tools, to, &uuids)? {
            if !ours.contains(&foreign.subvolume_id) {
                let archive = entries
                    .iter()
                    .find(|entry| entry.stream_uuid == foreign.received_uuid)
                    .expect("only these were asked for");
                return Err(RestoreError::ReceivedElsewhere {
                    path: foreign.path,
                    stream: archive.id.into(),
                    mirror: None,
                }
                .into());
            }
        }
        if let (Some(place), Some(name), Some(wanted)) = (&earlier, writable, entries.last()) {
            let restored = place.directory.subvolume(&dated(wanted)).ok().flatten();
            let restored = restored.and_then(|restored| restored.identity().ok());
            let restored = restored.filter(|restored| is_whole(restored, wanted));
            place.refuse_writable(OsStr::new(name), restored.map(|it| it.uuid))?;
        }
        let mut place = match earlier {
            Some(place) => place,
            None => ReceivePlace::make(&held, source, PlaceUse::Restore, *ledger)?,
        };
        place.remove_begun()?;
        if let Some(algorithm) = place.directory.drop_compression()? {
            warnings.push(format!(
                "{} lies in a subvolume with the compression property `{algorithm}`: what is restored does not inherit it, \
                 so that its files have the attributes that were archived; to compress them, mount that filesystem with \
                 the option `compress`",
                to.display()
            ));
        }
        Ok(Self {
            warnings,
            tools,
            to: held,
            staging: Rc::new(place.make_staging()?),
            place,
            newest: None,
            holds: Holds::default(),
        })
    }

    /// Returns the path of the directory with the restored subvolumes.
    pub(in crate::engine) fn directory(&self) -> &Path {
        self.place.directory.path()
    }

    /// Returns how many archives of a chain, counted from its full, are already restored: the newest restored
    /// one includes all earlier ones.
    pub(in crate::engine) fn standing(&mut self, chain: &[ArchiveEntry]) -> Result<usize, Error> {
        for (at, entry) in chain.iter().enumerate().rev() {
            if let Some(identity) = whole(&self.place.directory, entry)? {
                self.newest = Some(RestoredSubvolume::of(entry, &identity));
                // It has not been searched yet.
                self.holds = Holds {
                    fifos: true,
                    privileged: true,
                };
                return Ok(at + 1);
            }
        }
        Ok(0)
    }

    /// Begins to receive an archive on the newest restored subvolume.
    pub(in crate::engine) fn begin(
        &mut self,
        entry: &ArchiveEntry,
        afterwards: Afterwards,
    ) -> Result<Receiving, Error> {
        if !self.staging.names()?.is_empty() {
            let what = "something was put there that is not coldchain's";
            return Err(in_the_way(self.staging.path(), what));
        }
        let parent = match (&self.newest, entry.send_parent_uuid) {
            (Some(newest), Some(_)) => Some(Parent {
                uuid: newest.local,
                subvolume: self.subvolume(&newest.date)?,
                holds: self.holds,
            }),
            _ => None,
        };
        let confinement = Confinement::to(&self.staging, &self.place.directory)?;
        let receiver = Receiver::spawn(self.tools, confinement)?;
        let passes = (afterwards == Afterwards::Goes).then_some(entry.date);
        Receiving::new(
            receiver,
            &self.place,
            &self.staging,
            entry.id.into(),
            passes,
            parent,
        )
    }

    fn subvolume(&self, name: &OsStr) -> Result<HeldDirectory, Error> {
        let found = self.place.directory.subvolume(name)?;
        let path = self.place.directory.join(name);
        Ok(found.ok_or(BtrfsError::Missing { path })?)
    }

    /// Ends receiving. On success the subvolume is durable, checked, and has its date. On failure the begun
    /// one is deleted.
    pub(in crate::engine) fn land(
        &mut self,
        receiving: Receiving,
        entry: &ArchiveEntry,
        fed: Result<StreamSummary, Error>,
    ) -> Result<(), Error> {
        let made = fed.as_ref().map(|summary| summary.makes).ok();
        let parent = receiving.parent_holds();
        let received = receiving.end(fed.map(drop), &mut self.place.mark);
        let stands = received.and_then(|()| self.publish(entry));
        self.holds = parent | made.unwrap_or_default();
        if let Err(error) = stands {
            // The first error counts. If this removal fails, the next run does it.
            let _ = self.place.remove_begun();
            return Err(error);
        }
        Ok(())
    }

    fn publish(&mut self, entry: &ArchiveEntry) -> Result<(), Error> {
        let newest = self.newest.as_ref();
        let built_on = match entry.send_parent_uuid {
            None => BuiltOn::Nothing,
            Some(parent) => match newest.filter(|newest| newest.stream == parent) {
                Some(newest) => BuiltOn::Subvolume(newest.local),
                None => BuiltOn::Unknown,
            },
        };
        let wanted = WantedSubvolume {
            name: &dated(entry),
            stream: entry.stream_uuid,
            built_on,
        };
        let published = self.place.publish(&self.staging, &wanted)?;
        self.newest = Some(RestoredSubvolume::of(entry, &published));
        Ok(())
    }

    /// Deletes the subvolumes of dates before `stands`, which includes all of them.
    pub(in crate::engine) fn delete_passed(&mut self, stands: &ArchiveEntry) -> Result<(), Error> {
        let passed = |passing: &&Passing| passing.date < stands.date;
        while let Some(gone) = self.place.mark.passing.iter().find(passed).copied() {
            let name = OsString::from(gone.date.to_string());
            if self.place.directory.holds(&name)? {
                self.place.directory.delete(&name, gone.subvolume_id)?;
            }
            self.place.mark.passing.retain(|passing| *passing != gone);
            self.place.mark.write(&self.place.directory)?;
        }
        Ok(())
    }

    /// Makes the writable snapshot of a restored archive, unless it exists.
    pub(in crate::engine) fn make_writable(
        &self,
        name: &str,
        wanted: &ArchiveEntry,
    ) -> Result<PathBuf, Error> {
        self.place.make_writable(OsStr::new(name), &dated(wanted))
    }

    /// Checks that the path still leads to the restored directory, and not to one that another user has put
    /// there.
    pub(in crate::engine) fn stands_there(&self) -> Result<(), Error> {
        self.place.stands_in(&self.to)
    }

    /// Removes the staging directory if it is empty. The next run needs to see what is left in it.
    pub(in crate::engine) fn clear_away(&self) {
        self.place.remove_staging();
    }
}

impl RestoredSubvolume {
    fn of(entry: &ArchiveEntry, identity: &SubvolumeIdentity) -> Self {
        Self {
            date: dated(entry),
            stream: entry.stream_uuid,
            local: identity.uuid,
        }
    }
}

/// Returns the archives that are already restored in `to`. This is for a plan and ignores errors: the restore
/// itself reports them.
pub fn standing_in(to: &Path, source: &SourceRow, archives: &[ArchiveRow]) -> Vec<ArchiveId> {
    let look = || -> Result<Option<HeldDirectory>, Error> {
        let directory = enter(&HeldDirectory::open(to)?, &source.name)?;
        let Some(directory) = directory else {
            return Ok(None);
        };
        let mark = PlaceMark::read(&directory, PlaceUse::Restore)?;
        Ok(mark
            .is_some_and(|mark| mark.id == source.ledger)
            .then_some(directory))
    };
    let Ok(Some(directory)) = look() else {
        return Vec::new();
    };
    let stands = |archive: &&ArchiveRow| {
        let name = OsString::from(archive.date.to_string());
        let found = directory.subvolume(&name).ok().flatten();
        let identity = found.and_then(|found| found.identity().ok());
        identity.is_some_and(|identity| {
            identity.read_only
                && archive.stream_uuid.is_some()
                && identity.received_uuid == archive.stream_uuid
        })
    };
    let standing = archives.iter().filter(stands);
    standing.map(|archive| archive.id).collect()
}

fn dated(entry: &ArchiveEntry) -> OsString {
    entry.date.to_string().into()
}

/// Returns the subvolume under an archive's date; `None` if there is nothing. Fails if it is not that
/// archive.
fn whole(
    directory: &HeldDirectory,
    entry: &ArchiveEntry,
) -> Result<Option<SubvolumeIdentity>, Error> {
    let name = dated(entry);
    if !directory.holds(&name)? {
        return Ok(None);
    }
    let look = || {
        directory
            .subvolume(&name)?
            .map(|found| found.identity())
            .transpose()
    };
    match look() {
        Ok(Some(identity)) if is_whole(&identity, entry) => Ok(Some(identity)),
        _ => Err(in_the_way(&directory.join(&name), NOT_RESTORED)),
    }
}

/// Returns whether a subvolume is the complete archive: only a finished receive makes it read-only and sets
/// the received uuid.
fn is_whole(identity: &SubvolumeIdentity, entry: &ArchiveEntry) -> bool {
    identity.read_only && identity.received_uuid == Some(entry.stream_uuid)
}
