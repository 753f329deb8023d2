//! Whom a reader trusts. Trust never comes from the store: a recovery kit names the root key and the ledgers,
//! or the state directory has the root key, or a person types it.

use crate::kit::{Kit, KitSource};
use crate::ledger::PublicKey;
use crate::model::LedgerId;

/// Root keys and ledgers that are trusted.
#[derive(Debug, Clone, Default)]
pub struct Trusted {
    /// A ledger that one of these keys has opened is trusted, unless `sources` restricts the ledgers.
    pub roots: Vec<PublicKey>,
    /// Those of them that a person typed. Each ledger that one of these has opened is trusted, even if the
    /// kit does not name it.
    pub typed: Vec<PublicKey>,
    /// The trusted ledgers and their heads; empty if they are not known.
    pub sources: Vec<KitSource>,
    /// What is enough if there is no root key.
    pub word: Word,
}

/// What it takes to trust a ledger.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Word {
    /// A trusted root key vouches for it.
    #[default]
    Trusted,
    /// If no root key is trusted, the root key that it names itself is enough. Any writer to the store may
    /// have made that ledger, so the catalog remembers that it was read in this way.
    ItsOwn,
}

impl Trusted {
    /// Trusts no root key: every ledger is read with the root key that it names itself.
    pub fn nobody() -> Self {
        Self {
            word: Word::ItsOwn,
            ..Self::default()
        }
    }

    /// Returns whether ledgers are read that no trusted root key vouches for.
    pub(in crate::engine) fn takes_any(&self) -> bool {
        self.roots.is_empty() && self.word == Word::ItsOwn
    }

    /// Returns whether a recovery kit names this ledger.
    pub(in crate::engine) fn names(&self, ledger: &LedgerId) -> bool {
        self.sources.iter().any(|source| source.ledger == *ledger)
    }

    /// Returns the known sources in directories of this name: several stores may have one.
    pub(in crate::engine) fn in_directory(
        &self,
        directory: &str,
    ) -> impl Iterator<Item = &KitSource> {
        self.sources
            .iter()
            .filter(move |source| source.directory == directory)
    }
}

impl From<Kit> for Trusted {
    fn from(kit: Kit) -> Self {
        Self {
            roots: kit.root.into_iter().collect(),
            typed: Vec::new(),
            sources: kit.sources,
            word: Word::Trusted,
        }
    }
}
