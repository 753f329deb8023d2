//! One segment while it is put together: frames into an age file in memory, hashed as it grows.

use std::io::{self, Write};

use age::Encryptor;
use age::stream::StreamWriter;
use bytes::Bytes;

use super::abort::{Abort, Aborted, Stop};
use super::archive_key::ArchiveKey;
use super::error::SealError;
use super::frames::Frame;
use super::layout::{FrameLayout, SegmentLayout};
use super::options::SealOptions;
use super::sealed_budget::Held;
use super::seek_table::SeekTable;
use crate::model::Sha256;
use crate::model::digest::Sha256Hasher;

const WHAT: &str = "the segment";

/// More than age's header with one recipient, its nonce and the last chunk's tag take.
const AGE_FIXED_BYTES: usize = 1024;
/// Each chunk of 64 KiB has a tag of 16 bytes: <https://c2sp.org/age#payload>.
const AGE_CHUNK_BYTES: usize = 64 << 10;
const AGE_TAG_BYTES: usize = 16;

/// A segment that is being written.
pub(super) struct SegmentWriter {
    age: StreamWriter<HashedBytes>,
    seek_table: SeekTable,
    layout: SegmentLayout,
    held: Held,
}

/// Bytes whose SHA-256 is taken while each is still in the processor's cache.
struct HashedBytes {
    bytes: Vec<u8>,
    hasher: Sha256Hasher,
}

/// The most that age and the seek table add to a frame, besides the tags of whole chunks: the tags of chunks
/// that it fills in part, and its entry.
const ADDED_BYTES: u64 = 64;

impl Write for HashedBytes {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.hasher.update(bytes);
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl SegmentWriter {
    pub(super) fn new(
        key: &ArchiveKey,
        options: &SealOptions,
        held: Held,
    ) -> Result<Self, SealError> {
        let recipient = key.recipient();
        let encryptor =
            Encryptor::with_recipients(std::iter::once(&recipient as _)).map_err(|source| {
                SealError::Seal {
                    what: WHAT,
                    source: Box::new(source),
                }
            })?;
        let output = HashedBytes {
            // It is never moved while it grows. The unused rest is never touched, and so takes no memory.
            bytes: Vec::with_capacity(longest_sealed(options)),
            hasher: Sha256Hasher::default(),
        };
        let age = encryptor.wrap_output(output).map_err(refuse)?;
        Ok(Self {
            age,
            seek_table: SeekTable::default(),
            layout: SegmentLayout::default(),
            held,
        })
    }

    /// Holds the bytes that a frame needs; waits while segments that were handed out hold too many.
    pub(super) fn hold_for(&mut self, frame: &Frame, abort: Option<&Abort>) -> Result<(), Stop> {
        let plain = frame.compressed.len() as u64;
        let chunks = plain / AGE_CHUNK_BYTES as u64 * AGE_TAG_BYTES as u64;
        self.held
            .grow(plain + chunks + ADDED_BYTES, abort)
            .map_err(|Aborted| Stop::Aborted)
    }

    pub(super) fn write(&mut self, frame: &Frame) -> Result<(), SealError> {
        let compressed =
            u32::try_from(frame.compressed.len()).expect("a frame of 16 MiB stays below 4 GiB");
        self.seek_table.push(compressed, frame.raw_bytes);
        self.layout.frames.push(FrameLayout {
            compressed_bytes: compressed,
            blake3: frame.blake3,
        });
        self.age.write_all(&frame.compressed).map_err(refuse)
    }

    /// Adds the seek table and closes the age file.
    pub(super) fn finish(mut self) -> Result<(Bytes, Sha256, SegmentLayout), SealError> {
        let seek_table = self.seek_table.encode();
        self.age.write_all(&seek_table).map_err(refuse)?;
        let HashedBytes { mut bytes, hasher } = self.age.finish().map_err(refuse)?;
        bytes.shrink_to_fit();
        let frames = self.layout.frames.iter();
        let frames: usize = frames.map(|frame| frame.compressed_bytes as usize).sum();
        let payload = payload_bytes(frames + seek_table.len());
        self.layout.header = bytes[..bytes.len() - payload].to_vec();
        Ok((self.held.with(bytes), hasher.finish(), self.layout))
    }
}

/// Returns the bytes of the payload of an age file with that many bytes of plain text.
fn payload_bytes(plain: usize) -> usize {
    plain + plain.div_ceil(AGE_CHUNK_BYTES).max(1) * AGE_TAG_BYTES
}

fn refuse(source: io::Error) -> SealError {
    SealError::Write { what: WHAT, source }
}

/// An upper bound of a segment's sealed bytes.
pub(super) fn longest_sealed(options: &SealOptions) -> usize {
    let frames = options.segment_bytes / options.frame_bytes as u64;
    let frames = usize::try_from(frames).expect("a segment has at most 65536 frames");
    let plain =
        frames * zstd::compress_bound(options.frame_bytes) + SeekTable::encoded_bytes(frames);
    plain + (plain / AGE_CHUNK_BYTES) * AGE_TAG_BYTES + AGE_FIXED_BYTES
}
