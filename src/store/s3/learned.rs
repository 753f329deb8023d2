//! What is found out about a service while it is used.

use std::collections::BTreeSet;

/// What the service does about `If-None-Match`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Condition {
    /// It was not asked yet.
    #[default]
    Unknown,
    /// It keeps it.
    Kept,
    /// It takes the header and overwrites all the same.
    Ignored,
    /// It takes no request that has it.
    Refused,
}

/// What was found out about the service while it was used.
#[derive(Debug, Default)]
pub(super) struct Learned {
    pub(super) condition: Condition,
    pub(super) remarks: BTreeSet<String>,
}
