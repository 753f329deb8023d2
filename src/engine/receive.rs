//! Where a restore lands: a private directory of its own, and one subvolume after the other in it.
//!
//! `DIR/<source>` is made by the restore, with mode 0700 and a [mark](super::restore_mark) that names the
//! ledger. What stands there without the mark is refused. The mark also says which subvolumes were begun,
//! by name and subvolume id: only those are ever deleted.

use std::ffi::OsStr;
use std::fs::{DirBuilder, File};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::btrfs::{self, Receiver, Tools};
use crate::catalog::{ArchiveRow, SourceRow};
use crate::engine::feed::Sink;
use crate::engine::restore_mark::{Begun, Mark, Passing, Told, holds_nothing, lock};
use crate::engine::snapshot::exists;
use crate::error::Error;
use crate::model::entry::ArchiveEntry;
use crate::model::{ArchiveId, LedgerId, SourceName, SubvolumeIdentity, Uuid};

/// How long `btrfs receive` may take from its first bytes to the subvolume's appearance.
const APPEARS_WITHIN: Duration = Duration::from_secs(30);

/// What is said of something that stands in an archive's place and is not it.
const NOT_RESTORED: &str = "it is not the subvolume that was restored there";

/// A restore's directory.
pub(super) struct Target<'a> {
    tools: &'a Tools,
    directory: PathBuf,
    mark: Mark,
    /// What stands newest here of the chain, on which the next is received.
    newest: Option<Standing>,
    /// Held while the restore works here; released when it ends, also by the death of the process.
    held: Option<File>,
}

/// A restored subvolume.
#[derive(Debug, Clone, Copy)]
struct Standing {
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

/// A `btrfs receive` at work in the directory.
pub(super) struct Receiving {
    receiver: Receiver,
    directory: PathBuf,
    mark: Mark,
    archive: ArchiveId,
    /// The subvolume here that it is built on.
    onto: Option<Uuid>,
}

impl<'a> Target<'a> {
    /// Looks at everything that could be in the way, and only then makes the directory.
    pub(super) fn prepare(
        tools: &'a Tools,
        to: &Path,
        source: &SourceName,
        ledger: &LedgerId,
        entries: &[ArchiveEntry],
        writable: Option<&str>,
    ) -> Result<Self, Error> {
        if !to.is_dir() {
            return Err(Error::NoTarget(to.to_owned()));
        }
        btrfs::require_btrfs(to)?;
        let directory = to.join(source.as_str());
        let fresh = Mark::new(*ledger, source);
        let made_before = match std::fs::symlink_metadata(&directory) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => false,
            Err(error) => return Err(Error::file("look at", &directory, error)),
            Ok(metadata) if !metadata.is_dir() => {
                return Err(in_the_way(&directory, "it is not a directory"));
            }
            Ok(_) => true,
        };
        // Before the mark is read: another restore may be at work on what it names.
        let mut held = None;
        let mark = if made_before {
            held = Some(lock(&directory, source)?);
            let mark = match Mark::read(&directory)? {
                Some(mark) => mark,
                // An interrupted restore made it, and came no further.
                None if holds_nothing(&directory)? => {
                    fresh.write(&directory)?;
                    fresh
                }
                None => return Err(in_the_way(&directory, "no restore of coldchain made it")),
            };
            if (&mark.ledger, &mark.source) != (ledger, source) {
                return Err(in_the_way(
                    &directory,
                    "it holds the restore of another source",
                ));
            }
            mark
        } else {
            fresh
        };
        let mut target = Self {
            tools,
            directory,
            mark,
            newest: None,
            held,
        };
        let begun = target.begun_path();
        let mut ours = Vec::new();
        for entry in entries {
            let path = target.dated(entry);
            if Some(&path) == begun.as_ref() || !made_before || !exists(&path)? {
                continue;
            }
            let identity = btrfs::identity(&path).map_err(|_| in_the_way(&path, NOT_RESTORED))?;
            if !is_whole(&identity, entry) {
                return Err(in_the_way(&path, NOT_RESTORED));
            }
            ours.push(identity.subvolume_id);
        }
        if let Some(begun) = target
            .mark
            .begun
            .as_ref()
            .and_then(|begun| begun.subvolume_id)
        {
            ours.push(begun);
        }
        let uuids: Vec<Uuid> = entries.iter().map(|entry| entry.stream_uuid).collect();
        for foreign in btrfs::snapshots::received_from(tools, to, &uuids)? {
            if !ours.contains(&foreign.subvolume_id) {
                let archive = entries
                    .iter()
                    .find(|entry| entry.stream_uuid == foreign.received_uuid)
                    .expect("only these were asked for");
                return Err(Error::ReceivedElsewhere {
                    path: foreign.path,
                    archive: archive.id,
                });
            }
        }
        if let (Some(name), Some(wanted)) = (writable, entries.last()) {
            target.refuse_writable(name, wanted)?;
        }
        if !made_before {
            DirBuilder::new()
                .mode(0o700)
                .create(&target.directory)
                .map_err(|error| Error::file("create", &target.directory, error))?;
            target.held = Some(lock(&target.directory, source)?);
            target.mark.write(&target.directory)?;
        }
        target.remove_begun()?;
        Ok(target)
    }

