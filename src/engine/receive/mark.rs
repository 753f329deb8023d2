//! The mark of a directory that coldchain receives in: its source, and the subvolumes in it that were begun.
//!
//! A directory without the mark is not coldchain's. In a directory with it, only the subvolumes that the mark
//! names, by name and subvolume id, are ever deleted.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags, flock};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::btrfs::{HeldDirectory, is_component};
use crate::engine::context::random::random_bytes;
use crate::error::{Error, RestoreError};
use crate::model::{LedgerId, SnapshotName, SourceName, SubvolumeIdentity, Uuid};
use crate::owned::require_open;

/// What a directory is for that streams are received in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::engine) enum PlaceUse {
    /// A restore.
    #[default]
    Restore,
    /// A mirror.
    Mirror,
}

impl PlaceUse {
    /// The name of the mark.
    const fn file_name(self) -> &'static str {
        match self {
            Self::Restore => ".coldchain-restore.json",
            Self::Mirror => ".coldchain-mirror.json",
        }
    }

    /// Returns what is wrong with a directory that has no such mark.
    pub(in crate::engine) fn not_ours(self) -> &'static str {
        match self {
            Self::Restore => "no restore of coldchain made it",
            Self::Mirror => "it is not a mirror that coldchain made",
        }
    }

    /// Returns what is wrong with a directory that has another's mark.
    pub(in crate::engine) fn of_another(self) -> &'static str {
        match self {
            Self::Restore => "it holds the restore of another source",
            Self::Mirror => "it holds the mirror of another source",
        }
    }
}

/// How long `btrfs receive` may take from its first bytes to the subvolume's appearance.
pub(in crate::engine) const APPEARS_WITHIN: Duration = Duration::from_secs(30);

/// More bytes than any mark can have.
const LONGEST: u64 = 1 << 20;

/// The mark: the state of a restore or of a mirror in its directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::engine) struct PlaceMark {
    #[serde(skip)]
    used_for: PlaceUse,
    /// The ledger of the archives that are restored there; of a mirror, an id that it was given at random.
    #[serde(rename = "ledger", alias = "id")]
    pub(in crate::engine) id: LedgerId,
    pub(in crate::engine) source: SourceName,
    /// The subvolume that was begun and is not yet complete under its date.
    pub(in crate::engine) begun: Option<Begun>,
    /// Subvolumes of earlier dates, which are deleted when the next one is complete.
    #[serde(default)]
    pub(in crate::engine) passing: Vec<Passing>,
    /// A mirror's copies: only those are ever deleted. Of a restore, the snapshots of what is on its filesystem.
    #[serde(default)]
    pub(in crate::engine) published: Vec<PublishedCopy>,
}

/// A copy of a snapshot that was received and has its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::engine) struct PublishedCopy {
    /// Its name.
    pub(in crate::engine) name: SnapshotName,
    /// Its subvolume id.
    pub(in crate::engine) subvolume_id: u64,
    /// The stream uuid of what it is a snapshot of, if it was not received and so has none itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::engine) of: Option<Uuid>,
}

/// A subvolume that was begun.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::engine) struct Begun {
    /// Its name, as bytes: in earlier versions it came from the stream and might not be text.
    pub(in crate::engine) name: Vec<u8>,
    /// The directory it is in.
    #[serde(default)]
    pub(in crate::engine) lies: Lies,
    /// Its subvolume id; `None` until it is known to have been made.
    pub(in crate::engine) subvolume_id: Option<u64>,
    /// The order to `btrfs receive`, written down before it was given. `None` once the subvolume id is known.
    #[serde(default)]
    pub(in crate::engine) told: Option<Told>,
    /// Its date, if only the next one needs it. It has its date before it is noted as passing.
    #[serde(default)]
    pub(in crate::engine) passes: Option<NaiveDate>,
    /// The name of the mirror's copy that it becomes.
    #[serde(default)]
    pub(in crate::engine) becomes: Option<SnapshotName>,
    /// The stream uuid of what it is a snapshot of; `None` if it is received.
    #[serde(default)]
    pub(in crate::engine) of: Option<Uuid>,
}

