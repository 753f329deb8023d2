//! Where a restore lands: a private directory of its own, and one subvolume after the other in it.
//!
//! `DIR/<source>` is made by the restore, with mode 0700 and a mark that names the ledger. What
//! stands there without the mark is refused. The mark also says which subvolume was begun, by name
//! and subvolume id: only that one is ever deleted.

use std::ffi::{OsStr, OsString};
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::btrfs::{self, Receiver, Tools};
use crate::catalog::{ArchiveRow, SourceRow};
use crate::error::Error;
use crate::model::entry::ArchiveEntry;
use crate::model::{ArchiveId, LedgerId, SourceName, SubvolumeIdentity, Uuid};

const MARK: &str = ".coldchain-restore.json";

/// How long `btrfs receive` may take from its first bytes to the subvolume's appearance.
const APPEARS_WITHIN: Duration = Duration::from_secs(30);

/// The mark of a restore's directory.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Mark {
    ledger: LedgerId,
    source: SourceName,
    /// The subvolume that was begun, until it stands under its date.
    begun: Option<Begun>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Begun {
    /// Its name as the stream gives it: bytes, not always text.
    name: Vec<u8>,
    /// Its subvolume id; `None` until btrfs receive has made it.
    subvolume_id: Option<u64>,
}

/// A restore's directory.
pub(super) struct Target<'a> {
    tools: &'a Tools,
    directory: PathBuf,
    mark: Mark,
    /// What stands here of the chain: stream uuid, and the subvolume's own uuid in this place.
    standing: Vec<(Uuid, Uuid)>,
    /// Held while the restore works here; released when it ends, also by the death of the process.
    held: Option<File>,
}

/// A `btrfs receive` at work in the directory.
pub(super) struct Receiving {
    receiver: Receiver,
    directory: PathBuf,
    mark: Mark,
    archive: ArchiveId,
}

