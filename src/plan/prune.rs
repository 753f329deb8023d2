//! Decides what happens to chains that expired, and to chains that were retired.
//!
//! One entry retires a whole chain; from then on the chain is invisible. A later run deletes its objects. A
//! machine deletes only what its own plan calls expired too, no matter who signed the entry: a pruner with
//! another config, or a stolen key, can't make this machine delete anything else.
//!
//! - The time of grace counts by the store's clock, from the last entry that retired the chain.
//! - Only keys that the ledger signs for an archive are deleted, never keys that only a listing names.
//! - Before the first object is deleted, an entry says so. From then on no `revive` can name the chain.
//! - Newer archives are deleted before those that they build on, and segments before their archive's key. So
//!   a run that was cut short leaves whole chains that are only shorter.
//! - While a clock can't be relied on, nothing happens.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};

use super::history::{ArchiveFacts, Condition, History, ListedAsOf, Verification};
use super::retention::{ChainExpiry, awaiting_inventory, expiring, long_silence};
use super::schedule::Schedule;
use super::strays::{
    Fate, InLedger, ListedObject, MayRetire, ShortListing, StrayFacts, StrayPlan, count, hold,
    plan_strays, span,
};
use crate::model::{ArchiveId, Sha256};

/// The input of a prune's plan.
#[derive(Debug, Clone)]
pub struct PruneFacts {
    /// What lies in the store, and what the ledger says of it.
    pub strays: StrayFacts,
    /// The visible archives.
    pub history: History,
    /// The archives that were retired.
    pub retired: Vec<RetiredArchive>,
    /// The run's date; ages are as of this date.
    pub date: NaiveDate,
    /// Says when a chain expires.
    pub schedule: Schedule,
    /// As of when the listing is.
    pub listed_as_of: ListedAsOf,
}

/// An archive that was retired, as the ledger has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetiredArchive {
    /// Its id.
    pub id: ArchiveId,
    /// The full of its chain.
    pub chain: ArchiveId,
    /// When the last entry that retired it was stored, by the store's clock; `None` if the store does not
    /// say.
    pub since: Option<DateTime<Utc>>,
    /// Until when its objects are locked, as its entry says.
    pub retain_until: Option<DateTime<Utc>>,
    /// Whether it can still be revived.
    pub deletion: Deletion,
    /// Its objects and how long each is: segments first, the archive's key last.
    pub objects: BTreeMap<String, u64>,
}

/// Whether an entry says that a chain's objects are being deleted. From then on no `revive` can name the
/// chain, and any run may finish the deletion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deletion {
    /// No entry says so.
    NotBegun,
    /// An entry says so.
    Begun,
}

/// What a prune of a source does.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PrunePlan {
    /// What happens to chains, oldest first.
    pub chains: Vec<ChainLine>,
    /// What happens to orphaned objects.
    pub strays: StrayPlan,
}

/// A chain, and what happens to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainLine {
    /// The id of its full.
    pub chain: ArchiveId,
    /// What happens to it.
    pub fate: ChainFate,
    /// Its archives, oldest first.
    pub archives: Vec<ArchiveId>,
    /// Those of its objects that are listed, in the order of deletion.
    pub objects: Vec<ListedObject>,
    /// Why.
    pub reason: String,
}

/// What happens to a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChainFate {
    /// It is retired now; a later run deletes its objects.
    Retire {
        /// The earliest time of the deletion.
        deletes_from: DateTime<Utc>,
    },
    /// It was retired, and its objects are deleted now.
    Delete,
    /// It was retired, and its time of grace is not over.
    Wait {
        /// The end of the time of grace.
        until: DateTime<Utc>,
    },
    /// It was retired, but a lock protects its objects.
    Retained {
        /// The end of the lock.
        until: DateTime<Utc>,
    },
    /// It is left alone.
    Keep,
}

impl ChainLine {
    /// The total length of its objects, in bytes.
    pub fn bytes(&self) -> u64 {
        self.objects.iter().map(|object| object.bytes).sum()
    }

    /// Returns the earliest time at which its objects are deleted, for a run at `now`; `None` if the chain is
    /// kept.
    pub fn deletes_from(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        match self.fate {
            ChainFate::Retire { deletes_from } => Some(deletes_from),
            ChainFate::Delete => Some(now),
            ChainFate::Wait { until } | ChainFate::Retained { until } => Some(until),
            ChainFate::Keep => None,
        }
    }
}

