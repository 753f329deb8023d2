//! The pace of thaw requests: so many a second, and fewer while the service asks for less.

use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::retry::random_fraction;

/// The requests a second that a run sends if nothing else is said. S3 takes 1,000 thaw requests a second from
/// all of an account in a region ("Restoring large datasets" in
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/restoring-objects-retrieval-options.html>). The rest is
/// left to other machines and programs.
pub const DEFAULT_REQUESTS_PER_SECOND: NonZeroU32 = NonZeroU32::new(300).expect("it is not 0");

/// The slowest pace that answers of the service lead to.
const SLOWEST: f64 = 1.0;

/// How long it takes from a standstill to the full pace.
const RECOVERY: Duration = Duration::from_mins(1);

/// Answers within this time after one that slowed the pace down belong to the same burst.
const BURST: Duration = Duration::from_secs(1);

/// Keeps a pace over all threads that share it.
///
/// The time between two requests varies at random, by half of it in each direction, so that several machines do
/// not send their requests at the same moments.
#[derive(Debug, Clone)]
pub struct RequestPace {
    per_second: f64,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    /// The present pace, in requests a second.
    rate: f64,
    /// When the next request may be sent; `None` before the first.
    next: Option<Instant>,
    /// When the service last asked for less.
    slowed: Option<Instant>,
    /// When `rate` was last raised.
    raised: Option<Instant>,
}

impl RequestPace {
    /// Returns a pace of that many requests a second.
    pub fn new(per_second: NonZeroU32) -> Self {
        let per_second = f64::from(per_second.get());
        let state = State {
            rate: per_second,
            next: None,
            slowed: None,
            raised: None,
        };
        Self {
            per_second,
            state: Arc::new(Mutex::new(state)),
        }
    }

    /// Takes the next turn, and returns how long to wait for it.
    pub(super) fn turn(&self) -> Duration {
        self.turn_at(Instant::now(), random_fraction())
    }

    /// `random` is between 0 and 1.
    fn turn_at(&self, now: Instant, random: f64) -> Duration {
        let mut state = self.state();
        if let Some(raised) = state.raised {
            let share = (now - raised).as_secs_f64() / RECOVERY.as_secs_f64();
            state.rate = (state.rate + self.per_second * share).min(self.per_second);
            state.raised = (state.rate < self.per_second).then_some(now);
        }
        let between = Duration::from_secs_f64((0.5 + random) / state.rate);
        // The first request comes at a random moment too. Idle time is not saved up.
        let turn = match state.next {
            None => now + between.mul_f64(random),
            Some(next) => next.max(now),
        };
        state.next = Some(turn + between);
        turn.saturating_duration_since(now)
    }

    /// Halves the pace: the service asked for fewer requests.
    pub(super) fn slow_down(&self) {
        self.slow_down_at(Instant::now());
    }

    fn slow_down_at(&self, now: Instant) {
        let mut state = self.state();
        if state.slowed.is_some_and(|slowed| now - slowed < BURST) {
            return;
        }
        state.rate = (state.rate / 2.0).max(SLOWEST.min(self.per_second));
        state.slowed = Some(now);
        state.raised = Some(now);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for RequestPace {
    fn default() -> Self {
        Self::new(DEFAULT_REQUESTS_PER_SECOND)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pace(per_second: u32) -> RequestPace {
        RequestPace::new(NonZeroU32::new(per_second).unwrap())
    }

    /// Sends requests for a time, each as soon as its turn comes, and returns how many.
    fn sent(pace: &RequestPace, from: Instant, time: Duration, random: f64) -> usize {
        let (mut now, mut count) = (from, 0);
        loop {
            now += pace.turn_at(now, random);
            if now >= from + time {
                return count;
            }
            count += 1;
        }
    }

    const MINUTE: Duration = Duration::from_mins(1);

    #[test]
    fn no_more_requests_are_sent_than_agreed_whoever_sends_them() {
        let paced = pace(100);
        let start = Instant::now();
        let count = sent(&paced, start, MINUTE, 0.5);
        assert!((5_990..=6_001).contains(&count), "{count}");
        // Another thread shares the pace: its turn comes after all that were given.
        let other = paced.clone();
        let waits = other.turn_at(start, 0.5);
        assert!(waits >= MINUTE, "{waits:?}");
    }

    #[test]
    fn the_time_between_two_requests_varies_by_half_and_so_does_the_first() {
        let of = |random| {
            let paced = pace(10);
            let start = Instant::now();
            let first = paced.turn_at(start, random);
            let second = paced.turn_at(start, random).saturating_sub(first);
            [first, second].map(|time| time.as_millis())
        };
        assert_eq!(of(0.0), [0, 50]);
        assert_eq!(of(0.5), [50, 100]);
        assert_eq!(of(1.0), [150, 150]);
    }

    #[test]
    fn idle_time_is_not_saved_up() {
        let paced = pace(10);
        let start = Instant::now();
        paced.turn_at(start, 0.5);
        let later = start + MINUTE;
        assert_eq!(paced.turn_at(later, 0.5), Duration::ZERO);
        assert_eq!(paced.turn_at(later, 0.5), Duration::from_millis(100));
    }

    #[test]
    fn a_burst_of_refusals_halves_the_pace_once_and_it_recovers() {
        let paced = pace(100);
        let start = Instant::now();
        let second = Duration::from_secs(1);
        assert!((95..=101).contains(&sent(&paced, start, second, 0.5)));
        let later = start + second;
        for _ in 0..16 {
            paced.slow_down_at(later);
        }
        let slowed = sent(&paced, later, second, 0.5);
        assert!((48..=53).contains(&slowed), "{slowed}");
        let recovered = start + 2 * MINUTE;
        // The first turn after so long ends the recovery.
        let count = sent(&paced, recovered, second, 0.5);
        assert!((99..=101).contains(&count), "{count}");
    }

    #[test]
    fn a_service_that_goes_on_refusing_is_asked_once_a_second() {
        let paced = pace(100);
        let start = Instant::now();
        for seconds in 0..20 {
            paced.slow_down_at(start + Duration::from_secs(seconds));
        }
        let now = start + Duration::from_secs(19);
        paced.turn_at(now, 0.5);
        let waits = paced.turn_at(now, 0.5);
        assert!(waits > Duration::from_millis(900), "{waits:?}");
    }

    #[test]
    fn the_slowest_pace_that_can_be_asked_for_stays_as_it_is() {
        let paced = pace(1);
        let start = Instant::now();
        paced.slow_down_at(start);
        paced.turn_at(start, 0.5);
        let waits = paced.turn_at(start, 0.5).as_millis();
        assert!((1400..=1600).contains(&waits), "{waits}");
    }
}
