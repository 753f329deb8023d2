//! Sealed archives in a store that records what is read of it, and can be damaged.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use super::wanted::WantedFrames;
use crate::engine::restore::fetch::tests::stored;
use crate::seal::{ArchiveKey, SealOptions, Sealed, SealedSegment, Sealer};
use crate::store::{ErrorKind, Layer, Locator, MemoryStore, Operation, Store, StoreError};

pub(super) const FRAME: usize = 100 << 10;
pub(super) const FRAMES_OF_SEGMENT: usize = 12;

/// What was read of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Read {
    Whole(String),
    Range(String, u64, u64),
}

impl Read {
    pub(super) fn bytes(&self, wanted: &[WantedFrames]) -> u64 {
        let of = |key: &str| wanted.iter().find(|it| it.segment.key == key).unwrap();
        match self {
            Self::Whole(key) => of(key).segment.record.sealed_bytes,
            Self::Range(_, _, length) => *length,
        }
    }
}

/// How a range is changed on its way.
pub(super) type Change = Box<dyn Fn(u64, &mut Vec<u8>) + Send + Sync>;

#[derive(Default)]
pub(super) struct TestStore {
    pub(super) inner: MemoryStore,
    pub(super) reads: Mutex<Vec<Read>>,
    pub(super) has_no_ranges: AtomicBool,
    /// Changes what is read, with its offset, so many times.
    pub(super) change: Mutex<Option<(usize, Change)>>,
    /// All reads fail so.
    pub(super) fails: Mutex<Option<ErrorKind>>,
    pub(super) at_once: AtomicUsize,
    pub(super) most_at_once: AtomicUsize,
}

impl TestStore {
    pub(super) fn damage(
        &self,
        times: usize,
        change: impl Fn(u64, &mut Vec<u8>) + Send + Sync + 'static,
    ) {
        *self.change.lock().unwrap() = Some((times, Box::new(change)));
    }

    pub(super) fn taken_reads(&self) -> Vec<Read> {
        std::mem::take(&mut self.reads.lock().unwrap())
    }

    fn fault(&self, kind: ErrorKind, at: &Locator) -> StoreError {
        StoreError {
            kind,
            operation: Operation::Get,
            key: at.to_string(),
            url: self.inner.url(),
            source: Some("the test says so".into()),
            advice: None,
        }
    }

    fn changed(&self, offset: u64, mut bytes: Vec<u8>) -> Vec<u8> {
        if let Some((times, change)) = &mut *self.change.lock().unwrap()
            && *times > 0
        {
            let before = bytes.clone();
            change(offset, &mut bytes);
            if bytes != before {
                *times -= 1;
            }
        }
        bytes
    }

    fn read<T>(
        &self,
        at: &Locator,
        read: Read,
        get: impl FnOnce() -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.reads.lock().unwrap().push(read);
        let now = self.at_once.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_at_once.fetch_max(now, Ordering::SeqCst);
        thread::yield_now();
        let got = match *self.fails.lock().unwrap() {
            Some(kind) => Err(self.fault(kind, at)),
            None => get(),
        };
        self.at_once.fetch_sub(1, Ordering::SeqCst);
        got
    }
}

impl Layer for TestStore {
    fn below(&self) -> &dyn Store {
        &self.inner
    }

    fn get(&self, at: &Locator, max_bytes: u64) -> Result<Vec<u8>, StoreError> {
        self.read(at, Read::Whole(at.to_string()), || {
            let bytes = self.inner.get(at, max_bytes)?;
            Ok(self.changed(0, bytes))
        })
    }

    fn get_range(&self, at: &Locator, offset: u64, len: u64) -> Result<Vec<u8>, StoreError> {
        self.read(at, Read::Range(at.to_string(), offset, len), || {
            if self.has_no_ranges.load(Ordering::SeqCst) {
                return Err(self.fault(ErrorKind::Unsupported, at));
            }
            let bytes = self.inner.get_range(at, offset, len)?;
            Ok(self.changed(offset, bytes))
        })
    }
}

/// An archive: its raw bytes, and a request for no frame of each of its segments.
pub(super) struct TestArchive {
    pub(super) raw: Vec<u8>,
    pub(super) segments: Vec<WantedFrames>,
}

/// Seals four segments, of which the last is short.
pub(super) fn archive(store: &MemoryStore) -> TestArchive {
    let mut raw = vec![0; FRAME * FRAMES_OF_SEGMENT * 3 + FRAME * 4 + 777];
    // Half of each frame can be compressed.
    for (at, frame) in raw.chunks_mut(FRAME).enumerate() {
        let (random, _) = frame.split_at_mut(frame.len() / 2);
        let mut hasher = blake3::Hasher::new();
        hasher.update(&at.to_le_bytes()).finalize_xof().fill(random);
    }
    let options = SealOptions {
        segment_bytes: (FRAME * FRAMES_OF_SEGMENT) as u64,
        frame_bytes: FRAME,
        level: 1,
        held_bytes: 64 << 20,
        threads: 2,
    };
    let key = Arc::new(ArchiveKey::generate());
    let (mut sealer, receiver) = Sealer::start(options, &key).unwrap();
    let taken = thread::spawn(move || {
        let segments = receiver.into_iter().filter_map(|sealed| match sealed {
            Sealed::Segment(segment) => Some(segment),
            _ => None,
        });
        segments.collect::<Vec<SealedSegment>>()
    });
    for frame in raw.chunks(FRAME) {
        sealer.push(frame.to_vec()).unwrap();
    }
    sealer.finish().unwrap();
    let made = taken.join().unwrap();
    let bytes = made.iter().map(|segment| segment.bytes.to_vec());
    let wanted = stored(store, bytes.collect());
    let segments = wanted.into_iter().zip(made).map(|(mut segment, made)| {
        segment.record.raw_bytes = made.raw_bytes;
        WantedFrames {
            segment,
            layout: Arc::new(made.layout),
            key: Arc::clone(&key),
            frame_size: u32::try_from(FRAME).unwrap(),
            frames: Vec::new(),
        }
    });
    TestArchive {
        raw,
        segments: segments.collect(),
    }
}

impl TestArchive {
    /// Returns requests for these frames: the segment, and the numbers in it.
    pub(super) fn wanted(&self, frames: &[(usize, &[u32])]) -> Vec<WantedFrames> {
        let wanted = frames.iter().map(|(segment, frames)| WantedFrames {
            frames: frames.to_vec(),
            ..self.segments[*segment].clone()
        });
        wanted.collect()
    }

    pub(super) fn all(&self) -> Vec<WantedFrames> {
        let all = self.segments.iter().map(|segment| {
            let count = u32::try_from(segment.layout.frames.len()).unwrap();
            WantedFrames {
                frames: (0..count).collect(),
                ..segment.clone()
            }
        });
        all.collect()
    }

    pub(super) fn frame(&self, segment: u32, frame: u32) -> &[u8] {
        let at = segment as usize * FRAMES_OF_SEGMENT + frame as usize;
        self.raw.chunks(FRAME).nth(at).unwrap()
    }
}
