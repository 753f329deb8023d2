//! Sealers as a whole: what goes in comes out, and an end is never taken for an abort, nor an abort for an
//! end.

use std::io::Read;

use super::test_data::{mixed_bytes, seal_all, small_options};
use super::{
    ArchiveKey, SealError, SealOptions, Sealed, SealedSegment, Sealer, digest_of_frames,
    open_segment,
};
use crate::model::{Blake3, Sha256};

fn open_all(segments: &[SealedSegment], key: &ArchiveKey) -> Vec<u8> {
    let mut raw = Vec::new();
    for segment in segments {
        open_segment(&segment.bytes, key, segment.raw_bytes)
            .unwrap()
            .read_to_end(&mut raw)
            .unwrap();
    }
    raw
}

#[test]
fn streams_of_every_shape_come_back_whole_and_in_order() {
    let key = ArchiveKey::generate();
    for threads in 1..=4 {
        for length in [1, 1023, 1024, 1025, 4095, 4096, 4097, 8192, 3 * 4096 + 1500] {
            let raw = mixed_bytes(length);
            let options = small_options(threads);
            let (segments, totals) = seal_all(options, &key, &raw).unwrap();
            assert_eq!(
                open_all(&segments, &key),
                raw,
                "{length} bytes, {threads} threads"
            );

            let pieces: Vec<&[u8]> = raw.chunks(4096).collect();
            assert_eq!(segments.len(), pieces.len());
            for (index, (segment, piece)) in segments.iter().zip(pieces).enumerate() {
                assert_eq!(segment.index as usize, index);
                assert_eq!(segment.raw_bytes, piece.len() as u64);
                assert_eq!(
                    segment.layout.raw_blake3(),
                    digest_of_frames(piece.chunks(1024).map(Blake3::of))
                );
                assert_eq!(segment.sha256, Sha256::of(&segment.bytes));
            }
            assert_eq!(totals.raw_bytes, length as u64);
            assert_eq!(totals.raw_blake3, Blake3::of(&raw));
            assert_eq!(totals.segments as usize, segments.len());
            let sealed: usize = segments.iter().map(|segment| segment.bytes.len()).sum();
            assert_eq!(totals.sealed_bytes, sealed as u64);
        }
    }
}

#[test]
fn a_segment_never_outgrows_what_was_reserved_for_it() {
    // Noise does not compress, and small frames have the largest overhead.
    let key = ArchiveKey::generate();
    let mut noise = vec![0; 1 << 20];
    blake3::Hasher::new().finalize_xof().fill(&mut noise);
    for frame_bytes in [16, 1 << 20] {
        let options = SealOptions {
            segment_bytes: 1 << 20,
            frame_bytes,
            ..small_options(2)
        };
        let (segments, _) = seal_all(options, &key, &noise).unwrap();
        assert!(segments[0].bytes.len() <= super::segment_writer::longest_sealed(&options));
        assert_eq!(open_all(&segments, &key), noise);
    }
}

#[test]
fn a_stream_without_a_byte_is_an_error_and_no_end() {
    let (sealer, receiver) = Sealer::start(small_options(2), &ArchiveKey::generate()).unwrap();
    assert!(matches!(sealer.finish(), Err(SealError::EmptyStream)));
    assert!(receiver.recv().is_err());
}

#[test]
fn a_dropped_sealer_is_an_abort_and_never_an_end() {
    for frames in 0..12 {
        let (mut sealer, receiver) =
            Sealer::start(small_options(2), &ArchiveKey::generate()).unwrap();
        let taker = std::thread::spawn(move || {
            receiver
                .iter()
                .all(|step| matches!(step, Sealed::Segment(_)))
        });
        for _ in 0..frames {
            sealer.push(vec![frames; 1024]).unwrap();
        }
        drop(sealer);
        assert!(taker.join().unwrap(), "{frames} frames");
    }
}

#[test]
fn a_dropped_receiver_makes_push_fail_and_not_hang() {
    let (mut sealer, receiver) = Sealer::start(small_options(2), &ArchiveKey::generate()).unwrap();
    drop(receiver);
    let error = (0..1000)
        .find_map(|_| sealer.push(vec![1; 1024]).err())
        .expect("sealing stops after the first segment");
    assert!(matches!(error, SealError::Stopped));
    assert!(matches!(sealer.finish(), Err(SealError::Stopped)));
}

#[test]
fn a_dropped_receiver_makes_finish_fail_and_not_hang() {
    let (mut sealer, receiver) = Sealer::start(small_options(1), &ArchiveKey::generate()).unwrap();
    sealer.push(vec![1; 10]).unwrap();
    drop(receiver);
    assert!(matches!(sealer.finish(), Err(SealError::Stopped)));
}

#[test]
fn a_frame_of_a_wrong_size_is_refused() {
    let (mut sealer, _receiver) = Sealer::start(small_options(1), &ArchiveKey::generate()).unwrap();
    for size in [0, 1025] {
        assert!(matches!(
            sealer.push(vec![0; size]),
            Err(SealError::FrameSize { .. })
        ));
    }
    sealer.push(vec![0; 1023]).unwrap();
    assert!(matches!(
        sealer.push(vec![0; 1024]),
        Err(SealError::FrameAfterLast)
    ));
}

