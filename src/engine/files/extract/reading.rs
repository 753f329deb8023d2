//! Reads files of an archive at any place, a few frames at a time.

use std::borrow::Borrow;
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use super::chain::{FramePlace, ReadChain};
use super::frames::{FrameSource, FrameTarget, WantedFrames};
use crate::btrfs::unpack;
use crate::catalog::Catalog;
use crate::engine::context::open_source::OpenSource;
use crate::engine::files::pieces::piece::{DataPiece, Encoded, PieceSource};
use crate::engine::restore::fetch::WantedSegment;
use crate::engine::restore::other_places::OtherPlaces;
use crate::error::{ContentsFault, Error, in_words};
use crate::interrupt::Interrupt;
use crate::model::file_node::ObjectId;

/// The files of a chain's last archive, at a place that can be read.
pub struct FileReader<'a, C = &'a ReadChain> {
    chain: C,
    source: FrameSource<'a>,
    /// Of each archive its segments.
    segments: Vec<Vec<FrameTarget>>,
    cache: FrameCache,
}

/// A frame, by the place of its archive in the chain.
type CachedFrame = ((u32, FramePlace), Arc<Vec<u8>>);

/// The frames that were read last.
struct FrameCache {
    /// The one that was used last is at the end.
    frames: Mutex<VecDeque<CachedFrame>>,
    most: usize,
}

impl<'a, C: Borrow<ReadChain>> FileReader<'a, C> {
    /// Prepares to read. At most `memory` bytes of frames are kept, but always two.
    pub fn new(
        chain: C,
        source: &'a OpenSource<'a>,
        others: &'a OtherPlaces<'a>,
        (memory, interrupt): (u64, &'a Interrupt),
        catalog: &Catalog,
    ) -> Result<Self, Error> {
        let mut segments = Vec::new();
        let mut largest = 1;
        for archive in &chain.borrow().archives {
            let rows = catalog.segments(&archive.id())?;
            let of_it = WantedSegment::of(source, &archive.entry, &rows).into_iter();
            let of_it = of_it.zip(&archive.layouts).map(|(segment, layout)| {
                FrameTarget::new(WantedFrames {
                    segment,
                    layout: layout.clone(),
                    key: archive.key.clone(),
                    frame_size: u32::try_from(archive.entry.frame_size).unwrap_or(u32::MAX),
                    frames: Vec::new(),
                })
            });
            segments.push(of_it.collect());
            largest = largest.max(archive.entry.frame_size);
        }
        let most = usize::try_from(memory / largest).unwrap_or(usize::MAX);
        Ok(Self {
            chain,
            source: FrameSource {
                store: source.store.as_ref(),
                others,
                interrupt,
            },
            segments,
            cache: FrameCache {
                frames: Mutex::default(),
                most: most.max(2),
            },
        })
    }

    /// Returns a range of a file, cut at its end. Holes are zeros.
    pub fn read(&self, file: ObjectId, range: Range<u64>) -> Result<Vec<u8>, Error> {
        let chain = self.chain.borrow();
        chain.read_file(file, range, |archive, place| self.frame(archive, place))
    }

    /// Fetches a frame of an archive, which is given by its place in the chain.
    pub fn fetch(&self, archive: u32, place: FramePlace) -> Result<Vec<u8>, Error> {
        let target = &self.segments[archive as usize][place.segment as usize];
        self.source.frame(target, place.frame)
    }

    fn frame(&self, archive: u32, place: FramePlace) -> Result<Arc<Vec<u8>>, Error> {
        let key = (archive, place);
        if let Some(frame) = self.cache.get(key) {
            return Ok(frame);
        }
        let frame = Arc::new(self.fetch(archive, place)?);
        self.cache.put(key, &frame);
        Ok(frame)
    }
}

impl ReadChain {
    /// Returns a range of a file, cut at its end. Holes are zeros. `frame` gives the raw bytes of a frame of an archive, which
    /// is given by its place in the chain.
    pub fn read_file<E: From<Error>>(
        &self,
        file: ObjectId,
        range: Range<u64>,
        mut frame: impl FnMut(u32, FramePlace) -> Result<Arc<Vec<u8>>, E>,
    ) -> Result<Vec<u8>, E> {
        let of_file = self.tree.data(file).map_err(Error::from)?;
        let size = of_file.size();
        let range = range.start.min(size)..range.end.min(size);
        let mut data = vec![0; to_usize(range.end.saturating_sub(range.start))];
        for piece in of_file.within(range.clone()) {
            let at = to_usize(piece.at - range.start);
            let into = &mut data[at..][..to_usize(piece.bytes)];
            match piece.source {
                PieceSource::Run(run) => {
                    let mut done = 0;
                    for (place, bytes) in run.parts(0..piece.bytes) {
                        let part = &mut into[done..][..to_usize(bytes)];
                        self.copy(run.archive, place, part, &mut frame)?;
                        done += part.len();
                    }
                }
                PieceSource::Encoded(encoded) => {
                    self.copy_encoded(&piece, encoded, into, &mut frame)?;
                }
            }
        }
        Ok(data)
    }

