//! The data of one file: its pieces, sorted and disjoint.

use std::ops::Range;

use super::piece::DataPiece;

/// What the allocator adds to a list, about.
const ALLOCATOR: u64 = 16;

/// The pieces of a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct FilePieces(Vec<DataPiece>);

impl FilePieces {
    /// Takes pieces that are sorted and disjoint.
    pub(super) fn of(pieces: Vec<DataPiece>) -> Self {
        Self(pieces)
    }

    /// Returns all pieces.
    pub(super) fn all(&self) -> &[DataPiece] {
        &self.0
    }

    /// Returns the pieces within a range, cut at its ends.
    pub(super) fn within(&self, range: Range<u64>) -> impl Iterator<Item = DataPiece> {
        let first = self.0.partition_point(|piece| piece.end() <= range.start);
        let pieces = self.0[first..].iter();
        pieces.map_while(move |piece| piece.within(&range))
    }

    /// Returns about how much memory the pieces take.
    pub(super) fn memory(&self) -> u64 {
        let capacity = self.0.capacity();
        let allocator = if capacity == 0 { 0 } else { ALLOCATOR };
        (capacity * size_of::<DataPiece>()) as u64 + allocator
    }

    /// Makes a hole. Cuts the pieces at its ends.
    pub(super) fn cut(&mut self, range: &Range<u64>) {
        if range.is_empty() {
            return;
        }
        let first = self.0.partition_point(|piece| piece.end() <= range.start);
        let last = self.0.partition_point(|piece| piece.at < range.end);
        if first == last {
            return;
        }
        let before = self.0[first].within(&(0..range.start));
        let after = self.0[last - 1].within(&(range.end..u64::MAX));
        self.0.splice(first..last, before.into_iter().chain(after));
    }

    /// Adds a piece, in the place of what was there.
    pub(super) fn put(&mut self, piece: DataPiece) {
        self.cut(&(piece.at..piece.end()));
        let at = self.0.partition_point(|it| it.at < piece.at);
        if let Some(before) = at.checked_sub(1).map(|before| &mut self.0[before])
            && let Some(joined) = before.joined(&piece)
        {
            *before = joined;
            return;
        }
        if self.0.is_empty() {
            // Most files have one piece, and there may be millions of them.
            self.0.reserve_exact(1);
        }
        self.0.insert(at, piece);
    }
}

#[cfg(test)]
mod tests {
    use super::super::piece::{PieceSource, WriteRun};
    use super::*;

    fn piece(at: u64, bytes: u32, place: u64) -> DataPiece {
        DataPiece {
            at,
            bytes: bytes.into(),
            source: PieceSource::Run(WriteRun {
                archive: 0,
                at: place,
                chunk: bytes,
                gap: 0,
                phase: 0,
            }),
        }
    }

    /// For each byte of the file its place in the stream; 0 in a hole.
    fn places(data: &FilePieces, size: usize) -> Vec<u64> {
        let mut places = vec![0; size];
        let mut end = 0;
        for piece in &data.0 {
            assert!(piece.at >= end && piece.bytes > 0, "{data:?}");
            end = piece.end();
            let PieceSource::Run(run) = piece.source else {
                panic!("it is a run");
            };
            let mut at = usize::try_from(piece.at).unwrap();
            for (place, bytes) in run.parts(0..piece.bytes) {
                for place in place..place + bytes {
                    places[at] = place;
                    at += 1;
                }
            }
        }
        places
    }

    #[test]
    fn any_writes_and_holes_leave_what_a_plain_array_has() {
        let (mut data, mut array) = (FilePieces::default(), vec![0; 64]);
        let mut state = 12345_u64;
        let mut next = |below: u64| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 33) % below
        };
        let mut place = 1000;
        for step in 0..20_000 {
            let begin = next(64);
            let bytes = 1 + next(64 - begin);
            let range = usize::try_from(begin).unwrap()..usize::try_from(begin + bytes).unwrap();
            if next(3) == 0 {
                data.cut(&(begin..begin + bytes));
                array[range.clone()].fill(0);
            } else {
                data.put(piece(begin, u32::try_from(bytes).unwrap(), place));
                for (at, byte) in array[range.clone()].iter_mut().enumerate() {
                    *byte = place + at as u64;
                }
                place += bytes + next(20);
            }
            assert_eq!(places(&data, 64), array, "{step}");
            let part = FilePieces(data.within(begin..begin + bytes).collect());
            assert_eq!(places(&part, 64)[range.clone()], array[range], "{step}");
        }
    }
}
