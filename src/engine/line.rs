//! What is on its way to a store: how much waits for the line, and how fast it goes.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What a rate is taken over: long enough that pieces of a body don't show, short enough to follow a line
/// that changes.
const OVER: Duration = Duration::from_secs(4);

/// Less than this says nothing of a rate.
const AT_LEAST: Duration = Duration::from_millis(200);

/// Objects that are being sent. Clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct Line(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    sending: Vec<(u64, Arc<AtomicU64>)>,
    /// Bytes of objects that are stored.
    stored: u64,
    /// How much had been moved when, oldest first, since the line was last idle.
    seen: VecDeque<(Instant, u64)>,
}

/// An object on its way; gone from the line when this is dropped.
#[derive(Debug)]
pub(super) struct OnItsWay {
    line: Line,
    moved: Arc<AtomicU64>,
}

/// How it stands with the line.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Standing {
    /// Bytes that are still to be moved.
    pub(super) waiting: u64,
    /// Bytes a second; `None` as long as too little was seen.
    pub(super) rate: Option<f64>,
}

impl Line {
    /// An object of so many bytes begins. Whoever sends it adds to [`OnItsWay::moved`].
    pub(super) fn begin(&self, bytes: u64) -> OnItsWay {
        let moved = Arc::new(AtomicU64::new(0));
        self.state().sending.push((bytes, moved.clone()));
        OnItsWay {
            line: self.clone(),
            moved,
        }
    }

    /// How it stands now.
    pub(super) fn standing(&self, now: Instant) -> Standing {
        let mut state = self.state();
        let waiting = state.waiting();
        let moved = state.moved();
        if state.sending.is_empty() {
            // What comes after a pause says nothing of the time before it.
            state.seen.clear();
            return Standing {
                waiting: 0,
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
            (passed >= AT_LEAST).then(|| bytes / passed.as_secs_f64())
        });
        seen.push_back((now, moved));
        Standing { waiting, rate }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// What is sent again after a failure was moved, and is still waited for.
    fn moved(&self) -> u64 {
        let sending = self.sending.iter();
        let sending = sending.map(|(bytes, moved)| moved.load(Ordering::Relaxed).min(*bytes));
        self.stored + sending.sum::<u64>()
    }

    fn waiting(&self) -> u64 {
        let sending = self.sending.iter();
        let sending =
            sending.map(|(bytes, moved)| bytes.saturating_sub(moved.load(Ordering::Relaxed)));
        sending.sum()
    }
}

impl OnItsWay {
    /// What counts the bytes that have gone.
    pub(super) fn moved(&self) -> Arc<AtomicU64> {
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
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_and_how_fast_it_goes() {
        let line = Line::default();
        let begun = Instant::now();
        let after = |milliseconds| begun + Duration::from_millis(milliseconds);
        let idle = Standing {
            waiting: 0,
            rate: None,
        };
        assert_eq!(line.standing(begun), idle);
        let first = line.begin(1000);
        let second = line.begin(500);
        let standing = line.standing(begun);
        assert_eq!((standing.waiting, standing.rate), (1500, None));
        first.moved().fetch_add(400, Ordering::Relaxed);
        assert_eq!(line.standing(after(100)).rate, None, "too little was seen");
        second.moved().fetch_add(100, Ordering::Relaxed);
        let standing = line.standing(after(1000));
        assert_eq!((standing.waiting, standing.rate), (1000, Some(500.0)));
        // Sent once more from its beginning.
        second.moved().fetch_add(600, Ordering::Relaxed);
        assert_eq!(line.standing(after(2000)).waiting, 600);
        drop(second);
        let standing = line.standing(after(2000));
        assert_eq!((standing.waiting, standing.rate), (600, Some(450.0)));
        // Of the last seconds alone.
        line.standing(after(5900));
        let standing = line.standing(after(10_000));
        assert_eq!((standing.waiting, standing.rate), (600, Some(0.0)));
        drop(first);
        assert_eq!(line.standing(after(10_000)), idle);
    }
}
