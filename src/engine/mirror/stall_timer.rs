//! How long a client waits for a mirror on another machine.

use std::time::{Duration, Instant};

/// How many times `stall` the other side may only say that it is alive.
///
/// A keep-alive shows that the connection is up and the other side runs, as it does while it syncs a slow disk for
/// longer than `stall`. It does not show that it gets anywhere: with a disk that hangs, it would say so for ever.
pub(super) const ALIVE: u32 = 12;

/// How much longer to wait for the other side.
pub(super) struct StallTimer {
    byte: Instant,
    life: Instant,
}

impl StallTimer {
    /// Begins to wait.
    pub(super) fn begin() -> Self {
        let now = Instant::now();
        Self {
            byte: now,
            life: now,
        }
    }

    /// Notes that bytes moved.
    pub(super) fn moved(&mut self) {
        *self = Self::begin();
    }

    /// Notes that the other side lives.
    pub(super) fn is_alive(&mut self) {
        self.life = Instant::now();
    }

    /// Returns how much longer to wait; `None` if it is over.
    pub(super) fn left(&self, stall: Duration) -> Option<Duration> {
        let silent = stall.checked_sub(self.life.elapsed());
        let stuck = (stall * ALIVE).checked_sub(self.byte.elapsed());
        silent.zip(stuck).map(|(silent, stuck)| silent.min(stuck))
    }

    /// Returns whether the other side has shown that it lives, not long ago.
    pub(super) fn hears(&self, stall: Duration) -> bool {
        self.life.elapsed() < stall
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keep_alives_stretch_the_time_and_do_not_end_it() {
        let stall = Duration::from_mins(30);
        let ago = |time: Duration| Instant::now().checked_sub(time);
        // A machine that runs for less than a day has no such moment.
        let Some(long_ago) = ago(stall * ALIVE + stall) else {
            return;
        };
        let before = ago(stall + stall).unwrap();
        let waits = |byte, life| StallTimer { byte, life }.left(stall).is_some();
        let now = Instant::now();
        assert!(waits(now, now));
        assert!(!waits(before, before));
        assert!(waits(before, now));
        assert!(!waits(long_ago, now));
        let mut timer = StallTimer {
            byte: long_ago,
            life: before,
        };
        timer.is_alive();
        assert!(timer.hears(stall) && timer.left(stall).is_none());
        timer.moved();
        assert!(timer.left(stall).is_some_and(|left| left <= stall));
    }
}
