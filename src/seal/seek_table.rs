//! The seek table: a skippable frame after a segment's data frames, by which a reader can find the
//! frame that holds a position.
//!
//! The layout is zstd's own, without checksums (`contrib/seekable_format` in its repository,
//! version 0.1.0): per data frame its compressed and its raw size, then a footer with the number
//! of frames, a descriptor byte and a magic number. All numbers are little-endian.

const SKIPPABLE_MAGIC: u32 = 0x184D_2A5E;
const SEEKABLE_MAGIC: u32 = 0x8F92_EAB1;
pub(super) const HEADER_BYTES: usize = 8;
const ENTRY_BYTES: usize = 8;
pub(super) const FOOTER_BYTES: usize = 9;

/// The most frames of a segment.
const MOST_FRAMES: usize = 1 << 16;

/// Where a segment's frames lie.
#[derive(Default)]
pub(super) struct SeekTable(Vec<SeekTableEntry>);

struct SeekTableEntry {
    compressed_bytes: u32,
    raw_bytes: u32,
}

impl SeekTable {
    /// Adds the next data frame.
    pub(super) fn push(&mut self, compressed_bytes: u32, raw_bytes: u32) {
        self.0.push(SeekTableEntry {
            compressed_bytes,
            raw_bytes,
        });
    }

    /// Bytes of the skippable frame for so many data frames.
    pub(super) fn encoded_bytes(frames: usize) -> usize {
        HEADER_BYTES + frames * ENTRY_BYTES + FOOTER_BYTES
    }

    /// The skippable frame.
    pub(super) fn encode(&self) -> Vec<u8> {
        let whole = Self::encoded_bytes(self.0.len());
        let number = |value: usize| u32::try_from(value).expect("a segment has few frames");
        let mut frame = Vec::with_capacity(whole);
        frame.extend_from_slice(&SKIPPABLE_MAGIC.to_le_bytes());
        frame.extend_from_slice(&number(whole - HEADER_BYTES).to_le_bytes());
        for entry in &self.0 {
            frame.extend_from_slice(&entry.compressed_bytes.to_le_bytes());
            frame.extend_from_slice(&entry.raw_bytes.to_le_bytes());
        }
        frame.extend_from_slice(&number(self.0.len()).to_le_bytes());
        frame.push(0);
        frame.extend_from_slice(&SEEKABLE_MAGIC.to_le_bytes());
        frame
    }
}

/// Returns the bytes of the entries before this footer; `None` if it is not that of a table without checksums.
pub(super) fn frames_in(footer: &[u8; FOOTER_BYTES]) -> Option<usize> {
    let [n0, n1, n2, n3, descriptor, magic @ ..] = footer;
    let frames = usize::try_from(u32::from_le_bytes([*n0, *n1, *n2, *n3])).ok()?;
    let is_table = *descriptor == 0 && *magic == SEEKABLE_MAGIC.to_le_bytes();
    // A table of more has no layout either.
    (is_table && frames <= MOST_FRAMES).then_some(frames * ENTRY_BYTES)
}

/// Returns the compressed and the raw length of each frame.
pub(super) fn table_entries(entries: &[u8]) -> Vec<(u32, u32)> {
    let (entries, _) = entries.as_chunks::<ENTRY_BYTES>();
    entries
        .iter()
        .map(|[a, b, c, d, e, f, g, h]| {
            (
                u32::from_le_bytes([*a, *b, *c, *d]),
                u32::from_le_bytes([*e, *f, *g, *h]),
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_of_two_frames_has_the_bytes_of_the_format() {
        let mut table = SeekTable::default();
        table.push(0x0102, 0x40_0000);
        table.push(7, 5);
        #[rustfmt::skip]
        let expected = [
            0x5E, 0x2A, 0x4D, 0x18, 25, 0, 0, 0,
            0x02, 0x01, 0, 0, 0, 0, 0x40, 0,
            7, 0, 0, 0, 5, 0, 0, 0,
            2, 0, 0, 0, 0, 0xB1, 0xEA, 0x92, 0x8F,
        ];
        assert_eq!(table.encode(), expected);
        assert_eq!(SeekTable::encoded_bytes(2), expected.len());
    }
}
