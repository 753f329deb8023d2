//! The choice of a level: the hardest step that does not keep the line waiting.
//!
//! What the line still has to send takes it some time. In that time the rest of the growing segment and a whole one
//! more have to be compressed, which gives the time that a byte may take. What a byte takes at each step is learned from
//! the frames that were compressed.

#![expect(clippy::cast_precision_loss, reason = "all are estimates")]

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::model::segment::FRAME_BYTES;

/// The steps of `auto`, the faster ones first: a level, and how long a frame takes, as a multiple of level 3. Each saves
/// more than the one before it on most data. Levels 10 to 17 of zstd would save little for their time; two steps with
/// parameters of our own take their place. `docs/performance.md` has what each is worth on several kinds of data.
pub(in crate::seal) const STEPS: [(i32, f64); 13] = [
    (1, 0.6),
    (2, 0.7),
    (3, 1.0),
    (4, 1.1),
    (5, 2.1),
    (6, 2.6),
    (7, 3.5),
    (8, 4.3),
    (9, 5.0),
    (11, 40.0),
    (12, 55.0),
    (18, 75.0),
    (19, 85.0),
];

/// The level to begin with, while nothing is known of the line: the one that is also the default.
const BEGIN: i32 = 3;

/// The weight of the last frame in what a step takes.
const SMOOTH: f64 = 0.2;

/// The weight of a frame at another step: after a while a step that was slow once is tried again.
const FORGET: f64 = 0.02;

/// A processor that others want too slows the threads down by no more than this.
const MOST_CROWDED: f64 = 4.0;

/// How long a thread took for a frame.
#[derive(Debug, Clone, Copy)]
pub(in crate::seal) struct Took {
    pub(in crate::seal) level: i32,
    pub(in crate::seal) raw_bytes: u64,
    pub(in crate::seal) time: Duration,
    /// How long of this the thread had a processor.
    pub(in crate::seal) computing: Duration,
}

#[derive(Debug)]
struct LevelStep {
    level: i32,
    times: f64,
    /// Seconds of one thread for a byte, if a frame was compressed at this step.
    seen: Option<f64>,
}

/// The step in force, and what the next one depends on.
#[derive(Debug)]
pub(super) struct Choice {
    steps: Vec<LevelStep>,
    /// The index of the step in force.
    step: usize,
    threads: f64,
    segment_bytes: u64,
    /// Raw bytes of the growing segment.
    grown: u64,
    /// Seconds for a byte that earlier frames left: where the time is between two steps, they take turns.
    credit: f64,
    /// Seconds of one thread for a byte at level 3, by the last frames at any step.
    unit: Option<f64>,
    /// The time of a thread, as a multiple of the time that it computes.
    crowded: f64,
    line_was_used: bool,
}

impl Choice {
    pub(super) fn new(levels: RangeInclusive<i32>, threads: usize, segment_bytes: u64) -> Self {
        let mut steps = STEPS.to_vec();
        steps.retain(|(level, _)| levels.contains(level));
        if steps.is_empty() {
            // No step has a level between those: the lowest of them serves as one.
            steps.push((*levels.start(), 1.0));
        }
        let begin = steps.iter().rposition(|(level, _)| *level <= BEGIN);
        let seen = None;
        let step = |(level, times)| LevelStep { level, times, seen };
        Self {
            step: begin.unwrap_or(0),
            steps: steps.into_iter().map(step).collect(),
            threads: threads as f64,
            segment_bytes,
            grown: 0,
            credit: 0.0,
            unit: None,
            crowded: 1.0,
            line_was_used: false,
        }
    }

