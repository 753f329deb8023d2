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
