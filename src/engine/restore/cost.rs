//! What a restore costs, from what the catalog knows of its segments.

use chrono::{DateTime, Utc};

use crate::catalog::Catalog;
use crate::config::{Config, Source, StoreConfig};
use crate::error::{Error, RequestError, RestoreError};
use crate::model::{ArchiveId, StorageClass, Tier};
use crate::plan::pricing::prices::Origin;
use crate::plan::{CostRefusal, Prices, RestoreCost, Stored, Usd, price_restore, refuse_beyond};

use crate::engine::context::open_source::store_url;

/// Whether an estimate's sums mean anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pricing {
    /// They are what the store asks for.
    Known,
    /// The store asks for nothing.
    Free,
    /// What the store asks for is not known.
    Unknown,
}

/// A restore's cost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Estimate {
    /// The counts, and the sums.
    pub cost: RestoreCost,
    /// Whether the sums mean anything.
    pub pricing: Pricing,
    /// The store's URL.
    pub store: String,
}

/// Estimates what it costs to restore archives of a source, by what the catalog remembers of their
/// classes and thaws. `now` is compared with the store's times, which the store alone tells exactly.
pub fn estimate(
    config: &Config,
    source: &Source,
    archives: &[ArchiveId],
    thaw_days: u32,
    catalog: &Catalog,
    now: DateTime<Utc>,
) -> Result<Estimate, Error> {
    let store = &config.stores[&source.store];
    let row = catalog
        .source(&source.name)?
        .ok_or_else(|| RequestError::NeverArchived(source.name.clone()))?;
    let mut stored: Vec<Stored> = Vec::new();
    for archive in catalog.archives(&row.ledger)? {
        if !archives.contains(&archive.id) {
            continue;
        }
        let class = archive.storage_class.or(store.storage_class());
        let class = class.unwrap_or(StorageClass::Standard);
        let at = stored.iter().position(|stored| stored.class == class);
        let at = at.unwrap_or_else(|| {
            stored.push(Stored {
                class,
                segments: 0,
                sealed_bytes: 0,
                readable_segments: 0,
                readable_bytes: 0,
            });
            stored.len() - 1
        });
        let stored = &mut stored[at];
        stored.segments += archive.segments;
        stored.sealed_bytes += archive.sealed_bytes;
        let thaws = catalog.thaws(&archive.id)?;
        if thaws.is_empty() {
            continue;
        }
        for segment in catalog.segments(&archive.id)? {
            let until = thaws
                .get(&segment.index)
                .and_then(|thaw| thaw.readable_until);
            if until.is_some_and(|until| until.0 > now) {
                stored.readable_segments += 1;
                stored.readable_bytes += segment.record.sealed_bytes;
            }
        }
    }
    Ok(Estimate {
        cost: price_restore(&stored, thaw_days, &config.prices),
        pricing: pricing(store, &config.prices),
        store: store_url(store),
    })
}

pub(in crate::engine) fn pricing(store: &StoreConfig, prices: &Prices) -> Pricing {
    match store {
        StoreConfig::Dir { cold: None, .. } => Pricing::Free,
        // Not AWS, so the built-in list is not this store's.
        StoreConfig::S3 { settings, .. }
            if settings.endpoint.is_some() && prices.of.origin == Origin::BuiltIn =>
        {
            Pricing::Unknown
        }
        // A directory that plays a class plays its prices too.
        StoreConfig::Dir { cold: Some(_), .. } | StoreConfig::S3 { .. } => Pricing::Known,
    }
}

impl Estimate {
    /// What the restore costs in all, where that can be told.
    pub fn usd_total(&self, tier: Tier) -> Result<Option<Usd>, Error> {
        let usd = self.cost.usd_total(tier).map_err(CostRefusal::from)?;
        Ok((self.pricing == Pricing::Known).then_some(usd))
    }

    /// Refuses a tier that a class to be thawed does not have, and a restore beyond the limit.
    pub fn refuse(&self, tier: Tier, max: Option<Usd>) -> Result<(), Error> {
        self.usd_total(tier)?;
        match (max, self.pricing) {
            (Some(max), Pricing::Known) => Ok(refuse_beyond(&self.cost, tier, max)?),
            (Some(_), Pricing::Unknown) => Err(RestoreError::NoPrices(self.store.clone()).into()),
            (Some(_), Pricing::Free) | (None, _) => Ok(()),
        }
    }

    /// Whether anything lies in a class that must be thawed, thawed already or not.
    pub fn is_cold(&self) -> bool {
        let mut classes = self.cost.classes.iter();
        classes.any(|class| class.stored.class.is_cold())
    }
}
