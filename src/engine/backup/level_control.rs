//! How hard to compress: as hard as the line to the store leaves time for.
//!
//! Before each frame it is reckoned how long the line still has work, and so how long a byte of the segment that
//! grows, and of one more, may take if the line is not to wait for the processor. The hardest step that takes no
//! longer is the one: how long each takes, and how long of that it waits for the processor, is seen at the frames
//! that were compressed with it.

use std::collections::BTreeMap;
use std::time::Instant;

use crate::config::Levels;
use crate::engine::backup::uplink::{Standing, UploadMonitor};
use crate::model::segment::FRAME_BYTES;
use crate::seal::{STEPS, Sealer, Step, Took};

/// Where it begins, as long as nothing is known of the line: the level that is also the default.
const BEGIN: i32 = 3;

/// How many segments are reckoned to be made beside the rest of the one that grows: with fewer than one, the last
/// frames of each might take so long that the next comes too late.
const BESIDE: f64 = 1.0;

/// What is remembered of the frames that a step has compressed before.
const SMOOTH: f64 = 0.2;

/// How fast it is forgotten what a step took, while others are used: a step that was slow once is tried again.
const FORGET: f64 = 0.02;

/// What a processor that others want as well counts for at most.
const MOST_CROWDED: f64 = 4.0;

/// Chooses the step of each frame.
#[derive(Debug)]
pub(in crate::engine) struct LevelController {
    line: UploadMonitor,
    /// Those that it may choose, faster ones first.
    steps: Vec<Step>,
    /// The one that is in force.
    step: Step,
    threads: f64,
    segment_bytes: u64,
    /// Seconds a byte by which frames were quicker than they had to be.
    credit: f64,
    /// Seconds of one thread for a byte, at each level that was used.
    seen: BTreeMap<i32, f64>,
    /// Seconds of one thread for a byte at a step whose time is 1, by the last frames at any level.
    unit: Option<f64>,
    /// How many times as long as it computes a thread takes: where others want the processor too, more than 1.
    crowded: f64,
    /// Whether anything was ever on its way: before that nothing is known.
    line_was_used: bool,
}

impl LevelController {
    /// Chooses among the steps with those levels.
    #[expect(clippy::cast_precision_loss, reason = "threads are few")]
    pub(in crate::engine) fn new(
        line: UploadMonitor,
        levels: Levels,
        threads: usize,
        segment_bytes: u64,
    ) -> Self {
        let Levels { lowest, highest } = levels;
        let mut steps: Vec<Step> = STEPS
            .into_iter()
            .filter(|step| (lowest..=highest).contains(&step.level))
            .collect();
        if steps.is_empty() {
            // Levels that are no steps were asked for: the fastest of them.
            steps.push(Step {
                level: lowest,
                times: 1.0,
            });
        }
        let begin = steps.iter().rev().find(|step| step.level <= BEGIN);
        Self {
            line,
            step: *begin.unwrap_or(&steps[0]),
            steps,
            threads: threads as f64,
            segment_bytes,
            credit: 0.0,
            seen: BTreeMap::new(),
            unit: None,
            crowded: 1.0,
            line_was_used: false,
        }
    }

    /// Chooses the level of the next frame. The sealer knows of the frames before it.
    pub(in crate::engine) fn level(&mut self, sealer: &Sealer) -> i32 {
        sealer.took().for_each(|took| self.learn(took));
        let standing = self.line.standing(Instant::now(), sealer.handed_out());
        self.choose(standing, sealer.segment_left());
        self.step.level
    }

    #[expect(clippy::cast_precision_loss, reason = "all are estimates")]
    fn learn(&mut self, took: Took) {
        let Some(step) = self.steps.iter().find(|step| step.level == took.level) else {
            return;
        };
        let smooth = |before: Option<f64>, now: f64| {
            before.map_or(now, |before| before + (now - before) * SMOOTH)
        };
        let computing = took.computing.as_secs_f64().max(1e-6);
        let crowded = (took.time.as_secs_f64() / computing).clamp(1.0, MOST_CROWDED);
        self.crowded = smooth(Some(self.crowded), crowded);
        let a_byte = took.time.as_secs_f64() / took.raw_bytes.max(1) as f64;
        let unit = smooth(self.unit, a_byte / step.times);
        for (level, seen) in &mut self.seen {
            let step = self.steps.iter().find(|step| step.level == *level);
            let reckoned = unit * step.map_or(1.0, |step| step.times);
            *seen += (reckoned - *seen) * FORGET;
        }
        let seen = self.seen.get(&took.level).copied();
        self.seen.insert(took.level, smooth(seen, a_byte));
        self.unit = Some(unit);
    }

