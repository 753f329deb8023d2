//! Opens segments ahead of their turn. A worker fetches, checks and opens each of them; the caller takes
//! their raw bytes in the order of the stream.
//!
//! Memory: a worker holds one sealed segment, what zstd needs, and a few steps of raw bytes. It opens the
//! rest when its turn comes.

use std::io::{self, Read};

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::engine::restore::fetch::{Wanted, fetch};
use crate::engine::restore::prefetch::{Ahead, ahead};
use crate::error::{Error, RestoreError};
use crate::seal::{ArchiveKey, open_segment};
use crate::store::Store;

/// How many raw bytes a worker passes on at a time.
const STEP: usize = 1 << 20;

/// How many steps a worker may be ahead of the caller.
const STEPS_AHEAD: usize = 4;

/// A piece of the raw bytes of a segment.
struct Step {
    buffer: Box<[u8]>,
    filled: usize,
}

/// The opened segments, in the order of the request.
pub(in crate::engine) struct Opened<'a> {
    ahead: &'a mut Ahead<Result<Step, Error>>,
    spare: &'a Sender<Box<[u8]>>,
}

impl Opened<'_> {
    /// Passes the next segment's raw bytes to `take`, step by step. If this succeeds, they were the whole
    /// segment.
    pub(in crate::engine) fn next(
        &mut self,
        mut take: impl FnMut(&[u8]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        for step in self.ahead.next() {
            let Step { buffer, filled } = step?;
            take(&buffer[..filled])?;
            // If there is no room for the buffer, enough of them are in use.
            let _ = self.spare.try_send(buffer);
        }
        Ok(())
    }
}

/// Fetches and opens segments, each with its archive's key, while `take` runs. At most `at_once` segments are
/// being fetched, and one more is held: the one that is being taken.
pub(in crate::engine) fn open_ahead<T>(
    store: &dyn Store,
    wanted: &[(Wanted, &ArchiveKey)],
    at_once: usize,
    take: impl FnOnce(&mut Opened<'_>) -> Result<T, Error>,
) -> Result<T, Error> {
    let workers = at_once + 1;
    let (spare, spares) = bounded(workers * (STEPS_AHEAD + 2));
    let (begin, done) = bounded(at_once);
    let work = |at: usize, answer: &Sender<Result<Step, Error>>| {
        let (wanted, key) = &wanted[at];
        begin.send(()).expect("the other end is here");
        let fetched = fetch(store, wanted);
        done.recv().expect("the other end is here");
        let opened = fetched.and_then(|sealed| open(wanted, key, &sealed, &spares, answer));
        if let Err(error) = opened {
            // The receiver is gone if something else has failed.
            let _ = answer.send(Err(error));
        }
    };
    ahead((wanted.len(), workers, STEPS_AHEAD), work, |ahead| {
        take(&mut Opened {
            ahead,
            spare: &spare,
        })
    })
}

/// Opens a segment, and sends its raw bytes as long as the receiver takes them.
fn open(
    wanted: &Wanted,
    key: &ArchiveKey,
    sealed: &[u8],
    spares: &Receiver<Box<[u8]>>,
    answer: &Sender<Result<Step, Error>>,
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
        let spare = spares.try_recv();
        let mut buffer = spare.unwrap_or_else(|_| vec![0; STEP].into_boxed_slice());
        let mut filled = 0;
        while filled < buffer.len() {
            match opened.read(&mut buffer[filled..]).map_err(unreadable)? {
                0 => break,
                read => filled += read,
            }
        }
        let last = filled < buffer.len();
        if filled > 0 && answer.send(Ok(Step { buffer, filled })).is_err() {
            return Ok(());
        }
        if last {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::restore::fetch::tests::stored;
    use crate::error::RequestError;
    use crate::seal::{SealOptions, Sealed, Sealer};
    use crate::store::MemoryStore;

    const SEGMENT: usize = 8 << 20;

    /// Returns raw bytes, and the requests for the six segments that hold them. The last segment is short.
    fn sealed(store: &MemoryStore, key: &ArchiveKey) -> (Vec<u8>, Vec<Wanted>) {
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
        let taken = std::thread::spawn(move || {
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

    fn opened(
        store: &MemoryStore,
        wanted: &[(Wanted, &ArchiveKey)],
        at_once: usize,
    ) -> (Vec<u8>, Result<(), Error>) {
        let mut raw = Vec::new();
        let ended = open_ahead(store, wanted, at_once, |opened| {
            for _ in wanted {
                opened.next(|bytes| {
                    raw.extend_from_slice(bytes);
                    Ok(())
                })?;
            }
            Ok(())
        });
        (raw, ended)
    }

    #[test]
    fn raw_bytes_come_in_order_however_many_segments_are_opened_at_once() {
        let key = ArchiveKey::generate();
        let store = MemoryStore::default();
        let (raw, wanted) = sealed(&store, &key);
        let wanted: Vec<_> = wanted.into_iter().map(|wanted| (wanted, &key)).collect();
        for at_once in [1, 2, 5, 64] {
            let (got, ended) = opened(&store, &wanted, at_once);
            ended.unwrap();
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
        let (got, ended) = opened(&store, &wanted, 3);
        let error = ended.unwrap_err();
        assert!(
            matches!(
                error,
                Error::Restore(RestoreError::SegmentUnreadable { index: 2, .. })
            ),
            "{error}"
        );
        assert!(got == raw[..2 * SEGMENT]);
        wanted[2].1 = &key;
        let (got, ended) = opened(&store, &wanted, 3);
        let error = ended.unwrap_err();
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
        let (_, wanted) = sealed(&store, &key);
        let wanted: Vec<_> = wanted.into_iter().map(|wanted| (wanted, &key)).collect();
        let ended = open_ahead(&store, &wanted, 2, |opened| {
            opened.next(|_| Err(Error::Request(RequestError::NotConfirmed)))
        });
        assert!(matches!(
            ended,
            Err(Error::Request(RequestError::NotConfirmed))
        ));
    }
}
