//! The sealer: frames in, sealed segments out on a channel.

use std::convert::Infallible;
use std::thread::{self, JoinHandle};

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};

use super::abort::Abort;
use super::archive_key::ArchiveKey;
use super::assembler::{Assembler, Step};
use super::auto_level::AutoLevel;
use super::compression::Strength;
use super::contents_sealer::ContentsSealer;
use super::error::SealError;
use super::frames::{FrameJob, Worker};
use super::options::SealOptions;
use super::pool::Pool;
use super::sealed::{Sealed, SealedSegment, SealedTotals};
use super::sealed_budget::{Budget, Held};
use crate::model::Blake3;

/// Seals one send stream.
///
/// If it is dropped without [`finish`](Self::finish), it aborts: its threads end, and the channel closes
/// without [`Sealed::Finished`]. It does not wait for the threads then.
///
/// Memory: sealed segments as far as `held_bytes` allows, for each compressing thread two frames and
/// zstd's context, and six frames more.
#[must_use = "a sealer that is dropped is an abort"]
pub struct Sealer {
    options: SealOptions,
    steps: Sender<Step>,
    jobs: Sender<FrameJob>,
    raw_buffers: Pool,
    /// Answers [`Step::Settle`], and closes when the assembler ends.
    settled: Receiver<()>,
    assembler: JoinHandle<Option<u64>>,
    stream: Tally,
    /// Raw bytes of the segment that is being pushed.
    segment_bytes: u64,
    segment_index: u32,
    last: LastFrame,
    /// Never used but for being dropped.
    abort: Sender<Infallible>,
    budget: Budget,
    auto: Option<AutoLevel>,
}

/// Whether the stream's last frame was seen: a short one can only be that.
#[derive(PartialEq)]
enum LastFrame {
    ToCome,
    Seen,
}

/// Raw bytes and their hash.
#[derive(Default)]
struct Tally {
    bytes: u64,
    hasher: blake3::Hasher,
}

impl Tally {
    fn add(&mut self, raw: &[u8]) {
        self.bytes += raw.len() as u64;
        self.hasher.update(raw);
    }

    fn blake3(&self) -> Blake3 {
        Blake3(*self.hasher.finalize().as_bytes())
    }
}

impl Sealer {
    /// Starts `options.threads` threads that compress and one that seals.
    ///
    /// Segments wait in the channel until they are taken, as many as `held_bytes` allows. So the thread that
    /// pushes must not be the one that receives.
    pub fn start(
        options: SealOptions,
        key: &ArchiveKey,
    ) -> Result<(Self, Receiver<Sealed>), SealError> {
        options.validate()?;
        // Every thread works on a frame, and one more is ready for the first thread that is done.
        let in_flight = options.threads + 1;
        // Besides those: the frame that the assembler waits for and the one that is being pushed.
        let buffers = in_flight + 2;
        let raw_buffers = Pool::new(buffers, options.frame_bytes);
        let compressed_buffers = Pool::new(buffers, zstd::compress_bound(options.frame_bytes));
        let budget = Budget::new(options.held_bytes);
        let (steps, steps_out) = bounded(in_flight);
        // The steps are the bound; there is room for the job of every step that was taken.
        let (jobs, jobs_out) = bounded(in_flight + 1);
        // The budget limits what waits in it.
        let (out, receiver) = unbounded();
        let (abort, abort_out) = bounded(0);
        let abort_out = Abort(abort_out);
        let (settled, settled_out) = bounded(1);

        for index in 0..options.threads {
            let (raw, compressed) = (raw_buffers.clone(), compressed_buffers.clone());
            let worker = Worker::new(raw, compressed)?;
            let (jobs, abort) = (jobs_out.clone(), abort_out.clone());
            spawn(format!("compress-{index}"), move || {
                worker.run(&jobs, &abort);
            })?;
        }
        let assembler = Assembler {
            options,
            key: key.clone(),
            compressed_buffers,
            budget: budget.clone(),
            out,
            settled,
            abort: abort_out,
        };
        let sealer = Self {
            options,
            steps,
            jobs,
            raw_buffers,
            settled: settled_out,
            assembler: spawn("seal".to_owned(), move || assembler.run(steps_out))?,
            stream: Tally::default(),
            segment_bytes: 0,
            segment_index: 0,
            last: LastFrame::ToCome,
            abort,
            budget,
            auto: None,
        };
        Ok((sealer, receiver))
    }

    /// Returns a sealer of the stream's contents, which shares this one's limit on sealed bytes in memory. It
    /// gives each object to `out`.
    pub fn contents(
        &self,
        key: &ArchiveKey,
        out: impl FnMut(SealedSegment) -> Result<(), SealError> + Send + 'static,
    ) -> Result<ContentsSealer, SealError> {
        ContentsSealer::within(key, self.budget.clone(), Box::new(out))
    }

    /// Returns a buffer with room for a frame; reuses one that was pushed before, if possible. It has what it had then, which
    /// saves filling it with zeros before the next frame is read into it.
    pub fn buffer(&mut self) -> Vec<u8> {
        self.raw_buffers.take()
    }

    /// Lets `auto` choose the level of each frame from now on.
    pub fn choose_levels(&mut self, auto: AutoLevel) {
        self.auto = Some(auto);
    }