    pub(super) fn learn(&mut self, took: Took) {
        let Some(at) = self.steps.iter().position(|step| step.level == took.level) else {
            return;
        };
        let smooth = |before: f64, now: f64| before + (now - before) * SMOOTH;
        let seconds = took.time.as_secs_f64();
        let crowded = seconds / took.computing.as_secs_f64().max(1e-6);
        self.crowded = smooth(self.crowded, crowded.clamp(1.0, MOST_CROWDED));
        let a_byte = seconds / took.raw_bytes.max(1) as f64;
        let unit = a_byte / self.steps[at].times;
        let unit = self.unit.map_or(unit, |before| smooth(before, unit));
        self.unit = Some(unit);
        for step in &mut self.steps {
            let forget = |seen| seen + (unit * step.times - seen) * FORGET;
            step.seen = step.seen.map(forget);
        }
        let seen = &mut self.steps[at].seen;
        *seen = Some(seen.map_or(a_byte, |before| smooth(before, a_byte)));
    }

    /// Returns the level of the next frame, where so many bytes wait for a line of that many bytes a second.
    pub(super) fn next_level(&mut self, raw_bytes: u64, waiting: u64, rate: Option<f64>) -> i32 {
        self.line_was_used |= waiting > 0;
        match rate {
            _ if !self.line_was_used => {}
            _ if waiting == 0 => {
                self.credit = 0.0;
                self.choose(0.0);
            }
            Some(rate) => self.choose(waiting as f64 / rate.max(1.0)),
            None => {}
        }
        self.grown = (self.grown + raw_bytes) % self.segment_bytes;
        self.steps[self.step].level
    }

    /// Chooses the step for a line that has work for so many seconds.
    fn choose(&mut self, has_work: f64) {
        // The frames that were pushed and are not compressed yet; the rest of the segment; and the next one, without
        // which the last frames of each segment might take so long that the next came too late.
        let in_hand = (self.threads + 2.0) * FRAME_BYTES as f64;
        let to_do = in_hand + 2.0 * self.segment_bytes as f64 - self.grown as f64;
        let may_take = has_work / to_do + self.credit;
        let in_time = |step: &LevelStep| self.takes(step) <= may_take;
        let step = self.steps.iter().rposition(in_time).unwrap_or(0);
        let most = self.steps.last().map_or(0.0, |step| self.takes(step));
        self.credit = (may_take - self.takes(&self.steps[step])).clamp(0.0, most);
        self.step = step;
    }

