//! Single frames of a sealed segment: its layout, its lengths, and the bytes that have them, all of which may be changed.
//!
//! Whatever is changed, a frame that is read is the one whose digest the layout has, and of the length that it must have. Of
//! a segment that nobody changed, every frame is read from its own range.

use std::io::Read;
use std::sync::{Arc, LazyLock};

use coldchain::model::Blake3;
use coldchain::seal::{
    ArchiveKey, LayoutReader, SealOptions, SegmentFrames, SegmentLayout, SegmentLengths,
    open_segment,
};

use super::Outcome;
use super::fixtures;
use super::input::{Input, seed};
use super::seek_table;

const AS_IT_IS: u8 = 0;
const CHANGED: u8 = 1;
const LAYOUT: u8 = 2;

/// The raw bytes of a frame in the fixtures.
const FRAME_BYTES: u32 = 4 << 20;

struct Segment {
    key: &'static ArchiveKey,
    sealed: &'static [u8],
    layout: SegmentLayout,
    lengths: SegmentLengths,
}

/// The segments of the fixtures, and one of several frames.
fn segments() -> &'static [Segment] {
    static ALL: LazyLock<Vec<Segment>> = LazyLock::new(|| {
        let mut all = Vec::new();
        for archive in fixtures::all().iter().flat_map(|it| &it.archives) {
            for (raw_bytes, sealed) in &archive.segments {
                let mut raw = Vec::new();
                let mut reader = open_segment(sealed, &archive.key, *raw_bytes).expect("it opens");
                reader.read_to_end(&mut raw).expect("it is whole");
                all.push(segment(&archive.key, sealed, &raw, FRAME_BYTES));
            }
        }
        let key = Box::leak(Box::new(ArchiveKey::generate()));
        let raw: Vec<u8> = (0..70_000_u32).flat_map(u32::to_le_bytes).collect();
        let options = SealOptions {
            segment_bytes: 400_000,
            frame_bytes: 100_000,
            level: 1,
            held_bytes: 1 << 20,
            threads: 1,
        };
        for sealed in seek_table::sealed(options, key, &raw).expect("it is sealed") {
            all.push(segment(
                key,
                Vec::leak(sealed.bytes.to_vec()),
                &raw,
                100_000,
            ));
        }
        all
    });
    &ALL
}

fn segment(
    key: &'static ArchiveKey,
    sealed: &'static [u8],
    raw: &[u8],
    frame_bytes: u32,
) -> Segment {
    let raw_bytes = raw.len() as u64;
    let mut reader = LayoutReader::begin(sealed, key, raw_bytes).expect("it has a table");
    reader.update(raw);
    Segment {
        key,
        sealed,
        layout: reader.finish().expect("it has a table"),
        lengths: SegmentLengths {
            sealed_bytes: sealed.len() as u64,
            raw_bytes,
            frame_bytes,
        },
    }
}