    /// The directory that holds the restored subvolumes.
    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// How many archives of a chain, counted from its full, need not be received any more: what stands
    /// newest holds all that came before it.
    pub(super) fn standing(&mut self, chain: &[ArchiveEntry]) -> Result<usize, Error> {
        for (at, entry) in chain.iter().enumerate().rev() {
            let path = self.dated(entry);
            if exists(&path)? {
                let identity = btrfs::identity(&path)?;
                if !is_whole(&identity, entry) {
                    return Err(in_the_way(&path, NOT_RESTORED));
                }
                self.newest = Some(Standing {
                    stream: entry.stream_uuid,
                    local: identity.uuid,
                });
                return Ok(at + 1);
            }
        }
        Ok(0)
    }

    /// Begins to receive an archive on what stands newest.
    pub(super) fn begin(&mut self, entry: &ArchiveEntry) -> Result<Receiving, Error> {
        Ok(Receiving {
            receiver: Receiver::spawn(self.tools, &self.directory)?,
            directory: self.directory.clone(),
            mark: self.mark.clone(),
            archive: entry.id,
            onto: entry
                .send_parent_uuid
                .and_then(|_| self.newest.map(|newest| newest.local)),
        })
    }

    /// Ends receiving: on success the subvolume is durable, checked, and stands under its date;
    /// on failure what was begun is gone again.
    pub(super) fn land(
        &mut self,
        receiving: Receiving,
        entry: &ArchiveEntry,
        fed: Result<(), Error>,
        afterwards: Afterwards,
    ) -> Result<(), Error> {
        let Receiving { receiver, mark, .. } = receiving;
        self.mark = mark;
        let received = match fed {
            Ok(()) => receiver.finish().map_err(Error::from),
            // It stopped reading: its own words say why.
            Err(error @ Error::WriteStream { .. }) => {
                Err(receiver.finish().err().map_or(error, Error::from))
            }
            Err(error) => {
                drop(receiver);
                Err(error)
            }
        };
        let stands = received.and_then(|()| self.check(entry, afterwards));
        if let Err(error) = stands {
            // The first error counts; what could not be removed is removed by the next run.
            let _ = self.remove_begun();
            return Err(error);
        }
        Ok(())
    }

