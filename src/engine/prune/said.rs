//! What a ledger's entries say of archives: which are visible, which are retired and since when.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};

use crate::catalog::EntryRow;
use crate::error::Error;
use crate::ledger::{AttachedContents, LedgerError, decode_body, split};
use crate::model::entry::{ArchiveEntry, EntryKind};
use crate::model::keys::ArchiveObject;
use crate::model::{ArchiveId, ContentsRecord, keys};
use crate::plan::{Deletion, InLedger, RetiredArchive};
use crate::store::Store;

/// Returns when each object of a ledger was stored, by its number and by the store's clock.
pub(in crate::engine) fn stored_at(
    directory: &str,
    store: &dyn Store,
) -> Result<BTreeMap<u64, DateTime<Utc>>, Error> {
    let listed = store.list(&keys::ledger_prefix(directory))?;
    let numbered = listed.iter().filter_map(|listed| {
        let seq = keys::ledger_seq(directory, &listed.key)?;
        Some((seq, listed.stat.modified))
    });
    Ok(numbered.collect())
}

/// Returns `None` for a time that the store did not report: such a time is the Unix epoch.
pub(super) fn told(time: DateTime<Utc>) -> Option<DateTime<Utc>> {
    (time > DateTime::UNIX_EPOCH).then_some(time)
}

/// What entries say of archive ids, and when the newest archive's entry was stored.
#[derive(Default)]
pub(in crate::engine) struct Said {
    pub(in crate::engine) archives: BTreeMap<ArchiveId, InLedger>,
    pub(in crate::engine) retired: BTreeMap<ArchiveId, RetiredArchive>,
    /// The full of each archive's chain.
    pub(in crate::engine) chains: BTreeMap<ArchiveId, ArchiveId>,
    pub(in crate::engine) newest_archive: Option<DateTime<Utc>>,
    /// The first number with an object in the store that is not among these entries.
    pub(in crate::engine) unread: Option<u64>,
}

impl Said {
    /// Reads entries in their order. `stored` are the times at which they were stored, and may have more
    /// numbers.
    pub(in crate::engine) fn of(
        directory: &str,
        entries: &[EntryRow],
        stored: &BTreeMap<u64, DateTime<Utc>>,
    ) -> Result<Self, Error> {
        let is_read: BTreeSet<u64> = entries.iter().map(|entry| entry.seq).collect();
        let mut said = Self {
            unread: stored.keys().copied().find(|seq| !is_read.contains(seq)),
            ..Self::default()
        };
        let mut known: BTreeMap<ArchiveId, RetiredArchive> = BTreeMap::new();
        let mut contents = AttachedContents::default();
        let mut archives: Vec<(u64, ArchiveEntry)> = Vec::new();
        for entry in entries {
            let at = stored.get(&entry.seq).copied().and_then(told);
            let (body, _) = split(&entry.object).map_err(LedgerError::from)?;
            let kind = decode_body(body).map_err(LedgerError::from)?.kind;
            contents.note(entry.seq, &kind);
            match kind {
                EntryKind::Archive(archive) => {
                    let objects = own_objects(directory, &archive);
                    let as_retired = RetiredArchive {
                        id: archive.id,
                        chain: archive.chain,
                        since: None,
                        retain_until: archive.retain_until.map(|until| until.0),
                        deletion: Deletion::NotBegun,
                        objects: objects.clone(),
                    };
                    known.insert(archive.id, as_retired);
                    said.chains.insert(archive.id, archive.chain);
                    said.archives.insert(archive.id, InLedger::Visible(objects));
                    said.newest_archive = stored.get(&entry.seq).copied();
                    // No more of it than tells which contents it has.
                    let archive = ArchiveEntry {
                        segments: Vec::new(),
                        key: String::new(),
                        private: String::new(),
                        ..*archive
                    };
                    archives.push((entry.seq, archive));
                }
                EntryKind::Retire(retire) => said.retire(&retire.archives, at, &known),
                EntryKind::Revive(revive) => said.bring_back(&revive.archives),
                EntryKind::Rotate(rotate) => {
                    said.retire(&rotate.retires, at, &known);
                    said.bring_back(&rotate.revives);
                }
                EntryKind::Delete(delete) => {
                    for id in &delete.archives {
                        if let Some(archive) = said.retired.get_mut(id) {
                            archive.deletion = Deletion::Begun;
                        }
                    }
                }
                EntryKind::Open(_)
                | EntryKind::Attach(_)
                | EntryKind::Moved(_)
                | EntryKind::Unknown(_) => {}
            }
        }
        for (seq, archive) in &archives {
            // Contents that were replaced stay with their archive: they count again if what replaces them is voided.
            for record in contents.of(*seq, archive) {
                said.add(
                    &archive.id,
                    contents_objects(directory, &archive.id, record),
                );
            }
        }
        Ok(said)
    }

    /// Adds objects that a later entry has attached to an archive.
    fn add(&mut self, archive: &ArchiveId, objects: BTreeMap<String, u64>) {
        if let Some(retired) = self.retired.get_mut(archive) {
            retired.objects.extend(objects.clone());
        }
        match self.archives.get_mut(archive) {
            Some(InLedger::Visible(own) | InLedger::RetiredArchive(own)) => own.extend(objects),
            Some(InLedger::RetiredAttempt { .. }) | None => {}
        }
    }

    /// Notes archives that are in `known` as retired since then, and the others as retired attempts.
    fn retire(
        &mut self,
        archives: &[ArchiveId],
        since: Option<DateTime<Utc>>,
        known: &BTreeMap<ArchiveId, RetiredArchive>,
    ) {
        for id in archives {
            let was = match known.get(id) {
                Some(archive) => {
                    let archive = archive.clone();
                    let objects = archive.objects.clone();
                    self.retired
                        .insert(*id, RetiredArchive { since, ..archive });
                    InLedger::RetiredArchive(objects)
                }
                None => InLedger::RetiredAttempt { since },
            };
            self.archives.insert(*id, was);
        }
    }

    fn bring_back(&mut self, archives: &[ArchiveId]) {
        for id in archives {
            if let Some(archive) = self.retired.remove(id) {
                self.archives
                    .insert(*id, InLedger::Visible(archive.objects));
            }
        }
    }
}

/// Returns the keys of the objects of an archive's contents with their lengths.
fn contents_objects(
    directory: &str,
    archive: &ArchiveId,
    contents: &ContentsRecord,
) -> BTreeMap<String, u64> {
    let objects = (0..).zip(&contents.objects);
    objects
        .map(|(index, object)| {
            let key = keys::contents(directory, archive, index, &object.sha256);
            (key, object.sealed_bytes)
        })
        .collect()
}

/// Returns the keys of an archive's objects with their lengths.
pub(in crate::engine) fn own_objects(
    directory: &str,
    archive: &ArchiveEntry,
) -> BTreeMap<String, u64> {
    ArchiveObject::of_entry(directory, archive)
        .filter_map(|object| Some((object.key, object.signed?.bytes)))
        .collect()
}
