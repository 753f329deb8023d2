//! Takes a copy that was found beside its home into a catalog that knows nothing of it yet.

use std::collections::HashMap;

use crate::catalog::{Catalog, PlaceRow, VerificationRow};
use crate::engine::context::open_source::OpenSource;
use crate::engine::copy::claim::read_marker;
use crate::engine::copy::entries::LedgerCopy;
use crate::engine::copy::recognize::recognize;
use crate::engine::copy::whole::visible_entries;
use crate::error::Error;
use crate::model::entry::Timestamp;
use crate::model::{PlaceId, keys};

/// What earlier checks of copies have shown, by the id in the marker of each.
pub(in crate::engine) type EarlierChecks = HashMap<PlaceId, Vec<VerificationRow>>;

/// What a copy has.
#[derive(Debug)]
pub(in crate::engine) struct FoundPlace {
    /// Its row.
    pub(in crate::engine) place: PlaceRow,
    /// The number of its newest entry; 0 for none.
    pub(in crate::engine) head: u64,
    /// How many visible archives it has.
    pub(in crate::engine) archives: u64,
}

/// Compares the ledger of a copy with home's, of which `head` is the newest entry, and records what the copy has. Fails
/// if the copy has anything that home does not have. Puts nothing anywhere.
pub(in crate::engine) fn take_in_beside(
    home: &OpenSource<'_>,
    head: u64,
    there: &OpenSource<'_>,
    (now, checks): (Timestamp, &EarlierChecks),
    catalog: &mut Catalog,
) -> Result<FoundPlace, Error> {
    let directory = there.row.directory.as_str();
    let listed = there.store.list(&keys::ledger_prefix(directory))?;
    LedgerCopy::compare(home, there, (head, 0), &listed, catalog)?;
    let numbers = listed
        .iter()
        .filter_map(|object| keys::ledger_seq(directory, &object.key));
    let newest = numbers.max().unwrap_or(0);
    take_in(there, newest, (now, checks), catalog)
}

/// Records what a copy has whose ledger was read into the catalog up to its newest entry `head`.
pub(in crate::engine) fn take_in(
    there: &OpenSource<'_>,
    head: u64,
    (now, checks): (Timestamp, &EarlierChecks),
    catalog: &mut Catalog,
) -> Result<FoundPlace, Error> {
    let (row, marker) = (&there.row, keys::copy_marker(&there.row.directory));
    let marker = read_marker(there, &marker)?;
    let place = catalog.know_place(&row.ledger, &row.store, marker.place)?;
    if let Some(checks) = checks.get(&marker.place) {
        // A listing of now takes back only what it would have found.
        catalog.turn_to(Some(place.id));
        let recorded = catalog.record_verifications(checks);
        catalog.turn_to(None);
        recorded?;
    }
    recognize(
        there,
        place.id,
        &visible_entries(&there.row, catalog)?,
        now,
        catalog,
    )?;
    catalog.place_has_entries(place.id, head)?;
    let has = catalog.placed(place.id)?.into_iter();
    Ok(FoundPlace {
        archives: has.filter(|placed| placed.copied_at.is_some()).count() as u64,
        place,
        head,
    })
}
