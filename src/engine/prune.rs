//! Pruning: chains whose time is over are retired, what was retired long enough ago is deleted, and
//! what attempts left behind is removed.
//!
//! Each run decides anew from a listing and the ledger, so one that was cut short anywhere is gone on
//! with by the next. What it deletes are exact keys that the ledger signs of a retired archive, and
//! strays that the listing has shown.

use std::collections::BTreeSet;

use chrono::{DateTime, NaiveDate, Utc};

use crate::catalog::Catalog;
use crate::config::{Config, Source};
use crate::engine::clock::local_date;
use crate::engine::commit::Writer;
use crate::engine::head::{self, LedgerState};
use crate::engine::price::{Pricing, pricing};
use crate::engine::rehearsal::rehearsal;
use crate::engine::source::{OpenSource, know_source, retain_until};
use crate::engine::state::{Keys, StateDir};
use crate::engine::survey::{Survey, here, of_unknown};
use crate::engine::world::World;
use crate::error::Error;
use crate::model::entry::{RetireEntry, Timestamp};
use crate::model::{ArchiveId, keys};
use crate::plan::{
    ChainFate, ChainLine, Fate, ListedObject, PruneFacts, PrunePlan, RetiredArchive, StrayPlan,
    plan_prune,
};
use crate::progress::Event;
use crate::store::{Deleted, Swept};

/// Why an attempt is retired, as it stands in the ledger.
const REASON: &str = "attempts that were never committed";

/// What a prune is asked to do.
#[derive(Debug, Clone, Copy)]
pub struct PruneAsked {
    /// The date by which ages count.
    pub date: NaiveDate,
    /// How many archives may be retired, if that is more than one chain.
    pub yes_delete: Option<usize>,
}

/// What a prune of a source did, or would do.
#[derive(Debug, Clone)]
pub struct Pruned {
    /// Chain by chain, and attempt by attempt. Of what was removed those objects that were there.
    pub plan: PrunePlan,
    /// What was swept away of writers that died.
    pub swept: Swept,
    /// The store's clock when it was planned.
    pub at: DateTime<Utc>,
    /// Whether the store's prices are known.
    pub pricing: Pricing,
}

/// Says what a prune of a source would do. Nothing is written, neither in the store nor here.
pub fn foresee_prune(
    config: &Config,
    source: &Source,
    asked: PruneAsked,
    world: World<'_>,
) -> Result<Pruned, Error> {
    let state_dir = StateDir::new(&config.state_dir);
    let keys = state_dir.keys()?;
    let catalog = state_dir.catalog_to_read()?;
    let store = world.open(&config.stores[&source.store])?;
    let Some(row) = catalog.source(&source.name)? else {
        let facts = of_unknown(source, store.as_ref(), asked.date, world)?;
        return planned(config, source, &facts, store.url());
    };
    let mut open = OpenSource {
        config: source,
        row,
        store: store.as_ref(),
    };
    let mut rehearsed = rehearsal(&open, &catalog)?;
    open.row = know_source(config, source, &mut rehearsed)?;
    let survey = Survey {
        config,
        source: &open,
        keys: &keys,
        world,
        date: asked.date,
    };
    let (_, mut facts, _) = survey.take(&mut rehearsed)?;
    facts.strays.here = here(&catalog, &open.row.ledger, &facts.strays.ledger)?;
    planned(config, source, &facts, store.url())
}

/// Prunes a source, and says what was done.
pub fn prune(
    config: &Config,
    source: &Source,
    asked: PruneAsked,
    world: World<'_>,
) -> Result<Pruned, Error> {
    let state_dir = StateDir::new(&config.state_dir);
    let keys = state_dir.keys()?;
    let mut catalog = world.catalog(&state_dir)?;
    let _lock = state_dir.lock(&source.name, &world)?;
    let store = world.open(&config.stores[&source.store])?;
    if catalog.source(&source.name)?.is_none() {
        let facts = of_unknown(source, store.as_ref(), asked.date, world)?;
        return planned(config, source, &facts, store.url());
    }
    let open = OpenSource {
        config: source,
        row: know_source(config, source, &mut catalog)?,
        store: store.as_ref(),
    };
    let mut pruned = prune_open(config, &open, &keys, asked, world, &mut catalog)?;
    pruned.swept = store.sweep(&keys::source_prefix(&open.row.directory))?;
    Ok(pruned)
}

