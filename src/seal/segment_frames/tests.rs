use std::io::Write;

use super::*;
use crate::seal::seek_table::SeekTable;
use crate::seal::test_data::{mixed_bytes, seal_all, small_options};
use crate::seal::{LayoutReader, SealOptions};

/// A segment, and the raw bytes that it must give.
struct Sealed {
    key: ArchiveKey,
    frames: SegmentFrames,
    bytes: Vec<u8>,
    raw: Vec<Vec<u8>>,
}

/// Seals these frames. All but the last have the same length.
fn sealed_with(key: ArchiveKey, raw: Vec<Vec<u8>>) -> Sealed {
    sealed_as(key, raw, |frame| zstd::bulk::compress(frame, 1).unwrap())
}

fn sealed_as(key: ArchiveKey, raw: Vec<Vec<u8>>, compress: impl Fn(&[u8]) -> Vec<u8>) -> Sealed {
    let mut table = SeekTable::default();
    let mut plain = Vec::new();
    for frame in &raw {
        let compressed = compress(frame);
        let raw = u32::try_from(frame.len()).unwrap();
        table.push(u32::try_from(compressed.len()).unwrap(), raw);
        plain.extend(compressed);
    }
    plain.extend(table.encode());
    let recipient = key.recipient();
    let encryptor = age::Encryptor::with_recipients(std::iter::once(&recipient as _)).unwrap();
    let mut bytes = Vec::new();
    let mut writer = encryptor.wrap_output(&mut bytes).unwrap();
    writer.write_all(&plain).unwrap();
    writer.finish().unwrap();
    let raw_bytes = raw.iter().map(Vec::len).sum::<usize>() as u64;
    let mut reader = LayoutReader::begin(&bytes, &key, raw_bytes).unwrap();
    for frame in &raw {
        reader.update(frame);
    }
    let lengths = SegmentLengths {
        sealed_bytes: bytes.len() as u64,
        raw_bytes,
        frame_bytes: u32::try_from(raw[0].len()).unwrap(),
    };
    Sealed {
        frames: SegmentFrames::new(Arc::new(reader.finish().unwrap()), lengths).unwrap(),
        key,
        bytes,
        raw,
    }
}

fn sealed(raw: Vec<Vec<u8>>) -> Sealed {
    sealed_with(ArchiveKey::generate(), raw)
}

/// Bytes that zstd can't make fewer.
fn random(length: usize, seed: u8) -> Vec<u8> {
    let mut bytes = vec![0; length];
    let mut hasher = blake3::Hasher::new();
    hasher.update(&[seed]).finalize_xof().fill(&mut bytes);
    bytes
}

/// The raw length of a random frame of this compressed length.
fn raw_of(compressed: usize) -> usize {
    let is_so = |raw: &usize| {
        let frame = zstd::bulk::compress(&random(*raw, 0), 1).unwrap();
        frame.len() == compressed
    };
    (compressed - 40..compressed).find(is_so).unwrap()
}

impl Sealed {
    fn range(&self, frames: Range<u32>) -> (u64, &[u8]) {
        let range = self.frames.sealed_range(frames);
        let at = |offset| usize::try_from(offset).unwrap();
        (range.start, &self.bytes[at(range.start)..at(range.end)])
    }

    fn read(&self, at: u64, bytes: &[u8], frame: u32) -> Result<Vec<u8>, SealError> {
        self.frames.open(&self.key, at, bytes)?.read(frame)
    }

    fn require_every_frame(&self) {
        let count = self.frames.count();
        assert_eq!(count as usize, self.raw.len());
        for frame in 0..count {
            let (at, bytes) = self.range(frame..frame + 1);
            let read = self.read(at, bytes, frame).unwrap();
            assert!(read == self.raw[frame as usize], "{frame}");
        }
        // From the whole object, in order, backwards, and with leaps; from every run of frames.
        for step in [1, 3, 7] {
            let mut reader = self.frames.open(&self.key, 0, &self.bytes).unwrap();
            for frame in (0..count).chain((0..count).rev()) {
                let frame = frame * step % count;
                assert!(
                    reader.read(frame).unwrap() == self.raw[frame as usize],
                    "{step} {frame}"
                );
            }
        }
        for start in (0..count).step_by(1 + count as usize / 9) {
            for end in (start + 1..=count).step_by(1 + count as usize / 9) {
                let (at, bytes) = self.range(start..end);
                let mut reader = self.frames.open(&self.key, at, bytes).unwrap();
                for frame in start..end {
                    assert!(reader.read(frame).unwrap() == self.raw[frame as usize]);
                }
            }
        }
    }
}

