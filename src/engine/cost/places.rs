//! The places of a source whose costs are told.

use std::borrow::Cow;

use crate::catalog::{Catalog, ObjectTotals, PlaceRow, SourceRow};
use crate::config::{Config, StoreConfig};
use crate::engine::context::open_source::{is_place, name_of_store, store_of_row, store_url};
use crate::engine::ledger::append::README_RESTORE;
use crate::engine::restore::cost::pricing;
use crate::error::Error;
use crate::model::{LedgerId, StorageClass};
use crate::plan::{Pricing, SMALL_OBJECT_BYTES};

/// The smallest size that any class bills. [`StorageClass::minimum_bytes`] says which classes do.
pub(super) const AT_LEAST: u64 = StorageClass::StandardIa.minimum_bytes();

/// A store that has objects of a source.
pub(super) struct CostedPlace<'c> {
    /// Its name in the config, or its URL.
    pub(super) name: String,
    /// Its URL.
    pub(super) url: String,
    /// What is known of it as a copy; `None` for home, and for a copy that was never made.
    pub(super) row: Option<PlaceRow>,
    /// How to reach it; `None` if its URL says nothing that this version knows.
    pub(super) store: Option<Cow<'c, StoreConfig>>,
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

/// Returns a copy that the config names and that was never made.
pub(super) fn place_to_come<'c>(config: &'c Config, name: &str) -> Result<CostedPlace<'c>, Error> {
    let store = config.store_named(name)?;
    Ok(CostedPlace {
        name: name.to_owned(),
        url: store_url(store),
        row: None,
        store: Some(Cow::Borrowed(store)),
    })
}

fn name_or_url(config: &Config, url: &str) -> String {
    name_of_store(config, url).unwrap_or(url).to_owned()
}

impl CostedPlace<'_> {
    /// Returns the number of its row as a copy, if it has one.
    pub(super) fn number(&self) -> Option<i64> {
        self.row.as_ref().map(|row| row.id)
    }

    /// Returns the class that segments are put into. It is also taken for those of which the catalog knows none.
    pub(super) fn put_class(&self) -> StorageClass {
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
}
