//! The digests of contents that are made again, object by object.

use crate::model::Blake3;
use crate::model::segment::CONTENTS_OBJECT_BYTES;

/// Cuts contents as their sealer does, and keeps a digest of each object's raw bytes.
#[derive(Default)]
pub(super) struct ContentsDigests {
    /// Bytes of the stream without its file data.
    pub(super) stream_bytes: u64,
    hasher: blake3::Hasher,
    filled: u64,
    whole: Vec<Blake3>,
}

impl ContentsDigests {
    /// Takes the next bytes of the stream without its file data.
    pub(super) fn stream(&mut self, bytes: &[u8]) {
        self.stream_bytes += bytes.len() as u64;
        self.update(bytes);
    }

    /// Returns the digest of each object, after the table was added that follows the stream.
    pub(super) fn finish(mut self, table: &[u8]) -> Vec<Blake3> {
        self.update(table);
        if self.filled > 0 {
            self.end_object();
        }
        self.whole
    }

    fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let left = CONTENTS_OBJECT_BYTES - self.filled;
            let left = usize::try_from(left).unwrap_or(usize::MAX);
            let (piece, rest) = bytes.split_at(left.min(bytes.len()));
            self.hasher.update(piece);
            self.filled += piece.len() as u64;
            bytes = rest;
            if self.filled == CONTENTS_OBJECT_BYTES {
                self.end_object();
            }
        }
    }

    fn end_object(&mut self) {
        self.whole.push(Blake3(*self.hasher.finalize().as_bytes()));
        self.hasher.reset();
        self.filled = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_object_has_a_digest_and_the_table_follows_the_stream() {
        let whole = usize::try_from(CONTENTS_OBJECT_BYTES).unwrap();
        let bytes: Vec<u8> = (0..=u8::MAX).cycle().take(whole + 300).collect();
        for (stream, objects) in [(1, 1), (whole - 1, 1), (whole, 1), (whole + 290, 2)] {
            let mut digests = ContentsDigests::default();
            for piece in bytes[..stream].chunks(5 << 20) {
                digests.stream(piece);
            }
            assert_eq!(digests.stream_bytes, stream as u64);
            let table = &bytes[stream..(stream + 10).min(whole.max(stream))];
            let all = &bytes[..stream + table.len()];
            let expected: Vec<Blake3> = all.chunks(whole).map(Blake3::of).collect();
            assert_eq!(digests.finish(table), expected);
            assert_eq!(expected.len(), objects);
        }
    }
}
