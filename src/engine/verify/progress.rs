//! Reports the progress of a level from time to time.

use super::Verifying;
use crate::model::SourceName;
use crate::progress::{Counted, Event, Observer};

/// The progress of a level.
pub(super) struct Progress<'a> {
    observer: &'a dyn Observer,
    source: &'a SourceName,
    level: &'static str,
    counted: Counted,
    done: u64,
    of: u64,
}

impl<'a> Progress<'a> {
    pub(super) fn begin(
        verifying: &'a Verifying<'_>,
        level: &'static str,
        counted: Counted,
        of: u64,
    ) -> Self {
        let progress = Self {
            observer: verifying.observer,
            source: verifying.source.name(),
            level,
            counted,
            done: 0,
            of,
        };
        progress.tell();
        progress
    }

    /// Adds to what is done, and reports it.
    pub(super) fn add(&mut self, more: u64) {
        self.done += more;
        self.tell();
    }

    fn tell(&self) {
        self.observer.event(Event::Checking {
            source: self.source.clone(),
            level: self.level,
            done: self.done,
            of: self.of,
            counted: self.counted,
        });
    }
}

impl Drop for Progress<'_> {
    fn drop(&mut self) {
        self.observer.event(Event::CheckedLevel {
            source: self.source.clone(),
            level: self.level,
        });
    }
}
