//! Uploads sealed segments. It writes the row of each before and after its PUT.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::Bytes;
use crossbeam_channel::Receiver;

use crate::catalog::{Catalog, CatalogError};
use crate::engine::backup::attempt::OpenAttempt;
use crate::engine::backup::job::Job;
use crate::engine::backup::put_verified::{KeyStored, put};
use crate::engine::threads::spawn_some;
use crate::error::{BackupError, Error};
use crate::model::segment::{MOST_SEGMENTS, MOST_SEGMENTS_IN_VAULT};
use crate::model::{SegmentRecord, Sha256, keys};
use crate::progress::Event;
use crate::seal::{AutoLevel, SealError, Sealed, SealedSegment, SelfCheck};
use crate::store::{NewObject, ObjectKind};

/// Stores sealed segments, and writes the row of each before and after.
pub(in crate::engine) struct Upload<'a, 'c> {
    pub(in crate::engine) job: &'a Job<'a>,
    pub(in crate::engine) attempt: &'a OpenAttempt,
    pub(in crate::engine) catalog: Mutex<&'c mut Catalog>,
    pub(in crate::engine) key_stored: Mutex<KeyStored>,
    /// Sealed bytes of the segments that were stored.
    pub(in crate::engine) uploaded: &'a AtomicU64,
    /// Learns how fast segments are sent.
    pub(in crate::engine) auto: Option<AutoLevel>,
    /// Opens each segment again before it is stored.
    pub(in crate::engine) check: Option<SelfCheck>,
    /// Set by the thread that fails first, so that the others stop.
    pub(in crate::engine) failed: &'a AtomicBool,
}

/// Why an uploader ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum UploaderEnd {
    /// It received the end of the stream.
    OfStream,
    /// The channel closed, or another uploader failed.
    Early,
}

/// What threads do that store.
pub(in crate::engine) const STORES: &str = "stores what was sealed";

impl Upload<'_, '_> {
    /// Stores all segments that come, several at once. Returns when all of them are stored.
    pub(in crate::engine) fn run(
        &self,
        sealed: &Receiver<Sealed>,
        uploads: usize,
    ) -> Result<(), Error> {
        std::thread::scope(|scope| {
            let upload = || self.upload(sealed.clone());
            let uploaders = spawn_some(scope, STORES, uploads, upload)?;
            let mut result = Ok(UploaderEnd::Early);
            for uploader in uploaders {
                let ended = uploader.join().expect("an uploader does not panic");
                result = match (result, ended) {
                    (Err(error), _) | (Ok(_), Err(error)) => Err(error),
                    (Ok(UploaderEnd::OfStream), Ok(_)) | (Ok(_), Ok(UploaderEnd::OfStream)) => {
                        Ok(UploaderEnd::OfStream)
                    }
                    (Ok(UploaderEnd::Early), Ok(UploaderEnd::Early)) => Ok(UploaderEnd::Early),
                };
            }
            match result? {
                UploaderEnd::OfStream => Ok(()),
                UploaderEnd::Early => Err(SealError::Stopped.into()),
            }
        })
    }

    /// Runs one uploader. Each has its own end of the channel: when the last uploader fails, the sealer
    /// notices.
    fn upload(&self, sealed: Receiver<Sealed>) -> Result<UploaderEnd, Error> {
        for item in sealed {
            if self.failed.load(Ordering::Relaxed)
                || self.job.session.context.interrupt.raised().is_some()
            {
                break;
            }
            let stored = match item {
                Sealed::Segment(segment) => self
                    .key()
                    .and_then(|()| self.segment(segment))
                    .map(|()| UploaderEnd::Early),
                // If every segment was stored before, only the key may be missing.
                Sealed::Finished => self.key().map(|()| UploaderEnd::OfStream),
                Sealed::Failed(error) => Err(error.into()),
            };
            let end = stored.inspect_err(|_| self.failed.store(true, Ordering::Relaxed))?;
            if end == UploaderEnd::OfStream {
                return Ok(end);
            }
        }
        Ok(UploaderEnd::Early)
    }

    /// Stores the archive's key before its first segment. It does so only when the first segment is sealed: a
    /// sender that fails at once leaves nothing in the store.
    pub(super) fn key(&self) -> Result<(), Error> {
        let mut stored = self.key_stored.lock().expect("no holder panics");
        if *stored == KeyStored::No {
            let key = keys::archive_key(&self.job.session.source.row.directory, &self.attempt.id);
            let bytes = Bytes::copy_from_slice(&self.attempt.sealed_key);
            let sha256 = Sha256::of(&bytes);
            let object = NewObject {
                retain_until: self.attempt.retain_until,
                ..NewObject::new(&key, bytes, sha256, ObjectKind::Ledger)
            };
            put(self.job.session.source.store.as_ref(), &object)?;
            *stored = KeyStored::Yes;
        }
        Ok(())
    }

    fn segment(&self, segment: SealedSegment) -> Result<(), Error> {
        if let Some(check) = &self.check {
            check.check(&segment)?;
        }
        let source = &self.job.session.source;
        let id = &self.attempt.id;
        let most = if source.store.needs_index() {
            MOST_SEGMENTS_IN_VAULT
        } else {
            MOST_SEGMENTS
        };
        if segment.index >= most {
            return Err(BackupError::ManySegments {
                archive: *id,
                most,
                segment_bytes: self.attempt.segment_bytes,
            }
            .into());
        }
        let key = keys::segment(&source.row.directory, id, segment.index, &segment.sha256);
        let record = SegmentRecord {
            raw_bytes: segment.raw_bytes,
            sealed_bytes: segment.bytes.len() as u64,
            sha256: segment.sha256,
        };
        let locator = source.store.locate(&key).to_string();
        let mut layout = Vec::new();
        segment.layout.encode(&mut layout);
        let raw = (&segment.layout.raw_blake3(), &*layout);
        self.with_catalog(|catalog| {
            catalog.segment_sealed(id, segment.index, &record, raw, &locator)
        })?;
        let store = |moved| {
            let object = NewObject {
                retain_until: self.attempt.retain_until,
                moved,
                ..NewObject::new(&key, segment.bytes, segment.sha256, ObjectKind::Segment)
            };
            let locator = put(source.store.as_ref(), &object)?;
            self.with_catalog(|catalog| catalog.segment_stored(id, segment.index, &locator))
        };
        match &self.auto {
            Some(auto) => auto.upload(record.sealed_bytes, |sent| store(Some(sent))),
            None => store(None),
        }?;
        self.uploaded
            .fetch_add(record.sealed_bytes, Ordering::Relaxed);
        self.job.session.context.observer.event(Event::Segment {
            source: source.name().clone(),
            archive: *id,
            index: segment.index,
            sealed_bytes: record.sealed_bytes,
        });
        Ok(())
    }

    pub(super) fn with_catalog<T>(
        &self,
        act: impl FnOnce(&mut Catalog) -> Result<T, CatalogError>,
    ) -> Result<T, Error> {
        Ok(act(&mut self.catalog.lock().expect("no holder panics"))?)
    }
}