    /// Seconds that a byte takes with all threads; infinite until a frame was compressed.
    fn takes(&self, step: &LevelStep) -> f64 {
        let by_unit = || self.unit.map_or(f64::INFINITY, |unit| unit * step.times);
        step.seen.unwrap_or_else(by_unit) * self.crowded / self.threads
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn choice(levels: RangeInclusive<i32>) -> Choice {
        Choice::new(levels, 2, 128 * MIB)
    }

    fn took(level: i32, seconds: f64) -> Took {
        let time = Duration::from_secs_f64(seconds);
        Took {
            level,
            raw_bytes: 4 * MIB,
            time,
            computing: time,
        }
    }

    fn times(level: i32) -> f64 {
        let step = STEPS.into_iter().find(|step| step.0 == level);
        step.map_or(1.0, |step| step.1)
    }

    /// Archives 40 segments of 128 MiB over a line of that rate, with two threads that at level 3 take 20 ms
    /// each for a frame of 4 MiB. Gives the levels, and how many seconds the line was idle after the first segment.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "bytes are few enough"
    )]
    fn levels(rate: f64, levels: RangeInclusive<i32>) -> (Vec<i32>, f64) {
        let mut choice = choice(levels);
        let sends = 64.0 * 1e6 / rate;
        // When it is, and when the line will have sent all that it was given.
        let (mut now, mut free_at) = (0.0_f64, 0.0_f64);
        let mut idle = 0.0;
        let mut levels = Vec::new();
        for frame in 1..=40 * 32 {
            let waiting = ((free_at - now).max(0.0) * rate) as u64;
            let level = choice.next_level(4 * MIB, waiting, (waiting > 0).then_some(rate));
            levels.push(level);
            let seconds = 0.02 * times(level);
            choice.learn(took(level, seconds));
            now += seconds / 2.0;
            if frame % 32 == 0 {
                // Two segments may wait; then the processor does.
                now = now.max(free_at - sends);
                if frame > 32 {
                    idle += (now - free_at).max(0.0);
                }
                free_at = now.max(free_at) + sends;
            }
        }
        (levels, idle)
    }

    #[test]
    fn a_slow_line_gets_the_hardest_step_and_a_fast_one_the_fastest() {
        let (slow, idle) = levels(1e6, 1..=12);
        assert!(slow[..32].iter().all(|level| *level == BEGIN), "{slow:?}");
        assert!(slow[32..].iter().all(|level| *level == 12), "{slow:?}");
        assert!(idle <= 0.0, "{idle}");
        let (fast, _) = levels(4e9, 1..=12);
        assert!(fast[32..].iter().all(|level| *level == 1), "{fast:?}");
        assert_eq!(levels(1e3, 1..=19).0.last(), Some(&19));
        assert_eq!(levels(1e3, 1..=14).0.last(), Some(&12));
    }

    #[test]
    fn only_what_is_within_the_bounds_is_chosen() {
        for (bounds, expected) in [
            (2..=2, 2),
            (14..=17, 14),
            (14..=18, 18),
            (10..=11, 11),
            (10..=10, 10),
        ] {
            for rate in [1e3, 4e9] {
                let (levels, _) = levels(rate, bounds.clone());
                assert!(levels.iter().all(|level| *level == expected), "{levels:?}");
            }
        }
        assert_eq!(levels(4e9, 5..=9).0, [5; 1280]);
    }

    #[test]
    fn a_line_between_these_is_kept_busy() {
        // A segment is sent in so many seconds. The processor takes 0.32 s for one at level 3, 17.6 s at 12.
        for seconds in [0.4, 1.0, 2.0, 5.0, 9.0] {
            let (levels, idle) = levels(64.0 * 1e6 / seconds, 1..=12);
            assert!(idle < seconds * 1.5, "{seconds}: {idle}");
            let late = &levels[levels.len() / 2..];
            let took = late.iter().map(|level| times(*level)).sum::<f64>() * 0.01 / 20.0;
            // Little of the time that the line leaves is given away.
            let share = took / seconds;
            assert!((0.75..=1.05).contains(&share), "{seconds}: {took}");
        }
    }

    #[test]
    fn what_a_step_takes_is_learned_from_it() {
        let mut choice = choice(1..=12);
        let at = |choice: &Choice, level| {
            let step = choice.steps.iter().find(|step| step.level == level);
            (choice.takes(step.unwrap()) * 4e3 * 1_048_576.0 * 2.0).round()
        };
        let is = |takes: f64, expected: f64| assert!((takes - expected).abs() < 0.5, "{takes}");
        assert!(at(&choice, 3).is_infinite(), "nothing is known");
        choice.learn(took(3, 0.02));
        is(at(&choice, 3), 20.0);
        is(at(&choice, 12), 1100.0);
        choice.learn(took(12, 1.6));
        is(at(&choice, 12), 1600.0);
        choice.learn(took(12, 0.6));
        let of_both = at(&choice, 12);
        assert!((1350.0..1420.0).contains(&of_both), "{of_both}");
        choice.learn(took(15, 0.001));
        is(at(&choice, 12), of_both);
        // After a while at another level it is what that one lets expect.
        (0..300).for_each(|_| choice.learn(took(9, 0.1)));
        let later = at(&choice, 12);
        assert!((1100.0..1106.0).contains(&later), "{later}");
    }

    #[test]
    fn a_processor_that_others_want_is_left_to_them() {
        let mut choice = choice(1..=12);
        let mut chosen = |milliseconds| {
            let mut took = took(9, 0.1);
            took.computing = Duration::from_millis(milliseconds);
            (0..50).for_each(|_| choice.learn(took));
            choice.credit = 0.0;
            choice.grown = 0;
            // A line that has work for as long as two segments take at level 9.
            choice.next_level(4 * MIB, 350 * MIB, Some(100.0 * 1_048_576.0))
        };
        assert_eq!(chosen(100), 9);
        assert_eq!(chosen(50), 5);
        assert_eq!(chosen(1), 4);
        assert_eq!(chosen(100), 9);
    }
}
