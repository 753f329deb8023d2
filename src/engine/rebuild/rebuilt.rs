//! The result of a rebuild.

use std::path::PathBuf;

use super::read::ImportedLedger;
use crate::error::Error;
use crate::model::SourceName;
use crate::store::StoreError;

/// The result of a rebuild.
#[derive(Debug)]
pub struct Rebuilt {
    /// The ledgers that were read.
    pub read: Vec<ImportedLedger>,
    /// Directories with ledgers that were not read, and why.
    pub left_out: Vec<(String, String)>,
    /// Directories whose ledgers should be sound but are not, or are missing.
    pub refused: Vec<(String, Error)>,
    /// Stores that could not be read, by URL, and why. Their ledgers are not in the catalog.
    pub unread: Vec<(String, StoreError)>,
    /// Further remarks for the user.
    pub remarks: Vec<String>,
    /// The path of the old catalog.
    pub kept: Option<PathBuf>,
}

impl Rebuilt {
    /// Counts what is damaged, lost or different.
    pub fn damage(&self) -> usize {
        let flaws = self.read.iter().flat_map(|read| &read.flaws);
        flaws.filter(|flaw| flaw.is_damage()).count() + self.refused.len()
    }

    /// Returns the first source whose ledger is newer than this version, and the entries that this version
    /// does not know.
    pub fn newer(&self) -> Option<(SourceName, String)> {
        self.read.iter().find_map(|read| {
            let unknown = read.unknown();
            (!unknown.is_empty()).then(|| (read.source.clone(), unknown.join(", ")))
        })
    }
}
