//! Where objects lie: one contract, and the stores that keep it.

mod dir;
mod error;
mod finding;
mod key;
mod layer;
mod listing;
mod memory;
mod probe;
mod rate_limit;
mod recording;
mod retry;
mod s3;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use bytes::Bytes;
use chrono::{DateTime, Utc};

pub use dir::{DirStore, Exclusivity};
pub use error::{Cause, ErrorKind, Operation, StoreError};
pub use finding::{Finding, Verdict};
pub use key::is_key;
pub use layer::Layer;
pub use listing::DEFAULT_LISTING_BYTES;
pub use memory::MemoryStore;
pub use probe::{Deletes, Digests, Probe, probe};
pub use rate_limit::RateLimit;
pub use recording::{Call, RecordingStore};
pub use retry::{RetryPolicy, Told, Waiting};
pub use s3::{Addressing, Checksum, Encryption, LockMode, S3Settings, S3Store};

use crate::model::{Sha256, StorageClass, Tier};

/// What an object is for: it decides, in stores that have them, on the storage class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ObjectKind {
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

/// An object to be stored.
#[derive(Debug, Clone)]
pub struct NewObject<'a> {
    /// Its key.
    pub key: &'a str,
    /// Its content. A clone of it copies nothing, so it can be sent again and again.
    pub bytes: Bytes,
    /// The digest of the content: handed on as the object's checksum where a store keeps one, and
    /// never computed again.
    pub sha256: Sha256,
    /// What it is for.
    pub role: ObjectKind,
    /// Nobody may delete or replace it before then. Only a store that was told to lock looks at it.
    pub retain_until: Option<DateTime<Utc>>,
    /// Counts the bytes of the content as they go out, those of an attempt that failed too. A store that
    /// knows only when all have gone leaves it as it is.
    pub moved: Option<Arc<AtomicU64>>,
}

impl<'a> NewObject<'a> {
    /// An object that is not locked.
    pub fn new(key: &'a str, bytes: impl Into<Bytes>, sha256: Sha256, role: ObjectKind) -> Self {
        Self {
            key,
            bytes: bytes.into(),
            sha256,
            role,
            retain_until: None,
            moved: None,
        }
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
    /// The storage class that it lies in; `None` if the store has no classes, or one of its own.
    pub class: Option<StorageClass>,
}

/// Whether an object can be read now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readability {
    /// It can, and always could.
    Always,
    /// It lies in a cold class, and must be thawed first.
    Cold(StorageClass),
    /// It was asked for, and is on its way.
    Thawing(StorageClass),
    /// It was thawed; at that moment it is cold again.
    Until(StorageClass, DateTime<Utc>),
}

/// How to thaw an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ThawRequest {
    /// How fast, and how dear.
    pub tier: Tier,
    /// Days that it stays readable, at least 1, counted from when it is.
    pub days: u32,
}

/// How a thaw was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Thaw {
    /// It begins; what was readable already stays so for the days asked for, from now on.
    Accepted,
    /// One is under way already, from an earlier request.
    Running,
    /// It does not lie in a cold class.
    NotCold,
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
    /// It is there, and a lock keeps it: nobody may delete it before then.
    Retained {
        /// Until when, by the store's clock.
        until: DateTime<Utc>,
    },
}

/// What was removed of writers that died.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    /// How many files.
    pub files: usize,
    /// Their bytes.
    pub bytes: u64,
}

/// A place for objects. The suite in `tests/store/store_suite.rs` holds every store to this contract.
///
/// - Keys are relative paths of plain components (see [`is_key`]); any other is
///   [`ErrorKind::BadKey`], before anything is done. No key is used that has another as its
///   directory.
/// - Objects are immutable: nothing here changes one. An object appears under its key whole or not
///   at all, whatever happens to the writer.
/// - Absence is an answer that only a store that could be asked gives: [`ErrorKind::NotFound`] from
///   `get`, `get_range` and `stat`, [`Deleted::Absent`] from `delete`, a shorter listing from
///   `list`. A store that can't be reached, or whose root is missing, is an error, never "absent".
/// - An object in a cold class that was not thawed is [`ErrorKind::Cold`] from `get` and `get_range`;
///   `stat`, `list` and `delete` don't mind.
/// - Every operation may be repeated after an error: each error may also mean that it was done.
/// - Calls block, and may come from several threads at once.
pub trait Store: Send + Sync {
    /// The store's URL, without credentials: `file:///srv/archive`.
    fn url(&self) -> String;

    /// Stores an object unless there is one under its key. When this returns the object is
    /// durable. Of several calls with one key, exactly one is answered with [`Put::Created`].
    ///
    /// An object that a lost answer left behind is also told as [`Put::Existed`].
    fn put_if_absent(&self, object: &NewObject<'_>) -> Result<Put, StoreError>;

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
    /// may end within a component. The answer is complete, or an error. It may lack the digests that
    /// `stat` would tell.
    fn list(&self, prefix: &str) -> Result<Vec<Listed>, StoreError>;

    /// Deletes an object, for good: every version of it that the store keeps, unless the locator
    /// names one, and nothing under any other key. [`Deleted::Removed`] is the answer once none is
    /// left. What a lock keeps is no error, what the credentials may not do is one.
    fn delete(&self, locator: &Locator) -> Result<Deleted, StoreError>;

    /// Whether an object can be read now: its `readable-until`.
    fn readability(&self, locator: &Locator) -> Result<Readability, StoreError>;

    /// Asks for a cold object to be made readable. Asking again does no harm, and may cost a request.
    fn thaw(&self, locator: &Locator, request: ThawRequest) -> Result<Thaw, StoreError>;

    /// The store's own clock, which says how old its objects are. To ask, something may be written
    /// that is removed again.
    fn now(&self) -> Result<DateTime<Utc>, StoreError>;

    /// The same where nothing may be written. Good for a plan, and for no delete.
    fn guessed_now(&self) -> Result<DateTime<Utc>, StoreError> {
        self.now()
    }

    /// Removes what writers that died have left below a prefix beside their objects: never an
    /// object, and nothing of a writer that lives. Where nothing can be left, nothing is done.
    fn sweep(&self, prefix: &str) -> Result<Swept, StoreError>;

    /// What this store was found not to do, as far as it was used by now: one sentence each, for
    /// the user.
    fn remarks(&self) -> Vec<String>;

    /// What the store's own settings mean for archives: versions, locks, rules that delete. Asks,
    /// and changes nothing.
    fn examine(&self) -> Result<Vec<Finding>, StoreError>;
}