impl PrunePlan {
    /// Whether it retires, deletes or removes anything.
    pub fn acts(&self) -> bool {
        let acts = |fate| matches!(fate, ChainFate::Retire { .. } | ChainFate::Delete);
        let strays = self.strays.lines.iter();
        self.chains.iter().any(|line| acts(line.fate))
            || strays.into_iter().any(|line| line.fate != Fate::Keep)
    }

    /// The chains to retire, and how many archives they have in all.
    pub fn retires(&self) -> (usize, usize) {
        self.chains
            .iter()
            .filter(|line| matches!(line.fate, ChainFate::Retire { .. }))
            .fold((0, 0), |(chains, archives), line| {
                (chains + 1, archives + line.archives.len())
            })
    }
}

/// Decides what happens to the chains of a source, and to its orphaned objects.
///
/// If the listing lacks an object of a visible archive, it may lack any other object too: then this is an
/// error and decides nothing.
pub fn plan_prune(facts: &PruneFacts) -> Result<PrunePlan, ShortListing> {
    let strays = plan_strays(&facts.strays)?;
    let hold = hold(&facts.strays).or_else(|| {
        long_silence(&facts.history, facts.date).map(|days| {
            format!(
                "{} is {} after the newest archive before it",
                facts.date,
                count(days, "day")
            )
        })
    });
    let mut chains: Vec<ChainLine> = expiring(&facts.history, facts.date, &facts.schedule)
        .iter()
        .map(|expiry| expired(expiry, facts, hold.as_deref()))
        .collect();
    if let (ListedAsOf::Inventory(of), None) = (facts.listed_as_of, &hold) {
        let waiting = awaiting_inventory(&facts.history, facts.date, &facts.schedule, of);
        chains.extend(waiting.into_iter().map(|expiry| {
            let line = expired(&expiry, facts, None);
            ChainLine {
                fate: ChainFate::Keep,
                reason: expiry.reason,
                ..line
            }
        }));
    }
    let names: BTreeSet<ArchiveId> = facts.retired.iter().map(|archive| archive.chain).collect();
    chains.extend(
        names
            .into_iter()
            .filter_map(|chain| retired(chain, facts, hold.as_deref())),
    );
    chains.sort_by_key(|line| line.chain);
    Ok(PrunePlan { chains, strays })
}

/// Returns the line of a visible chain that has expired.
fn expired(expiry: &ChainExpiry, facts: &PruneFacts, hold: Option<&str>) -> ChainLine {
    let strays = &facts.strays;
    let archives = of_chain(&facts.history, expiry.id);
    let own = archives
        .iter()
        .rev()
        .filter_map(|id| match strays.ledger.get(id) {
            Some(InLedger::Visible(objects)) => Some((*id, objects)),
            _ => None,
        });
    let objects = listed(own, &strays.listed);
    let (fate, reason) = match (hold, strays.may_retire) {
        (Some(hold), _) => (ChainFate::Keep, hold.to_owned()),
        (None, MayRetire::No) => (
            ChainFate::Keep,
            format!(
                "{}, and this machine's key may not retire it",
                expiry.reason
            ),
        ),
        (None, MayRetire::Yes) => {
            let deletes_from = strays.store_now + strays.delete_after;
            (ChainFate::Retire { deletes_from }, expiry.reason.clone())
        }
    };
    ChainLine {
        chain: expiry.id,
        fate,
        archives,
        objects,
        reason,
    }
}

/// Returns the line of a chain that was retired; `None` if nothing of it is left. If no deletion has begun,
/// the chain is deleted although no object is listed: a store that keeps versions may only hide them.
fn retired(chain: ArchiveId, facts: &PruneFacts, hold: Option<&str>) -> Option<ChainLine> {
    let mut archives: Vec<&RetiredArchive> = facts
        .retired
        .iter()
        .filter(|archive| archive.chain == chain)
        .collect();
    archives.sort_by_key(|archive| archive.id);
    let own = archives
        .iter()
        .rev()
        .map(|archive| (archive.id, &archive.objects));
    let objects = listed(own, &facts.strays.listed);
    let grace = Grace {
        history: &facts.history,
        date: facts.date,
        schedule: &facts.schedule,
        store_now: facts.strays.store_now,
        delete_after: facts.strays.delete_after,
    };
    let (fate, reason) = decide(chain, &archives, &grace);
    let (fate, reason) = match hold {
        Some(hold) if fate == ChainFate::Delete => (ChainFate::Keep, hold.to_owned()),
        _ => (fate, reason),
    };
    let begun = |archive: &&RetiredArchive| archive.deletion == Deletion::Begun;
    let has_begun = archives.iter().any(begun);
    if objects.is_empty() && (fate != ChainFate::Delete || has_begun) {
        return None;
    }
    let (fate, reason) = match (fate, facts.strays.may_retire) {
        (ChainFate::Delete, MayRetire::No) if !has_begun => (
            ChainFate::Keep,
            format!("{reason}, and this machine's key may not begin to delete it"),
        ),
        _ => (fate, reason),
    };
    Some(ChainLine {
        chain,
        fate,
        archives: archives.iter().map(|archive| archive.id).collect(),
        objects,
        reason,
    })
}

