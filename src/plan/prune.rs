//! What becomes of chains whose time is over, and of those that were retired.
//!
//! A chain is retired as a whole, by one entry, and is invisible from there on. Its objects go in a
//! later run, and whoever signed the entry, a machine deletes only what its own plan calls expired
//! too: a pruner with another config, or a stolen key, deletes nothing by the hand of this one.
//!
//! - The time of grace runs by the store's clock, from the last entry that retired the chain.
//! - What is deleted are the keys that the ledger signs of an archive, never what a listing names.
//! - Before the first object goes, an entry says so: from there on nobody revives the chain.
//! - Newer archives go before those that they build on, segments before their archive's key, so that
//!   what a run left behind when it was cut short is whole chains, only shorter.
//! - While a clock can't be relied on, nothing happens.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, NaiveDate, Utc};

use super::history::{ArchiveFacts, Condition, History, Verification};
use super::retention::{ChainExpiry, expiring, long_silence};
use super::schedule::Schedule;
use super::strays::{
    Fate, InLedger, ListedObject, MayRetire, ShortListing, StrayFacts, StrayPlan, count, hold,
    plan_strays, span,
};
use crate::model::{ArchiveId, Sha256};

/// What a prune goes by.
#[derive(Debug, Clone)]
pub struct PruneFacts {
    /// What lies in the store, and what the ledger says of it.
    pub strays: StrayFacts,
    /// The visible archives.
    pub history: History,
    /// The archives that were retired.
    pub retired: Vec<RetiredArchive>,
    /// The run's date, by which ages count.
    pub date: NaiveDate,
    /// When a chain's time is over.
    pub schedule: Schedule,
}

/// An archive that was retired, as the ledger has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetiredArchive {
    /// Its id.
    pub id: ArchiveId,
    /// The full of its chain.
    pub chain: ArchiveId,
    /// When the entry was stored that retired it last, by the store's clock; `None` if the store does
    /// not say.
    pub since: Option<DateTime<Utc>>,
    /// Until when its objects are locked, as its entry says.
    pub retain_until: Option<DateTime<Utc>>,
    /// Whether it can still be revived.
    pub deletion: Deletion,
    /// Its objects and how long each is: segments first, the archive's key last.
    pub objects: BTreeMap<String, u64>,
}

/// Whether an entry says that a chain's objects are being deleted. From there on nothing revives it,
/// and what one run has begun another may end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deletion {
    /// None does.
    NotBegun,
    /// One does.
    Begun,
}

/// What a prune of a source does.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PrunePlan {
    /// Of chains, oldest first.
    pub chains: Vec<ChainLine>,
    /// Of what belongs to no archive.
    pub strays: StrayPlan,
}

/// A chain, and what becomes of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainLine {
    /// The id of its full.
    pub chain: ArchiveId,
    /// What becomes of it.
    pub fate: ChainFate,
    /// Its archives, oldest first.
    pub archives: Vec<ArchiveId>,
    /// Those of its objects that are listed, in the order in which they go.
    pub objects: Vec<ListedObject>,
    /// Why.
    pub reason: String,
}

/// What becomes of a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChainFate {
    /// It is retired now; its objects go in a later run, from that moment on.
    Retire {
        /// When, at the earliest.
        deletes_from: DateTime<Utc>,
    },
    /// It was retired, and its objects go now.
    Delete,
    /// It was retired, and its time of grace is not over.
    Wait {
        /// When it is.
        until: DateTime<Utc>,
    },
    /// It was retired, and a lock keeps its objects.
    Retained {
        /// Until when.
        until: DateTime<Utc>,
    },
    /// It is left alone.
    Keep,
}

impl ChainLine {
    /// The length of its objects.
    pub fn bytes(&self) -> u64 {
        self.objects.iter().map(|object| object.bytes).sum()
    }

    /// When its objects are deleted, at the earliest, in a run at `now`; `None` if that is not
    /// decided.
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

/// Decides on the chains of a source, and on its strays.
///
/// A listing that lacks something of a visible archive may lack anything: then nothing is decided.
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
    let names: BTreeSet<ArchiveId> = facts.retired.iter().map(|archive| archive.chain).collect();
    chains.extend(
        names
            .into_iter()
            .filter_map(|chain| retired(chain, facts, hold.as_deref())),
    );
    chains.sort_by_key(|line| line.chain);
    Ok(PrunePlan { chains, strays })
}

/// The line of a visible chain whose time is over.
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
    let objects = listed(own, strays);
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

/// The line of a chain that was retired; `None` if nothing of it is left. What nobody has begun to
/// delete goes although nothing is listed: a store that keeps versions may only hide it.
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
    let objects = listed(own, &facts.strays);
    let (fate, reason) = decide(chain, &archives, facts);
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

/// What becomes of a retired chain while nothing is on hold.
fn decide(
    chain: ArchiveId,
    archives: &[&RetiredArchive],
    facts: &PruneFacts,
) -> (ChainFate, String) {
    let strays = &facts.strays;
    let keep = |reason: &str| (ChainFate::Keep, reason.to_owned());
    if !of_chain(&facts.history, chain).is_empty() {
        return keep("retired in part, and a chain goes as a whole");
    }
    // After a silence nothing is expired at all, and the hold says so.
    let silent = long_silence(&facts.history, facts.date).is_some();
    if !silent && !also_expired(chain, archives, facts) {
        return keep("retired, and not expired by the schedule here");
    }
    let mut since = None;
    for archive in archives {
        let Some(stored) = archive.since else {
            return keep("retired; the store does not say since when");
        };
        since = since.max(Some(stored));
    }
    let since = since.expect("a retired chain has an archive");
    let now = strays.store_now;
    if now < since {
        return keep("retired by an entry that is younger than the store's clock");
    }
    let reason = format!("retired {} ago", span(now - since));
    let until = since + strays.delete_after;
    if now < until {
        return (ChainFate::Wait { until }, reason);
    }
    let locks = archives.iter().filter_map(|archive| archive.retain_until);
    match locks.max() {
        Some(until) if now < until => (ChainFate::Retained { until }, reason),
        _ => (ChainFate::Delete, reason),
    }
}

/// Whether the chain would be expired here if it were still visible. No other retired chain vouches
/// for it.
fn also_expired(chain: ArchiveId, archives: &[&RetiredArchive], facts: &PruneFacts) -> bool {
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
    expiring(&history, facts.date, &facts.schedule)
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

/// Those objects that are listed, in the order of their archives.
fn listed<'a>(
    own: impl Iterator<Item = (ArchiveId, &'a BTreeMap<String, u64>)>,
    strays: &StrayFacts,
) -> Vec<ListedObject> {
    let mut found = Vec::new();
    for (id, objects) in own {
        let Some(listed) = strays.listed.get(&id) else {
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
