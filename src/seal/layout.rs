//! How a sealed segment is laid out: what a reader has to know to read one frame of it alone, and to believe it.

use std::io::{self, Read};

use crate::model::Blake3;

/// The most bytes of an age file's header with its nonce: no reader takes a longer one. One that coldchain makes has
/// about 500.
const MAX_HEADER: usize = 4096 + 16;

/// The most frames of a segment.
const MAX_FRAMES: usize = 1 << 16;

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

    /// Returns about how many bytes of memory it takes.
    pub fn memory(&self) -> u64 {
        (size_of::<Self>() + self.header.len() + self.frames.len() * size_of::<FrameLayout>())
            as u64
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
    pub fn decode(mut bytes: &[u8]) -> Option<(Self, &[u8])> {
        let layout = Self::read(&mut bytes, |_| true).ok().flatten()?;
        Some((layout, bytes))
    }

    /// Reads an encoding. Returns `None` if it is larger than that of any segment, or if `can_have` says that the segment can't
    /// have so many frames: no memory is taken for them before.
    pub fn read(
        input: &mut impl Read,
        can_have: impl FnOnce(u32) -> bool,
    ) -> io::Result<Option<Self>> {
        let mut length = [0; 2];
        input.read_exact(&mut length)?;
        let length = usize::from(u16::from_le_bytes(length));
        if length > MAX_HEADER {
            return Ok(None);
        }
        let mut header = vec![0; length];
        input.read_exact(&mut header)?;
        let mut count = [0; 4];
        input.read_exact(&mut count)?;
        let count = u32::from_le_bytes(count);
        if count as usize > MAX_FRAMES || !can_have(count) {
            return Ok(None);
        }
        let mut frames = Vec::with_capacity(count as usize);
        for _ in 0..count {
            let (mut compressed_bytes, mut digest) = ([0; 4], [0; 32]);
            input.read_exact(&mut compressed_bytes)?;
            input.read_exact(&mut digest)?;
            frames.push(FrameLayout {
                compressed_bytes: u32::from_le_bytes(compressed_bytes),
                blake3: Blake3(digest),
            });
        }
        Ok(Some(Self { header, frames }))
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
