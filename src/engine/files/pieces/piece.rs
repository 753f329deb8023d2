//! A piece: a range of a file, and where its bytes lie in a stream.

use std::ops::Range;

/// The most bytes between the data of two write commands that follow each other. A header, an offset and the longest path take
/// less.
const LONGEST_GAP: u64 = 5000;

/// A range of a file whose bytes are known. What no piece covers is a hole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DataPiece {
    /// Where it begins in the file.
    pub at: u64,
    /// Its length; never 0.
    pub bytes: u64,
    /// Where its bytes are.
    pub source: PieceSource,
}

/// Where the bytes of a piece are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PieceSource {
    /// In write commands.
    Run(WriteRun),
    /// In one encoded write command.
    Encoded(Encoded),
}

/// Data of write commands that follow each other: in each the same number of bytes, and between them the same number of
/// others. Byte `x` of the run is at `at + x + gap * ((phase + x) / chunk)` of the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WriteRun {
    /// The archive, by its place in the chain.
    pub archive: u32,
    /// Where its first byte is in the stream.
    pub at: u64,
    /// Bytes of data in each command.
    pub chunk: u32,
    /// Bytes between the data of one and that of the next; 0 if it is one command alone.
    pub gap: u32,
    /// Bytes of the first command that come before the run.
    pub phase: u32,
}

/// Data as it is compressed on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Encoded {
    /// The archive, by its place in the chain.
    pub archive: u32,
    /// Where the data begins in the stream.
    pub at: u64,
    /// Its length there.
    pub bytes: u32,
    /// How it is compressed, by the kernel's numbers.
    pub compression: u32,
    /// Its length when it is unpacked; what is missing are zeros.
    pub unpacked: u32,
    /// Where the piece begins in that.
    pub from: u32,
}

impl PieceSource {
    /// Returns the source of what is `by` bytes further on in the piece.
    #[must_use]
    pub fn shifted(self, by: u64) -> Self {
        match self {
            Self::Run(run) => {
                let chunk = u64::from(run.chunk);
                let to = u64::from(run.phase) + by;
                Self::Run(WriteRun {
                    at: run.at + by + u64::from(run.gap) * (to / chunk),
                    phase: narrow(to % chunk),
                    ..run
                })
            }
            Self::Encoded(encoded) => Self::Encoded(Encoded {
                from: narrow(u64::from(encoded.from) + by),
                ..encoded
            }),
        }
    }

    /// Returns the archive, by its place in the chain.
    pub fn archive(&self) -> u32 {
        match self {
            Self::Run(run) => run.archive,
            Self::Encoded(encoded) => encoded.archive,
        }
    }
}

impl DataPiece {
    /// Returns the end of it in the file.
    pub fn end(&self) -> u64 {
        self.at + self.bytes
    }

    /// Returns the part of it within a range of the file; `None` if there is none.
    #[must_use]
    pub fn within(&self, range: &Range<u64>) -> Option<Self> {
        let (begin, end) = (self.at.max(range.start), self.end().min(range.end));
        (begin < end).then(|| Self {
            at: begin,
            bytes: end - begin,
            source: self.source.shifted(begin - self.at),
        })
    }

    /// Returns both as one piece, if `next` goes on where this one ends, in the file and in the stream.
    #[must_use]
    pub fn joined(&self, next: &Self) -> Option<Self> {
        if self.end() != next.at {
            return None;
        }
        let source = match (self.source, next.source) {
            (PieceSource::Run(run), PieceSource::Run(more)) if run.archive == more.archive => {
                PieceSource::Run(run.followed_by(self.bytes, &more, next.bytes)?)
            }
            (one @ PieceSource::Encoded(_), other) if one.shifted(self.bytes) == other => one,
            _ => return None,
        };
        Some(Self {
            bytes: self.bytes + next.bytes,
            source,
            ..*self
        })
    }

    /// Returns which bytes of the stream it needs: from its first to its last.
    pub fn span(&self) -> Range<u64> {
        match self.source {
            PieceSource::Run(run) => {
                let PieceSource::Run(last) = self.source.shifted(self.bytes - 1) else {
                    return run.at..run.at;
                };
                run.at..last.at + 1
            }
            PieceSource::Encoded(encoded) => encoded.at..encoded.at + u64::from(encoded.bytes),
        }
    }
}

impl WriteRun {
    /// Returns the run with another that comes after `bytes` of it; `None` if that is not how it goes on.
    fn followed_by(self, bytes: u64, next: &Self, next_bytes: u64) -> Option<Self> {
        let PieceSource::Run(expected) = PieceSource::Run(self).shifted(bytes) else {
            return None;
        };
        if expected == *next {
            return Some(self);
        }
        // The next command: the run has whole ones so far, and this one has no more bytes than they have.
        let is_at_begin = expected.phase == 0 && next.phase == 0;
        if !is_at_begin || next_bytes > u64::from(self.chunk) {
            return None;
        }
        if self.gap > 0 {
            return (expected.at == next.at).then_some(self);
        }
        let gap = next.at.checked_sub(expected.at)?;
        let is_one_command = u64::from(self.phase) + bytes == u64::from(self.chunk);
        (is_one_command && (1..=LONGEST_GAP).contains(&gap)).then(|| Self {
            gap: narrow(gap),
            ..self
        })
    }

