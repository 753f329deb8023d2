//! The kinds of copies that a restore can take.

use std::fmt;
use std::str::FromStr;

/// What a restore takes, from the nearest to the farthest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum CopyKind {
    /// A snapshot on this machine.
    Snapshot,
    /// A mirror's copy of a snapshot.
    Mirror,
    /// Archives in the store.
    Store,
}

/// Why a word is not a kind of copy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not `snapshot`, `mirror` or `store`")]
pub struct UnknownCopyKind(String);

impl CopyKind {
    /// All of them, from the nearest to the farthest.
    pub const ALL: [Self; 3] = [Self::Snapshot, Self::Mirror, Self::Store];

    /// The word for it on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Snapshot => "snapshot",
            Self::Mirror => "mirror",
            Self::Store => "store",
        }
    }
}

impl fmt::Display for CopyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for CopyKind {
    type Err = UnknownCopyKind;

    fn from_str(word: &str) -> Result<Self, UnknownCopyKind> {
        let known = Self::ALL.into_iter().find(|kind| kind.as_str() == word);
        known.ok_or_else(|| UnknownCopyKind(word.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_a_word_and_no_other_word_has_a_kind() {
        for kind in CopyKind::ALL {
            assert_eq!(kind.to_string().parse(), Ok(kind));
        }
        for word in ["", "Store", "snapshots", "nearest"] {
            assert!(word.parse::<CopyKind>().is_err(), "{word}");
        }
        assert!(CopyKind::ALL.is_sorted());
    }
}
