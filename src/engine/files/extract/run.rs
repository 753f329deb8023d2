//! Carries an extraction out: fetches the frames, and writes what files need of them.

use std::collections::{BTreeMap, BTreeSet};
use std::thread;

use super::entries::ExtractedNode;
use super::extraction::{ExtractReads, Extraction, of_one_frame};
use super::filling::{Filling, TakesData};
use super::frames::{FrameSource, FramesAhead, WantedFrames};
use super::reading::FileReader;
use super::target::ExtractTarget;
use super::target::report::Extracted;
use crate::catalog::Catalog;
use crate::engine::context::open_source::OpenSource;
use crate::engine::restore::classes::ask_classes;
use crate::engine::restore::fetch::AtOnce;
use crate::engine::restore::other_places::OtherPlaces;
use crate::engine::restore::thaw::{WantedSegments, thaw_beside};
use crate::error::{Error, RestoreError};
use crate::interrupt::Interrupt;
use crate::model::file_node::ObjectId;
use crate::model::{ArchiveId, StorageClass};
use crate::progress::{Event, Observer, PROGRESS_STEP};
use crate::store::ThawRequest;

/// Written bytes after which what is done is made durable, beside what is written then, and noted.
const NOTED_AFTER: u64 = 128 << 20;

/// An extraction from one place, with all that it needs.
pub struct Extracting<'a> {
    /// The source, at the place that is read.
    pub source: &'a OpenSource<'a>,
    /// What is extracted.
    pub extraction: &'a Extraction,
    /// The class that the store puts segments into now; `None` if it has no classes.
    pub class: Option<StorageClass>,
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

impl Extracting<'_> {
    /// Returns how much is fetched.
    pub fn reads(&self, catalog: &Catalog) -> Result<ExtractReads, Error> {
        let wanted = self.extraction.wanted(self.source, catalog)?;
        Ok(Extraction::reads(&wanted, self.at_once.memory_limit))
    }

    /// Requests the thaw of the segments that can't be read. Fails while any of them can't.
    pub fn thaw(&self, request: ThawRequest, catalog: &mut Catalog) -> Result<(), Error> {
        let segments = self.reads(catalog)?.segments();
        let archives = self.extraction.archives();
        let wanted = self.wanted_segments(&archives, &segments);
        let status = thaw_beside(&wanted, request, self.others, catalog)?;
        match status.awaited(self.source.name()) {
            Some(awaited) => Err(RestoreError::Thawing(Box::new(awaited)).into()),
            None => Ok(()),
        }
    }

    /// Asks the store for the classes of the archives that are needed, and notes them in the catalog.
    pub fn ask_classes(&self, catalog: &mut Catalog) -> Result<(), Error> {
        let segments = self.reads(catalog)?.segments();
        let archives = self.extraction.archives();
        ask_classes(&self.wanted_segments(&archives, &segments), catalog)
    }

    /// Returns what reads single files.
    pub fn reader(&self, catalog: &Catalog) -> Result<FileReader<'_>, Error> {
        let kept = (self.at_once.memory_limit / 2, self.interrupt);
        let chain = &self.extraction.chain;
        FileReader::new(chain, self.source, self.others, kept, catalog)
    }

    fn wanted_segments<'s>(
        &'s self,
        archives: &'s [ArchiveId],
        segments: &'s BTreeSet<(ArchiveId, u32)>,
    ) -> WantedSegments<'s> {
        WantedSegments {
            source: self.source,
            class: self.class,
            archives,
            only: Some(segments),
            interrupt: self.interrupt,
        }
    }

    /// Fetches the data, and makes the files in the target.
    pub fn extract(
        &self,
        mut target: ExtractTarget<'_>,
        catalog: &Catalog,
    ) -> Result<ExtractEnd, Error> {
        let extraction = self.extraction;
        let wanted = extraction.wanted(self.source, catalog)?;
        let node = |object: ObjectId| -> Result<ExtractedNode, Error> {
            Ok(extraction.chain.tree.extracted(object)?)
        };
        target.make(&node)?;
        let mut writing = DataWriter {
            target: &mut target,
            lost: BTreeMap::new(),
            written: 0,
        };
        if !writing.target.is_complete() {
            self.fetch(wanted, &mut writing)?;
        }
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
        wanted: Vec<WantedFrames>,
        writing: &mut DataWriter<'_, '_>,
    ) -> Result<(), Error> {
        let extraction = self.extraction;
        let done = writing.target.frames_done();
        let wanted = without_first(wanted, done);
        let source = FrameSource {
            store: self.source.store.as_ref(),
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
                if at
                    .as_ref()
                    .is_none_or(|(at, _)| archives[*at].id() != fetched.archive)
                {
                    let next = archives.iter().position(|it| it.id() == fetched.archive);
                    let next = next.expect("frames are of the chain");
                    at = Some((next, Filling::new(extraction.needs(next)?)));
                    progress = (0, 0);
                    self.observer.event(Event::Begun {
                        source: self.source.name().clone(),
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
                    Err(error) => {
                        of_one_frame(error).and_then(|why| filling.lost(&range, &why, writing))
                    }
                };
                if let Err(error) = ended {
                    // What was written by now need not be fetched again.
                    let _ = reached.note(writing, filling);
                    return Err(error);
                }
                reached.frames += 1;
                if writing.written - reached.written >= NOTED_AFTER {
                    reached.note_soon(writing, filling)?;
                }
                progress.0 += range.end - range.start;
                if progress.0 - progress.1 >= PROGRESS_STEP {
                    progress.1 = progress.0;
                    self.observer.event(Event::Progress {
                        source: self.source.name().clone(),
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
    fn note(&mut self, writing: &mut DataWriter<'_, '_>, filling: &Filling) -> Result<(), Error> {
        if writing.lost.is_empty() && filling.is_between() {
            writing.target.reached(self.frames)?;
            self.written = writing.written;
        }
        Ok(())
    }

    /// The same, but does not wait for the sync.
    fn note_soon(
        &mut self,
        writing: &mut DataWriter<'_, '_>,
        filling: &Filling,
    ) -> Result<(), Error> {
        if writing.lost.is_empty() && filling.is_between() && writing.target.reaches(self.frames)? {
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
struct DataWriter<'w, 't> {
    target: &'w mut ExtractTarget<'t>,
    lost: BTreeMap<ObjectId, String>,
    written: u64,
}

impl TakesData for DataWriter<'_, '_> {
    type Error = Error;

    fn write(&mut self, file: ObjectId, at: u64, bytes: &[u8]) -> Result<(), Error> {
        if self.lost.contains_key(&file) {
            return Ok(());
        }
        self.written += bytes.len() as u64;
        self.target.write(file, at, bytes)
    }

    fn give_up(&mut self, file: ObjectId, why: &str) -> Result<(), Error> {
        if self.lost.contains_key(&file) {
            return Ok(());
        }
        self.lost.insert(file, why.to_owned());
        self.target.give_up(file)
    }
}
