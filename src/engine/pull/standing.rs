//! Whether a subvolume has the state of its source as a whole, or only half of it.

use std::path::Path;

use crate::catalog::Catalog;
use crate::config::{Live, Source};
use crate::error::{Error, PullError};
use crate::model::SubvolumeIdentity;

/// A directory in the subvolume, from before rsync changes anything until all is there. rsync keeps unfinished files in
/// it. It says what the catalog says too, and is not lost with that.
pub(super) const STAGING: &str = ".coldchain-pull";

/// Refuses a snapshot of a subvolume that a pull has left half up to date, or has not filled yet.
pub(in crate::engine) fn require_whole(
    source: &Source,
    live: &Live,
    identity: &SubvolumeIdentity,
    catalog: &Catalog,
) -> Result<(), Error> {
    let row = catalog.pull(identity.uuid)?;
    let is_begun = row.as_ref().is_some_and(|row| row.begun_at.is_some());
    let (source_name, path) = (source.name.clone(), live.subvolume.clone());
    if has_staging(&live.subvolume)? || (is_begun && source.pull.is_some()) {
        return Err(PullError::Unfinished { source_name, path }.into());
    }
    if source.pull.is_some() && row.is_none_or(|row| row.finished_at.is_none()) {
        return Err(PullError::NeverPulled { source_name, path }.into());
    }
    Ok(())
}

/// Returns whether a run is at work in the subvolume, or was cut there.
pub(super) fn has_staging(subvolume: &Path) -> Result<bool, Error> {
    let path = subvolume.join(STAGING);
    match path.symlink_metadata() {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(Error::file("look at", path, error)),
    }
}
