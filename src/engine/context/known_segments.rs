//! The index of a source's segments that a store needs which does not list them by key.

use std::collections::BTreeMap;
use std::error::Error as StdError;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use crate::catalog::Catalog;
use crate::engine::context::open_source::OpenSource;
use crate::error::Error;
use crate::ledger::{LedgerError, decode_body, split};
use crate::model::{LedgerId, VaultLocator};
use crate::store::{KnownSegment, KnownSegments};

/// The segments of a ledger as the catalog has them at one moment.
struct CatalogIndex {
    ledger: LedgerId,
    segments: BTreeMap<String, KnownSegment>,
}

impl KnownSegments for CatalogIndex {
    fn ledger(&self) -> LedgerId {
        self.ledger
    }

    fn find(&self, key: &str) -> Result<Option<KnownSegment>, Box<dyn StdError + Send + Sync>> {
        Ok(self.segments.get(key).cloned())
    }

    fn under(&self, prefix: &str) -> Result<Vec<KnownSegment>, Box<dyn StdError + Send + Sync>> {
        let from_there = self.segments.range(prefix.to_owned()..);
        let under = from_there.take_while(|(key, _)| key.starts_with(prefix));
        Ok(under.map(|(_, known)| known.clone()).collect())
    }
}

/// Gives the store of a source's home the segments that the catalog has, if it finds them in no other way. This is
/// done again each time that the catalog has learnt of archives.
pub fn know_segments(source: &OpenSource<'_>, catalog: &Catalog) -> Result<(), Error> {
    // A copy finds what it has by keys.
    if catalog.turned_to().is_none() && source.store.needs_index() {
        let index = index(source, catalog)?;
        source.store.know(Arc::new(index));
    }
    Ok(())
}

/// Returns an index of these segments of a ledger.
pub(in crate::engine) fn index_of(
    ledger: LedgerId,
    segments: Vec<KnownSegment>,
) -> Arc<dyn KnownSegments> {
    let by_key = |known: KnownSegment| (known.locator.key.clone(), known);
    Arc::new(CatalogIndex {
        ledger,
        segments: segments.into_iter().map(by_key).collect(),
    })
}

fn index(source: &OpenSource<'_>, catalog: &Catalog) -> Result<CatalogIndex, Error> {
    let ledger = source.row.ledger;
    let signed = signed_at(catalog, &ledger)?;
    let mut now = None;
    let mut segments = BTreeMap::new();
    for archive in catalog.archives(&ledger)? {
        for row in catalog.segments(&archive.id)? {
            // A segment that was sealed and perhaps not stored has no such locator yet.
            let Ok(locator) = row.locator.parse::<VaultLocator>() else {
                continue;
            };
            let stored = match archive.seq.and_then(|seq| signed.get(&seq)) {
                // Its entry was signed after all of its segments were stored.
                Some(signed) => *signed,
                // Nothing says when: an inventory that lacks it is never too new.
                None => match now {
                    Some(now) => now,
                    None => *now.insert(source.store.guessed_now()?),
                },
            };
            let known = KnownSegment {
                bytes: row.record.sealed_bytes,
                stored,
                locator,
            };
            segments.insert(known.locator.key.clone(), known);
        }
    }
    Ok(CatalogIndex { ledger, segments })
}

/// Returns when each entry was signed, by its number. An entry that is not in the store yet is left out.
pub(in crate::engine) fn signed_at(
    catalog: &Catalog,
    ledger: &LedgerId,
) -> Result<BTreeMap<u64, DateTime<Utc>>, Error> {
    let mut signed = BTreeMap::new();
    for entry in catalog.entries(ledger)? {
        if entry.committed {
            let (body, _) = split(&entry.object).map_err(LedgerError::from)?;
            let entry_body = decode_body(body).map_err(LedgerError::from)?;
            signed.insert(entry.seq, entry_body.head.made_at.0);
        }
    }
    Ok(signed)
}