    /// Returns the frames that have a range of a file, in its order and at most so many, each once: of an archive by its place
    /// in the chain. Those that the streams do not have are left out.
    pub fn frames_of_file(
        &self,
        file: ObjectId,
        range: Range<u64>,
        most: usize,
    ) -> Result<Vec<(u32, FramePlace)>, Error> {
        let mut frames: Vec<(u32, FramePlace)> = Vec::new();
        let data = self.tree.data(file)?;
        for piece in data.within(range) {
            let number = piece.source.archive();
            let archive = &self.archives[number as usize];
            let span = piece.span();
            if span.is_empty() || span.end > archive.entry.raw_bytes {
                continue;
            }
            let last = archive.frame_at(span.end - 1);
            let mut next = Some(archive.frame_at(span.start));
            while let Some(place) = next.filter(|place| *place <= last) {
                if !frames.contains(&(number, place)) {
                    if frames.len() == most {
                        return Ok(frames);
                    }
                    frames.push((number, place));
                }
                next = archive.next_frame(place);
            }
        }
        Ok(frames)
    }

    fn copy_encoded<E: From<Error>>(
        &self,
        piece: &DataPiece,
        encoded: Encoded,
        into: &mut [u8],
        frame: &mut impl FnMut(u32, FramePlace) -> Result<Arc<Vec<u8>>, E>,
    ) -> Result<(), E> {
        let mut packed = vec![0; to_usize(encoded.bytes.into())];
        self.copy(encoded.archive, encoded.at, &mut packed, frame)?;
        let archive = self.archives[encoded.archive as usize].id();
        let unusable = |what: String| Error::Contents(ContentsFault::Unusable { archive, what });
        let all = unpack(
            &packed,
            encoded.compression,
            to_usize(encoded.unpacked.into()),
        )
        .map_err(|error| unusable(in_words(&error)))?;
        let from = to_usize(encoded.from.into());
        let part = all.get(from..from + to_usize(piece.bytes));
        let part = part.ok_or_else(|| {
            unusable("they name bytes that compressed data does not have".to_owned())
        })?;
        into.copy_from_slice(part);
        Ok(())
    }

    /// Copies bytes of a stream.
    fn copy<E: From<Error>>(
        &self,
        archive: u32,
        at: u64,
        into: &mut [u8],
        frame: &mut impl FnMut(u32, FramePlace) -> Result<Arc<Vec<u8>>, E>,
    ) -> Result<(), E> {
        let of = &self.archives[archive as usize];
        let mut done = 0;
        while done < into.len() {
            let next = at + done as u64;
            if next >= of.entry.raw_bytes {
                let beyond = Error::Contents(ContentsFault::Unusable {
                    archive: of.id(),
                    what: format!(
                        "they name the byte {next} of a stream of {}",
                        of.entry.raw_bytes
                    ),
                });
                return Err(beyond.into());
            }
            let place = of.frame_at(next);
            let frame = frame(archive, place)?;
            let range = of.raw_range(place);
            let from = to_usize(next - range.start);
            let part = &frame[from..];
            let part = &part[..part.len().min(into.len() - done)];
            into[done..][..part.len()].copy_from_slice(part);
            done += part.len();
        }
        Ok(())
    }
}

impl FrameCache {
    fn get(&self, key: (u32, FramePlace)) -> Option<Arc<Vec<u8>>> {
        let mut frames = self.frames.lock().unwrap_or_else(PoisonError::into_inner);
        let at = frames.iter().rposition(|(it, _)| *it == key)?;
        let found = frames.remove(at)?;
        let frame = Arc::clone(&found.1);
        frames.push_back(found);
        Some(frame)
    }

    fn put(&self, key: (u32, FramePlace), frame: &Arc<Vec<u8>>) {
        let mut frames = self.frames.lock().unwrap_or_else(PoisonError::into_inner);
        frames.push_back((key, Arc::clone(frame)));
        while frames.len() > self.most {
            frames.pop_front();
        }
    }
}

impl<C> std::fmt::Debug for FileReader<'_, C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FileReader").finish_non_exhaustive()
    }
}

fn to_usize(number: u64) -> usize {
    usize::try_from(number).expect("a range that is read fits into memory")
}
