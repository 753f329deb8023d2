//! How a sealed segment is laid out: what a reader has to know to read one frame of it alone, and to believe it.

use crate::model::Blake3;

/// The most bytes of an age file's header with its nonce: no reader takes a longer one. One that coldchain makes has
/// about 500.
const MAX_HEADER: usize = 4096 + 16;

/// The most frames of a segment.
const MAX_FRAMES: usize = 1 << 16;

/// Bytes of a frame in the encoding: its compressed length and its digest.
const FRAME_BYTES: usize = 4 + 32;

/// The layout of a sealed segment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SegmentLayout {
    /// The age file's header and its nonce: all that comes before the sealed payload.
    pub header: Vec<u8>,
    /// The frames in order, without the seek table.
    pub frames: Vec<FrameLayout>,
}

/// A frame of a sealed segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameLayout {
    /// Its length as a zstd frame.
    pub compressed_bytes: u32,
    /// BLAKE3 of its raw bytes.
    pub blake3: Blake3,
}

impl SegmentLayout {
    /// Returns one digest for the raw bytes of the whole segment, which follows from those of its frames.
    pub fn raw_blake3(&self) -> Blake3 {
        digest_of_frames(self.frames.iter().map(|frame| frame.blake3))
    }

    /// Returns an upper bound of the bytes of the encodings of so many segments that have so many frames together.
    pub fn longest(segments: u64, frames: u64) -> u64 {
        segments * (2 + 4 + MAX_HEADER as u64) + frames * FRAME_BYTES as u64
    }

    /// Adds its encoding: the length of the header in 2 bytes, the header, the number of frames in 4 bytes, and for each
    /// frame its compressed length in 4 bytes and its digest. All numbers are little-endian.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let header = u16::try_from(self.header.len()).expect("the header of an age file is short");
        let frames = u32::try_from(self.frames.len()).expect("a segment has few frames");
        out.extend(header.to_le_bytes());
        out.extend_from_slice(&self.header);
        out.extend(frames.to_le_bytes());
        for frame in &self.frames {
            out.extend(frame.compressed_bytes.to_le_bytes());
            out.extend(frame.blake3.0);
        }
    }

    /// Reads an encoding from the beginning of `bytes`, and returns what follows it. Returns `None` if it is cut short, or
    /// larger than that of any segment.
    pub fn decode(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let (length, rest) = bytes.split_first_chunk::<2>()?;
        let length = usize::from(u16::from_le_bytes(*length));
        let (header, rest) = rest.split_at_checked(length)?;
        let (count, rest) = rest.split_first_chunk::<4>()?;
        let count = usize::try_from(u32::from_le_bytes(*count)).ok()?;
        if length > MAX_HEADER || count > MAX_FRAMES {
            return None;
        }
        let (frames, rest) = rest.split_at_checked(count * FRAME_BYTES)?;
        let frames = frames.chunks_exact(FRAME_BYTES).map(|frame| {
            let (length, digest) = frame.split_first_chunk::<4>()?;
            Some(FrameLayout {
                compressed_bytes: u32::from_le_bytes(*length),
                blake3: Blake3(digest.try_into().ok()?),
            })
        });
        let layout = Self {
            header: header.to_vec(),
            frames: frames.collect::<Option<_>>()?,
        };
        Some((layout, rest))
    }
}

/// Returns BLAKE3 of the digests of a segment's frames, one after the other.
pub fn digest_of_frames(frames: impl IntoIterator<Item = Blake3>) -> Blake3 {
    let mut hasher = blake3::Hasher::new();
    for frame in frames {
        hasher.update(&frame.0);
    }
    Blake3(*hasher.finalize().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(frames: u8) -> SegmentLayout {
        SegmentLayout {
            header: b"age-encryption.org/v1\n".to_vec(),
            frames: (0..frames)
                .map(|frame| FrameLayout {
                    compressed_bytes: u32::from(frame) << 16,
                    blake3: Blake3::of(&[frame]),
                })
                .collect(),
        }
    }

    #[test]
    fn what_is_encoded_is_read_again_and_what_follows_is_left() {
        for frames in [0, 1, 32] {
            let mut bytes = Vec::new();
            layout(frames).encode(&mut bytes);
            let length = bytes.len();
            bytes.extend(b"rest");
            assert_eq!(
                SegmentLayout::decode(&bytes),
                Some((layout(frames), &b"rest"[..]))
            );
            for cut in 0..length {
                assert_eq!(SegmentLayout::decode(&bytes[..cut]), None, "{cut}");
            }
        }
    }

    #[test]
    fn a_layout_that_no_segment_has_is_not_read() {
        let mut bytes = Vec::new();
        layout(1).encode(&mut bytes);
        let mut long = bytes.clone();
        long[..2].copy_from_slice(&u16::MAX.to_le_bytes());
        long.resize(1 << 17, 0);
        assert_eq!(SegmentLayout::decode(&long), None);
        let count = 2 + layout(1).header.len();
        bytes[count..count + 4].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(SegmentLayout::decode(&bytes), None);
    }

    #[test]
    fn the_digest_of_a_segment_depends_on_each_frame_and_their_order() {
        let digest = layout(3).raw_blake3();
        let mut other = layout(3);
        other.frames.swap(0, 1);
        assert_ne!(other.raw_blake3(), digest);
        other.frames.swap(0, 1);
        assert_eq!(other.raw_blake3(), digest);
        other.frames.pop();
        assert_ne!(other.raw_blake3(), digest);
    }
}
