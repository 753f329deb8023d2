//! What a server is like: its buckets, keys, region, and what it does otherwise than Amazon.

use std::collections::BTreeSet;

/// The bucket of a server that was configured with no other.
pub const BUCKET: &str = "archive";
/// The access key of a server that was configured with no other.
pub const ACCESS_KEY: &str = "AKIATESTTESTTESTTEST";
/// Any secret will do; this one saves making one up.
pub const SECRET_KEY: &str = "a secret that nobody verifies";
/// The region of a server that was configured with no other.
pub const REGION: &str = "us-east-1";

#[derive(Debug, Clone)]
pub struct Config {
    /// The region that credentials have to be scoped to.
    pub region: String,
    pub access_keys: BTreeSet<String>,
    /// Answered 400 `ExpiredToken`.
    pub expired_keys: BTreeSet<String>,
    /// Answers everything with 301 `PermanentRedirect` to that region.
    pub moved_to: Option<String>,
    /// The longest page of a listing, whatever `max-keys` asks for.
    pub page_size: usize,
    pub buckets: Vec<Bucket>,
    pub modes: BTreeSet<Mode>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            region: REGION.to_owned(),
            access_keys: BTreeSet::from([ACCESS_KEY.to_owned()]),
            expired_keys: BTreeSet::new(),
            moved_to: None,
            page_size: 1000,
            buckets: vec![Bucket::new(BUCKET)],
            modes: BTreeSet::new(),
        }
    }
}

impl Config {
    /// The default with [`BUCKET`] replaced by that one.
    pub fn with_bucket(bucket: Bucket) -> Self {
        Self {
            buckets: vec![bucket],
            ..Self::default()
        }
    }

    pub fn with_mode(mut self, mode: Mode) -> Self {
        self.modes.insert(mode);
        self
    }

    pub fn is(&self, mode: Mode) -> bool {
        self.modes.contains(&mode)
    }
}

/// A lasting way of differing from Amazon, or from its usual state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mode {
    /// Takes `If-None-Match` on PUT and overwrites all the same.
    IgnoreIfNoneMatch,
    /// Answers `If-None-Match` on PUT with 501.
    RefuseIfNoneMatch,
    /// Answers `If-None-Match` on a copy with 501.
    RefuseCopyCondition,
    /// Answers every copy with 501.
    NoCopies,
    /// Keeps no checksum of a copy, whatever the source has.
    CopiesLoseChecksums,
    /// Hands the checksums of the source on to a copy, whatever bytes that has.
    CopiesCarryChecksums,
    /// Takes any storage class and keeps everything as `STANDARD`.
    IgnoreStorageClass,
    /// Answers an unknown storage class with `InvalidArgument`, as Ceph does.
    UnknownClassIsInvalidArgument,
    /// Takes the headers of Object Lock and locks nothing.
    IgnoreObjectLock,
    /// Tells of no lock in answer to HEAD, as without the permission to know.
    TellNoLock,
    /// Tells of every object that a legal hold keeps it.
    TellLegalHold,
    /// Keeps versions, and does not say so of an object.
    TellNoVersion,
    /// Lists no versions, whatever there is.
    ListNoVersions,
    /// Takes `x-amz-checksum-*`, and neither verifies nor returns it.
    IgnoreChecksums,
    /// Keeps cold classes as names: everything can be read, and a thaw is answered 405.
    NoThaws,
    /// Has no capacity for Expedited: 503 `GlacierExpeditedRetrievalNotAvailable`.
    ExpeditedUnavailable,
    /// Compares `x-amz-date` with the clock: 403 `RequestTimeTooSkewed` beyond 15 minutes.
    CheckSkew,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bucket {
    pub name: String,
    pub versioned: bool,
    pub locking: Locking,
    /// What GET `?lifecycle` answers.
    pub lifecycle: Option<String>,
}

impl Bucket {
    /// A bucket without versions, locks or a lifecycle.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            versioned: false,
            locking: Locking::Off,
            lifecycle: None,
        }
    }

    pub fn versioned(mut self) -> Self {
        self.versioned = true;
        self
    }

    /// Object Lock takes versions, as on Amazon.
    pub fn locking(mut self, locking: Locking) -> Self {
        self.versioned |= locking != Locking::Off;
        self.locking = locking;
        self
    }

    pub fn lifecycle(mut self, xml: &str) -> Self {
        self.lifecycle = Some(xml.to_owned());
        self
    }
}

/// The Object Lock of a bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Locking {
    Off,
    /// Locks the objects that ask for it.
    On,
    /// Locks the others as well.
    ByDefault {
        /// `GOVERNANCE` or `COMPLIANCE`.
        mode: String,
        days: u32,
    },
}
