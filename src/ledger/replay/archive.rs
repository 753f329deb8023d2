//! What an `archive` entry may say.

use chrono::Datelike as _;

use super::Replay;
use crate::ledger::error::EntryRefusal;
use crate::model::entry::{ArchiveEntry, EntryHead};
use crate::model::{ArchiveKind, SegmentRecord};

impl Replay {
    /// Checks that its facts agree with each other, that it is new, and that what it builds on is there.
    pub(super) fn check_archive(
        &self,
        head: &EntryHead,
        archive: &ArchiveEntry,
    ) -> Result<(), EntryRefusal> {
        let id = archive.id;
        let inconsistent = |what| Err(EntryRefusal::Inconsistent { archive: id, what });
        let years = [archive.date, archive.slot, head.made_at.0.date_naive()];
        if !years.iter().all(|date| (0..=9999).contains(&date.year())) {
            return inconsistent("the year of one of its dates has no four digits");
        }
        if id.date != archive.date || id.kind != archive.kind {
            return inconsistent("its id has another date or kind");
        }
        if self.archives.contains_key(&id) {
            return inconsistent("its id was archived before");
        }
        if self.retired.contains_key(&id) && !self.lacks_some() {
            return Err(EntryRefusal::Retired { archive: id });
        }
        if archive.slot > archive.date {
            return inconsistent("its slot is after its date");
        }
        // A lost entry may have retired the other archive.
        if let Some(other) = self.dates.get(&archive.date)
            && !self.lacks_some()
        {
            return Err(EntryRefusal::DateTaken {
                archive: id,
                other: *other,
            });
        }
        match (archive.kind, archive.send_parent, archive.send_parent_uuid) {
            (ArchiveKind::Full, None, None) => {
                if archive.chain != id {
                    return inconsistent("a full archive must name itself as its chain");
                }
            }
            (ArchiveKind::Incremental, ..) if archive.chain == id => {
                return inconsistent("an incremental archive must not name itself as its chain");
            }
            (ArchiveKind::Incremental, Some(parent), Some(uuid)) => {
                match self.archives.get(&parent) {
                    // A lost entry may contain the parent, or may have revived it.
                    None if self.lacks_some() => {}
                    Some(_) if self.retired.contains_key(&parent) && !self.lacks_some() => {
                        return Err(EntryRefusal::RetiredParent {
                            archive: id,
                            parent,
                        });
                    }
                    Some(known) if known.chain == archive.chain && known.stream_uuid == uuid => {}
                    Some(known) if known.chain == archive.chain => {
                        return inconsistent("its send parent has another stream uuid");
                    }
                    _ => {
                        return Err(EntryRefusal::NoParent {
                            archive: id,
                            parent,
                        });
                    }
                }
            }
            _ => {
                return inconsistent(
                    "a full must have no send parent, and an incremental must have one",
                );
            }
        }
        if self.streams.contains(&archive.stream_uuid) {
            return Err(EntryRefusal::KnownStream {
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
        if archive.segments.iter().any(|it| it.sealed_bytes == 0) {
            return inconsistent("a segment is stored in no bytes");
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
        self.check_vault(archive)
    }
}
