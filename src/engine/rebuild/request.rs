//! What a rebuild is asked to do.

use crate::config::{Config, StoreConfig};
use crate::engine::context::state_dir::StateDir;
use crate::engine::ledger::trust::Trusted;
use crate::seal::Identities;

/// What becomes of attempts that only the catalog here knows of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unfinished {
    /// Nothing is done while there are any.
    Keep,
    /// They are given up: what is stored of them is stray.
    GiveUp,
}

/// A rebuild to be carried out.
pub struct Rebuilding<'a> {
    /// Where the catalog lies.
    pub state_dir: &'a StateDir,
    /// The stores that are read.
    pub stores: &'a [StoreConfig],
    /// Whom to trust.
    pub trusted: &'a Trusted,
    /// What opens private facts, and what to call it in an error.
    pub identities: Option<(&'a Identities, &'a str)>,
    /// The config, if there is one: it names sources, and where their snapshots lie.
    pub config: Option<&'a Config>,
    /// What becomes of unfinished attempts.
    pub unfinished: Unfinished,
    /// Directories whose ledgers are read also if a key may sign them that was withdrawn elsewhere.
    pub included: &'a [String],
    /// Where reading ends, if not at the end.
    pub as_of: Option<AsOf<'a>>,
}

/// A ledger as it was once: what a thief has added since is left out.
#[derive(Debug, Clone, Copy)]
pub struct AsOf<'a> {
    /// The last entry that is read.
    pub entry: u64,
    /// The directory whose ledger is read; every one's, if that is left out.
    pub only: Option<&'a str>,
}
