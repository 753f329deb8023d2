//! The ledger as it lies in the store, read by nobody's leave: what was seen once is held against
//! what is there later.

use std::collections::{BTreeMap, BTreeSet};

use coldchain::ledger::{decode_body, split};
use coldchain::model::entry::{ArchiveEntry, EntryKind};
use coldchain::model::{ArchiveId, keys};
use coldchain::store::{MemoryStore, Store};

use crate::common::lab::SOURCE;

/// How the bytes begin that somebody else has put among the entries.
pub(super) const GARBAGE: &[u8] = b"garbage";

/// All entries that were ever seen.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    objects: BTreeMap<u64, Vec<u8>>,
    pub(super) archives: BTreeMap<ArchiveId, ArchiveEntry>,
    /// By the number of the entry that retires them.
    pub(super) retired: BTreeMap<ArchiveId, u64>,
}

impl Ledger {
    /// The number that comes next.
    pub(super) fn next(&self) -> u64 {
        self.objects.len() as u64 + 1
    }

    pub(super) fn is_open(&self) -> bool {
        !self.objects.is_empty()
    }

    /// The key of an entry.
    pub(super) fn key(seq: u64) -> String {
        keys::ledger_entry(SOURCE, seq)
    }

    /// Reads on, and returns the archives of the entries that are new. Panics unless what was read
    /// before is still there, and no number is left out.
    pub(super) fn read(&mut self, store: &MemoryStore) -> Vec<ArchiveEntry> {
        let listed = store.list(&keys::ledger_prefix(SOURCE)).unwrap();
        let numbers: BTreeSet<u64> = listed
            .iter()
            .map(|listed| keys::ledger_seq(SOURCE, &listed.key).expect("only entries lie there"))
            .collect();
        let head = numbers.last().copied().unwrap_or(0);
        assert!(
            numbers.iter().copied().eq(1..=head),
            "the ledger has the numbers {numbers:?}"
        );
        assert!(
            head + 1 >= self.next(),
            "the ledger's head went back to {head}"
        );
        let mut new = Vec::new();
        for seq in numbers {
            let object = store.get(&store.locate(&Self::key(seq)), u64::MAX).unwrap();
            if let Some(before) = self.objects.get(&seq) {
                assert!(object == *before, "entry {seq} was written anew");
                continue;
            }
            if !object.starts_with(GARBAGE) {
                let (body, _) = split(&object).unwrap();
                match decode_body(body).unwrap().kind {
                    EntryKind::Archive(archive) => {
                        self.may_come(&archive);
                        new.push((*archive).clone());
                        self.archives.insert(archive.id, *archive);
                    }
                    EntryKind::Retire(retire) => {
                        for id in retire.archives {
                            assert!(!self.archives.contains_key(&id), "{id} was retired");
                            self.retired.insert(id, seq);
                        }
                    }
                    EntryKind::Revive(revive) => panic!("{:?} come back", revive.archives),
                    EntryKind::Delete(delete) => panic!("{:?} are deleted", delete.archives),
                    EntryKind::Moved(moved) => panic!("it moved to {}", moved.place),
                    EntryKind::Open(_) => assert_eq!(seq, 1, "it is opened once"),
                    EntryKind::Rotate(_) | EntryKind::Attach(_) => {
                        panic!("entry {seq} is about keys")
                    }
                    EntryKind::Unknown(kind) => panic!("entry {seq} is of the kind {kind}"),
                }
            }
            self.objects.insert(seq, object);
        }
        new
    }

    /// Panics unless all that an archive hangs on is there, and it is the first of its date.
    fn may_come(&self, archive: &ArchiveEntry) {
        let id = archive.id;
        assert!(!self.retired.contains_key(&id), "{id} comes after its end");
        let newest = self.archives.keys().map(|id| id.date).max();
        assert!(
            newest.is_none_or(|newest| newest < id.date),
            "{id} comes after {newest:?}"
        );
        let chain = Some(archive.chain).filter(|chain| *chain != id);
        for link in archive.send_parent.iter().chain(&chain) {
            assert!(
                self.archives.contains_key(link),
                "{id} hangs on {link}, which is not there"
            );
        }
    }
}
