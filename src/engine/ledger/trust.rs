//! Whom a reader trusts. Nothing of it comes from the store: a recovery kit names the root key and the
//! ledgers, the state directory has the root key, or a person types it.

use crate::kit::{Kit, KitSource};
use crate::ledger::PublicKey;
use crate::model::LedgerId;

/// Root keys and ledgers that are trusted.
#[derive(Debug, Clone, Default)]
pub struct Trusted {
    /// Any ledger that one of these has opened is trusted, unless `sources` says which.
    pub roots: Vec<PublicKey>,
    /// Those of them that a person typed: each ledger that one of these has opened is meant, also beside a
    /// kit that does not name it.
    pub typed: Vec<PublicKey>,
    /// The ledgers that are meant, and how far they went; none if that is not known.
    pub sources: Vec<KitSource>,
    /// Whose word is enough where there is no root key.
    pub word: Word,
}

/// Whose word a ledger needs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Word {
    /// A trusted root key's.
    #[default]
    Trusted,
    /// Its own, if no root key is trusted: it names a root key itself, and whoever writes to the store
    /// may have made that. What is read so is remembered as such.
    ItsOwn,
}

impl Trusted {
    /// Nobody: each ledger is taken at its own word.
    pub fn nobody() -> Self {
        Self {
            word: Word::ItsOwn,
            ..Self::default()
        }
    }

    /// Whether ledgers are read that nobody trusted vouches for.
    pub(in crate::engine) fn takes_any(&self) -> bool {
        self.roots.is_empty() && self.word == Word::ItsOwn
    }

    /// Whether a recovery kit names that ledger.
    pub(in crate::engine) fn names(&self, ledger: &LedgerId) -> bool {
        self.sources.iter().any(|source| source.ledger == *ledger)
    }

    /// The sources that are known to lie in a directory of that name: several stores may have one.
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