/// The directory of a subvolume that was begun.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(in crate::engine) enum Lies {
    /// Beside the complete ones, as in earlier versions.
    #[default]
    AmongDates,
    /// In the staging directory.
    Staged,
}

/// An order to `btrfs receive`, given while its place was empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::engine) struct Told {
    /// When it was given.
    at: DateTime<Utc>,
    /// The local subvolume of which the new one begins as a snapshot.
    parent: Option<Uuid>,
}

impl Told {
    /// Returns an order of now.
    pub(in crate::engine) fn now(parent: Option<Uuid>) -> Self {
        Self {
            at: Utc::now(),
            parent,
        }
    }

    /// Returns whether a subvolume must be the result of this order: made just then, from the same parent,
    /// and in the state of a receive that has not ended.
    pub(in crate::engine) fn made(
        &self,
        subvolume: &SubvolumeIdentity,
        made_at: SystemTime,
        appears_within: Duration,
    ) -> bool {
        let after = DateTime::<Utc>::from(made_at) - self.at;
        // The filesystem's clock lags behind by up to a tick.
        let tick = TimeDelta::milliseconds(100);
        let latest = TimeDelta::from_std(appears_within).unwrap_or(TimeDelta::MAX);
        !subvolume.read_only
            && subvolume.received_uuid.is_none()
            && subvolume.parent_uuid == self.parent
            && (-tick..=latest).contains(&after)
    }
}

/// A restored subvolume that only the next one needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::engine) struct Passing {
    /// The date, which is its name.
    pub(in crate::engine) date: NaiveDate,
    /// Its subvolume id.
    pub(in crate::engine) subvolume_id: u64,
}

impl PlaceMark {
    pub(in crate::engine) fn new(used_for: PlaceUse, id: LedgerId, source: &SourceName) -> Self {
        Self {
            used_for,
            id,
            source: source.clone(),
            begun: None,
            passing: Vec::new(),
            published: Vec::new(),
        }
    }

    /// Returns what the directory is for.
    pub(in crate::engine) fn used_for(&self) -> PlaceUse {
        self.used_for
    }

    /// Reads the mark of a directory, if it has one. Refuses one that another user may have written.
    pub(in crate::engine) fn read(
        directory: &HeldDirectory,
        used_for: PlaceUse,
    ) -> Result<Option<Self>, Error> {
        let name = used_for.file_name();
        let path = directory.join(OsStr::new(name));
        let failed = |errno: Errno| Error::file("read", &path, errno.into());
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match rustix::fs::openat(directory, name, flags, Mode::empty()) {
            Ok(file) => File::from(file),
            Err(Errno::NOENT) => return Ok(None),
            Err(Errno::LOOP) => return Err(in_the_way(&path, "it is a symbolic link")),
            Err(errno) => return Err(failed(errno)),
        };
        let metadata = file
            .metadata()
            .map_err(|error| Error::file("look at", &path, error))?;
        if !metadata.is_file() || metadata.len() > LONGEST {
            return Err(in_the_way(&path, "it is not a file that coldchain wrote"));
        }
        require_open(&path, &file)?;
        let mut text = Vec::new();
        file.take(LONGEST)
            .read_to_end(&mut text)
            .map_err(|error| Error::file("read", &path, error))?;
        let mark: Option<Self> = serde_json::from_slice(&text).ok();
        let begun = mark.as_ref().and_then(|mark| mark.begun.as_ref());
        if begun.is_some_and(|begun| !is_component(&begun.name)) {
            return Err(in_the_way(
                &path,
                "it names a subvolume that coldchain did not make",
            ));
        }
        Ok(mark.map(|mark| Self { used_for, ..mark }))
    }

