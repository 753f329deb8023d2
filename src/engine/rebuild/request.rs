//! The request for a rebuild.

use crate::config::{Config, StoreConfig};
use crate::engine::context::state_dir::StateDir;
use crate::engine::ledger::trust::Trusted;
use crate::seal::Identities;

/// What to do with attempts that only the local catalog knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unfinished {
    /// Refuse to rebuild while there are any.
    Keep,
    /// Give them up: their stored objects become orphaned objects.
    GiveUp,
}

/// A rebuild, with all that it needs.
pub struct Rebuilding<'a> {
    /// The directory of the catalog.
    pub state_dir: &'a StateDir,
    /// The stores that are read.
    pub stores: &'a [StoreConfig],
    /// The trusted root keys and ledgers.
    pub trusted: &'a Trusted,
    /// The identities that open private facts, and their name in an error.
    pub identities: Option<(&'a Identities, &'a str)>,
    /// The config, if there is one: it has the names of sources and the paths of their snapshots.
    pub config: Option<&'a Config>,
    /// What to do with unfinished attempts.
    pub unfinished: Unfinished,
    /// Directories whose ledgers are read even if a key may sign them that was removed from another ledger.
    pub included: &'a [String],
    /// The entry at which reading ends; `None` for the newest.
    pub as_of: Option<AsOf<'a>>,
}

/// A ledger as it was at an earlier entry. This leaves out what a thief has added since.
#[derive(Debug, Clone, Copy)]
pub struct AsOf<'a> {
    /// The last entry that is read.
    pub entry: u64,
    /// The directory whose ledger is read; `None` for all.
    pub only: Option<&'a str>,
}
