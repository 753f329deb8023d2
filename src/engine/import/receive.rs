//! The directory that imported archives are restored in: one subvolume after the other, each under its date.

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::rc::Rc;

use super::blob::{Blob, BlobStream};
use super::known::{KnownImport, as_archive};
use crate::btrfs::{
    self, BtrfsError, Confinement, HeldDirectory, Holds, Receiver, StreamSummary, Tools,
};
use crate::catalog::{Catalog, ImportedArchiveRow};
use crate::engine::receive::mark::{PlaceUse, in_the_way};
use crate::engine::receive::place::{BuiltOn, ReceivePlace, WantedSubvolume};
use crate::engine::receive::receiving::{Parent, Receiving};
use crate::error::{Error, RestoreError};
use crate::model::{ArchiveId, Uuid};

/// The directory of a restore.
pub(super) struct ImportTarget<'a> {
    tools: &'a Tools,
    /// `DIR`.
    to: HeldDirectory,
    path: &'a Path,
    place: ReceivePlace,
    staging: Rc<HeldDirectory>,
    /// The subvolume that stands last in the chain; the next archive is received on it.
    newest: Option<StandingImport>,
    /// Whether it may hold fifos or setuid files.
    holds: Holds,
    /// Warnings to give before anything is fetched.
    pub(super) warnings: Vec<String>,
}

/// A restored archive.
struct StandingImport {
    archive: ArchiveId,
    /// The uuid in its send stream.
    stream: Uuid,
    /// Its own uuid in this place.
    local: Uuid,
    subvolume_id: u64,
}

impl<'a> ImportTarget<'a> {
    /// Checks everything that could be in the way, and only then makes the directory.
    pub(super) fn prepare(
        tools: &'a Tools,
        path: &'a Path,
        import: &KnownImport,
    ) -> Result<Self, Error> {
        btrfs::require_root()?;
        if !path.is_dir() {
            return Err(RestoreError::NoTarget(path.to_owned()).into());
        }
        let to = HeldDirectory::open(path)?;
        Confinement::try_in(tools, &to)?;
        let warnings = to.fitness()?;
        let (name, mark) = (&import.row.name, import.mark());
        let earlier = ReceivePlace::of_earlier(&to, name, PlaceUse::Restore, Some(mark))?;
        let mut place = match earlier {
            Some(place) => place,
            None => ReceivePlace::make(&to, name, PlaceUse::Restore, mark)?,
        };
        // If it was complete, its snapshot has its date by now.
        place.remove_begun()?;
        place.directory.drop_compression()?;
        Ok(Self {
            tools,
            to,
            path,
            staging: Rc::new(place.make_staging()?),
            place,
            newest: None,
            holds: Holds::default(),
            warnings,
        })
    }

    /// Returns the path of the directory with the restored subvolumes.
    pub(super) fn directory(&self) -> &Path {
        self.place.directory.path()
    }

    /// Returns how many archives of a chain, counted from its full, are already restored.
    pub(super) fn standing(&mut self, chain: &[ImportedArchiveRow]) -> Result<usize, Error> {
        for (at, row) in chain.iter().enumerate().rev() {
            let name = dated(row);
            if !self.place.directory.holds(&name)? {
                continue;
            }
            let found = self.place.directory.subvolume(&name).ok().flatten();
            let identity = found.and_then(|found| found.identity().ok());
            match (identity, row.stream_uuid) {
                (Some(found), Some(stream))
                    if found.read_only && found.received_uuid == Some(stream) =>
                {
                    self.newest = Some(StandingImport {
                        archive: as_archive(row).id(),
                        stream,
                        local: found.uuid,
                        subvolume_id: found.subvolume_id,
                    });
                    self.holds = Holds {
                        fifos: true,
                        privileged: true,
                    };
                    return Ok(at + 1);
                }
                _ => {
                    let what = "it is not the subvolume that was restored there";
                    return Err(in_the_way(&self.place.directory.join(&name), what));
                }
            }
        }
        Ok(0)
    }

