//! Reads how a sealed segment is laid out from the segment itself.

use std::io::{self, Cursor, Read, Seek, SeekFrom};

use age::Decryptor;

use super::archive_key::ArchiveKey;
use super::error::SealError;
use super::layout::{FrameLayout, SegmentLayout};
use super::opener::require_short_header;
use super::seek_table::{FOOTER_BYTES, HEADER_BYTES, frames_in, table_entries};
use crate::model::Blake3;

const WHAT: &str = "the segment";

/// The nonce that follows the header of an age file.
const NONCE_BYTES: usize = 16;

/// Reads a segment's layout: first from its seek table, and then the digests of its frames from its raw bytes.
pub struct LayoutReader {
    header: Vec<u8>,
    /// The compressed and the raw length of each frame.
    lengths: Vec<(u32, u32)>,
    digests: Vec<Blake3>,
    /// The frame that is being read, and how much of it has come.
    hasher: blake3::Hasher,
    filled: u32,
}

impl LayoutReader {
    /// Reads the header and the seek table of a sealed segment that holds `raw_bytes` of the stream.
    pub fn begin(sealed: &[u8], key: &ArchiveKey, raw_bytes: u64) -> Result<Self, SealError> {
        require_short_header(sealed)?;
        let mut plain = Decryptor::new_buffered(Cursor::new(sealed))
            .and_then(|decryptor| decryptor.decrypt(std::iter::once(key.identity())))
            .map_err(|source| SealError::Unseal { what: WHAT, source })?;
        let lengths = lengths(&mut plain)
            .map_err(|source| SealError::Decrypt { what: WHAT, source })?
            .filter(|lengths| {
                let raw = lengths.iter().map(|(_, raw)| u64::from(*raw)).sum::<u64>();
                raw == raw_bytes && lengths.iter().all(|(_, raw)| *raw > 0)
            });
        let header = header(sealed).zip(lengths);
        let (header, lengths) = header.ok_or(SealError::NoSeekTable)?;
        Ok(Self {
            header: header.to_vec(),
            digests: Vec::with_capacity(lengths.len()),
            lengths,
            hasher: blake3::Hasher::new(),
            filled: 0,
        })
    }

    /// Takes the next raw bytes.
    pub fn update(&mut self, mut raw: &[u8]) {
        while let Some((_, length)) = self.lengths.get(self.digests.len())
            && !raw.is_empty()
        {
            let left = usize::try_from(length - self.filled).unwrap_or(usize::MAX);
            let (piece, rest) = raw.split_at(left.min(raw.len()));
            self.hasher.update(piece);
            // A piece is no longer than the frame.
            self.filled += u32::try_from(piece.len()).unwrap_or(u32::MAX);
            raw = rest;
            if self.filled == *length {
                let digest = Blake3(*self.hasher.finalize().as_bytes());
                self.digests.push(digest);
                self.hasher.reset();
                self.filled = 0;
            }
        }
    }

    /// Returns the layout, after all raw bytes.
    pub fn finish(self) -> Result<SegmentLayout, SealError> {
        if self.digests.len() != self.lengths.len() {
            return Err(SealError::NoSeekTable);
        }
        let frames = self.lengths.iter().zip(self.digests);
        let frames = frames.map(|((compressed_bytes, _), blake3)| FrameLayout {
            compressed_bytes: *compressed_bytes,
            blake3,
        });
        Ok(SegmentLayout {
            header: self.header,
            frames: frames.collect(),
        })
    }
}

/// Returns what comes before the payload of an age file: the header, whose last line begins with `---`, and the nonce.
fn header(sealed: &[u8]) -> Option<&[u8]> {
    let last = sealed.windows(4).position(|window| window == b"\n---")? + 1;
    let line = sealed[last..].iter().position(|byte| *byte == b'\n')? + 1;
    sealed.get(..last + line + NONCE_BYTES)
}

/// Reads the lengths of the frames from the seek table at the end of a decrypted segment; `None` if there is none.
fn lengths(plain: &mut (impl Read + Seek)) -> io::Result<Option<Vec<(u32, u32)>>> {
    let whole = plain.seek(SeekFrom::End(0))?;
    let Some(footer_at) = whole.checked_sub(FOOTER_BYTES as u64) else {
        return Ok(None);
    };
    let mut footer = [0; FOOTER_BYTES];
    plain.seek(SeekFrom::Start(footer_at))?;
    plain.read_exact(&mut footer)?;
    let Some(entries_bytes) = frames_in(&footer) else {
        return Ok(None);
    };
    let Some(entries_at) = footer_at.checked_sub(entries_bytes as u64) else {
        return Ok(None);
    };
    let mut entries = vec![0; entries_bytes];
    plain.seek(SeekFrom::Start(entries_at))?;
    plain.read_exact(&mut entries)?;
    let lengths = table_entries(&entries);
    let compressed: u64 = lengths.iter().map(|(bytes, _)| u64::from(*bytes)).sum();
    Ok((compressed + HEADER_BYTES as u64 == entries_at).then_some(lengths))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seal::test_data::{mixed_bytes, seal_all, small_options};

    #[test]
    fn the_layout_of_a_sealed_segment_is_the_one_that_its_sealer_gave() {
        let key = ArchiveKey::generate();
        let raw = mixed_bytes(2500);
        let (segments, _) = seal_all(small_options(2), &key, &raw).unwrap();
        let mut at = 0;
        for segment in segments {
            let bytes = usize::try_from(segment.raw_bytes).unwrap();
            for piece in [1, 7, bytes] {
                let mut reader =
                    LayoutReader::begin(&segment.bytes, &key, segment.raw_bytes).unwrap();
                for some in raw[at..at + bytes].chunks(piece) {
                    reader.update(some);
                }
                assert_eq!(reader.finish().unwrap(), segment.layout, "{piece}");
            }
            let cut = LayoutReader::begin(&segment.bytes, &key, segment.raw_bytes).unwrap();
            assert!(matches!(cut.finish(), Err(SealError::NoSeekTable)));
            let other = LayoutReader::begin(&segment.bytes, &key, segment.raw_bytes + 1);
            assert!(matches!(other, Err(SealError::NoSeekTable)));
            at += bytes;
        }
        assert_eq!(at, raw.len());
    }

    #[test]
    fn no_damaged_segment_has_a_layout_of_frames_that_do_not_fill_it() {
        let key = ArchiveKey::generate();
        let raw = mixed_bytes(1500);
        let segment = seal_all(small_options(1), &key, &raw).unwrap().0.remove(0);
        for at in 0..segment.bytes.len() {
            assert!(
                LayoutReader::begin(&segment.bytes[..at], &key, 1500).is_err(),
                "{at}"
            );
        }
        // A payload without a table, which the writer of a key can make.
        for payload in [&b""[..], &[0; 9], &[0xff; 400]] {
            let sealed = key.seal_private(payload).unwrap();
            let begun = LayoutReader::begin(&sealed, &key, 1500);
            assert!(matches!(begun, Err(SealError::NoSeekTable)));
        }
    }
}