#[test]
fn every_frame_is_read_from_the_chunks_that_have_it() {
    let chunk = 64 << 10;
    let exact = raw_of(chunk);
    let at_borders = |count: u8| (0..count).map(|seed| random(exact, seed)).collect();
    // Frames that begin and end at chunks; the last chunk has the table alone.
    sealed(at_borders(1)).require_every_frame();
    sealed(at_borders(5)).require_every_frame();
    // The last chunk is full, to the byte.
    let mut full: Vec<Vec<u8>> = at_borders(3);
    full.push(random(raw_of(chunk - SeekTable::encoded_bytes(4)), 9));
    let full = sealed(full);
    let payload = full.bytes.len() as u64 - full.frames.header_bytes();
    assert!(payload.is_multiple_of(CHUNK + TAG));
    full.require_every_frame();
    // One byte; many in one chunk; larger than a chunk; with a last one of one byte.
    sealed(vec![vec![7]]).require_every_frame();
    sealed((0..200).map(|seed| random(90, seed)).collect()).require_every_frame();
    sealed((0..4).map(|seed| random(300_000, seed)).collect()).require_every_frame();
    sealed(vec![random(100_000, 1), random(100_000, 2), vec![1]]).require_every_frame();
    sealed((0..40).map(|seed| random(9_000, seed)).collect()).require_every_frame();
}

#[test]
fn every_frame_that_the_sealer_makes_is_read() {
    let key = ArchiveKey::generate();
    let options = SealOptions {
        segment_bytes: 400 << 10,
        frame_bytes: 100 << 10,
        ..small_options(2)
    };
    let raw = mixed_bytes((1 << 20) + 5);
    let (segments, _) = seal_all(options, &key, &raw).unwrap();
    let mut left = raw.chunks(100 << 10);
    for segment in segments {
        let count = segment.layout.frames.len();
        let lengths = SegmentLengths {
            sealed_bytes: segment.bytes.len() as u64,
            raw_bytes: segment.raw_bytes,
            frame_bytes: 100 << 10,
        };
        let sealed = Sealed {
            key: ArchiveKey::from_secret_string(&key.to_secret_string()).unwrap(),
            frames: SegmentFrames::new(Arc::new(segment.layout), lengths).unwrap(),
            bytes: segment.bytes.to_vec(),
            raw: left.by_ref().take(count).map(<[u8]>::to_vec).collect(),
        };
        sealed.require_every_frame();
    }
    assert!(left.next().is_none());
}

#[test]
fn every_truncation_and_every_change_of_what_was_fetched_is_an_error() {
    let sealed = sealed((0..6).map(|seed| random(400, seed)).collect());
    let (at, range) = sealed.range(2..4);
    for length in 0..range.len() {
        assert!(sealed.read(at, &range[..length], 2).is_err(), "{length}");
    }
    for byte in 0..range.len() {
        let mut changed = range.to_vec();
        changed[byte] ^= 1 << (byte % 8);
        assert!(sealed.read(at, &changed, 3).is_err(), "{byte}");
    }
    // The whole object, header included.
    for byte in 0..sealed.bytes.len() {
        let mut changed = sealed.bytes.clone();
        changed[byte] ^= 1 << (byte % 8);
        assert!(sealed.read(0, &changed, 0).is_err(), "{byte}");
    }
    let longer = [range, &[0]].concat();
    assert!(matches!(
        sealed.read(at, &longer, 2),
        Err(SealError::LayoutDiffers { .. })
    ));
    for shifted in [at - 1, at + 1, 0, u64::MAX] {
        assert!(sealed.read(shifted, range, 2).is_err(), "{shifted}");
    }
    // age's chunks end elsewhere in a longer segment: a cut at one, and a change of each.
    let long = super::tests::sealed((0..3).map(|seed| random(200_000, seed)).collect());
    let (at, range) = long.range(1..2);
    let chunk = usize::try_from(CHUNK + TAG).unwrap();
    for cut in (0..range.len()).step_by(chunk) {
        assert!(long.read(at, &range[..cut], 1).is_err(), "{cut}");
    }
    for byte in (0..range.len()).step_by(4099) {
        let mut changed = range.to_vec();
        changed[byte] ^= 0x10;
        assert!(long.read(at, &changed, 1).is_err(), "{byte}");
    }
}

