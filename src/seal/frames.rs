//! Frames: each is one zstd frame, complete in itself, with its content size and checksum.
//!
//! Workers take frames from one queue in any order. Each answers on the frame's own channel; the holder of
//! these channels keeps the order.

use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender};
use rustix::time::{ClockId, clock_gettime};
use zstd::bulk::Compressor;

use super::abort::Abort;
use super::auto_level::{AutoLevel, Took};
use super::compression::Strength;
use super::error::SealError;
use super::pool::Pool;
use crate::model::Blake3;

/// The highest level without samples. Up to it zstd gives up on incompressible data so soon that samples cost
/// as much.
const WORTH_A_SAMPLE: i32 = 4;

/// The strength for samples, and for frames that they show to be compressed already.
const OF_SAMPLES: Strength = Strength::Zstd(1);

/// Bytes of a sample: few enough that all samples are a thirtieth of a frame of 4 MiB.
const SAMPLE: usize = 16 << 10;

/// Samples of a frame, evenly spread.
const SAMPLES: usize = 8;

/// A frame to be compressed.
pub(super) struct FrameJob {
    pub(super) raw: Vec<u8>,
    pub(super) strength: Strength,
    /// Learns how long the frame took.
    pub(super) auto: Option<AutoLevel>,
    pub(super) answer: Sender<Result<Frame, SealError>>,
}

/// A compressed frame.
pub(super) struct Frame {
    pub(super) compressed: Vec<u8>,
    pub(super) raw_bytes: u32,
    /// BLAKE3 of the raw bytes.
    pub(super) blake3: Blake3,
}

/// A thread's work: compress frames until there are no more.
pub(super) struct Worker {
    compressor: Compressor<'static>,
    /// What the compressor is set to.
    strength: Strength,
    sample: Vec<u8>,
    raw_buffers: Pool,
    compressed_buffers: Pool,
}

/// Returns the processor time that this thread has used so far.
fn computed() -> Duration {
    clock_gettime(ClockId::ThreadCPUTime)
        .try_into()
        .unwrap_or_default()
}

impl Worker {
    pub(super) fn new(raw_buffers: Pool, compressed_buffers: Pool) -> Result<Self, SealError> {
        let refuse = |source| SealError::Compressor { source };
        let mut compressor = Compressor::new(OF_SAMPLES.level()).map_err(refuse)?;
        OF_SAMPLES.set(&mut compressor).map_err(refuse)?;
        Ok(Self {
            compressor,
            strength: OF_SAMPLES,
            sample: Vec::new(),
            raw_buffers,
            compressed_buffers,
        })
    }

    pub(super) fn run(mut self, jobs: &Receiver<FrameJob>, abort: &Abort) {
        for job in jobs {
            if abort.raised() {
                return;
            }
            let frame = self.compress(&job.raw, job.strength).map(|(frame, took)| {
                if let (Some(auto), Some(took)) = (job.auto, took) {
                    auto.learn(took);
                }
                frame
            });
            self.raw_buffers.give(job.raw);
            // If assembling failed, nothing waits for the answer any more; then the queue ends soon.
            let _ = job.answer.send(frame);
        }
    }

    /// Compresses a frame, and returns how long it took, if it was compressed as was asked for.
    pub(super) fn compress(
        &mut self,
        raw: &[u8],
        asked: Strength,
    ) -> Result<(Frame, Option<Took>), SealError> {
        let mut compressed = self.compressed_buffers.take();
        let begun = (Instant::now(), computed());
        let strength = if asked.level() > WORTH_A_SAMPLE && self.looks_compressed(raw)? {
            OF_SAMPLES
        } else {
            asked
        };
        self.set(strength)?;
        self.compressor
            .compress_to_buffer(raw, &mut compressed)
            .map_err(|source| SealError::Compress { source })?;
        let took = (strength == asked).then(|| Took {
            level: asked.level(),
            raw_bytes: raw.len() as u64,
            computing: computed().saturating_sub(begun.1),
            time: begun.0.elapsed(),
        });
        let frame = Frame {
            compressed,
            raw_bytes: u32::try_from(raw.len()).expect("a frame has at most 16 MiB"),
            blake3: Blake3::of(raw),
        };
        Ok((frame, took))
    }

