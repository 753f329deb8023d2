use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::thread;

use super::ahead::FetchedFrame;
use super::plan::ObjectPart;
use super::test_data::{FRAME, FRAMES_OF_SEGMENT, Read, TestArchive, TestStore, archive};
use super::*;
use crate::config::{ColdDir, StoreConfig};
use crate::engine::restore::fetch::AtOnce;
use crate::engine::restore::fetch::tests::at_once;
use crate::engine::restore::other_places::OtherPlaces;
use crate::error::{Error, RestoreError};
use crate::interrupt::Interrupt;
use crate::model::{Sha256, Signal, StorageClass};
use crate::progress::{Event, Observer, Quiet};
use crate::seal::{ArchiveKey, SegmentFrames, SegmentLayout, SegmentLengths};
use crate::store::{DEFAULT_LISTING_BYTES, DirStore, ErrorKind, NewObject, ObjectKind, Store};

/// Fetches, and requires what was asked for, in order.
fn fetched(
    store: &TestStore,
    others: &OtherPlaces<'_>,
    wanted: &[WantedFrames],
    at_once: AtOnce,
) -> Vec<FetchedFrame> {
    let interrupt = Interrupt::new();
    let source = FrameSource {
        store,
        others,
        interrupt: &interrupt,
    };
    let all: Vec<FetchedFrame> = thread::scope(|scope| {
        FramesAhead::start(scope, source, wanted.to_vec(), at_once).collect()
    });
    let asked = wanted.iter().flat_map(|wanted| {
        let frames = wanted.frames.iter();
        frames.map(|frame| (wanted.segment.index, *frame))
    });
    let got = all.iter().map(|frame| (frame.segment, frame.frame));
    assert!(asked.eq(got));
    all
}

fn require_right(archive: &TestArchive, fetched: &[FetchedFrame]) {
    for frame in fetched {
        let raw = frame.raw.as_ref().unwrap();
        let right = archive.frame(frame.segment, frame.frame);
        assert!(raw == right, "{} {}", frame.segment, frame.frame);
    }
}

/// Which frames failed.
fn failed(archive: &TestArchive, fetched: &[FetchedFrame]) -> Vec<(u32, u32)> {
    let mut failed = Vec::new();
    for frame in fetched {
        match &frame.raw {
            Ok(raw) => assert!(raw == archive.frame(frame.segment, frame.frame)),
            Err(Error::Restore(RestoreError::FrameDamaged { at, key, .. })) => {
                assert_eq!(**at, (frame.archive, frame.segment, frame.frame));
                assert!(key.starts_with("home/"), "{key}");
                failed.push((frame.segment, frame.frame));
            }
            Err(other) => panic!("{other}"),
        }
    }
    failed
}

fn planned(wanted: &WantedFrames, has_ranges: bool) -> Vec<FrameRequest> {
    let reads = StoreReads {
        has_ranges,
        largest_whole: u64::MAX,
    };
    plan_frames(&wanted.segment_frames().unwrap(), &wanted.frames, reads)
}

fn without_others() -> OtherPlaces<'static> {
    OtherPlaces::default()
}

#[test]
fn any_frames_come_in_order_and_are_those_of_the_stream() {
    let store = TestStore::default();
    let archive = archive(&store.inner);
    for seed in 0..40_u8 {
        // Each frame is wanted with a chance of its own.
        let picked = |segment: u32, frame: u32| {
            let digest = blake3::hash(&[seed, segment.to_le_bytes()[0], frame.to_le_bytes()[0]]);
            digest.as_bytes()[0] < seed * 6 + 10
        };
        let mut wanted = archive.all();
        for one in &mut wanted {
            let segment = one.segment.index;
            one.frames.retain(|frame| picked(segment, *frame));
        }
        let got = fetched(
            &store,
            &without_others(),
            &wanted,
            at_once(usize::from(seed % 5)),
        );
        require_right(&archive, &got);
        // What was asked of the store is what the plan says.
        let requests: Vec<FrameRequest> = wanted.iter().flat_map(|it| planned(it, true)).collect();
        let reads = store.taken_reads();
        assert_eq!(reads.len(), requests.len());
        let read: u64 = reads.iter().map(|read| read.bytes(&wanted)).sum();
        assert_eq!(
            read,
            requests.iter().map(FrameRequest::sealed_bytes).sum::<u64>()
        );
    }
}

