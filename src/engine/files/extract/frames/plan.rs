//! What is asked of a store for the frames that are wanted of a segment.

use std::ops::Range;

use crate::seal::SegmentFrames;

/// Sealed bytes between two frames that are fetched with them, because a request of its own takes longer.
const GAP: u64 = 256 << 10;

/// The most bytes of a request for more than one frame: a larger one keeps other workers waiting, and is all lost if it is
/// damaged.
const LARGEST_REQUEST: u64 = 16 << 20;

/// The part of the memory limit that an object may take which is read as a whole though single frames would do. Ranges of a
/// larger one take more requests, but several workers read and open them at once.
const PART_FOR_A_WHOLE: u64 = 16;

/// What a store can do, and how much of an object may be in memory.
#[derive(Debug, Clone, Copy)]
pub(in crate::engine) struct StoreReads {
    /// Whether it reads ranges of an object.
    pub(in crate::engine) has_ranges: bool,
    /// The most bytes of an object that is read as a whole though single frames would do.
    pub(in crate::engine) largest_whole: u64,
}

impl StoreReads {
    /// What is read of a store that reads ranges, in as much memory.
    pub(in crate::engine) fn ranges_within(memory_limit: u64) -> Self {
        Self {
            has_ranges: true,
            largest_whole: memory_limit / PART_FOR_A_WHOLE,
        }
    }
}

/// A request to a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::engine) struct FrameRequest {
    pub(in crate::engine) part: ObjectPart,
    /// The wanted frames that it has.
    pub(in crate::engine) frames: Vec<u32>,
}

/// What is read of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::engine) enum ObjectPart {
    /// All of its bytes, this many.
    Whole(u64),
    /// A range, which is empty if there are no such frames.
    Range(Range<u64>),
}

impl FrameRequest {
    /// Returns how many bytes are read.
    pub(in crate::engine) fn sealed_bytes(&self) -> u64 {
        match &self.part {
            ObjectPart::Whole(bytes) => *bytes,
            ObjectPart::Range(range) => range.end - range.start,
        }
    }
}

/// Returns the requests for frames of a segment, in order. Each frame is in one of them.
///
/// Frames that lie close to each other share a request. The whole object is read if that is not much more, or if the store
/// can't do otherwise.
pub(in crate::engine) fn plan_frames(
    segment: &SegmentFrames,
    wanted: &[u32],
    store: StoreReads,
) -> Vec<FrameRequest> {
    let whole = || {
        vec![FrameRequest {
            part: ObjectPart::Whole(segment.sealed_bytes()),
            frames: wanted.to_vec(),
        }]
    };
    if wanted.is_empty() {
        return Vec::new();
    }
    if !store.has_ranges {
        return whole();
    }
    let mut requests: Vec<(Range<u64>, Vec<u32>)> = Vec::new();
    for &frame in wanted {
        let range = segment.sealed_range(frame..frame.saturating_add(1));
        match requests.last_mut() {
            Some((last, frames)) if goes_with(last, &range) => {
                last.end = last.end.max(range.end);
                frames.push(frame);
            }
            _ => requests.push((range, vec![frame])),
        }
    }
    let bytes: u64 = requests.iter().map(|(at, _)| at.end - at.start).sum();
    let is_most = bytes / 4 >= segment.sealed_bytes() / 5;
    if is_most && segment.sealed_bytes() <= store.largest_whole {
        return whole();
    }
    let requests = requests.into_iter().map(|(range, frames)| FrameRequest {
        part: ObjectPart::Range(range),
        frames,
    });
    requests.collect()
}

fn goes_with(last: &Range<u64>, next: &Range<u64>) -> bool {
    !next.is_empty()
        && !last.is_empty()
        && next.start >= last.start
        && next.start.saturating_sub(last.end) <= GAP
        && next.end - last.start <= LARGEST_REQUEST
}
