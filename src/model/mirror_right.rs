//! What the owner of a mirror allows a client on another machine.

use std::fmt;
use std::str::FromStr;

/// What a client may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MirrorRight {
    /// See which copies there are.
    List,
    /// Send copies, and let the mirror's own rule delete.
    Receive,
    /// Get copies back.
    Send,
}

impl MirrorRight {
    /// All of them, with their names.
    pub const NAMES: [(&'static str, Self); 3] = [
        ("list", Self::List),
        ("receive", Self::Receive),
        ("send", Self::Send),
    ];

    /// What it allows, as an infinitive.
    pub fn allows(self) -> &'static str {
        match self {
            Self::List => "see which copies there are",
            Self::Receive => "send copies to it",
            Self::Send => "get copies from it",
        }
    }
}

/// Why a text is no right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is none of list, receive and send")]
pub struct NoMirrorRight(String);

impl FromStr for MirrorRight {
    type Err = NoMirrorRight;

    fn from_str(text: &str) -> Result<Self, NoMirrorRight> {
        let found = Self::NAMES.into_iter().find(|(name, _)| *name == text);
        found
            .map(|(_, right)| right)
            .ok_or_else(|| NoMirrorRight(text.to_owned()))
    }
}

impl fmt::Display for MirrorRight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let found = Self::NAMES.into_iter().find(|(_, right)| right == self);
        f.write_str(found.expect("each has a name").0)
    }
}
