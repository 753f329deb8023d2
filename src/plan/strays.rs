//! Orphaned objects: which ones there are, and what may happen to them.
//!
//! An attempt that was not committed leaves objects behind. A resumed attempt may leave segments of its
//! earlier stream beside those of the archive. They cost money and nothing else, so they stay whenever
//! something is in doubt:
//!
//! - An archive needs the objects that the ledger signs for it. Only an object with a name that coldchain
//!   gives can be orphaned.
//! - An attempt is judged as a whole, by its newest object and the store's clock: a machine that still works
//!   on it stores something within [`QUIET_DAYS`].
//! - An attempt that this machine gave up is dead, because no other machine has its key. This machine can't
//!   know that of other attempts. So it first retires the attempt's id, after which the attempt can't be
//!   committed, and a later run removes the objects.
//! - While an entry can't be read, that entry may archive an attempt that is unknown here.
//! - While a clock can't be relied on, nothing happens.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};

use super::retention::LONGEST_SILENCE_DAYS;
use crate::model::keys::{ArchivePart, is_contents};
use crate::model::{ArchiveId, StorageClass};

/// Days without a new object of an attempt before any of its objects is touched.
pub const QUIET_DAYS: i64 = 7;

/// The largest difference at which the system's clock and the store's confirm each other.
pub(super) const LARGEST_SKEW: TimeDelta = TimeDelta::days(1);

/// What is known of a source's archives and of what lies in the store.
#[derive(Debug, Clone)]
pub struct StrayFacts {
    /// The objects below each archive's prefix, from a listing that is older than `ledger`.
    pub listed: BTreeMap<ArchiveId, Vec<ListedObject>>,
    /// The other objects in `archives/`.
    pub elsewhere: Vec<ListedObject>,
    /// What the ledger says of each archive id. An id that it does not name is not in here.
    pub ledger: BTreeMap<ArchiveId, InLedger>,
    /// The number of the first ledger entry that can't be read, if there is one.
    pub unread: Option<u64>,
    /// Visible archives that are known to be damaged: the listing may lack some of their objects.
    pub damaged: BTreeSet<ArchiveId>,
    /// What this machine knows of its own attempts.
    pub here: BTreeMap<ArchiveId, Here>,
    /// When the newest archive's entry was stored, by the store's clock; `None` if there is none.
    pub newest_archive: Option<DateTime<Utc>>,
    /// The store's clock, before anything was listed.
    pub store_now: DateTime<Utc>,
    /// The system's clock at that moment.
    pub system_now: DateTime<Utc>,
    /// How long the objects of retired archives and attempts are kept.
    pub delete_after: TimeDelta,
    /// Whether this machine's key signs retire entries.
    pub may_retire: MayRetire,
}

/// An object that was listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedObject {
    /// Its key.
    pub key: String,
    /// What it holds, by its name; `None` if coldchain gives no such name there.
    pub part: Option<ArchivePart>,
    /// Its length.
    pub bytes: u64,
    /// When it was stored, by the store's clock; `None` if the store does not say.
    pub stored: Option<DateTime<Utc>>,
    /// The storage class that it lies in; `None` if the store does not say.
    pub class: Option<StorageClass>,
}

/// What the ledger says of an archive id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InLedger {
    /// It is an archive, with these objects of these lengths.
    Visible(BTreeMap<String, u64>),
    /// It was an archive with these objects, and was retired. [`plan_prune`](super::plan_prune) decides what
    /// happens to them.
    RetiredArchive(BTreeMap<String, u64>),
    /// It was never an archive, and was retired by its id.
    RetiredAttempt {
        /// When the retire entry was stored, by the store's clock; `None` if the store does not say.
        since: Option<DateTime<Utc>>,
    },
}

/// What this machine knows of an attempt of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Here {
    /// It can still become an archive.
    Open,
    /// It was given up.
    GivenUp,
}

/// Whether this machine's key signs retire entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MayRetire {
    /// It has the role.
    Yes,
    /// It does not have the role.
    No,
}

/// What happens to the orphaned objects of a source.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StrayPlan {
    /// Sorted by archive id; objects below no archive's prefix come last.
    pub lines: Vec<StrayLine>,
}

/// Objects that share one fate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StrayLine {
    /// What they belong to; `None` if they lie below no archive's prefix.
    pub archive: Option<ArchiveId>,
    /// What happens to them.
    pub fate: Fate,
    /// The objects: segments first, the archive's key last.
    pub objects: Vec<ListedObject>,
    /// Why.
    pub reason: String,
}

/// What happens to objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// They are removed now.
    Remove,
    /// Their attempt is retired now, and they are removed by a later run.
    Retire,
    /// They are left alone.
    Keep,
}

