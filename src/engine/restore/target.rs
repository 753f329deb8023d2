//! Where a restore lands: a directory of its own, and one subvolume after the other in it.
//!
//! An archive is received in the staging directory, looked at, and gets its date by a read-only snapshot
//! (a read-only subvolume can't be moved to another directory); the staged one is deleted. The mark says
//! which subvolumes were begun, by name and subvolume id: only those are ever deleted.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use crate::btrfs::{
    self, BtrfsError, Confinement, HeldDirectory, Holds, ReadOnly, Receiver, StreamSummary, Tools,
};
use crate::catalog::{ArchiveRow, SourceRow};
use crate::config::Source;
use crate::engine::restore::place::{RestorePlace, enter};
use crate::engine::restore::progress_file::{Lies, Passing, RestoreState, in_the_way};
use crate::engine::restore::receiving::{Parent, Receiving};
use crate::error::{Error, RestoreError};
use crate::model::entry::ArchiveEntry;
use crate::model::{ArchiveId, LedgerId, SourceName, SubvolumeIdentity, Uuid};

/// What is said of something that stands in an archive's place and is not it.
const NOT_RESTORED: &str = "it is not the subvolume that was restored there";

/// A restore's directory.
pub(in crate::engine) struct Target<'a> {
    tools: &'a Tools,
    /// `DIR`.
    to: HeldDirectory,
    place: RestorePlace,
    staging: Rc<HeldDirectory>,
    /// What stands newest here of the chain, on which the next is received.
    newest: Option<Standing>,
    /// What that one may hold, as far as it is known.
    holds: Holds,
    /// What is to be said of it before anything is fetched.
    pub(in crate::engine) warnings: Vec<String>,
}

/// A restored subvolume.
#[derive(Debug, Clone)]
struct Standing {
    /// Its name.
    date: OsString,
    /// The uuid in its send stream.
    stream: Uuid,
    /// Its own uuid in this place.
    local: Uuid,
}

/// What becomes of a subvolume once the next one stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Afterwards {
    /// It stays.
    Stays,
    /// It is deleted: it was wanted for the next one alone.
    Goes,
}

