//! Decides what of a copy may be deleted.
//!
//! A copy is there for the day on which home is lost or wrong. So it deletes less than home does, later, and
//! never by a listing or a clock alone:
//!
//! - A chain goes only as a whole, and only if both ledgers say that all its archives are retired and being
//!   deleted: the copy's own, and home's newest. An entry of home that undoes a delete undoes it here too.
//! - The time of grace counts by the copy's clock, from the moment at which the retire entry was put there.
//! - The copier's own schedule says that the chain has expired, and a newer chain is whole in this copy, its
//!   full verified there. So the newest chain that is whole in the copy stays, whatever home says.
//! - A lock of the copy's own keeps its objects.
//! - Orphaned objects go only if home's ledger does not name their archive, or has deleted it, if they are
//!   old by the copy's clock, and if nothing is being copied.
//! - While home can't be read, a listing lacks something, or a clock can't be relied on, nothing goes.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};

use super::history::{Condition, History};
use super::prune::{
    ChainFate, ChainLine, Deletion, Grace, PrunePlan, RetiredArchive, decide, listed,
};
use super::retention::long_silence;
use super::schedule::Schedule;
use super::strays::{
    Fate, LARGEST_SKEW, ListedObject, ShortListing, StrayLine, StrayPlan, count, lacking,
    left_alone, of_kind, quiet, span,
};
use crate::model::ArchiveId;
use crate::model::keys::ArchivePart;

/// The input of a prune's plan in a copy.
#[derive(Debug, Clone)]
pub struct CopyPruneFacts {
    /// What home's newest ledger says, read after the copy was listed; `None` if home could not be read.
    pub home: Option<HomeNow>,
    /// The archives that are retired by the entries in the copy. `since` is by the copy's clock, and
    /// `retain_until` is the end of a lock in the copy.
    pub retired: Vec<RetiredArchive>,
    /// All archive ids that the entries in the copy name.
    pub named: BTreeSet<ArchiveId>,
    /// The archives that were copied here, as they are in the copy: damaged or not, verified there or not.
    pub copied: History,
    /// The archives of which this machine has noted anything in the copy, whole or not.
    pub placed: BTreeSet<ArchiveId>,
    /// The attempts of this machine that can still become archives.
    pub open: BTreeSet<ArchiveId>,
    /// The objects below each archive's prefix in the copy.
    pub listed: BTreeMap<ArchiveId, Vec<ListedObject>>,
    /// The other objects in `archives/` of the copy.
    pub elsewhere: Vec<ListedObject>,
    /// Whether this machine may be copying.
    pub own_copy: OwnCopy,
    /// The copy's clock, before anything was listed.
    pub copy_now: DateTime<Utc>,
    /// The system's clock at that moment.
    pub system_now: DateTime<Utc>,
    /// How long the objects of retired archives are kept.
    pub delete_after: TimeDelta,
    /// The run's date; ages are as of this date.
    pub date: NaiveDate,
    /// Says when a chain expires.
    pub schedule: Schedule,
}

/// What home's newest ledger says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HomeNow {
    /// Of each archive id. An id that it does not name is not in here.
    pub archives: BTreeMap<ArchiveId, AtHome>,
    /// The number of the first entry that can't be read, if there is one.
    pub unread: Option<u64>,
    /// Home's clock; `None` if it does not say.
    pub now: Option<DateTime<Utc>>,
}

/// What home's ledger says of an archive id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AtHome {
    /// Home shows the archive.
    Visible {
        /// The full of its chain.
        chain: ArchiveId,
        /// Its objects and how long each is.
        objects: BTreeMap<String, u64>,
    },
    /// It is an archive and is retired.
    Retired {
        /// The full of its chain.
        chain: ArchiveId,
        /// Whether an entry says that it is being deleted, and none undoes that.
        deletion: Deletion,
        /// Its objects and how long each is.
        objects: BTreeMap<String, u64>,
    },
    /// It was never an archive, and was retired by its id.
    RetiredAttempt,
}

/// Whether a copy of this source may be under way here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OwnCopy {
    /// None is.
    Done,
    /// One is, or one ended before it had copied all.
    UnderWay,
}

impl AtHome {
    /// The full of its chain; `None` if it was never an archive.
    fn chain(&self) -> Option<ArchiveId> {
        match self {
            Self::Visible { chain, .. } | Self::Retired { chain, .. } => Some(*chain),
            Self::RetiredAttempt => None,
        }
    }

