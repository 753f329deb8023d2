//! How much memory archiving and restoring need, and what fits into a limit.
//!
//! The formula is in docs/configuration.md. It counts the memory in use at once in the worst case, a stream
//! that does not compress. `tests/memory.rs` compares the program with it.

use std::ops::RangeInclusive;

use crate::model::segment::FRAME_BYTES;

const MIB: u64 = 1 << 20;

/// Bytes that a run may take by default.
pub const DEFAULT_LIMIT: u64 = 512 * MIB;

/// The program itself: its code, the catalog, TLS, stacks, the pipe that the stream comes through.
const PROGRAM: u64 = 60 * MIB;

/// Opening a segment: zstd's window, its buffers and age's.
const OPENING: u64 = 8 * MIB;

/// Raw bytes of each segment opened ahead that wait for `btrfs receive`.
const AHEAD: u64 = 6 * MIB;

/// Reading the data of files beside the kernel: the blocks of the stream.
pub const READING: u64 = 16 * MIB;

/// Making contents: a frame of them raw and compressed, zstd's context, and what the guard has just kept. Their sealed bytes
/// count among those of segments.
const CONTENTS: u64 = 12 * MIB;

/// Frames in memory besides one for each thread: the one that is read, the one that is sealed, and one that
/// is ready for the next thread.
const FRAMES_BESIDE: u64 = 3;

/// What archiving may use within the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Archiving {
    /// Threads that compress.
    pub threads: usize,
    /// Bytes of sealed segments that may be in memory at once: the one that is being written and those that
    /// are uploaded.
    pub held_bytes: u64,
    /// The highest level with which that many threads fit.
    pub highest_level: i32,
}

/// The limit leaves no room for a single segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooLittle {
    /// The smallest limit that is enough, in bytes.
    pub least: u64,
}

/// Returns the bytes that zstd needs for a frame of 4 MiB at a level: what `ZSTD_sizeof_CCtx` returns after
/// one frame, rounded up. Each thread needs that many.
pub fn context_bytes(level: i32) -> u64 {
    MIB * match level {
        ..=3 => 2,
        4 => 4,
        5..=8 => 7,
        9 => 12,
        10..=11 => 22,
        13 | 16 => 34,
        12 => 42,
        15 => 66,
        _ => 50,
    }
}

/// Returns the same for the steps of `auto` from `lowest` to `highest`. The steps up to 9 are zstd levels;
/// those at 11 and 12 need less than level 9. There is no other step from 10 to 17: if the range holds no
/// step, the lowest level is used.
fn auto_context_bytes(lowest: i32, highest: i32) -> u64 {
    match highest {
        10..=17 if lowest <= 9 || (lowest <= 12 && highest >= 11) => context_bytes(9),
        10..=17 => context_bytes(lowest),
        _ => context_bytes(highest),
    }
}

/// Returns the largest sealed size of a segment with that many raw bytes. zstd adds up to 1/256 to
/// incompressible data, and age 16 bytes to each 64 KiB.
pub fn longest_sealed(segment_bytes: u64) -> u64 {
    segment_bytes + segment_bytes / 200
}

/// Returns how much of the limit a listing of a store may take. What its reader builds from it takes as much
/// again.
pub fn listing_bytes(limit: u64) -> u64 {
    limit / 5 * 2
}

/// Returns the limit that applies if none is set: the default, or more if one segment could otherwise not be
/// written while another is uploaded.
pub fn default_limit(segment_bytes: u64, level: i32) -> u64 {
    let context = context_bytes(level);
    let least = beside_segments(1, context) + CONTENTS + 2 * longest_sealed(segment_bytes);
    // A size that the config can have, too.
    DEFAULT_LIMIT.max(least.next_multiple_of(1 << 20))
}

/// Returns what archiving may use. It takes as many threads as leave room for one segment that is written and
/// one that is uploaded. If not even one thread leaves that, there must be room for one segment. A limit that leaves room
/// for that and not for contents was enough before there were contents, and still is: then they go beyond it.
///
/// Threads come before levels: with fewer threads a fast uplink would wait for the processor, and high levels
/// are for slow uplinks.
pub fn archiving(
    limit: u64,
    segment_bytes: u64,
    levels: RangeInclusive<i32>,
    threads: usize,
) -> Result<Archiving, TooLittle> {
    let segment = longest_sealed(segment_bytes);
    let lowest = *levels.start();
    let context = |level| {
        if lowest == *levels.end() {
            context_bytes(level)
        } else {
            auto_context_bytes(lowest, level)
        }
    };
    let with = |threads, level, least: u64, contents: u64| {
        let room = limit.checked_sub(beside_segments(threads, context(level)) + contents);
        let held_bytes = room.filter(|room| *room >= least)?;
        Some(Archiving {
            threads,
            held_bytes,
            highest_level: level,
        })
    };
    let mut fewer = (1..=threads.max(1)).rev();
    let (threads, least) = fewer
        .find(|threads| with(*threads, lowest, 2 * segment, CONTENTS).is_some())
        .map_or((1, segment), |threads| (threads, 2 * segment));
    let contents = with(threads, lowest, least, CONTENTS).map_or(0, |_| CONTENTS);
    let mut lower = levels.clone().rev();
    lower
        .find_map(|level| with(threads, level, least, contents))
        .ok_or(TooLittle {
            least: beside_segments(1, context(lowest)) + segment,
        })
}