/// A listing that lacks objects of a visible archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShortListing {
    /// The archive.
    pub archive: ArchiveId,
    /// One text for each object that is missing or has another length.
    pub wrong: Vec<String>,
}

impl StrayLine {
    /// The total length of its objects, in bytes.
    pub fn bytes(&self) -> u64 {
        self.objects.iter().map(|object| object.bytes).sum()
    }
}

impl StrayPlan {
    /// The lines with that fate.
    pub fn with(&self, fate: Fate) -> impl Iterator<Item = &StrayLine> {
        self.lines.iter().filter(move |line| line.fate == fate)
    }
}

/// Returns one text for each of an archive's objects that a listing lacks or shows with another length. Contents do not
/// count: an archive can be restored without them, and if they are lost for good, nothing else must wait for them.
pub fn lacking(objects: &BTreeMap<String, u64>, listed: &[ListedObject]) -> Vec<String> {
    let listed: BTreeMap<&str, u64> = listed
        .iter()
        .map(|object| (object.key.as_str(), object.bytes))
        .collect();
    objects
        .iter()
        .filter(|(key, _)| !is_contents(key))
        .filter_map(|(key, stored)| match listed.get(key.as_str()) {
            None => Some(format!("{key} is missing")),
            Some(bytes) if bytes != stored => {
                Some(format!("{key} has {bytes} bytes, {stored} were stored"))
            }
            Some(_) => None,
        })
        .collect()
}

/// Decides on everything that was listed and is not an archive's own.
///
/// If the listing lacks an object of a visible archive, it may lack any other object too: then this is an
/// error and decides nothing.
pub fn plan_strays(facts: &StrayFacts) -> Result<StrayPlan, ShortListing> {
    let nothing = Vec::new();
    for (archive, known) in &facts.ledger {
        if let InLedger::Visible(objects) = known
            && !facts.damaged.contains(archive)
        {
            let wrong = lacking(objects, facts.listed.get(archive).unwrap_or(&nothing));
            if !wrong.is_empty() {
                let archive = *archive;
                return Err(ShortListing { archive, wrong });
            }
        }
    }
    let hold = hold(facts);
    let mut lines = Vec::new();
    for (id, listed) in &facts.listed {
        lines.extend(judge(*id, listed, facts, hold.as_deref()));
        let foreign = of_kind(listed, |object| object.part.is_none());
        lines.extend(left_alone(Some(*id), foreign));
    }
    lines.extend(left_alone(None, facts.elsewhere.clone()));
    Ok(StrayPlan { lines })
}

/// Returns why nothing may be removed or retired now; `None` if it may.
pub(super) fn hold(facts: &StrayFacts) -> Option<String> {
    let Some(newest) = facts.newest_archive else {
        return Some("nothing of this source is archived yet".to_owned());
    };
    let skew = (facts.system_now - facts.store_now).abs();
    if skew > LARGEST_SKEW {
        return Some(format!(
            "the system's clock and the store's are {} apart",
            span(skew)
        ));
    }
    let silence = facts.store_now - newest;
    if silence > TimeDelta::days(LONGEST_SILENCE_DAYS) {
        return Some(format!(
            "the newest archive is more than {} old by the store's clock",
            count(LONGEST_SILENCE_DAYS, "day")
        ));
    }
    None
}

/// Returns the line of one archive or attempt, without foreign objects; `None` if it has no orphaned objects.
fn judge(
    id: ArchiveId,
    listed: &[ListedObject],
    facts: &StrayFacts,
    hold: Option<&str>,
) -> Option<StrayLine> {
    let known = facts.ledger.get(&id);
    let own = match known {
        Some(InLedger::Visible(objects) | InLedger::RetiredArchive(objects)) => Some(objects),
        _ => None,
    };
    let objects = of_kind(listed, |object| match object.part {
        Some(ArchivePart::Segment(_) | ArchivePart::Contents(_)) => {
            own.is_none_or(|own| !own.contains_key(&object.key))
        }
        // There is one, and it is the archive's own.
        Some(ArchivePart::Key) => own.is_none(),
        None => false,
    });
    if objects.is_empty() {
        return None;
    }
    let (fate, reason) = if facts.damaged.contains(&id) {
        let reason = "beside an archive of which something is missing or damaged";
        (Fate::Keep, reason.to_owned())
    } else {
        decide(facts.here.get(&id), known, (listed, &objects), facts)
    };
    let (fate, reason) = match hold {
        Some(hold) if fate != Fate::Keep => (Fate::Keep, hold.to_owned()),
        _ => (fate, reason),
    };
    Some(StrayLine {
        archive: Some(id),
        fate,
        objects,
        reason,
    })
}