#[test]
fn buffers_go_around() {
    let options = SealOptions { ..small_options(1) };
    let (mut sealer, receiver) = Sealer::start(options, &ArchiveKey::generate()).unwrap();
    let taker = std::thread::spawn(move || receiver.iter().count());
    let mut addresses = std::collections::HashSet::new();
    for _ in 0..400 {
        let mut buffer = sealer.buffer();
        buffer.clear();
        assert!(buffer.is_empty() && buffer.capacity() >= 1024);
        addresses.insert(buffer.as_ptr() as usize);
        buffer.resize(1024, 1);
        sealer.push(buffer).unwrap();
    }
    assert_eq!(sealer.finish().unwrap().segments, 100);
    assert_eq!(taker.join().unwrap(), 101);
    // One being pushed, one that the assembler waits for, and one more than there are threads.
    assert!(addresses.len() <= 4, "{}", addresses.len());
}

#[test]
fn bad_options_are_refused_at_the_start() {
    let options = SealOptions {
        segment_bytes: 4095,
        ..small_options(1)
    };
    assert!(matches!(
        Sealer::start(options, &ArchiveKey::generate()),
        Err(SealError::Option { .. })
    ));
}

/// Frames of `raw` as a reader of a stream makes them.
fn frames(raw: &[u8]) -> Vec<Vec<u8>> {
    raw.chunks(1024).map(<[u8]>::to_vec).collect()
}

#[test]
fn segments_that_are_skipped_keep_their_index_and_count_in_the_streams_hash() {
    let key = ArchiveKey::generate();
    let raw = mixed_bytes(4 * 4096 + 100);
    let pieces: Vec<&[u8]> = raw.chunks(4096).collect();
    for skipped in 0..1_u32 << pieces.len() {
        let (mut sealer, receiver) = Sealer::start(small_options(2), &key).unwrap();
        let (totals, told) = std::thread::scope(|scope| {
            let receiver = scope.spawn(move || receiver.iter().collect::<Vec<_>>());
            for (index, piece) in pieces.iter().enumerate() {
                assert_eq!(sealer.segment_index() as usize, index);
                assert_eq!(sealer.segment_left(), 4096);
                if skipped & 1 << index != 0 {
                    sealer.skip(&frames(piece)).unwrap();
                } else {
                    sealer.settle().unwrap();
                    for frame in frames(piece) {
                        sealer.push(frame).unwrap();
                    }
                }
            }
            (sealer.finish().unwrap(), receiver.join().unwrap())
        });
        assert_eq!(totals.raw_blake3, Blake3::of(&raw));
        assert_eq!(totals.raw_bytes, raw.len() as u64);
        assert_eq!(totals.segments as usize, pieces.len());
        assert!(matches!(told.last(), Some(Sealed::Finished)));
        let indices: Vec<u32> = told
            .iter()
            .filter_map(|sealed| match sealed {
                Sealed::Segment(segment) => {
                    let piece = pieces[segment.index as usize];
                    assert_eq!(
                        segment.layout.raw_blake3(),
                        digest_of_frames(piece.chunks(1024).map(Blake3::of))
                    );
                    Some(segment.index)
                }
                _ => None,
            })
            .collect();
        let wanted = (0..pieces.len()).filter(|index| skipped & 1 << index == 0);
        assert!(indices.iter().map(|index| *index as usize).eq(wanted));
    }
}

#[test]
fn only_a_whole_segment_can_be_skipped_and_a_short_one_only_as_the_last() {
    let key = ArchiveKey::generate();
    let start = || Sealer::start(small_options(1), &key).unwrap();
    let (mut sealer, _receiver) = start();
    sealer.push(vec![1; 1024]).unwrap();
    let inside = sealer.skip(&frames(&[2; 4096]));
    assert!(matches!(
        inside,
        Err(SealError::SkippedPart { bytes: 4096 })
    ));
    for bytes in [0, 4097] {
        let (mut sealer, _receiver) = start();
        let refused = sealer.skip(&frames(&vec![2; bytes]));
        assert!(
            matches!(refused, Err(SealError::SkippedPart { .. })),
            "{bytes}"
        );
    }
    let (mut sealer, _receiver) = start();
    sealer.skip(&frames(&[2; 100])).unwrap();
    let after = sealer.push(vec![1; 1024]);
    assert!(matches!(after, Err(SealError::FrameAfterLast)));
}

#[test]
fn nothing_settles_when_nobody_takes_segments_any_more() {
    let (mut sealer, receiver) = Sealer::start(small_options(1), &ArchiveKey::generate()).unwrap();
    drop(receiver);
    let pushed = frames(&[3; 4096])
        .into_iter()
        .try_for_each(|frame| sealer.push(frame));
    let settled = pushed.and_then(|()| sealer.settle());
    assert!(matches!(settled, Err(SealError::Stopped)));
}
