//! Lines about what can't be read, a few at a time: a program that reads a whole tree meets the same trouble in each file.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::model::{ArchiveId, SourceName};
use crate::progress::{Event, Observer};

/// How long nothing is said of an archive after a line about it.
const PAUSE: Duration = Duration::from_mins(1);

pub(super) struct MountWarnings<'a> {
    observer: &'a dyn Observer,
    said: Mutex<HashMap<ArchiveId, Instant>>,
    /// What is said but once.
    once: Mutex<BTreeSet<String>>,
}

impl<'a> MountWarnings<'a> {
    pub(super) fn new(observer: &'a dyn Observer) -> Self {
        Self {
            observer,
            said: Mutex::default(),
            once: Mutex::default(),
        }
    }

    /// Says something about an archive, unless that was done a short time ago.
    pub(super) fn of_archive(
        &self,
        source: &SourceName,
        archive: ArchiveId,
        message: impl FnOnce() -> String,
    ) {
        let now = Instant::now();
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if said.get(&archive).is_some_and(|last| now - *last < PAUSE) {
            return;
        }
        said.insert(archive, now);
        drop(said);
        self.say(source, message());
    }

    /// Says something, unless that was said before.
    pub(super) fn say_once(&self, source: &SourceName, message: String) {
        let mut once = self.once.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = once.insert(format!("{source}: {message}"));
        drop(once);
        if is_new {
            self.say(source, message);
        }
    }

    fn say(&self, source: &SourceName, message: String) {
        self.observer.event(Event::Warning {
            source: source.clone(),
            message,
        });
    }
}
