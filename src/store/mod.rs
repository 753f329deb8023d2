//! Where objects lie: one contract, and the stores that keep it.

mod dir;
mod error;
mod key;
mod memory;
mod place;
mod recording;

use std::fmt;

use chrono::{DateTime, Utc};

pub use dir::{DirStore, Exclusivity};
pub use error::{ErrorKind, Operation, StoreError};
pub use key::check_key;
pub use memory::MemoryStore;
pub use recording::{Call, RecordingStore};

use crate::model::Sha256;

/// What an object is for: it decides, in stores that have them, on the storage class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// A segment: it may go into a cold class.
    Segment,
    /// Ledger entries, archive keys, the signpost: always readable at once.
    Ledger,
}

/// How a store finds an object again. Opaque to all but the store that gave it; the catalog keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Locator(String);

impl From<String> for Locator {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Display for Locator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How a put-if-absent ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Put {
    /// The object is stored.
    Created(Locator),
    /// There was one under that key, which is untouched. Whether it has the same bytes is for the
    /// caller to find out.
    Existed(Locator),
}

/// What a store says of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stat {
    /// Its length.
    pub bytes: u64,
    /// The SHA-256 that the store itself keeps, where it keeps one.
    pub sha256: Option<Sha256>,
    /// When it was stored, by the store's clock.
    pub modified: DateTime<Utc>,
}

/// An object in a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its key.
    pub key: String,
    /// What the store says of it.
    pub stat: Stat,
}

/// How a delete ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deleted {
    /// It was there, and is gone.
    Removed,
    /// It was not there.
    Absent,
}

/// A place for objects. The suite in `tests/store_suite.rs` holds every store to this contract.
///
/// - Keys are relative paths of plain components (see [`check_key`]); any other is
///   [`ErrorKind::BadKey`], before anything is done. No key is used that has another as its
///   directory.
/// - Objects are immutable: nothing here changes one. An object appears under its key whole or not
///   at all, whatever happens to the writer.
/// - Absence is an answer that only a store that could be asked gives: [`ErrorKind::NotFound`] from
///   `get`, `get_range` and `stat`, [`Deleted::Absent`] from `delete`, a shorter listing from
///   `list`. A store that can't be reached, or whose root is missing, is an error, never "absent".
/// - Every operation may be repeated after an error: each error may also mean that it was done.
/// - Calls block, and may come from several threads at once.
pub trait Store: Send + Sync {
    /// The store's URL, without credentials: `file:///srv/archive`.
    fn url(&self) -> String;

    /// Stores `bytes` under `key` unless there is an object. When this returns the object is
    /// durable. Of several calls with one key, exactly one is answered with [`Put::Created`].
    ///
    /// `sha256` is the digest of `bytes`; the store hands it on as the object's checksum where it
    /// keeps one, and does not compute it again.
    fn put_if_absent(
        &self,
        key: &str,
        bytes: &[u8],
        sha256: &Sha256,
        role: Role,
    ) -> Result<Put, StoreError>;

    /// The locator of an object that was put under that key, where it can be told without a list.
    fn locate(&self, key: &str) -> Locator;

    /// Reads a whole object of at most `max_bytes`; a longer one is [`ErrorKind::TooLarge`], and is
    /// not read.
    fn get(&self, locator: &Locator, max_bytes: u64) -> Result<Vec<u8>, StoreError>;

    /// Reads exactly `len` bytes from `offset`; fewer is an error.
    fn get_range(&self, locator: &Locator, offset: u64, len: u64) -> Result<Vec<u8>, StoreError>;

    /// What the store says of an object.
    fn stat(&self, locator: &Locator) -> Result<Stat, StoreError>;

    /// Every object whose key begins with `prefix`, sorted by key. The prefix is a plain string: it
    /// may end within a component. The answer is complete, or an error.
    fn list(&self, prefix: &str) -> Result<Vec<Listed>, StoreError>;

    /// Deletes an object.
    fn delete(&self, locator: &Locator) -> Result<Deleted, StoreError>;
}
