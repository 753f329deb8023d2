//! What the user asked a check to do.

use std::collections::BTreeSet;
use std::path::PathBuf;

use crate::kit::KitSource;
use crate::model::VerifyLevel;
use crate::plan::Sample;
use crate::seal::Identities;

/// What the user asked for, the same for every source.
pub(super) struct Wanted {
    pub(super) levels: BTreeSet<VerifyLevel>,
    pub(super) sample: Option<Sample>,
    /// The directory for the image of a drill, if one was requested.
    pub(super) drill: Option<PathBuf>,
    /// The identities that open the archives, and the path they came from.
    pub(super) identities: Option<(Identities, String)>,
    /// The sources in the recovery kit, if one was given.
    pub(super) kit: Vec<KitSource>,
    /// The name of the store whose copy is checked; home if it is left out.
    pub(super) place: Option<String>,
    /// The place from which damaged objects are put back, if that was requested.
    pub(super) repair_from: Option<String>,
}