    /// Returns the parts of a range of the run's bytes that lie next to each other in the stream: for each where it begins in the
    /// stream, and its length.
    pub fn parts(self, bytes: Range<u64>) -> impl Iterator<Item = (u64, u64)> {
        let mut next = bytes.start;
        std::iter::from_fn(move || {
            if next >= bytes.end {
                return None;
            }
            let PieceSource::Run(from) = PieceSource::Run(self).shifted(next) else {
                return None;
            };
            let rest = u64::from(from.chunk - from.phase).min(bytes.end - next);
            next += rest;
            Some((from.at, rest))
        })
    }

    /// Returns which bytes of the run lie at or after a place of the stream: the number of those before it.
    pub fn bytes_before(self, place: u64) -> u64 {
        let Some(distance) = place.checked_sub(self.at) else {
            return 0;
        };
        let (chunk, gap, phase) = (
            u64::from(self.chunk),
            u64::from(self.gap),
            u64::from(self.phase),
        );
        // Counted from the begin of the first command.
        let distance = distance + phase;
        let whole = distance / (chunk + gap);
        let rest = (distance % (chunk + gap)).min(chunk);
        (whole * chunk + rest).saturating_sub(phase)
    }
}

/// A number that is known to be small: a length within a command or within an extent.
fn narrow(number: u64) -> u32 {
    u32::try_from(number).expect("it is within one command or one extent")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(at: u64, bytes: u32, place: u64) -> DataPiece {
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

    fn run_of(piece: &DataPiece) -> WriteRun {
        match piece.source {
            PieceSource::Run(run) => run,
            PieceSource::Encoded(_) => panic!("it is a run"),
        }
    }

    /// The places of the stream that a piece has, byte by byte.
    fn places(piece: &DataPiece) -> Vec<u64> {
        let parts = run_of(piece).parts(0..piece.bytes);
        parts.flat_map(|(at, bytes)| at..at + bytes).collect()
    }

    #[test]
    fn writes_that_follow_each_other_are_one_run() {
        let mut run = write(0, 10, 100);
        for (at, bytes) in [(1, 10), (2, 10), (3, 4)] {
            run = run.joined(&write(at * 10, bytes, 100 + at * 17)).unwrap();
        }
        assert_eq!(run.bytes, 34);
        let expected: Vec<u64> = (0..34).map(|x| 100 + x + 7 * (x / 10)).collect();
        assert_eq!(places(&run), expected);
        // After the short one the run is at its end.
        assert_eq!(run.joined(&write(34, 10, 100 + 4 * 17)), None);
        assert_eq!(run.span(), 100..100 + 33 + 21 + 1);
    }

    #[test]
    fn what_does_not_go_on_is_not_joined() {
        let two = write(0, 10, 100).joined(&write(10, 10, 117)).unwrap();
        for other in [
            write(21, 10, 134),
            write(20, 11, 134),
            write(20, 10, 135),
            write(20, 10, 133),
        ] {
            assert_eq!(two.joined(&other), None, "{other:?}");
        }
        let far = write(10, 10, 110 + LONGEST_GAP + 1);
        assert_eq!(write(0, 10, 100).joined(&far), None);
        assert_eq!(write(0, 10, 100).joined(&write(10, 10, 90)), None);
    }

    #[test]
    fn every_cut_of_a_run_has_the_bytes_that_it_had() {
        let mut run = write(0, 10, 100);
        for at in 1..4 {
            run = run.joined(&write(at * 10, 10, 100 + at * 13)).unwrap();
        }
        let all = places(&run);
        for begin in 0..40_usize {
            for end in begin + 1..=40 {
                let range = begin as u64..end as u64;
                let part = run.within(&range).unwrap();
                assert_eq!(places(&part), all[begin..end], "{begin}..{end}");
                let span = part.span();
                assert_eq!((span.start, span.end - 1), (all[begin], all[end - 1]));
                for place in 95..150 {
                    let before = all[begin..end].iter().filter(|it| **it < place).count();
                    let told = run_of(&part).bytes_before(place).min(part.bytes);
                    assert_eq!(told, before as u64, "{begin}..{end} before {place}");
                }
                if end < 40 {
                    let rest = run.within(&(end as u64..40)).unwrap();
                    let whole = run.within(&(begin as u64..40)).unwrap();
                    if part.bytes > 0 && run_of(&part).gap > 0 {
                        assert_eq!(part.joined(&rest), Some(whole), "{begin}..{end}");
                    }
                }
            }
        }
    }
}
