//! Seals the contents of an archive into objects, on the thread that gives them.
//!
//! They are few bytes beside those of the stream, so they need no threads of their own. What they take of the memory for
//! sealed segments is small, too; see [`Held`](super::Held).

use super::abort::Stop;
use super::archive_key::ArchiveKey;
use super::compression::Strength;
use super::error::SealError;
use super::frames::Worker;
use super::options::SealOptions;
use super::pool::Pool;
use super::sealed::SealedSegment;
use super::sealed_budget::Budget;
use super::segment_writer::SegmentWriter;
use crate::model::segment::{CONTENTS_OBJECT_BYTES, FRAME_BYTES};

/// zstd's level for contents. Names and times repeat within short distances, so level 3 takes twice the time and finds no
/// more.
const LEVEL: i32 = 1;

/// The raw bytes of a frame.
const FRAME: usize = 4 << 20;

const _: () = assert!(FRAME as u64 == FRAME_BYTES);

/// Bytes that each object may have until it waits for others; it is more than all have.
const NO_LIMIT: u64 = u64::MAX / 2;

/// Seals contents: bytes in, objects out. An object is sealed as a segment is.
pub struct ContentsSealer {
    options: SealOptions,
    key: ArchiveKey,
    budget: Budget,
    worker: Worker,
    compressed_buffers: Pool,
    /// What does not fill a frame yet.
    pending: Vec<u8>,
    /// The object that is being written, and its raw bytes.
    object: Option<(SegmentWriter, u64)>,
    /// The index of that object.
    index: u32,
    /// Takes each whole object.
    out: Box<dyn FnMut(SealedSegment) -> Result<(), SealError> + Send>,
}

impl ContentsSealer {
    /// Returns a sealer without a limit on memory, which gives each object to `out`.
    pub fn new(
        key: &ArchiveKey,
        out: impl FnMut(SealedSegment) -> Result<(), SealError> + Send + 'static,
    ) -> Result<Self, SealError> {
        Self::within(key, Budget::new(NO_LIMIT), Box::new(out))
    }

    pub(super) fn within(
        key: &ArchiveKey,
        budget: Budget,
        out: Box<dyn FnMut(SealedSegment) -> Result<(), SealError> + Send>,
    ) -> Result<Self, SealError> {
        let options = SealOptions {
            segment_bytes: CONTENTS_OBJECT_BYTES,
            frame_bytes: FRAME,
            level: LEVEL,
            held_bytes: 0,
            threads: 1,
        };
        let compressed_buffers = Pool::new(1, zstd::compress_bound(FRAME));
        let raw_buffers = Pool::new(0, FRAME);
        Ok(Self {
            options,
            key: key.clone(),
            budget,
            worker: Worker::new(raw_buffers, compressed_buffers.clone())?,
            compressed_buffers,
            pending: Vec::with_capacity(FRAME),
            object: None,
            index: 0,
            out,
        })
    }

    /// Takes the next bytes. Waits while segments and objects that were handed out hold too much memory.
    pub fn write(&mut self, mut bytes: &[u8]) -> Result<(), SealError> {
        while !bytes.is_empty() {
            let room = FRAME - self.pending.len();
            let (piece, rest) = bytes.split_at(room.min(bytes.len()));
            self.pending.extend_from_slice(piece);
            bytes = rest;
            if self.pending.len() == FRAME {
                self.seal_frame()?;
            }
        }
        Ok(())
    }

    /// Seals what is left, and hands it out.
    pub fn finish(mut self) -> Result<(), SealError> {
        if !self.pending.is_empty() {
            self.seal_frame()?;
        }
        self.end_object()
    }

    fn seal_frame(&mut self) -> Result<(), SealError> {
        let (frame, _) = self
            .worker
            .compress(&self.pending, Strength::Zstd(self.options.level))?;
        let (mut writer, raw_bytes) = if let Some(object) = self.object.take() {
            object
        } else {
            let held = self.budget.hold_contents();
            (SegmentWriter::new(&self.key, &self.options, held)?, 0)
        };
        writer.hold_for(&frame, None).map_err(|stop| match stop {
            Stop::Failed(error) => error,
            Stop::Aborted => SealError::Stopped,
        })?;
        writer.write(&frame)?;
        self.compressed_buffers.give(frame.compressed);
        let raw_bytes = raw_bytes + self.pending.len() as u64;
        self.pending.clear();
        self.object = Some((writer, raw_bytes));
        if raw_bytes == CONTENTS_OBJECT_BYTES {
            self.end_object()?;
        }
        Ok(())
    }

    fn end_object(&mut self) -> Result<(), SealError> {
        let Some((writer, raw_bytes)) = self.object.take() else {
            return Ok(());
        };
        let (bytes, sha256, layout) = writer.finish()?;
        let index = self.index;
        self.index = index.checked_add(1).ok_or(SealError::TooManySegments)?;
        (self.out)(SealedSegment {
            index,
            raw_bytes,
            layout,
            sha256,
            bytes,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use crossbeam_channel::unbounded;

    use super::*;
    use crate::seal::{SelfCheck, open_segment};

    /// Bytes that do not compress much.
    fn bytes(length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        blake3::Hasher::new().finalize_xof().fill(&mut bytes);
        bytes
    }

    #[test]
    fn what_is_written_in_pieces_is_in_the_objects_that_come_out() {
        let object = usize::try_from(CONTENTS_OBJECT_BYTES).unwrap();
        for (length, objects) in [(1, 1), (object, 1), (object + 1, 2)] {
            let raw = bytes(length);
            let key = ArchiveKey::generate();
            let (out, objects_out) = unbounded();
            let mut sealer = ContentsSealer::new(&key, move |object| {
                out.send(object).map_err(|_| SealError::Stopped)
            })
            .unwrap();
            for piece in raw.chunks((3 << 20) + 5) {
                sealer.write(piece).unwrap();
            }
            sealer.finish().unwrap();
            let check = SelfCheck::new(&key, FRAME);
            let mut opened = Vec::new();
            let all: Vec<SealedSegment> = objects_out.iter().collect();
            for (index, object) in (0..).zip(&all) {
                assert_eq!(object.index, index);
                check.check(object).unwrap();
                let mut reader = open_segment(&object.bytes, &key, object.raw_bytes).unwrap();
                reader.read_to_end(&mut opened).unwrap();
            }
            assert_eq!(all.len(), objects);
            assert!(opened == raw, "{length}");
        }
    }

    #[test]
    fn who_does_not_take_an_object_ends_the_sealing() {
        let key = ArchiveKey::generate();
        let mut sealer = ContentsSealer::new(&key, |_| Err(SealError::Stopped)).unwrap();
        sealer.write(b"a command").unwrap();
        assert!(matches!(sealer.finish(), Err(SealError::Stopped)));
    }
}
