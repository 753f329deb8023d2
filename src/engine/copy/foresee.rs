//! What a copy would get, and what it would cost. Nothing is written, at no place.

use std::collections::{BTreeMap, BTreeSet};

use crate::catalog::{Catalog, Link, SourceRow};
use crate::config::{Config, Source, StoreConfig};
use crate::engine::backup::facts::history;
use crate::engine::context::RunContext;
use crate::engine::context::open_source::{OpenSource, know_source, store_url};
use crate::engine::context::state_dir::StateDir;
use crate::engine::copy::claim::look;
use crate::engine::copy::target::copy_store;
use crate::engine::ledger::archive_keys::sealed_archives;
use crate::engine::ledger::scratch_catalog::rehearsal;
use crate::engine::ledger::sync;
use crate::engine::prune::inventory::ListedArchives;
use crate::engine::prune::said::own_objects;
use crate::engine::restore::cost::pricing;
use crate::error::{Error, RequestError};
use crate::model::entry::ArchiveEntry;
use crate::model::keys::ArchivePart;
use crate::model::{ArchiveId, StorageClass};
use crate::plan::{
    CopyCost, CopyCostFacts, CopyFacts, CopyFate, CopyPlan, CopyPut, HomeArchive, ListedObject,
    Stored, plan_copy, price_copy,
};

/// What a copy would get.
#[derive(Debug, Clone)]
pub struct CopyForeseen {
    /// The copy's URL.
    pub store: String,
    /// What happens to each visible archive, in the order of copying.
    pub plan: CopyPlan,
    /// What that costs.
    pub cost: CopyCost,
}

/// Foresees a copy of a source to the store of that name. Thaws are priced for so many days.
pub fn foresee_copy(
    config: &Config,
    source: &Source,
    to: &str,
    thaw_days: u32,
    context: RunContext<'_>,
) -> Result<CopyForeseen, Error> {
    let store = copy_store(config, source, to)?;
    let home_store = config.store_of(source)?;
    let state_dir = StateDir::new(&config.state_dir);
    let root = state_dir.root_key()?;
    let mut catalog = state_dir.catalog_to_read()?;
    let row = catalog
        .source(&source.name)?
        .ok_or_else(|| RequestError::NeverArchived(source.name.clone()))?;
    let mut home = OpenSource {
        config: source,
        row,
        store: context.open(home_store)?,
    };
    let mut now = rehearsal(&home, &catalog)?;
    home.row = know_source(config, source, &mut now)?;
    let state = sync::catch_up(&home, &mut now, &root)?;
    state.require_home(&home)?;
    let there = OpenSource {
        config: source,
        row: SourceRow {
            store: store_url(store),
            ..home.row.clone()
        },
        store: context.open(store)?,
    };
    look(&there, &first_entry(&home, &now)?)?;
    let directory = &there.row.directory;
    let listed = ListedArchives::take(directory, there.store.as_ref(), context)?;
    let entries = visible(&home.row, &now)?;
    let plan = plan_of(&home.row, &entries, listed.archives, BTreeSet::new(), &now)?;
    let cost = cost(config, (home_store, store), &plan, thaw_days, &mut catalog)?;
    Ok(CopyForeseen {
        store: there.row.store,
        plan,
        cost,
    })
}

/// Returns home's first entry.
pub(super) fn first_entry(home: &OpenSource<'_>, catalog: &Catalog) -> Result<Vec<u8>, Error> {
    let entries = catalog.entries(&home.row.ledger)?;
    let first = entries.into_iter().find(|entry| entry.seq == 1);
    Ok(first.map(|entry| entry.object).unwrap_or_default())
}

/// Returns the entries of the visible archives.
pub(super) fn visible(row: &SourceRow, catalog: &Catalog) -> Result<Vec<ArchiveEntry>, Error> {
    let ids: Vec<ArchiveId> = catalog
        .lineage(&row.ledger)?
        .iter()
        .map(|link| link.id)
        .collect();
    let sealed = sealed_archives(&row.ledger, &ids, catalog)?;
    Ok(sealed.into_iter().map(|archive| archive.entry).collect())
}

/// Plans what a copy gets that shows these objects, and that has these archives whole.
pub(super) fn plan_of(
    row: &SourceRow,
    entries: &[ArchiveEntry],
    listed: BTreeMap<ArchiveId, Vec<ListedObject>>,
    copied: BTreeSet<ArchiveId>,
    catalog: &Catalog,
) -> Result<CopyPlan, Error> {
    let visible: Vec<Link> = catalog.lineage(&row.ledger)?;
    let facts = history(visible).archives;
    let home = facts.into_iter().filter_map(|archive| {
        let entry = entries.iter().find(|entry| entry.id == archive.id)?;
        Some(HomeArchive {
            archive,
            objects: own_objects(&row.directory, entry),
        })
    });
    Ok(plan_copy(&CopyFacts {
        home: home.collect(),
        listed,
        copied,
    }))
}

/// Estimates what the plan costs. The classes at home are those that the catalog knows.
fn cost(
    config: &Config,
    (home, copy): (&StoreConfig, &StoreConfig),
    plan: &CopyPlan,
    thaw_days: u32,
    catalog: &mut Catalog,
) -> Result<CopyCost, Error> {
    let mut reads: BTreeMap<StorageClass, Stored> = BTreeMap::new();
    let class_there = copy.storage_class().unwrap_or(StorageClass::Standard);
    let mut puts: BTreeMap<StorageClass, CopyPut> = BTreeMap::new();
    for line in plan.with(CopyFate::Copy) {
        let known = catalog.archive(&line.archive)?;
        let class = known.and_then(|row| row.storage_class);
        let class = class.or(home.storage_class());
        let class = class.unwrap_or(StorageClass::Standard);
        for (key, bytes) in &line.objects {
            let name = key.rsplit('/').next().unwrap_or(key);
            let is_segment = matches!(
                crate::model::keys::archive_part(name),
                Some(ArchivePart::Segment(_))
            );
            let into = if is_segment {
                let read = reads.entry(class).or_insert(Stored {
                    class,
                    segments: 0,
                    sealed_bytes: 0,
                    readable_segments: 0,
                    readable_bytes: 0,
                    parts: None,
                });
                read.segments += 1;
                read.sealed_bytes += bytes;
                class_there
            } else {
                StorageClass::Standard
            };
            let put = puts.entry(into).or_insert(CopyPut {
                class: into,
                objects: 0,
                bytes: 0,
            });
            put.objects += 1;
            put.bytes += bytes;
        }
    }
    let reads: Vec<Stored> = reads.into_values().collect();
    let puts: Vec<CopyPut> = puts.into_values().collect();
    Ok(price_copy(&CopyCostFacts {
        reads: &reads,
        puts: &puts,
        thaw_days,
        home: pricing(home, &config.prices),
        copy: pricing(copy, &config.prices),
        prices: &config.prices,
    }))
}