#[test]
fn one_frame_takes_little_more_than_its_bytes() {
    let store = TestStore::default();
    let archive = archive(&store.inner);
    let wanted = archive.wanted(&[(1, &[5])]);
    require_right(
        &archive,
        &fetched(&store, &without_others(), &wanted, at_once(4)),
    );
    let reads = store.taken_reads();
    let [Read::Range(_, _, bytes)] = reads[..] else {
        panic!("{reads:?}");
    };
    let frame = u64::from(wanted[0].layout.frames[5].compressed_bytes);
    assert!(bytes <= frame + 2 * 65_552, "{bytes} for {frame}");
}

#[test]
fn frames_that_lie_close_are_one_request_and_most_of_an_object_is_all_of_it() {
    let store = TestStore::default();
    let archive = archive(&store.inner);
    let plan = |frames: &[u32]| {
        let plan = planned(&archive.wanted(&[(0, frames)])[0], true);
        plan.into_iter()
            .map(|request| (matches!(request.part, ObjectPart::Whole(_)), request.frames))
            .collect::<Vec<_>>()
    };
    // A frame has 50 KiB sealed: 5 of them fit into the gap.
    assert_eq!(plan(&[1, 2, 5]), [(false, vec![1, 2, 5])]);
    assert_eq!(plan(&[0, 11]), [(false, vec![0]), (false, vec![11])]);
    assert_eq!(plan(&[]), []);
    let all: Vec<u32> = (0..12).collect();
    assert_eq!(plan(&all), [(true, all.clone())]);
    assert_eq!(plan(&all[..11]), [(true, all[..11].to_vec())]);
    assert_eq!(plan(&all[..8]), [(false, all[..8].to_vec())]);
    // There is no such frame, and nothing is read for it.
    assert_eq!(
        planned(&archive.wanted(&[(0, &[12])])[0], true)[0].sealed_bytes(),
        0
    );
    let wanted = &archive.wanted(&[(0, &all)])[0];
    let reads = StoreReads {
        has_ranges: true,
        largest_whole: 1000,
    };
    let plan = plan_frames(&wanted.segment_frames().unwrap(), &all, reads);
    assert!(matches!(plan[0].part, ObjectPart::Range(_)));
    let without = planned(&archive.wanted(&[(0, &[3])])[0], false);
    assert!(matches!(without[0].part, ObjectPart::Whole(_)));
}

#[test]
fn a_large_object_is_asked_for_in_pieces() {
    use crate::model::Blake3;
    use crate::seal::FrameLayout;

    let frame = FrameLayout {
        compressed_bytes: 4 << 20,
        blake3: Blake3([0; 32]),
    };
    let layout = SegmentLayout {
        header: b"age-encryption.org/v1\n--- MAC\nnonce".to_vec(),
        frames: vec![frame; 32],
    };
    let payload: u64 = (32 * (4 << 20)) + 17 + 8 * 32;
    let lengths = SegmentLengths {
        sealed_bytes: layout.header.len() as u64 + payload + payload.div_ceil(1 << 16) * 16,
        raw_bytes: 32 * (4 << 20),
        frame_bytes: 4 << 20,
    };
    let segment = SegmentFrames::new(Arc::new(layout), lengths).unwrap();
    let reads = StoreReads {
        has_ranges: true,
        largest_whole: 100 << 20,
    };
    let wanted: Vec<u32> = (0..32).collect();
    let plan = plan_frames(&segment, &wanted, reads);
    assert!(plan.len() >= 8 && plan.len() <= 11, "{}", plan.len());
    assert!(plan.iter().all(|it| it.sealed_bytes() <= 16 << 20));
    let frames = plan.iter().flat_map(|it| &it.frames);
    assert!(frames.eq(&wanted));
}

