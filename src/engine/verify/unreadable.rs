//! Objects that the store names and can't give. A bad block, or a permission on one file, is damage of
//! that object; a store that gives nothing at all is no damage of anything.

use super::Verifying;
use crate::error::in_words;
use crate::model::keys;
use crate::store::StoreError;

/// What is wrong with an object that could not be read; `None` if it is the store as a whole that
/// can't be asked any more.
pub(super) fn unreadable(verifying: &Verifying<'_>, error: &StoreError) -> Option<String> {
    if !error.is_of_one_object() {
        return None;
    }
    // It was asked for its ledger a while ago, and answered.
    let source = verifying.source;
    let ledger = keys::ledger_prefix(&source.row.directory);
    source.store.list(&ledger).ok()?;
    Some(in_short(error))
}

/// What is wrong with an object that could not be read.
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
