//! The frames that are wanted of a segment, and where they lie in it.

use std::sync::Arc;

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

    pub(super) fn damaged(&self, frame: u32, what: impl Into<String>) -> Error {
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
    pub(super) wanted: WantedFrames,
    /// Or why the layout is not believed.
    pub(super) places: Result<SegmentFrames, String>,
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
