//! Estimates the cost of a restore from what the catalog knows of its segments.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};

use crate::catalog::{Catalog, SegmentRow, ThawRow};
use crate::config::{Config, Source, StoreConfig};
use crate::error::{Error, RequestError, RestoreError};
use crate::model::{ArchiveId, LedgerId, StorageClass, Tier};
use crate::plan::pricing::prices::PriceOrigin;
use crate::plan::{
    CostRefusal, FetchedParts, Prices, RestoreCost, Stored, Usd, price_restore, refuse_beyond,
};

use crate::engine::context::open_source::store_url;
pub use crate::plan::Pricing;

/// A restore's cost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Estimate {
    /// The counts, and the sums.
    pub cost: RestoreCost,
    /// Whether the sums are valid.
    pub pricing: Pricing,
    /// The store's URL.
    pub store: String,
}

/// Estimates the cost of restoring archives of a source, from the classes and thaws in the catalog. `now` is
/// compared with times of the store, whose exact clock only the store knows.
pub fn estimate(
    config: &Config,
    source: &Source,
    archives: &[ArchiveId],
    thaw_days: u32,
    catalog: &Catalog,
    now: DateTime<Utc>,
) -> Result<Estimate, Error> {
    let mut stored = StoredByClass::of(config, source, catalog)?;
    // A ledger may have thousands of archives, and a chain has a few.
    for id in archives {
        let Some(archive) = catalog.archive(id)? else {
            continue;
        };
        let of = stored.class_of(archive.storage_class);
        of.segments += archive.segments;
        of.sealed_bytes += archive.sealed_bytes;
        let thaws = catalog.thaws(&archive.id)?;
        if thaws.is_empty() {
            continue;
        }
        for segment in catalog.segments(&archive.id)? {
            add_readable(of, &segment, &thaws, now);
        }
    }
    Ok(stored.estimate(config, thaw_days))
}

/// Counts a segment that a thaw has made readable.
fn add_readable(
    of: &mut Stored,
    segment: &SegmentRow,
    thaws: &BTreeMap<u32, ThawRow>,
    now: DateTime<Utc>,
) {
    let thaw = thaws.get(&segment.index);
    let until = thaw.and_then(|thaw| thaw.readable_until);
    if until.is_some_and(|until| until.0 > now) {
        of.readable_segments += 1;
        of.readable_bytes += segment.record.sealed_bytes;
    }
}

/// Estimates the cost of fetching parts of archives.
pub fn estimate_parts(
    config: &Config,
    source: &Source,
    parts: &BTreeMap<ArchiveId, ArchiveReads>,
    thaw_days: u32,
    catalog: &Catalog,
    now: DateTime<Utc>,
) -> Result<Estimate, Error> {
    let mut stored = StoredByClass::of(config, source, catalog)?;
    for archive in catalog.archives(&stored.ledger)? {
        let Some(reads) = parts.get(&archive.id) else {
            continue;
        };
        let of = stored.class_of(archive.storage_class);
        let fetched = of.parts.get_or_insert(FetchedParts {
            requests: 0,
            bytes: 0,
        });
        fetched.requests += reads.requests;
        fetched.bytes += reads.sealed_bytes;
        let thaws = catalog.thaws(&archive.id)?;
        for segment in catalog.segments(&archive.id)? {
            if !reads.segments.contains(&segment.index) {
                continue;
            }
            of.segments += 1;
            of.sealed_bytes += segment.record.sealed_bytes;
            add_readable(of, &segment, &thaws, now);
        }
    }
    Ok(stored.estimate(config, thaw_days))
}

/// What is read of an archive.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ArchiveReads {
    /// The segments of which something is read, by their indexes.
    pub segments: BTreeSet<u32>,
    /// Requests that read it.
    pub requests: u64,
    /// Bytes that the store sends.
    pub sealed_bytes: u64,
}

/// What is stored in each class, of a source that is restored.
struct StoredByClass<'a> {
    store: &'a StoreConfig,
    ledger: LedgerId,
    classes: Vec<Stored>,
}

impl<'a> StoredByClass<'a> {
    fn of(config: &'a Config, source: &Source, catalog: &Catalog) -> Result<Self, Error> {
        let row = catalog
            .source(&source.name)?
            .ok_or_else(|| RequestError::NeverArchived(source.name.clone()))?;
        Ok(Self {
            store: config.store_of(source)?,
            ledger: row.ledger,
            classes: Vec::new(),
        })
    }

    /// Returns what lies in the class of an archive, as the catalog knows it.
    fn class_of(&mut self, known: Option<StorageClass>) -> &mut Stored {
        let class = known.or(self.store.storage_class());
        let class = class.unwrap_or(StorageClass::Standard);
        let at = self.classes.iter().position(|it| it.class == class);
        let at = at.unwrap_or_else(|| {
            self.classes.push(Stored {
                class,
                segments: 0,
                sealed_bytes: 0,
                readable_segments: 0,
                readable_bytes: 0,
                parts: None,
            });
            self.classes.len() - 1
        });
        &mut self.classes[at]
    }

    fn estimate(&self, config: &Config, thaw_days: u32) -> Estimate {
        Estimate {
            cost: price_restore(&self.classes, thaw_days, &config.prices),
            pricing: pricing(self.store, &config.prices),
            store: store_url(self.store),
        }
    }
}

pub(in crate::engine) fn pricing(store: &StoreConfig, prices: &Prices) -> Pricing {
    match store {
        StoreConfig::Dir { cold: None, .. } => Pricing::Free,
        // The store is not AWS, so the built-in price list is not valid for it.
        StoreConfig::S3 { settings, .. }
            if settings.endpoint.is_some() && prices.of.origin == PriceOrigin::BuiltIn =>
        {
            Pricing::Unknown
        }
        StoreConfig::Vault { settings, .. }
            if settings.endpoint.is_some() && prices.of.origin == PriceOrigin::BuiltIn =>
        {
            Pricing::Unknown
        }
        // A directory that plays a cold class also has that class's prices.
        StoreConfig::Dir { cold: Some(_), .. }
        | StoreConfig::S3 { .. }
        | StoreConfig::Vault { .. } => Pricing::Known,
    }
}

impl Estimate {
    /// Returns the total cost of the restore, if prices are known.
    pub fn usd_total(&self, tier: Tier) -> Result<Option<Usd>, Error> {
        let usd = self.cost.usd_total(tier).map_err(CostRefusal::from)?;
        Ok((self.pricing == Pricing::Known).then_some(usd))
    }

    /// Refuses a tier that a cold class does not have, and a restore that costs more than `max`.
    pub fn refuse(&self, tier: Tier, max: Option<Usd>) -> Result<(), Error> {
        self.usd_total(tier)?;
        match (max, self.pricing) {
            (Some(max), Pricing::Known) => Ok(refuse_beyond(&self.cost, tier, max)?),
            (Some(_), Pricing::Unknown) => Err(RestoreError::NoPrices(self.store.clone()).into()),
            (Some(_), Pricing::Free) | (None, _) => Ok(()),
        }
    }

    /// Returns whether any segment is in a cold class, thawed or not.
    pub fn is_cold(&self) -> bool {
        let mut classes = self.cost.classes.iter();
        classes.any(|class| class.stored.class.is_cold())
    }
}
