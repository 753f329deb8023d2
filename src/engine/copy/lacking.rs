//! Archives that were not copied, where a copy is all that the catalog knows of.

use chrono::NaiveDate;

use crate::catalog::{Catalog, SourceRow};
use crate::engine::context::open_source::is_place;
use crate::error::{CopyError, Error};
use crate::model::ArchiveId;

/// Refuses archives that the source's store does not have because it is a copy, made home in the catalog by a rebuild
/// from the copy alone.
pub fn require_copied(
    row: &SourceRow,
    archives: &[ArchiveId],
    catalog: &Catalog,
) -> Result<(), Error> {
    let places = catalog.places(&row.ledger)?;
    let Some(place) = places
        .iter()
        .find(|place| is_place(&place.store, &row.store))
    else {
        return Ok(());
    };
    let rows = catalog.placed(place.id)?;
    let has: Vec<ArchiveId> = rows
        .iter()
        .filter(|placed| placed.copied_at.is_some())
        .map(|placed| placed.archive)
        .collect();
    match archives.iter().find(|archive| !has.contains(archive)) {
        None => Ok(()),
        Some(archive) => Err(CopyError::NotThere {
            source_name: row.name.clone(),
            archive: *archive,
            store: row.store.clone(),
            newest: newest(&has, catalog, row)?,
        }
        .into()),
    }
}

/// The newest date of which the copy has everything that a restore needs.
fn newest(
    has: &[ArchiveId],
    catalog: &Catalog,
    row: &SourceRow,
) -> Result<Option<NaiveDate>, Error> {
    let visible = catalog.visible(&row.ledger)?;
    let is_whole = |archive: &ArchiveId| {
        let mut at = Some(*archive);
        // Every step goes back to an earlier archive, so there are no more steps than archives.
        for _ in 0..=visible.len() {
            let Some(id) = at else {
                return true;
            };
            if !has.contains(&id) {
                return false;
            }
            let found = visible.iter().find(|row| row.id == id);
            at = found.and_then(|row| row.send_parent);
        }
        false
    };
    let whole = visible.iter().map(|row| row.id).filter(is_whole);
    Ok(whole.map(|id| id.date).max())
}
