//! Decides how long to retry after an answer that may be better next time.

use std::time::{Duration, Instant};

use super::error::StoreError;

/// The slowest line, in bytes a second, that is worth waiting for: a segment of 128 MiB would take a day and
/// a half.
const SLOWEST: u64 = 1 << 10;

/// How many times `give_up_after` an operation may take that makes progress now and then.
const OUTAGES: u32 = 4;

/// When to retry, and when to give up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetryPolicy {
    /// How long to retry an operation after its last progress.
    pub give_up_after: Duration,
    /// How long to retry if the store has never answered: there is no progress to lose, and the address may
    /// be wrong.
    pub first_contact: Duration,
    /// The pause after the first failure. Each further failure doubles it.
    pub first_pause: Duration,
    /// The longest pause.
    pub longest_pause: Duration,
    /// An attempt that moved no byte for this long has stalled. The kernel buffers a few megabytes before the
    /// network carries them, so a shorter time would end sound attempts on a slow line.
    pub stall: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            give_up_after: Duration::from_hours(6),
            first_contact: Duration::from_mins(1),
            first_pause: Duration::from_millis(500),
            longest_pause: Duration::from_mins(1),
            stall: Duration::from_mins(2),
        }
    }
}

impl RetryPolicy {
    /// Returns how long an operation may take in all, after it has received this many bytes. Without this
    /// limit, an operation that gets one byte now and then would never end.
    pub(super) fn longest(&self, bytes: u64) -> Duration {
        let moving = Duration::from_secs(bytes / SLOWEST);
        self.give_up_after
            .saturating_mul(OUTAGES)
            .saturating_add(moving)
    }
}

/// A pause before the next attempt of a store's operation.
#[derive(Debug)]
pub struct Waiting<'a> {
    /// The error of the last attempt.
    pub error: &'a StoreError,
    /// The time until the next attempt.
    pub pause: Duration,
    /// The time since the operation's last progress.
    pub since: Duration,
}

/// The function that a store calls when its caller has to wait.
pub type Told<'a> = Box<dyn Fn(&Waiting<'_>) + Send + Sync + 'a>;

/// Whether to retry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Again {
    /// A retry would fail in the same way.
    No,
    /// Waiting may help. The store may have said how long.
    Wait(Option<Duration>),
    /// It may have been an accident. If it happens again and again, it was none.
    FewTimes,
}

/// The most attempts after something that looks like an accident.
const FEW_TIMES: u32 = 4;

/// The attempts of one operation.
pub(super) struct Attempts<'a> {
    patience: &'a RetryPolicy,
    began: Instant,
    failures: u32,
}

impl<'a> Attempts<'a> {
    pub(super) fn new(patience: &'a RetryPolicy) -> Self {
        Self {
            patience,
            began: Instant::now(),
            failures: 0,
        }
    }

    /// Notes progress: the time to retry starts again.
    pub(super) fn progressed(&mut self) {
        self.began = Instant::now();
        self.failures = 0;
    }

    /// Returns the time since the last progress.
    pub(super) fn since(&self) -> Duration {
        self.began.elapsed()
    }

    /// Returns the number of failures since the last progress.
    pub(super) fn failures(&self) -> u32 {
        self.failures
    }

    /// Returns the pause before the next attempt; `None` to give up, because it would fail in the same way,
    /// or the time `budget` is over.
    pub(super) fn next_pause(&mut self, again: Again, budget: Duration) -> Option<Duration> {
        self.failures += 1;
        let asked = match again {
            Again::No => return None,
            Again::FewTimes if self.failures >= FEW_TIMES => return None,
            Again::FewTimes => None,
            Again::Wait(asked) => asked,
        };
        let left = budget.checked_sub(self.began.elapsed())?;
        let doublings = self.failures.saturating_sub(1).min(16);
        let longest = self
            .patience
            .first_pause
            .saturating_mul(1 << doublings)
            .min(self.patience.longest_pause);
        // The pause is between half of this and all of it, so that many clients do not come back at the same
        // time.
        let pause = longest / 2 + (longest / 2).mul_f64(random_fraction());
        let pause = asked.map_or(pause, |asked| asked.max(pause));
        // The last attempt comes when the time is over, not before.
        (!left.is_zero()).then(|| pause.min(left))
    }
}

/// Returns a number between 0 and 1.
pub(super) fn random_fraction() -> f64 {
    let mut bytes = [0; 4];
    getrandom::fill(&mut bytes).expect("the kernel gives random bytes");
    f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUDGET: Duration = Duration::from_secs(100);

    fn patience() -> RetryPolicy {
        RetryPolicy {
            first_pause: Duration::from_secs(1),
            longest_pause: Duration::from_secs(8),
            ..RetryPolicy::default()
        }
    }

    #[test]
    fn pauses_double_up_to_the_longest_and_never_fall_below_half() {
        let patience = patience();
        let mut attempts = Attempts::new(&patience);
        for full in [1, 2, 4, 8, 8, 8] {
            let pause = attempts.next_pause(Again::Wait(None), BUDGET).unwrap();
            let full = Duration::from_secs(full);
            assert!(pause >= full / 2 && pause <= full, "{pause:?} of {full:?}");
        }
    }

    #[test]
    fn what_the_store_asks_for_is_waited_within_the_budget() {
        let patience = patience();
        let mut attempts = Attempts::new(&patience);
        let asked = Duration::from_secs(30);
        assert_eq!(
            attempts.next_pause(Again::Wait(Some(asked)), BUDGET),
            Some(asked)
        );
        let long = Duration::from_secs(1000);
        assert!(
            attempts
                .next_pause(Again::Wait(Some(long)), BUDGET)
                .unwrap()
                <= BUDGET
        );
    }

    #[test]
    fn what_is_final_is_not_tried_again_and_an_accident_a_few_times() {
        let patience = patience();
        let mut attempts = Attempts::new(&patience);
        assert_eq!(attempts.next_pause(Again::No, BUDGET), None);
        let mut attempts = Attempts::new(&patience);
        let tries = std::iter::from_fn(|| attempts.next_pause(Again::FewTimes, BUDGET)).count();
        assert_eq!(tries, 3);
    }

    #[test]
    fn what_gets_on_has_more_time_and_not_without_end() {
        let patience = RetryPolicy::default();
        assert_eq!(patience.longest(0), Duration::from_hours(24));
        let longest = patience.longest(128 << 20);
        assert_eq!(longest, Duration::from_secs(24 * 3600 + (128 << 10)));
    }

    #[test]
    fn without_a_budget_nothing_is_tried_again() {
        let patience = patience();
        let mut attempts = Attempts::new(&patience);
        assert_eq!(attempts.next_pause(Again::Wait(None), Duration::ZERO), None);
    }
}
