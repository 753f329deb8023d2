//! Sealed segments on their way into the store, each with its row written before and after its PUT.

use std::sync::Mutex;

use crossbeam_channel::Receiver;

use crate::catalog::{Catalog, CatalogError};
use crate::engine::archive::Job;
use crate::error::Error;
use crate::model::{ArchiveId, SegmentRecord, Sha256, keys};
use crate::progress::Event;
use crate::seal::{SealError, Sealed, SealedSegment};
use crate::store::{Put, Role, Store};

/// Takes sealed segments and stores them, each with its row written before and after.
pub(super) struct Upload<'a, 'c> {
    pub(super) job: &'a Job<'a>,
    pub(super) id: &'a ArchiveId,
    pub(super) sealed_key: &'a [u8],
    pub(super) catalog: Mutex<&'c mut Catalog>,
}

impl Upload<'_, '_> {
    pub(super) fn run(&self, sealed: Receiver<Sealed>) -> Result<(), Error> {
        let mut first = true;
        for item in sealed {
            match item {
                Sealed::Segment(segment) => {
                    if first {
                        // Not before there is something to unlock: a sender that fails at once
                        // leaves nothing in the store.
                        let key = keys::archive_key(&self.job.source.row.directory, self.id);
                        put(self.job.source.store, &key, self.sealed_key, Role::Ledger)?;
                        first = false;
                    }
                    self.segment(&segment)?;
                }
                Sealed::Finished => return Ok(()),
                Sealed::Failed(error) => return Err(error.into()),
            }
        }
        Err(SealError::Stopped.into())
    }

    fn segment(&self, segment: &SealedSegment) -> Result<(), Error> {
        let source = self.job.source;
        let key = keys::segment(
            &source.row.directory,
            self.id,
            segment.index,
            &segment.sha256,
        );
        let record = SegmentRecord {
            raw_bytes: segment.raw_bytes,
            sealed_bytes: segment.bytes.len() as u64,
            sha256: segment.sha256,
        };
        let locator = source.store.locate(&key).to_string();
        self.with_catalog(|catalog| {
            catalog.segment_sealed(
                self.id,
                segment.index,
                &record,
                &segment.raw_blake3,
                &locator,
            )
        })?;
        let locator = put_hashed(
            source.store,
            &key,
            &segment.bytes,
            &segment.sha256,
            Role::Segment,
        )?;
        self.with_catalog(|catalog| catalog.segment_stored(self.id, segment.index, &locator))?;
        self.job.world.observer.event(Event::Segment {
            source: source.name().clone(),
            archive: *self.id,
            index: segment.index,
            sealed_bytes: record.sealed_bytes,
        });
        Ok(())
    }

    fn with_catalog<T>(
        &self,
        act: impl FnOnce(&mut Catalog) -> Result<T, CatalogError>,
    ) -> Result<T, Error> {
        Ok(act(&mut self.catalog.lock().expect("no holder panics"))?)
    }
}

/// Stores an object under a key of its own and returns its locator.
pub(super) fn put(store: &dyn Store, key: &str, bytes: &[u8], role: Role) -> Result<String, Error> {
    put_hashed(store, key, bytes, &Sha256::of(bytes), role)
}

/// Stores an object; one that is there already is fine if it has the same bytes.
fn put_hashed(
    store: &dyn Store,
    key: &str,
    bytes: &[u8],
    sha256: &Sha256,
    role: Role,
) -> Result<String, Error> {
    match store.put_if_absent(key, bytes, sha256, role)? {
        Put::Created(locator) => Ok(locator.to_string()),
        Put::Existed(locator) => {
            let stat = store.stat(&locator)?;
            let same = stat.bytes == bytes.len() as u64
                && match stat.sha256 {
                    Some(stored) => stored == *sha256,
                    None => Sha256::of(&store.get(&locator, stat.bytes)?) == *sha256,
                };
            if same {
                Ok(locator.to_string())
            } else {
                Err(Error::KeyTaken {
                    store: store.url(),
                    key: key.to_owned(),
                })
            }
        }
    }
}
