//! How a store transfers segments, and for how long it retries.

use std::time::Duration;

use super::duration;
use super::error::ConfigError;
use super::section::Section;
use crate::store::RetryPolicy;

pub(super) const DEFAULT_UPLOADS: usize = 2;
const MAX_UPLOADS: usize = 64;

/// Reads how long to retry, in place of the time in `default`.
pub(super) fn patience(
    section: &Section<'_>,
    default: &RetryPolicy,
) -> Result<RetryPolicy, ConfigError> {
    let give_up_after = section.read("give_up_after", |field| {
        duration::read(field, Duration::from_secs(1))
    })?;
    Ok(RetryPolicy {
        give_up_after: give_up_after.unwrap_or(default.give_up_after),
        ..default.clone()
    })
}

/// Reads how many segments are transferred at once.
pub(super) fn uploads(section: &Section<'_>) -> Result<usize, ConfigError> {
    let uploads = section.read("uploads", |field| {
        field.integer("an integer", 1..=MAX_UPLOADS)
    })?;
    Ok(uploads.unwrap_or(DEFAULT_UPLOADS))
}
