//! Segments on their way back: fetched ahead, several at once, checked against the ledger, and given
//! in order.

use std::thread::Scope;
use std::vec;

use crossbeam_channel::Sender;

use crate::catalog::SegmentRow;
use crate::engine::context::open_source::OpenSource;
use crate::engine::restore::prefetch::Prefetch;
use crate::error::{Error, RestoreError};
use crate::model::entry::ArchiveEntry;
use crate::model::keys::ArchiveObject;
use crate::model::segment::LARGEST_SEGMENT_BYTES;
use crate::model::{ArchiveId, SegmentRecord, Sha256};
use crate::plan::memory::{fetched_at_once, longest_sealed};
use crate::store::{ErrorKind, Locator, Store};

/// A segment that is needed.
#[derive(Debug, Clone)]
pub(in crate::engine) struct WantedSegment {
    pub(in crate::engine) archive: ArchiveId,
    pub(in crate::engine) index: u32,
    /// Its store key, for messages.
    pub(in crate::engine) key: String,
    locator: Locator,
    /// Its record in the signed ledger.
    pub(in crate::engine) record: SegmentRecord,
}

impl WantedSegment {
    /// Returns every segment of an archive, in order. The locators come from the catalog's rows, or from the
    /// keys if a segment has no row.
    pub(in crate::engine) fn of(
        source: &OpenSource<'_>,
        entry: &ArchiveEntry,
        rows: &[SegmentRow],
    ) -> Vec<Self> {
        ArchiveObject::of_entry(&source.row.directory, entry)
            .filter_map(|object| {
                let index = object.segment()?;
                let locator = rows.get(index as usize).map_or_else(
                    || source.store.locate(&object.key),
                    |row| Locator::from(row.locator.clone()),
                );
                Some(Self {
                    archive: object.archive,
                    index,
                    key: object.key,
                    locator,
                    record: entry.segments[index as usize],
                })
            })
            .collect()
    }

    /// Where its store has it.
    pub(in crate::engine) fn locator(&self) -> &Locator {
        &self.locator
    }

    fn damaged(&self, what: impl Into<String>) -> Error {
        Error::Restore(RestoreError::SegmentDamaged {
            archive: self.archive,
            index: self.index,
            key: self.key.clone(),
            what: what.into(),
        })
    }
}

impl WantedSegment {
    /// Returns the same segment in another place, where it has the same key.
    pub(in crate::engine) fn in_store(&self, store: &dyn Store) -> Self {
        Self {
            locator: store.locate(&self.key),
            ..self.clone()
        }
    }
}

/// How many segments are fetched at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AtOnce {
    /// The number that the config or the user asks for, if the memory is enough.
    pub asked_for: usize,
    /// The most bytes of memory for all of them.
    pub memory_limit: u64,
}

impl AtOnce {
    /// Returns how many of these segments fit into memory at once.
    pub(in crate::engine) fn of<'w>(
        self,
        wanted: impl Iterator<Item = &'w WantedSegment>,
    ) -> usize {
        let largest = wanted.map(|wanted| wanted.record.sealed_bytes).max();
        self.of_bytes(largest.unwrap_or_default())
    }

    /// Returns how many pieces of at most so many bytes fit into memory at once.
    pub(in crate::engine) fn of_bytes(self, largest: u64) -> usize {
        fetched_at_once(self.memory_limit, largest, self.asked_for)
    }
}

/// Gives segments in the order in which they were wanted, each fetched ahead, with the length and the
/// SHA-256 that the signed ledger has for it.
///
/// The caller looks at one segment while at most `at_once` others are on their way or wait.
pub(in crate::engine) struct Fetched(
    Prefetch<vec::IntoIter<WantedSegment>, Result<Vec<u8>, Error>>,
);

impl Iterator for Fetched {
    type Item = Result<Vec<u8>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let sealed = self.0.next()?.recv().expect("a fetcher answers each job");
        // While the caller looks at this one, the workers fetch others.
        self.0.fill();
        Some(sealed)
    }
}

/// Fetches what is wanted, `at_once` segments at a time, once the first is asked for.
pub(in crate::engine) fn fetch_ahead<'scope>(
    scope: &'scope Scope<'scope, '_>,
    store: &'scope dyn Store,
    wanted: Vec<WantedSegment>,
    at_once: AtOnce,
) -> Fetched {
    let limits = (at_once.of(wanted.iter()), 1);
    let work = move |wanted, answer: &Sender<_>| {
        // Nobody waits any more if something else has failed.
        let _ = answer.send(fetch(store, &wanted));
    };
    Fetched(Prefetch::start(scope, wanted.into_iter(), limits, work))
}

/// Fetches a segment. If it does not match the ledger, fetches it once more before calling it damaged: it may
/// have been damaged on the way.
pub(in crate::engine) fn fetch(
    store: &dyn Store,
    wanted: &WantedSegment,
) -> Result<Vec<u8>, Error> {
    fetch_once(store, wanted).or_else(|error| match error {
        Error::Restore(RestoreError::SegmentDamaged { .. }) => fetch_once(store, wanted),
        other => Err(other),
    })
}

