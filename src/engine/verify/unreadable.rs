//! Objects that exist but can't be read. A bad block, or a permission on one file, is damage of that object.
//! If the store can't read anything at all, nothing is known to be damaged.

use super::Verifying;
use crate::error::in_words;
use crate::model::keys;
use crate::store::StoreError;

/// Returns what is wrong with an object that could not be read; `None` if the whole store can't be read any
/// more.
pub(super) fn unreadable(verifying: &Verifying<'_>, error: &StoreError) -> Option<String> {
    if !error.is_of_one_object() {
        return None;
    }
    // The store listed the ledger a while ago; ask again.
    let source = verifying.source;
    let ledger = keys::ledger_prefix(&source.row.directory);
    source.store.list(&ledger).ok()?;
    Some(in_short(error))
}

/// Returns, in short, why an object could not be read.
pub(super) fn in_short(error: &StoreError) -> String {
    match &error.source {
        Some(cause) => format!(
            "it can't be read: {}: {}",
            error.kind,
            in_words(cause.as_ref())
        ),
        None => format!("it can't be read: {}", error.kind),
    }
}
