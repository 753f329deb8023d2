//! Stores of objects: one contract, and the stores that fulfil it.

mod aws;
mod copying;
mod dir;
mod error;
mod finding;
mod inventory;
mod key;
mod known_segments;
mod layer;
mod listing;
mod memory;
mod probe;
mod rate_limit;
mod recording;
mod request_pace;
mod retry;
mod s3;
mod vault;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};

pub use copying::{CopySource, RemoteObject, Service};
pub use dir::{DirStore, Exclusivity};
pub use error::{Cause, ErrorKind, Operation, StoreError};
pub use finding::{Finding, Severity};
pub use inventory::Inventory;
pub use key::is_key;
pub use known_segments::{KnownSegment, KnownSegments};
pub use layer::Layer;
pub use listing::DEFAULT_LISTING_BYTES;
pub use memory::MemoryStore;
pub use probe::{Deletes, Digests, Probe, probe, rate_of_upload};
pub use rate_limit::RateLimit;
pub use recording::{Call, RecordingStore};
pub use request_pace::{DEFAULT_REQUESTS_PER_SECOND, RequestPace};
pub use retry::{RetryPolicy, Told, Waiting};
pub use s3::{Addressing, Checksum, Encryption, LockMode, S3Settings, S3Store};
pub use vault::{
    JobRequest, JobState, OutputRequest, OutputSink, StartedJob, VaultClient, VaultDescription,
    VaultJob, VaultJobKind, VaultLockState, VaultPolicies, VaultSettings, VaultStore,
};

use crate::model::{Sha256, StorageClass, Tier};

/// The purpose of an object. It decides on the storage class, in stores that have classes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ObjectKind {
    /// A segment, which may go into a cold class.
    Segment,
    /// A ledger entry, an archive key or the README. It is always readable at once.
    Ledger,
}

/// The place of an object in a store. Only the store that returned it knows its meaning; the catalog keeps
/// it.
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
    /// Its content. A clone copies no bytes, so it can be sent several times.
    pub bytes: Bytes,
    /// The digest of the content. A store that keeps checksums gets it as the checksum of the object. It is
    /// never computed again.
    pub sha256: Sha256,
    /// Its purpose.
    pub role: ObjectKind,
    /// It can't be deleted or replaced before this time. Only a store that is configured to lock objects uses
    /// this.
    pub retain_until: Option<DateTime<Utc>>,
    /// Counts the bytes of the content that were sent, those of failed attempts too. A store that can't
    /// follow its progress does not change it.
    pub moved: Option<Arc<AtomicU64>>,
}

impl<'a> NewObject<'a> {
    /// Returns an object without a lock.
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

/// The result of a put-if-absent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Put {
    /// The object is stored.
    Created(Locator),
    /// There already is an object under this key, which was not changed. The caller has to find out whether
    /// it has the same bytes.
    Existed(Locator),
}

/// The store's answer about an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stat {
    /// Its length.
    pub bytes: u64,
    /// The SHA-256 that the store itself keeps; `None` if it keeps none.
    pub sha256: Option<Sha256>,
    /// When it was stored, by the store's clock.
    pub modified: DateTime<Utc>,
    /// Its storage class; `None` if the store has no classes, or one that coldchain does not know.
    pub class: Option<StorageClass>,
}

/// Whether an object can be read now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readability {
    /// It is in no cold class, and always readable.
    Always,
    /// It is in a cold class, and must be thawed first.
    Cold(StorageClass),
    /// It is being thawed.
    Thawing(StorageClass),
    /// It is thawed, and goes cold again at this time.
    Until(StorageClass, DateTime<Utc>),
}

/// How to thaw an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ThawRequest {
    /// The tier, which decides on speed and price.
    pub tier: Tier,
    /// The days that it stays readable, at least 1, counted from when it is thawed.
    pub days: u32,
}

/// The answer to a thaw request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ThawAnswer {
    /// The thaw begins. An object that is readable already stays readable for the requested days from now on.
    Accepted,
    /// A thaw from an earlier request is already running.
    Running,
    /// The object is in no cold class.
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