    fn check(&mut self, entry: &ArchiveEntry, afterwards: Afterwards) -> Result<(), Error> {
        // Exit 0 of receive is not durable: a crash now would leave every file empty.
        btrfs::sync(&self.directory)?;
        let wrong = |path: &Path, what: String| Error::ReceivedWrong {
            path: path.to_owned(),
            what,
        };
        let Some(path) = self.begun_path() else {
            return Err(wrong(
                &self.directory,
                "the stream named no subvolume".to_owned(),
            ));
        };
        let identity = btrfs::identity(&path)?;
        if !identity.read_only {
            return Err(wrong(&path, "it is not read-only".to_owned()));
        }
        if identity.received_uuid != Some(entry.stream_uuid) {
            return Err(wrong(
                &path,
                format!("its received uuid is not {}", entry.stream_uuid),
            ));
        }
        if let Some(parent) = entry.send_parent_uuid {
            let built_on = self.newest.filter(|newest| newest.stream == parent);
            if built_on.is_none() || identity.parent_uuid != built_on.map(|newest| newest.local) {
                return Err(wrong(
                    &path,
                    "btrfs receive built it on another subvolume".to_owned(),
                ));
            }
        }
        let dated = self.dated(entry);
        if path != dated {
            std::fs::rename(&path, &dated).map_err(|error| Error::file("name", &dated, error))?;
        }
        self.mark.begun = None;
        if afterwards == Afterwards::Goes {
            self.mark.passing.push(Passing {
                date: entry.date,
                subvolume_id: identity.subvolume_id,
            });
        }
        self.mark.write(&self.directory)?;
        btrfs::sync(&self.directory)?;
        self.newest = Some(Standing {
            stream: entry.stream_uuid,
            local: identity.uuid,
        });
        Ok(())
    }

    /// Deletes what was received on the way to `stands`, which holds all of it.
    pub(super) fn delete_passed(&mut self, stands: &ArchiveEntry) -> Result<(), Error> {
        let passed = |passing: &&Passing| passing.date < stands.date;
        while let Some(gone) = self.mark.passing.iter().find(passed).copied() {
            let path = self.directory.join(gone.date.to_string());
            if exists(&path)? {
                btrfs::snapshots::delete_by_id(self.tools, &path, gone.subvolume_id)?;
            }
            self.mark.passing.retain(|passing| *passing != gone);
            self.mark.write(&self.directory)?;
        }
        Ok(())
    }

    /// Makes the writable snapshot of an archive that stands, unless it is there already.
    pub(super) fn make_writable(
        &self,
        name: &str,
        wanted: &ArchiveEntry,
    ) -> Result<PathBuf, Error> {
        let path = self.directory.join(name);
        if !exists(&path)? {
            btrfs::snapshots::create_writable(self.tools, &self.dated(wanted), &path)?;
        }
        self.refuse_writable(name, wanted)?;
        Ok(path)
    }

    /// Refuses a name under which something else stands than a writable snapshot of that archive.
    fn refuse_writable(&self, name: &str, wanted: &ArchiveEntry) -> Result<(), Error> {
        let path = self.directory.join(name);
        if !exists(&path)? {
            return Ok(());
        }
        let restored = btrfs::identity(&self.dated(wanted)).ok();
        let restored = restored.filter(|restored| is_whole(restored, wanted));
        let found = btrfs::identity(&path).ok().filter(|found| !found.read_only);
        match (restored, found) {
            (Some(restored), Some(found)) if found.parent_uuid == Some(restored.uuid) => Ok(()),
            _ => Err(in_the_way(
                &path,
                "the writable snapshot would have that name",
            )),
        }
    }

    fn dated(&self, entry: &ArchiveEntry) -> PathBuf {
        self.directory.join(entry.date.to_string())
    }

    fn begun_path(&self) -> Option<PathBuf> {
        let begun = self.mark.begun.as_ref()?;
        Some(self.directory.join(OsStr::from_bytes(&begun.name)))
    }

