//! Frames on their way back: fetched and opened ahead by several workers, and given in order.
//!
//! Memory: a worker holds what one request has read, the frame that it opens, and [`FRAMES_AHEAD`] that wait for their turn.
//! The caller holds one more.

use std::sync::Arc;
use std::thread::Scope;
use std::vec;

use crossbeam_channel::{Receiver, Sender};

use super::plan::{FrameRequest, ObjectPart, StoreReads, plan_frames};
use super::source::{FrameSource, NoRanges};
use super::wanted::{FrameTarget, WantedFrames};
use crate::engine::restore::fetch::AtOnce;
use crate::engine::restore::prefetch::Prefetch;
use crate::error::Error;
use crate::model::ArchiveId;

/// Frames that a worker may be ahead of the reader: with the one in its hand, those of a usual request.
const FRAMES_AHEAD: usize = 3;

/// A frame that was wanted.
#[derive(Debug)]
pub(in crate::engine) struct FetchedFrame {
    pub(in crate::engine) archive: ArchiveId,
    /// The segment's place in the archive.
    pub(in crate::engine) segment: u32,
    /// Its number in the segment.
    pub(in crate::engine) frame: u32,
    /// Its raw bytes. An error of one frame does not end the others.
    pub(in crate::engine) raw: Result<Vec<u8>, Error>,
}

/// Gives each frame that is wanted, in order. It ends after a frame whose error is [`Error::Interrupted`].
///
/// Once this is dropped, the workers end.
pub(in crate::engine) struct FramesAhead<'scope, 'env> {
    scope: &'scope Scope<'scope, 'env>,
    source: FrameSource<'scope>,
    wanted: Vec<Arc<FrameTarget>>,
    at_once: AtOnce,
    has_ranges: bool,
    /// The next frame to give: which of those that are wanted, and which of its frames.
    next: (usize, usize),
    workers: Option<Prefetch<vec::IntoIter<Job>, Answer>>,
    /// The answers to the request that has the next frame.
    answers: Option<Receiver<Answer>>,
}

type Job = (Arc<FrameTarget>, FrameRequest);

type Answer = Result<Result<Vec<u8>, Error>, NoRanges>;

impl<'scope, 'env> FramesAhead<'scope, 'env> {
    /// Begins to fetch once the first frame is asked for.
    pub(in crate::engine) fn start(
        scope: &'scope Scope<'scope, 'env>,
        source: FrameSource<'scope>,
        wanted: Vec<WantedFrames>,
        at_once: AtOnce,
    ) -> Self {
        let targets = wanted
            .into_iter()
            .map(|wanted| Arc::new(FrameTarget::new(wanted)));
        Self {
            scope,
            source,
            wanted: targets.collect(),
            at_once,
            has_ranges: true,
            next: (0, 0),
            workers: None,
            answers: None,
        }
    }

    /// Starts workers for all that was not given yet.
    fn begin(&mut self) -> Prefetch<vec::IntoIter<Job>, Answer> {
        let reads = StoreReads {
            has_ranges: self.has_ranges,
            ..StoreReads::ranges_within(self.at_once.memory_limit)
        };
        let mut jobs: Vec<Job> = Vec::new();
        let (first, given) = self.next;
        for (at, target) in self.wanted.iter().enumerate().skip(first) {
            let given = if at == first { given } else { 0 };
            let frames = &target.wanted.frames[given..];
            let requests = match &target.places {
                Ok(places) => plan_frames(places, frames, reads),
                Err(_) => vec![FrameRequest {
                    part: ObjectPart::Range(0..0),
                    frames: frames.to_vec(),
                }],
            };
            let of_target = requests.into_iter().filter(|it| !it.frames.is_empty());
            jobs.extend(of_target.map(|request| (Arc::clone(target), request)));
        }
        let each = jobs.iter().map(|(target, request)| {
            let frame = u64::from(target.wanted.frame_size);
            // The one that is opened is there compressed, too.
            let frames = frame * (FRAMES_AHEAD as u64 + 2);
            request.sealed_bytes().saturating_add(frames)
        });
        let at_once = self.at_once.of_bytes(each.max().unwrap_or_default());
        let source = self.source;
        let work = move |(target, request): Job, answer: &Sender<Answer>| {
            // The reader may have stopped after another error.
            let done = source.request(&target, &request, |raw| answer.send(Ok(raw)).is_ok());
            if let Err(no_ranges) = done {
                let _ = answer.send(Err(no_ranges));
            }
        };
        Prefetch::start(self.scope, jobs.into_iter(), (at_once, FRAMES_AHEAD), work)
    }

    /// Returns the answer for the next frame.
    fn answer(&mut self) -> Result<Vec<u8>, Error> {
        loop {
            if self.workers.is_none() {
                self.workers = Some(self.begin());
            }
            let workers = self.workers.as_mut().expect("they were started");
            if self.answers.is_none() {
                self.answers = workers.next();
                // While the caller looks at this one, the workers fetch others.
                workers.fill();
            }
            let answers = self.answers.as_ref().expect("each frame is in a request");
            match answers.recv() {
                Ok(Ok(raw)) => return raw,
                // All its frames were given.
                Err(_) => self.answers = None,
                Ok(Err(NoRanges)) => {
                    self.has_ranges = false;
                    self.answers = None;
                    self.workers = None;
                }
            }
        }
    }
}

impl Iterator for FramesAhead<'_, '_> {
    type Item = FetchedFrame;

    fn next(&mut self) -> Option<FetchedFrame> {
        let (target, frame) = loop {
            let target = self.wanted.get(self.next.0)?;
            if let Some(frame) = target.wanted.frames.get(self.next.1) {
                break (Arc::clone(target), *frame);
            }
            self.next = (self.next.0 + 1, 0);
        };
        let raw = match self.source.interrupt.check() {
            Ok(()) => self.answer(),
            Err(error) => Err(error),
        };
        if matches!(raw, Err(Error::Interrupted(_))) {
            self.answers = None;
            self.workers = None;
            self.wanted.clear();
        }
        self.next.1 += 1;
        Some(FetchedFrame {
            archive: target.wanted.segment.archive,
            segment: target.wanted.segment.index,
            frame,
            raw,
        })
    }
}
