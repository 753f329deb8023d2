//! Which contents an archive has: those of its own entry, or else the first that were attached and not voided.

use std::collections::{BTreeMap, HashSet};

use crate::model::entry::{ArchiveEntry, Attachment, EntryKind};
use crate::model::{ArchiveId, ContentsRecord, Sha256};

/// The contents that the entries of a ledger attach to archives. The entries are noted in their order.
#[derive(Debug, Clone, Default)]
pub struct AttachedContents {
    attached: BTreeMap<ArchiveId, Vec<AttachedRecord>>,
    voided: HashSet<u64>,
}

/// Contents in an `attach` entry.
#[derive(Debug, Clone)]
struct AttachedRecord {
    seq: u64,
    recipients: Sha256,
    record: ContentsRecord,
}

impl AttachedContents {
    /// Notes what an accepted entry attaches, and what it voids.
    pub fn note(&mut self, seq: u64, kind: &EntryKind) {
        match kind {
            EntryKind::Attach(attach) => {
                for object in &attach.objects {
                    let Some(record) = contents_of(object) else {
                        continue;
                    };
                    self.attached
                        .entry(object.archive)
                        .or_default()
                        .push(AttachedRecord {
                            seq,
                            recipients: object.recipients,
                            record: record.clone(),
                        });
                }
            }
            EntryKind::Rotate(rotate) => self.voided.extend(&rotate.voids),
            _ => {}
        }
    }

    /// Returns the first contents that a later entry than `seq` attaches to an archive with these recipients, and that
    /// no entry noted so far voids.
    pub fn first(
        &self,
        archive: &ArchiveId,
        seq: u64,
        recipients: &Sha256,
    ) -> Option<&ContentsRecord> {
        let attached = self.attached.get(archive)?;
        let valid = attached.iter().find(|attached| {
            attached.seq > seq
                && attached.recipients == *recipients
                && !self.voided.contains(&attached.seq)
        });
        valid.map(|attached| &attached.record)
    }

    /// Gives an archive the contents that were attached to it, if it has none of its own. `seq` is the number of its
    /// entry.
    pub fn complete(&self, seq: u64, archive: &mut ArchiveEntry) {
        if archive.contents.is_none() {
            let first = self.first(&archive.id, seq, &archive.recipients);
            archive.contents = first.cloned();
        }
    }
}

/// The contents in an attachment; `None` if it is something else.
pub fn contents_of(object: &Attachment) -> Option<&ContentsRecord> {
    let contents = object.contents.as_ref();
    contents.filter(|_| object.what == Attachment::CONTENTS)
}