    /// Deletes the subvolume that was begun and not finished, and no other.
    fn remove_begun(&mut self) -> Result<(), Error> {
        let (Some(begun), Some(path)) = (self.mark.begun.clone(), self.begun_path()) else {
            return Ok(());
        };
        if exists(&path)? {
            let identity = btrfs::identity(&path)?;
            // Without its id: the run died in the moment between its making and the note of it.
            let ours = match (begun.subvolume_id, begun.told) {
                (Some(id), _) => id == identity.subvolume_id,
                (None, Some(told)) => told.made(&identity, btrfs::made_at(&path)?, APPEARS_WITHIN),
                (None, None) => false,
            };
            if !ours {
                return Err(in_the_way(
                    &path,
                    "an interrupted restore may have begun it, but that is not certain",
                ));
            }
            btrfs::snapshots::delete_by_id(self.tools, &path, identity.subvolume_id)?;
        }
        self.mark.begun = None;
        self.mark.write(&self.directory)
    }
}

impl Sink for Receiving {
    /// Hands checked bytes to `btrfs receive`. With the first of them it makes the subvolume of
    /// that name, which is recorded before and after.
    fn take(&mut self, bytes: &[u8], name: &[u8]) -> Result<(), Error> {
        let first = self.mark.begun.is_none();
        if first {
            let path = self.directory.join(OsStr::from_bytes(name));
            if exists(&path)? {
                return Err(in_the_way(&path, "the stream's subvolume has that name"));
            }
            self.mark.begun = Some(Begun {
                name: name.to_owned(),
                subvolume_id: None,
                told: Some(Told::now(self.onto)),
            });
            self.mark.write(&self.directory)?;
        }
        self.receiver
            .write_all(bytes)
            .and_then(|()| self.receiver.flush())
            .map_err(|source| Error::WriteStream {
                archive: self.archive,
                source,
            })?;
        if first {
            self.note_subvolume_id(name)?;
        }
        Ok(())
    }
}

impl Receiving {
    /// Waits for the subvolume to appear, and records its id: what is later deleted must be it.
    fn note_subvolume_id(&mut self, name: &[u8]) -> Result<(), Error> {
        let path = self.directory.join(OsStr::from_bytes(name));
        let begun = std::time::Instant::now();
        while begun.elapsed() < APPEARS_WITHIN {
            // Asked first: what it has made by its end is seen below.
            let ended = self.receiver.has_exited();
            // It is a plain directory for no time: receive creates it as a subvolume.
            if exists(&path)? {
                let identity = btrfs::identity(&path)?;
                self.mark.begun = Some(Begun {
                    name: name.to_owned(),
                    subvolume_id: Some(identity.subvolume_id),
                    told: None,
                });
                return self.mark.write(&self.directory);
            }
            if ended {
                // Its exit status, asked for at the end, says why.
                break;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }
}

/// Those of the archives that stand already where a restore into `to` would put them. For a plan:
/// whatever is wrong there is said by the restore itself.
pub fn standing_in(to: &Path, source: &SourceRow, archives: &[ArchiveRow]) -> Vec<ArchiveId> {
    let directory = to.join(source.name.as_str());
    let mark = Mark::read(&directory).ok().flatten();
    if mark.is_none_or(|mark| mark.ledger != source.ledger) {
        return Vec::new();
    }
    let stands = |archive: &&ArchiveRow| {
        let identity = btrfs::identity(&directory.join(archive.date.to_string()));
        identity.is_ok_and(|identity| {
            identity.read_only
                && archive.stream_uuid.is_some()
                && identity.received_uuid == archive.stream_uuid
        })
    };
    let standing = archives.iter().filter(stands);
    standing.map(|archive| archive.id).collect()
}

/// Whether a subvolume is the whole archive: only a finished receive makes it read-only and gives
/// it the received uuid.
fn is_whole(identity: &SubvolumeIdentity, entry: &ArchiveEntry) -> bool {
    identity.read_only && identity.received_uuid == Some(entry.stream_uuid)
}

fn in_the_way(path: &Path, what: &str) -> Error {
    Error::TargetInTheWay {
        path: path.to_owned(),
        what: what.to_owned(),
    }
}