    /// The objects of the archive; `None` if it was never one.
    fn objects(&self) -> Option<&BTreeMap<String, u64>> {
        match self {
            Self::Visible { objects, .. } | Self::Retired { objects, .. } => Some(objects),
            Self::RetiredAttempt => None,
        }
    }
}

/// Decides what of a copy is deleted.
///
/// If the listing lacks an object of an archive that was copied and that home shows, it may lack any other
/// object too: then this is an error and decides nothing.
pub fn plan_copy_prune(facts: &CopyPruneFacts) -> Result<PrunePlan, ShortListing> {
    let home = facts.home.clone().unwrap_or_default();
    let whole = whole(facts, &home)?;
    let hold = hold(facts, &whole);
    let names: BTreeSet<ArchiveId> = facts.retired.iter().map(|archive| archive.chain).collect();
    let chains = names
        .into_iter()
        .filter_map(|chain| chain_line(chain, facts, &home, &whole, hold.as_deref()));
    Ok(PrunePlan {
        chains: chains.collect(),
        strays: orphans(facts, &home, hold.as_deref()),
    })
}

/// Returns the archives that home shows and that are whole in the copy, as they are there.
fn whole(facts: &CopyPruneFacts, home: &HomeNow) -> Result<History, ShortListing> {
    let nothing = Vec::new();
    let mut whole = History::default();
    for archive in &facts.copied.archives {
        let Some(AtHome::Visible { objects, .. }) = home.archives.get(&archive.id) else {
            continue;
        };
        let listed = facts.listed.get(&archive.id).unwrap_or(&nothing);
        let wrong = lacking(objects, listed);
        if wrong.is_empty() {
            whole.archives.push(archive.clone());
        } else if archive.condition != Condition::Damaged {
            let archive = archive.id;
            return Err(ShortListing { archive, wrong });
        }
    }
    Ok(whole)
}

/// Returns why nothing may be deleted now; `None` if it may.
fn hold(facts: &CopyPruneFacts, whole: &History) -> Option<String> {
    let Some(home) = &facts.home else {
        return Some("home could not be read".to_owned());
    };
    for (clock, now) in [
        ("the system's clock", Some(facts.system_now)),
        ("home's clock", home.now),
    ] {
        let skew = now.map_or(TimeDelta::zero(), |now| (now - facts.copy_now).abs());
        if skew > LARGEST_SKEW {
            return Some(format!("{clock} and the copy's are {} apart", span(skew)));
        }
    }
    if whole.archives.is_empty() {
        return Some("nothing that home shows is whole in the copy".to_owned());
    }
    long_silence(whole, facts.date).map(|days| {
        format!(
            "{} is {} after the newest archive before it in the copy",
            facts.date,
            count(days, "day")
        )
    })
}

/// Returns the line of a chain that the copy's ledger retires; `None` if nothing of it is in the copy.
fn chain_line(
    chain: ArchiveId,
    facts: &CopyPruneFacts,
    home: &HomeNow,
    whole: &History,
    hold: Option<&str>,
) -> Option<ChainLine> {
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
    let objects = listed(own, &facts.listed);
    // A store that keeps versions may only hide what was copied, so what was never noted as gone counts.
    let noted = |archive: &&RetiredArchive| facts.placed.contains(&archive.id);
    if objects.is_empty() && !archives.iter().any(noted) {
        return None;
    }
    let (fate, reason) = match (hold, kept(chain, &archives, home)) {
        (Some(hold), _) => (ChainFate::Keep, hold.to_owned()),
        (None, Some(reason)) => (ChainFate::Keep, reason.to_owned()),
        (None, None) => {
            let grace = Grace {
                history: whole,
                date: facts.date,
                schedule: &facts.schedule,
                store_now: facts.copy_now,
                delete_after: facts.delete_after,
            };
            decide(chain, &archives, &grace)
        }
    };
    Some(ChainLine {
        chain,
        fate,
        archives: archives.iter().map(|archive| archive.id).collect(),
        objects,
        reason,
    })
}

