//! Segments decoded ahead of their turn: a worker fetches, checks and opens each, and gives its raw bytes
//! in blocks.
//!
//! Memory: a worker holds one sealed segment, what zstd needs, and a few blocks; it opens the rest when the
//! segment's turn comes.

use std::io::{self, Read};
use std::ops::Deref;
use std::thread::Scope;
use std::{mem, vec};

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::engine::restore::fetch::{AtOnce, WantedSegment};
use crate::engine::restore::other_places::{OtherPlaces, fetch_somewhere};
use crate::engine::restore::prefetch::Prefetch;
use crate::error::{Error, RestoreError};
use crate::seal::{ArchiveKey, open_segment};
use crate::store::Store;

/// Bytes of a block; the last of a segment may have fewer.
const BLOCK: usize = 1 << 20;

/// Blocks that a worker may be ahead of the reader.
const BLOCKS_AHEAD: usize = 4;

/// Gives for each segment, in the order in which they were wanted, the blocks of its raw bytes. They are a
/// whole segment if none of them is an error.
pub(in crate::engine) type Decoded<'a> =
    Prefetch<vec::IntoIter<(WantedSegment, &'a ArchiveKey)>, Result<Block, Error>>;

/// Some raw bytes of a segment. Dropping it makes its buffer a spare one.
pub(in crate::engine) struct Block {
    bytes: Vec<u8>,
    spare: Sender<Vec<u8>>,
}

impl Deref for Block {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        // Enough are in use if there is no room for it.
        let _ = self.spare.try_send(mem::take(&mut self.bytes));
    }
}

/// Fetches and opens what is wanted, each with its archive's key, once the first is asked for. At most
/// `at_once` segments are on their way, and one more is held: the one that is being read.
pub(in crate::engine) fn decode_ahead<'scope>(
    scope: &'scope Scope<'scope, '_>,
    (store, others): (&'scope dyn Store, &'scope OtherPlaces<'scope>),
    wanted: Vec<(WantedSegment, &'scope ArchiveKey)>,
    at_once: AtOnce,
) -> Decoded<'scope> {
    let at_once = at_once.of(wanted.iter().map(|(wanted, _)| wanted));
    let workers = at_once + 1;
    let spares = bounded(workers * (BLOCKS_AHEAD + 2));
    let (begin, done) = bounded(at_once);
    let work = move |(wanted, key): (WantedSegment, &_), answer: &Sender<_>| {
        begin.send(()).expect("the other end is here");
        let fetched = fetch_somewhere(store, others, &wanted);
        done.recv().expect("the other end is here");
        let decoded = fetched.and_then(|sealed| decode(&wanted, key, &sealed, &spares, answer));
        if let Err(error) = decoded {
            // Nobody waits any more if something else has failed.
            let _ = answer.send(Err(error));
        }
    };
    Prefetch::start(scope, wanted.into_iter(), (workers, BLOCKS_AHEAD), work)
}

