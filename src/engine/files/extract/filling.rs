//! Takes the frames of an archive in order, and gives each file what it needs of them.

use std::collections::BTreeMap;
use std::ops::Range;

use super::needs::Need;
use crate::btrfs::{UnpackError, unpack};
use crate::engine::files::pieces::piece::{Encoded, PieceSource, WriteRun};
use crate::model::file_node::ObjectId;

/// What takes the data of files.
pub(super) trait TakesData {
    /// Why it can't.
    type Error;

    /// Takes bytes of a file.
    fn write(&mut self, file: ObjectId, at: u64, bytes: &[u8]) -> Result<(), Self::Error>;

    /// Some data of a file can't be had.
    fn give_up(&mut self, file: ObjectId, why: &str) -> Result<(), Self::Error>;
}

/// The needs of an archive, of which some are met.
#[derive(Debug)]
pub(super) struct Filling {
    /// By where they begin in the stream.
    needs: Vec<Need>,
    /// How many of them have begun.
    begun: usize,
    /// Those that have begun and are not at their end.
    open: Vec<Need>,
    /// The begin of encoded data whose end is in a later frame, by where it is in the stream.
    begins: BTreeMap<u64, Vec<u8>>,
    /// What was unpacked last: several pieces may be of one.
    unpacked: Option<(u64, Vec<u8>)>,
}

impl Filling {
    pub(super) fn new(needs: Vec<Need>) -> Self {
        Self {
            needs,
            begun: 0,
            open: Vec::new(),
            begins: BTreeMap::new(),
            unpacked: None,
        }
    }

    /// Gives what a frame has: these bytes of the stream.
    pub(super) fn frame<T: TakesData>(
        &mut self,
        range: &Range<u64>,
        bytes: &[u8],
        target: &mut T,
    ) -> Result<(), T::Error> {
        let open = self.begin(range);
        for need in &open {
            match need.piece.source {
                PieceSource::Run(run) => write_run(need, run, range, bytes, target)?,
                PieceSource::Encoded(encoded) => {
                    self.write_encoded(need, encoded, range, bytes, target)?;
                }
            }
        }
        self.end(open, range);
        Ok(())
    }

    /// The bytes of a frame can't be had.
    pub(super) fn lost<T: TakesData>(
        &mut self,
        range: &Range<u64>,
        why: &str,
        target: &mut T,
    ) -> Result<(), T::Error> {
        for need in self.begin(range) {
            target.give_up(need.file, why)?;
        }
        // Nothing more of these files is of use.
        self.begins.clear();
        Ok(())
    }

    /// Returns whether what follows needs nothing of the frames so far.
    pub(super) fn is_between(&self) -> bool {
        self.begins.is_empty()
    }

    /// Returns the needs that a frame has something of.
    fn begin(&mut self, range: &Range<u64>) -> Vec<Need> {
        while let Some(need) = self.needs.get(self.begun)
            && need.span().start < range.end
        {
            self.open.push(*need);
            self.begun += 1;
        }
        let mut open = std::mem::take(&mut self.open);
        // What lies in frames that are not wanted is met otherwise, or has no bytes.
        open.retain(|need| need.span().end > range.start);
        open
    }

    fn end(&mut self, mut open: Vec<Need>, range: &Range<u64>) {
        open.retain(|need| need.span().end > range.end);
        self.begins
            .retain(|at, _| open.iter().any(|need| need.span().start == *at));
        self.open = open;
    }

    fn write_encoded<T: TakesData>(
        &mut self,
        need: &Need,
        encoded: Encoded,
        range: &Range<u64>,
        bytes: &[u8],
        target: &mut T,
    ) -> Result<(), T::Error> {
        let span = need.span();
        let here = |place: u64| to_usize(place.clamp(range.start, range.end) - range.start);
        let part = &bytes[here(span.start)..here(span.end)];
        if span.end > range.end {
            if span.start >= range.start {
                self.begins.insert(span.start, part.to_vec());
            } else if let Some(begin) = self.begins.get_mut(&span.start) {
                // Once for each frame, and not for each need of it.
                let have = to_usize(range.start - span.start);
                if begin.len() == have {
                    begin.extend_from_slice(part);
                }
            }
            return Ok(());
        }
        let unpacked = match self.unpacked.take_if(|(at, _)| *at == span.start) {
            Some((_, unpacked)) => Ok(unpacked),
            None => self.unpack(encoded, part),
        };
        match unpacked {
            Ok(unpacked) => {
                let from = to_usize(encoded.from.into());
                let end = from + to_usize(need.piece.bytes);
                // The guard's rules bound the range.
                let part = unpacked.get(from..end).unwrap_or_default();
                let written = target.write(need.file, need.piece.at, part);
                self.unpacked = Some((span.start, unpacked));
                written
            }
            Err(error) => target.give_up(need.file, &error.to_string()),
        }
    }

    fn unpack(&self, encoded: Encoded, last: &[u8]) -> Result<Vec<u8>, UnpackError> {
        let bytes = to_usize(encoded.unpacked.into());
        match self.begins.get(&encoded.at) {
            Some(begin) => {
                let whole = [begin, last].concat();
                unpack(&whole, encoded.compression, bytes)
            }
            None => unpack(last, encoded.compression, bytes),
        }
    }
}

