//! What a place is, before anything is written there: a copy of this ledger, nothing yet, or something else.

use crate::catalog::{Catalog, PlaceRow};
use crate::engine::context::open_source::{OpenSource, is_place};
use crate::engine::context::random::random_bytes;
use crate::engine::ledger::object::{MAX_ENTRY_BYTES, is_no_entry};
use crate::error::{CopyError, Error};
use crate::model::copy_marker::{CopyMarker, MARKER_BYTES};
use crate::model::{PlaceId, Sha256, keys};
use crate::store::{Listed, NewObject, ObjectKind, Put, Store};

/// A place that is a copy of the ledger.
#[derive(Debug)]
pub(super) struct Claimed {
    /// Its row.
    pub(super) place: PlaceRow,
    /// The objects of its ledger.
    pub(super) listed: Vec<Listed>,
}

/// Finds out what the place is, and makes it a copy if nothing of the source is there. `first` is home's first
/// entry.
pub(super) fn claim(
    there: &OpenSource<'_>,
    first: &[u8],
    anew: bool,
    catalog: &mut Catalog,
) -> Result<Claimed, Error> {
    let (row, store) = (&there.row, there.store.as_ref());
    let directory = row.directory.as_str();
    let marker = keys::copy_marker(directory);
    let list = || store.list(&keys::ledger_prefix(directory));
    let is_marked = |listed: &[Listed]| listed.iter().any(|object| object.key == marker);
    let mut listed = list()?;
    if !is_marked(&listed)
        && let Err(used) = require_unused(there, &listed, first)
    {
        // Another run may have begun this copy since the listing.
        listed = list()?;
        if !is_marked(&listed) {
            return Err(used);
        }
    }
    if !is_marked(&listed) {
        let known = catalog.places(&row.ledger)?;
        let known = known
            .iter()
            .find(|place| is_place(&place.store, &row.store));
        if let Some(known) = known.filter(|known| known.head > 0 && !anew) {
            return Err(CopyError::Emptied {
                source_name: there.name().clone(),
                store: row.store.clone(),
                head: known.head,
            }
            .into());
        }
        put_marker(there, &marker)?;
    }
    let marker = read_marker(there, &marker)?;
    // A rebuild may have recorded it by the URL that was typed.
    let known = catalog.places(&row.ledger)?.into_iter();
    let known = known.map(|place| place.store);
    let url = known.into_iter().find(|url| is_place(url, &row.store));
    let url = url.as_deref().unwrap_or(&row.store);
    Ok(Claimed {
        place: catalog.know_place(&row.ledger, url, marker.place)?,
        listed,
    })
}

/// Refuses a place that is no copy of this ledger, and has something of a source of that name. Writes nothing.
pub(super) fn look(there: &OpenSource<'_>, first: &[u8]) -> Result<(), Error> {
    let directory = there.row.directory.as_str();
    let listed = there.store.list(&keys::ledger_prefix(directory))?;
    let marker = keys::copy_marker(directory);
    if listed.iter().any(|object| object.key == marker) {
        read_marker(there, &marker).map(drop)
    } else {
        require_unused(there, &listed, first)
    }
}

/// Refuses a place without a marker that has anything of a source of that name.
fn require_unused(there: &OpenSource<'_>, listed: &[Listed], first: &[u8]) -> Result<(), Error> {
    let (row, store) = (&there.row, there.store.as_ref());
    let directory = row.directory.as_str();
    let used = |what: &str| {
        Error::Copy(CopyError::InUse {
            source_name: there.name().clone(),
            store: row.store.clone(),
            what: what.to_owned(),
        })
    };
    let key = keys::ledger_entry(directory, 1);
    match store.get(&store.locate(&key), MAX_ENTRY_BYTES) {
        Ok(theirs) if theirs == first => {
            return Err(used(
                "this very ledger without the marker of a copy: it is home under another address, or a copy that \
                 another program made",
            ));
        }
        Ok(_) => return Err(used("the ledger of another source")),
        Err(error) if error.is_not_found() => {}
        Err(error) if is_no_entry(&error) => return Err(used("an object that is no ledger entry")),
        Err(error) => return Err(error.into()),
    }
    if !listed.is_empty() {
        return Err(used("objects in the place of its ledger"));
    }
    if !store.list(&keys::archives_prefix(directory))?.is_empty() {
        return Err(used("objects of archives and no ledger"));
    }
    Ok(())
}

/// Puts the marker. If another run has just put one, that one stays.
fn put_marker(there: &OpenSource<'_>, key: &str) -> Result<(), Error> {
    let marker = CopyMarker {
        place: PlaceId(random_bytes()),
        ledger: there.row.ledger,
    };
    let text = marker.to_string().into_bytes();
    let sha256 = Sha256::of(&text);
    match there
        .store
        .put_if_absent(&NewObject::new(key, text, sha256, ObjectKind::Ledger))?
    {
        Put::Created(_) | Put::Existed(_) => Ok(()),
    }
}

/// Fails unless the place still has the mark of this very copy: it may have been made home, or be another's by now.
pub(in crate::engine) fn require_marker(
    there: &OpenSource<'_>,
    mark: PlaceId,
) -> Result<(), Error> {
    let key = keys::copy_marker(&there.row.directory);
    match read_marker(there, &key) {
        Ok(marker) if marker.place == mark => Ok(()),
        Err(Error::Store(error)) if !error.is_not_found() => Err(error.into()),
        Err(error) if !matches!(error, Error::Store(_)) => Err(error),
        _ => Err(CopyError::MarkGone {
            source_name: there.name().clone(),
            store: there.row.store.clone(),
        }
        .into()),
    }
}

/// Reads the marker, which must be of this ledger.
pub(super) fn read_marker(there: &OpenSource<'_>, key: &str) -> Result<CopyMarker, Error> {
    let store: &dyn Store = there.store.as_ref();
    let bytes = store.get(&store.locate(key), MARKER_BYTES)?;
    let marker = CopyMarker::parse(&bytes).map_err(|source| CopyError::MarkerUnreadable {
        store: there.row.store.clone(),
        key: key.to_owned(),
        source,
    })?;
    if marker.ledger != there.row.ledger {
        return Err(CopyError::OfAnotherLedger {
            source_name: there.name().clone(),
            store: there.row.store.clone(),
            theirs: marker.ledger,
        }
        .into());
    }
    Ok(marker)
}
