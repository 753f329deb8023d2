//! What still has to be sent, and how fast the line is.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The time that a rate is taken over: long enough to even out the pieces of a body, short enough to follow the line.
const WINDOW: Duration = Duration::from_secs(15);

/// An idle line takes the first megabytes into its buffers at once; they say nothing of its rate.
const BUFFERS_FILL: Duration = Duration::from_millis(300);

/// A line that was idle for no longer was busy: the uploader checks and records an object before it sends it.
const SHORT_GAP: Duration = Duration::from_secs(1);

/// A rate over less time is no estimate.
const SHORTEST: Duration = Duration::from_millis(200);

/// The objects that are being sent, and what was sent before.
#[derive(Debug, Default)]
pub(super) struct Uploads {
    /// Each object's length, and how much of it was sent.
    sending: Vec<(u64, Arc<AtomicU64>)>,
    /// Bytes of the objects that were stored.
    stored: u64,
    idle_since: Option<Instant>,
    measured_from: Option<Instant>,
    /// How many bytes had been sent when, oldest first.
    seen: VecDeque<(Instant, u64)>,
}

impl Uploads {
    /// Adds an object, and returns the counter of the bytes that were sent of it.
    pub(super) fn begin(&mut self, bytes: u64, now: Instant) -> Arc<AtomicU64> {
        let was_short = |since| now.saturating_duration_since(since) <= SHORT_GAP;
        if self.sending.is_empty() && !self.idle_since.is_some_and(was_short) {
            self.measured_from = Some(now + BUFFERS_FILL);
            self.seen.clear();
        }
        let sent = Arc::new(AtomicU64::new(0));
        self.sending.push((bytes, sent.clone()));
        sent
    }

    /// Counts the object with that counter as stored.
    pub(super) fn end(&mut self, sent: &Arc<AtomicU64>, now: Instant) {
        let mut sending = self.sending.iter();
        if let Some(at) = sending.position(|(_, other)| Arc::ptr_eq(other, sent)) {
            self.stored += self.sending.swap_remove(at).0;
            self.idle_since = Some(now);
        }
    }

    /// Returns how many of `unsent` bytes still have to be sent, and the line's bytes per second, once it is known.
    pub(super) fn waiting(&mut self, now: Instant, unsent: u64) -> (u64, Option<f64>) {
        // An object that is sent again after a failure counts once.
        let of_object =
            |(bytes, sent): &(u64, Arc<AtomicU64>)| sent.load(Ordering::Relaxed).min(*bytes);
        let sending: u64 = self.sending.iter().map(of_object).sum();
        let waiting = unsent.saturating_sub(sending);
        if self.measured_from.is_none_or(|from| now < from) {
            return (waiting, None);
        }
        let sent = self.stored + sending;
        while self.seen.len() > 1 && self.seen[1].0 + WINDOW <= now {
            self.seen.pop_front();
        }
        let rate = self.seen.front().and_then(|(then, before)| {
            let passed = now.saturating_duration_since(*then);
            #[expect(clippy::cast_precision_loss, reason = "a rate is an estimate")]
            let bytes = sent.saturating_sub(*before) as f64;
            // A store that does not count what it sends is not a slow one.
            (passed >= SHORTEST && bytes > 0.0).then(|| bytes / passed.as_secs_f64())
        });
        self.seen.push_back((now, sent));
        (waiting, rate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn send(sent: &AtomicU64, bytes: u64) {
        sent.fetch_add(bytes, Ordering::Relaxed);
    }

    #[test]
    fn what_waits_and_how_fast_it_goes() {
        let mut line = Uploads::default();
        let begun = Instant::now();
        let after = |milliseconds| begun + Duration::from_millis(milliseconds);
        let waiting = |line: &mut Uploads, at, unsent| line.waiting(after(at), unsent);
        assert_eq!(waiting(&mut line, 0, 0), (0, None), "nothing was sent");
        let first = line.begin(1000, begun);
        let second = line.begin(500, begun);
        assert_eq!(waiting(&mut line, 0, 1500), (1500, None));
        send(&first, 400);
        // It goes into buffers.
        assert_eq!(waiting(&mut line, 299, 1500), (1100, None));
        assert_eq!(waiting(&mut line, 500, 1500), (1100, None));
        send(&second, 100);
        // Too little was seen.
        assert_eq!(waiting(&mut line, 600, 1500), (1000, None));
        // Others wait for their turn.
        assert_eq!(waiting(&mut line, 1500, 1700), (1200, Some(100.0)));
        // Sent once more from its beginning.
        send(&second, 600);
        assert_eq!(waiting(&mut line, 2500, 1500), (600, Some(250.0)));
        line.end(&second, after(2500));
        assert_eq!(waiting(&mut line, 2500, 1000), (600, Some(250.0)));
        // Of the last seconds alone; and nothing is known while nothing is sent.
        waiting(&mut line, 17_400, 1000);
        assert_eq!(waiting(&mut line, 32_500, 1000), (600, None));
        line.end(&first, after(32_500));
        assert_eq!(waiting(&mut line, 32_500, 0), (0, Some(600.0 / 15.1)));
    }

    #[test]
    fn a_pause_is_no_time_in_which_the_line_was_slow_and_a_short_gap_is_none() {
        let mut line = Uploads::default();
        let begun = Instant::now();
        let after = |milliseconds| begun + Duration::from_millis(milliseconds);
        let rate = |line: &mut Uploads, at| line.waiting(after(at), 5000).1;
        let first = line.begin(1000, begun);
        assert_eq!(rate(&mut line, 500), None);
        send(&first, 1000);
        line.end(&first, begun);
        // Others wait for their turn.
        assert_eq!(rate(&mut line, 1000), Some(2000.0));
        let second = line.begin(1000, after(1000));
        assert_eq!(rate(&mut line, 1500), Some(1000.0));
        line.end(&second, begun);
        let third = line.begin(1000, after(60_000));
        assert_eq!(rate(&mut line, 60_300), None);
        send(&third, 100);
        assert_eq!(rate(&mut line, 60_500), Some(500.0));
    }
}
