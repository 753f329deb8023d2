//! What is known of objects in a store that does not list them by key.

use std::error::Error;

use chrono::{DateTime, Utc};

use crate::model::{LedgerId, VaultLocator};

/// A segment that was stored, as this machine or the ledger knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownSegment {
    /// Where it is.
    pub locator: VaultLocator,
    /// Its length.
    pub bytes: u64,
    /// When it was stored, or a later time.
    pub stored: DateTime<Utc>,
}

/// The segments of one ledger, by the keys that they would have in a bucket. A vault knows its archives by ids alone,
/// so the engine gives the store this index.
pub trait KnownSegments: Send + Sync {
    /// The ledger that they belong to. What another ledger has in the same vault is never listed or deleted.
    fn ledger(&self) -> LedgerId;

    /// Returns the segment with this key.
    fn find(&self, key: &str) -> Result<Option<KnownSegment>, Box<dyn Error + Send + Sync>>;

    /// Returns all whose key begins with `prefix`, in any order.
    fn under(&self, prefix: &str) -> Result<Vec<KnownSegment>, Box<dyn Error + Send + Sync>>;
}
