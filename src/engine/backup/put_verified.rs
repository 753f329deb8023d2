//! Stores an object, and checks whether the store has it already.

use crate::error::{BackupError, Error};
use crate::model::Sha256;
use crate::store::{ErrorKind, Locator, NewObject, Put, Store};

/// Whether the archive's key is in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::engine) enum KeyStored {
    No,
    Yes,
}

/// Stores an object under its own key and returns its locator. An object that is already there is accepted if
/// it has the same bytes.
pub(in crate::engine) fn put(store: &dyn Store, object: &NewObject<'_>) -> Result<String, Error> {
    match store.put_if_absent(object)? {
        Put::Created(locator) => Ok(locator.to_string()),
        Put::Existed(locator) => {
            if has(store, &locator, object.bytes.len() as u64, &object.sha256)? {
                Ok(locator.to_string())
            } else {
                Err(BackupError::KeyTaken {
                    store: store.url(),
                    key: object.key.to_owned(),
                }
                .into())
            }
        }
    }
}

/// Returns whether the object that a listing names under `key` has this length and digest.
pub(in crate::engine) fn holds(
    store: &dyn Store,
    key: &str,
    bytes: u64,
    sha256: &Sha256,
) -> Result<bool, Error> {
    has(store, &store.locate(key), bytes, sha256)
}

/// Returns whether an object has this length and digest. If the store keeps no digest, reads the object back.
/// An object in a cold class can't be read; then its length must be enough, and its key, whose random bits
/// and digest no other object has.
fn has(store: &dyn Store, locator: &Locator, bytes: u64, sha256: &Sha256) -> Result<bool, Error> {
    let stat = store.stat(locator)?;
    if stat.bytes != bytes {
        return Ok(false);
    }
    if let Some(kept) = stat.sha256 {
        return Ok(kept == *sha256);
    }
    match store.get(locator, bytes) {
        Ok(bytes) => Ok(Sha256::of(&bytes) == *sha256),
        Err(error) if error.kind == ErrorKind::Cold => Ok(true),
        Err(error) => Err(error.into()),
    }
}