#[test]
fn damage_of_a_frame_is_reported_for_this_frame_alone() {
    let store = TestStore::default();
    let archive = archive(&store.inner);
    let half: Vec<u32> = (0..12).step_by(2).collect();
    for wanted in [archive.all(), archive.wanted(&[(0, &half), (2, &[1, 7])])] {
        let places = wanted[0].segment_frames().unwrap();
        for frame in [0, 4, 10] {
            // A byte that no other frame shares a chunk with is rare: the middle of its own range.
            let range = places.sealed_range(frame..frame + 1);
            let at = range.start.midpoint(range.end);
            let key = wanted[0].segment.key.clone();
            let bytes = store
                .inner
                .get(wanted[0].segment.locator(), u64::MAX)
                .unwrap();
            let mut damaged = bytes.clone();
            damaged[usize::try_from(at).unwrap()] ^= 4;
            let put = |bytes: &[u8]| {
                store.inner.delete(wanted[0].segment.locator()).unwrap();
                let sha256 = Sha256::of(bytes);
                let object = NewObject::new(&key, bytes.to_vec(), sha256, ObjectKind::Segment);
                store.inner.put_if_absent(&object).unwrap();
            };
            let in_chunk = |other: &u32| {
                let other = places.sealed_range(*other..other + 1);
                let chunk = (at - places.sealed_range(0..1).start) / 65_552 * 65_552;
                let chunk = chunk + places.sealed_range(0..1).start;
                other.start < chunk + 65_552 && other.end > chunk
            };
            let expected: Vec<(u32, u32)> = wanted[0]
                .frames
                .iter()
                .copied()
                .filter(in_chunk)
                .map(|frame| (0, frame))
                .collect();
            assert!(expected.contains(&(0, frame)) && expected.len() <= 3);
            put(&damaged);
            let got = fetched(&store, &without_others(), &wanted, at_once(3));
            assert_eq!(failed(&archive, &got), expected, "{frame}");
            // Cut off behind the frame: those after it are gone too.
            put(&bytes[..usize::try_from(range.end).unwrap() + 20]);
            let got = fetched(&store, &without_others(), &wanted, at_once(3));
            let failed = failed(&archive, &got);
            assert!(!failed.contains(&(0, frame)), "{failed:?}");
            assert!(
                failed
                    .iter()
                    .all(|(segment, other)| *segment == 0 && *other > frame)
            );
            let after = wanted[0]
                .frames
                .iter()
                .filter(|it| places.sealed_range(**it..*it + 1).end > range.end);
            assert_eq!(failed.len(), after.count());
            put(&bytes);
        }
    }
}

#[test]
fn a_missing_object_fails_its_frames_and_no_others() {
    let store = TestStore::default();
    let archive = archive(&store.inner);
    for wanted in [
        archive.all(),
        archive.wanted(&[(0, &[1]), (1, &[2, 3]), (3, &[0])]),
    ] {
        let gone = wanted.iter().find(|it| it.segment.index == 1).unwrap();
        let bytes = store.inner.get(gone.segment.locator(), u64::MAX).unwrap();
        store.inner.delete(gone.segment.locator()).unwrap();
        let got = fetched(&store, &without_others(), &wanted, at_once(3));
        let expected: Vec<_> = gone.frames.iter().map(|frame| (1, *frame)).collect();
        assert_eq!(failed(&archive, &got), expected);
        let error = got.iter().find_map(|it| it.raw.as_ref().err()).unwrap();
        assert!(error.to_string().contains("it is missing"), "{error}");
        let sha256 = gone.segment.record.sha256;
        let object = NewObject::new(&gone.segment.key, bytes, sha256, ObjectKind::Segment);
        store.inner.put_if_absent(&object).unwrap();
    }
}

#[test]
fn a_layout_or_a_key_that_does_not_fit_fails_the_frames_of_its_segment() {
    let store = TestStore::default();
    let archive = archive(&store.inner);
    let mut wanted = archive.wanted(&[(0, &[1]), (1, &[2, 12]), (2, &[3]), (3, &[0])]);
    let mut layout = (*wanted[0].layout).clone();
    layout.frames[7].compressed_bytes += 1;
    wanted[0].layout = Arc::new(layout);
    wanted[2].key = Arc::new(ArchiveKey::generate());
    let got = fetched(&store, &without_others(), &wanted, at_once(2));
    assert_eq!(failed(&archive, &got), [(0, 1), (1, 12), (2, 3)]);
}

#[test]
fn what_is_damaged_on_the_way_is_fetched_once_more() {
    let store = TestStore::default();
    let archive = archive(&store.inner);
    let wanted = archive.wanted(&[(0, &[2, 3]), (1, &[0])]);
    let changes: [fn(u64, &mut Vec<u8>); 4] = [
        |_, bytes| bytes[1000] ^= 1,
        |_, bytes| bytes.truncate(70_000),
        |_, bytes| bytes.push(0),
        |_, bytes| bytes.clear(),
    ];
    for change in changes {
        store.damage(1, change);
        let got = fetched(&store, &without_others(), &wanted, at_once(2));
        require_right(&archive, &got);
        store.damage(usize::MAX, change);
        let got = fetched(&store, &without_others(), &wanted, at_once(2));
        assert!(!failed(&archive, &got).is_empty());
        store.damage(0, |_, _| {});
    }
}

