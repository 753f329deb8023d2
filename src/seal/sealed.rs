//! What comes out of a sealer.

use std::fmt;

use bytes::Bytes;

use super::error::SealError;
use super::layout::SegmentLayout;
use crate::model::{Blake3, Sha256};

/// A message of a sealer. If the channel closes before [`Finished`](Self::Finished), the sealer was aborted:
/// what came before is not a whole stream.
#[derive(Debug)]
pub enum Sealed {
    /// The next segment.
    Segment(SealedSegment),
    /// The stream ended, and every segment of it was handed out.
    Finished,
    /// Sealing failed; nothing follows.
    Failed(SealError),
}

/// One sealed segment, ready to be stored.
#[derive(Clone, PartialEq, Eq)]
pub struct SealedSegment {
    /// Its index in the archive, from 0.
    pub index: u32,
    /// Bytes of send stream in it.
    pub raw_bytes: u64,
    /// How it is laid out, with the digest of each frame.
    pub layout: SegmentLayout,
    /// SHA-256 of `bytes`.
    pub sha256: Sha256,
    /// The object: an age file. It counts as held by the sealer until the last clone is dropped.
    pub bytes: Bytes,
}

impl fmt::Debug for SealedSegment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealedSegment")
            .field("index", &self.index)
            .field("raw_bytes", &self.raw_bytes)
            .field("frames", &self.layout.frames.len())
            .field("sha256", &self.sha256)
            .field("bytes", &self.bytes.len())
            .finish()
    }
}

/// The totals of a whole stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SealedTotals {
    /// Bytes of the stream.
    pub raw_bytes: u64,
    /// Bytes of all segments that were sealed, without those that were skipped.
    pub sealed_bytes: u64,
    /// How many segments there are, including those that were skipped.
    pub segments: u32,
    /// BLAKE3 of the whole stream.
    pub raw_blake3: Blake3,
}
