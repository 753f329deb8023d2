//! Reads frames from a store, and what is damaged there from the other places of the source.

use std::ops::Range;

use super::plan::{FrameRequest, ObjectPart};
use super::wanted::{FrameTarget, WantedFrames};
use crate::engine::restore::fetch::WantedSegment;
use crate::engine::restore::other_places::{OtherPlaces, fetch_somewhere, take_elsewhere};
use crate::error::{Error, in_words};
use crate::interrupt::Interrupt;
use crate::model::segment::LARGEST_SEGMENT_BYTES;
use crate::plan::memory::longest_sealed;
use crate::seal::SegmentFrames;
use crate::store::{ErrorKind, Locator, Store, StoreError};

/// Where frames are read.
#[derive(Clone, Copy)]
pub(in crate::engine) struct FrameSource<'a> {
    pub(in crate::engine) store: &'a dyn Store,
    pub(in crate::engine) others: &'a OtherPlaces<'a>,
    pub(in crate::engine) interrupt: &'a Interrupt,
}

/// The store can't read a range.
pub(super) struct NoRanges;

/// Why a part of an object was not read.
enum FrameTrouble {
    Missing,
    /// It may have been damaged on the way.
    Damaged(String),
    NoRanges,
    Store(StoreError),
}

/// A part of an object, and where it lies.
struct FetchedPart {
    at: u64,
    bytes: Vec<u8>,
}

impl FrameSource<'_> {
    /// Reads one frame of a segment, whether it is among those that are wanted or not.
    pub(in crate::engine) fn frame(
        &self,
        target: &FrameTarget,
        frame: u32,
    ) -> Result<Vec<u8>, Error> {
        self.interrupt.check()?;
        let wanted = &target.wanted;
        let places = match &target.places {
            Ok(places) => places,
            Err(what) => return Err(wanted.damaged(frame, what)),
        };
        match read_frame(self.store, wanted.segment.locator(), wanted, places, frame) {
            Ok(raw) => Ok(raw),
            Err(FrameTrouble::Store(error)) => Err(error.into()),
            Err(trouble) => self.mend(wanted, places, frame, &trouble),
        }
    }

    /// Sends a request, and gives the raw bytes of each of its frames, or why it has none, for as long as `give` returns
    /// true. Gives nothing if the store can't read ranges.
    pub(super) fn request(
        &self,
        target: &FrameTarget,
        request: &FrameRequest,
        mut give: impl FnMut(Result<Vec<u8>, Error>) -> bool,
    ) -> Result<(), NoRanges> {
        let wanted = &target.wanted;
        let places = match &target.places {
            Ok(places) => places,
            Err(what) => {
                for &frame in &request.frames {
                    give(Err(wanted.damaged(frame, what)));
                }
                return Ok(());
            }
        };
        let part = match self.interrupt.check() {
            // Each frame says so below.
            Err(_) => Err(FrameTrouble::Missing),
            Ok(()) => match self.part(wanted, &request.part) {
                Err(FrameTrouble::NoRanges) => return Err(NoRanges),
                part => part,
            },
        };
        let mut reader = part
            .as_ref()
            .map(|part| places.open(&wanted.key, part.at, &part.bytes));
        for &frame in &request.frames {
            let read = match &mut reader {
                Err(FrameTrouble::Store(error)) => Err(error.again().into()),
                Err(trouble) => self.mend(wanted, places, frame, trouble),
                Ok(Ok(reader)) => reader.read(frame).or_else(|error| {
                    self.mend(
                        wanted,
                        places,
                        frame,
                        &FrameTrouble::Damaged(in_words(&error)),
                    )
                }),
                Ok(Err(error)) => self.mend(
                    wanted,
                    places,
                    frame,
                    &FrameTrouble::Damaged(in_words(error)),
                ),
            };
            let read = self.interrupt.check().and(read);
            if !give(read) {
                break;
            }
        }
        Ok(())
    }

    /// Reads what a request is for.
    fn part(&self, wanted: &WantedFrames, part: &ObjectPart) -> Result<FetchedPart, FrameTrouble> {
        let segment = &wanted.segment;
        match part {
            ObjectPart::Range(range) => read_range(self.store, segment.locator(), segment, range),
            ObjectPart::Whole(_) => match fetch_somewhere(self.store, self.others, segment) {
                Ok(bytes) => Ok(FetchedPart { at: 0, bytes }),
                Err(Error::Store(error)) => Err(FrameTrouble::Store(error)),
                // One byte may be wrong: each frame has a digest of its own.
                Err(damaged) => read_whole(self.store, segment.locator(), segment)
                    .map_err(|_| FrameTrouble::Damaged(in_words(&damaged))),
            },
        }
    }

    /// Reads a frame once more, and then from the other places, which have the same objects.
    fn mend(
        &self,
        wanted: &WantedFrames,
        places: &SegmentFrames,
        frame: u32,
        trouble: &FrameTrouble,
    ) -> Result<Vec<u8>, Error> {
        self.interrupt.check()?;
        let segment = &wanted.segment;
        let what = match trouble {
            FrameTrouble::Damaged(what) => {
                match read_frame(self.store, segment.locator(), wanted, places, frame) {
                    Ok(raw) => return Ok(raw),
                    Err(FrameTrouble::Store(error)) => return Err(error.into()),
                    Err(FrameTrouble::Damaged(again)) => again,
                    Err(FrameTrouble::Missing | FrameTrouble::NoRanges) => what.clone(),
                }
            }
            _ => "it is missing".to_owned(),
        };
        let damaged = wanted.damaged(frame, what);
        take_elsewhere(self.store, self.others, damaged, |there| {
            let at = segment.in_store(there);
            read_frame(there, at.locator(), wanted, places, frame).map_err(
                |trouble| match trouble {
                    FrameTrouble::Store(error) => error.into(),
                    FrameTrouble::Damaged(what) => wanted.damaged(frame, what),
                    FrameTrouble::Missing | FrameTrouble::NoRanges => {
                        wanted.damaged(frame, "it is missing")
                    }
                },
            )
        })
    }
}

