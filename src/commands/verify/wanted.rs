//! What a check was asked for.

use std::collections::BTreeSet;
use std::path::PathBuf;

use crate::kit::KitSource;
use crate::model::VerifyLevel;
use crate::plan::Sample;
use crate::seal::Identities;

/// What was asked for, of every source.
pub(super) struct Wanted {
    pub(super) levels: BTreeSet<VerifyLevel>,
    pub(super) sample: Option<Sample>,
    /// Where the image of a drill goes, if one is asked for.
    pub(super) drill: Option<PathBuf>,
    /// What opens the archives, and where it came from.
    pub(super) identities: Option<(Identities, String)>,
    /// What the recovery kit knows of the ledgers, if one was given.
    pub(super) kit: Vec<KitSource>,
}
