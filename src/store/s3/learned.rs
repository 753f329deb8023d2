//! What coldchain learns about a service while it uses it.

use std::collections::BTreeSet;

/// How the service handles `If-None-Match`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum IfNoneMatch {
    /// It was not tried yet.
    #[default]
    Unknown,
    /// The service obeys it.
    Kept,
    /// The service accepts the header and overwrites all the same.
    Ignored,
    /// The service refuses requests with it.
    Refused,
}

/// What was learned about the service so far.
#[derive(Debug, Default)]
pub(super) struct Learned {
    pub(super) condition: IfNoneMatch,
    /// Whether it refuses `If-None-Match` in a copy. It may do so, and take it in a PUT.
    pub(super) refuses_copy_condition: bool,
    /// Buckets that it can't copy from, or not so that the copy can be trusted.
    pub(super) no_copies_from: BTreeSet<String>,
    /// Whether a PUT of an object that was still being read has failed.
    pub(super) refuses_relays: bool,
    pub(super) remarks: BTreeSet<String>,
}
