//! What runs did, counted.

use std::collections::BTreeMap;
use std::sync::Mutex;

use coldchain::progress::{Event, Observer};

/// Says nothing, and counts what runs did.
#[derive(Debug, Default)]
pub(super) struct Tally(Mutex<BTreeMap<&'static str, u64>>);

impl Tally {
    pub(super) fn count(&self, what: &'static str) {
        *self.0.lock().unwrap().entry(what).or_default() += 1;
    }

    /// How often each thing was done.
    pub(super) fn counts(&self) -> BTreeMap<&'static str, u64> {
        self.0.lock().unwrap().clone()
    }
}

impl Observer for Tally {
    fn event(&self, event: Event) {
        match event {
            Event::Begun { .. } => self.count("streams read"),
            Event::Segment { .. } => self.count("segments stored"),
            Event::Skipped { .. } => self.count("segments passed over"),
            Event::Committed { .. } => self.count("archives committed"),
            Event::Planned { .. } => self.count("attempts gone on with"),
            Event::Warning { message, .. } if message.contains("is given up") => {
                self.count("attempts given up");
            }
            Event::Warning { .. } => self.count("other warnings"),
            _ => {}
        }
    }
}
