//! What the root key may undo, with a `rotate` of format 2, of the work of withdrawn keys.

use std::collections::BTreeSet;

use chrono::NaiveDate;

use super::Replay;
use crate::ledger::error::EntryRefusal;
use crate::ledger::key::PublicKey;
use crate::model::ArchiveId;
use crate::model::entry::{EntryHead, ROTATE_FORMAT, Role, RotateEntry};

impl Replay {
    /// Whether a key that is not among these has retired the archive or has begun to delete it. Then the root
    /// key can bring it back.
    pub fn was_taken_by_other_than(&self, archive: &ArchiveId, keys: &[PublicKey]) -> bool {
        let taken = [self.retired.get(archive), self.deleted.get(archive)];
        let mut by = taken
            .into_iter()
            .flatten()
            .filter_map(|seq| self.signer(*seq));
        self.archives.contains_key(archive) && by.any(|by| !keys.contains(by))
    }

    /// Whether an entry is an `attach` that was not voided.
    pub fn is_attaching(&self, seq: u64) -> bool {
        self.attaching.contains(&seq)
    }

    /// Whether the root key has brought the archive back, and it is visible now.
    pub fn was_brought_back(&self, archive: &ArchiveId) -> bool {
        self.brought_back.contains(archive) && self.is_visible(archive)
    }

    /// Returns the visible ones of these archives, and all visible archives that build on them, in ascending
    /// order.
    pub fn with_what_builds_on(&self, archives: &[ArchiveId]) -> Vec<ArchiveId> {
        let visible = |id: &&ArchiveId| self.is_visible(id);
        let mut found: BTreeSet<ArchiveId> = archives.iter().filter(visible).copied().collect();
        loop {
            let more = self.archives.iter().filter(|(id, known)| {
                let parent = known.send_parent;
                parent.is_some_and(|parent| found.contains(&parent)) && self.is_visible(id)
            });
            let more: Vec<ArchiveId> = more.map(|(id, _)| *id).collect();
            let before = found.len();
            found.extend(more);
            if found.len() == before {
                return found.into_iter().collect();
            }
        }
    }

    /// Returns the send parent of an archive; `None` for a full, and for an id that is no archive.
    pub fn send_parent(&self, archive: &ArchiveId) -> Option<ArchiveId> {
        self.archives.get(archive)?.send_parent
    }

    /// The visible archive of a date.
    pub fn on(&self, date: NaiveDate) -> Option<ArchiveId> {
        self.dates.get(&date).copied()
    }

    /// Checks that each voided entry is one that is not understood here, or a `moved`: a version that does not know
    /// that kind voids it like any other that it does not understand. In format 2 it may also be a number that the
    /// entry passes over, or an `attach` of a withdrawn key.
    pub(super) fn check_voids(
        &self,
        head: &EntryHead,
        voids: &[u64],
        keys: &[(PublicKey, Vec<Role>)],
    ) -> Result<(), EntryRefusal> {
        for seq in voids {
            let seq = *seq;
            if self.unknown.iter().any(|entry| entry.seq() == seq) || self.is_moving(seq) {
                continue;
            }
            let has_more = head.format >= ROTATE_FORMAT;
            if has_more && head.skips.contains(&seq) {
                continue;
            }
            if has_more && self.attaching.contains(&seq) {
                if self.is_withdrawn_by(keys, seq) {
                    continue;
                }
                return Err(EntryRefusal::VoidsKept { seq });
            }
            // If entries are lost, it is not known whether this one was understood.
            if !self.lacks_some() {
                return Err(EntryRefusal::VoidsKnown { seq });
            }
        }
        Ok(())
    }

    /// Checks what the root key retires and brings back, in that order.
    pub(super) fn check_undone(
        &self,
        rotate: &RotateEntry,
        keys: &[(PublicKey, Vec<Role>)],
    ) -> Result<(), EntryRefusal> {
        let RotateEntry {
            retires, revives, ..
        } = rotate;
        if !retires.is_empty() {
            self.check_retire(retires)?;
        }
        if revives.is_empty() {
            return Ok(());
        }
        if let Some(archive) = revives.iter().find(|id| retires.contains(id)) {
            return Err(EntryRefusal::RetiresAndRevives { archive: *archive });
        }
        // A key that may still sign would continue its deletion.
        let kept = |id: &&ArchiveId| {
            let deleted = self.deleted.get(id);
            deleted.is_some_and(|seq| !self.is_withdrawn_by(keys, *seq))
        };
        if let Some(archive) = revives.iter().find(kept) {
            return Err(EntryRefusal::RevivesKept { archive: *archive });
        }
        let mut after = self.clone();
        after.take_from_view(0, retires);
        after.check_brought_back(revives)
    }

    /// Whether the key that has signed an entry is not among these.
    fn is_withdrawn_by(&self, keys: &[(PublicKey, Vec<Role>)], seq: u64) -> bool {
        let by = self.signer(seq);
        by.is_some_and(|by| keys.iter().all(|(key, _)| key != by))
    }
}