    /// Takes the stream's next frame: `frame_bytes` bytes, and fewer only if it is the last.
    ///
    /// Waits while enough is in flight. [`SealError::Stopped`] if sealing failed or the receiver
    /// was dropped; then the receiver got the cause.
    pub fn push(&mut self, frame: Vec<u8>) -> Result<(), SealError> {
        if self.last == LastFrame::Seen {
            return Err(SealError::FrameAfterLast);
        }
        if !(1..=self.options.frame_bytes).contains(&frame.len()) {
            return Err(SealError::FrameSize {
                expected: self.options.frame_bytes,
                got: frame.len(),
            });
        }
        if frame.len() < self.options.frame_bytes {
            self.last = LastFrame::Seen;
        }
        let strength = match &self.auto {
            // Segments that are whole, and that the receiver has not let go of.
            Some(auto) => Strength::Auto(auto.next_level(frame.len() as u64, self.budget.whole())),
            None => Strength::Zstd(self.options.level),
        };
        self.stream.add(&frame);
        self.segment_bytes += frame.len() as u64;
        let (answer, answer_out) = bounded(1);
        self.step(Step::Frame(answer_out))?;
        self.jobs
            .send(FrameJob {
                raw: frame,
                strength,
                auto: self.auto.clone(),
                answer,
            })
            .map_err(|_| SealError::Stopped)?;
        if self.segment_left() == 0 {
            self.end_segment()?;
        }
        Ok(())
    }

    /// Skips a whole segment, given as its frames: it is stored already, and is neither compressed nor handed
    /// out. It counts for the stream's length and hash, and for the index of the next segment. Only allowed
    /// between segments; a short segment only as the last.
    pub fn skip(&mut self, frames: &[Vec<u8>]) -> Result<(), SealError> {
        if self.last == LastFrame::Seen {
            return Err(SealError::FrameAfterLast);
        }
        let bytes: u64 = frames.iter().map(|frame| frame.len() as u64).sum();
        if self.segment_bytes > 0 || !(1..=self.segment_left()).contains(&bytes) {
            return Err(SealError::SkippedPart { bytes });
        }
        if bytes < self.segment_left() {
            self.last = LastFrame::Seen;
        }
        for frame in frames {
            self.stream.add(frame);
        }
        self.count_segment()
    }

    /// The index of the segment that the next frame belongs to.
    pub fn segment_index(&self) -> u32 {
        self.segment_index
    }

    /// How many raw bytes that segment still lacks; the stream's last may end before.
    pub fn segment_left(&self) -> u64 {
        self.options.segment_bytes - self.segment_bytes
    }

    /// Raw bytes of every frame but the stream's last.
    pub fn frame_bytes(&self) -> usize {
        self.options.frame_bytes
    }

    /// Holds bytes as sealed ones are held, for what lies in memory in a segment's place. Waits until
    /// enough of those that were handed out are let go.
    pub fn hold(&self, bytes: u64) -> Held {
        let mut held = self.budget.hold();
        // Nothing but an abort ends the waiting early, and none was given.
        let _ = held.grow(bytes, None);
        held
    }

    /// Waits until every segment that was pushed whole has been handed out, so that none grows here.
    pub fn settle(&mut self) -> Result<(), SealError> {
        self.step(Step::Settle)?;
        self.settled.recv().map_err(|_| SealError::Stopped)
    }

    /// Ends the stream. Returns when its last segment and [`Sealed::Finished`] were handed out.
    ///
    /// [`SealError::EmptyStream`] if nothing was pushed, which is an abort.
    pub fn finish(mut self) -> Result<SealedTotals, SealError> {
        if self.stream.bytes == 0 {
            return Err(SealError::EmptyStream);
        }
        if self.segment_bytes > 0 {
            self.end_segment()?;
        }
        self.step(Step::End)?;
        let Self {
            assembler,
            stream,
            segment_index: segments,
            abort,
            ..
        } = self;
        let sealed_bytes = match assembler.join() {
            Ok(sealed_bytes) => sealed_bytes.ok_or(SealError::Stopped)?,
            Err(panic) => std::panic::resume_unwind(panic),
        };
        drop(abort);
        Ok(SealedTotals {
            raw_bytes: stream.bytes,
            sealed_bytes,
            segments,
            raw_blake3: stream.blake3(),
        })
    }

    fn end_segment(&mut self) -> Result<(), SealError> {
        let raw_bytes = std::mem::take(&mut self.segment_bytes);
        self.step(Step::Segment {
            index: self.segment_index,
            raw_bytes,
        })?;
        self.count_segment()
    }

    fn count_segment(&mut self) -> Result<(), SealError> {
        let next = self.segment_index.checked_add(1);
        self.segment_index = next.ok_or(SealError::TooManySegments)?;
        Ok(())
    }

    fn step(&self, step: Step) -> Result<(), SealError> {
        self.steps.send(step).map_err(|_| SealError::Stopped)
    }
}

fn spawn<T: Send + 'static>(
    name: String,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<JoinHandle<T>, SealError> {
    thread::Builder::new()
        .name(name)
        .spawn(work)
        .map_err(|source| SealError::Thread { source })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seal::test_data::small_options;

    #[test]
    fn a_dropped_sealer_ends_its_thread_though_it_waits_until_segments_are_let_go() {
        let options = SealOptions {
            held_bytes: 1,
            ..small_options(2)
        };
        let (mut sealer, receiver) = Sealer::start(options, &ArchiveKey::generate()).unwrap();
        for _ in 0..4 {
            sealer.push(vec![1; 1024]).unwrap();
        }
        let segment = receiver.recv().unwrap();
        assert!(sealer.budget.whole() > 0);
        // The first frame of the next finds no room while that one is held.
        sealer.push(vec![1; 1024]).unwrap();
        let Sealer {
            assembler,
            steps,
            jobs,
            abort,
            ..
        } = sealer;
        drop((steps, jobs, abort));
        assert!(assembler.join().unwrap().is_none());
        assert!(receiver.recv().is_err());
        drop(segment);
    }
}
