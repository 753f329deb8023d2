//! Checks of what is stored: which objects to look at, and how to judge what was seen.
//!
//! A check judges objects one by one. Each is sound, damaged, or unchecked with a reason. An unchecked object
//! is never counted as checked.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::model::keys::{ArchiveObject, is_contents};
use crate::model::{ArchiveId, Sha256, VerifyLevel, VerifyOutcome};

/// What the store says of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// Its length.
    pub bytes: u64,
    /// Its SHA-256 from the store; `None` if the store keeps none or does not return it.
    pub sha256: Option<Sha256>,
}

/// Why something was not looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unchecked {
    /// The store keeps no SHA-256 of it.
    NoDigest,
    /// It lies in a cold class.
    Cold,
    /// It was stored in a vault, and no inventory has shown it yet.
    NotInInventory,
    /// It is not in the sample.
    NotSampled,
    /// A less thorough check of this run has found it damaged already.
    FoundDamaged,
    /// The restore ended before it.
    NotReached,
    /// The check broke off before it.
    BrokenOff,
    /// It was restored, and there is nothing here to compare it with.
    NotCompared,
}

impl fmt::Display for Unchecked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoDigest => "the store keeps no SHA-256 of it",
            Self::Cold => "cold, not thawed",
            Self::NotInInventory => "not in the vault's inventory yet",
            Self::NotSampled => "not in the sample",
            Self::FoundDamaged => "found damaged before",
            Self::NotReached => "the restore ended before it",
            Self::BrokenOff => "the check stopped before it",
            Self::NotCompared => "restored, with no snapshot here to compare it with",
        })
    }
}

/// The verdict on an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is as it was signed.
    Sound,
    /// Its bytes are those that were signed; without an identity no more can be checked.
    Hashed,
    /// It was not looked at.
    Unchecked(Unchecked),
    /// It is missing, or is not as it was signed.
    Damaged(String),
}

/// Judges an object by its place in a listing.
pub fn judge_listed(object: &ArchiveObject, seen: Option<Seen>) -> Verdict {
    let Some(Seen { bytes, sha256 }) = seen else {
        return Verdict::Damaged("it is missing".to_owned());
    };
    if bytes != object.bytes() {
        let stored = object.bytes();
        Verdict::Damaged(format!("it has {bytes} bytes, {stored} were stored"))
    } else if let (Some(sha256), Some(signed)) = (sha256, object.signed)
        && sha256 != signed.sha256
    {
        Verdict::Damaged("its SHA-256 is not the one in the ledger".to_owned())
    } else {
        Verdict::Sound
    }
}

/// Judges an object by the digest that the store keeps of it.
pub fn judge_digest(object: &ArchiveObject, seen: Option<Seen>) -> Verdict {
    match (judge_listed(object, seen), seen) {
        (Verdict::Sound, Some(Seen { sha256: None, .. })) => {
            Verdict::Unchecked(Unchecked::NoDigest)
        }
        (verdict, _) => verdict,
    }
}

/// A random share of the segments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// Percent of the segments, 1 to 100.
    pub percent: u8,
    /// The seed of the choice: the same seed chooses the same ones of the same segments.
    pub seed: u64,
}

/// Returns the segments of a sample: that many percent of them, rounded up. A segment's rank in the draw
/// depends only on the seed and on the segment.
pub fn choose(segments: &[(ArchiveId, u32)], sample: Sample) -> BTreeSet<(ArchiveId, u32)> {
    let mut drawn: Vec<(u64, (ArchiveId, u32))> = segments
        .iter()
        .map(|segment| (lot(*segment, sample.seed), *segment))
        .collect();
    drawn.sort_unstable();
    let count = (segments.len() * usize::from(sample.percent.min(100))).div_ceil(100);
    drawn
        .into_iter()
        .take(count)
        .map(|(_, segment)| segment)
        .collect()
}

fn lot((archive, index): (ArchiveId, u32), seed: u64) -> u64 {
    let digest = Sha256::of(format!("{seed} {archive} {index}").as_bytes());
    let mut lot = [0; 8];
    lot.copy_from_slice(&digest.0[..8]);
    u64::from_be_bytes(lot)
}

/// An object that is missing or is not as it was signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// The archive; `None` if the ledger is damaged.
    pub archive: Option<ArchiveId>,
    /// The segment's index; `None` if it is no segment.
    pub segment: Option<u32>,
    /// The object's key, or the prefix of several.
    pub key: String,
    /// What is wrong.
    pub what: String,
}

