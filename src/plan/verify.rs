//! Checks of what is stored: what is to be looked at, and what is made of what was seen.
//!
//! A check judges objects one by one. Each is sound, or damaged, or was not looked at, and then
//! there is a reason: what was left out is never counted as checked.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::model::entry::ArchiveEntry;
use crate::model::{ArchiveId, Sha256, VerifyLevel, VerifyOutcome, keys};

/// An object that a visible archive needs, as the ledger signs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedObject {
    /// The archive.
    pub archive: ArchiveId,
    /// The segment's place; `None` for the archive's sealed key.
    pub segment: Option<u32>,
    /// Its key.
    pub key: String,
    /// Its length.
    pub bytes: u64,
    /// Its digest.
    pub sha256: Sha256,
}

impl SignedObject {
    /// The objects of an archive: its sealed key, whose bytes these are, and its segments in order.
    pub fn of(directory: &str, entry: &ArchiveEntry, sealed_key: &[u8]) -> Vec<Self> {
        let key = Self {
            archive: entry.id,
            segment: None,
            key: keys::archive_key(directory, &entry.id),
            bytes: sealed_key.len() as u64,
            sha256: Sha256::of(sealed_key),
        };
        let segments = (0..).zip(&entry.segments).map(|(index, record)| Self {
            archive: entry.id,
            segment: Some(index),
            key: keys::segment(directory, &entry.id, index, &record.sha256),
            bytes: record.sealed_bytes,
            sha256: record.sha256,
        });
        std::iter::once(key).chain(segments).collect()
    }
}

/// What the store says of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// Its length.
    pub bytes: u64,
    /// The digest that the store keeps of it, where it does and tells.
    pub sha256: Option<Sha256>,
}

/// Why something was not looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unchecked {
    /// The store keeps no SHA-256 of it.
    NoDigest,
    /// It lies in a cold class.
    Cold,
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
            Self::NotSampled => "not in the sample",
            Self::FoundDamaged => "found damaged before",
            Self::NotReached => "the restore ended before it",
            Self::BrokenOff => "the check broke off before it",
            Self::NotCompared => "restored, with no snapshot here to compare it with",
        })
    }
}

/// What was made of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is as it was signed.
    Sound,
    /// Its bytes are those that were signed; without an identity nothing more can be said.
    Hashed,
    /// It was not looked at.
    Unchecked(Unchecked),
    /// It is missing, or is not as it was signed.
    Damaged(String),
}

/// Judges an object by its place in a listing.
pub fn judge_listed(object: &SignedObject, seen: Option<Seen>) -> Verdict {
    match seen {
        None => Verdict::Damaged("it is missing".to_owned()),
        Some(seen) if seen.bytes != object.bytes => Verdict::Damaged(format!(
            "it has {} bytes, {} were stored",
            seen.bytes, object.bytes
        )),
        Some(seen) if seen.sha256.is_some_and(|sha256| sha256 != object.sha256) => {
            Verdict::Damaged("its SHA-256 is not the one in the ledger".to_owned())
        }
        Some(_) => Verdict::Sound,
    }
}

/// Judges an object by the digest that the store keeps of it.
pub fn judge_digest(object: &SignedObject, seen: Option<Seen>) -> Verdict {
    match (judge_listed(object, seen), seen) {
        (Verdict::Sound, Some(Seen { sha256: None, .. })) => {
            Verdict::Unchecked(Unchecked::NoDigest)
        }
        (verdict, _) => verdict,
    }
}

/// A share of what there is, in percent: 1 to 100.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// Percent of the segments.
    pub percent: u8,
    /// Chooses them: the same seed chooses the same ones of the same segments.
    pub seed: u64,
}

/// The segments of a sample: that many percent of them, rounded up. A segment's place in the draw
/// depends on the seed and itself alone.
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

/// Something that is missing or is not as it was signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// The archive; `None` for the ledger's own.
    pub archive: Option<ArchiveId>,
    /// The segment's place; `None` for what is no segment.
    pub segment: Option<u32>,
    /// The object's key, or the prefix of several.
    pub key: String,
    /// What is wrong.
    pub what: String,
}

/// What was made of something on one level.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// The archive.
    pub archive: ArchiveId,
    /// The segment's place; `None` for what is no segment.
    pub segment: Option<u32>,
    /// The object's key, or the prefix of several.
    pub key: String,
    /// What was made of it.
    pub verdict: Verdict,
}

impl Checked {
    /// The verdict on an object.
    pub fn new(object: &SignedObject, verdict: Verdict) -> Self {
        Self {
            archive: object.archive,
            segment: object.segment,
            key: object.key.clone(),
            verdict,
        }
    }
}

/// How thoroughly an archive was checked, and what came of it.
pub type Outcome = (ArchiveId, VerifyLevel, VerifyOutcome);

/// What a check on one level showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LevelReport {
    /// The level.
    pub level: VerifyLevel,
    /// All that was to be looked at.
    pub objects: Vec<Checked>,
    /// Archives that nothing has opened: whatever was asked for, no more than the checksums of these
    /// was checked.
    pub unopened: BTreeSet<ArchiveId>,
}

impl LevelReport {
    /// A level on which nothing was looked at yet.
    pub fn new(level: VerifyLevel) -> Self {
        Self {
            level,
            objects: Vec::new(),
            unopened: BTreeSet::new(),
        }
    }

    /// How many were looked at, the damaged ones among them.
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

    /// What is damaged.
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

    /// What is to be remembered of each archive: how thoroughly it was checked, and what came of it.
    pub fn outcomes(&self) -> Vec<Outcome> {
        let archives: BTreeSet<ArchiveId> =
            self.objects.iter().map(|checked| checked.archive).collect();
        let outcomes = archives.iter().filter_map(|archive| self.outcome(archive));
        outcomes.collect()
    }

    /// What is to be remembered of one archive; `None` if nothing of it was looked at.
    pub fn outcome(&self, archive: &ArchiveId) -> Option<Outcome> {
        let of = |checked: &&Checked| checked.archive == *archive;
        let verdicts: Vec<&Verdict> = self
            .objects
            .iter()
            .filter(of)
            .map(|checked| &checked.verdict)
            .collect();
        let any = |of: fn(&Verdict) -> bool| verdicts.iter().any(|verdict| of(verdict));
        // What was restored was looked at, if only in part.
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

    /// How thoroughly an archive was checked at most.
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