pub fn run(data: &[u8]) -> Outcome {
    let mut input = Input::new(data);
    let mode = input.byte() % 3;
    let all: Vec<&Segment> = segments().iter().collect();
    let segment = *input.pick(&all);
    let frame = u32::from(input.byte() % 5);
    if mode == AS_IT_IS {
        let places = SegmentFrames::new(Arc::new(segment.layout.clone()), segment.lengths)
            .expect("it is the segment's");
        let read = from_range(segment, &places, &segment.layout, frame, segment.sealed);
        assert_eq!(read == Outcome::Accepted, frame < places.count());
        return read;
    }
    let mut sealed = segment.sealed.to_vec();
    let mut lengths = segment.lengths;
    let mut layout = segment.layout.clone();
    if mode == LAYOUT {
        // Any layout at all.
        let changed_by = |by: u8, length: u64| length.wrapping_add(u64::from(by)).wrapping_sub(8);
        lengths.raw_bytes = changed_by(input.byte() % 17, lengths.raw_bytes);
        lengths.sealed_bytes = changed_by(input.byte() % 17, lengths.sealed_bytes);
        lengths.frame_bytes = input.u32();
        layout = match SegmentLayout::decode(input.rest()) {
            Some((layout, _)) => layout,
            None => return Outcome::Refused,
        };
    } else {
        while !input.is_empty() {
            let (what, at, by) = (input.byte(), input.u32() as usize, input.byte());
            match what % 5 {
                0 if !sealed.is_empty() => {
                    let at = at % sealed.len();
                    sealed[at] ^= by;
                }
                1 => sealed.truncate(at),
                2 if !layout.header.is_empty() => {
                    let at = at % layout.header.len();
                    layout.header[at] ^= by;
                }
                3 => {
                    // One frame is longer, and the next shorter: the sums stay right.
                    let frames = layout.frames.len();
                    let by = u32::from(by);
                    let one = &mut layout.frames[at % frames].compressed_bytes;
                    *one = one.wrapping_add(by);
                    let other = &mut layout.frames[(at + 1) % frames].compressed_bytes;
                    *other = other.wrapping_sub(by);
                }
                _ => lengths.raw_bytes = lengths.raw_bytes.wrapping_sub(u64::from(by)),
            }
        }
    }
    let layout = Arc::new(layout);
    match SegmentFrames::new(Arc::clone(&layout), lengths) {
        Ok(places) => from_range(segment, &places, &layout, frame, &sealed),
        Err(error) => {
            assert!(!error.to_string().is_empty());
            Outcome::Refused
        }
    }
}

/// Reads a frame from its range, and from all bytes that there are.
fn from_range(
    segment: &Segment,
    places: &SegmentFrames,
    layout: &SegmentLayout,
    frame: u32,
    sealed: &[u8],
) -> Outcome {
    let range = places.sealed_range(frame..frame + 1);
    assert!(range.end <= places.sealed_bytes());
    let clip = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(sealed.len());
    let part = &sealed[clip(range.start)..clip(range.end)];
    let mut outcomes = [(range.start, part), (0, sealed)].map(|(at, bytes)| {
        let mut reader = match places.open(segment.key, at, bytes) {
            Ok(reader) => reader,
            Err(error) => {
                assert!(!error.to_string().is_empty());
                return Outcome::Refused;
            }
        };
        let first = reader.read(frame);
        if let Ok(raw) = &first {
            assert_eq!(raw.len(), places.raw_len(frame));
            assert_eq!(Blake3::of(raw), layout.frames[frame as usize].blake3);
        }
        // Whatever was read before, it is the same again.
        let _ = reader.read(0);
        assert_eq!(reader.read(frame).ok(), first.as_ref().ok().cloned());
        Outcome::of(&first)
    });
    // The header is looked at only where it was fetched.
    if outcomes[1] == Outcome::Accepted && part.len() as u64 == range.end - range.start {
        assert_eq!(outcomes[0], Outcome::Accepted);
    }
    outcomes.sort_by_key(|it| *it == Outcome::Accepted);
    outcomes[1]
}

pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for at in 0..segments().len() {
        let at = u8::try_from(at).expect("there are few");
        for frame in 0..4 {
            seeds.push(seed(&[AS_IT_IS, at, frame], b""));
            seeds.push(seed(&[CHANGED, at, frame], b""));
            seeds.push(seed(&[CHANGED, at, frame], &[0, 0, 2, 0, 0, 1]));
            seeds.push(seed(
                &[CHANGED, at, frame],
                &[2, 9, 0, 0, 0, 1, 3, 1, 0, 0, 0, 7],
            ));
        }
        let segment = &segments()[usize::from(at)];
        let mut layout = Vec::new();
        segment.layout.encode(&mut layout);
        let frame_bytes = segment.lengths.frame_bytes.to_le_bytes();
        let choices = [&[LAYOUT, at, 0, 8, 8][..], &frame_bytes].concat();
        seeds.push(seed(&choices, &layout));
    }
    seeds
}
