//! What it costs each month to keep what a source has at home and in its copies, as the catalog knows it.

use std::borrow::Cow;

use crate::catalog::{Catalog, KeptRow, ObjectTotals, PlaceRow, SourceRow};
use crate::config::{Config, Source, StoreConfig};
use crate::engine::context::open_source::{is_place, name_of_store, store_of_row, store_url};
use crate::engine::ledger::append::README_RESTORE;
use crate::engine::restore::cost::pricing;
use crate::error::Error;
use crate::model::{LedgerId, StorageClass};
use crate::plan::{KeptCost, KeptObjects, KeptPart, PlaceCost, Pricing};

/// What an archive key, or a marker, is counted as: a few hundred bytes, whose exact number the catalog does not have.
pub(super) const SMALL_OBJECT_BYTES: u64 = 1 << 10;

/// The smallest size that any class bills. [`StorageClass::minimum_bytes`] says which classes do.
pub(super) const AT_LEAST: u64 = StorageClass::StandardIa.minimum_bytes();

/// A store that has objects of a source.
pub(super) struct CostedPlace<'c> {
    /// Its name in the config, or its URL.
    pub(super) name: String,
    /// Its URL.
    pub(super) url: String,
    /// What is known of it as a copy; `None` for home.
    pub(super) row: Option<PlaceRow>,
    /// How to reach it; `None` if its URL says nothing that this version knows.
    pub(super) store: Option<Cow<'c, StoreConfig>>,
}

/// Returns what a source costs each month: at home first, then in each copy that the catalog knows. Empty if the source
/// was never archived.
///
/// It takes a few queries for each place, whose time grows with the archives that are not deleted.
pub fn monthly_cost(
    config: &Config,
    source: &Source,
    catalog: &Catalog,
) -> Result<Vec<PlaceCost>, Error> {
    let Some(row) = catalog.source(&source.name)? else {
        return Ok(Vec::new());
    };
    let places = costed_places(config, &row, catalog)?;
    let places = places
        .iter()
        .map(|place| place.cost(config, &row.ledger, catalog));
    places.collect()
}

/// Returns the places of a source: home first.
pub(super) fn costed_places<'c>(
    config: &'c Config,
    row: &SourceRow,
    catalog: &Catalog,
) -> Result<Vec<CostedPlace<'c>>, Error> {
    let home = CostedPlace {
        name: name_or_url(config, &row.store),
        url: row.store.clone(),
        row: None,
        store: store_of_row(config, row).ok(),
    };
    let mut places = vec![home];
    for copy in catalog.places(&row.ledger)? {
        let mut stores = config.stores.values();
        let configured = stores.find(|store| is_place(&store_url(store), &copy.store));
        let store = configured.map(Cow::Borrowed);
        places.push(CostedPlace {
            name: name_or_url(config, &copy.store),
            url: copy.store.clone(),
            store: store.or_else(|| StoreConfig::from_url(&copy.store).ok().map(Cow::Owned)),
            row: Some(copy),
        });
    }
    Ok(places)
}

fn name_or_url(config: &Config, url: &str) -> String {
    name_of_store(config, url).unwrap_or(url).to_owned()
}

impl CostedPlace<'_> {
    /// Returns the number of its row as a copy; `None` for home.
    pub(super) fn number(&self) -> Option<i64> {
        self.row.as_ref().map(|row| row.id)
    }

    /// Returns the class of segments of which the catalog knows none.
    pub(super) fn default_class(&self) -> StorageClass {
        let class = self.store.as_ref().and_then(|store| store.storage_class());
        class.unwrap_or(StorageClass::Standard)
    }

    /// Returns whether the prices are known of what has segments there, and of what has everything else.
    pub(super) fn pricing(&self, config: &Config) -> (Pricing, Pricing) {
        match &self.store {
            None => (Pricing::Unknown, Pricing::Unknown),
            Some(store) => (
                pricing(store, &config.prices),
                pricing(store.ledger_store(), &config.prices),
            ),
        }
    }

    /// Returns the ledger's objects there.
    pub(super) fn ledger_objects(
        &self,
        ledger: &LedgerId,
        catalog: &Catalog,
    ) -> Result<ObjectTotals, Error> {
        let head = self.row.as_ref().map_or(u64::MAX, |row| row.head);
        let mut totals = catalog.kept_entries(ledger, head)?;
        if totals.objects > 0 {
            // A signpost for people; and in a copy its marker.
            totals.objects += 1;
            totals.bytes += README_RESTORE.len() as u64;
        }
        if self.row.is_some() {
            totals.objects += 1;
            totals.bytes += SMALL_OBJECT_BYTES;
        }
        Ok(totals)
    }

    fn cost(
        &self,
        config: &Config,
        ledger: &LedgerId,
        catalog: &Catalog,
    ) -> Result<PlaceCost, Error> {
        let place = self.number();
        let (of_segments, of_others) = self.pricing(config);
        let segments = catalog.kept_segments(ledger, place, AT_LEAST)?;
        let segments = merged(&segments, self.default_class());
        let mut kept: Vec<KeptCost> = segments
            .into_iter()
            .map(|kept| kept.priced(of_segments, &config.prices))
            .collect();
        let archives = catalog.kept_archives(ledger, place)?;
        for (part, totals) in [
            (KeptPart::Contents, catalog.kept_contents(ledger, place)?),
            (
                KeptPart::Keys,
                ObjectTotals {
                    objects: archives,
                    bytes: archives * SMALL_OBJECT_BYTES,
                },
            ),
            (KeptPart::Ledger, self.ledger_objects(ledger, catalog)?),
        ] {
            if totals.objects > 0 {
                let class = StorageClass::Standard;
                let objects = KeptObjects::plain(part, class, totals.objects, totals.bytes);
                kept.push(objects.priced(of_others, &config.prices));
            }
        }
        Ok(PlaceCost {
            name: self.name.clone(),
            store: self.url.clone(),
            is_home: self.row.is_none(),
            kept,
        })
    }
}

/// Returns segments by part and class, with a class for those of which none is known.
fn merged(rows: &[KeptRow], default: StorageClass) -> Vec<KeptObjects> {
    let mut merged: Vec<KeptObjects> = Vec::new();
    for row in rows {
        let part = if row.is_committed {
            KeptPart::Segments
        } else {
            KeptPart::Unfinished
        };
        let class = row.class.unwrap_or(default);
        let billed = match class.minimum_bytes() {
            0 => row.bytes,
            _ => row.raised_bytes,
        };
        let there = merged
            .iter_mut()
            .find(|kept| (kept.part, kept.class) == (part, class));
        match there {
            Some(kept) => {
                kept.objects += row.objects;
                kept.bytes += row.bytes;
                kept.billed_bytes += billed;
            }
            None => merged.push(KeptObjects {
                part,
                class,
                objects: row.objects,
                bytes: row.bytes,
                billed_bytes: billed,
            }),
        }
    }
    merged.sort_by_key(|kept| (kept.part, kept.class));
    merged
}
