//! The mark of a restore's directory: whose restore it is, and which subvolumes in it were begun.
//!
//! What stands in a directory without the mark is none of coldchain's. With it, only the subvolumes that it
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
use crate::model::{LedgerId, SourceName, SubvolumeIdentity, Uuid};
use crate::owned::require_open;

const NAME: &str = ".coldchain-restore.json";

/// What the name of a mark begins with until it is whole.
const UNFINISHED: &str = ".coldchain-restore.json.";

/// How long `btrfs receive` may take from its first bytes to the subvolume's appearance.
pub(in crate::engine) const APPEARS_WITHIN: Duration = Duration::from_secs(30);

/// More bytes than any mark has.
const LONGEST: u64 = 1 << 20;

/// The mark.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::engine) struct RestoreState {
    pub(in crate::engine) ledger: LedgerId,
    pub(in crate::engine) source: SourceName,
    /// The subvolume that was begun, until it stands under its date.
    pub(in crate::engine) begun: Option<Begun>,
    /// What was received on the way to a later date, and goes once the next stands.
    #[serde(default)]
    pub(in crate::engine) passing: Vec<Passing>,
}

/// A subvolume that was begun here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::engine) struct Begun {
    /// Its name: bytes, not always text, because a stream gave it to versions before this one.
    pub(in crate::engine) name: Vec<u8>,
    /// Which directory it lies in.
    #[serde(default)]
    pub(in crate::engine) lies: Lies,
    /// Its subvolume id; `None` until it is known to have been made.
    pub(in crate::engine) subvolume_id: Option<u64>,
    /// When this was written down, before `btrfs receive` was told to make it, and what it is then made of.
    #[serde(default)]
    pub(in crate::engine) told: Option<Told>,
    /// Its date, if it is needed for the next one alone: it stands under that before it is noted as passing.
    #[serde(default)]
    pub(in crate::engine) passes: Option<NaiveDate>,
}

/// Where a subvolume was begun.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(in crate::engine) enum Lies {
    /// Among those that are whole, as versions before this one had it.
    #[default]
    AmongDates,
    /// In the staging directory.
    Staged,
}

/// What `btrfs receive` was told to make, when nothing stood in its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::engine) struct Told {
    /// When.
    at: DateTime<Utc>,
    /// The subvolume here that it begins as a snapshot of.
    parent: Option<Uuid>,
}

impl Told {
    /// Told now.
    pub(in crate::engine) fn now(parent: Option<Uuid>) -> Self {
        Self {
            at: Utc::now(),
            parent,
        }
    }

    /// Whether a subvolume that stands there can be nothing else: made just then and of the same one, and
    /// left as only a receive that has not ended leaves it.
    pub(in crate::engine) fn made(
        &self,
        subvolume: &SubvolumeIdentity,
        made_at: SystemTime,
        appears_within: Duration,
    ) -> bool {
        let after = DateTime::<Utc>::from(made_at) - self.at;
        // The filesystem's clock ticks, and lags behind by up to a tick.
        let tick = TimeDelta::milliseconds(100);
        let latest = TimeDelta::from_std(appears_within).unwrap_or(TimeDelta::MAX);
        !subvolume.read_only
            && subvolume.received_uuid.is_none()
            && subvolume.parent_uuid == self.parent
            && (-tick..=latest).contains(&after)
    }
}

/// A restored subvolume that is needed for the next one alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::engine) struct Passing {
    /// The date, which is its name.
    pub(in crate::engine) date: NaiveDate,
    /// Its subvolume id.
    pub(in crate::engine) subvolume_id: u64,
}

impl RestoreState {
    pub(in crate::engine) fn new(ledger: LedgerId, source: &SourceName) -> Self {
        Self {
            ledger,
            source: source.clone(),
            begun: None,
            passing: Vec::new(),
        }
    }

    /// The mark of a directory, if it has one. One that somebody else may have written is refused.
    pub(in crate::engine) fn read(directory: &HeldDirectory) -> Result<Option<Self>, Error> {
        let path = directory.join(OsStr::new(NAME));
        let failed = |errno: Errno| Error::file("read", &path, errno.into());
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match rustix::fs::openat(directory, NAME, flags, Mode::empty()) {
            Ok(file) => File::from(file),
            Err(Errno::NOENT) => return Ok(None),
            Err(Errno::LOOP) => return Err(in_the_way(&path, "it is a symbolic link")),
            Err(errno) => return Err(failed(errno)),
        };
        let metadata = file
            .metadata()
            .map_err(|error| Error::file("look at", &path, error))?;
        if !metadata.is_file() || metadata.len() > LONGEST {
            return Err(in_the_way(&path, "it is not a file that a restore wrote"));
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
                "it names a subvolume that no restore made",
            ));
        }
        Ok(mark)
    }

    /// Replaces the mark as a whole: a crash leaves the old or the new one.
    pub(in crate::engine) fn write(&self, directory: &HeldDirectory) -> Result<(), Error> {
        let path = directory.join(OsStr::new(NAME));
        let new = format!("{UNFINISHED}{:016x}", u64::from_be_bytes(random_bytes()));
        let text = serde_json::to_vec(self).expect("a mark is plain data");
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let write = || -> io::Result<()> {
            let file = rustix::fs::openat(directory, &*new, flags, Mode::RUSR | Mode::WUSR)?;
            let mut file = File::from(file);
            file.write_all(&text)?;
            file.sync_all()?;
            rustix::fs::renameat(directory, &*new, directory, NAME)?;
            Ok(rustix::fs::fsync(directory)?)
        };
        write().map_err(|error| {
            let _ = rustix::fs::unlinkat(directory, &*new, AtFlags::empty());
            Error::file("write", path, error)
        })
    }
}

/// Keeps other restores out of a directory, until what is returned is dropped or the process ends.
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

/// Removes marks that a crash left unfinished. They are files of these names and nothing else.
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

/// Whether a restore that was interrupted at once may have left that of a mark; versions before this one
/// gave it always the same name.
fn is_unfinished(name: &[u8]) -> bool {
    name.strip_prefix(UNFINISHED.as_bytes())
        .is_some_and(|rest| rest == b"new" || (rest.len() == 16 && rest.is_ascii()))
}

/// That something stands where the restore would go.
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
