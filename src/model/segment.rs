//! The record of one segment, as the ledger signs it.

use serde::{Deserialize, Serialize};

use super::digest::Sha256;

/// Raw bytes of a frame: 4 MiB. Each is one zstd frame.
pub const FRAME_BYTES: u64 = 4 << 20;

/// Raw bytes of a segment unless configured otherwise: 128 MiB.
pub const DEFAULT_SEGMENT_BYTES: u64 = 128 << 20;

/// The most raw bytes that a segment may be configured to have: 1 GiB.
pub const LARGEST_SEGMENT_BYTES: u64 = 1 << 30;

/// The fewest raw bytes that a segment may be configured to have: 16 MiB.
const SMALLEST_SEGMENT_BYTES: u64 = 16 << 20;

/// Returns whether a segment may be configured to have so many raw bytes: whole frames, within the limits.
pub fn is_segment_size(bytes: u64) -> bool {
    (SMALLEST_SEGMENT_BYTES..=LARGEST_SEGMENT_BYTES).contains(&bytes)
        && bytes.is_multiple_of(FRAME_BYTES)
}

/// The most segments of an archive: its ledger entry names each, and has a limit.
pub const MOST_SEGMENTS: u32 = 500_000;

/// The most segments of an archive in a vault: its entry has the vault's id of each, too.
pub const MOST_SEGMENTS_IN_VAULT: u32 = 140_000;

/// Raw bytes of an object of contents, and fewer only of the last: 32 MiB.
pub const CONTENTS_OBJECT_BYTES: u64 = 32 << 20;

/// The most objects that the contents of an archive have.
pub const MOST_CONTENTS_OBJECTS: u32 = 100_000;

/// The most bytes of an object of contents as stored: sealing adds far less than 1 MiB to its raw bytes.
pub const MOST_SEALED_CONTENTS_BYTES: u64 = CONTENTS_OBJECT_BYTES + (1 << 20);

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

impl ContentsRecord {
    /// Bytes of its objects as stored.
    pub fn sealed_bytes(&self) -> u64 {
        let objects = self.objects.iter();
        objects.fold(0, |sum, it| sum.saturating_add(it.sealed_bytes))
    }

    /// Whether contents of this version can have such a record. A record that is not sound has no effect: versions
    /// that know nothing of contents accept its entry, so this version accepts it too.
    pub fn is_sound(&self) -> bool {
        let Some((last, before)) = self.objects.split_last() else {
            return false;
        };
        let few = self.objects.len() <= MOST_CONTENTS_OBJECTS as usize;
        let lengths = before
            .iter()
            .all(|it| it.raw_bytes == CONTENTS_OBJECT_BYTES)
            && (1..=CONTENTS_OBJECT_BYTES).contains(&last.raw_bytes);
        let mut objects = self.objects.iter();
        let sealed = objects.all(|it| (1..=MOST_SEALED_CONTENTS_BYTES).contains(&it.sealed_bytes));
        if !(few && lengths && sealed) {
            return false;
        }
        let raw_bytes: u64 = self.objects.iter().map(|it| it.raw_bytes).sum();
        let mut digests: Vec<[u8; 32]> = self.objects.iter().map(|it| it.sha256.0).collect();
        digests.sort_unstable();
        (1..=raw_bytes).contains(&self.stream_bytes)
            && !digests.array_windows().any(|[one, next]| one == next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(raw_bytes: u64, digest: u8) -> SegmentRecord {
        SegmentRecord {
            raw_bytes,
            sealed_bytes: raw_bytes / 2 + 1,
            sha256: Sha256([digest; 32]),
        }
    }

    fn record(stream_bytes: u64, objects: &[SegmentRecord]) -> ContentsRecord {
        ContentsRecord {
            stream_bytes,
            objects: objects.to_vec(),
        }
    }

    #[test]
    fn only_a_record_that_this_version_could_have_made_is_sound() {
        const WHOLE: u64 = CONTENTS_OBJECT_BYTES;
        for sound in [
            record(1, &[object(1, 1)]),
            record(WHOLE, &[object(WHOLE, 1)]),
            record(WHOLE + 7, &[object(WHOLE, 1), object(7, 2)]),
        ] {
            assert!(sound.is_sound(), "{sound:?}");
        }
        let long = SegmentRecord {
            sealed_bytes: MOST_SEALED_CONTENTS_BYTES + 1,
            ..object(5, 1)
        };
        let empty = SegmentRecord {
            sealed_bytes: 0,
            ..object(5, 1)
        };
        for unsound in [
            record(1, &[]),
            record(0, &[object(1, 1)]),
            record(2, &[object(1, 1)]),
            record(1, &[object(WHOLE + 1, 1)]),
            record(1, &[object(5, 1), object(5, 2)]),
            record(1, &[object(WHOLE, 1), object(0, 2)]),
            record(1, &[object(WHOLE, 1), object(WHOLE, 1)]),
            record(1, &[object(u64::MAX, 1), object(u64::MAX, 2)]),
            record(1, &[long]),
            record(1, &[empty]),
        ] {
            assert!(!unsound.is_sound(), "{unsound:?}");
        }
        let many: Vec<SegmentRecord> = (0..=u64::from(MOST_CONTENTS_OBJECTS))
            .map(|at| {
                let mut digest = [0; 32];
                digest[..8].copy_from_slice(&at.to_be_bytes());
                SegmentRecord {
                    sha256: Sha256(digest),
                    ..object(WHOLE, 0)
                }
            })
            .collect();
        assert!(!record(1, &many).is_sound());
        assert!(record(1, &many[1..]).is_sound());
    }
}
