//! Uploads the objects of an archive's contents, beside its segments.

use std::sync::atomic::Ordering;

use crossbeam_channel::Receiver;

use crate::engine::backup::attempt::whole_layout;
use crate::engine::backup::put_verified::put;
use crate::engine::backup::upload::Upload;
use crate::engine::files::contents::kept::Keeping;
use crate::error::{BackupError, Error};
use crate::model::segment::MOST_CONTENTS_OBJECTS;
use crate::model::{SegmentRecord, keys};
use crate::seal::{SealError, SealedSegment, SegmentLayout};
use crate::store::{NewObject, ObjectKind};

impl Upload<'_, '_> {
    /// Stores all objects of contents that come, in order, and returns the record of each.
    ///
    /// No row tells of them before the commit. So a later pass or a resumed attempt makes them anew, and those of this pass
    /// are then orphans, which the next prune removes. They are few bytes, and a writer may be without permission to delete.
    pub(super) fn contents(
        &self,
        objects: &Receiver<SealedSegment>,
        keeping: &mut Keeping,
    ) -> Result<Vec<SegmentRecord>, Error> {
        let mut records = Vec::new();
        for object in objects {
            if self.failed.load(Ordering::Relaxed)
                || self.job.session.context.interrupt.raised().is_some()
            {
                return Err(SealError::Stopped.into());
            }
            let stored = self.key().and_then(|()| self.contents_object(&object));
            records.push(stored.inspect_err(|_| self.failed.store(true, Ordering::Relaxed))?);
            keeping.add(&object.bytes);
        }
        Ok(records)
    }

    fn contents_object(&self, object: &SealedSegment) -> Result<SegmentRecord, Error> {
        if let Some(check) = &self.check {
            check.check(object)?;
        }
        let id = &self.attempt.id;
        if object.index >= MOST_CONTENTS_OBJECTS {
            return Err(BackupError::ManyContents {
                archive: *id,
                most: MOST_CONTENTS_OBJECTS,
            }
            .into());
        }
        let source = &self.job.session.source;
        let key = keys::contents(&source.row.directory, id, object.index, &object.sha256);
        let new = NewObject {
            retain_until: self.attempt.retain_until,
            ..NewObject::new(
                &key,
                object.bytes.clone(),
                object.sha256,
                ObjectKind::Ledger,
            )
        };
        put(source.store.as_ref(), &new)?;
        Ok(SegmentRecord {
            raw_bytes: object.raw_bytes,
            sealed_bytes: object.bytes.len() as u64,
            sha256: object.sha256,
        })
    }

    /// Returns the layouts of the stream's segments in order. Each was sealed in this pass, or was skipped because its
    /// layout is known.
    pub(super) fn layouts(&self, segments: u32) -> Result<Vec<SegmentLayout>, Error> {
        let layouts = self.with_catalog(|catalog| catalog.segment_layouts(&self.attempt.id))?;
        let layouts = layouts.range(..segments).map(|(_, encoded)| {
            whole_layout(encoded).expect("it was encoded in this pass, or read before")
        });
        let layouts: Vec<SegmentLayout> = layouts.collect();
        assert_eq!(
            layouts.len(),
            segments as usize,
            "every segment has its row by now"
        );
        Ok(layouts)
    }
}
