//! Single frames of a sealed segment, from some of its bytes.
//!
//! The layout of a segment, which lies in the authenticated contents of its archive, has the age header and where each
//! frame is. So the chunks of age that have a frame are enough to read it: no header, no seek table and no last chunk are
//! fetched. Each frame is compared with the digest in the layout, whatever the bytes are and wherever they came from.

use std::io::{self, BufRead, Read, Seek, SeekFrom};
use std::ops::Range;
use std::sync::Arc;

use age::Decryptor;
use age::stream::StreamReader;
use zstd::bulk::Decompressor;

use super::archive_key::ArchiveKey;
use super::error::SealError;
use super::layout::SegmentLayout;
use super::opener::require_short_header;
use super::options::LARGEST_FRAME_LOG;
use super::seek_table::SeekTable;
use crate::model::Blake3;

const WHAT: &str = "the frames of a segment";

/// Plain bytes of a chunk of age; the last one of a file may have fewer.
const CHUNK: u64 = 64 << 10;

/// Bytes of the tag that each chunk has in the object.
const TAG: u64 = 16;

/// The lengths of a segment, which its layout does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentLengths {
    /// Bytes of the object.
    pub sealed_bytes: u64,
    /// Bytes of the stream in it.
    pub raw_bytes: u64,
    /// Raw bytes of every frame but the last, which may have fewer.
    pub frame_bytes: u32,
}

/// A sealed segment of which single frames can be read: where they lie, and what they must be.
#[derive(Debug, Clone)]
pub struct SegmentFrames {
    layout: Arc<SegmentLayout>,
    lengths: SegmentLengths,
    /// Where each frame ends in the plain text of the age file.
    ends: Vec<u64>,
}

impl SegmentFrames {
    /// Refuses a layout that is not that of a segment with these lengths: nothing of such a segment could be found, and a
    /// length in it could be too large for memory.
    pub fn new(layout: Arc<SegmentLayout>, lengths: SegmentLengths) -> Result<Self, SealError> {
        let refuse = |what, expected, got| {
            Err(SealError::LayoutDiffers {
                what,
                expected,
                got,
            })
        };
        let frame_bytes = u64::from(lengths.frame_bytes);
        if !(1..=1 << LARGEST_FRAME_LOG).contains(&frame_bytes) {
            return refuse("bytes in a raw frame", 1 << LARGEST_FRAME_LOG, frame_bytes);
        }
        let expected = lengths.raw_bytes.div_ceil(frame_bytes);
        let frames = layout.frames.len() as u64;
        if frames != expected {
            return refuse("frames", expected, frames);
        }
        require_short_header(&layout.header)?;
        let mut end = 0_u64;
        let ends = layout.frames.iter().map(|frame| {
            end += u64::from(frame.compressed_bytes);
            end
        });
        let frames = Self {
            ends: ends.collect(),
            layout,
            lengths,
        };
        for (number, frame) in (0..).zip(&frames.layout.frames) {
            let longest = zstd::zstd_safe::compress_bound(frames.raw_len(number)) as u64;
            let compressed = u64::from(frame.compressed_bytes);
            if !(1..=longest).contains(&compressed) {
                return refuse("bytes in a compressed frame", longest, compressed);
            }
        }
        let plain = end + SeekTable::encoded_bytes(frames.ends.len()) as u64;
        let sealed = frames.header_bytes() + plain + plain.div_ceil(CHUNK) * TAG;
        if sealed != lengths.sealed_bytes {
            return refuse("bytes in the object", lengths.sealed_bytes, sealed);
        }
        Ok(frames)
    }

    /// Returns the number of frames.
    pub fn count(&self) -> u32 {
        u32::try_from(self.ends.len()).expect("a segment has few frames")
    }

    /// Returns the length of the object.
    pub fn sealed_bytes(&self) -> u64 {
        self.lengths.sealed_bytes
    }