/// Reads one frame of a segment alone.
fn read_frame(
    store: &dyn Store,
    at: &Locator,
    wanted: &WantedFrames,
    places: &SegmentFrames,
    frame: u32,
) -> Result<Vec<u8>, FrameTrouble> {
    let range = places.sealed_range(frame..frame.saturating_add(1));
    let part = match read_range(store, at, &wanted.segment, &range) {
        Err(FrameTrouble::NoRanges) => read_whole(store, at, &wanted.segment)?,
        part => part?,
    };
    places
        .open(&wanted.key, part.at, &part.bytes)
        .and_then(|mut reader| reader.read(frame))
        .map_err(|error| FrameTrouble::Damaged(in_words(&error)))
}

fn read_range(
    store: &dyn Store,
    at: &Locator,
    segment: &WantedSegment,
    range: &Range<u64>,
) -> Result<FetchedPart, FrameTrouble> {
    let length = range.end - range.start;
    // No frame that there is lies in no bytes.
    let bytes = if length == 0 {
        Vec::new()
    } else {
        store
            .get_range(at, range.start, length)
            .map_err(|error| FrameTrouble::of(error, segment))?
    };
    if bytes.len() as u64 == length {
        return Ok(FetchedPart {
            at: range.start,
            bytes,
        });
    }
    let got = bytes.len();
    let what = format!("the store gave {got} of {length} bytes of it");
    Err(FrameTrouble::Damaged(what))
}

/// Reads an object whose digest is not looked at.
fn read_whole(
    store: &dyn Store,
    at: &Locator,
    segment: &WantedSegment,
) -> Result<FetchedPart, FrameTrouble> {
    let length = segment.record.sealed_bytes;
    let longest = longest_sealed(LARGEST_SEGMENT_BYTES);
    if length > longest {
        let what = format!(
            "its ledger entry says that it has {length} bytes, and no segment has more than {longest}"
        );
        return Err(FrameTrouble::Damaged(what));
    }
    let bytes = store
        .get(at, length)
        .map_err(|error| FrameTrouble::of(error, segment))?;
    Ok(FetchedPart { at: 0, bytes })
}

impl FrameTrouble {
    fn of(error: StoreError, segment: &WantedSegment) -> Self {
        let stored = segment.record.sealed_bytes;
        match error.kind {
            ErrorKind::NotFound => Self::Missing,
            ErrorKind::Unsupported => Self::NoRanges,
            ErrorKind::TooShort => Self::Damaged(format!(
                "it is shorter than the {stored} bytes that were stored"
            )),
            ErrorKind::TooLarge => Self::Damaged(format!(
                "it is longer than the {stored} bytes that were stored"
            )),
            ErrorKind::Corrupted => Self::Damaged(in_words(&error)),
            _ => Self::Store(error),
        }
    }
}
