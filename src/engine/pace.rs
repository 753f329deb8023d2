//! How hard to compress: as hard as the line to the store leaves time for.
//!
//! One question decides before each frame: will the line still have work when the segment that grows now
//! is whole? If it will, a higher level costs no time; if it will not, the line would wait for the
//! processor, and a lower level is better. One step a frame, so that a moment's stall does little.

use std::time::{Duration, Instant};

use super::line::{Line, Standing};
use crate::config::Levels;

/// Where it begins, as long as nothing is known of the line: the level that is also the default.
const BEGIN: i32 = 3;

/// The line must have work for so much longer than the segment takes before the level goes up, and for
/// so much shorter before it goes down; between these it stays.
const SLACK: (f64, f64) = (0.7, 1.2);

/// What is remembered of a time in which frames were pushed without waiting for the line.
const SMOOTH: f64 = 0.2;

/// Chooses the level of each frame.
#[derive(Debug)]
pub(super) struct Pace {
    line: Line,
    lowest: i32,
    highest: i32,
    level: i32,
    segment_bytes: u64,
    /// Raw bytes of the segment that grows.
    grown: u64,
    /// Seconds that a raw byte takes, when the line does not hold it up.
    per_byte: Option<f64>,
    /// When the last frame was taken, and how long the line had held it up in all by then.
    last: Option<(Instant, Duration)>,
    /// Whether anything was ever on its way: before that nothing is known.
    line_was_used: bool,
}

impl Pace {
    /// Chooses among those levels.
    pub(super) fn new(line: Line, levels: Levels, segment_bytes: u64) -> Self {
        let Levels { lowest, highest } = levels;
        Self {
            line,
            lowest,
            highest,
            level: BEGIN.clamp(lowest, highest),
            segment_bytes,
            grown: 0,
            per_byte: None,
            last: None,
            line_was_used: false,
        }
    }

    /// The next frame's level.
    pub(super) fn level(&mut self) -> i32 {
        let now = Instant::now();
        let standing = self.line.standing(now);
        self.step(standing);
        self.level
    }

    /// A frame of so many raw bytes was taken. `waited`: how long sealing has waited for the line in all,
    /// which is no time of the processor.
    pub(super) fn pushed(&mut self, bytes: u64, waited: Duration) {
        self.pushed_at(bytes, waited, Instant::now());
    }

    fn pushed_at(&mut self, bytes: u64, waited: Duration, now: Instant) {
        self.grown += bytes;
        if self.grown >= self.segment_bytes {
            self.grown = 0;
        }
        if let Some((last, waited_before)) = self.last.replace((now, waited)) {
            let time = now.saturating_duration_since(last);
            self.took(
                bytes,
                time.saturating_sub(waited.saturating_sub(waited_before)),
            );
        }
    }

    fn took(&mut self, bytes: u64, time: Duration) {
        #[expect(clippy::cast_precision_loss, reason = "a rate is an estimate")]
        let per_byte = time.as_secs_f64() / bytes.max(1) as f64;
        self.per_byte = Some(match self.per_byte {
            None => per_byte,
            Some(before) => before + (per_byte - before) * SMOOTH,
        });
    }

    fn step(&mut self, standing: Standing) {
        self.line_was_used |= standing.waiting > 0;
        let Some(per_byte) = self.per_byte.filter(|_| self.line_was_used) else {
            return;
        };
        #[expect(clippy::cast_precision_loss, reason = "both are estimates")]
        let until_whole = (self.segment_bytes - self.grown) as f64 * per_byte;
        let has_work = match standing.rate {
            // It is idle, and waits for a segment.
            _ if standing.waiting == 0 => 0.0,
            // Too early to say.
            None => return,
            #[expect(clippy::cast_precision_loss, reason = "both are estimates")]
            Some(rate) => standing.waiting as f64 / rate.max(1.0),
        };
        if has_work > until_whole * SLACK.1 {
            self.level = (self.level + 1).min(self.highest);
        } else if has_work < until_whole * SLACK.0 {
            self.level = (self.level - 1).max(self.lowest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    /// Archives 40 segments of 128 MiB over a line of that rate, with a processor that at level 1 takes
    /// 2 ms for a frame of 4 MiB and at each level above it half as long again. Gives the levels.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "bytes are few enough"
    )]
    fn levels(rate: u32, lowest: i32, highest: i32) -> Vec<i32> {
        let mut pace = Pace::new(Line::default(), Levels { lowest, highest }, 128 * MIB);
        let rate = f64::from(rate);
        let sends = Duration::from_secs_f64(64.0 * 1e6 / rate);
        let mut now = Instant::now();
        // When the line will have sent all that it was given.
        let mut free_at = now;
        let mut levels = Vec::new();
        let mut waited = Duration::ZERO;
        for frame in 1..=40 * 32 {
            let left = free_at.saturating_duration_since(now).as_secs_f64();
            let waiting = (left * rate) as u64;
            pace.step(Standing {
                waiting,
                rate: (waiting > 0).then_some(rate),
            });
            levels.push(pace.level);
            now += Duration::from_secs_f64(0.002 * 1.5_f64.powi(pace.level - 1));
            pace.pushed_at(4 * MIB, waited, now);
            if frame % 32 == 0 {
                // Two segments may wait; then the processor does.
                let room_at = now.max(free_at.checked_sub(sends).unwrap_or(now));
                waited += room_at - now;
                now = room_at;
                free_at = now.max(free_at) + sends;
            }
        }
        levels
    }

    #[test]
    fn a_slow_line_gets_the_highest_level_and_a_fast_one_the_lowest() {
        let slow = levels(2_500_000, 1, 12);
        assert!(slow[..32].iter().all(|level| *level == BEGIN), "{slow:?}");
        assert!(slow[48..].iter().all(|level| *level == 12), "{slow:?}");
        let fast = levels(4_000_000_000, 1, 12);
        assert!(fast[48..].iter().all(|level| *level == 1), "{fast:?}");
        let bounds = levels(4_000_000_000, 2, 2);
        assert!(bounds.iter().all(|level| *level == 2));
    }

    #[test]
    fn a_line_between_these_gets_what_fills_it() {
        // A segment is sent in 0.64 s: at level 6 the processor takes 0.49 s for it, at 7 0.73 s.
        let levels = levels(100_000_000, 1, 12);
        let late = &levels[levels.len() / 2..];
        let sum: i32 = late.iter().sum();
        let mean = f64::from(sum) / f64::from(u32::try_from(late.len()).unwrap());
        assert!((5.0..8.5).contains(&mean), "{mean}: {late:?}");
    }
}