fn fetch_once(store: &dyn Store, wanted: &WantedSegment) -> Result<Vec<u8>, Error> {
    let record = &wanted.record;
    // The segment is held in memory. A larger size in a signed entry can only be an attack on memory.
    let longest = longest_sealed(LARGEST_SEGMENT_BYTES);
    if record.sealed_bytes > longest {
        return Err(wanted.damaged(format!(
            "its ledger entry says that it has {} bytes, and no segment has more than {longest}",
            record.sealed_bytes
        )));
    }
    let sealed = match store.get(&wanted.locator, record.sealed_bytes) {
        Ok(sealed) => sealed,
        Err(error) if error.is_not_found() => return Err(wanted.damaged("it is missing")),
        Err(error) if error.kind == ErrorKind::TooLarge => {
            return Err(wanted.damaged(format!(
                "it is longer than the {} bytes that were stored",
                record.sealed_bytes
            )));
        }
        Err(error) => return Err(error.into()),
    };
    if sealed.len() as u64 != record.sealed_bytes {
        return Err(wanted.damaged(format!(
            "it has {} bytes, {} were stored",
            sealed.len(),
            record.sealed_bytes
        )));
    }
    if Sha256::of(&sealed) != record.sha256 {
        return Err(wanted.damaged("its SHA-256 is not the one in the ledger"));
    }
    Ok(sealed)
}

#[cfg(test)]
pub(in crate::engine) mod tests {
    use std::thread;

    use super::*;
    use crate::model::keys;
    use crate::store::{MemoryStore, NewObject, ObjectKind, Put};

    /// Puts segments into a store, and returns the requests for them.
    pub(in crate::engine) fn stored(
        store: &MemoryStore,
        segments: Vec<Vec<u8>>,
    ) -> Vec<WantedSegment> {
        let archive: ArchiveId = "2026-11-21-full-0000000000000001".parse().unwrap();
        (0..)
            .zip(segments)
            .map(|(index, bytes)| {
                let sha256 = Sha256::of(&bytes);
                let sealed_bytes = bytes.len() as u64;
                let key = keys::segment("home", &archive, index, &sha256);
                let object = NewObject::new(&key, bytes, sha256, ObjectKind::Segment);
                let Put::Created(locator) = store.put_if_absent(&object).unwrap() else {
                    panic!("it is new");
                };
                WantedSegment {
                    archive,
                    index,
                    key: key.clone(),
                    locator,
                    record: SegmentRecord {
                        raw_bytes: 1000,
                        sealed_bytes,
                        sha256,
                    },
                }
            })
            .collect()
    }

    fn of_1000_bytes(store: &MemoryStore, segments: u32) -> Vec<WantedSegment> {
        let bytes = (0..segments).map(|index| vec![index.to_le_bytes()[0]; 1000]);
        stored(store, bytes.collect())
    }

    pub(in crate::engine) fn at_once(asked_for: usize) -> AtOnce {
        AtOnce {
            asked_for,
            memory_limit: u64::MAX,
        }
    }

    #[test]
    fn segments_come_in_order_however_many_are_fetched_at_once() {
        let store = MemoryStore::default();
        let wanted = of_1000_bytes(&store, 40);
        for asked_for in [1, 2, 7, 64] {
            thread::scope(|scope| {
                let mut fetched = fetch_ahead(scope, &store, wanted.clone(), at_once(asked_for));
                for index in 0..40_u32 {
                    let sealed = fetched.next().unwrap().unwrap();
                    assert_eq!(sealed, [index.to_le_bytes()[0]; 1000]);
                }
                assert!(fetched.next().is_none());
            });
        }
    }

    #[test]
    fn a_damaged_segment_is_told_when_its_turn_comes() {
        let store = MemoryStore::default();
        let mut wanted = of_1000_bytes(&store, 5);
        store.delete(&wanted[3].locator).unwrap();
        wanted[4].record.sealed_bytes = 999;
        thread::scope(|scope| {
            let mut fetched = fetch_ahead(scope, &store, wanted, at_once(4));
            let good = fetched.by_ref().take(3);
            assert_eq!(good.map(Result::unwrap).count(), 3);
            assert!(matches!(
                fetched.next(),
                Some(Err(Error::Restore(RestoreError::SegmentDamaged {
                    index: 3,
                    ..
                })))
            ));
        });
    }

    #[test]
    fn who_stops_taking_is_not_kept_waiting() {
        let store = MemoryStore::default();
        let wanted = of_1000_bytes(&store, 40);
        let first = thread::scope(|scope| fetch_ahead(scope, &store, wanted, at_once(4)).next());
        assert_eq!(first.unwrap().unwrap(), [0; 1000]);
    }
}
