//! Sealing, and the seek table after each segment's frames, read by a decoder of its own.
//!
//! The table is the format's to the byte. By it every frame is found where it says, with as many bytes
//! as it says, and the frames are what was sealed.

use coldchain::model::{Blake3, Sha256};
use coldchain::seal::{ArchiveKey, SealOptions, Sealed, SealedSegment, Sealer, digest_of_frames};

use super::Outcome;
use super::input::{Input, seed};

pub fn run(data: &[u8]) -> Outcome {
    let mut input = Input::new(data);
    let frame_bytes = usize::from(input.u16()) % 4096;
    let frames = 1 + u64::from(input.byte() % 32);
    let level = 1 + i32::from(input.byte() % 4);
    let threads = 1 + usize::from(input.byte() % 2);
    let raw = input.rest();
    // Few enough frames: each costs a context of the compressor.
    let frame_bytes = 1 + frame_bytes.max(raw.len() / 64);
    let options = SealOptions {
        segment_bytes: frame_bytes as u64 * frames,
        frame_bytes,
        level,
        held_bytes: 64 << 20,
        threads,
    };
    let key = ArchiveKey::generate();
    let Some(segments) = sealed(options, &key, raw) else {
        assert!(raw.is_empty(), "what has a byte can be sealed");
        return Outcome::Refused;
    };
    let mut left = raw;
    for (index, segment) in (0..).zip(&segments) {
        assert_eq!(segment.index, index);
        let length = usize::try_from(segment.raw_bytes).unwrap();
        assert_eq!(
            length,
            left.len()
                .min(usize::try_from(options.segment_bytes).unwrap())
        );
        let (of_segment, rest) = left.split_at(length);
        check(segment, &key, of_segment, frame_bytes);
        left = rest;
    }
    assert!(left.is_empty());
    Outcome::Accepted
}

pub fn sealed(options: SealOptions, key: &ArchiveKey, raw: &[u8]) -> Option<Vec<SealedSegment>> {
    let (mut sealer, receiver) = Sealer::start(options, key).expect("the options are good");
    for frame in raw.chunks(options.frame_bytes) {
        let mut buffer = sealer.buffer();
        buffer.clear();
        buffer.extend_from_slice(frame);
        sealer.push(buffer).expect("a frame is taken");
    }
    let totals = sealer.finish().ok()?;
    assert_eq!(totals.raw_bytes, raw.len() as u64);
    assert_eq!(totals.raw_blake3, Blake3::of(raw));
    let steps: Vec<Sealed> = receiver.into_iter().collect();
    assert!(matches!(steps.last(), Some(Sealed::Finished)));
    let segments = steps.into_iter().filter_map(|step| match step {
        Sealed::Segment(segment) => Some(segment),
        _ => None,
    });
    Some(segments.collect())
}

fn check(segment: &SealedSegment, key: &ArchiveKey, raw: &[u8], frame_bytes: usize) {
    assert_eq!(segment.sha256, Sha256::of(&segment.bytes));
    let digests = raw.chunks(frame_bytes).map(Blake3::of);
    assert_eq!(segment.layout.raw_blake3(), digest_of_frames(digests));
    let plain = key.open_private(&segment.bytes).expect("it opens");
    let (mut frames, table) = split_table(&plain);
    assert_eq!(table.len(), raw.len().div_ceil(frame_bytes));
    let mut pieces = raw.chunks(frame_bytes);
    for (compressed, raw_bytes) in &table {
        let (frame, rest) = frames.split_at(*compressed as usize);
        frames = rest;
        let opened = zstd::bulk::decompress(frame, *raw_bytes as usize).expect("it is a frame");
        assert_eq!(opened.len(), *raw_bytes as usize);
        assert_eq!(Some(&opened[..]), pieces.next());
    }
    assert!(frames.is_empty(), "nothing lies beside the frames");
}

/// The frames, and of each its compressed and raw length:
/// <https://github.com/facebook/zstd/blob/dev/contrib/seekable_format/zstd_seekable_compression_format.md>.
fn split_table(plain: &[u8]) -> (&[u8], Vec<(u32, u32)>) {
    let (body, footer) = plain.split_at(plain.len() - 9);
    let number = |bytes: &[u8]| u32::from_le_bytes(bytes.try_into().unwrap());
    assert_eq!(number(&footer[5..]), 0x8F92_EAB1);
    assert_eq!(footer[4], 0, "it has no checksums");
    let count = number(&footer[..4]) as usize;
    let (body, entries) = body.split_at(body.len() - count * 8);
    let (frames, header) = body.split_at(body.len() - 8);
    assert_eq!(number(&header[..4]), 0x184D_2A5E);
    assert_eq!(number(&header[4..]) as usize, count * 8 + 9);
    let entries = entries
        .chunks_exact(8)
        .map(|entry| (number(&entry[..4]), number(&entry[4..])));
    (frames, entries.collect())
}

pub fn seeds() -> Vec<Vec<u8>> {
    let text = b"coldchain archives btrfs subvolumes offsite, and brings them back. ".repeat(9);
    vec![
        seed(&[0, 0, 0, 0, 0], b""),
        seed(&[0, 0, 0, 0, 0], b"x"),
        seed(&[63, 0, 3, 2, 1], &text),
        seed(&[9, 0, 31, 1, 0], &text[..200]),
        seed(&[0xff, 0x0f, 0, 3, 1], &text),
    ]
}