/// Prunes a source that is open and locked.
pub(super) fn prune_open(
    config: &Config,
    source: &OpenSource<'_>,
    keys: &Keys,
    asked: PruneAsked,
    world: World<'_>,
    catalog: &mut Catalog,
) -> Result<Pruned, Error> {
    let survey = Survey {
        config,
        source,
        keys,
        world,
        date: asked.date,
    };
    let (mut state, mut facts, seen) = survey.take(catalog)?;
    facts.strays.here = here(catalog, &source.row.ledger, &facts.strays.ledger)?;
    let mut pruned = planned(config, source.config, &facts, source.store.url())?;
    confirm(source, &pruned.plan, asked)?;
    note_seen(source, &seen, world, catalog)?;
    let run = Pruner {
        config,
        source,
        keys,
        world,
    };
    run.retire_strays(&pruned.plan.strays, &mut state, catalog)?;
    run.retire_chains(&pruned.plan, &mut state, catalog)?;
    pruned.plan.strays = run.remove_strays(pruned.plan.strays)?;
    let mut done = Vec::new();
    for line in pruned.plan.chains {
        if line.fate == ChainFate::Delete {
            done.extend(run.delete_chain(line, &facts.retired, catalog)?);
        } else {
            done.push(line);
        }
    }
    pruned.plan.chains = done;
    Ok(pruned)
}

fn planned(
    config: &Config,
    source: &Source,
    facts: &PruneFacts,
    store: String,
) -> Result<Pruned, Error> {
    let plan = plan_prune(facts).map_err(|short| Error::ListingShort {
        archive: short.archive,
        store,
        objects: short.wrong.len(),
        first: short.wrong.into_iter().next().unwrap_or_default(),
    })?;
    Ok(Pruned {
        plan,
        swept: Swept::default(),
        at: facts.strays.store_now,
        pricing: pricing(&config.stores[&source.store], &config.prices),
    })
}

/// Refuses to retire several chains at once, or another number of archives than was agreed to.
fn confirm(source: &OpenSource<'_>, plan: &PrunePlan, asked: PruneAsked) -> Result<(), Error> {
    let (chains, archives) = plan.retires();
    let agreed = match asked.yes_delete {
        Some(agreed) => agreed == archives,
        None => chains <= 1,
    };
    if agreed {
        return Ok(());
    }
    Err(Error::ManyToRetire {
        source_name: source.name().clone(),
        chains,
        archives,
        agreed: asked.yes_delete,
    })
}

/// Records that the listing has shown archives whole of which none had since their commit.
fn note_seen(
    source: &OpenSource<'_>,
    seen: &BTreeSet<ArchiveId>,
    world: World<'_>,
    catalog: &mut Catalog,
) -> Result<(), Error> {
    let now = Timestamp(world.clock.now());
    for row in catalog.archives(&source.row.ledger)? {
        let is_new = row.verified_at.is_none() && row.damaged_at.is_none();
        if is_new && row.is_visible() && seen.contains(&row.id) {
            catalog.archive_verified(&row.id, now)?;
        }
    }
    Ok(())
}

/// A prune of one source.
struct Pruner<'a> {
    config: &'a Config,
    source: &'a OpenSource<'a>,
    keys: &'a Keys,
    world: World<'a>,
}

