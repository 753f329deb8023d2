//! How much memory archiving and restoring take, and what they make do with.
//!
//! The formula stands in the README. What it counts is what may be in use at once in the worst case, which
//! is a stream that nothing compresses; `tests/memory.rs` holds the program against it.

use crate::model::segment::FRAME_BYTES;

const MIB: u64 = 1 << 20;

/// What a run may take if nobody says otherwise.
pub const DEFAULT_LIMIT: u64 = 512 * MIB;

/// The program itself: its code, the catalog, TLS, stacks, the pipe from `btrfs send`.
const PROGRAM: u64 = 64 * MIB;

/// Opening a segment: zstd's window, its buffers and age's.
const OPENING: u64 = 8 * MIB;

/// Raw bytes that wait for `btrfs receive`, of each segment that is opened ahead.
const AHEAD: u64 = 6 * MIB;

/// Frames on their way, beside one for each thread: the one that is read, the one that is sealed, and one
/// that is ready for the next thread.
const FRAMES_BESIDE: u64 = 3;

/// What archiving has room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Archiving {
    /// Threads that compress.
    pub threads: usize,
    /// Bytes of sealed segments that may be held at once, of the one that grows and of those that are
    /// uploaded.
    pub held_bytes: u64,
}

/// The limit leaves no room for a single segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooLittle {
    /// The least that would do.
    pub least: u64,
}

/// Bytes that zstd needs for a frame of 4 MiB at a level, and at any below it: what `ZSTD_sizeof_CCtx`
/// says after it has compressed one, rounded up. Each thread has as many.
pub fn context_bytes(level: i32) -> u64 {
    MIB * match level {
        ..=3 => 2,
        4 => 4,
        5..=8 => 7,
        9 => 16,
        10..=11 => 32,
        _ => 72,
    }
}

/// The most that a segment of so many raw bytes is sealed to: zstd adds up to 1/256 to what it can't
/// compress, age 16 bytes to 64 KiB.
pub fn longest_sealed(segment_bytes: u64) -> u64 {
    segment_bytes + segment_bytes / 200
}

/// The limit that is in force where none was set: the default, or what it takes for one segment to grow
/// while another is uploaded.
pub fn default_limit(segment_bytes: u64, level: i32) -> u64 {
    DEFAULT_LIMIT.max(beside_segments(1, level) + 2 * longest_sealed(segment_bytes))
}

/// What archiving makes do with: as many of the threads as leave room for one segment to grow while
/// another is uploaded; with a single thread, one segment must do. `level` is the highest that may be used.
pub fn archiving(
    limit: u64,
    segment_bytes: u64,
    level: i32,
    threads: usize,
) -> Result<Archiving, TooLittle> {
    let segment = longest_sealed(segment_bytes);
    let room = |threads| limit.checked_sub(beside_segments(threads, level));
    let mut fewer = (1..=threads.max(1)).rev();
    let fitting = fewer.find_map(|threads| {
        let held_bytes = room(threads).filter(|room| *room >= 2 * segment)?;
        Some(Archiving {
            threads,
            held_bytes,
        })
    });
    let single = room(1).filter(|room| *room >= segment);
    fitting
        .or(single.map(|held_bytes| Archiving {
            threads: 1,
            held_bytes,
        }))
        .ok_or(TooLittle {
            least: beside_segments(1, level) + segment,
        })
}

/// How many segments are fetched at once, of as many as were asked for, where the largest has so many
/// sealed bytes: one more is opened meanwhile. However little the limit is, one is fetched: a restore is
/// not refused for a limit that was meant for the nights.
pub fn fetched_at_once(limit: u64, largest_sealed: u64, asked_for: usize) -> usize {
    let each = largest_sealed + OPENING + AHEAD;
    let fit = (limit.saturating_sub(PROGRAM) / each).saturating_sub(1);
    usize::try_from(fit)
        .unwrap_or(usize::MAX)
        .clamp(1, asked_for.max(1))
}

/// All that archiving takes but the sealed segments.
fn beside_segments(threads: usize, level: i32) -> u64 {
    let threads = threads as u64;
    // A frame is raw, and as long when it is compressed if nothing compresses it.
    PROGRAM + OPENING + threads * context_bytes(level) + (threads + FRAMES_BESIDE) * 2 * FRAME_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_are_given_up_before_an_upload_beside_the_segment_that_grows() {
        let at = |limit: u64, segment: u64, level, threads| {
            archiving(limit * MIB, segment * MIB, level, threads)
                .map(|it| (it.threads, it.held_bytes / MIB))
                .map_err(|it| it.least.div_ceil(MIB))
        };
        for (limit, segment, level, threads, expected) in [
            (512, 128, 3, 2, Ok((2, 396))),
            (512, 128, 3, 64, Ok((15, 266))),
            (512, 128, 12, 64, Ok((1, 336))),
            (512, 128, 19, 2, Ok((1, 336))),
            (160, 16, 3, 2, Ok((2, 44))),
            (160, 16, 3, 8, Ok((3, 34))),
            (300, 128, 3, 8, Ok((1, 194))),
            (230, 128, 3, 8, Err(235)),
            (512, 1024, 3, 8, Err(1136)),
        ] {
            assert_eq!(
                at(limit, segment, level, threads),
                expected,
                "{limit} {segment} {level} {threads}"
            );
        }
    }

    #[test]
    fn the_default_has_room_for_any_segment_and_level() {
        for segment in [16, 128, 512, 1024] {
            for level in 1..=19 {
                let limit = default_limit(segment * MIB, level);
                let room = archiving(limit, segment * MIB, level, 1).unwrap();
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
