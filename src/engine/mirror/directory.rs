//! A mirror on this machine: the directory `MIRROR/SOURCE`, with a copy of each snapshot under its name.
//!
//! It is a subvolume of its own, so that `btrfs receive` can be confined to it. Its mark names the copies that were
//! made here, by subvolume id; only those are ever deleted.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::path::{Path, PathBuf};

use chrono_tz::Tz;

use crate::btrfs::{
    self, BtrfsError, Confinement, HeldDirectory, Holds, SendRequest, Sender, SentBy, Space, Tools,
};
use crate::engine::backup::stream_source::StreamSource;
use crate::engine::context::RunContext;
use crate::engine::context::random::random_bytes;
use crate::engine::mirror::end::{
    Blocks, CopyToSend, MirrorCopy, MirrorEnd, MirrorStanding, PrunedCopies, RecordedCopy,
    WantedCopy,
};
use crate::engine::receive::mark::PlaceUse;
use crate::engine::receive::place::ReceivePlace;
use crate::engine::snapshots::links::{self, Pointed};
use crate::error::{Error, MirrorError, RestoreError};
use crate::model::{LedgerId, MirrorLocation, SnapshotName, SourceName, Uuid};
use crate::plan::KeepSnapshots;

/// What the owner of a mirror says of it.
#[derive(Debug, Clone)]
pub(in crate::engine) struct MirrorRules {
    /// Which copies it keeps; `None` if it deletes none.
    pub(in crate::engine) keep: Option<KeepSnapshots>,
    /// The time zone of the snapshots' names.
    pub(in crate::engine) zone: Tz,
    /// The names of the links to the newest copy.
    pub(in crate::engine) links: Vec<String>,
    /// How many deletions the user has confirmed, if that was asked of them.
    pub(in crate::engine) confirmed: Option<usize>,
    /// Whether a client on another machine asks: what it says may not count.
    pub(in crate::engine) is_served: bool,
}

/// The directory of one source at a mirror on this machine.
pub(in crate::engine) struct MirrorDirectory<'a> {
    pub(super) tools: Tools,
    /// `MIRROR`.
    pub(super) root: HeldDirectory,
    pub(super) source: SourceName,
    pub(super) rules: MirrorRules,
    pub(super) context: RunContext<'a>,
    /// `MIRROR/SOURCE`; `None` until it is made.
    pub(super) place: Option<ReceivePlace>,
    /// The copy that was received last, and what it may hold: its tree need not be searched again.
    pub(super) newest: Option<(Uuid, Holds)>,
}

impl<'a> MirrorDirectory<'a> {
    /// Opens a mirror, and takes the directory of a source in it. Changes nothing.
    pub(in crate::engine) fn open(
        path: &Path,
        source: &SourceName,
        rules: MirrorRules,
        context: RunContext<'a>,
    ) -> Result<Self, Error> {
        btrfs::require_root()?;
        let not_there = |what: &str| {
            Error::Mirror(MirrorError::NotThere {
                to: Box::new(MirrorLocation::Directory(path.to_owned())),
                what: what.to_owned(),
            })
        };
        if !path.is_dir() {
            return Err(not_there("there is no such directory"));
        }
        let tools = Tools::find()?;
        let root = match HeldDirectory::open(path) {
            Err(BtrfsError::NotBtrfs { .. }) => return Err(not_there("that is not on btrfs")),
            root => root?,
        };
        let place =
            ReceivePlace::of_earlier(&root, source, PlaceUse::Mirror, None).map_err(of_mirror)?;
        Ok(Self {
            tools,
            root,
            source: source.clone(),
            rules,
            context,
            place,
            newest: None,
        })
    }

    pub(super) fn place(&mut self) -> Result<&mut ReceivePlace, Error> {
        let path = self.root.join(OsStr::new(self.source.as_str()));
        self.place
            .as_mut()
            .ok_or_else(|| BtrfsError::Missing { path }.into())
    }

    /// Returns the copies, oldest first, and the names that something else has.
    pub(super) fn copies(
        &self,
        recorded: &[RecordedCopy],
    ) -> Result<(Vec<MirrorCopy>, Vec<SnapshotName>), Error> {
        let (mut copies, mut taken) = (Vec::new(), Vec::new());
        let Some(place) = &self.place else {
            return Ok((copies, taken));
        };
        for name in place.directory.names()? {
            let name = std::str::from_utf8(&name).ok();
            let Some(name) = name.and_then(|name| name.parse::<SnapshotName>().ok()) else {
                continue;
            };
            let found = place.directory.subvolume(OsStr::new(&name.to_string()));
            let identity = match found {
                Ok(Some(found)) => found.identity().ok(),
                Ok(None) => continue,
                Err(_) => None,
            };
            let copy = identity.filter(|it| it.read_only).and_then(|it| {
                let known = recorded.iter().find(|known| known.uuid == it.uuid);
                // Nothing has changed a read-only snapshot whose ctransid is that of its making.
                let expected = known.map_or(it.otransid, |known| known.ctransid);
                let is_intact = it.ctransid <= expected || {
                    let path = place.directory.join(OsStr::new(&name.to_string()));
                    btrfs::is_only_deduplicated(&path, expected + 1).unwrap_or(false)
                };
                Some(MirrorCopy {
                    name,
                    uuid: it.uuid,
                    stream_uuid: it.received_uuid?,
                    ctransid: it.ctransid,
                    otransid: it.otransid,
                    is_intact,
                })
            });
            match copy {
                Some(copy) => copies.push(copy),
                None => taken.push(name),
            }
        }
        copies.sort_by_key(|copy| copy.name);
        taken.sort();
        Ok((copies, taken))
    }

