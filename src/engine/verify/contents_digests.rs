//! The digests of contents that are made again, object by object.

use crate::model::Blake3;
use crate::model::segment::CONTENTS_OBJECT_BYTES;

/// The digests of what an object of contents has: its part of the stream without its file data, and its part of the table of
/// segments. One that has nothing of the one or the other has the digest of no bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ObjectParts {
    pub(super) stream: Blake3,
    pub(super) table: Blake3,
}

/// Cuts contents as their sealer does, and keeps the digests of each object's raw bytes.
///
/// The table grows while the stream passes that it follows. Where it begins is taken from the record of the contents, so none of
/// it is held: hostile segments can have a long one.
pub(super) struct ContentsDigests {
    /// Bytes of the stream without its file data, by the record.
    recorded: u64,
    /// Those that have come.
    stream_bytes: u64,
    stream: PartDigests,
    table: PartDigests,
}

/// The parts of a byte string that are in each object.
struct PartDigests {
    hasher: blake3::Hasher,
    /// How far the object is filled.
    filled: u64,
    /// Whether some of the bytes are in it.
    has_some: bool,
    whole: Vec<Blake3>,
}

impl ContentsDigests {
    /// `recorded`: the bytes of the stream without its file data, as the record of the contents has them.
    pub(super) fn new(recorded: u64) -> Self {
        Self {
            recorded,
            stream_bytes: 0,
            stream: PartDigests::from(0),
            table: PartDigests::from(recorded % CONTENTS_OBJECT_BYTES),
        }
    }

    /// Takes the next bytes of the stream without its file data.
    pub(super) fn stream(&mut self, bytes: &[u8]) {
        self.stream_bytes += bytes.len() as u64;
        self.stream.update(bytes);
    }

    /// Takes the next bytes of the table that follows the stream.
    pub(super) fn table(&mut self, bytes: &[u8]) {
        self.table.update(bytes);
    }

    /// Returns the digests of each object; `None` if the stream is longer or shorter than the record says.
    pub(super) fn finish(self) -> Option<Vec<ObjectParts>> {
        if self.stream_bytes != self.recorded {
            return None;
        }
        let (stream, table) = (self.stream.finish(), self.table.finish());
        let table_from = usize::try_from(self.recorded / CONTENTS_OBJECT_BYTES).ok()?;
        let objects = if table.is_empty() {
            stream.len()
        } else {
            table_from + table.len()
        };
        let part = |digests: &[Blake3], at: Option<usize>| {
            let found = at.and_then(|at| digests.get(at));
            found.copied().unwrap_or_else(|| Blake3::of(b""))
        };
        let objects = (0..objects).map(|at| ObjectParts {
            stream: part(&stream, Some(at)),
            table: part(&table, at.checked_sub(table_from)),
        });
        Some(objects.collect())
    }
}

impl PartDigests {
    /// The bytes begin so far in an object.
    fn from(filled: u64) -> Self {
        Self {
            hasher: blake3::Hasher::new(),
            filled,
            has_some: false,
            whole: Vec::new(),
        }
    }

    fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let left = CONTENTS_OBJECT_BYTES - self.filled;
            let left = usize::try_from(left).unwrap_or(usize::MAX);
            let (piece, rest) = bytes.split_at(left.min(bytes.len()));
            self.hasher.update(piece);
            self.filled += piece.len() as u64;
            self.has_some = true;
            bytes = rest;
            if self.filled == CONTENTS_OBJECT_BYTES {
                self.end_object();
            }
        }
    }

    fn finish(mut self) -> Vec<Blake3> {
        if self.has_some {
            self.end_object();
        }
        self.whole
    }

    fn end_object(&mut self) {
        self.whole.push(Blake3(*self.hasher.finalize().as_bytes()));
        self.hasher.reset();
        (self.filled, self.has_some) = (0, false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_object_has_digests_and_the_table_follows_the_stream() {
        let whole = usize::try_from(CONTENTS_OBJECT_BYTES).unwrap();
        let bytes: Vec<u8> = (0..=u8::MAX).cycle().take(2 * whole + 300).collect();
        for (stream, table, objects) in [
            (1, 9, 1),
            (whole - 1, 0, 1),
            (whole - 1, 1, 1),
            (whole - 1, 2, 2),
            (whole, 0, 1),
            (whole, 10, 2),
            (whole + 290, 10, 2),
            (30, 2 * whole, 3),
        ] {
            let mut digests = ContentsDigests::new(stream as u64);
            for (number, piece) in bytes[..stream].chunks(5 << 20).enumerate() {
                digests.stream(piece);
                // The table comes meanwhile.
                if number == 0 {
                    digests.table(&bytes[stream..stream + table / 2]);
                }
            }
            digests.table(&bytes[stream + table / 2..stream + table]);
            let expected = (0..stream + table).step_by(whole).map(|begin| {
                let end = (begin + whole).min(stream + table);
                let border = stream.clamp(begin, end);
                ObjectParts {
                    stream: Blake3::of(&bytes[begin..border]),
                    table: Blake3::of(&bytes[border..end]),
                }
            });
            let expected: Vec<ObjectParts> = expected.collect();
            assert_eq!(digests.finish().unwrap(), expected);
            assert_eq!(expected.len(), objects);
        }
    }

    #[test]
    fn a_stream_of_another_length_than_the_record_says_has_no_objects() {
        for recorded in [0, 9, 11, u64::MAX] {
            let mut digests = ContentsDigests::new(recorded);
            digests.stream(&[7; 10]);
            digests.table(&[8; 100]);
            assert_eq!(digests.finish(), None);
        }
    }
}
