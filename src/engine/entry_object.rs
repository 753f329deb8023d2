//! The objects of a ledger's entries in the store, and what each is.

use crate::engine::source::OpenSource;
use crate::error::Error;
use crate::ledger::{Absorbed, Refusal, Refused, Replay};
use crate::model::keys;
use crate::store::{ErrorKind, StoreError};

/// The largest ledger entry that is read: a 10 TiB archive in 128 MiB segments has a 10 MiB entry.
pub(super) const MAX_ENTRY_BYTES: u64 = 256 << 20;

/// What the object of a number is.
pub(super) enum Judged {
    /// The entry that belongs there.
    Entry {
        /// The object, as it was fetched in the end.
        object: Vec<u8>,
        /// What it says.
        absorbed: Box<Absorbed>,
    },
    /// Something else, and why.
    Refused(Refused, Refusal),
}

/// The numbers that the store has an object for, in order.
pub(super) fn stored_numbers(source: &OpenSource<'_>) -> Result<Vec<u64>, Error> {
    let directory = &source.row.directory;
    let mut numbers: Vec<u64> = source
        .store
        .list(&keys::ledger_prefix(directory))?
        .iter()
        .filter_map(|listed| keys::ledger_seq(directory, &listed.key))
        .collect();
    numbers.sort_unstable();
    Ok(numbers)
}

pub(super) fn fetch(source: &OpenSource<'_>, seq: u64) -> Result<Vec<u8>, StoreError> {
    let key = keys::ledger_entry(&source.row.directory, seq);
    source
        .store
        .get(&source.store.locate(&key), MAX_ENTRY_BYTES)
}

/// Takes in the object of a number that was fetched. One that may be a damaged entry is fetched once
/// more: it may have been damaged on its way.
pub(super) fn judge(
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
        Err(refusal) => Judged::Refused(replay.what_is(&object, &refusal), refusal),
    }
}

/// Whether the answer says that what the store has there is nothing, or can be no entry.
pub(super) fn is_no_entry(error: &StoreError) -> bool {
    error.is_not_found()
        || matches!(
            error.kind,
            ErrorKind::Corrupted
                | ErrorKind::TooLarge
                | ErrorKind::TooShort
                | ErrorKind::NotAnObject
        )
}
