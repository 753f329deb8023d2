//! What a `delete` entry may name.

use std::collections::HashSet;

use super::Replay;
use crate::ledger::error::EntryRefusal;
use crate::model::entry::DeleteEntry;

impl Replay {
    /// Checks that each id is a retired archive, that chains are named as a whole, and that no earlier entry
    /// has begun to delete them.
    pub(super) fn check_delete(&self, delete: &DeleteEntry) -> Result<(), EntryRefusal> {
        let list = &delete.archives;
        if list.is_empty() {
            return Err(EntryRefusal::DeleteList("is empty"));
        }
        if !list.is_sorted_by(|one, next| one < next) {
            return Err(EntryRefusal::DeleteList(
                "is not sorted, or names one twice",
            ));
        }
        if let Some(archive) = list.iter().find(|id| self.is_deleted(id)) {
            return Err(EntryRefusal::DeletedTwice { archive: *archive });
        }
        if self.lacks_some() {
            // A lost entry may have archived, retired or revived any of them.
            return Ok(());
        }
        let mut chains = HashSet::new();
        for archive in list {
            match self.archives.get(archive) {
                Some(known) if self.is_retired(archive) => chains.insert(known.chain),
                _ => return Err(EntryRefusal::DeletedVisible { archive: *archive }),
            };
        }
        let left = self
            .archives
            .iter()
            .filter(|(id, known)| chains.contains(&known.chain) && list.binary_search(id).is_err())
            .map(|(id, _)| *id)
            // One of several, and always the same one.
            .min();
        match left {
            Some(left) => Err(EntryRefusal::DeletedInPart { left }),
            None => Ok(()),
        }
    }
}