/// Refuses a directory that nothing of a source can be restored into, before anybody is asked about it. It is left as it
/// is.
pub fn require_target(to: &Path, source: &Source) -> Result<(), Error> {
    btrfs::require_root()?;
    if !to.is_dir() {
        return Err(RestoreError::NoTarget(to.to_owned()).into());
    }
    let held = HeldDirectory::open(to)?;
    held.fitness()?;
    let live = source.live.as_ref();
    // Without the source there is nothing that it could lie in.
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
    /// Looks at everything that could be in the way, and only then makes the directory.
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
        let earlier = RestorePlace::of_earlier(&held, source, ledger)?;
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
                    archive: archive.id,
                }
                .into());
            }
        }
        if let (Some(place), Some(name), Some(wanted)) = (&earlier, writable, entries.last()) {
            refuse_writable(&place.directory, OsStr::new(name), wanted)?;
        }
        let mut place = match earlier {
            Some(place) => place,
            None => RestorePlace::make(&held, source, ledger)?,
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

    /// The directory that holds the restored subvolumes.
    pub(in crate::engine) fn directory(&self) -> &Path {
        self.place.directory.path()
    }

    /// How many archives of a chain, counted from its full, need not be received any more: what stands
    /// newest holds all that came before it.
    pub(in crate::engine) fn standing(&mut self, chain: &[ArchiveEntry]) -> Result<usize, Error> {
        for (at, entry) in chain.iter().enumerate().rev() {
            if let Some(identity) = whole(&self.place.directory, entry)? {
                self.newest = Some(Standing::of(entry, &identity));
                // Nobody has looked yet.
                self.holds = Holds {
                    fifos: true,
                    privileged: true,
                };
                return Ok(at + 1);
            }
        }
        Ok(0)
    }

    /// Begins to receive an archive on what stands newest.
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
            entry.id,
            passes,
            parent,
        )
    }

    fn subvolume(&self, name: &OsStr) -> Result<HeldDirectory, Error> {
        let found = self.place.directory.subvolume(name)?;
        let path = self.place.directory.join(name);
        Ok(found.ok_or(BtrfsError::Missing { path })?)
    }

    /// Ends receiving: on success the subvolume is durable, checked, and stands under its date;
    /// on failure what was begun is gone again.
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
            // The first error counts; what could not be removed is removed by the next run.
            let _ = self.place.remove_begun();
            return Err(error);
        }
        Ok(())
    }

    fn publish(&mut self, entry: &ArchiveEntry) -> Result<(), Error> {
        let wrong = |path: &Path, what: &str| {
            Error::Restore(RestoreError::ReceivedWrong {
                path: path.to_owned(),
                what: what.to_owned(),
            })
        };
        // Exit 0 of receive is not durable: a crash now would leave every file empty.
        self.staging.sync()?;
        let begun = self.place.mark.begun.clone();
        let named = begun.filter(|begun| begun.lies == Lies::Staged);
        let nothing = "the stream named no subvolume";
        let begun = named.ok_or_else(|| wrong(self.staging.path(), nothing))?;
        let path = self.staging.join(OsStr::from_bytes(&begun.name));
        let staged = self.staging.subvolume(OsStr::from_bytes(&begun.name))?;
        let staged = staged.ok_or_else(|| wrong(&path, "it is gone"))?;
        let identity = staged.identity()?;
        if Some(identity.subvolume_id) != begun.subvolume_id {
            return Err(wrong(&path, "another subvolume has its name"));
        }
        if !identity.read_only {
            return Err(wrong(&path, "it is not read-only"));
        }
        if identity.received_uuid != Some(entry.stream_uuid) {
            let what = format!("its received uuid is not {}", entry.stream_uuid);
            return Err(wrong(&path, &what));
        }
        if let Some(parent) = entry.send_parent_uuid {
            let built_on = self.newest.as_ref();
            let built_on = built_on.filter(|newest| newest.stream == parent);
            if built_on.is_none() || identity.parent_uuid != built_on.map(|newest| newest.local) {
                return Err(wrong(&path, "btrfs receive built it on another subvolume"));
            }
        }
        let date = dated(entry);
        self.place
            .directory
            .snapshot(&staged, &date, ReadOnly::Yes)
            .map_err(|error| match error {
                BtrfsError::Exists { path } => in_the_way(&path, NOT_RESTORED),
                other => other.into(),
            })?;
        drop(staged);
        let published = self.subvolume(&date)?.identity()?;
        if !is_whole(&published, entry) || published.parent_uuid != Some(identity.uuid) {
            let path = self.place.directory.join(&date);
            return Err(wrong(&path, "it is not a snapshot of what was received"));
        }
        // `btrfs receive` takes any subvolume for a send parent that has its received uuid: only one may.
        self.place.remove_begun()?;
        self.newest = Some(Standing::of(entry, &published));
        Ok(())
    }

    /// Deletes what was received on the way to `stands`, which holds all of it.
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

    /// Makes the writable snapshot of an archive that stands, unless it is there already.
    pub(in crate::engine) fn make_writable(
        &self,
        name: &str,
        wanted: &ArchiveEntry,
    ) -> Result<PathBuf, Error> {
        let (directory, name) = (&self.place.directory, OsStr::new(name));
        if !directory.holds(name)? {
            let restored = self.subvolume(&dated(wanted))?;
            directory.snapshot(&restored, name, ReadOnly::No)?;
        }
        refuse_writable(directory, name, wanted)?;
        Ok(directory.join(name))
    }

    /// Refuses to call a directory the restored one that somebody has put in its place.
    pub(in crate::engine) fn stands_there(&self) -> Result<(), Error> {
        let name = self.directory().file_name().unwrap_or_default();
        let there = self.to.enter(name).ok().flatten();
        if there.is_some_and(|there| there.is(&self.place.directory).unwrap_or(false)) {
            return Ok(());
        }
        let what = "what was restored was moved away, and something else or nothing is there now";
        Err(in_the_way(self.directory(), what))
    }

    /// Takes away the staging directory, unless something is left in it: the next run needs to see that.
    pub(in crate::engine) fn clear_away(&self) {
        self.place.remove_staging();
    }
}

impl Standing {
    fn of(entry: &ArchiveEntry, identity: &SubvolumeIdentity) -> Self {
        Self {
            date: dated(entry),
            stream: entry.stream_uuid,
            local: identity.uuid,
        }
    }
}

/// Those of the archives that stand already where a restore into `to` would put them. For a plan:
/// whatever is wrong there is said by the restore itself.
pub fn standing_in(to: &Path, source: &SourceRow, archives: &[ArchiveRow]) -> Vec<ArchiveId> {
    let look = || -> Result<Option<HeldDirectory>, Error> {
        let directory = enter(&HeldDirectory::open(to)?, &source.name)?;
        let Some(directory) = directory else {
            return Ok(None);
        };
        let mark = RestoreState::read(&directory)?;
        Ok(mark
            .is_some_and(|mark| mark.ledger == source.ledger)
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

/// The subvolume that stands under an archive's date; `None` if nothing does. It must be that archive.
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

/// Whether a subvolume is the whole archive: only a finished receive makes it read-only and gives
/// it the received uuid.
fn is_whole(identity: &SubvolumeIdentity, entry: &ArchiveEntry) -> bool {
    identity.read_only && identity.received_uuid == Some(entry.stream_uuid)
}

/// Refuses a name under which something else stands than a writable snapshot of that archive.
fn refuse_writable(
    directory: &HeldDirectory,
    name: &OsStr,
    wanted: &ArchiveEntry,
) -> Result<(), Error> {
    if !directory.holds(name)? {
        return Ok(());
    }
    let identity = |name: &OsStr| {
        let found = directory.subvolume(name).ok().flatten();
        found.and_then(|found| found.identity().ok())
    };
    let restored = identity(&dated(wanted)).filter(|restored| is_whole(restored, wanted));
    let found = identity(name).filter(|found| !found.read_only);
    match (restored, found) {
        (Some(restored), Some(found)) if found.parent_uuid == Some(restored.uuid) => Ok(()),
        _ => Err(in_the_way(
            &directory.join(name),
            "the writable snapshot needs that name",
        )),
    }
}
