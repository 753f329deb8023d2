//! What an `attach` entry may name.

use super::Replay;
use crate::ledger::error::EntryRefusal;
use crate::model::entry::AttachEntry;

impl Replay {
    /// Checks that each object belongs to an archive of an earlier entry, retired or not.
    pub(super) fn check_attach(&self, attach: &AttachEntry) -> Result<(), EntryRefusal> {
        if attach.objects.is_empty() {
            return Err(EntryRefusal::AttachNothing);
        }
        let mut archives = attach.objects.iter().map(|object| object.archive);
        match archives.find(|id| !self.archives.contains_key(id)) {
            // Its entry may be among those that are lost.
            Some(archive) if !self.lacks_some() => Err(EntryRefusal::AttachUnknown { archive }),
            _ => Ok(()),
        }
    }
}