/// Decides what happens to an attempt's objects, if nothing is on hold.
fn decide(
    here: Option<&Here>,
    known: Option<&InLedger>,
    (listed, orphaned): (&[ListedObject], &[ListedObject]),
    facts: &StrayFacts,
) -> (Fate, String) {
    let grace = span(facts.delete_after);
    let keep = |reason: &str| (Fate::Keep, reason.to_owned());
    let if_quiet = |fate, reason: String| match quiet(listed, facts.store_now) {
        Ok(days) => {
            let age = count(days, "day");
            (fate, format!("{reason}; its newest object is {age} old"))
        }
        Err(reason) => (Fate::Keep, reason),
    };
    match (here, known) {
        (Some(Here::Open), _) => keep("an attempt that this machine has not finished"),
        (_, Some(InLedger::Visible(_) | InLedger::RetiredArchive(_))) => {
            if_quiet(Fate::Remove, beside_an_archive(orphaned).to_owned())
        }
        (_, Some(InLedger::RetiredAttempt { since: None })) => {
            keep("a retired attempt; the store does not say since when")
        }
        (_, Some(InLedger::RetiredAttempt { since: Some(since) })) => {
            let retired = facts.store_now - *since;
            let reason = format!("an attempt that was retired {} ago", span(retired));
            if retired < facts.delete_after {
                keep(&format!(
                    "{reason}; it is removed after {grace} at the earliest"
                ))
            } else {
                if_quiet(Fate::Remove, reason)
            }
        }
        (Some(Here::GivenUp), None) => {
            if_quiet(Fate::Remove, "an attempt that was given up here".to_owned())
        }
        (None, None) => {
            let reason = "an attempt that this machine does not know";
            if let Some(seq) = facts.unread {
                return keep(&format!(
                    "{reason}; ledger entry {seq} can't be read, and may archive it"
                ));
            }
            match facts.may_retire {
                MayRetire::Yes => if_quiet(
                    Fate::Retire,
                    format!("{reason}; it is removed after {grace} at the earliest"),
                ),
                MayRetire::No => keep(&format!(
                    "{reason}, and this machine's key may not retire it"
                )),
            }
        }
    }
}

/// What orphaned objects beside those of an archive are.
pub(super) fn beside_an_archive(orphaned: &[ListedObject]) -> &'static str {
    let is_contents = |object: &ListedObject| matches!(object.part, Some(ArchivePart::Contents(_)));
    if orphaned.iter().all(is_contents) {
        "contents that no ledger entry names, beside the objects of the archive"
    } else {
        "segments of an earlier stream, beside those of the archive"
    }
}

/// The age of an attempt's newest object in days, or why it is too young.
pub(super) fn quiet(listed: &[ListedObject], now: DateTime<Utc>) -> Result<i64, String> {
    let mut newest = None;
    for object in listed {
        let Some(stored) = object.stored else {
            return Err("the store does not say how old it is".to_owned());
        };
        newest = newest.max(Some(stored));
    }
    let newest = newest.ok_or_else(|| "nothing of it is listed".to_owned())?;
    let age = now - newest;
    if age < TimeDelta::zero() {
        return Err("its newest object is newer than the store's clock shows".to_owned());
    }
    if age < TimeDelta::days(QUIET_DAYS) {
        return Err(format!(
            "its newest object is {} old, less than {}",
            span(age),
            count(QUIET_DAYS, "day")
        ));
    }
    Ok(age.num_days())
}

pub(super) fn left_alone(
    archive: Option<ArchiveId>,
    objects: Vec<ListedObject>,
) -> Option<StrayLine> {
    let first = objects.first()?;
    let more = match objects.len() - 1 {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let reason = format!("coldchain does not use this name: {}{more}", first.key);
    Some(StrayLine {
        archive,
        fate: Fate::Keep,
        objects,
        reason,
    })
}

/// Returns the objects that `meant` accepts, the archive's key last: while the key is there, so is the
/// attempt.
pub(super) fn of_kind(
    listed: &[ListedObject],
    meant: impl Fn(&ListedObject) -> bool,
) -> Vec<ListedObject> {
    let mut found: Vec<&ListedObject> = listed.iter().filter(|object| meant(object)).collect();
    found.sort_by_key(|object| (object.part == Some(ArchivePart::Key), &object.key));
    found.into_iter().cloned().collect()
}

/// A span of time in its largest whole unit, rounded down.
pub(super) fn span(span: TimeDelta) -> String {
    if span.num_days() > 0 {
        count(span.num_days(), "day")
    } else if span.num_hours() > 0 {
        count(span.num_hours(), "hour")
    } else {
        count(span.num_minutes(), "minute")
    }
}

pub(super) fn count(n: i64, noun: &str) -> String {
    let s = if n == 1 { "" } else { "s" };
    format!("{n} {noun}{s}")
}

#[cfg(test)]
mod tests;