    /// Returns the raw length of a frame: 0 if there is none with that number.
    pub fn raw_len(&self, frame: u32) -> usize {
        let frame_bytes = u64::from(self.lengths.frame_bytes);
        let before = u64::from(frame) * frame_bytes;
        let left = self.lengths.raw_bytes.saturating_sub(before);
        usize::try_from(left.min(frame_bytes)).expect("a frame is short")
    }

    /// Returns the bytes of the object that have these frames: whole chunks of age. It is empty if there are no such frames.
    pub fn sealed_range(&self, frames: Range<u32>) -> Range<u64> {
        let plain = self.plain_range(frames);
        if plain.is_empty() {
            return 0..0;
        }
        let header = self.header_bytes();
        let chunk_at = |chunk| header + chunk * (CHUNK + TAG);
        let end = chunk_at(plain.end.div_ceil(CHUNK));
        chunk_at(plain.start / CHUNK)..end.min(self.lengths.sealed_bytes)
    }

    /// Begins to read frames from bytes of the object: those of [`sealed_range`](Self::sealed_range), or more, or all of it.
    /// `at` is where they lie in it.
    pub fn open<'a>(
        &'a self,
        key: &'a ArchiveKey,
        at: u64,
        sealed: &'a [u8],
    ) -> Result<SegmentFrameReader<'a>, SealError> {
        let end = at.checked_add(sealed.len() as u64);
        if end.is_none_or(|end| end > self.lengths.sealed_bytes) {
            return Err(SealError::LayoutDiffers {
                what: "bytes in the object",
                expected: self.lengths.sealed_bytes,
                got: end.unwrap_or(u64::MAX),
            });
        }
        let zstd = Decompressor::new().map_err(|source| SealError::Compressor { source })?;
        Ok(SegmentFrameReader {
            frames: self,
            key,
            sealed: SealedPart {
                header: &self.layout.header,
                at,
                bytes: sealed,
                position: 0,
            },
            plain: None,
            zstd,
            compressed: Vec::new(),
        })
    }

    fn header_bytes(&self) -> u64 {
        self.layout.header.len() as u64
    }

    /// Where frames lie in the plain text of the age file.
    fn plain_range(&self, frames: Range<u32>) -> Range<u64> {
        let end_of = |frame: u32| self.ends.get(frame as usize).copied();
        let start = match frames.start.checked_sub(1) {
            None => Some(0),
            Some(before) => end_of(before),
        };
        let end = frames.end.checked_sub(1).and_then(end_of);
        match (start, end) {
            (Some(start), Some(end)) if start < end => start..end,
            _ => 0..0,
        }
    }
}

/// Reads frames of a segment in any order. A frame that is damaged does not keep the others from being read.
pub struct SegmentFrameReader<'a> {
    frames: &'a SegmentFrames,
    key: &'a ArchiveKey,
    sealed: SealedPart<'a>,
    /// `None` before the first frame, and after a fault: age's reader keeps a chunk that it could not decrypt.
    plain: Option<StreamReader<SealedPart<'a>>>,
    zstd: Decompressor<'static>,
    compressed: Vec<u8>,
}