    /// Seconds that a byte takes with all threads, and as much longer as they are crowded.
    fn takes(&self, step: Step) -> Option<f64> {
        let seen = self.seen.get(&step.level).copied();
        let alone = seen.or_else(|| Some(self.unit? * step.times))?;
        Some(alone * self.crowded / self.threads)
    }

    #[expect(clippy::cast_precision_loss, reason = "all are estimates")]
    fn choose(&mut self, standing: Standing, segment_left: u64) {
        self.line_was_used |= standing.waiting > 0;
        if !self.line_was_used {
            return;
        }
        let has_work = match standing.rate {
            // It is idle, and waits for a segment.
            _ if standing.waiting == 0 => {
                self.credit = 0.0;
                0.0
            }
            // Too early to say.
            None => return,
            Some(rate) => standing.waiting as f64 / rate.max(1.0),
        };
        // What was pushed and is being compressed has to be made as well.
        let in_hand = (self.threads + 2.0) * FRAME_BYTES as f64;
        let rest = segment_left as f64 + in_hand + self.segment_bytes as f64 * BESIDE;
        let may_take = has_work / rest;
        let in_time = |step: &&Step| {
            let takes = self.takes(**step);
            takes.is_some_and(|takes| takes <= may_take + self.credit)
        };
        self.step = *self
            .steps
            .iter()
            .rev()
            .find(in_time)
            .unwrap_or(&self.steps[0]);
        // Where what it may take is between two steps, it takes turns with them.
        let takes = |step: Step| self.takes(step).unwrap_or(0.0);
        let most = takes(self.steps[self.steps.len() - 1]);
        self.credit = (self.credit + may_take - takes(self.step)).clamp(0.0, most);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const MIB: u64 = 1 << 20;

    /// Archives 40 segments of 128 MiB over a line of that rate, with two threads that at level 3 take 20 ms
    /// each for a frame of 4 MiB. Gives the levels, and how long the line was idle after the first segment.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "bytes are few enough"
    )]
    fn levels(rate: f64, lowest: i32, highest: i32) -> (Vec<i32>, Duration) {
        let levels = Levels { lowest, highest };
        let mut pace = LevelController::new(UploadMonitor::default(), levels, 2, 128 * MIB);
        let sends = Duration::from_secs_f64(64.0 * 1e6 / rate);
        let mut now = Instant::now();
        // When the line will have sent all that it was given.
        let mut free_at = now;
        let mut idle = Duration::ZERO;
        let mut levels = Vec::new();
        for frame in 0..40 * 32 {
            let left = free_at.saturating_duration_since(now).as_secs_f64();
            let waiting = (left * rate) as u64;
            let standing = Standing {
                waiting,
                rate: (waiting > 0).then_some(rate),
            };
            pace.choose(standing, (32 - frame % 32) * 4 * MIB);
            levels.push(pace.step.level);
            let time = Duration::from_secs_f64(0.02 * pace.step.times);
            pace.learn(Took {
                level: pace.step.level,
                raw_bytes: 4 * MIB,
                time,
                computing: time,
            });
            now += time / 2;
            if frame % 32 == 31 {
                // Two segments may wait; then the processor does.
                now = now.max(free_at.checked_sub(sends).unwrap_or(now));
                if frame > 32 {
                    idle += now.saturating_duration_since(free_at);
                }
                free_at = now.max(free_at) + sends;
            }
        }
        (levels, idle)
    }

    #[test]
    fn a_slow_line_gets_the_hardest_step_and_a_fast_one_the_fastest() {
        let (slow, idle) = levels(1e6, 1, 12);
        assert!(slow[..32].iter().all(|level| *level == BEGIN), "{slow:?}");
        assert!(slow[32..].iter().all(|level| *level == 12), "{slow:?}");
        assert_eq!(idle, Duration::ZERO);
        let (fast, _) = levels(4e9, 1, 12);
        assert!(fast[32..].iter().all(|level| *level == 1), "{fast:?}");
        assert_eq!(levels(1e3, 1, 19).0.last(), Some(&19));
        assert_eq!(levels(1e3, 1, 14).0.last(), Some(&12));
    }

    #[test]
    fn only_what_is_within_the_bounds_is_chosen() {
        for (lowest, highest, expected) in [
            (2, 2, 2),
            (14, 17, 14),
            (14, 18, 18),
            (10, 11, 11),
            (10, 10, 10),
        ] {
            for rate in [1e3, 4e9] {
                let (levels, _) = levels(rate, lowest, highest);
                assert!(levels.iter().all(|level| *level == expected), "{levels:?}");
            }
        }
        assert_eq!(levels(4e9, 5, 9).0, [5; 1280]);
    }

    #[test]
    fn a_line_between_these_is_kept_busy() {
        // A segment is sent in so many seconds. The processor takes 0.32 s for one at level 3, 17.6 s at 12.
        for seconds in [0.4, 1.0, 2.0, 5.0, 9.0] {
            let (levels, idle) = levels(64.0 * 1e6 / seconds, 1, 12);
            assert!(
                idle < Duration::from_secs_f64(seconds * 1.5),
                "{seconds}: {idle:?}"
            );
            let late = &levels[levels.len() / 2..];
            let hard = late.iter().map(|level| {
                STEPS
                    .iter()
                    .find(|step| step.level == *level)
                    .unwrap()
                    .times
            });
            let took = hard.sum::<f64>() * 0.01 / 20.0;
            // Little of the time that the line leaves is given away.
            assert!(
                (0.75..=1.05).contains(&(took / seconds)),
                "{seconds}: {took}"
            );
        }
    }

    #[test]
    fn what_a_step_takes_is_learned_from_it() {
        let levels = Levels {
            lowest: 1,
            highest: 12,
        };
        let mut pace = LevelController::new(UploadMonitor::default(), levels, 2, 128 * MIB);
        let took = |level, milliseconds| Took {
            level,
            raw_bytes: 4 * MIB,
            time: Duration::from_millis(milliseconds),
            computing: Duration::from_millis(milliseconds),
        };
        let at = |pace: &LevelController, level| {
            let step = STEPS.into_iter().find(|step| step.level == level).unwrap();
            pace.takes(step)
                .map(|takes| (takes * 4e3 * 1_048_576.0 * 2.0).round())
        };
        assert_eq!(at(&pace, 3), None);
        pace.learn(took(3, 20));
        assert_eq!((at(&pace, 3), at(&pace, 12)), (Some(20.0), Some(1100.0)));
        pace.learn(took(12, 1600));
        assert_eq!(at(&pace, 12), Some(1600.0));
        pace.learn(took(12, 600));
        let of_both = at(&pace, 12).unwrap();
        assert!((1350.0..1420.0).contains(&of_both), "{of_both}");
        pace.learn(took(15, 1));
        assert_eq!(at(&pace, 12), Some(of_both));
        // After a while at another level it is what that one lets expect.
        for _ in 0..300 {
            pace.learn(took(9, 100));
        }
        let later = at(&pace, 12).unwrap();
        assert!((1100.0..1106.0).contains(&later), "{later}");
    }

    #[test]
    fn a_processor_that_others_want_is_left_to_them() {
        let levels = Levels {
            lowest: 1,
            highest: 12,
        };
        let mut pace = LevelController::new(UploadMonitor::default(), levels, 2, 128 * MIB);
        let mut chosen = |computing| {
            for _ in 0..50 {
                pace.learn(Took {
                    level: 9,
                    raw_bytes: 4 * MIB,
                    time: Duration::from_millis(100),
                    computing: Duration::from_millis(computing),
                });
            }
            // A line that has work for as long as two segments take at level 9.
            let standing = Standing {
                waiting: 350 * MIB,
                rate: Some(100.0 * 1_048_576.0),
            };
            pace.credit = 0.0;
            pace.choose(standing, 128 * MIB);
            pace.step.level
        };
        assert_eq!(chosen(100), 9);
        assert_eq!(chosen(50), 5);
        assert_eq!(chosen(1), 4);
        assert_eq!(chosen(100), 9);
    }
}
