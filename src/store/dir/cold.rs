//! Playing a cold class: a file beside each object that lies in one remembers the class and the
//! thaw.
//!
//! It is durable before its object appears, and goes after it. So an object in a cold class always
//! has one, while one without an object means nothing: the next put of that key sees to it. It stays
//! with the object when the store is opened without a class to play.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::open_file;
use super::temporary::Temporary;
use crate::model::{StorageClass, TierRefused};
use crate::store::place::sync_directory;
use crate::store::{Readability, Thaw, ThawRequest};

/// No component of a key begins with it.
const PREFIX: &str = ".cold-";

/// What is remembered of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Cold {
    pub(super) class: StorageClass,
    thaw: Option<Thawed>,
}

/// The last thaw, which may be under way, done, or over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Thawed {
    asked_at: DateTime<Utc>,
    ready_at: DateTime<Utc>,
    readable_until: DateTime<Utc>,
}

/// It says something else than this program writes; taking its object for a readable one would
/// rehearse nothing.
#[derive(Debug, thiserror::Error)]
#[error("{} does not say how cold its object lies", .path.display())]
struct Damaged {
    path: PathBuf,
    #[source]
    source: serde_json::Error,
}

impl Cold {
    /// As it is put.
    pub(super) fn new(class: StorageClass) -> Self {
        Self { class, thaw: None }
    }

    /// What is remembered of the object at that path.
    pub(super) fn read(object: &Path) -> io::Result<Option<Self>> {
        let path = beside(object);
        let mut file = match open_file(&path) {
            Ok(file) => file,
            Err(error) if is_absent(&error) => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut text = Vec::new();
        file.read_to_end(&mut text)?;
        serde_json::from_slice(&text)
            .map(Some)
            .map_err(|source| io::Error::new(io::ErrorKind::InvalidData, Damaged { path, source }))
    }

    /// Remembers this of the object at that path, durably, in the place of what was remembered.
    pub(super) fn write(&self, object: &Path) -> io::Result<()> {
        let text = serde_json::to_vec(self).expect("it has string keys");
        let mut temporary = Temporary::beside(object)?;
        let written = temporary
            .write(&text, None)
            .and_then(|()| fs::rename(temporary.path(), beside(object)));
        if written.is_err() {
            temporary.remove();
        }
        written?;
        sync_directory(directory(object))
    }

    /// Remembers nothing of that object any more.
    pub(super) fn forget(object: &Path) -> io::Result<()> {
        match fs::remove_file(beside(object)) {
            Ok(()) => match sync_directory(directory(object)) {
                Err(error) if is_absent(&error) => Ok(()),
                synced => synced,
            },
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

    /// Answers a request as S3 does. `delay` is how long a thaw takes in whatever tier.
    ///
    /// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_RestoreObject.html>
    pub(super) fn thaw(
        &mut self,
        request: ThawRequest,
        delay: Option<Duration>,
        now: DateTime<Utc>,
    ) -> Result<Thaw, TierRefused> {
        if !self.class.is_cold() {
            return Ok(Thaw::NotCold);
        }
        // Also where the delay is given: a rehearsal that asks for what is not there has to fail.
        let typical = self.class.thaw_time(request.tier)?;
        let takes = TimeDelta::from_std(delay.unwrap_or(typical)).unwrap_or(TimeDelta::MAX);
        let ready_at = after(now, takes);
        let days = TimeDelta::days(request.days.into());
        let was = self.readability(now);
        match (&mut self.thaw, was) {
            (Some(thaw), Readability::Thawing(_)) => {
                // A faster tier speeds it up; the days stay those that were asked for first.
                if ready_at < thaw.ready_at {
                    let days = thaw.readable_until - thaw.ready_at;
                    thaw.ready_at = ready_at;
                    thaw.readable_until = after(ready_at, days);
                }
                Ok(Thaw::Running)
            }
            (Some(thaw), Readability::Until(..)) => {
                thaw.readable_until = after(now, days);
                Ok(Thaw::Accepted)
            }
            (thaw, _) => {
                *thaw = Some(Thawed {
                    asked_at: now,
                    ready_at,
                    readable_until: after(ready_at, days),
                });
                Ok(Thaw::Accepted)
            }
        }
    }
}

fn after(time: DateTime<Utc>, wait: TimeDelta) -> DateTime<Utc> {
    time.checked_add_signed(wait)
        .unwrap_or(DateTime::<Utc>::MAX_UTC)
}

fn beside(object: &Path) -> PathBuf {
    let mut name = std::ffi::OsString::from(PREFIX);
    name.push(object.file_name().expect("a key has a last component"));
    object.with_file_name(name)
}

fn directory(object: &Path) -> &Path {
    object.parent().expect("a key has a parent")
}

/// A name that is as long as the filesystem allows has none longer beside it.
fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::InvalidFilename
    )
}

/// Held while an object and what is remembered of it are brought in line, so that they belong to
/// the same put.
#[derive(Debug)]
pub(super) struct Lock {
    _directory: Option<File>,
    _process: MutexGuard<'static, ()>,
}

impl Lock {
    /// Waits for whoever is at the objects of that one's directory.
    pub(super) fn over(object: &Path) -> Self {
        static PROCESS: Mutex<()> = Mutex::new(());
        let process = PROCESS.lock().expect("no holder panics");
        // A filesystem without locks keeps other processes out no better than without cold classes;
        // and where there is no directory, there is nothing to be kept from.
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
            _directory: File::open(directory(object)).ok().and_then(locked),
            _process: process,
        }
    }
}
