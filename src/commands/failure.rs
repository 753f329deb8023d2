//! What hooks, records and messages learn of an error.

use crate::error::{Error, in_words};
use crate::hooks::HookFailure;

/// Returns what they learn.
pub(super) fn failure_of(error: &Error) -> HookFailure {
    HookFailure {
        exit_code: error.exit_code() as u8,
        error: in_words(error),
        hint: error.hint(),
    }
}
