//! Prune: retires expired chains, deletes what was retired long enough ago, and removes what attempts left
//! behind.
//!
//! Each run decides again from a listing and the ledger, so the next run continues one that was cut short
//! anywhere. It deletes only the exact keys that the ledger names for a retired archive, and orphaned objects
//! that the listing has shown.

pub(super) mod inventory;
pub(super) mod old_home;
pub(super) mod revive;
pub(super) mod said;

pub(super) mod execute;

use std::collections::BTreeSet;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};

use crate::btrfs::Tools;
use crate::catalog::Catalog;
use crate::config::{Config, Source};
use crate::engine::context::RunContext;
use crate::engine::context::inventory::try_to_renew_inventory;
use crate::engine::context::known_segments::know_segments;
use crate::engine::context::open_source::{OpenSource, know_source};
use crate::engine::context::session::{LockedSource, Session};
use crate::engine::context::state_dir::StateDir;
use crate::engine::ledger::scratch_catalog::rehearsal;
use crate::engine::prune::inventory::{facts_of_unknown, here, survey};
use crate::engine::restore::cost::{Pricing, pricing};
use crate::engine::snapshots::leftovers::{self, Leftover, leftovers};
use crate::error::{Error, PruneError};
use crate::model::entry::Timestamp;
use crate::model::{ArchiveId, keys};
use crate::plan::{ListedAsOf, PruneFacts, PrunePlan, plan_prune};
use crate::store::Swept;
use execute::Pruner;

/// The request for a prune.
#[derive(Debug, Clone, Copy)]
pub struct PruneAsked {
    /// The date from which ages are counted.
    pub date: NaiveDate,
    /// The number of archives that the user agreed to retire, for when more than one chain would be retired.
    pub yes_delete: Option<usize>,
}

/// The result of a prune of a source, or of a dry run.
#[derive(Debug, Clone)]
pub struct Pruned {
    /// One line for each chain and attempt. A line of removed objects has those that still existed.
    pub plan: PrunePlan,
    /// What was cleaned up of writers that died.
    pub swept: Swept,
    /// The store's time of the plan.
    pub at: DateTime<Utc>,
    /// Whether the store's prices are known.
    pub pricing: Pricing,
    /// Local snapshots that were never named: those that are removed, and those of unknown origin.
    pub leftovers: Vec<Leftover>,
}

/// A prune that ended early.
#[derive(Debug)]
pub struct UnfinishedPrune {
    /// What it did until then; `None` if it had not begun.
    pub done: Option<Box<Pruned>>,
    /// Why it ended.
    pub error: Box<Error>,
}

impl From<Error> for UnfinishedPrune {
    fn from(error: Error) -> Self {
        Self {
            done: None,
            error: Box::new(error),
        }
    }
}

impl From<UnfinishedPrune> for Error {
    fn from(cut: UnfinishedPrune) -> Self {
        *cut.error
    }
}

/// Plans a prune of a source. Writes nothing, neither in the store nor here.
pub fn foresee_prune(
    config: &Config,
    source: &Source,
    asked: PruneAsked,
    context: RunContext<'_>,
) -> Result<Pruned, Error> {
    let state_dir = StateDir::new(&config.state_dir);
    let keys = state_dir.keys()?;
    let catalog = state_dir.catalog_to_read()?;
    let Some(row) = catalog.source(&source.name)? else {
        return of_unknown(config, source, asked.date, context);
    };
    let mut open = OpenSource {
        config: source,
        row,
        store: context.open(config.store_of(source)?)?,
    };
    let mut rehearsed = rehearsal(&open, &catalog)?;
    open.row = know_source(config, source, &mut rehearsed)?;
    let session = Session::to_look(config, open, keys, context);
    let (_, mut facts, _) = survey(&session, asked.date, &mut rehearsed)?;
    facts.strays.here = here(&catalog, &session.source.row.ledger, &facts.strays.ledger)?;
    let mut pruned = planned(config, source, &facts, session.source.store.url())?;
    pruned.leftovers = leftovers(source, &catalog)?;
    Ok(pruned)
}

/// Prunes a source, and returns what was done.
pub fn prune(
    config: &Config,
    source: &Source,
    asked: PruneAsked,
    context: RunContext<'_>,
) -> Result<Pruned, UnfinishedPrune> {
    let (locked, mut catalog) = LockedSource::ours(config, source, context)?;
    let Some(row) = locked.known_row(&mut catalog)? else {
        return Ok(of_unknown(config, source, asked.date, context)?);
    };
    let session = locked.open(row)?;
    let mut pruned = prune_open(&session, asked, &mut catalog)?;
    let open = &session.source;
    let swept = open
        .store
        .sweep(&keys::source_prefix(&open.row.directory))
        .map(|swept| pruned.swept = swept)
        .map_err(Error::from);
    let removed = remove_leftovers(config, source, context, &mut catalog)
        .map(|leftovers| pruned.leftovers = leftovers);
    match swept.and(removed) {
        Ok(()) => Ok(pruned),
        Err(error) => Err(UnfinishedPrune {
            done: Some(Box::new(pruned)),
            error: Box::new(error),
        }),
    }
}

