//! What is on its way to a store: how much waits for the line, and how fast it goes.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What a rate is taken over: long enough that pieces of a body don't show, short enough to follow a line
/// that changes.
const OVER: Duration = Duration::from_secs(15);

/// What an idle line is given goes into buffers, some megabytes at once: its rate is what is seen after that.
const BUFFERS_FILL: Duration = Duration::from_millis(300);

/// Between one object and the next: what is checked and written down then takes no longer.
const SHORT_GAP: Duration = Duration::from_secs(1);

/// Less than this says nothing of a rate.
const AT_LEAST: Duration = Duration::from_millis(200);

/// Objects that are being sent. Clones share it.
#[derive(Debug, Clone, Default)]
pub(in crate::engine) struct UploadMonitor(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    sending: Vec<(u64, Arc<AtomicU64>)>,
    /// Bytes of objects that are stored.
    stored: u64,
    /// Since when something is being sent, but for short gaps; and since when nothing is.
    busy_since: Option<Instant>,
    idle_since: Option<Instant>,
    /// How much had been moved when, oldest first, since its buffers were full.
    seen: VecDeque<(Instant, u64)>,
}

/// An object on its way; gone from the line when this is dropped.
#[derive(Debug)]
pub(in crate::engine) struct OnItsWay {
    line: UploadMonitor,
    moved: Arc<AtomicU64>,
}

/// How it stands with the line.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::engine) struct Standing {
    /// Bytes that are still to be moved.
    pub(in crate::engine) waiting: u64,
    /// Bytes a second; `None` as long as too little was seen.
    pub(in crate::engine) rate: Option<f64>,
}

impl UploadMonitor {
    /// An object of so many bytes begins. Whoever sends it adds to [`OnItsWay::moved`].
    pub(in crate::engine) fn begin(&self, bytes: u64) -> OnItsWay {
        self.begin_at(bytes, Instant::now())
    }

    fn begin_at(&self, bytes: u64, now: Instant) -> OnItsWay {
        let moved = Arc::new(AtomicU64::new(0));
        let mut state = self.state();
        let gap = state.idle_since.take();
        if gap.is_none_or(|gap| now.saturating_duration_since(gap) > SHORT_GAP)
            && state.sending.is_empty()
        {
            // What comes after a pause says nothing of the time before it.
            state.busy_since = Some(now);
            state.seen.clear();
        }
        state.sending.push((bytes, moved.clone()));
        drop(state);
        OnItsWay {
            line: self.clone(),
            moved,
        }
    }

    /// How it stands now, where so many bytes were handed out and not let go of: those on their way, and others
    /// that wait for their turn.
    pub(in crate::engine) fn standing(&self, now: Instant, handed_out: u64) -> Standing {
        let mut state = self.state();
        let waiting = handed_out.saturating_sub(state.on_their_way());
        let moved = state.moved();
        let fills = |since: Instant| now.saturating_duration_since(since) < BUFFERS_FILL;
        if state.busy_since.is_none_or(fills) {
            return Standing {
                waiting,
                rate: None,
            };
        }
        let seen = &mut state.seen;
        while seen.len() > 1 && seen[1].0 + OVER <= now {
            seen.pop_front();
        }
        let rate = seen.front().and_then(|(then, before)| {
            let passed = now.saturating_duration_since(*then);
            #[expect(clippy::cast_precision_loss, reason = "a rate is an estimate")]
            let bytes = moved.saturating_sub(*before) as f64;
            // A store that can't tell how far it is has moved nothing yet, and is no slow one.
            (passed >= AT_LEAST && bytes > 0.0).then(|| bytes / passed.as_secs_f64())
        });
        seen.push_back((now, moved));
        Standing { waiting, rate }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Bytes that were ever moved.
    fn moved(&self) -> u64 {
        self.stored + self.on_their_way()
    }

    /// Bytes that were moved of objects that are not stored yet. What is sent again after a failure counts once.
    fn on_their_way(&self) -> u64 {
        let sending = self.sending.iter();
        let sending = sending.map(|(bytes, moved)| moved.load(Ordering::Relaxed).min(*bytes));
        sending.sum()
    }
}

impl OnItsWay {
    /// What counts the bytes that have gone.
    pub(in crate::engine) fn moved(&self) -> Arc<AtomicU64> {
        self.moved.clone()
    }
}

impl Drop for OnItsWay {
    fn drop(&mut self) {
        let mut state = self.line.state();
        let its = |(_, moved): &(u64, Arc<AtomicU64>)| Arc::ptr_eq(moved, &self.moved);
        if let Some(at) = state.sending.iter().position(its) {
            let (bytes, _) = state.sending.swap_remove(at);
            state.stored += bytes;
        }
        if state.sending.is_empty() {
            state.idle_since = Some(Instant::now());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_and_how_fast_it_goes() {
        let line = UploadMonitor::default();
        let begun = Instant::now();
        let after = |milliseconds| begun + Duration::from_millis(milliseconds);
        let standing = |milliseconds, handed_out| {
            let standing = line.standing(after(milliseconds), handed_out);
            (standing.waiting, standing.rate)
        };
        assert_eq!(standing(0, 0), (0, None), "nothing was ever sent");
        let first = line.begin_at(1000, begun);
        let second = line.begin_at(500, begun);
        assert_eq!(standing(0, 1500), (1500, None));
        first.moved().fetch_add(400, Ordering::Relaxed);
        assert_eq!(standing(299, 1500), (1100, None), "it goes into buffers");
        assert_eq!(standing(500, 1500), (1100, None));
        second.moved().fetch_add(100, Ordering::Relaxed);
        assert_eq!(standing(600, 1500), (1000, None), "too little was seen");
        // Others wait for their turn.
        assert_eq!(standing(1500, 1700), (1200, Some(100.0)));
        // Sent once more from its beginning.
        second.moved().fetch_add(600, Ordering::Relaxed);
        assert_eq!(standing(2500, 1500), (600, Some(250.0)));
        drop(second);
        assert_eq!(standing(2500, 1000), (600, Some(250.0)));
        // Of the last seconds alone; and nothing is known while nothing moves.
        standing(17_400, 1000);
        assert_eq!(standing(32_500, 1000), (600, None));
        drop(first);
        assert_eq!(standing(32_500, 0), (0, Some(600.0 / 15.1)));
    }

    #[test]
    fn a_pause_is_no_time_in_which_the_line_was_slow_and_a_short_gap_is_none() {
        let line = UploadMonitor::default();
        let begun = Instant::now();
        let after = |milliseconds| begun + Duration::from_millis(milliseconds);
        let rate = |milliseconds| line.standing(after(milliseconds), 5000).rate;
        let first = line.begin_at(1000, begun);
        assert_eq!(rate(500), None);
        first.moved().fetch_add(1000, Ordering::Relaxed);
        drop(first);
        assert_eq!(rate(1000), Some(2000.0), "others wait for their turn");
        let second = line.begin_at(1000, after(1000));
        assert_eq!(rate(1500), Some(1000.0));
        drop(second);
        let third = line.begin_at(1000, after(60_000));
        assert_eq!(rate(60_300), None);
        third.moved().fetch_add(100, Ordering::Relaxed);
        assert_eq!(rate(60_500), Some(500.0));
    }
}
