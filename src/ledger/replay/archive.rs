//! What an `archive` entry may say.

use super::Replay;
use crate::ledger::error::Refusal;
use crate::model::entry::ArchiveEntry;
use crate::model::{ArchiveKind, SegmentRecord};

impl Replay {
    /// Its facts agree with each other, it is new, and what it builds on is there.
    pub(super) fn check_archive(&self, archive: &ArchiveEntry) -> Result<(), Refusal> {
        let id = archive.id;
        let inconsistent = |what| Err(Refusal::Inconsistent { archive: id, what });
        if id.date != archive.date || id.kind != archive.kind {
            return inconsistent("its id has another date or kind");
        }
        if self.archives.contains_key(&id) {
            return inconsistent("its id was archived before");
        }
        if self.retired.contains(&id) && !self.lacks_some() {
            return Err(Refusal::Retired { archive: id });
        }
        if archive.slot > archive.date {
            return inconsistent("its slot is after its date");
        }
        match (archive.kind, archive.send_parent, archive.send_parent_uuid) {
            (ArchiveKind::Full, None, None) => {
                if archive.chain != id {
                    return inconsistent("a full archive is its own chain");
                }
            }
            (ArchiveKind::Incremental, Some(parent), Some(uuid)) => {
                match self.archives.get(&parent) {
                    // It may stand in an entry that is lost, and so may its retire be undone.
                    None if self.lacks_some() => {}
                    Some(_) if self.retired.contains(&parent) && !self.lacks_some() => {
                        return Err(Refusal::RetiredParent {
                            archive: id,
                            parent,
                        });
                    }
                    Some(known) if known.chain == archive.chain && known.stream_uuid == uuid => {}
                    Some(known) if known.chain == archive.chain => {
                        return inconsistent("its send parent has another stream uuid");
                    }
                    _ => {
                        return Err(Refusal::NoParent {
                            archive: id,
                            parent,
                        });
                    }
                }
            }
            _ => return inconsistent("a full has no send parent, and an incremental has one"),
        }
        if self.streams.contains(&archive.stream_uuid) {
            return Err(Refusal::KnownStream {
                archive: id,
                uuid: archive.stream_uuid,
            });
        }
        let Some((last, before)) = archive.segments.split_last() else {
            return inconsistent("it has no segment");
        };
        let whole = before
            .iter()
            .all(|segment| segment.raw_bytes == archive.segment_size);
        if !whole || last.raw_bytes > archive.segment_size || last.raw_bytes == 0 {
            return inconsistent("a segment has another length than it should");
        }
        let sum = |of: fn(&SegmentRecord) -> u64| {
            archive
                .segments
                .iter()
                .try_fold(0_u64, |sum, segment| sum.checked_add(of(segment)))
        };
        if sum(|segment| segment.raw_bytes) != Some(archive.raw_bytes)
            || sum(|segment| segment.sealed_bytes) != Some(archive.sealed_bytes)
        {
            return inconsistent("its segments do not add up to its size");
        }
        Ok(())
    }
}
