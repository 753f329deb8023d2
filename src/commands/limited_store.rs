//! Stores with a limit on what they transfer, or on how often they are asked, for a whole run.

use crate::config::StoreConfig;
use crate::engine;
use crate::error::Error;
use crate::progress::Observer;
use crate::store::{RateLimit, RequestPace, Store};

/// Returns a function that opens stores with this rate limit.
pub(crate) fn open_store(
    limit: Option<RateLimit>,
) -> impl for<'o> Fn(&StoreConfig, &'o dyn Observer) -> Result<Box<dyn Store + 'o>, Error> + Sync {
    move |config, observer| engine::open_limited_store(config, observer, limit.as_ref())
}

/// Returns a function that opens stores at this pace of thaw requests.
pub(crate) fn open_at_pace(
    pace: RequestPace,
) -> impl for<'o> Fn(&StoreConfig, &'o dyn Observer) -> Result<Box<dyn Store + 'o>, Error> + Sync {
    move |config, observer| engine::open_paced_store(config, observer, None, &pace)
}