/// What decides when a retired chain may be deleted.
pub(super) struct Grace<'a> {
    /// The visible archives.
    pub(super) history: &'a History,
    /// The run's date.
    pub(super) date: NaiveDate,
    /// Says when a chain expires.
    pub(super) schedule: &'a Schedule,
    /// The clock of the store that the objects lie in.
    pub(super) store_now: DateTime<Utc>,
    /// How long the objects of retired archives are kept.
    pub(super) delete_after: TimeDelta,
}

/// Decides what happens to a retired chain, if nothing is on hold.
pub(super) fn decide(
    chain: ArchiveId,
    archives: &[&RetiredArchive],
    facts: &Grace<'_>,
) -> (ChainFate, String) {
    let keep = |reason: &str| (ChainFate::Keep, reason.to_owned());
    if !of_chain(facts.history, chain).is_empty() {
        return keep("only a part of it is retired, and a chain is deleted only as a whole");
    }
    // After a long silence nothing counts as expired, and `hold` gives the reason.
    let silent = long_silence(facts.history, facts.date).is_some();
    if !silent && !also_expired(chain, archives, facts) {
        return keep("retired, but not expired by the schedule of this machine");
    }
    let mut since = None;
    for archive in archives {
        let Some(stored) = archive.since else {
            return keep("retired; the store does not say since when");
        };
        since = since.max(Some(stored));
    }
    let since = since.expect("a retired chain has an archive");
    let now = facts.store_now;
    if now < since {
        return keep("retired by an entry that is newer than the store's clock shows");
    }
    let reason = format!("retired {} ago", span(now - since));
    let until = since + facts.delete_after;
    if now < until {
        return (ChainFate::Wait { until }, reason);
    }
    let locks = archives.iter().filter_map(|archive| archive.retain_until);
    match locks.max() {
        Some(until) if now < until => (ChainFate::Retained { until }, reason),
        _ => (ChainFate::Delete, reason),
    }
}

/// Whether the chain would be expired here if it were still visible. Another retired chain does not count as
/// its replacement.
fn also_expired(chain: ArchiveId, archives: &[&RetiredArchive], facts: &Grace<'_>) -> bool {
    let mut history = facts.history.clone();
    let as_visible = archives.iter().map(|archive| ArchiveFacts {
        id: archive.id,
        send_parent: (archive.id != chain).then_some(chain),
        chain,
        recipients: Sha256([0; 32]),
        condition: Condition::Sound,
        verification: Verification::Verified,
    });
    history.archives.extend(as_visible);
    expiring(&history, facts.date, facts.schedule)
        .iter()
        .any(|expiry| expiry.id == chain)
}

/// A chain's visible archives, oldest first.
fn of_chain(history: &History, chain: ArchiveId) -> Vec<ArchiveId> {
    let archives = history.archives.iter();
    let mut ids: Vec<ArchiveId> = archives
        .filter(|archive| archive.chain == chain)
        .map(|archive| archive.id)
        .collect();
    ids.sort_unstable();
    ids
}

/// Returns the objects of `own` that are listed, in the order of their archives.
pub(super) fn listed<'a>(
    own: impl Iterator<Item = (ArchiveId, &'a BTreeMap<String, u64>)>,
    there: &BTreeMap<ArchiveId, Vec<ListedObject>>,
) -> Vec<ListedObject> {
    let mut found = Vec::new();
    for (id, objects) in own {
        let Some(listed) = there.get(&id) else {
            continue;
        };
        // In the order of the keys: segments first, the archive's key last.
        found.extend(objects.keys().filter_map(|key| {
            let object = listed.iter().find(|object| object.key == *key)?;
            Some(object.clone())
        }));
    }
    found
}

#[cfg(test)]
mod tests;