    /// Whether samples of a frame are almost incompressible, so that a high level would search long and find
    /// nothing. The level that the frame gets then still finds repeats within it.
    fn looks_compressed(&mut self, raw: &[u8]) -> Result<bool, SealError> {
        if raw.len() < SAMPLES * SAMPLE * 2 {
            return Ok(false);
        }
        self.set(OF_SAMPLES)?;
        self.sample.resize(zstd::compress_bound(SAMPLE), 0);
        let mut total = 0;
        for sample in raw.chunks(raw.len() / SAMPLES).take(SAMPLES) {
            total += self
                .compressor
                .compress_to_buffer(&sample[..SAMPLE], &mut self.sample[..])
                .map_err(|source| SealError::Compress { source })?;
        }
        Ok(total * 100 >= SAMPLES * SAMPLE * 99)
    }

    fn set(&mut self, strength: Strength) -> Result<(), SealError> {
        if strength != self.strength {
            strength
                .set(&mut self.compressor)
                .map_err(|source| SealError::Compressor { source })?;
            self.strength = strength;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seal::test_data::mixed_bytes;

    fn worker(capacity: usize) -> Worker {
        Worker::new(Pool::new(1, 0), Pool::new(1, capacity)).unwrap()
    }

    #[test]
    fn only_a_frame_that_was_compressed_as_asked_shows_how_long_that_takes() {
        let mut worker = worker(2 << 20);
        let mut noise = vec![0; 1 << 20];
        blake3::Hasher::new().finalize_xof().fill(&mut noise);
        let text = b"a line of a log that comes again and again\n".repeat(20_000);
        let (_, took) = worker.compress(&noise, Strength::Auto(12)).unwrap();
        assert!(took.is_none(), "it was compressed as if it were a sample");
        for level in [1, 12, 3] {
            let (_, took) = worker.compress(&text, Strength::Auto(level)).unwrap();
            let took = took.unwrap();
            assert_eq!((took.level, took.raw_bytes), (level, text.len() as u64));
            let computed = took.computing > Duration::ZERO && took.computing <= took.time;
            assert!(computed, "{took:?}");
        }
    }

    #[test]
    fn a_frame_declares_its_size_and_has_a_checksum() {
        let raw = mixed_bytes(5000);
        let mut worker = worker(zstd::compress_bound(raw.len()));
        let (frame, _) = worker.compress(&raw, Strength::Zstd(3)).unwrap();
        // RFC 8878, 3.1.1: magic number, then the frame header descriptor, whose bit 2 is the
        // content checksum flag and whose bit 5 says that the frame is one segment of known size.
        assert_eq!(frame.compressed[..4], 0xFD2F_B528_u32.to_le_bytes());
        assert_eq!(frame.compressed[4] & 0b0010_0100, 0b0010_0100);
        let size = zstd::bulk::Decompressor::upper_bound(&frame.compressed);
        assert_eq!(size, Some(5000));
        assert_eq!(zstd::decode_all(&frame.compressed[..]).unwrap(), raw);
    }

    #[test]
    fn every_level_opens_and_what_is_compressed_already_is_known_by_samples() {
        let mut worker = worker(2 << 20);
        let text = b"a line of a log that comes again and again\n".repeat(20_000);
        let mut noise = vec![0; 1 << 20];
        blake3::Hasher::new().finalize_xof().fill(&mut noise);
        assert!(!worker.looks_compressed(&text).unwrap());
        assert!(!worker.looks_compressed(&mixed_bytes(1 << 20)).unwrap());
        assert!(worker.looks_compressed(&noise).unwrap());
        assert!(!worker.looks_compressed(&noise[..1000]).unwrap(), "too few");
        for level in [1, 12, 3, 19] {
            for raw in [&text, &noise] {
                let (frame, _) = worker.compress(raw, Strength::Zstd(level)).unwrap();
                assert_eq!(zstd::decode_all(&frame.compressed[..]).unwrap(), *raw);
                worker.compressed_buffers.give(frame.compressed);
            }
        }
    }
}