/// Removes the snapshots of a source that were never named. Returns the removed ones, and those of unknown
/// origin.
fn remove_leftovers(
    config: &Config,
    source: &Source,
    context: RunContext<'_>,
    catalog: &mut Catalog,
) -> Result<Vec<Leftover>, Error> {
    // A run that makes a snapshot just now has one without its name too.
    let _locked = StateDir::new(&config.state_dir).lock_snapshots(&source.name, &context)?;
    let (ours, mut told): (Vec<_>, Vec<_>) = leftovers(source, catalog)?
        .into_iter()
        .partition(Leftover::is_ours);
    // A machine that only prunes may have no `btrfs`.
    if !ours.is_empty() {
        told.extend(leftovers::remove(
            source,
            ours,
            catalog,
            &Tools::find()?,
            context,
        )?);
    }
    Ok(told)
}

/// Prunes a source that is open and locked.
pub(super) fn prune_open(
    session: &Session<'_>,
    asked: PruneAsked,
    catalog: &mut Catalog,
) -> Result<Pruned, UnfinishedPrune> {
    let (config, source, context) = (session.config, &session.source, session.context);
    know_segments(source, catalog)?;
    let inventory = try_to_renew_inventory(source, context, catalog)?;
    let (mut state, mut facts, seen) = survey(session, asked.date, catalog)?;
    if let (ListedAsOf::Inventory(of), Some(inventory)) = (&mut facts.listed_as_of, inventory) {
        *of = inventory.date();
    }
    facts.strays.here = here(catalog, &source.row.ledger, &facts.strays.ledger)?;
    let mut pruned = planned(config, source.config, &facts, source.store.url())?;
    if pruned.plan.acts() {
        // Compute the time of the listing by the store's clock. Asking the store may take a write, which a
        // run with nothing to do avoids.
        let since = (context.clock.now() - facts.strays.system_now).max(TimeDelta::zero());
        facts.strays.store_now = source.store.now().map_err(Error::from)? - since;
        // Drop the first plan before making the second: each names every listed object, and two would take
        // too much memory.
        pruned.plan = PrunePlan::default();
        pruned = planned(config, source.config, &facts, source.store.url())?;
    }
    note_seen(source, &seen, context, catalog)?;
    let plan = std::mem::take(&mut pruned.plan);
    let held = too_many(source, &plan, asked);
    let run = Pruner {
        session,
        retired: &facts.retired,
    };
    let ended = run.carry_out(plan, held, &mut state, catalog, &mut pruned.plan);
    match ended {
        Ok(()) => Ok(pruned),
        Err(error) => Err(UnfinishedPrune {
            done: Some(Box::new(pruned)),
            error: Box::new(error),
        }),
    }
}

/// What a prune of a source that this machine has never archived would do.
fn of_unknown(
    config: &Config,
    source: &Source,
    date: NaiveDate,
    context: RunContext<'_>,
) -> Result<Pruned, Error> {
    let store = context.open(config.store_of(source)?)?;
    let facts = facts_of_unknown(source, store.as_ref(), date, context)?;
    planned(config, source, &facts, store.url())
}

fn planned(
    config: &Config,
    source: &Source,
    facts: &PruneFacts,
    store: String,
) -> Result<Pruned, Error> {
    let plan = plan_prune(facts).map_err(|short| {
        Error::Prune(PruneError::ListingShort {
            archive: short.archive,
            store,
            objects: short.wrong.len(),
            first: short.wrong.into_iter().next().unwrap_or_default(),
        })
    })?;
    Ok(Pruned {
        plan,
        swept: Swept::default(),
        at: facts.strays.store_now,
        pricing: pricing(config.store_of(source)?, &config.prices),
        leftovers: Vec::new(),
    })
}

/// Returns why no chain may be retired: there are several, or their number of archives is not the agreed one.
/// If there is nothing to retire, any agreed number is accepted, so that the same command can run again.
fn too_many(source: &OpenSource<'_>, plan: &PrunePlan, asked: PruneAsked) -> Option<Error> {
    let (chains, archives) = plan.retires();
    let agreed = match asked.yes_delete {
        Some(agreed) => chains == 0 || agreed == archives,
        None => chains <= 1,
    };
    if agreed {
        return None;
    }
    Some(Error::Prune(PruneError::ManyToRetire {
        source_name: source.name().clone(),
        chains,
        archives,
        agreed: asked.yes_delete,
    }))
}

/// Records archives as verified that this listing has shown complete for the first time since their commit.
fn note_seen(
    source: &OpenSource<'_>,
    seen: &BTreeSet<ArchiveId>,
    context: RunContext<'_>,
    catalog: &mut Catalog,
) -> Result<(), Error> {
    let now = Timestamp(context.clock.now());
    for row in catalog.archives(&source.row.ledger)? {
        let is_new = row.verified_at.is_none() && row.damaged_at.is_none();
        if is_new && row.is_visible() && seen.contains(&row.id) {
            catalog.archive_verified(&row.id, now)?;
        }
    }
    Ok(())
}
