//! The objects of a ledger in the store, and what each of them is.

use crate::engine::context::open_source::OpenSource;
use crate::engine::ledger::listing::require_absent;
use crate::engine::ledger::markers::PlaceMarkers;
use crate::error::Error;
use crate::ledger::{Absorbed, EntryRefusal, PublicKey, Refused, Replay, within_reach};
use crate::model::entry::FURTHEST;
use crate::model::keys;
use crate::store::{ErrorKind, Store, StoreError};

/// The largest ledger entry that is read. An archive of 500,000 segments has an entry of 58 MiB; in a vault
/// 140,000 segments have at most as much. 64 MiB is
/// what a store can make a reader hold before the signature is checked.
pub(in crate::engine) const MAX_ENTRY_BYTES: u64 = 64 << 20;

/// The largest entry that is fetched together with others. Nearly all entries are smaller.
pub(in crate::engine) const SMALL_ENTRY_BYTES: u64 = 1 << 20;

/// The entry numbers that a store has objects for, in ascending order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::engine) struct EntryNumbers {
    /// Numbers that can be entries.
    pub(in crate::engine) near: Vec<u64>,
    /// The first number that is too far beyond the others, and how many such numbers there are.
    pub(in crate::engine) far: Option<(u64, usize)>,
}

impl EntryNumbers {
    /// Sorts the numbers of a ledger that is known up to entry `head`, or not at all if `head` is 0.
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

    /// Returns the warning about numbers that can't be entries.
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

/// What the object under an entry number is.
pub(in crate::engine) enum JudgedObject {
    /// The entry with this number.
    Entry {
        /// The object. If it was fetched twice, the second one.
        object: Vec<u8>,
        /// What the replay took in from it.
        absorbed: Box<Absorbed>,
    },
    /// An entry that does not fit, although a key of the ledger signed it.
    Forked {
        /// The key.
        by: PublicKey,
        /// Why it does not fit.
        why: EntryRefusal,
    },
    /// Any other object, and why it is refused.
    Refused(Refused, EntryRefusal),
}

/// Lists the entry numbers that the store has objects for, and the markers beside them. Entries are known up to
/// `head`.
pub(in crate::engine) fn stored_numbers(
    source: &OpenSource<'_>,
    head: u64,
) -> Result<(EntryNumbers, PlaceMarkers), Error> {
    let directory = &source.row.directory;
    let listed = source.store.list(&keys::ledger_prefix(directory))?;
    let mut markers = PlaceMarkers::default();
    let mut numbers = Vec::new();
    for listed in &listed {
        match keys::ledger_seq(directory, &listed.key) {
            Some(seq) => numbers.push(seq),
            None => drop(markers.note(directory, &listed.key)),
        }
    }
    Ok((EntryNumbers::of(numbers, head), markers))
}

/// Checks that a number that is not in a listing really has no object.
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

/// Takes a fetched object into the replay. If it may be a damaged entry, fetches it once more, because the
/// damage may have happened on the way.
pub(in crate::engine) fn judge(
    source: &OpenSource<'_>,
    replay: &mut Replay,
    seq: u64,
    object: Vec<u8>,
) -> Result<JudgedObject, StoreError> {
    let (what, why) = match judge_once(replay, seq, object) {
        JudgedObject::Refused(Refused::Suspect, why) => (Refused::Suspect, why),
        judged => return Ok(judged),
    };
    match fetch(source, seq) {
        Ok(again) => Ok(judge_once(replay, seq, again)),
        Err(error) if is_no_entry(&error) => Ok(JudgedObject::Refused(what, why)),
        Err(error) => Err(error),
    }
}

fn judge_once(replay: &mut Replay, seq: u64, object: Vec<u8>) -> JudgedObject {
    match replay.absorb(seq, &object) {
        Ok(absorbed) => JudgedObject::Entry {
            object,
            absorbed: Box::new(absorbed),
        },
        Err(why) => match (replay.what_is(&object, &why), replay.signer_of(&object)) {
            (Refused::Fork, Some(by)) => JudgedObject::Forked {
                by: by.clone(),
                why,
            },
            (what, _) => JudgedObject::Refused(what, why),
        },
    }
}

/// Returns whether this error means that the store has no object there, or one that can't be an entry.
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
    use crate::model::segment::{MOST_SEGMENTS, MOST_SEGMENTS_IN_VAULT};
    use crate::model::{SegmentRecord, Sha256, TreeHash, VaultSegment};

    #[test]
    fn an_entry_has_room_for_as_many_segments_as_an_archive_may_have() {
        let longest = SegmentRecord {
            raw_bytes: 1 << 30,
            sealed_bytes: (1 << 30) + (1 << 24),
            sha256: Sha256([0xff; 32]),
        };
        let line = serde_json::to_vec(&longest).unwrap().len() as u64 + 1;
        assert!(line * u64::from(MOST_SEGMENTS) + (1 << 20) < MAX_ENTRY_BYTES);
        let in_vault = VaultSegment {
            id: "A".repeat(256).parse().unwrap(),
            tree_hash: TreeHash([0xff; 32]),
        };
        let line = line + serde_json::to_vec(&in_vault).unwrap().len() as u64 + 1;
        assert!(line * u64::from(MOST_SEGMENTS_IN_VAULT) + (1 << 20) < MAX_ENTRY_BYTES);
    }

    #[test]
    fn numbers_that_are_far_beyond_the_others_are_told_and_left_alone() {
        let far = u64::MAX >> 11;
        let numbers = EntryNumbers::of(vec![far, 2, 1, 2, far - 1], 0);
        assert_eq!(numbers.near, [1, 2]);
        assert_eq!(numbers.far, Some((far - 1, 2)));
        let told = numbers.told().unwrap();
        assert!(told.starts_with("2 objects have a number"), "{told}");
        assert_eq!(EntryNumbers::of(vec![3, 1], 0).told(), None);
        // The head that was seen committed comes before the numbers that may follow it.
        let numbers = EntryNumbers::of(vec![20_000], 15_000);
        assert_eq!((&numbers.near[..], numbers.far), (&[20_000][..], None));
    }
}
