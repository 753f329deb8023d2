//! Plays a cold class: a file beside each object in it records the class and the thaw.
//!
//! This file is durable before its object appears, and is removed after it. So an object in a cold class
//! always has one. A file without an object means nothing, and the next put of that key replaces or removes
//! it. The file stays with the object when the store is opened without a class to play.

use std::fs::File;
use std::io::{self, Read};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::directory::{Directory, LinkInTheWay, Spot, is_link, split};
use super::temporary::Temporary;
use crate::model::{StorageClass, TierRefused};
use crate::store::{Readability, ThawAnswer, ThawRequest};

/// The first part of the file's name. No component of a key begins with it.
const PREFIX: &str = ".cold-";

/// The most bytes of the file that are read. It has some 200.
const LARGEST_FILE: u64 = 4096;

/// The record of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Cold {
    pub(super) class: StorageClass,
    thaw: Option<Thawed>,
}

/// The last thaw. It may be running, done, or expired.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Thawed {
    asked_at: DateTime<Utc>,
    ready_at: DateTime<Utc>,
    readable_until: DateTime<Utc>,
}

/// The file has another content than this program writes. Its object must not count as readable: that would
/// make a drill useless.
#[derive(Debug, thiserror::Error)]
#[error("{key} does not have the storage class and the thaw of its object")]
struct Damaged {
    key: String,
    #[source]
    source: serde_json::Error,
}

impl Cold {
    /// Returns the record of an object that is just put.
    pub(super) fn new(class: StorageClass) -> Self {
        Self { class, thaw: None }
    }

    /// Reads the record of the object with this key, which is in this directory.
    pub(super) fn read(directory: &Directory, key: &str) -> io::Result<Option<Self>> {
        let (above, object) = split(key);
        let name = beside(object);
        let key = || format!("{above}/{name}").trim_start_matches('/').to_owned();
        let file = match directory.open(&name) {
            Ok(file) => file,
            Err(error) if is_absent(&error) => return Ok(None),
            Err(error) if is_link(&error) => return Err(LinkInTheWay::at(&key())),
            Err(error) => return Err(error),
        };
        let mut text = Vec::new();
        file.take(LARGEST_FILE).read_to_end(&mut text)?;
        serde_json::from_slice(&text).map(Some).map_err(|source| {
            let key = key();
            io::Error::new(io::ErrorKind::InvalidData, Damaged { key, source })
        })
    }

    /// Writes the record of an object durably, and replaces an earlier record.
    pub(super) fn write(&self, object: &Spot<'_>) -> io::Result<()> {
        let text = serde_json::to_vec(self).expect("it has string keys");
        let directory = &object.directory;
        let mut temporary = Temporary::in_directory(directory)?;
        let written = temporary
            .write(&text, None)
            .and_then(|()| directory.rename(temporary.name(), &beside(object.name)));
        if written.is_err() {
            temporary.remove(directory);
        }
        written?;
        directory.sync()
    }

    /// Removes the record of an object.
    pub(super) fn forget(object: &Spot<'_>) -> io::Result<()> {
        match object.directory.remove(&beside(object.name)) {
            Ok(()) => object.sync(),
            Err(error) if is_absent(&error) => Ok(()),
            Err(error) => Err(error),
        }
    }

    pub(super) fn readability(&self, now: DateTime<Utc>) -> Readability {
        match self.thaw {
            _ if !self.class.is_cold() => Readability::Always,
            Some(thaw) if now < thaw.ready_at => Readability::Thawing(self.class),
            Some(thaw) if now < thaw.readable_until => {
                Readability::Until(self.class, thaw.readable_until)
            }
            _ => Readability::Cold(self.class),
        }
    }

    /// Answers a thaw request as S3 does. `delay` is how long a thaw takes in every tier; `None` for the
    /// times of AWS.
    ///
    /// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_RestoreObject.html>
    pub(super) fn thaw(
        &mut self,
        request: ThawRequest,
        delay: Option<Duration>,
        now: DateTime<Utc>,
    ) -> Result<ThawAnswer, TierRefused> {
        if !self.class.is_cold() {
            return Ok(ThawAnswer::NotCold);
        }
        // Check the tier even if a delay is given: a request for a tier that does not exist must fail.
        let typical = self.class.thaw_time(request.tier)?;
        let takes = TimeDelta::from_std(delay.unwrap_or(typical)).unwrap_or(TimeDelta::MAX);
        let ready_at = after(now, takes);
        let days = TimeDelta::days(request.days.into());
        let was = self.readability(now);
        match (&mut self.thaw, was) {
            (Some(thaw), Readability::Thawing(_)) => {
                // A faster tier speeds it up. The number of days stays that of the first request.
                if ready_at < thaw.ready_at {
                    let days = thaw.readable_until - thaw.ready_at;
                    thaw.ready_at = ready_at;
                    thaw.readable_until = after(ready_at, days);
                }
                Ok(ThawAnswer::Running)
            }
            (Some(thaw), Readability::Until(..)) => {
                thaw.readable_until = after(now, days);
                Ok(ThawAnswer::Accepted)
            }
            (thaw, _) => {
                *thaw = Some(Thawed {
                    asked_at: now,
                    ready_at,
                    readable_until: after(ready_at, days),
                });
                Ok(ThawAnswer::Accepted)
            }
        }
    }
}

fn after(time: DateTime<Utc>, wait: TimeDelta) -> DateTime<Utc> {
    time.checked_add_signed(wait)
        .unwrap_or(DateTime::<Utc>::MAX_UTC)
}

fn beside(object: &str) -> String {
    format!("{PREFIX}{object}")
}

/// Returns whether there is no record. An object's name can be so long that the longer name of a record is
/// not possible.
fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::InvalidFilename
    )
}

/// A lock that is held while an object and its record are changed, so that both belong to the same put.
#[derive(Debug)]
pub(super) struct ColdLock {
    _directory: Option<File>,
    _process: MutexGuard<'static, ()>,
}

impl ColdLock {
    /// Locks the directory of an object, and waits for any other holder.
    pub(super) fn over(object: &Spot<'_>) -> Self {
        static PROCESS: Mutex<()> = Mutex::new(());
        let process = PROCESS.lock().expect("no holder panics");
        // Without locks in the filesystem, other processes are not kept out, just as without cold classes.
        // Without the directory, there is nothing to protect.
        let locked = |file: File| {
            loop {
                match file.lock() {
                    Ok(()) => return Some(file),
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(_) => return None,
                }
            }
        };
        Self {
            _directory: object.directory.file().ok().and_then(locked),
            _process: process,
        }
    }
}