/// The result of a delete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deleted {
    /// The object existed, and is deleted.
    Removed,
    /// The object did not exist.
    Absent,
    /// The object exists, and a lock prevents its deletion.
    Retained {
        /// When the lock ends, by the store's clock.
        until: DateTime<Utc>,
    },
}

/// What a sweep removed of writers that died.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    /// The number of files.
    pub files: usize,
    /// Their bytes.
    pub bytes: u64,
}

/// A place for objects. The suite in `tests/store/store_suite.rs` checks every store against this contract.
///
/// - Keys are relative paths of plain components (see [`is_key`]). Any other key is
///   [`ErrorKind::BadKey`], before anything is done. Callers use no key that has another key as its
///   directory.
/// - Objects are immutable: no operation changes one. An object appears under its key whole or not
///   at all, whatever happens to the writer.
/// - Only a store that could be asked answers that an object is absent: [`ErrorKind::NotFound`] from
///   `get`, `get_range` and `stat`, [`Deleted::Absent`] from `delete`, a shorter listing from
///   `list`. A store that can't be reached, or whose root is missing, returns an error. So does one that knows its
///   objects by ids and is to delete one whose id nothing tells ([`ErrorKind::NoId`]).
/// - An object in a cold class that was not thawed is [`ErrorKind::Cold`] from `get` and `get_range`.
///   `stat`, `list` and `delete` work.
/// - Every operation may be repeated after an error. Each error may also mean that it was done.
/// - Calls block, and may come from several threads at once.
pub trait Store: Send + Sync {
    /// Returns the store's URL without credentials, such as `file:///srv/archive`.
    fn url(&self) -> String;

