//! What a check found, or why it stopped.

use std::path::PathBuf;

use super::{Advice, ExitCode, count, exit};
use crate::model::Signal;
use crate::model::SourceName;
use crate::model::size::Bytes;

const DAMAGE_FOUND: &str = "put the objects back from a copy of the store or from older versions, and \
    verify again; until then, where an archive of the newest chain is damaged, the next one is a full";

/// What a check found, or why it stopped.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// Catalog, ledger and store do not say the same.
    #[error("catalog, ledger and store differ in {}", count(*.0, "place"))]
    CatalogDiffers(usize),
    /// A check has found something missing or damaged.
    #[error("{} of `{source_name}` in {store} {}", count(*.objects, "object"), if *.objects == 1 { "is missing or damaged" } else { "are missing or damaged" })]
    DamageFound {
        /// The source.
        source_name: SourceName,
        /// The store's URL.
        store: String,
        /// How many.
        objects: usize,
    },
    /// Chains whose newest archive is not as the ledger says.
    #[error("the newest archive is damaged in {damaged} of {}", count(*.of, "chain"))]
    ChainsDamaged {
        /// How many.
        damaged: usize,
        /// Of how many.
        of: usize,
    },
    /// A check was asked to stop.
    #[error("the check was interrupted by {0}")]
    CheckInterrupted(Signal),
    /// What is to be restored for a drill has no room.
    #[error("{} has no room for a drill: {} are restored there, and {} are free", path.display(), Bytes(*needed), Bytes(*free))]
    NoRoomForDrill {
        /// The drill's directory.
        path: PathBuf,
        /// Bytes that are to be restored.
        needed: u64,
        /// Bytes that are free.
        free: u64,
    },
}

impl VerifyError {
    pub(super) fn advice(&self) -> Advice {
        match self {
            Self::CatalogDiffers(_) => exit(ExitCode::Integrity).hint("nothing was changed; if it is the catalog that is wrong, `coldchain catalog rebuild` makes it anew, and if it is the store, compare it with its copies or older versions"),
            Self::DamageFound { .. } => exit(ExitCode::Integrity).hint(DAMAGE_FOUND),
            Self::ChainsDamaged { .. } => exit(ExitCode::Integrity).hint("`coldchain verify` says what else is damaged"),
            Self::CheckInterrupted(signal) => exit((*signal).into()).hint("what it has found is recorded; what it has not come to is not checked, and a check begins anew"),
            Self::NoRoomForDrill { .. } => exit(ExitCode::Failed).hint("free some space there, or name another directory with --drill-dir"),
        }
    }
}
