//! The segments in a vault that the entries of a ledger name which is being read.

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::Mutex;

use crate::engine::context::open_source::OpenSource;
use crate::engine::ledger::locators::vault_locators;
use crate::model::LedgerId;
use crate::model::entry::{ArchiveEntry, Timestamp};
use crate::store::{KnownSegment, KnownSegments};

/// An index that grows while the ledger is read, so that its vault can list what the entries name.
pub(super) struct ReadSegments {
    ledger: LedgerId,
    by_key: Mutex<BTreeMap<String, KnownSegment>>,
}

impl ReadSegments {
    /// An index of a ledger without any segment so far.
    pub(super) fn of(ledger: LedgerId) -> Self {
        Self {
            ledger,
            by_key: Mutex::default(),
        }
    }

    /// Adds the segments of an archive, if the source's store is the vault that has them.
    pub(super) fn add(&self, source: &OpenSource<'_>, archive: &ArchiveEntry, made_at: Timestamp) {
        let locators = vault_locators(&source.row.directory, archive, &source.store.url());
        let mut by_key = self.by_key.lock().expect("no holder panics");
        for (locator, record) in locators.into_iter().zip(&archive.segments) {
            let key = locator.key.clone();
            let known = KnownSegment {
                locator,
                bytes: record.sealed_bytes,
                // The entry was made after all of them were stored.
                stored: made_at.0,
            };
            by_key.insert(key, known);
        }
    }

    /// Whether it has no segment.
    pub(super) fn is_empty(&self) -> bool {
        self.by_key.lock().expect("no holder panics").is_empty()
    }
}

impl KnownSegments for ReadSegments {
    fn ledger(&self) -> LedgerId {
        self.ledger
    }

    fn find(&self, key: &str) -> Result<Option<KnownSegment>, Box<dyn Error + Send + Sync>> {
        let by_key = self.by_key.lock().expect("no holder panics");
        Ok(by_key.get(key).cloned())
    }

    fn under(&self, prefix: &str) -> Result<Vec<KnownSegment>, Box<dyn Error + Send + Sync>> {
        let by_key = self.by_key.lock().expect("no holder panics");
        let from_there = by_key.range(prefix.to_owned()..);
        let under = from_there.take_while(|(key, _)| key.starts_with(prefix));
        Ok(under.map(|(_, segment)| segment.clone()).collect())
    }
}
