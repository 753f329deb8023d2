//! Single frames of archives: which bytes of which objects have them, and how they are fetched, opened and believed.
//!
//! [`plan_frames`] says what is asked of the store, and needs no store. [`FramesAhead`] asks for it, several requests at a
//! time, and gives the raw bytes of each frame in order. [`FrameSource`] reads one frame.

mod ahead;
mod plan;
mod source;
#[cfg(test)]
mod test_data;
#[cfg(test)]
mod tests;

use std::sync::Arc;

pub(in crate::engine) use ahead::FramesAhead;
pub(in crate::engine) use plan::{FrameRequest, StoreReads, plan_frames};
pub(in crate::engine) use source::FrameSource;

use crate::engine::restore::fetch::WantedSegment;
use crate::error::{Error, RestoreError, in_words};
use crate::seal::{ArchiveKey, SealError, SegmentFrames, SegmentLayout, SegmentLengths};

/// Some frames of one segment that are wanted.
#[derive(Debug, Clone)]
pub(in crate::engine) struct WantedFrames {
    pub(in crate::engine) segment: WantedSegment,
    /// The segment's layout in the contents of its archive.
    pub(in crate::engine) layout: Arc<SegmentLayout>,
    /// The key of the archive.
    pub(in crate::engine) key: Arc<ArchiveKey>,
    /// Raw bytes of every frame of the archive but the last one of a segment.
    pub(in crate::engine) frame_size: u32,
    /// The numbers of the frames in the segment, sorted, each once.
    pub(in crate::engine) frames: Vec<u32>,
}

impl WantedFrames {
    /// Returns where the frames of the segment lie, if its layout fits what the ledger says of it.
    pub(in crate::engine) fn segment_frames(&self) -> Result<SegmentFrames, SealError> {
        let lengths = SegmentLengths {
            sealed_bytes: self.segment.record.sealed_bytes,
            raw_bytes: self.segment.record.raw_bytes,
            frame_bytes: self.frame_size,
        };
        SegmentFrames::new(Arc::clone(&self.layout), lengths)
    }

    fn damaged(&self, frame: u32, what: impl Into<String>) -> Error {
        Error::Restore(RestoreError::FrameDamaged {
            at: Box::new((self.segment.archive, self.segment.index, frame)),
            key: self.segment.key.clone(),
            what: what.into(),
        })
    }
}

/// A segment with frames that are wanted, and where they lie.
#[derive(Debug)]
pub(in crate::engine) struct FrameTarget {
    wanted: WantedFrames,
    /// Or why the layout is not believed.
    places: Result<SegmentFrames, String>,
}

impl FrameTarget {
    pub(in crate::engine) fn new(wanted: WantedFrames) -> Self {
        let places = wanted.segment_frames();
        Self {
            places: places.map_err(|error| in_words(&error)),
            wanted,
        }
    }
}