impl<'a> Target<'a> {
    /// Looks at everything that could be in the way, and only then makes the directory.
    pub(super) fn prepare(
        tools: &'a Tools,
        to: &Path,
        source: &SourceName,
        ledger: &LedgerId,
        entries: &[ArchiveEntry],
    ) -> Result<Self, Error> {
        if !to.is_dir() {
            return Err(Error::NoTarget(to.to_owned()));
        }
        btrfs::require_btrfs(to)?;
        let directory = to.join(source.as_str());
        let fresh = Mark {
            ledger: *ledger,
            source: source.clone(),
            begun: None,
        };
        let in_the_way = |path: &Path, what: &str| Error::TargetInTheWay {
            path: path.to_owned(),
            what: what.to_owned(),
        };
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
            let mark = match read_mark(&directory)? {
                Some(mark) => mark,
                // An interrupted restore made it, and came no further.
                None if holds_nothing(&directory)? => {
                    write_mark(&directory, &fresh)?;
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
            standing: Vec::new(),
            held,
        };
        let begun = target.begun_path();
        let mut ours = Vec::new();
        for entry in entries {
            let path = target.directory.join(entry.date.to_string());
            if Some(&path) == begun.as_ref() || !made_before || !exists(&path)? {
                continue;
            }
            let identity = btrfs::identity(&path).map_err(|_| {
                in_the_way(&path, "it is not the subvolume that was restored there")
            })?;
            if !is_whole(&identity, entry) {
                return Err(in_the_way(
                    &path,
                    "it is not the subvolume that was restored there",
                ));
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
        if !made_before {
            DirBuilder::new()
                .mode(0o700)
                .create(&target.directory)
                .map_err(|error| Error::file("create", &target.directory, error))?;
            target.held = Some(lock(&target.directory, source)?);
            write_mark(&target.directory, &target.mark)?;
        }
        target.remove_begun()?;
        Ok(target)
    }

    /// The directory that holds the restored subvolumes.
    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Whether an archive stands here already.
    pub(super) fn stands(&self, entry: &ArchiveEntry) -> Result<bool, Error> {
        exists(&self.directory.join(entry.date.to_string()))
    }

    /// Begins to receive an archive; `None` if it stands here already.
    pub(super) fn begin(&mut self, entry: &ArchiveEntry) -> Result<Option<Receiving>, Error> {
        let path = self.directory.join(entry.date.to_string());
        if exists(&path)? {
            let identity = btrfs::identity(&path)?;
            if !is_whole(&identity, entry) {
                return Err(Error::TargetInTheWay {
                    path,
                    what: "it is not the subvolume that was restored there".to_owned(),
                });
            }
            self.standing.push((entry.stream_uuid, identity.uuid));
            return Ok(None);
        }
        Ok(Some(Receiving {
            receiver: Receiver::spawn(self.tools, &self.directory)?,
            directory: self.directory.clone(),
            mark: self.mark.clone(),
            archive: entry.id,
        }))
    }

    /// Ends receiving: on success the subvolume is durable, checked, and stands under its date;
    /// on failure what was begun is gone again.
    pub(super) fn land(
        &mut self,
        receiving: Receiving,
        entry: &ArchiveEntry,
        fed: Result<(), Error>,
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
        let stands = received.and_then(|()| self.check(entry));
        if let Err(error) = stands {
            // The first error counts; what could not be removed is removed by the next run.
            let _ = self.remove_begun();
            return Err(error);
        }
        Ok(())
    }

    fn check(&mut self, entry: &ArchiveEntry) -> Result<(), Error> {
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
        let parent = entry.send_parent_uuid.map(|uuid| {
            self.standing
                .iter()
                .find(|(stream, _)| *stream == uuid)
                .map(|(_, local)| *local)
        });
        if let Some(parent) = parent
            && (parent.is_none() || identity.parent_uuid != parent)
        {
            return Err(wrong(
                &path,
                "btrfs receive built it on another subvolume".to_owned(),
            ));
        }
        let dated = self.directory.join(entry.date.to_string());
        if path != dated {
            std::fs::rename(&path, &dated).map_err(|error| Error::file("name", &dated, error))?;
        }
        self.mark.begun = None;
        write_mark(&self.directory, &self.mark)?;
        btrfs::sync(&self.directory)?;
        self.standing.push((entry.stream_uuid, identity.uuid));
        Ok(())
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
            if begun.subvolume_id != Some(identity.subvolume_id) {
                return Err(Error::TargetInTheWay {
                    path,
                    what: "an interrupted restore may have begun it, but that is not certain"
                        .to_owned(),
                });
            }
            btrfs::snapshots::delete_by_id(self.tools, &path, identity.subvolume_id)?;
        }
        self.mark.begun = None;
        write_mark(&self.directory, &self.mark)
    }
}

impl Receiving {
    /// Hands checked bytes to `btrfs receive`. With the first of them it makes the subvolume of
    /// that name, which is recorded before and after.
    pub(super) fn write(&mut self, bytes: &[u8], name: &[u8]) -> Result<(), Error> {
        let first = self.mark.begun.is_none();
        if first {
            let path = self.directory.join(OsStr::from_bytes(name));
            if exists(&path)? {
                return Err(Error::TargetInTheWay {
                    path,
                    what: "the stream's subvolume has that name".to_owned(),
                });
            }
            self.mark.begun = Some(Begun {
                name: name.to_owned(),
                subvolume_id: None,
            });
            write_mark(&self.directory, &self.mark)?;
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
                });
                return write_mark(&self.directory, &self.mark);
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
    let mark = read_mark(&directory).ok().flatten();
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

fn exists(path: &Path) -> Result<bool, Error> {
    match std::fs::symlink_metadata(path) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(Error::file("look at", path, error)),
    }
}

fn lock(directory: &Path, source: &SourceName) -> Result<File, Error> {
    let failed = |error| Error::file("lock", directory, error);
    let file = File::open(directory).map_err(failed)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(Errno::WOULDBLOCK) => Err(Error::Busy(source.clone())),
        Err(errno) => Err(failed(errno.into())),
    }
}

/// Whether a directory is private and has nothing in it but a mark that was never finished.
fn holds_nothing(directory: &Path) -> Result<bool, Error> {
    let failed = |error| Error::file("look into", directory, error);
    let mode = std::fs::metadata(directory)
        .map_err(failed)?
        .permissions()
        .mode();
    let unfinished = OsString::from(format!("{MARK}.new"));
    for item in std::fs::read_dir(directory).map_err(failed)? {
        if item.map_err(failed)?.file_name() != unfinished {
            return Ok(false);
        }
    }
    Ok(mode & 0o777 == 0o700)
}

fn read_mark(directory: &Path) -> Result<Option<Mark>, Error> {
    let path = directory.join(MARK);
    match std::fs::read(&path) {
        Ok(text) => Ok(serde_json::from_slice(&text).ok()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::file("read", path, error)),
    }
}

/// Replaces the mark as a whole: a crash leaves the old or the new one.
fn write_mark(directory: &Path, mark: &Mark) -> Result<(), Error> {
    let path = directory.join(MARK);
    let new = directory.join(format!("{MARK}.new"));
    let text = serde_json::to_vec(mark).expect("a mark is plain data");
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
