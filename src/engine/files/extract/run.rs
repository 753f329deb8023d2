//! Carries an extraction out: fetches the frames, and writes what files need of them.

use std::collections::BTreeMap;
use std::thread;

use super::entries::ExtractedNode;
use super::extraction::{Extraction, of_one_frame};
use super::filling::{Filling, TakesData};
use super::frames::{FrameSource, FramesAhead, WantedFrames};
use super::target::{ExtractTarget, Extracted};
use crate::engine::restore::fetch::AtOnce;
use crate::engine::restore::other_places::OtherPlaces;
use crate::error::Error;
use crate::interrupt::Interrupt;
use crate::model::SourceName;
use crate::model::file_node::ObjectId;
use crate::progress::{Event, Observer, PROGRESS_STEP};
use crate::store::Store;

/// Written bytes after which what is done is made durable and noted: a run that dies loses no more.
const NOTED_AFTER: u64 = 512 << 20;

/// Where an extraction reads, and whom it tells.
pub struct ExtractRun<'a> {
    /// The source.
    pub source: &'a SourceName,
    /// The store.
    pub store: &'a dyn Store,
    /// The other places of the source, for frames that are damaged or missing in this one.
    pub others: &'a OtherPlaces<'a>,
    /// How much is fetched at once.
    pub at_once: AtOnce,
    /// Receives the events.
    pub observer: &'a dyn Observer,
    /// Says when to stop.
    pub interrupt: &'a Interrupt,
}

/// What became of an extraction.
#[derive(Debug)]
pub struct ExtractEnd {
    /// What was made.
    pub extracted: Extracted,
    /// The files whose data could not be had, by their first name, each with the reason.
    pub lost: Vec<(Vec<u8>, String)>,
}

impl ExtractRun<'_> {
    /// Fetches what is wanted of an extraction, and makes its files in the target.
    pub(in crate::engine) fn run(
        &self,
        extraction: &Extraction,
        wanted: Vec<WantedFrames>,
        mut target: ExtractTarget<'_>,
    ) -> Result<ExtractEnd, Error> {
        let node = |object: ObjectId| -> Result<ExtractedNode, Error> {
            Ok(extraction.chain.tree.extracted(object))
        };
        target.make(&node)?;
        let mut writing = Writing {
            target: &mut target,
            lost: BTreeMap::new(),
            written: 0,
        };
        self.fetch(extraction, wanted, &mut writing)?;
        let lost = writing.lost;
        let lost = lost.into_iter().map(|(file, why)| {
            let mut entries = (0..).zip(&extraction.selection.entries);
            let first = entries.find(|(_, entry)| entry.object == file);
            let path = first.map(|(number, _)| extraction.selection.path(number));
            (path.unwrap_or_default(), why)
        });
        let lost = lost.collect();
        Ok(ExtractEnd {
            extracted: target.finish(&node)?,
            lost,
        })
    }

    fn fetch(
        &self,
        extraction: &Extraction,
        wanted: Vec<WantedFrames>,
        writing: &mut Writing<'_, '_>,
    ) -> Result<(), Error> {
        let done = writing.target.frames_done();
        let wanted = without_first(wanted, done);
        let source = FrameSource {
            store: self.store,
            others: self.others,
            interrupt: self.interrupt,
        };
        let archives = &extraction.chain.archives;
        let mut reached = Reached {
            frames: done,
            written: 0,
        };
        // The archive that is read, and what is needed of it.
        let mut at: Option<(usize, Filling)> = None;
        let mut progress = (0, 0);
        thread::scope(|scope| {
            for fetched in FramesAhead::start(scope, source, wanted, self.at_once) {
                if at.as_ref().is_none_or(|(at, _)| archives[*at].id() != fetched.archive) {
                    let next = archives.iter().position(|it| it.id() == fetched.archive);
                    let next = next.expect("frames are of the chain");
                    at = Some((next, Filling::new(extraction.needs(next))));
                    progress = (0, 0);
                    self.observer.event(Event::Begun {
                        source: self.source.clone(),
                        archive: fetched.archive,
                        expected: Some(extraction.raw_bytes(next)),
                    });
                }
                let (number, filling) = at.as_mut().expect("it was set above");
                let place = super::chain::FramePlace {
                    segment: fetched.segment,
                    frame: fetched.frame,
                };
                let range = archives[*number].raw_range(place);
                let ended = match fetched.raw {
                    Ok(raw) => filling.frame(&range, &raw, writing),
                    Err(error) => of_one_frame(error)
                        .map(|why| filling.lost(&range, &why, writing)),
                };
                if let Err(error) = ended {
                    // What was written by now need not be fetched again.
                    let _ = reached.note(writing, filling);
                    return Err(error);
                }
                reached.frames += 1;
                if writing.written - reached.written >= NOTED_AFTER {
                    reached.note(writing, filling)?;
                }
                progress.0 += range.end - range.start;
                if progress.0 - progress.1 >= PROGRESS_STEP {
                    progress.1 = progress.0;
                    self.observer.event(Event::Progress {
                        source: self.source.clone(),
                        raw_bytes: progress.0,
                    });
                }
            }
            Ok(())
        })
    }
}

/// How far an extraction is.
struct Reached {
    frames: u64,
    /// What was written when that was noted.
    written: u64,
}

impl Reached {
    /// Notes how far it is, if the next run can go on from here: files that were given up are tried again, and what is in two
    /// frames needs both.
    fn note(&mut self, writing: &mut Writing<'_, '_>, filling: &Filling) -> Result<(), Error> {
        if writing.lost.is_empty() && filling.is_between() {
            writing.target.reached(self.frames)?;
            self.written = writing.written;
        }
        Ok(())
    }
}

/// Leaves out the first frames.
fn without_first(mut wanted: Vec<WantedFrames>, mut frames: u64) -> Vec<WantedFrames> {
    for wanted in &mut wanted {
        let done = usize::try_from(frames).unwrap_or(usize::MAX);
        let done = done.min(wanted.frames.len());
        wanted.frames.drain(..done);
        frames -= done as u64;
    }
    wanted.retain(|wanted| !wanted.frames.is_empty());
    wanted
}

/// The target, and what can't be written into it.
struct Writing<'w, 't> {
    target: &'w mut ExtractTarget<'t>,
    lost: BTreeMap<ObjectId, String>,
    written: u64,
}

impl TakesData for Writing<'_, '_> {
    type Error = Error;

    fn write(&mut self, file: ObjectId, at: u64, bytes: &[u8]) -> Result<(), Error> {
        if self.lost.contains_key(&file) {
            return Ok(());
        }
        self.written += bytes.len() as u64;
        self.target.write(file, at, bytes)
    }

    fn give_up(&mut self, file: ObjectId, why: &str) {
        if self.lost.contains_key(&file) {
            return;
        }
        self.target.give_up(file);
        self.lost.insert(file, why.to_owned());
    }
}