impl Pruner<'_> {
    fn writer(&self) -> Writer<'_> {
        let now = self.world.clock.now();
        let today = local_date(now, self.config.timezone);
        Writer {
            config: self.config,
            source: self.source,
            keys: self.keys,
            clock: self.world.clock,
            // As long as the archives whose entries it stands between.
            retain_until: retain_until(self.config, self.source.config, today, now),
        }
    }

    /// Retires attempts that a later run removes, all of them in one entry.
    fn retire_strays(
        &self,
        plan: &StrayPlan,
        state: &mut LedgerState,
        catalog: &mut Catalog,
    ) -> Result<(), Error> {
        // By id, as the plan's lines are.
        let archives: Vec<ArchiveId> = plan
            .with(Fate::Retire)
            .filter_map(|line| line.archive)
            .collect();
        if archives.is_empty() {
            return Ok(());
        }
        self.world.interrupt.check()?;
        let retire = RetireEntry {
            archives,
            reason: REASON.to_owned(),
        };
        self.writer().retire(&retire, state, catalog)
    }

    /// Retires each chain by an entry of its own, the oldest first.
    fn retire_chains(
        &self,
        plan: &PrunePlan,
        state: &mut LedgerState,
        catalog: &mut Catalog,
    ) -> Result<(), Error> {
        for line in &plan.chains {
            if !matches!(line.fate, ChainFate::Retire { .. }) {
                continue;
            }
            self.world.interrupt.check()?;
            let retire = RetireEntry {
                archives: line.archives.clone(),
                reason: format!("expired: {}", line.reason),
            };
            self.writer().retire(&retire, state, catalog)?;
            self.world.observer.event(Event::Retired {
                source: self.source.name().clone(),
                chain: line.chain.date,
                archives: line.archives.len(),
                reason: line.reason.clone(),
            });
        }
        Ok(())
    }

    /// Deletes just what was listed, the archive's key of an attempt after all that it opens.
    fn remove_strays(&self, mut plan: StrayPlan) -> Result<StrayPlan, Error> {
        let of = plan.with(Fate::Remove).map(|line| line.objects.len()).sum();
        let mut deleted = 0;
        let store = self.source.store;
        for line in &mut plan.lines {
            if line.fate != Fate::Remove {
                continue;
            }
            let mut there = Vec::new();
            for object in std::mem::take(&mut line.objects) {
                self.world.interrupt.check()?;
                let answer = store.delete(&store.locate(&object.key));
                match answer.map_err(|source| Error::StraysLeft {
                    source_name: self.source.name().clone(),
                    deleted,
                    of,
                    source: Box::new(source),
                })? {
                    Deleted::Removed => there.push(object),
                    // Somebody else was faster, or it is locked and its time will come.
                    Deleted::Absent | Deleted::Retained { .. } => {}
                }
                deleted += 1;
            }
            line.objects = there;
        }
        Ok(plan)
    }

    /// Deletes a retired chain, the newest archive first. A lock ends it for this run: what is left
    /// is a line of its own.
    fn delete_chain(
        &self,
        line: ChainLine,
        retired: &[RetiredArchive],
        catalog: &mut Catalog,
    ) -> Result<Vec<ChainLine>, Error> {
        let store = self.source.store;
        let mut removed = Vec::new();
        let mut done = 0;
        for id in line.archives.iter().rev() {
            let archive = retired.iter().find(|archive| archive.id == *id);
            let archive = archive.expect("the plan was made of these");
            let is_its = |object: &ListedObject| archive.objects.contains_key(&object.key);
            if !line.objects.iter().any(is_its) {
                continue;
            }
            if !self.is_still_retired(&line, catalog)? {
                let reason = "revived meanwhile".to_owned();
                return Ok(parted(line, removed, ChainFate::Keep, Some(reason)));
            }
            // Also what is not listed any more: a store that keeps versions may only hide it.
            for (key, bytes) in &archive.objects {
                self.world.interrupt.check()?;
                let answer = store.delete(&store.locate(key));
                match answer.map_err(|source| Error::ChainLeft {
                    source_name: self.source.name().clone(),
                    chain: line.chain.date,
                    deleted: done,
                    of: line.objects.len(),
                    source: Box::new(source),
                })? {
                    Deleted::Removed => {
                        done += 1;
                        let listed = line.objects.iter().find(|object| object.key == *key);
                        removed.extend(listed.cloned().map(|object| ListedObject {
                            bytes: *bytes,
                            ..object
                        }));
                    }
                    Deleted::Absent => {}
                    Deleted::Retained { until } => {
                        return Ok(parted(line, removed, ChainFate::Retained { until }, None));
                    }
                }
            }
        }
        self.world.observer.event(Event::Deleted {
            source: self.source.name().clone(),
            chain: line.chain.date,
            objects: removed.len(),
            bytes: removed.iter().map(|object| object.bytes).sum(),
        });
        Ok(vec![ChainLine {
            objects: removed,
            ..line
        }])
    }

    /// Reads the ledger once more: another machine may just have revived the chain.
    fn is_still_retired(&self, line: &ChainLine, catalog: &mut Catalog) -> Result<bool, Error> {
        let state = head::catch_up(self.source, catalog, &self.keys.root)?;
        state.require_known(self.source)?;
        Ok(line.archives.iter().all(|id| state.replay.is_retired(id)))
    }
}

/// A chain of which a part is gone and the rest has another fate.
fn parted(
    line: ChainLine,
    removed: Vec<ListedObject>,
    fate: ChainFate,
    reason: Option<String>,
) -> Vec<ChainLine> {
    let gone: BTreeSet<&str> = removed.iter().map(|object| object.key.as_str()).collect();
    let left = line.objects.iter();
    let left: Vec<ListedObject> = left
        .filter(|object| !gone.contains(object.key.as_str()))
        .cloned()
        .collect();
    let rest = ChainLine {
        fate,
        objects: left,
        reason: reason.unwrap_or_else(|| line.reason.clone()),
        ..line.clone()
    };
    if removed.is_empty() {
        return vec![rest];
    }
    let gone = ChainLine {
        objects: removed,
        ..line
    };
    vec![gone, rest]
}