#[test]
fn a_damaged_frame_does_not_keep_the_others_from_being_read() {
    let sealed = sealed((0..6).map(|seed| random(200_000, seed)).collect());
    for damaged in 0..6 {
        let range = sealed.frames.sealed_range(damaged..damaged + 1);
        let middle = usize::try_from(range.start.midpoint(range.end)).unwrap();
        let mut bytes = sealed.bytes.clone();
        bytes[middle] ^= 1;
        let mut reader = sealed.frames.open(&sealed.key, 0, &bytes).unwrap();
        for frame in (0..6).chain((0..6).rev()) {
            let read = reader.read(frame);
            assert_eq!(read.is_err(), frame == damaged, "{damaged} {frame}");
            if let Ok(read) = read {
                assert!(read == sealed.raw[frame as usize]);
            }
        }
    }
}

#[test]
fn what_another_segment_has_there_is_not_taken() {
    let frames = |first: u8| {
        (first..first + 3)
            .map(|seed| random(70_000, seed))
            .collect()
    };
    let one = sealed(frames(0));
    // age's header has some bytes of random length.
    let other = loop {
        let key = ArchiveKey::from_secret_string(&one.key.to_secret_string()).unwrap();
        let other = sealed_with(key, frames(10));
        if one.bytes.len() == other.bytes.len() {
            break other;
        }
    };
    for frame in 0..3 {
        let (at, range) = other.range(frame..frame + 1);
        assert!(matches!(
            one.read(at, range, frame),
            Err(SealError::Decrypt { .. })
        ));
    }
    assert!(matches!(
        one.read(0, &other.bytes, 0),
        Err(SealError::HeaderDiffers)
    ));
    // With the header of the other, so that all decrypts: the digests are what is left.
    let mut layout = (*one.frames.layout).clone();
    layout.header.clone_from(&other.frames.layout.header);
    let mixed = SegmentFrames::new(Arc::new(layout), one.frames.lengths).unwrap();
    let (at, range) = other.range(1..2);
    let read = mixed.open(&one.key, at, range).unwrap().read(1);
    assert!(matches!(read, Err(SealError::FrameDiffers { frame: 1 })));
    // Two frames in each other's place.
    let mut layout = (*one.frames.layout).clone();
    layout.frames.swap(0, 1);
    let swapped = SegmentFrames::new(Arc::new(layout), one.frames.lengths).unwrap();
    let read = swapped.open(&one.key, 0, &one.bytes).unwrap().read(0);
    assert!(matches!(read, Err(SealError::FrameDiffers { frame: 0 })));
    let stranger = ArchiveKey::generate();
    let read = one.frames.open(&stranger, 0, &one.bytes).unwrap().read(0);
    assert!(matches!(read, Err(SealError::Unseal { .. })));
}

type Change<'a> = dyn Fn(&mut SegmentLayout, &mut SegmentLengths) + 'a;

