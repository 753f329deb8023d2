//! The copies that the old catalog knows: those that were not read now are kept, since only it knows them.

use std::collections::{HashMap, HashSet};

use crate::catalog::{Catalog, PlaceRow, PlacedRow, VerificationRow};
use crate::engine::context::open_source::is_place;
use crate::error::Error;
use crate::model::{ArchiveId, PlaceId, SourceName};

/// The copies that the old catalog knows.
#[derive(Debug, Default)]
pub(super) struct OldPlaces {
    places: Vec<OldPlace>,
    /// What checks have shown, by the id in the marker.
    pub(super) checks: HashMap<PlaceId, Vec<VerificationRow>>,
}

#[derive(Debug)]
struct OldPlace {
    row: PlaceRow,
    placed: Vec<OldPlaced>,
}

/// What a copy has of an archive.
#[derive(Debug)]
struct OldPlaced {
    row: PlacedRow,
    segments: Vec<(u32, String)>,
    /// The number of the entry that names the contents that it has.
    contents: Option<u64>,
}

impl OldPlaces {
    /// Reads what a catalog knows of the copies of all its sources.
    pub(super) fn of(catalog: &mut Catalog) -> Result<Self, Error> {
        let mut old = Self::default();
        for source in catalog.sources()? {
            for row in catalog.places(&source.ledger)? {
                catalog.turn_to(Some(row.id));
                let checks = catalog.verifications(&row.ledger);
                catalog.turn_to(None);
                old.checks.insert(row.mark, checks?);
                let with_contents = catalog.placed_contents(row.id)?;
                let placed = catalog.placed(row.id)?.into_iter().map(|placed| {
                    let id = &placed.archive;
                    Ok(OldPlaced {
                        segments: catalog.placed_segments(row.id, id)?,
                        contents: if with_contents.contains(id) {
                            catalog.contents_entry(id)?
                        } else {
                            None
                        },
                        row: placed,
                    })
                });
                let placed = placed.collect::<Result<_, Error>>()?;
                old.places.push(OldPlace { row, placed });
            }
        }
        Ok(old)
    }

    /// Takes over the copies of ledgers in the new catalog that were not found. Returns the remarks about them.
    pub(super) fn keep(&self, new: &mut Catalog) -> Result<Vec<String>, Error> {
        let mut remarks = Vec::new();
        for old in &self.places {
            let row = &old.row;
            let sources = new.sources()?.into_iter();
            let Some(source) = sources.into_iter().find(|it| it.ledger == row.ledger) else {
                continue;
            };
            let is_same =
                |place: &PlaceRow| place.mark == row.mark || is_place(&place.store, &row.store);
            if new.places(&row.ledger)?.iter().any(is_same) || is_place(&source.store, &row.store) {
                continue;
            }
            self.keep_place(old, new)?;
            remarks.push(not_read(&source.name, row));
        }
        Ok(remarks)
    }

    fn keep_place(&self, old: &OldPlace, new: &mut Catalog) -> Result<(), Error> {
        let row = &old.row;
        let place = new.know_place(&row.ledger, &row.store, row.mark)?.id;
        new.place_has_entries(place, row.head)?;
        let known = new.archives(&row.ledger)?.into_iter();
        let known: HashSet<ArchiveId> = known.map(|archive| archive.id).collect();
        let mut seen = Vec::new();
        for has in &old.placed {
            let placed = &has.row;
            let id = &placed.archive;
            if !known.contains(id) {
                continue;
            }
            new.begin_placed(place, id, placed.storage_class)?;
            new.place_segments(place, id, &has.segments)?;
            if has.contents.is_some() && has.contents == new.contents_entry(id)? {
                new.place_contents(place, id)?;
            }
            if let Some(at) = placed.copied_at {
                new.finish_placed(place, id, at)?;
            }
            if let Some(at) = placed.verified_at {
                seen.push((*id, at));
            }
        }
        new.turn_to(Some(place));
        let recorded = seen
            .iter()
            .try_for_each(|(id, at)| new.archive_verified(id, *at))
            .and_then(|()| match self.checks.get(&row.mark) {
                Some(checks) => new.record_verifications(checks),
                None => Ok(()),
            });
        new.turn_to(None);
        recorded?;
        if let Some(at) = row.reached_at {
            new.place_reached(place, at)?;
        }
        Ok(())
    }
}

fn not_read(name: &SourceName, row: &PlaceRow) -> String {
    format!(
        "{name}: its copy in {} was not read; what the old catalog knows of it is kept",
        row.store
    )
}