/// Opens a segment, and gives its blocks for as long as they are taken.
fn decode(
    wanted: &WantedSegment,
    key: &ArchiveKey,
    sealed: &[u8],
    (spare, spares): &(Sender<Vec<u8>>, Receiver<Vec<u8>>),
    answer: &Sender<Result<Block, Error>>,
) -> Result<(), Error> {
    let unreadable = |source| {
        Error::Restore(RestoreError::SegmentUnreadable {
            archive: wanted.archive,
            index: wanted.index,
            key: wanted.key.clone(),
            source,
        })
    };
    let mut opened = open_segment(sealed, key, wanted.record.raw_bytes)
        .map_err(|error| unreadable(io::Error::other(error)))?;
    loop {
        let mut bytes = spares
            .try_recv()
            .unwrap_or_else(|_| Vec::with_capacity(BLOCK));
        bytes.clear();
        let mut block = Block {
            bytes,
            spare: spare.clone(),
        };
        let mut next = opened.by_ref().take(BLOCK as u64);
        next.read_to_end(&mut block.bytes).map_err(unreadable)?;
        if block.is_empty() || answer.send(Ok(block)).is_err() {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;
    use crate::engine::restore::fetch::tests::{at_once, stored};
    use crate::seal::{SealOptions, Sealed, Sealer};
    use crate::store::MemoryStore;

    const SEGMENT: usize = 8 << 20;

    /// Returns raw bytes, and the requests for the six segments that hold them. The last segment is short.
    fn sealed(store: &MemoryStore, key: &ArchiveKey) -> (Vec<u8>, Vec<WantedSegment>) {
        let raw: Vec<u8> = (0..5 * SEGMENT + 12_345)
            .map(|at| (at / 1000).to_le_bytes()[at % 3])
            .collect();
        let options = SealOptions {
            segment_bytes: SEGMENT as u64,
            frame_bytes: 1 << 20,
            level: 1,
            held_bytes: 64 << 20,
            threads: 2,
        };
        let (mut sealer, receiver) = Sealer::start(options, key).unwrap();
        let taken = thread::spawn(move || {
            let (mut segments, mut lengths) = (Vec::new(), Vec::new());
            for sealed in receiver {
                if let Sealed::Segment(segment) = sealed {
                    lengths.push(segment.raw_bytes);
                    segments.push(segment.bytes.to_vec());
                }
            }
            (segments, lengths)
        });
        for frame in raw.chunks(1 << 20) {
            sealer.push(frame.to_vec()).unwrap();
        }
        sealer.finish().unwrap();
        let (segments, lengths) = taken.join().unwrap();
        let mut wanted = stored(store, segments);
        assert_eq!(wanted.len(), 6);
        for (wanted, length) in wanted.iter_mut().zip(lengths) {
            wanted.record.raw_bytes = length;
        }
        (raw, wanted)
    }

    /// The raw bytes that come before an error, and the error.
    fn decoded(
        store: &MemoryStore,
        wanted: &[(WantedSegment, &ArchiveKey)],
        asked_for: usize,
    ) -> (Vec<u8>, Option<Error>) {
        let mut raw = Vec::new();
        let others = OtherPlaces::default();
        let error = thread::scope(|scope| {
            let wanted = wanted.to_vec();
            let decoded = decode_ahead(scope, (store, &others), wanted, at_once(asked_for));
            for block in decoded.flatten() {
                match block {
                    Ok(block) => raw.extend_from_slice(&block),
                    Err(error) => return Some(error),
                }
            }
            None
        });
        (raw, error)
    }

    #[test]
    fn raw_bytes_come_in_order_however_many_segments_are_opened_at_once() {
        let key = ArchiveKey::generate();
        let store = MemoryStore::default();
        let (raw, wanted) = sealed(&store, &key);
        let wanted: Vec<_> = wanted.into_iter().map(|wanted| (wanted, &key)).collect();
        for at_once in [1, 2, 5, 64] {
            let (got, error) = decoded(&store, &wanted, at_once);
            assert!(error.is_none(), "{error:?}");
            assert!(got == raw, "{at_once}");
        }
    }

    #[test]
    fn what_does_not_open_is_told_in_its_turn_after_all_that_came_before_it() {
        let (key, other) = (ArchiveKey::generate(), ArchiveKey::generate());
        let store = MemoryStore::default();
        let (raw, wanted) = sealed(&store, &key);
        let mut wanted: Vec<_> = wanted.into_iter().map(|wanted| (wanted, &key)).collect();
        wanted[2].1 = &other;
        wanted[4].0.record.sealed_bytes += 1;
        let (got, error) = decoded(&store, &wanted, 3);
        let error = error.unwrap();
        assert!(
            matches!(
                error,
                Error::Restore(RestoreError::SegmentUnreadable { index: 2, .. })
            ),
            "{error}"
        );
        assert!(got == raw[..2 * SEGMENT]);
        wanted[2].1 = &key;
        let (got, error) = decoded(&store, &wanted, 3);
        let error = error.unwrap();
        assert!(
            matches!(
                error,
                Error::Restore(RestoreError::SegmentDamaged { index: 4, .. })
            ),
            "{error}"
        );
        assert!(got == raw[..4 * SEGMENT]);
    }

    #[test]
    fn who_stops_taking_is_not_kept_waiting() {
        let key = ArchiveKey::generate();
        let store = MemoryStore::default();
        let (raw, wanted) = sealed(&store, &key);
        let wanted = wanted.into_iter().map(|wanted| (wanted, &key)).collect();
        let others = OtherPlaces::default();
        let first = thread::scope(|scope| {
            let mut decoded = decode_ahead(scope, (&store, &others), wanted, at_once(2));
            decoded.next().unwrap().recv().unwrap().unwrap()
        });
        assert!(raw.starts_with(&first));
    }
}
