//! How thoroughly an archive was checked, and what came of it.

use super::archive::words;

/// How thorough a check is. Each of the first three levels finds all that the ones before it find. A drill
/// also looks at other things, but not at all of theirs: it skips sealed keys and private facts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum VerifyLevel {
    /// A listing shows every object with its size.
    Listing,
    /// The SHA-256 of every object is the signed one, as the store keeps it or as it was fetched.
    Checksums,
    /// Every segment was fetched, opened and compared with all that the ledger says of it.
    Deep,
    /// The chain was restored.
    Drill,
}

impl VerifyLevel {
    /// From the least thorough to the most.
    pub const ALL: [Self; 4] = [Self::Listing, Self::Checksums, Self::Deep, Self::Drill];

    /// Whether a check on this level would find damage again that a check on level `found` has found.
    pub fn would_find(self, found: Self) -> bool {
        match self {
            Self::Drill => found == Self::Drill,
            Self::Listing | Self::Checksums | Self::Deep => found <= self,
        }
    }
}

words!(VerifyLevel {
    Listing = "listing",
    Checksums = "checksums",
    Deep = "deep",
    Drill = "drill",
});

/// What a check of an archive showed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum VerifyOutcome {
    /// All of it was looked at, and is as it should be.
    Sound,
    /// What was looked at is as it should be, but not all was.
    Partial,
    /// Something is missing or is not what was signed.
    Damaged,
}

words!(VerifyOutcome {
    Sound = "sound",
    Partial = "partial",
    Damaged = "damaged",
});