#[test]
fn a_store_without_ranges_gives_whole_segments() {
    let store = TestStore::default();
    store.has_no_ranges.store(true, Ordering::SeqCst);
    let archive = archive(&store.inner);
    let wanted = archive.wanted(&[(0, &[0, 11]), (1, &[5]), (2, &[1, 2]), (3, &[0])]);
    let got = fetched(&store, &without_others(), &wanted, at_once(2));
    require_right(&archive, &got);
    let reads = store.taken_reads();
    let wholes = reads.iter().filter(|read| matches!(read, Read::Whole(_)));
    assert_eq!(wholes.count(), 4, "{reads:?}");
    // Those on their way when the first was refused.
    assert!(reads.len() <= 7, "{reads:?}");
    // One byte of an object is wrong: what is not there is found, the rest is taken.
    store.damage(usize::MAX, |_, bytes| {
        if bytes.len() > 500_000 {
            bytes[281_600] ^= 1;
        }
    });
    let got = fetched(&store, &without_others(), &wanted, at_once(2));
    assert_eq!(failed(&archive, &got), [(1, 5)]);
}

#[derive(Default)]
struct Heard(Mutex<Vec<String>>);

impl Observer for Heard {
    fn event(&self, event: Event) {
        if let Event::Warning { message, .. } = event {
            self.0.lock().unwrap().push(message);
        }
    }
}

#[test]
fn a_damaged_frame_is_taken_from_the_first_place_that_has_it() {
    let store = TestStore::default();
    let archive = archive(&store.inner);
    let wanted = archive.wanted(&[(0, &[2, 9]), (1, &[4])]);
    let directory = tempfile::tempdir().unwrap();
    let config = StoreConfig::Dir {
        path: directory.path().to_owned(),
        cold: None,
        listing_bytes: DEFAULT_LISTING_BYTES,
    };
    let there = DirStore::open(directory.path()).unwrap();
    for segment in &archive.segments {
        let segment = &segment.segment;
        let bytes = store.inner.get(segment.locator(), u64::MAX).unwrap();
        let object = NewObject::new(
            &segment.key,
            bytes,
            segment.record.sha256,
            ObjectKind::Segment,
        );
        there.put_if_absent(&object).unwrap();
    }
    let heard = Heard::default();
    let mut others = OtherPlaces::default();
    others.add(&"home".parse().unwrap(), ("attic", &config), &heard);
    store.damage(usize::MAX, |offset, bytes| {
        if offset < 150_000 {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
        }
    });
    require_right(&archive, &fetched(&store, &others, &wanted, at_once(2)));
    let warnings = std::mem::take(&mut *heard.0.lock().unwrap());
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(
        warnings[0].starts_with("frame 2 of segment 0 of"),
        "{warnings:?}"
    );
    assert!(
        warnings[0].contains("took it from the copy in file:"),
        "{warnings:?}"
    );
    // Missing here.
    store.damage(0, |_, _| {});
    store.inner.delete(wanted[1].segment.locator()).unwrap();
    require_right(&archive, &fetched(&store, &others, &wanted, at_once(2)));
    // Damaged there as well: the copy is not believed.
    let at = there.locate(&wanted[1].segment.key);
    let mut bytes = there.get(&at, u64::MAX).unwrap();
    bytes.iter_mut().step_by(5000).for_each(|byte| *byte ^= 1);
    there.delete(&at).unwrap();
    let sha256 = Sha256::of(&bytes);
    let object = NewObject::new(&wanted[1].segment.key, bytes, sha256, ObjectKind::Segment);
    there.put_if_absent(&object).unwrap();
    let got = fetched(&store, &others, &wanted, at_once(2));
    assert_eq!(failed(&archive, &got), [(1, 4)]);
}

#[test]
fn a_copy_that_is_cold_is_named() {
    let store = TestStore::default();
    let archive = archive(&store.inner);
    let wanted = archive.wanted(&[(0, &[2])]);
    let segment = &wanted[0].segment;
    let directory = tempfile::tempdir().unwrap();
    let config = StoreConfig::Dir {
        path: directory.path().to_owned(),
        cold: Some(ColdDir {
            class: StorageClass::DeepArchive,
            delay: None,
        }),
        listing_bytes: DEFAULT_LISTING_BYTES,
    };
    let cold = crate::engine::context::open_source::open_impatient_store(&config, &Quiet).unwrap();
    let bytes = store.inner.get(segment.locator(), u64::MAX).unwrap();
    let object = NewObject::new(
        &segment.key,
        bytes,
        segment.record.sha256,
        ObjectKind::Segment,
    );
    cold.put_if_absent(&object).unwrap();
    store.inner.delete(segment.locator()).unwrap();
    let mut others = OtherPlaces::default();
    others.add(&"home".parse().unwrap(), ("attic", &config), &Quiet);
    let got = fetched(&store, &others, &wanted, at_once(2));
    let error = got[0].raw.as_ref().unwrap_err();
    assert!(
        error.to_string().contains("frame 2: it is missing"),
        "{error}"
    );
    assert!(error.hint().unwrap().contains("--place attic"));
}