    /// Lets the links name the newest copy, and returns what went wrong with them.
    pub(super) fn point_links(&self) -> Vec<String> {
        let Some(place) = &self.place else {
            return Vec::new();
        };
        let newest = self.copies(&[]).ok().and_then(|(copies, _)| {
            let at = |copy: &MirrorCopy| (copy.name.moment(&self.rules.zone), copy.name);
            copies.into_iter().max_by_key(at)
        });
        let Some(newest) = newest else {
            return Vec::new();
        };
        let mut faults = Vec::new();
        for link in &self.rules.links {
            let path = place.directory.join(OsStr::new(link));
            // By descriptor, because the owner of a directory above can replace it.
            let held = format!("/proc/self/fd/{}", place.directory.as_fd().as_raw_fd());
            match links::point(&Path::new(&held).join(link), &newest.name.to_string()) {
                Ok(Pointed::InTheWay) => faults.push(format!(
                    "{} is no symbolic link, so it can't name the newest copy",
                    path.display()
                )),
                Ok(Pointed::Moved | Pointed::Stays) => {}
                Err(error) => faults.push(format!(
                    "could not let {} name the newest copy: {error}",
                    path.display()
                )),
            }
        }
        faults
    }

    /// Returns the path of a copy with this uuid.
    fn path_of(&self, copies: &[MirrorCopy], uuid: Uuid) -> Result<PathBuf, Error> {
        let directory = self.root.join(OsStr::new(self.source.as_str()));
        let copy = copies.iter().find(|copy| copy.uuid == uuid);
        let missing = || BtrfsError::Missing {
            path: directory.join(uuid.to_string()),
        };
        let copy = copy.ok_or_else(missing)?;
        Ok(directory.join(copy.name.to_string()))
    }
}

impl MirrorEnd for MirrorDirectory<'_> {
    fn standing(&mut self, recorded: &[RecordedCopy]) -> Result<MirrorStanding, Error> {
        let (copies, taken) = self.copies(recorded)?;
        Ok(MirrorStanding {
            mark: self.place.as_ref().map(|place| place.mark.id),
            filesystem: btrfs::filesystem_id(self.root.path())?,
            free_bytes: Space::of(self.root.path())?.free,
            keep: self.rules.keep.map(|keep| keep.to_string()),
            copies,
            taken,
        })
    }

    fn make(&mut self) -> Result<LedgerId, Error> {
        Confinement::try_in(&self.tools, &self.root)?;
        let id = LedgerId(random_bytes());
        let earlier =
            ReceivePlace::of_earlier(&self.root, &self.source, PlaceUse::Mirror, Some(id))?;
        let place = match earlier {
            Some(place) => place,
            None => ReceivePlace::make(&self.root, &self.source, PlaceUse::Mirror, id)?,
        };
        // A copy does not inherit the compression of the directory above.
        place.directory.drop_compression()?;
        self.place = Some(place);
        Ok(id)
    }

    fn receive(
        &mut self,
        wanted: &WantedCopy,
        blocks: &mut Blocks<'_>,
    ) -> Result<MirrorCopy, Error> {
        let place = self.place()?;
        place.remove_begun()?;
        let name = OsString::from(wanted.name.to_string());
        if place.directory.holds(&name)? {
            return Err(Error::Mirror(MirrorError::NameTaken {
                path: place.directory.join(&name),
            }));
        }
        let received = self.receive_staged(wanted, blocks).map_err(|error| {
            let is_of_parent = matches!(
                error,
                Error::Restore(RestoreError::ReceivedWrong { .. }) | Error::Btrfs(_)
            );
            let parent = wanted.parent.as_ref().filter(|_| is_of_parent);
            parent
                .and_then(|parent| self.two_parents(parent))
                .unwrap_or(error)
        });
        let place = self.place()?;
        if received.is_err() {
            // The first error counts. If this removal fails, the next run does it.
            let _ = place.remove_begun();
        }
        place.remove_staging();
        let copy = received?;
        self.point_links();
        Ok(copy)
    }

    fn prune(&mut self, spare: &[Uuid]) -> Result<PrunedCopies, Error> {
        self.delete_expired(spare)
    }

    fn send(&mut self, copy: &CopyToSend) -> Result<Box<dyn StreamSource + '_>, Error> {
        self.tools.require_for(copy.protocol)?;
        let (copies, _) = self.copies(&[])?;
        let parent = copy.parent.map(|uuid| self.path_of(&copies, uuid));
        let request = SendRequest {
            snapshot: self.path_of(&copies, copy.uuid)?,
            send_parent: parent.transpose()?,
            protocol: copy.protocol,
            by: SentBy::Kernel,
        };
        Ok(Box::new(Sender::spawn(&self.tools, &request)?))
    }
}

/// Says of something that is in the way what it is in the way of.
fn of_mirror(error: Error) -> Error {
    match error {
        Error::Restore(RestoreError::TargetInTheWay { path, what }) => {
            Error::Mirror(MirrorError::InTheWay { path, what })
        }
        error => error,
    }
}