/// The verdict of a check on one level.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckedObject {
    /// The archive.
    pub archive: ArchiveId,
    /// The segment's index; `None` if it is no segment.
    pub segment: Option<u32>,
    /// The object's key, or the prefix of several.
    pub key: String,
    /// The verdict.
    pub verdict: Verdict,
}

impl CheckedObject {
    /// The verdict on an object.
    pub fn new(object: &ArchiveObject, verdict: Verdict) -> Self {
        Self {
            archive: object.archive,
            segment: object.segment(),
            key: object.key.clone(),
            verdict,
        }
    }

    /// Whether it is an object of contents.
    pub fn is_contents(&self) -> bool {
        is_contents(&self.key)
    }
}

/// The result for one archive: its id, the level of the check, and the outcome.
pub type Outcome = (ArchiveId, VerifyLevel, VerifyOutcome);

/// What a check on one level showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LevelReport {
    /// The level.
    pub level: VerifyLevel,
    /// All objects that the check was to look at.
    pub objects: Vec<CheckedObject>,
    /// Archives that were not opened. Only their checksums were checked, whatever level was requested.
    pub unopened: BTreeSet<ArchiveId>,
}

impl LevelReport {
    /// Makes the report of a level on which nothing was looked at yet.
    pub fn new(level: VerifyLevel) -> Self {
        Self {
            level,
            objects: Vec::new(),
            unopened: BTreeSet::new(),
        }
    }

    /// How many were looked at, including the damaged ones.
    pub fn checked(&self) -> u64 {
        self.count(|verdict| !matches!(verdict, Verdict::Unchecked(_)))
    }

    /// How many were not looked at.
    pub fn unchecked(&self) -> u64 {
        self.count(|verdict| matches!(verdict, Verdict::Unchecked(_)))
    }

    /// How many were hashed and not opened.
    pub fn hashed(&self) -> u64 {
        self.count(|verdict| *verdict == Verdict::Hashed)
    }

    /// How many were not looked at, by reason.
    pub fn unchecked_by_reason(&self) -> BTreeMap<Unchecked, u64> {
        let mut reasons = BTreeMap::new();
        for checked in &self.objects {
            if let Verdict::Unchecked(reason) = checked.verdict {
                *reasons.entry(reason).or_default() += 1;
            }
        }
        reasons
    }

    /// Returns the objects that are damaged.
    pub fn damaged(&self) -> Vec<Damage> {
        let damaged = self.objects.iter().filter_map(|checked| {
            let Verdict::Damaged(what) = &checked.verdict else {
                return None;
            };
            Some(Damage {
                archive: Some(checked.archive),
                segment: checked.segment,
                key: checked.key.clone(),
                what: what.clone(),
            })
        });
        damaged.collect()
    }

    /// Returns the result to record for each archive.
    pub fn outcomes(&self) -> Vec<Outcome> {
        let archives: BTreeSet<ArchiveId> =
            self.objects.iter().map(|checked| checked.archive).collect();
        let outcomes = archives.iter().filter_map(|archive| self.outcome(archive));
        outcomes.collect()
    }

    /// Returns the result to record for one archive; `None` if nothing of it was looked at. Its contents do not count:
    /// it can be restored, and built on, without them.
    pub fn outcome(&self, archive: &ArchiveId) -> Option<Outcome> {
        let of = |checked: &&CheckedObject| checked.archive == *archive && !checked.is_contents();
        let verdicts: Vec<&Verdict> = self
            .objects
            .iter()
            .filter(of)
            .map(|checked| &checked.verdict)
            .collect();
        let any = |of: fn(&Verdict) -> bool| verdicts.iter().any(|verdict| of(verdict));
        // A restored archive counts as looked at in part, even if it could not be compared.
        let looked_at = any(|verdict| match verdict {
            Verdict::Unchecked(why) => *why == Unchecked::NotCompared,
            _ => true,
        });
        let outcome = if any(|verdict| matches!(verdict, Verdict::Damaged(_))) {
            VerifyOutcome::Damaged
        } else if any(|verdict| matches!(verdict, Verdict::Unchecked(_))) {
            VerifyOutcome::Partial
        } else {
            VerifyOutcome::Sound
        };
        looked_at.then_some((*archive, self.level_of(archive), outcome))
    }

    /// Returns the highest level on which an archive can have been checked.
    pub fn level_of(&self, archive: &ArchiveId) -> VerifyLevel {
        if self.unopened.contains(archive) {
            self.level.min(VerifyLevel::Checksums)
        } else {
            self.level
        }
    }

    fn count(&self, of: impl Fn(&Verdict) -> bool) -> u64 {
        let counted = self.objects.iter().filter(|checked| of(&checked.verdict));
        counted.count() as u64
    }
}

#[cfg(test)]
mod tests;
