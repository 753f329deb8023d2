//! The thread that puts frames together, in order, into sealed segments and hands those out.

use crossbeam_channel::{Receiver, Sender};

use super::abort::{Abort, Stop};
use super::archive_key::ArchiveKey;
use super::error::SealError;
use super::frames::Frame;
use super::options::SealOptions;
use super::pool::Pool;
use super::sealed::{Sealed, SealedSegment};
use super::sealed_budget::Budget;
use super::segment_writer::SegmentWriter;

/// A message to the assembler, in the order of the stream.
pub(super) enum Step {
    /// The next frame; its worker answers here.
    Frame(Receiver<Result<Frame, SealError>>),
    /// The frames since the last such step are a segment.
    Segment { index: u32, raw_bytes: u64 },
    /// Answered when all before it were handed out.
    Settle,
    /// The stream is whole. If the steps end without this, it is an abort.
    End,
}

/// The thread's state.
pub(super) struct Assembler {
    pub(super) options: SealOptions,
    pub(super) key: ArchiveKey,
    pub(super) compressed_buffers: Pool,
    pub(super) budget: Budget,
    pub(super) out: Sender<Sealed>,
    pub(super) settled: Sender<()>,
    pub(super) abort: Abort,
}

impl Assembler {
    /// Returns the bytes of all segments that it has sealed; `None` if it was aborted, or failed and has
    /// handed out the failure.
    pub(super) fn run(self, steps: Receiver<Step>) -> Option<u64> {
        let result = self.assemble(&steps);
        // From here on `push` fails, even if nothing has received the error yet.
        drop(steps);
        match result {
            Ok(sealed_bytes) => self.hand_out(Sealed::Finished).ok().map(|()| sealed_bytes),
            Err(Stop::Aborted) => None,
            Err(Stop::Failed(error)) => {
                let _ = self.hand_out(Sealed::Failed(error));
                None
            }
        }
    }

    fn assemble(&self, steps: &Receiver<Step>) -> Result<u64, Stop> {
        let mut sealed_bytes = 0;
        let mut segment: Option<SegmentWriter> = None;
        loop {
            let step = steps.recv().map_err(|_| Stop::Aborted)?;
            if self.abort.raised() {
                return Err(Stop::Aborted);
            }
            match step {
                Step::Frame(answer) => {
                    // A worker that ended without an answer has panicked, or saw the abort.
                    let frame = answer.recv().map_err(|_| self.lost_worker())??;
                    let writer = if let Some(writer) = &mut segment {
                        writer
                    } else {
                        let held = self.budget.hold();
                        segment.insert(SegmentWriter::new(&self.key, &self.options, held)?)
                    };
                    writer.hold_for(&frame, Some(&self.abort))?;
                    writer.write(&frame)?;
                    self.compressed_buffers.give(frame.compressed);
                }
                Step::Segment { index, raw_bytes } => {
                    let writer = segment.take().expect("a segment has at least one frame");
                    let (bytes, sha256, layout) = writer.finish()?;
                    let sealed = SealedSegment {
                        index,
                        raw_bytes,
                        layout,
                        sha256,
                        bytes,
                    };
                    sealed_bytes += sealed.bytes.len() as u64;
                    self.hand_out(Sealed::Segment(sealed))?;
                }
                // Whoever asks waits for the answer; one who has gone is an abort soon enough.
                Step::Settle => drop(self.settled.send(())),
                Step::End => return Ok(sealed_bytes),
            }
        }
    }

    fn hand_out(&self, sealed: Sealed) -> Result<(), Stop> {
        self.out.send(sealed).map_err(|_| Stop::Aborted)
    }

    fn lost_worker(&self) -> Stop {
        if self.abort.raised() {
            Stop::Aborted
        } else {
            Stop::Failed(SealError::WorkerLost)
        }
    }
}

#[cfg(test)]
mod tests {
    use crossbeam_channel::{bounded, unbounded};

    use super::*;
    use crate::seal::test_data::small_options;

    /// Runs an assembler over steps that a broken worker would leave, and returns its messages.
    fn told(answer: Option<Result<Frame, SealError>>) -> Vec<Sealed> {
        let (out, receiver) = unbounded();
        let (raise, abort) = bounded(0);
        let assembler = Assembler {
            options: small_options(1),
            key: ArchiveKey::generate(),
            compressed_buffers: Pool::new(1, 64),
            budget: Budget::new(1 << 20),
            out,
            settled: bounded(1).0,
            abort: Abort(abort),
        };
        let (answers, answers_out) = bounded(1);
        if let Some(answer) = answer {
            answers.send(answer).unwrap();
        }
        drop(answers);
        let (steps, steps_out) = bounded(2);
        steps.send(Step::Frame(answers_out)).unwrap();
        steps.send(Step::End).unwrap();
        let thread = std::thread::spawn(move || assembler.run(steps_out));
        let told = receiver.iter().collect();
        assert!(thread.join().unwrap().is_none());
        assert!(steps.send(Step::End).is_err(), "a later push fails");
        drop(raise);
        told
    }

    #[test]
    fn a_frame_that_cannot_be_compressed_is_told_and_no_end() {
        let failure = SealError::Compress {
            source: std::io::ErrorKind::OutOfMemory.into(),
        };
        assert!(matches!(
            told(Some(Err(failure)))[..],
            [Sealed::Failed(SealError::Compress { .. })]
        ));
    }

    #[test]
    fn a_worker_that_dies_is_told_and_no_end() {
        assert!(matches!(
            told(None)[..],
            [Sealed::Failed(SealError::WorkerLost)]
        ));
    }
}
