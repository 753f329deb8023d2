//! What a rebuild came to.

use std::path::PathBuf;

use super::read::LedgerRead;
use crate::error::Error;
use crate::model::SourceName;
use crate::store::StoreError;

/// What a rebuild came to.
#[derive(Debug)]
pub struct Rebuilt {
    /// The ledgers that were read.
    pub read: Vec<LedgerRead>,
    /// Directories with ledgers that were not, and why.
    pub left_out: Vec<(String, String)>,
    /// Directories with ledgers that should be sound and are not, or are not there at all.
    pub refused: Vec<(String, Error)>,
    /// Stores that could not be read, by their URLs, and why. What lies there is not in the catalog.
    pub unread: Vec<(String, StoreError)>,
    /// What else the user should know of.
    pub remarks: Vec<String>,
    /// Where the catalog of before lies now.
    pub kept: Option<PathBuf>,
}

impl Rebuilt {
    /// How much is damaged, lost or not what it should be.
    pub fn damage(&self) -> usize {
        let flaws = self.read.iter().flat_map(|read| &read.flaws);
        flaws.filter(|flaw| flaw.is_damage()).count() + self.refused.len()
    }

    /// The first source whose ledger is newer than this version, and what that does not know in it.
    pub fn newer(&self) -> Option<(SourceName, String)> {
        self.read.iter().find_map(|read| {
            let unknown = read.unknown();
            (!unknown.is_empty()).then(|| (read.source.clone(), unknown.join(", ")))
        })
    }
}
