//! The ledger of a copy: a prefix of home's, byte for byte, with the numbers that home's entries pass over.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use crate::catalog::Catalog;
use crate::engine::backup::put_verified::put;
use crate::engine::context::open_source::OpenSource;
use crate::engine::ledger::append::README_RESTORE;
use crate::engine::ledger::object::{MAX_ENTRY_BYTES, fetch, is_no_entry};
use crate::error::{CopyError, Error};
use crate::model::{Sha256, keys};
use crate::store::{Listed, NewObject, ObjectKind};

/// The ledger of a copy, compared with home's.
pub(super) struct LedgerCopy {
    /// Objects that the copy lacks, by number; `None` for one that has to be fetched from home.
    lacking: BTreeMap<u64, Option<Vec<u8>>>,
    /// The number of home's newest entry.
    pub(super) head: u64,
    /// Whether the copy has nothing of the ledger yet.
    is_new: bool,
}

impl LedgerCopy {
    /// Compares what the copy has beyond `compared` with home's ledger up to `head`, and always its newest object.
    /// Fails if the copy has anything that home does not have.
    pub(super) fn compare(
        home: &OpenSource<'_>,
        there: &OpenSource<'_>,
        (head, compared): (u64, u64),
        listed: &[Listed],
        catalog: &Catalog,
    ) -> Result<Self, Error> {
        let directory = there.row.directory.as_str();
        let numbers = listed
            .iter()
            .filter_map(|listed| keys::ledger_seq(directory, &listed.key));
        let mut numbers: Vec<u64> = numbers.collect();
        numbers.sort_unstable();
        if let Some(ahead) = numbers.iter().find(|seq| **seq > head) {
            return Err(CopyError::Ahead {
                source_name: there.name().clone(),
                store: there.row.store.clone(),
                seq: *ahead,
                head,
            }
            .into());
        }
        let newest = numbers.last().copied();
        let entries = catalog.entries(&home.row.ledger)?;
        let committed = entries.into_iter().filter(|entry| entry.committed);
        let mut ours: BTreeMap<u64, Option<Vec<u8>>> = (1..=head).map(|seq| (seq, None)).collect();
        ours.extend(committed.map(|entry| (entry.seq, Some(entry.object))));
        for seq in numbers {
            let Some(known) = ours.remove(&seq) else {
                continue;
            };
            if seq <= compared && Some(seq) != newest {
                continue;
            }
            let same = match known {
                Some(object) => is_same(there, seq, &object)?,
                None => match at_home(home, seq)? {
                    Some(object) => is_same(there, seq, &object)?,
                    None => false,
                },
            };
            if !same {
                return Err(CopyError::Differs {
                    source_name: there.name().clone(),
                    store: there.row.store.clone(),
                    seq,
                }
                .into());
            }
        }
        Ok(Self {
            lacking: ours,
            head,
            is_new: newest.is_none(),
        })
    }

    /// The first entry of home that the copy lacks.
    pub(super) fn lacks(&self) -> Option<u64> {
        let entries = self.lacking.iter();
        let mut entries = entries.filter(|(_, object)| object.is_some());
        entries.next().map(|(seq, _)| *seq)
    }

    /// Puts what the copy lacks, in ascending order. Returns how many objects were put.
    pub(super) fn put(
        &mut self,
        home: &OpenSource<'_>,
        there: &OpenSource<'_>,
        retain_until: Option<DateTime<Utc>>,
    ) -> Result<u64, Error> {
        let directory = there.row.directory.as_str();
        if self.is_new {
            let key = keys::readme(directory);
            let text = README_RESTORE.as_bytes();
            let readme = NewObject::new(&key, text, Sha256::of(text), ObjectKind::Ledger);
            // A signpost only: one that is there is left alone, whatever it says.
            there.store.put_if_absent(&readme)?;
            self.is_new = false;
        }
        let mut done = 0;
        while let Some((seq, object)) = self.lacking.pop_first() {
            let object = match object {
                Some(object) => object,
                // Home may have no object under a number that its entries pass over.
                None => match at_home(home, seq)? {
                    Some(object) => object,
                    None => continue,
                },
            };
            let key = keys::ledger_entry(directory, seq);
            let sha256 = Sha256::of(&object);
            let new = NewObject {
                retain_until,
                ..NewObject::new(&key, object, sha256, ObjectKind::Ledger)
            };
            put(there.store.as_ref(), &new)?;
            done += 1;
        }
        Ok(done)
    }
}

/// Returns whether the copy has these bytes under a number. What does not match is fetched once more: it may have
/// been damaged on its way.
fn is_same(there: &OpenSource<'_>, seq: u64, object: &[u8]) -> Result<bool, Error> {
    for _ in 0..2 {
        match fetch(there, seq) {
            Ok(theirs) if theirs == object => return Ok(true),
            Ok(_) => {}
            Err(error) if is_no_entry(&error) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(false)
}

/// Returns home's object under a number that is no entry of the ledger.
fn at_home(home: &OpenSource<'_>, seq: u64) -> Result<Option<Vec<u8>>, Error> {
    let key = keys::ledger_entry(&home.row.directory, seq);
    match home.store.get(&home.store.locate(&key), MAX_ENTRY_BYTES) {
        Ok(object) => Ok(Some(object)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error.into()),
    }
}
