//! The kinds and states of archives.

use serde::{Deserialize, Serialize};

/// Full, or incremental on a send parent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ArchiveKind {
    /// The whole snapshot: the first of a chain.
    Full,
    /// What changed since the send parent.
    Incremental,
}

/// The state of an archive in the catalog.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ArchiveState {
    /// An attempt that has not been committed.
    Unfinished,
    /// Its signed entry is in the catalog and may be in the ledger.
    Committing,
    /// Its signed entry is in the ledger.
    Committed,
    /// A retire entry names it.
    Retired,
}

/// A word that names no variant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a known word here")]
pub struct UnknownWord(pub String);

/// Gives an enum its words, for the catalog's columns and for people.
macro_rules! words {
    ($name:ident { $($variant:ident = $word:literal),+ $(,)? }) => {
        impl $name {
            /// Returns its word in the catalog and in JSON.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::model::archive::UnknownWord;

            fn from_str(word: &str) -> Result<Self, Self::Err> {
                match word {
                    $($word => Ok(Self::$variant),)+
                    _ => Err($crate::model::archive::UnknownWord(word.to_owned())),
                }
            }
        }
    };
}

pub(super) use words;

words!(ArchiveKind { Full = "full", Incremental = "incremental" });
words!(ArchiveState {
    Unfinished = "unfinished",
    Committing = "committing",
    Committed = "committed",
    Retired = "retired",
});