    /// Replaces the mark. After a crash, the old or the new one is there.
    pub(in crate::engine) fn write(&self, directory: &HeldDirectory) -> Result<(), Error> {
        let name = self.used_for.file_name();
        let path = directory.join(OsStr::new(name));
        let new = format!("{name}.{:016x}", u64::from_be_bytes(random_bytes()));
        let text = serde_json::to_vec(self).expect("a mark is plain data");
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let write = || -> io::Result<()> {
            let file = rustix::fs::openat(directory, &*new, flags, Mode::RUSR | Mode::WUSR)?;
            let mut file = File::from(file);
            file.write_all(&text)?;
            file.sync_all()?;
            rustix::fs::renameat(directory, &*new, directory, name)?;
            Ok(rustix::fs::fsync(directory)?)
        };
        write().map_err(|error| {
            let _ = rustix::fs::unlinkat(directory, &*new, AtFlags::empty());
            Error::file("write", path, error)
        })
    }
}

/// Keeps other runs out of a directory until the returned value is dropped or the process ends.
pub(in crate::engine) fn lock(
    directory: &HeldDirectory,
    source: &SourceName,
) -> Result<OwnedFd, Error> {
    let failed = |error| Error::file("lock", directory.path(), error);
    let held = directory.as_fd().try_clone_to_owned().map_err(failed)?;
    match flock(&held, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(held),
        Err(Errno::WOULDBLOCK) => Err(Error::Busy(source.clone())),
        Err(errno) => Err(failed(errno.into())),
    }
}

/// Removes unfinished marks that a crash left. Only files with such names are removed.
pub(in crate::engine) fn remove_unfinished(directory: &HeldDirectory) -> Result<(), Error> {
    for name in directory.names()? {
        if is_unfinished(&name) {
            match rustix::fs::unlinkat(directory, &*name, AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT | Errno::ISDIR) => {}
                Err(errno) => {
                    let path = directory.join(OsStr::from_bytes(&name));
                    return Err(Error::file("remove", path, errno.into()));
                }
            }
        }
    }
    Ok(())
}

/// Returns whether a name is that of an unfinished mark. Earlier versions always used the same name.
fn is_unfinished(name: &[u8]) -> bool {
    let of = |used_for: PlaceUse| name.strip_prefix(used_for.file_name().as_bytes());
    of(PlaceUse::Restore)
        .or_else(|| of(PlaceUse::Mirror))
        .and_then(|rest| rest.strip_prefix(b"."))
        .is_some_and(|rest| rest == b"new" || (rest.len() == 16 && rest.is_ascii()))
}

/// Returns the error that something else is where the subvolumes would go.
pub(in crate::engine) fn in_the_way(path: &Path, what: &str) -> Error {
    Error::Restore(RestoreError::TargetInTheWay {
        path: path.to_owned(),
        what: what.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_made_just_then_and_is_not_ended_is_what_was_told() {
        let told = Told::now(Some(Uuid([1; 16])));
        let begun = SubvolumeIdentity {
            subvolume_id: 300,
            uuid: Uuid([2; 16]),
            parent_uuid: Some(Uuid([1; 16])),
            received_uuid: None,
            ctransid: 10,
            otransid: 10,
            read_only: false,
        };
        let within = Duration::from_secs(30);
        let at = SystemTime::from(told.at);
        let second = Duration::from_secs(1);
        let made = |subvolume: &SubvolumeIdentity, when| told.made(subvolume, when, within);
        assert!(made(&begun, at) && made(&begun, at + second));
        assert!(made(&begun, at - Duration::from_millis(4)));
        assert!(!made(&begun, at - second) && !made(&begun, at + 31 * second));
        for other in [
            SubvolumeIdentity {
                read_only: true,
                ..begun
            },
            SubvolumeIdentity {
                received_uuid: Some(Uuid([3; 16])),
                ..begun
            },
            SubvolumeIdentity {
                parent_uuid: None,
                ..begun
            },
        ] {
            assert!(!made(&other, at), "{other:?}");
        }
        let full = Told {
            parent: None,
            ..told
        };
        assert!(!full.made(&begun, at, within));
    }
}
