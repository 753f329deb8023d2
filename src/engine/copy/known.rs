//! What the catalog knows of the copies of a source, as of their last runs. Nothing here looks at a copy.

use std::collections::{BTreeMap, BTreeSet};

use chrono::NaiveDate;

use crate::catalog::{Catalog, PlaceRow};
use crate::config::{Config, Source};
use crate::engine::context::RunContext;
use crate::engine::context::open_source::{is_place, store_url};
use crate::engine::context::state_dir::StateDir;
use crate::error::{CopyError, Error, RequestError};
use crate::model::entry::Timestamp;
use crate::model::{ArchiveId, SourceName};
use crate::plan::CopyNight;

/// A copy of a source, as far as the catalog knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownCopy {
    /// The store's name in the config, or its URL if the config does not name it.
    pub name: String,
    /// The store's URL.
    pub store: String,
    /// Whether the config copies the source there each night.
    pub is_nightly: bool,
    /// What the catalog has of it; `None` if it was never made.
    pub row: Option<PlaceRow>,
    /// The archives that it has, visible or not.
    pub has: BTreeSet<ArchiveId>,
    /// Those of them that a check found damaged there.
    pub damaged: BTreeSet<ArchiveId>,
    /// The visible archives that it lacks, by date.
    pub lacks: Vec<ArchiveId>,
    /// How many archives are visible.
    pub of: usize,
}

impl KnownCopy {
    /// Returns the date of the oldest archive that it lacks.
    pub fn behind_since(&self) -> Option<NaiveDate> {
        self.lacks.first().map(|id| id.date)
    }

    /// Returns when it last had all that home had.
    pub fn reached_at(&self) -> Option<Timestamp> {
        self.row.as_ref()?.reached_at
    }
}

/// Returns what the catalog knows of the copies of a source: those of the config in its order, then the others.
pub fn known_copies(
    config: &Config,
    source: &Source,
    catalog: &Catalog,
) -> Result<Vec<KnownCopy>, Error> {
    let row = catalog.source(&source.name)?;
    let (mut places, mut visible) = (Vec::new(), Vec::new());
    if let Some(row) = &row {
        places = catalog.places(&row.ledger)?;
        // Most sources have no copy, and some have thousands of archives.
        if !places.is_empty() || !source.copies.is_empty() {
            let links = catalog.lineage(&row.ledger)?;
            visible = links.iter().map(|link| link.id).collect();
        }
    }
    let mut copies = Vec::new();
    for name in &source.copies {
        let url = store_url(&config.stores[name]);
        let at = places.iter().position(|place| is_place(&place.store, &url));
        let place = at.map(|at| places.remove(at));
        copies.push(known_copy(
            name.clone(),
            url,
            true,
            place,
            &visible,
            catalog,
        )?);
    }
    for place in places {
        let url = place.store.clone();
        let mut stores = config.stores.iter();
        let named = stores.find(|(_, store)| is_place(&store_url(store), &url));
        let name = named.map_or_else(|| url.clone(), |(name, _)| name.clone());
        copies.push(known_copy(
            name,
            url,
            false,
            Some(place),
            &visible,
            catalog,
        )?);
    }
    Ok(copies)
}

fn known_copy(
    name: String,
    store: String,
    is_nightly: bool,
    row: Option<PlaceRow>,
    visible: &[ArchiveId],
    catalog: &Catalog,
) -> Result<KnownCopy, Error> {
    let placed = match &row {
        Some(row) => catalog.placed(row.id)?,
        None => Vec::new(),
    };
    let whole = || placed.iter().filter(|placed| placed.copied_at.is_some());
    let has: BTreeSet<ArchiveId> = whole().map(|placed| placed.archive).collect();
    let damaged = whole().filter(|placed| placed.damaged_at.is_some());
    Ok(KnownCopy {
        damaged: damaged.map(|placed| placed.archive).collect(),
        lacks: visible
            .iter()
            .filter(|id| !has.contains(id))
            .copied()
            .collect(),
        of: visible.len(),
        name,
        store,
        is_nightly,
        row,
        has,
    })
}

/// Returns what a night would bring to the copies of a source, as of their last runs. `has_new` says whether the night
/// makes an archive.
pub fn foresee_copies(
    config: &Config,
    source: &Source,
    catalog: &Catalog,
    has_new: bool,
) -> Result<Vec<CopyNight>, Error> {
    let mut bytes: BTreeMap<ArchiveId, u64> = BTreeMap::new();
    if let Some(row) = catalog.source(&source.name)? {
        let visible = catalog.visible(&row.ledger)?.into_iter();
        bytes.extend(visible.map(|archive| (archive.id, archive.sealed_bytes)));
    }
    let known = known_copies(config, source, catalog)?.into_iter();
    let nightly = known.filter(|copy| copy.is_nightly);
    Ok(nightly
        .map(|copy| CopyNight {
            archives: copy.lacks.len(),
            bytes: copy.lacks.iter().filter_map(|id| bytes.get(id)).sum(),
            was_made: copy.row.is_some(),
            to: copy.name,
            has_new,
        })
        .collect())
}

/// Returns a copy that the config does not make each night, by the name of its store in the config or its URL.
pub fn remembered_copy(config: &Config, source: &str, copy: &str) -> Result<KnownCopy, Error> {
    let name: SourceName = source.parse()?;
    let catalog = StateDir::new(&config.state_dir).catalog_to_read()?;
    if catalog.source(&name)?.is_none() {
        return Err(RequestError::NeverSeen(name).into());
    }
    let source = config.source(name.as_str())?;
    let known = known_copies(config, source, &catalog)?.into_iter();
    let mut known = known.filter(|known| known.name == copy || is_place(&known.store, copy));
    match known.next() {
        Some(known) if known.is_nightly => Err(CopyError::StillConfigured {
            source_name: name,
            copy: copy.to_owned(),
        }
        .into()),
        Some(known) => Ok(known),
        None => Err(CopyError::NeverSeen {
            source_name: name,
            copy: copy.to_owned(),
        }
        .into()),
    }
}

/// Removes a copy from the catalog. Removes nothing in its store.
pub fn forget_copy(
    config: &Config,
    source: &SourceName,
    copy: &KnownCopy,
    context: RunContext<'_>,
) -> Result<(), Error> {
    let state_dir = StateDir::new(&config.state_dir);
    let _lock = state_dir.lock_copy(source, &copy.store, &context)?;
    if let Some(row) = &copy.row {
        context.catalog(&state_dir)?.forget_place(row.id)?;
    }
    Ok(())
}