    /// Decrypts and receives an archive. On success the subvolume is durable, checked, and has its date. On failure
    /// nothing of it stays.
    pub(super) fn receive(&mut self, blob: &Blob<'_>, catalog: &mut Catalog) -> Result<(), Error> {
        if !self.staging.names()?.is_empty() {
            let what = "something was put there that is not coldchain's";
            return Err(in_the_way(self.staging.path(), what));
        }
        let parent = match (&self.newest, blob.row.parent) {
            (Some(newest), Some(_)) => Some(self.parent(newest)?),
            _ => None,
        };
        let parent_stream = parent
            .as_ref()
            .and(self.newest.as_ref())
            .map(|it| it.stream);
        let confinement = Confinement::to(&self.staging, &self.place.directory)?;
        let receiver = Receiver::spawn(self.tools, confinement)?;
        let label = blob.id().into();
        let mut receiving =
            Receiving::new(receiver, &self.place, &self.staging, label, None, parent)?;
        let (fifos, limit) = (receiving.fifos()?, receiving.attribute_limit()?);
        let stream = BlobStream {
            parent: parent_stream,
            fifos,
            limit: Some(limit),
            take: &mut |commands| receiving.take(commands),
        };
        let fed = blob.pass(stream, catalog);
        let landed = self.land(receiving, blob.row, fed);
        if landed.is_err() {
            // The first error counts. If this removal fails, the next run does it.
            let _ = self.place.remove_begun();
        }
        landed
    }

    /// Returns what an incremental is received on, which must be the only subvolume that `btrfs receive` could take for
    /// it.
    fn parent(&self, newest: &StandingImport) -> Result<Parent, Error> {
        let received = btrfs::snapshots::received_from(self.tools, self.path, &[newest.stream])?;
        let mut others = received.into_iter();
        if let Some(foreign) = others.find(|found| found.subvolume_id != newest.subvolume_id) {
            return Err(RestoreError::ReceivedElsewhere {
                path: foreign.path,
                stream: newest.archive.into(),
                mirror: None,
            }
            .into());
        }
        let name = OsString::from(newest.archive.date.to_string());
        let subvolume = self.place.directory.subvolume(&name)?;
        let path = self.place.directory.join(&name);
        Ok(Parent {
            uuid: newest.local,
            subvolume: subvolume.ok_or(BtrfsError::Missing { path })?,
            holds: self.holds,
        })
    }

    fn land(
        &mut self,
        receiving: Receiving,
        row: &ImportedArchiveRow,
        fed: Result<StreamSummary, Error>,
    ) -> Result<(), Error> {
        let inherited = receiving.parent_holds();
        let (fed, summary) = match fed {
            Ok(summary) => (Ok(()), Some(summary)),
            Err(error) => (Err(error), None),
        };
        receiving.end(fed, &mut self.place.mark)?;
        let summary = summary.expect("an error has ended this");
        let built_on = match (row.parent, &self.newest) {
            (None, _) => BuiltOn::Nothing,
            (Some(_), Some(newest)) => BuiltOn::Subvolume(newest.local),
            (Some(_), None) => BuiltOn::Unknown,
        };
        let wanted = WantedSubvolume {
            name: &dated(row),
            stream: summary.head.uuid,
            built_on,
        };
        let published = self.place.publish(&self.staging, &wanted)?;
        self.holds = inherited | summary.makes;
        self.newest = Some(StandingImport {
            archive: as_archive(row).id(),
            stream: summary.head.uuid,
            local: published.uuid,
            subvolume_id: published.subvolume_id,
        });
        Ok(())
    }

    /// Checks that the path still leads to the restored directory.
    pub(super) fn stands_there(&self) -> Result<(), Error> {
        self.place.stands_in(&self.to)
    }

    /// Removes the staging directory if it is empty.
    pub(super) fn clear_away(&self) {
        self.place.remove_staging();
    }
}

fn dated(row: &ImportedArchiveRow) -> OsString {
    OsStr::new(&row.date.to_string()).to_owned()
}
