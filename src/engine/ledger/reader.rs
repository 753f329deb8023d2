//! Reads entries of a ledger from the store: several at once, as many as fit in memory, in their order.

use crate::catalog::SourceRow;
use crate::engine::context::open_source::OpenSource;
use crate::engine::restore::thaw::ask_all;
use crate::ledger::{PublicKey, Trust};
use crate::model::keys;
use crate::store::StoreError;

/// The most entries that are fetched before they are judged.
const BATCH: usize = 64;

/// The most bytes of these entries. A longer entry is fetched alone.
const BATCH_BYTES: u64 = 16 << 20;

/// Returns what a source's ledger has to be, by its row in the catalog and that root key.
pub(in crate::engine) fn trust_in(row: &SourceRow, root: &PublicKey) -> Trust {
    Trust {
        ledger: row.ledger,
        source_directory: row.directory.clone(),
        root: root.clone(),
    }
}

/// An entry to fetch.
#[derive(Debug, Clone, Copy)]
pub(in crate::engine) struct WantedEntry {
    /// Its number.
    pub(in crate::engine) seq: u64,
    /// The most bytes to read of it; a longer one is an error.
    pub(in crate::engine) at_most: u64,
}

/// Splits the entries into batches that are held in memory at a time.
pub(in crate::engine) fn batches(mut wanted: &[WantedEntry]) -> Vec<&[WantedEntry]> {
    let mut batches = Vec::new();
    while let Some(first) = wanted.first() {
        let mut bytes = first.at_most;
        let mut length = 1;
        while length < BATCH.min(wanted.len()) && bytes + wanted[length].at_most <= BATCH_BYTES {
            bytes += wanted[length].at_most;
            length += 1;
        }
        let (batch, rest) = wanted.split_at(length);
        batches.push(batch);
        wanted = rest;
    }
    batches
}

/// The objects under the numbers of a batch, in the order of these numbers.
pub(in crate::engine) type Fetched = Vec<(u64, Result<Vec<u8>, StoreError>)>;

/// Fetches the objects under these numbers, and returns them in this order. An error that concerns one object
/// stands in its place; any other ends the reading.
pub(in crate::engine) fn fetch_all(
    source: &OpenSource<'_>,
    wanted: &[WantedEntry],
) -> Result<Fetched, StoreError> {
    let (mut answers, failed) = ask_all(wanted, |wanted| {
        let key = keys::ledger_entry(&source.row.directory, wanted.seq);
        match source.store.get(&source.store.locate(&key), wanted.at_most) {
            Err(error) if !error.is_not_found() && !error.is_of_one_object() => Err(error),
            fetched => Ok(fetched),
        }
    });
    if let Some((_, error)) = failed {
        return Err(error);
    }
    answers.sort_by_key(|(at, _)| *at);
    let objects = answers.into_iter();
    Ok(objects
        .map(|(at, object)| (wanted[at].seq, object))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lengths(bytes: &[u64]) -> Vec<usize> {
        let wanted: Vec<WantedEntry> = (1..)
            .zip(bytes)
            .map(|(seq, bytes)| WantedEntry {
                seq,
                at_most: *bytes,
            })
            .collect();
        batches(&wanted)
            .into_iter()
            .map(<[WantedEntry]>::len)
            .collect()
    }

    #[test]
    fn entries_are_fetched_together_as_far_as_memory_goes_and_large_ones_alone() {
        assert_eq!(lengths(&[]), [0; 0]);
        assert_eq!(lengths(&[1000; 130]), [64, 64, 2]);
        assert_eq!(lengths(&[200 << 20, 200 << 20, 1000, 1000]), [1, 1, 2]);
        assert_eq!(lengths(&[1000, 200 << 20, 1000]), [1, 1, 1]);
        assert_eq!(lengths(&[8 << 20, 8 << 20, 1]), [2, 1]);
    }
}
