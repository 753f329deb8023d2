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
    pub(super) remarks: BTreeSet<String>,
}
