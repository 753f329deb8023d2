//! What a check found, or why it stopped.

use std::path::PathBuf;

use super::{Advice, ExitCode, count, exit};
use crate::model::Signal;
use crate::model::SourceName;
use crate::model::size::Bytes;

const DAMAGE_FOUND: &str = "put the objects back with `coldchain verify --repair-from PLACE` if another place has them, or by hand from older \
     versions, then run `coldchain verify` again; while the newest chain is damaged, the next archive is a full";

/// What a check found, or why it stopped.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// Catalog, ledger and store differ.
    #[error("catalog, ledger and store differ in {}", count(*.0, "place"))]
    CatalogDiffers(usize),
    /// A check found missing or damaged objects.
    #[error("{} of `{source_name}` in {store} {}", count(*.objects, "object"), if *.objects == 1 { "is missing or damaged" } else { "are missing or damaged" })]
    DamageFound {
        /// The source.
        source_name: SourceName,
        /// The store's URL.
        store: String,
        /// How many.
        objects: usize,
    },
    /// A check found nothing missing or damaged but objects of contents.
    #[error("{} of the contents of `{source_name}` in {store} {}", count(*.objects, "object"), if *.objects == 1 { "is missing or damaged" } else { "are missing or damaged" })]
    ContentsDamaged {
        /// The source.
        source_name: SourceName,
        /// The store's URL.
        store: String,
        /// How many.
        objects: usize,
    },
    /// A repair would take objects from the place that it repairs.
    #[error(
        "cannot repair the objects of `{source_name}` in {store} from `{place}`: that is the same place"
    )]
    RepairFromItself {
        /// The source.
        source_name: SourceName,
        /// The store's URL.
        store: String,
        /// The place, as it was typed.
        place: String,
    },
    /// A repair could not put everything back.
    #[error("{} of `{source_name}` in {store} {} missing or damaged after the repair", count(*.objects, "object"), if *.objects == 1 { "is" } else { "are" })]
    NotRepaired {
        /// The source.
        source_name: SourceName,
        /// The store's URL.
        store: String,
        /// How many.
        objects: usize,
    },
    /// The newest archive of some chains differs from the ledger.
    #[error("the newest archive is damaged in {damaged} of {}", count(*.of, "chain"))]
    ChainsDamaged {
        /// How many.
        damaged: usize,
        /// Of how many.
        of: usize,
    },
    /// A signal stopped a check.
    #[error("the check was interrupted by {0}")]
    CheckInterrupted(Signal),
    /// The drill's directory has too little free space.
    #[error("{} has no room for a drill: it needs {}, and {} are free", path.display(), Bytes(*needed), Bytes(*free))]
    NoRoomForDrill {
        /// The drill's directory.
        path: PathBuf,
        /// Bytes that the drill restores.
        needed: u64,
        /// Bytes that are free.
        free: u64,
    },
}

impl VerifyError {
    pub(super) fn advice(&self) -> Advice {
        match self {
            Self::CatalogDiffers(_) => exit(ExitCode::Integrity).hint(
                "run `coldchain catalog rebuild` if the catalog is wrong; if the store is wrong, \
                 compare it with its copies or older versions. Nothing was changed",
            ),
            Self::DamageFound { .. } => exit(ExitCode::Integrity).hint(DAMAGE_FOUND),
            Self::ContentsDamaged { source_name, .. } => {
                exit(ExitCode::Integrity).hint(format!(
                    "put them back with `coldchain verify --repair-from PLACE` if another place has them, or make others \
                     from the segments with `coldchain index {source_name} --date DATE`; the archives can be restored and \
                     built on without them"
                ))
            }
            Self::RepairFromItself { .. } => exit(ExitCode::Usage).hint(
                "name another place that has the objects with --repair-from; --place names the one that is repaired",
            ),
            Self::NotRepaired { .. } => exit(ExitCode::Integrity).hint(
                "do what the report says of each object, then run the same command again",
            ),
            Self::ChainsDamaged { .. } => exit(ExitCode::Integrity).hint("`coldchain verify` says what else is damaged"),
            Self::CheckInterrupted(signal) => exit((*signal).into()).hint(
                "run it again: a check always starts from the beginning; what this one found is recorded"
,
            ),
            Self::NoRoomForDrill { .. } => exit(ExitCode::Failed).hint(
                "free some space there, or name another directory with --drill-dir"
,
            ),
        }
    }
}
