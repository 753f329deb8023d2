//! Storing an object, and whether the store has it already.

use crate::error::{BackupError, Error};
use crate::model::Sha256;
use crate::store::{ErrorKind, Locator, NewObject, Put, Store};

/// Whether the archive's key is in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::engine) enum KeyStored {
    No,
    Yes,
}

/// Stores an object under a key of its own and returns its locator; one that is there already is
/// fine if it has the same bytes.
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

/// Whether the store has an object of that length and digest under that key, where a listing says
/// that it has one.
pub(in crate::engine) fn holds(
    store: &dyn Store,
    key: &str,
    bytes: u64,
    sha256: &Sha256,
) -> Result<bool, Error> {
    has(store, &store.locate(key), bytes, sha256)
}

/// Whether an object has that length and digest. It is read back where the store keeps no digest;
/// one in a cold class can't be read: then its length has to do, and its key, which has random bits
/// and the digest that are nobody else's.
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
