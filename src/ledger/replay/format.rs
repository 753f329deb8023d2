//! The format that an entry has to have: that of the archives that it names.

use super::Replay;
use crate::ledger::error::EntryRefusal;
use crate::model::ArchiveId;
use crate::model::entry::{ArchiveEntry, Entry, EntryKind, FORMAT, ROTATE_FORMAT, VAULT_FORMAT};

impl Replay {
    /// Returns the format in which the next entry is written if it is this: the lowest that has what it says. A
    /// `rotate` that voids entries may need a higher one.
    pub fn format_for(&self, kind: &EntryKind) -> u32 {
        match kind {
            EntryKind::Archive(archive) if archive.vault.is_some() => VAULT_FORMAT,
            EntryKind::Rotate(rotate)
                if !(rotate.retires.is_empty() && rotate.revives.is_empty()) =>
            {
                ROTATE_FORMAT
            }
            _ => self.named(kind).map_or(FORMAT, |(_, format)| format),
        }
    }

    /// Checks that the format of an entry is that of each archive which it names, or higher.
    ///
    /// A version that knows format 1 alone has not seen the archives of format 2. It refuses an entry of format 1 that
    /// builds on such an archive, revives it, deletes it, or attaches something to it. So this version does the same.
    /// But that version takes a `retire` of an id that it does not know, since that may be an attempt. So this version
    /// takes it too: both go on, and neither shows the archive. Where an entry is lost, the archive may have been in
    /// it, and neither version refuses anything.
    pub(super) fn check_format(&self, entry: &Entry) -> Result<(), EntryRefusal> {
        if self.lacks_some() || matches!(entry.kind, EntryKind::Retire(_) | EntryKind::Rotate(_)) {
            return Ok(());
        }
        match self.named(&entry.kind) {
            Some((archive, needed)) if entry.head.format < needed => {
                Err(EntryRefusal::LowFormat { archive, needed })
            }
            _ => Ok(()),
        }
    }

    /// Returns the archive with the highest format among those that an entry names, and that format.
    fn named(&self, kind: &EntryKind) -> Option<(ArchiveId, u32)> {
        let of_list = |list: &[ArchiveId]| self.highest(list.iter().copied());
        match kind {
            EntryKind::Archive(archive) => self.highest(
                [Some(archive.chain), archive.send_parent]
                    .into_iter()
                    .flatten(),
            ),
            EntryKind::Retire(retire) => of_list(&retire.archives),
            EntryKind::Revive(revive) => of_list(&revive.archives),
            EntryKind::Delete(delete) => of_list(&delete.archives),
            EntryKind::Attach(attach) => {
                self.highest(attach.objects.iter().map(|object| object.archive))
            }
            EntryKind::Rotate(rotate) => {
                self.highest(rotate.retires.iter().chain(&rotate.revives).copied())
            }
            EntryKind::Open(_) | EntryKind::Moved(_) | EntryKind::Unknown(_) => None,
        }
    }

    fn highest(&self, named: impl Iterator<Item = ArchiveId>) -> Option<(ArchiveId, u32)> {
        let known = named.filter_map(|id| Some((id, self.archives.get(&id)?.format)));
        known.max_by_key(|(_, format)| *format)
    }

    /// Checks what an `archive` entry says of its vault.
    pub(super) fn check_vault(&self, archive: &ArchiveEntry) -> Result<(), EntryRefusal> {
        let Some(vault) = &archive.vault else {
            return Ok(());
        };
        let id = archive.id;
        let inconsistent = |what| Err(EntryRefusal::Inconsistent { archive: id, what });
        if !vault.has_names() {
            return inconsistent("its vault has not the name of a vault, or of a region");
        }
        if vault.segments.len() != archive.segments.len() {
            return inconsistent("its vault has another number of segments");
        }
        // Deleting one archive must never delete a segment of another.
        let mut ids: Vec<u128> = vault.short_ids().collect();
        if ids.iter().any(|id| self.in_vaults.contains(id)) {
            return inconsistent("a segment of an earlier archive has the same id in the vault");
        }
        ids.sort_unstable();
        if ids.array_windows().any(|[one, next]| one == next) {
            return inconsistent("two of its segments have the same id in the vault");
        }
        Ok(())
    }
}
