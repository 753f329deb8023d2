//! Checks whether a text is a valid key.

use super::error::{ErrorKind, Operation, StoreError};

/// The length of the longest key in bytes, as in S3.
const MAX_BYTES: usize = 1024;

/// Refuses a key that is not a relative path of components of `A-Z a-z 0-9 . _ -`, none of them empty, `.`,
/// `..`, or beginning with `.tmp-` or `.cold-`. Such a key means the same in every store.
pub(super) fn check_key(operation: Operation, url: &str, key: &str) -> Result<(), StoreError> {
    if is_key(key) {
        return Ok(());
    }
    Err(StoreError::new(ErrorKind::BadKey, operation, key, url))
}

/// Returns whether a text is a valid key, or the part of one before a slash.
pub fn is_key(key: &str) -> bool {
    let plain = |component: &str| {
        !matches!(component, "" | "." | "..")
            && !component.starts_with(".tmp-")
            && !component.starts_with(".cold-")
            && component
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
    };
    key.len() <= MAX_BYTES && key.split('/').all(plain)
}
