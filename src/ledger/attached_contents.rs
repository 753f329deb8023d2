//! Which contents an archive has: those of its own entry, or else the first that were attached and not voided; unless
//! later ones replace them, because they are lost.

use std::collections::{BTreeMap, HashSet};

use crate::model::entry::{ArchiveEntry, Attachment, EntryKind};
use crate::model::{ArchiveId, ContentsRecord, NamedContents, Sha256, counting_contents};

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
    replaces: Option<u64>,
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
                            replaces: object.replaces,
                            record: record.clone(),
                        });
                }
            }
            EntryKind::Rotate(rotate) => self.voided.extend(&rotate.voids),
            _ => {}
        }
    }

    /// Returns the contents of an archive that have counted, one after the other, without what entries noted so far void;
    /// those of the last one count now. `seq` is the number of the archive's entry, and `archive` has the contents that
    /// this entry names.
    pub fn of<'a>(&'a self, seq: u64, archive: &'a ArchiveEntry) -> Vec<&'a ContentsRecord> {
        let own = archive.contents.iter().map(|record| (seq, None, record));
        let attached = self.attached.get(&archive.id).into_iter().flatten();
        let attached = attached.filter(|attached| {
            attached.seq > seq
                && attached.recipients == archive.recipients
                && !self.voided.contains(&attached.seq)
        });
        let attached = attached.map(|attached| (attached.seq, attached.replaces, &attached.record));
        let mut named: Vec<_> = own.chain(attached).collect();
        // Of several in one entry the first counts.
        named.dedup_by_key(|(entry, _, _)| *entry);
        let entries = named
            .iter()
            .map(|&(entry, replaces, _)| NamedContents { entry, replaces });
        let counting = counting_contents(entries);
        let counts = |(entry, _, _): &(u64, _, _)| counting.contains(entry);
        let counted = named.into_iter().filter(counts);
        counted.map(|(_, _, record)| record).collect()
    }

    /// Gives an archive the contents that count. `seq` is the number of its entry.
    pub fn complete(&self, seq: u64, archive: &mut ArchiveEntry) {
        archive.contents = self.of(seq, archive).last().map(|record| (*record).clone());
    }
}

/// The contents in an attachment; `None` if it is something else.
pub fn contents_of(object: &Attachment) -> Option<&ContentsRecord> {
    let contents = object.contents.as_ref();
    contents.filter(|_| object.what == Attachment::CONTENTS)
}
