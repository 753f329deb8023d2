//! What a run that copies is asked for, and what came of it.

use crate::error::Error;
use crate::model::ArchiveId;
use crate::plan::{Awaited, PrunePlan};
use crate::store::ThawRequest;

/// The request for a copy.
#[derive(Debug, Clone, Copy, Default)]
pub struct CopyRequest {
    /// How to thaw what is cold at home; `None` to ask for no thaw, and to copy what can be read.
    pub thaw: Option<ThawRequest>,
    /// Begin the copy anew although the place has lost the one that it had.
    pub anew: bool,
    /// Delete nothing in the copy.
    pub no_prune: bool,
}

/// An archive that was copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CopiedArchive {
    /// Its id.
    pub id: ArchiveId,
    /// Bytes of its segments.
    pub sealed_bytes: u64,
}

/// What came of a copy.
#[derive(Debug)]
pub struct CopyRan {
    /// The copy's URL.
    pub store: String,
    /// Whether the copy was begun by this run.
    pub is_new: bool,
    /// Whether a recovery kit is known to name the copy.
    pub is_in_kit: bool,
    /// The archives that were copied by this run, in its order.
    pub copied: Vec<CopiedArchive>,
    /// How many visible archives the copy has now.
    pub has: usize,
    /// How many archives are visible at home.
    pub of: usize,
    /// How many ledger entries were copied.
    pub entries: u64,
    /// What still has to thaw at home; `None` if nothing has to.
    pub awaited: Option<Awaited>,
    /// Why the run did not copy everything, apart from thaws.
    pub stopped: Option<Error>,
    /// What was deleted in the copy, and what home has deleted and the copy still has.
    pub pruned: PrunePlan,
    /// Why not everything was deleted that may be.
    pub unpruned: Option<Error>,
}