/// Returns how many segments a restore fetches at once, at most `asked_for`; one more is opened meanwhile.
/// `largest_sealed` is the sealed size of the largest segment. The result is at least 1: a restore is not
/// refused for a limit that was meant for backups.
pub fn fetched_at_once(limit: u64, largest_sealed: u64, asked_for: usize) -> usize {
    let each = largest_sealed + OPENING + AHEAD;
    let fit = (limit.saturating_sub(PROGRAM) / each).saturating_sub(1);
    usize::try_from(fit)
        .unwrap_or(usize::MAX)
        .clamp(1, asked_for.max(1))
}

/// Returns all memory that archiving takes, except for sealed segments.
fn beside_segments(threads: usize, context: u64) -> u64 {
    let threads = threads as u64;
    // A frame is there raw and compressed, and incompressible data does not get shorter.
    PROGRAM + OPENING + threads * context + (threads + FRAMES_BESIDE) * 2 * FRAME_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_are_given_up_before_an_upload_beside_the_segment_that_grows() {
        let at = |limit: u64, segment: u64, level, threads| {
            archiving(limit * MIB, segment * MIB, level..=level, threads)
                .map(|it| (it.threads, it.held_bytes / MIB))
                .map_err(|it| it.least.div_ceil(MIB))
        };
        for (limit, segment, level, threads, expected) in [
            (512, 128, 3, 2, Ok((2, 388))),
            (512, 128, 3, 64, Ok((15, 258))),
            (512, 128, 12, 64, Ok((3, 258))),
            (512, 128, 15, 2, Ok((2, 260))),
            (160, 16, 3, 2, Ok((2, 36))),
            (160, 16, 3, 8, Ok((2, 36))),
            (300, 128, 3, 8, Ok((1, 186))),
            (240, 128, 3, 8, Ok((1, 138))),
            (230, 128, 3, 8, Err(231)),
            (512, 1024, 3, 8, Err(1132)),
        ] {
            assert_eq!(
                at(limit, segment, level, threads),
                expected,
                "{limit} {segment} {level} {threads}"
            );
        }
    }

    #[test]
    fn levels_are_given_up_before_threads() {
        let at = |limit: u64, levels, threads| {
            let it = archiving(limit * MIB, 128 * MIB, levels, threads).unwrap();
            (it.threads, it.highest_level)
        };
        for (limit, levels, threads, expected) in [
            (512, 1..=12, 1, (1, 12)),
            (512, 1..=19, 2, (2, 19)),
            (512, 1..=19, 4, (4, 17)),
            (512, 1..=12, 4, (4, 12)),
            (512, 1..=12, 6, (6, 12)),
            (512, 1..=12, 8, (8, 8)),
            (512, 1..=12, 10, (10, 8)),
            (512, 1..=12, 64, (15, 3)),
            (512, 10..=11, 4, (4, 11)),
            (512, 13..=17, 4, (3, 17)),
            (512, 12..=12, 8, (3, 12)),
            (240, 1..=12, 8, (1, 8)),
            (1024, 1..=12, 8, (8, 12)),
        ] {
            assert_eq!(
                at(limit, levels.clone(), threads),
                expected,
                "{limit} {levels:?} {threads}"
            );
        }
    }

    #[test]
    fn the_default_has_room_for_any_segment_and_level() {
        for segment in [16, 128, 512, 1024] {
            for level in 1..=19 {
                let limit = default_limit(segment * MIB, level);
                let room = archiving(limit, segment * MIB, level..=level, 1).unwrap();
                assert!(room.held_bytes >= 2 * longest_sealed(segment * MIB));
            }
        }
        assert_eq!(default_limit(128 * MIB, 3), DEFAULT_LIMIT);
    }

    #[test]
    fn a_restore_fetches_fewer_at_once_and_never_none() {
        for (limit, largest, asked_for, expected) in [
            (512, 128, 2, 2),
            (512, 128, 64, 2),
            (512, 60, 64, 5),
            (512, 60, 4, 4),
            (160, 16, 4, 2),
            (100, 128, 4, 1),
            (1 << 40, 128, 64, 64),
        ] {
            let at_once = fetched_at_once(limit * MIB, largest * MIB, asked_for);
            assert_eq!(at_once, expected, "{limit} {largest} {asked_for}");
        }
    }
}
