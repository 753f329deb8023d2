//! The mark of a restore's directory: whose restore it is, and which subvolumes in it were begun.
//!
//! What stands in a directory without the mark is none of coldchain's. With it, only the subvolumes that it
//! names, by name and subvolume id, are ever deleted.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::time::{Duration, SystemTime};

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::model::{LedgerId, SourceName, SubvolumeIdentity, Uuid};

const NAME: &str = ".coldchain-restore.json";

/// The mark.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Mark {
    pub(super) ledger: LedgerId,
    pub(super) source: SourceName,
    /// The subvolume that was begun, until it stands under its date.
    pub(super) begun: Option<Begun>,
    /// What was received on the way to a later date, and goes once the next stands.
    #[serde(default)]
    pub(super) passing: Vec<Passing>,
}

/// A subvolume that was begun here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Begun {
    /// Its name: bytes, not always text, because a stream gives it.
    pub(super) name: Vec<u8>,
    /// Its subvolume id; `None` until it is known to have been made.
    pub(super) subvolume_id: Option<u64>,
    /// When this was written down, before `btrfs receive` was told to make it, and what it is then made of.
    #[serde(default)]
    pub(super) told: Option<Told>,
}

/// What `btrfs receive` was told to make, when nothing stood in its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Told {
    /// When.
    at: DateTime<Utc>,
    /// The subvolume here that it begins as a snapshot of.
    parent: Option<Uuid>,
}

impl Told {
    /// Told now.
    pub(super) fn now(parent: Option<Uuid>) -> Self {
        Self {
            at: Utc::now(),
            parent,
        }
    }

    /// Whether a subvolume that stands there can be nothing else: made just then and of the same one, and
    /// left as only a receive that has not ended leaves it.
    pub(super) fn made(
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
pub(super) struct Passing {
    /// The date, which is its name.
    pub(super) date: NaiveDate,
    /// Its subvolume id.
    pub(super) subvolume_id: u64,
}

impl Mark {
    pub(super) fn new(ledger: LedgerId, source: &SourceName) -> Self {
        Self {
            ledger,
            source: source.clone(),
            begun: None,
            passing: Vec::new(),
        }
    }

    /// The mark of a directory, if it has one.
    pub(super) fn read(directory: &Path) -> Result<Option<Self>, Error> {
        let path = directory.join(NAME);
        match std::fs::read(&path) {
            Ok(text) => Ok(serde_json::from_slice(&text).ok()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::file("read", path, error)),
        }
    }

    /// Replaces the mark as a whole: a crash leaves the old or the new one.
    pub(super) fn write(&self, directory: &Path) -> Result<(), Error> {
        let path = directory.join(NAME);
        let new = directory.join(unfinished());
        let text = serde_json::to_vec(self).expect("a mark is plain data");
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
}

fn unfinished() -> OsString {
    format!("{NAME}.new").into()
}

/// Keeps other restores out of a directory, until the process ends.
pub(super) fn lock(directory: &Path, source: &SourceName) -> Result<File, Error> {
    let failed = |error| Error::file("lock", directory, error);
    let file = File::open(directory).map_err(failed)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(Errno::WOULDBLOCK) => Err(Error::Busy(source.clone())),
        Err(errno) => Err(failed(errno.into())),
    }
}

/// Whether a directory is private and has nothing in it but a mark that was never finished.
pub(super) fn holds_nothing(directory: &Path) -> Result<bool, Error> {
    let failed = |error| Error::file("look into", directory, error);
    let mode = std::fs::metadata(directory)
        .map_err(failed)?
        .permissions()
        .mode();
    for item in std::fs::read_dir(directory).map_err(failed)? {
        if item.map_err(failed)?.file_name() != unfinished() {
            return Ok(false);
        }
    }
    Ok(mode & 0o777 == 0o700)
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
