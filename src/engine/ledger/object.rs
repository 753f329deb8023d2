//! The objects of a ledger's entries in the store, and what each is.

use crate::engine::context::open_source::OpenSource;
use crate::engine::ledger::listing::require_absent;
use crate::error::Error;
use crate::ledger::{Absorbed, PublicKey, Refusal, Refused, Replay, within_reach};
use crate::model::entry::FURTHEST;
use crate::model::keys;
use crate::store::{ErrorKind, Store, StoreError};

/// The largest ledger entry that is read: an archive of 500,000 segments has one of 58 MiB, and 64 MiB are
/// what a store can make anybody hold who has not seen a signature yet.
pub(in crate::engine) const MAX_ENTRY_BYTES: u64 = 64 << 20;

/// How long an entry may be to be fetched together with others: nearly all are.
const SMALL_ENTRY_BYTES: u64 = 1 << 20;

/// The numbers that a store has an object for, in ascending order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::engine) struct Numbers {
    /// Those that can be entries.
    pub(in crate::engine) near: Vec<u64>,
    /// The first of those that are too far beyond the others, and how many these are.
    pub(in crate::engine) far: Option<(u64, usize)>,
}

impl Numbers {
    /// Of a ledger that is known as far as entry `head`, or of which nothing is known (0).
    pub(in crate::engine) fn of(mut numbers: Vec<u64>, head: u64) -> Self {
        numbers.sort_unstable();
        numbers.dedup();
        let reached = within_reach(&numbers, head);
        let far = numbers.split_off(reached);
        Self {
            near: numbers,
            far: far.first().map(|first| (*first, far.len())),
        }
    }

    /// What is to be told of numbers that are no entries.
    pub(in crate::engine) fn told(&self) -> Option<String> {
        let (first, many) = self.far?;
        let objects = if many == 1 {
            "one object has".to_owned()
        } else {
            format!("{many} objects have")
        };
        Some(format!(
            "{objects} a number that no entry of this ledger can have (from {first} on, more than {FURTHEST} \
             beyond the last): left alone"
        ))
    }
}

/// What the object of a number is.
pub(in crate::engine) enum Judged {
    /// The entry that belongs there.
    Entry {
        /// The object, as it was fetched in the end.
        object: Vec<u8>,
        /// What it says.
        absorbed: Box<Absorbed>,
    },
    /// An entry that a key of the ledger has signed and that does not fit.
    Forked {
        /// The key.
        by: PublicKey,
        /// Why it does not fit.
        why: Refusal,
    },
    /// Something else, and why.
    Refused(Refused, Refusal),
}

/// The numbers that the store has an object for, where entries are known as far as `head`.
pub(in crate::engine) fn stored_numbers(
    source: &OpenSource<'_>,
    head: u64,
) -> Result<Numbers, Error> {
    let directory = &source.row.directory;
    let listed = source.store.list(&keys::ledger_prefix(directory))?;
    let numbers = listed
        .iter()
        .filter_map(|listed| keys::ledger_seq(directory, &listed.key));
    Ok(Numbers::of(numbers.collect(), head))
}

/// Makes sure that the store has no object for a number that its listing lacks.
pub(in crate::engine) fn require_no_entry(
    store: &dyn Store,
    directory: &str,
    seq: u64,
) -> Result<(), Error> {
    require_absent(store, &keys::ledger_entry(directory, seq))
}

pub(in crate::engine) fn fetch(source: &OpenSource<'_>, seq: u64) -> Result<Vec<u8>, StoreError> {
    let key = keys::ledger_entry(&source.row.directory, seq);
    source
        .store
        .get(&source.store.locate(&key), MAX_ENTRY_BYTES)
}

/// The same, but for what is too long to be held together with others: that is
/// [`ErrorKind::TooLarge`], and has to be fetched alone.
pub(in crate::engine) fn fetch_small(
    source: &OpenSource<'_>,
    seq: u64,
) -> Result<Vec<u8>, StoreError> {
    let key = keys::ledger_entry(&source.row.directory, seq);
    source
        .store
        .get(&source.store.locate(&key), SMALL_ENTRY_BYTES)
}

/// Takes in the object of a number that was fetched. One that may be a damaged entry is fetched once
/// more: it may have been damaged on its way.
pub(in crate::engine) fn judge(
    source: &OpenSource<'_>,
    replay: &mut Replay,
    seq: u64,
    object: Vec<u8>,
) -> Result<Judged, StoreError> {
    let (what, why) = match judge_once(replay, seq, object) {
        Judged::Refused(Refused::Suspect, why) => (Refused::Suspect, why),
        judged => return Ok(judged),
    };
    match fetch(source, seq) {
        Ok(again) => Ok(judge_once(replay, seq, again)),
        Err(error) if is_no_entry(&error) => Ok(Judged::Refused(what, why)),
        Err(error) => Err(error),
    }
}

fn judge_once(replay: &mut Replay, seq: u64, object: Vec<u8>) -> Judged {
    match replay.absorb(seq, &object) {
        Ok(absorbed) => Judged::Entry {
            object,
            absorbed: Box::new(absorbed),
        },
        Err(why) => match (replay.what_is(&object, &why), replay.signer_of(&object)) {
            (Refused::Fork, Some(by)) => Judged::Forked {
                by: by.clone(),
                why,
            },
            (what, _) => Judged::Refused(what, why),
        },
    }
}

/// Whether the answer says that what the store has there is nothing, or can be no entry.
pub(in crate::engine) fn is_no_entry(error: &StoreError) -> bool {
    error.is_not_found()
        || matches!(
            error.kind,
            ErrorKind::Corrupted
                | ErrorKind::TooLarge
                | ErrorKind::TooShort
                | ErrorKind::NotAnObject
        )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::segment::MOST_SEGMENTS;
    use crate::model::{SegmentRecord, Sha256};

    #[test]
    fn an_entry_has_room_for_as_many_segments_as_an_archive_may_have() {
        let longest = SegmentRecord {
            raw_bytes: 1 << 30,
            sealed_bytes: (1 << 30) + (1 << 24),
            sha256: Sha256([0xff; 32]),
        };
        let line = serde_json::to_vec(&longest).unwrap().len() as u64 + 1;
        assert!(line * u64::from(MOST_SEGMENTS) + (1 << 20) < MAX_ENTRY_BYTES);
    }

    #[test]
    fn numbers_that_are_far_beyond_the_others_are_told_and_left_alone() {
        let far = u64::MAX >> 11;
        let numbers = Numbers::of(vec![far, 2, 1, 2, far - 1], 0);
        assert_eq!(numbers.near, [1, 2]);
        assert_eq!(numbers.far, Some((far - 1, 2)));
        let told = numbers.told().unwrap();
        assert!(told.starts_with("2 objects have a number"), "{told}");
        assert_eq!(Numbers::of(vec![3, 1], 0).told(), None);
        // What was seen committed lies before what may follow it.
        let numbers = Numbers::of(vec![20_000], 15_000);
        assert_eq!((&numbers.near[..], numbers.far), (&[20_000][..], None));
    }
}
