//! `compression = "auto"`: frames are compressed as hard as the line to the store leaves time for.
//!
//! Two speeds go in: the sealer reports how long each frame took, the uploader what it sends. The level of the next
//! frame comes out.

mod choice;
mod uploads;

use std::ops::RangeInclusive;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use choice::Choice;
#[cfg(test)]
pub(super) use choice::STEPS;
pub(super) use choice::Took;
use uploads::Uploads;

/// Chooses the level of each frame of a stream. Clones share what they know.
#[derive(Debug, Clone)]
pub struct AutoLevel(Arc<Mutex<AutoLevelState>>);

#[derive(Debug)]
struct AutoLevelState {
    uploads: Uploads,
    choice: Choice,
}

impl AutoLevel {
    /// Chooses among the steps between two levels. So many threads compress.
    pub fn new(levels: RangeInclusive<i32>, threads: usize, segment_bytes: u64) -> Self {
        Self(Arc::new(Mutex::new(AutoLevelState {
            uploads: Uploads::default(),
            choice: Choice::new(levels, threads, segment_bytes),
        })))
    }

    /// Learns how fast an object of so many bytes is sent. `store` adds to the counter what it has sent.
    pub fn upload<T>(&self, bytes: u64, store: impl FnOnce(Arc<AtomicU64>) -> T) -> T {
        let sent = self.state().uploads.begin(bytes, Instant::now());
        let result = store(sent.clone());
        self.state().uploads.end(&sent, Instant::now());
        result
    }

    /// Learns how long a frame took.
    pub(super) fn learn(&self, took: Took) {
        self.state().choice.learn(took);
    }

    /// Returns the level of the next frame. `unsent` is the length of the segments that are sealed and not yet stored.
    pub(super) fn next_level(&self, raw_bytes: u64, unsent: u64) -> i32 {
        let mut state = self.state();
        let (waiting, rate) = state.uploads.waiting(Instant::now(), unsent);
        state.choice.next_level(raw_bytes, waiting, rate)
    }

    fn state(&self) -> MutexGuard<'_, AutoLevelState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seal::test_data::small_options;
    use crate::seal::{ArchiveKey, Sealer};

    #[test]
    fn a_sealer_asks_for_each_level_and_reports_what_frames_take() {
        let auto = AutoLevel::new(5..=12, 1, 4096);
        let endless_work = || auto.state().choice.next_level(1, u64::MAX, Some(1.0));
        assert_eq!(endless_work(), 5, "nothing is known");
        let key = ArchiveKey::generate();
        let (mut sealer, _receiver) = Sealer::start(small_options(1), &key).unwrap();
        sealer.choose_levels(auto.clone());
        sealer.push(vec![1; 1024]).unwrap();
        sealer.finish().unwrap();
        assert_eq!(endless_work(), 12);
    }
}
