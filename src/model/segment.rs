//! The record of one segment, as the ledger signs it.

use serde::{Deserialize, Serialize};

use super::digest::Sha256;

/// Raw bytes of a frame: 4 MiB. Each is one zstd frame.
pub const FRAME_BYTES: u64 = 4 << 20;

/// Raw bytes of a segment unless configured otherwise: 128 MiB.
pub const DEFAULT_SEGMENT_BYTES: u64 = 128 << 20;

/// The most raw bytes that a segment may be configured to have: 1 GiB.
pub const LARGEST_SEGMENT_BYTES: u64 = 1 << 30;

/// The most segments of an archive: its ledger entry names each, and has a limit.
pub const MOST_SEGMENTS: u32 = 500_000;

/// The most segments of an archive in a vault: its entry has the vault's id of each, too.
pub const MOST_SEGMENTS_IN_VAULT: u32 = 140_000;

/// Raw bytes of an object of contents, and fewer only of the last: 32 MiB.
pub const CONTENTS_OBJECT_BYTES: u64 = 32 << 20;

/// The most objects that the contents of an archive have.
pub const MOST_CONTENTS_OBJECTS: u32 = 100_000;

/// One segment: an archive's list of these, in order, is its identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentRecord {
    /// Bytes of send stream in it.
    #[serde(rename = "raw")]
    pub raw_bytes: u64,
    /// Bytes of the object.
    #[serde(rename = "sealed")]
    pub sealed_bytes: u64,
    /// SHA-256 of the object.
    pub sha256: Sha256,
}

/// The contents of an archive: its stream without the file data and a table of its segments, in objects that are sealed
/// like segments.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContentsRecord {
    /// Bytes of the stream without the file data. The table follows them.
    pub stream_bytes: u64,
    /// The objects in order.
    pub objects: Vec<SegmentRecord>,
}