/// Returns why a chain that the copy's ledger retires is kept by what the ledgers say; `None` if both say
/// that all of it is being deleted.
fn kept(chain: ArchiveId, archives: &[&RetiredArchive], home: &HomeNow) -> Option<&'static str> {
    let at_home: BTreeMap<ArchiveId, &AtHome> = home
        .archives
        .iter()
        .filter(|(_, at)| at.chain() == Some(chain))
        .map(|(id, at)| (*id, at))
        .collect();
    let is_visible = |at: &&AtHome| matches!(at, AtHome::Visible { .. });
    let is_deleted = |at: &&AtHome| {
        matches!(
            at,
            AtHome::Retired {
                deletion: Deletion::Begun,
                ..
            }
        )
    };
    if at_home.values().any(is_visible) {
        return Some("home shows it");
    }
    if archives
        .iter()
        .any(|archive| !at_home.contains_key(&archive.id))
    {
        return Some("home's ledger does not name all of it");
    }
    if !at_home.values().all(is_deleted) {
        return Some("retired, and home has not begun to delete it");
    }
    let begun: BTreeSet<ArchiveId> = archives
        .iter()
        .filter(|archive| archive.deletion == Deletion::Begun)
        .map(|archive| archive.id)
        .collect();
    if at_home.keys().any(|id| !begun.contains(id)) {
        return Some("deleted at home, and the ledger in the copy does not say so yet");
    }
    None
}

/// Decides what happens to objects that belong to no archive of the copy.
fn orphans(facts: &CopyPruneFacts, home: &HomeNow, hold: Option<&str>) -> StrayPlan {
    let mut lines = Vec::new();
    for (id, listed) in &facts.listed {
        lines.extend(orphan_line(*id, listed, facts, home, hold));
        let foreign = of_kind(listed, |object| object.part.is_none());
        lines.extend(left_alone(Some(*id), foreign));
    }
    lines.extend(left_alone(None, facts.elsewhere.clone()));
    StrayPlan { lines }
}

/// Returns the line of one archive id, without foreign objects; `None` if it has no orphaned objects.
fn orphan_line(
    id: ArchiveId,
    listed: &[ListedObject],
    facts: &CopyPruneFacts,
    home: &HomeNow,
    hold: Option<&str>,
) -> Option<StrayLine> {
    let in_copy = facts.retired.iter().find(|archive| archive.id == id);
    let at_home = home.archives.get(&id);
    let own = at_home
        .and_then(AtHome::objects)
        .or(in_copy.map(|archive| &archive.objects));
    let objects = of_kind(listed, |object| match object.part {
        Some(ArchivePart::Segment(_) | ArchivePart::Contents(_)) => {
            own.is_none_or(|own| !own.contains_key(&object.key))
        }
        Some(ArchivePart::Key) => own.is_none(),
        None => false,
    });
    if objects.is_empty() {
        return None;
    }
    let (fate, reason) = match hold {
        Some(hold) => (Fate::Keep, hold.to_owned()),
        None => match stays(id, in_copy, facts, home) {
            Some(reason) => (Fate::Keep, reason),
            None => match quiet(listed, facts.copy_now) {
                Ok(days) => (
                    Fate::Remove,
                    format!(
                        "home's ledger {} it; its newest object is {} old",
                        if at_home.is_some() {
                            "has deleted"
                        } else {
                            "does not name"
                        },
                        count(days, "day")
                    ),
                ),
                Err(reason) => (Fate::Keep, reason),
            },
        },
    };
    Some(StrayLine {
        archive: Some(id),
        fate,
        objects,
        reason,
    })
}

/// Returns why the orphaned objects of an archive id stay, whatever their age; `None` if nothing keeps them.
fn stays(
    id: ArchiveId,
    in_copy: Option<&RetiredArchive>,
    facts: &CopyPruneFacts,
    home: &HomeNow,
) -> Option<String> {
    if facts.own_copy == OwnCopy::UnderWay {
        return Some("the copy is not complete; nothing is removed meanwhile".to_owned());
    }
    if facts.open.contains(&id) {
        return Some("an attempt that this machine has not finished".to_owned());
    }
    match home.archives.get(&id) {
        // A ledger of home that has lost entries is no reason to delete.
        None if facts.named.contains(&id) => {
            Some("the ledger in the copy names it, and home's does not".to_owned())
        }
        None => home
            .unread
            .map(|seq| format!("home's ledger entry {seq} can't be read, and may archive it")),
        Some(AtHome::Visible { .. }) => Some("beside an archive that home shows".to_owned()),
        Some(AtHome::RetiredAttempt) => {
            Some("an attempt that home has retired and not deleted".to_owned())
        }
        Some(AtHome::Retired {
            deletion: Deletion::NotBegun,
            ..
        }) => Some("beside an archive that home has not begun to delete".to_owned()),
        Some(AtHome::Retired {
            deletion: Deletion::Begun,
            ..
        }) => match in_copy {
            Some(archive) if archive.deletion == Deletion::Begun => None,
            _ => Some("deleted at home, and the ledger in the copy does not say so yet".to_owned()),
        },
    }
}

#[cfg(test)]
mod tests;
