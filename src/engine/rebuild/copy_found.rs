//! A copy that a rebuild found.

/// A copy of a source that a rebuild found beside its home.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyFound {
    /// The store's URL.
    pub store: String,
    /// The number of the newest ledger entry that it has; 0 for none.
    pub head: u64,
    /// How many of the visible archives it has.
    pub archives: u64,
}
