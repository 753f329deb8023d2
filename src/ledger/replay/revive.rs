//! What a `revive` entry may name.

use super::Replay;
use crate::ledger::error::EntryRefusal;
use crate::model::ArchiveId;

impl Replay {
    /// Checks that each id is a retired archive, that its send parent is visible or revived with it, and that
    /// no visible archive has its date.
    pub(super) fn check_revive(&self, list: &[ArchiveId]) -> Result<(), EntryRefusal> {
        // A writer always knows the `delete` entry, even if other entries are lost by now.
        if let Some(archive) = list.iter().find(|id| self.is_deleted(id)) {
            return Err(EntryRefusal::RevivedLate { archive: *archive });
        }
        self.check_brought_back(list)
    }

    /// Checks the same for archives that the root key brings back, whether their deletion has begun or not.
    pub(super) fn check_brought_back(&self, list: &[ArchiveId]) -> Result<(), EntryRefusal> {
        if list.is_empty() {
            return Err(EntryRefusal::ReviveList("is empty"));
        }
        if !list.is_sorted_by(|one, next| one < next) {
            return Err(EntryRefusal::ReviveList(
                "is not sorted, or names one twice",
            ));
        }
        // Ids are sorted by date first, so two of one date are neighbours.
        if let Some([archive, other]) = list
            .array_windows()
            .find(|[one, next]| one.date == next.date)
        {
            let (archive, other) = (*archive, *other);
            return Err(EntryRefusal::DateTaken { archive, other });
        }
        if self.lacks_some() {
            // A lost entry may have archived, retired or revived any of them.
            return Ok(());
        }
        let comes = |id: &ArchiveId| list.binary_search(id).is_ok();
        for archive in list {
            let archive = *archive;
            let known = match self.archives.get(&archive) {
                Some(known) if self.retired.contains_key(&archive) => known,
                _ => return Err(EntryRefusal::NotRetired { archive }),
            };
            if let Some(parent) = known.send_parent
                && !comes(&parent)
                && !self.is_visible(&parent)
            {
                return Err(EntryRefusal::RetiredParent { archive, parent });
            }
            if let Some(other) = self.dates.get(&archive.date) {
                let other = *other;
                return Err(EntryRefusal::DateTaken { archive, other });
            }
        }
        Ok(())
    }
}