fn write_run<T: TakesData>(
    need: &Need,
    run: WriteRun,
    range: &Range<u64>,
    bytes: &[u8],
    target: &mut T,
) -> Result<(), T::Error> {
    let first = run.bytes_before(range.start).min(need.piece.bytes);
    let end = run.bytes_before(range.end).min(need.piece.bytes);
    let mut at = need.piece.at + first;
    for (place, length) in run.parts(first..end) {
        let from = to_usize(place - range.start);
        let part = &bytes[from..from + to_usize(length)];
        target.write(need.file, at, part)?;
        at += length;
    }
    Ok(())
}

fn to_usize(number: u64) -> usize {
    usize::try_from(number).expect("it is within one frame or one extent")
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::convert::Infallible;

    use super::*;
    use crate::engine::files::pieces::piece::DataPiece;

    /// Bytes of a frame.
    const FRAME: u64 = 100;

    #[derive(Default)]
    struct Files {
        data: BTreeMap<ObjectId, BTreeMap<u64, u8>>,
        given_up: BTreeSet<ObjectId>,
    }

    impl TakesData for Files {
        type Error = Infallible;

        fn write(&mut self, file: ObjectId, at: u64, bytes: &[u8]) -> Result<(), Infallible> {
            let data = self.data.entry(file).or_default();
            for (at, byte) in (at..).zip(bytes) {
                assert!(data.insert(at, *byte).is_none(), "written twice");
            }
            Ok(())
        }

        fn give_up(&mut self, file: ObjectId, _: &str) -> Result<(), Infallible> {
            self.given_up.insert(file);
            Ok(())
        }
    }

    /// Random pieces: of runs, and of data that is "compressed" by the kind that is none, several of one among them.
    fn needs(next: &mut impl FnMut(u64) -> u64, stream: u64) -> Vec<Need> {
        let mut needs = Vec::new();
        for file in 0..12 {
            let mut at = 0;
            for _ in 0..=next(4) {
                at += next(30);
                let begin = next(stream - 400);
                let piece = if next(2) == 0 {
                    let chunk = 20 + next(60);
                    let run = WriteRun {
                        archive: 0,
                        at: begin,
                        chunk: u32::try_from(chunk).unwrap(),
                        gap: u32::try_from(1 + next(20)).unwrap(),
                        phase: u32::try_from(next(chunk)).unwrap(),
                    };
                    DataPiece {
                        at,
                        bytes: 1 + next(150),
                        source: PieceSource::Run(run),
                    }
                } else {
                    // Few places, so that some are of the same data.
                    let begin = begin / 200 * 200;
                    let from = next(100);
                    DataPiece {
                        at,
                        bytes: 1 + next(150),
                        source: PieceSource::Encoded(Encoded {
                            archive: 0,
                            at: begin,
                            bytes: 250,
                            compression: 0,
                            unpacked: 250,
                            from: u32::try_from(from).unwrap(),
                        }),
                    }
                };
                at += piece.bytes;
                needs.push(Need {
                    file: ObjectId(file),
                    piece,
                });
            }
        }
        needs.sort_unstable_by_key(|need| (need.span().start, need.file, need.piece.at));
        needs
    }

    /// What the pieces of a file have, byte by byte.
    fn expected(needs: &[Need], stream: &[u8]) -> BTreeMap<ObjectId, BTreeMap<u64, u8>> {
        let mut files: BTreeMap<ObjectId, BTreeMap<u64, u8>> = BTreeMap::new();
        for need in needs {
            let data = files.entry(need.file).or_default();
            for x in 0..need.piece.bytes {
                let place = match need.piece.source.shifted(x) {
                    PieceSource::Run(run) => run.at,
                    PieceSource::Encoded(encoded) => encoded.at + u64::from(encoded.from),
                };
                data.insert(need.piece.at + x, stream[to_usize(place)]);
            }
        }
        files
    }

    #[test]
    fn files_get_all_that_they_need_and_those_of_lost_frames_are_given_up() {
        let stream: Vec<u8> = (0..3000_u32)
            .map(|at| (at * 7 % 251).to_le_bytes()[0])
            .collect();
        let length = stream.len() as u64;
        let mut state = 1_u64;
        let mut next = |below: u64| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 33) % below
        };
        for round in 0..200 {
            let needs = needs(&mut next, length);
            let frames = (0..length / FRAME).map(|frame| frame * FRAME..(frame + 1) * FRAME);
            // As a plan does, only frames that something needs.
            let wanted = frames.filter(|frame| {
                let touches = |need: &Need| {
                    let span = need.span();
                    span.start < frame.end && span.end > frame.start
                };
                needs.iter().any(touches)
            });
            let wanted: Vec<Range<u64>> = wanted.collect();
            let lost = (round % 2 == 1).then(|| to_usize(next(wanted.len() as u64)));
            let mut filling = Filling::new(needs.clone());
            let mut files = Files::default();
            for (at, frame) in wanted.iter().enumerate() {
                let bytes = &stream[to_usize(frame.start)..to_usize(frame.end)];
                let done = if lost == Some(at) {
                    filling.lost(frame, "lost", &mut files)
                } else {
                    filling.frame(frame, bytes, &mut files)
                };
                done.unwrap();
            }
            assert!(filling.is_between());
            let of_lost = |need: &&Need| {
                let span = need.span();
                lost.is_some_and(|lost| {
                    let frame = &wanted[lost];
                    span.start < frame.end && span.end > frame.start
                })
            };
            let given_up: BTreeSet<ObjectId> =
                needs.iter().filter(of_lost).map(|need| need.file).collect();
            assert_eq!(files.given_up, given_up, "round {round}");
            for (file, data) in expected(&needs, &stream) {
                if !given_up.contains(&file) {
                    assert_eq!(files.data.get(&file), Some(&data), "round {round}");
                }
            }
        }
    }
}