    /// Stores an object unless there is one under its key. When this returns, the object is durable. Of
    /// several calls with one key, exactly one returns [`Put::Created`].
    ///
    /// If the answer to an earlier call was lost, its object also gives [`Put::Existed`].
    fn put_if_absent(&self, object: &NewObject<'_>) -> Result<Put, StoreError>;

    /// Has the service copy an object of another store, so that its bytes don't pass this machine, unless there
    /// is one under its key.
    ///
    /// Returns `None` if this is not possible here, and also if the service may have copied other bytes, which
    /// are then deleted again: the caller reads the object and stores it. With [`Put::Created`] and
    /// [`Put::Existed`] the object under the key has the length and the digest that `object` gives: a service
    /// has computed it from these bytes, or they were read. An object with other bytes that can't be deleted is
    /// [`ErrorKind::Corrupted`]. After any other error the object may be under its key without that proof. A
    /// second call gives the proof, even if the object is in a listing.
    ///
    /// An error of the store below `from` has its URL.
    fn copy_within(
        &self,
        from: &dyn Store,
        at: &Locator,
        object: &RemoteObject<'_>,
    ) -> Result<Option<Put>, StoreError> {
        let _ = (from, at, object);
        Ok(None)
    }

    /// Stores an object of another store while it is read, in pieces, unless there is one under its key, so that it is
    /// never in memory as a whole.
    ///
    /// Returns `None` if nothing was stored, as far as is known: if this is not possible here, if what was read has not
    /// the length and the digest that `object` gives, or if anything else went wrong. It tries only once. The caller
    /// then reads the object and stores it, which also tells what is wrong. With [`Put::Created`] and
    /// [`Put::Existed`] the object under the key has the length and the digest that `object` gives.
    fn relay(
        &self,
        from: &dyn Store,
        at: &Locator,
        object: &RemoteObject<'_>,
    ) -> Result<Option<Put>, StoreError> {
        let _ = (from, at, object);
        Ok(None)
    }

    /// Returns the service of the store, if it copies objects by itself. Sends no request.
    fn service(&self) -> Option<Service> {
        None
    }

    /// Returns what [`copy_within`](Self::copy_within) of another store needs to know of an object; `None` if
    /// the store keeps no digest of it.
    fn copy_source(&self, at: &Locator) -> Result<Option<CopySource>, StoreError> {
        let _ = at;
        Ok(None)
    }

    /// Gives the store the index of a source's segments. Only a store that does not list them by key needs it, and
    /// without it such a store finds none.
    fn know(&self, segments: Arc<dyn KnownSegments>) {
        let _ = segments;
    }

    /// Asks for a list of what the store has, if it only makes one on request and has a newer one than was last read;
    /// reads one that is ready. `wanted` is the time when the oldest object was stored that no list has shown yet;
    /// `None` if all were shown.
    fn renew_inventory(&self, wanted: Option<DateTime<Utc>>) -> Result<Inventory, StoreError> {
        let _ = wanted;
        Ok(Inventory::Live)
    }

    /// Returns whether the store's own list has shown this object whole. A store that lists what it has at this moment
    /// has.
    fn is_confirmed(&self, key: &str) -> Result<bool, StoreError> {
        let _ = key;
        Ok(true)
    }

    /// Returns whether the store finds segments only by the index that [`know`](Self::know) gives it.
    fn needs_index(&self) -> bool {
        false
    }

    /// Returns how long a thawed object can be relied on to stay readable, if no request makes that longer. No more is
    /// thawed at once than can be fetched in this time.
    fn thaw_window(&self) -> Option<Duration> {
        None
    }

    /// Returns the objects below a prefix that have the key of another one, and that `list` does not show: a store without
    /// put-if-absent keeps a second one if the answer to the first upload was lost. They are deleted by these locators.
    fn second_uploads(&self, prefix: &str) -> Result<Vec<(Locator, Stat)>, StoreError> {
        let _ = prefix;
        Ok(Vec::new())
    }

    /// Returns the locator of an object under this key, as far as it is known without a listing.
    fn locate(&self, key: &str) -> Locator;

    /// Reads a whole object of at most `max_bytes`. Fails with [`ErrorKind::TooLarge`] for a longer one,
    /// without reading it.
    fn get(&self, locator: &Locator, max_bytes: u64) -> Result<Vec<u8>, StoreError>;

    /// Reads exactly `len` bytes from `offset`. Fails if there are fewer.
    fn get_range(&self, locator: &Locator, offset: u64, len: u64) -> Result<Vec<u8>, StoreError>;

    /// Returns what the store says of an object.
    fn stat(&self, locator: &Locator) -> Result<Stat, StoreError>;

    /// Lists every object whose key begins with `prefix`, sorted by key. The prefix is a plain string and may
    /// end within a component. The answer is complete, or an error. It may lack digests that `stat` would
    /// return.
    fn list(&self, prefix: &str) -> Result<Vec<Listed>, StoreError>;

    /// Deletes an object permanently: every version of it that the store keeps, unless the locator names one.
    /// Deletes nothing under any other key. Returns [`Deleted::Removed`] when none is left. A lock that keeps
    /// the object is not an error; missing permission is one.
    fn delete(&self, locator: &Locator) -> Result<Deleted, StoreError>;

    /// Returns whether an object can be read now, and until when.
    fn readability(&self, locator: &Locator) -> Result<Readability, StoreError>;

    /// Requests the thaw of a cold object. A repeated request does no harm, but may cost money.
    fn thaw(&self, locator: &Locator, request: ThawRequest) -> Result<ThawAnswer, StoreError>;

    /// Returns the time of the store's own clock, which gives the age of its objects. The store may write and
    /// remove something for this.
    fn now(&self) -> Result<DateTime<Utc>, StoreError>;

    /// Estimates the same without writing anything. This is good enough for a plan, but not for a delete.
    fn guessed_now(&self) -> Result<DateTime<Utc>, StoreError> {
        self.now()
    }

    /// Removes what dead writers have left below a prefix beside their objects. Never removes an object, or
    /// anything of a living writer. Does nothing in a store that can't have such files.
    fn sweep(&self, prefix: &str) -> Result<Swept, StoreError>;

    /// Returns what this store was found to lack, as far as it was used by now: one sentence each, for the
    /// user.
    fn remarks(&self) -> Vec<String>;

    /// Returns what the store's own settings mean for archives: versions, locks, rules that delete. Only
    /// reads settings.
    fn examine(&self) -> Result<Vec<Finding>, StoreError>;
}
