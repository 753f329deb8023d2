//! How much is thawed at once where a thawed segment stays readable for a fixed time only.

use std::fmt;
use std::time::Duration;

use crate::model::size::Bytes;

/// The rate that is assumed before any download was measured: 10 MiB a second.
pub const ASSUMED_RATE: u64 = 10 << 20;

/// The lowest rate that is reckoned with: a window has to take a segment.
const LOWEST_RATE: u64 = 64 << 10;

/// What a line can fetch while thawed segments can be relied on to be readable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ThawWindow {
    /// Bytes that fit.
    pub bytes: u64,
    /// The line's rate in bytes a second.
    pub rate: u64,
    /// How long the segments can be relied on.
    pub time: Duration,
}

impl ThawWindow {
    /// Returns the window of a line with this rate; `None` if it was never measured.
    pub fn new(time: Duration, rate: Option<u64>) -> Self {
        let rate = rate.unwrap_or(ASSUMED_RATE).max(LOWEST_RATE);
        Self {
            bytes: rate.saturating_mul(time.as_secs()),
            rate,
            time,
        }
    }

    /// Returns how many of the cold segments, whose lengths are given in the order in which they are fetched, can be
    /// thawed beside what is thawed and not fetched yet. One always can if nothing else is.
    pub fn takes(&self, outstanding: u64, cold: impl IntoIterator<Item = u64>) -> usize {
        let mut taken = outstanding;
        let mut count = 0;
        for bytes in cold {
            let with_it = taken.saturating_add(bytes);
            if with_it > self.bytes && taken > 0 {
                break;
            }
            taken = with_it;
            count += 1;
        }
        count
    }
}

impl fmt::Display for ThawWindow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hours = self.time.as_secs() / 3600;
        write!(
            f,
            "{}, what a line of {}/s fetches in {hours} hours",
            Bytes(self.bytes),
            Bytes(self.rate)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: Duration = Duration::from_hours(20);

    #[test]
    fn no_more_is_thawed_than_the_line_fetches_in_time() {
        let window = ThawWindow::new(TIME, None);
        assert_eq!(window.bytes, 72_000 * ASSUMED_RATE);
        assert_eq!(
            window.to_string(),
            "703 GiB, what a line of 10.0 MiB/s fetches in 20 hours"
        );
        let window = ThawWindow {
            bytes: 100,
            ..window
        };
        for (outstanding, cold, takes) in [
            (0, &[40, 40, 20, 1][..], 3),
            (0, &[40, 40, 21, 1], 2),
            (60, &[40, 1], 1),
            (60, &[41, 1], 0),
            (100, &[1], 0),
            (u64::MAX, &[1], 0),
            (0, &[101, 1], 1),
            (0, &[u64::MAX, u64::MAX], 1),
            (0, &[], 0),
        ] {
            let taken = window.takes(outstanding, cold.iter().copied());
            assert_eq!(taken, takes, "{outstanding} {cold:?}");
        }
    }

    #[test]
    fn a_line_that_stood_still_gets_a_window_all_the_same() {
        let window = ThawWindow::new(TIME, Some(0));
        assert_eq!(window.bytes, 72_000 * LOWEST_RATE);
        assert_eq!(ThawWindow::new(TIME, Some(u64::MAX)).bytes, u64::MAX);
    }
}
