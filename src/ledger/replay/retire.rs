//! What a `retire` entry may name.

use super::Replay;
use crate::ledger::error::EntryRefusal;
use crate::model::ArchiveId;

impl Replay {
    /// Checks that every archive that stays visible keeps its send parent.
    pub(super) fn check_retire(&self, list: &[ArchiveId]) -> Result<(), EntryRefusal> {
        if list.is_empty() {
            return Err(EntryRefusal::RetireList("is empty"));
        }
        if !list.is_sorted_by(|one, next| one < next) {
            return Err(EntryRefusal::RetireList(
                "is not sorted, or names one twice",
            ));
        }
        if self.lacks_some() {
            // A lost entry may have retired or revived any of them, or what builds on them.
            return Ok(());
        }
        if let Some(archive) = list.iter().find(|id| self.retired.contains_key(id)) {
            return Err(EntryRefusal::RetiredTwice { archive: *archive });
        }
        let goes = |id: &ArchiveId| list.binary_search(id).is_ok();
        let orphaned = self
            .archives
            .iter()
            .filter(|(id, _)| self.is_visible(id) && !goes(id))
            .filter_map(|(id, known)| Some((*id, known.send_parent?)))
            .filter(|(_, parent)| goes(parent))
            // One of several, and always the same one.
            .min();
        match orphaned {
            Some((archive, parent)) => Err(EntryRefusal::Orphaned { archive, parent }),
            None => Ok(()),
        }
    }
}
