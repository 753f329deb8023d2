//! Reads objects of contents, and compares them with what the ledger signs.

use crate::error::{ContentsFault, Error};
use crate::model::Sha256;
use crate::model::keys::{ArchiveObject, SignedObject};
use crate::store::{ErrorKind, Store};

/// Reads an object of contents from a store, as a whole. Fails if it is not the one that was signed.
pub(in crate::engine) fn fetch_contents(
    store: &dyn Store,
    object: &ArchiveObject,
) -> Result<Vec<u8>, Error> {
    let damaged = |what: String| {
        Error::Contents(ContentsFault::Damaged {
            archive: object.archive,
            key: object.key.clone(),
            what,
        })
    };
    let Some(SignedObject { bytes, sha256 }) = object.signed else {
        return Err(damaged("the ledger signs nothing of it".to_owned()));
    };
    let sealed = match store.get(&store.locate(&object.key), bytes) {
        Ok(sealed) => sealed,
        Err(error) if error.is_not_found() => return Err(damaged("it is missing".to_owned())),
        Err(error) if error.kind == ErrorKind::TooLarge => {
            return Err(damaged(format!(
                "it is longer than the {bytes} bytes that were stored"
            )));
        }
        Err(error) => return Err(error.into()),
    };
    if sealed.len() as u64 != bytes {
        let has = sealed.len();
        return Err(damaged(format!("it has {has} bytes, {bytes} were stored")));
    }
    if Sha256::of(&sealed) != sha256 {
        return Err(damaged(
            "its SHA-256 is not the one in the ledger".to_owned(),
        ));
    }
    Ok(sealed)
}
