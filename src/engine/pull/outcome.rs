//! What is asked of a pull, and what came of it.

/// How a source is to be pulled.
#[derive(Debug, Clone, Copy, Default)]
pub struct PullAsked {
    /// Whether any number of entries may be deleted, also of a subvolume that no pull has made.
    pub accept_deletions: bool,
}

/// What a pull did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PullRan {
    /// Entries of the source.
    pub entries: u64,
    /// Entries that are new.
    pub created: u64,
    /// Entries that were deleted.
    pub deleted: u64,
    /// Regular files whose content was pulled.
    pub files: u64,
    /// Bytes of those files.
    pub bytes: u64,
}