#[test]
fn a_layout_that_is_not_of_this_segment_is_refused_or_gives_nothing_wrong() {
    let sealed = sealed((0..4).map(|seed| random(1000, seed)).collect());
    let (layout, lengths) = (&sealed.frames.layout, sealed.frames.lengths);
    let with = |change: &Change<'_>| {
        let (mut layout, mut lengths) = ((**layout).clone(), lengths);
        change(&mut layout, &mut lengths);
        SegmentFrames::new(Arc::new(layout), lengths)
    };
    assert!(with(&|_, _| {}).is_ok());
    let refused: [&Change<'_>; 10] = [
        &|_, lengths| lengths.sealed_bytes += 1,
        &|_, lengths| lengths.sealed_bytes -= 1,
        &|_, lengths| lengths.raw_bytes += 1,
        &|_, lengths| lengths.raw_bytes = 0,
        &|_, lengths| lengths.frame_bytes = 0,
        &|_, lengths| lengths.frame_bytes = u32::MAX,
        &|layout, _| layout.frames.truncate(3),
        &|layout, _| layout.header.truncate(100),
        &|layout, _| layout.frames[2].compressed_bytes = u32::MAX,
        &|layout, _| layout.frames[2].compressed_bytes = 0,
    ];
    for (at, change) in refused.into_iter().enumerate() {
        assert!(with(change).is_err(), "{at}");
    }
    // The sums are right, and the frames are not.
    let moved = with(&|layout, _| {
        layout.frames[1].compressed_bytes -= 1;
        layout.frames[2].compressed_bytes += 1;
    });
    let moved = moved.unwrap();
    let mut reader = moved.open(&sealed.key, 0, &sealed.bytes).unwrap();
    for (frame, is_right) in [(0, true), (1, false), (2, false), (3, true)] {
        assert_eq!(reader.read(frame).is_ok(), is_right, "{frame}");
    }
    // Raw lengths that are not the real ones.
    let shorter = with(&|_, lengths| lengths.raw_bytes -= 1).unwrap();
    let read = shorter.open(&sealed.key, 0, &sealed.bytes).unwrap().read(3);
    assert!(matches!(
        read,
        Err(SealError::DecompressFrame { frame: 3, .. })
    ));
    // Every bit of the header.
    for byte in 0..layout.header.len() {
        let wrong = with(&|layout, _| layout.header[byte] ^= 1);
        let read = wrong.and_then(|wrong| {
            let range = wrong.sealed_range(0..1);
            let at = |offset| usize::try_from(offset).unwrap();
            let bytes = &sealed.bytes[at(range.start)..at(range.end)];
            wrong.open(&sealed.key, range.start, bytes)?.read(0)
        });
        assert!(read.is_err(), "{byte}");
    }
}

#[test]
fn a_frame_that_does_not_exist_has_no_range() {
    let sealed = sealed(vec![random(100, 1), random(100, 2)]);
    for none in [2..3, 0..3, 1..1, 5..5, 0..u32::MAX] {
        assert!(
            sealed.frames.sealed_range(none.clone()).is_empty(),
            "{none:?}"
        );
    }
    assert_eq!(sealed.frames.raw_len(2), 0);
    assert!(matches!(
        sealed.read(0, &sealed.bytes, 2),
        Err(SealError::NoSuchFrame {
            frame: 2,
            frames: 2
        })
    ));
}

#[test]
fn a_frame_of_too_few_bytes_or_of_none_is_not_taken() {
    // Frames of equal raw length by the layout, and other ones in the object.
    let raw = vec![vec![1; 500], vec![2; 500]];
    let good = sealed(raw);
    let key = ArchiveKey::from_secret_string(&good.key.to_secret_string()).unwrap();
    let other = sealed_with(key, vec![vec![1; 400], vec![2; 400]]);
    let lengths = SegmentLengths {
        sealed_bytes: other.frames.lengths.sealed_bytes,
        ..good.frames.lengths
    };
    let wrong = SegmentFrames::new(Arc::clone(&other.frames.layout), lengths).unwrap();
    let read = wrong.open(&good.key, 0, &other.bytes).unwrap().read(0);
    assert!(matches!(
        read,
        Err(SealError::FrameLength {
            frame: 0,
            expected: 500,
            got: 400
        })
    ));
}

#[test]
fn a_frame_writes_no_more_than_it_should_have_whatever_its_window() {
    let frame = |_: &[u8]| {
        let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
        encoder.window_log(27).unwrap();
        encoder.write_all(b"little").unwrap();
        encoder.finish().unwrap()
    };
    let sealed = sealed_as(ArchiveKey::generate(), vec![b"little".to_vec()], frame);
    let mut reader = sealed.frames.open(&sealed.key, 0, &sealed.bytes).unwrap();
    assert_eq!(reader.read(0).unwrap(), b"little");
    // More than it should have: no more is written than that.
    let bomb = zstd::bulk::compress(&vec![0; 8 << 20], 1).unwrap();
    let sealed = sealed_as(ArchiveKey::generate(), vec![vec![0; 4096]], |_| {
        bomb.clone()
    });
    assert!(matches!(
        sealed.read(0, &sealed.bytes, 0),
        Err(SealError::DecompressFrame { frame: 0, .. })
    ));
}
