//! Frames: each is one zstd frame, complete in itself, with its content size and checksum.
//!
//! Workers take frames from one queue in any order; each answers on the frame's own channel, so
//! that the order is kept by whoever holds those.

use crossbeam_channel::{Receiver, Sender};
use zstd::bulk::Compressor;

use super::assembler::Abort;
use super::error::SealError;
use super::pool::Pool;

/// A frame to be compressed.
pub(super) struct Job {
    pub(super) raw: Vec<u8>,
    pub(super) answer: Sender<Result<Frame, SealError>>,
}

/// A compressed frame.
pub(super) struct Frame {
    pub(super) compressed: Vec<u8>,
    pub(super) raw_bytes: u32,
}

/// A thread's work: compress frames until there are no more.
pub(super) struct Worker {
    compressor: Compressor<'static>,
    raw_buffers: Pool,
    compressed_buffers: Pool,
}

impl Worker {
    pub(super) fn new(
        level: i32,
        raw_buffers: Pool,
        compressed_buffers: Pool,
    ) -> Result<Self, SealError> {
        let refuse = |source| SealError::Compressor { source };
        let mut compressor = Compressor::new(level).map_err(refuse)?;
        compressor.include_checksum(true).map_err(refuse)?;
        compressor.include_contentsize(true).map_err(refuse)?;
        Ok(Self {
            compressor,
            raw_buffers,
            compressed_buffers,
        })
    }

    pub(super) fn run(mut self, jobs: &Receiver<Job>, abort: &Abort) {
        for job in jobs {
            if abort.raised() {
                return;
            }
            let frame = self.compress(&job.raw);
            self.raw_buffers.give(job.raw);
            // Nobody waits for it any more when assembling failed; the queue ends soon then.
            let _ = job.answer.send(frame);
        }
    }

    fn compress(&mut self, raw: &[u8]) -> Result<Frame, SealError> {
        let mut compressed = self.compressed_buffers.take();
        self.compressor
            .compress_to_buffer(raw, &mut compressed)
            .map_err(|source| SealError::Compress { source })?;
        Ok(Frame {
            compressed,
            raw_bytes: u32::try_from(raw.len()).expect("a frame has at most 16 MiB"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seal::test_data::mixed_bytes;

    #[test]
    fn a_frame_declares_its_size_and_has_a_checksum() {
        let raw = mixed_bytes(5000);
        let capacity = zstd::compress_bound(raw.len());
        let mut worker = Worker::new(3, Pool::new(1, 5000), Pool::new(1, capacity)).unwrap();
        let frame = worker.compress(&raw).unwrap();
        // RFC 8878, 3.1.1: magic number, then the frame header descriptor, whose bit 2 is the
        // content checksum flag and whose bit 5 says that the frame is one segment of known size.
        assert_eq!(frame.compressed[..4], 0xFD2F_B528_u32.to_le_bytes());
        assert_eq!(frame.compressed[4] & 0b0010_0100, 0b0010_0100);
        let size = zstd::bulk::Decompressor::upper_bound(&frame.compressed);
        assert_eq!(size, Some(5000));
        assert_eq!(zstd::decode_all(&frame.compressed[..]).unwrap(), raw);
    }
}