#[test]
fn what_the_store_says_of_a_cold_object_is_passed_on_for_each_frame() {
    let store = TestStore::default();
    let archive = archive(&store.inner);
    for kind in [ErrorKind::Cold, ErrorKind::Denied, ErrorKind::Unavailable] {
        *store.fails.lock().unwrap() = Some(kind);
        for wanted in [archive.all(), archive.wanted(&[(0, &[1, 2]), (2, &[3])])] {
            let got = fetched(&store, &without_others(), &wanted, at_once(2));
            for frame in &got {
                let Err(Error::Store(error)) = &frame.raw else {
                    panic!("{:?}", frame.raw.as_ref().err());
                };
                assert_eq!(error.kind, kind);
                let cause = error.source.as_ref().unwrap().to_string();
                assert_eq!(cause, "the test says so");
            }
            assert!(store.taken_reads().len() <= wanted.len());
        }
    }
}

#[test]
fn no_more_is_asked_for_at_once_than_fits() {
    let store = TestStore::default();
    let archive = archive(&store.inner);
    let frames: Vec<u32> = vec![0, 11];
    let wanted = archive.wanted(&[(0, &frames), (1, &frames), (2, &frames)]);
    let little = AtOnce {
        asked_for: 8,
        memory_limit: 1,
    };
    // Room for two requests and the one whose frames are taken.
    let some = AtOnce {
        asked_for: 8,
        memory_limit: 105 << 20,
    };
    let limits = [(at_once(3), 3), (at_once(1), 1), (little, 1), (some, 2)];
    for (at_once, most) in limits {
        store.most_at_once.store(0, Ordering::SeqCst);
        let got = fetched(&store, &without_others(), &wanted, at_once);
        require_right(&archive, &got);
        assert!(store.most_at_once.load(Ordering::SeqCst) <= most);
    }
}

#[test]
fn who_stops_taking_is_not_kept_waiting_and_little_is_read() {
    let store = TestStore::default();
    let archive = archive(&store.inner);
    let interrupt = Interrupt::new();
    let others = without_others();
    let source = FrameSource {
        store: &store,
        others: &others,
        interrupt: &interrupt,
    };
    let wanted: Vec<WantedFrames> = (0..10).flat_map(|_| archive.all()).collect();
    let first =
        thread::scope(|scope| FramesAhead::start(scope, source, wanted.clone(), at_once(2)).next());
    require_right(&archive, &[first.unwrap()]);
    assert!(store.taken_reads().len() <= 4);

    let got: Vec<FetchedFrame> = thread::scope(|scope| {
        let mut got = Vec::new();
        for frame in FramesAhead::start(scope, source, wanted, at_once(2)) {
            if got.len() == 15 {
                interrupt.raise(Signal::Interrupt);
            }
            got.push(frame);
        }
        got
    });
    assert!(got.len() <= 18, "{}", got.len());
    let last = &got.last().unwrap().raw;
    assert!(matches!(last, Err(Error::Interrupted(_))));
    assert!(store.taken_reads().len() <= 6);
}

#[test]
fn one_frame_is_read_by_itself() {
    let store = TestStore::default();
    let archive = archive(&store.inner);
    let interrupt = Interrupt::new();
    let others = without_others();
    let source = FrameSource {
        store: &store,
        others: &others,
        interrupt: &interrupt,
    };
    let target = FrameTarget::new(archive.segments[2].clone());
    for ranges in [true, false] {
        store.has_no_ranges.store(!ranges, Ordering::SeqCst);
        for frame in [0, 11, 5] {
            assert!(source.frame(&target, frame).unwrap() == archive.frame(2, frame));
        }
        assert!(matches!(
            source.frame(&target, 12),
            Err(Error::Restore(RestoreError::FrameDamaged { .. }))
        ));
    }
    assert_eq!(FRAME * FRAMES_OF_SEGMENT, 1_228_800);
    interrupt.raise(Signal::Interrupt);
    assert!(matches!(
        source.frame(&target, 0),
        Err(Error::Interrupted(_))
    ));
}