impl SegmentFrameReader<'_> {
    /// Returns the raw bytes of a frame: those that were sealed, or an error.
    pub fn read(&mut self, frame: u32) -> Result<Vec<u8>, SealError> {
        let Some(layout) = self.frames.layout.frames.get(frame as usize) else {
            return Err(SealError::NoSuchFrame {
                frame,
                frames: self.frames.count(),
            });
        };
        self.require_header()?;
        let plain = self.frames.plain_range(frame..frame + 1);
        let opened = self.read_plain(&plain);
        if opened.is_err() {
            self.plain = None;
        }
        opened?;
        let expected = self.frames.raw_len(frame);
        // The most that zstd may write. It decompresses a frame that is here as a whole right into this, and takes no
        // memory for a window, whatever the header of the frame asks for.
        let mut raw = Vec::with_capacity(expected);
        self.zstd
            .decompress_to_buffer(&self.compressed, &mut raw)
            .map_err(|source| SealError::DecompressFrame { frame, source })?;
        if raw.len() != expected {
            return Err(SealError::FrameLength {
                frame,
                expected,
                got: raw.len(),
            });
        }
        if Blake3::of(&raw) != layout.blake3 {
            return Err(SealError::FrameDiffers { frame });
        }
        Ok(raw)
    }

    /// A header that was fetched with the frames must be the one in the layout, which is used in its place.
    fn require_header(&self) -> Result<(), SealError> {
        let SealedPart {
            header, at, bytes, ..
        } = self.sealed;
        let fetched = usize::try_from(at)
            .ok()
            .and_then(|at| header.get(at..))
            .unwrap_or_default();
        let same = fetched.len().min(bytes.len());
        if fetched[..same] == bytes[..same] {
            Ok(())
        } else {
            Err(SealError::HeaderDiffers)
        }
    }

    /// Reads a part of the plain text into `compressed`.
    fn read_plain(&mut self, range: &Range<u64>) -> Result<(), SealError> {
        let mut reader = match self.plain.take() {
            Some(reader) => reader,
            None => Decryptor::new_buffered(self.sealed.clone())
                .and_then(|decryptor| decryptor.decrypt(std::iter::once(self.key.identity())))
                .map_err(|source| SealError::Unseal { what: WHAT, source })?,
        };
        let length = usize::try_from(range.end - range.start).expect("a frame is short");
        self.compressed.clear();
        self.compressed.resize(length, 0);
        seek_to(&mut reader, range.start)
            .and_then(|()| reader.read_exact(&mut self.compressed))
            .map_err(|source| SealError::Decrypt { what: WHAT, source })?;
        self.plain = Some(reader);
        Ok(())
    }
}

/// Moves to a byte of the plain text.
///
/// age's reader decrypts the last chunk of the file when it is sent to the beginning of a chunk, to find out whether that is
/// the end. The last chunk is not here. Sent to the second byte it decrypts the chunk, and from there it goes back within it.
fn seek_to(reader: &mut (impl Read + Seek), position: u64) -> io::Result<()> {
    if position.is_multiple_of(CHUNK) {
        reader.seek(SeekFrom::Start(position + 1))?;
    }
    reader.seek(SeekFrom::Start(position)).map(drop)
}

/// An age file of which only the header and a part of the payload are here.
#[derive(Clone)]
struct SealedPart<'a> {
    header: &'a [u8],
    /// Where the bytes lie in the file.
    at: u64,
    bytes: &'a [u8],
    position: u64,
}

impl Read for SealedPart<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let here = self.fill_buf()?;
        let read = here.len().min(buffer.len());
        buffer[..read].copy_from_slice(&here[..read]);
        self.consume(read);
        Ok(read)
    }
}

impl BufRead for SealedPart<'_> {
    /// Returns nothing where no more bytes are here. age then finds a chunk that it can't decrypt, or none.
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        let from = |start: u64, bytes: &'_ [u8]| -> Option<usize> {
            let skip = usize::try_from(self.position.checked_sub(start)?).ok()?;
            (skip < bytes.len()).then_some(skip)
        };
        if let Some(skip) = from(0, self.header) {
            return Ok(&self.header[skip..]);
        }
        Ok(from(self.at, self.bytes).map_or(&[], |skip| &self.bytes[skip..]))
    }

    fn consume(&mut self, amount: usize) {
        self.position += amount as u64;
    }
}

impl Seek for SealedPart<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.position = match to {
            SeekFrom::Start(position) => position,
            SeekFrom::Current(0) => self.position,
            // The length that age would ask for is not known here.
            SeekFrom::Current(_) | SeekFrom::End(_) => {
                return Err(io::ErrorKind::Unsupported.into());
            }
        };
        Ok(self.position)
    }
}

#[cfg(test)]
mod tests;
