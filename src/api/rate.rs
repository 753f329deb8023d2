//! Limits on what a call sends or fetches.

use super::error::ApiError;
use crate::cli::{SLOWEST_RATE, rate_of};
use crate::error::RequestError;
use crate::store::RateLimit;

/// Returns the limit of that many bytes a second.
pub(super) fn rate_limit(bytes: Option<u64>) -> Result<Option<RateLimit>, ApiError> {
    let Some(bytes) = bytes else {
        return Ok(None);
    };
    let limit = rate_of(bytes).ok_or_else(|| {
        RequestError::CommandLine(format!(
            "a limit of {bytes} bytes a second is too low: at least {SLOWEST_RATE}"
        ))
    })?;
    Ok(Some(limit))
}
