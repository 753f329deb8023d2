//! Decides what may be deleted of the archives that are still in a vault after their source was moved out of it.
//!
//! The vault may be the last place that has an archive sound. So one goes only if the new home has all of its chain, and a
//! check has read it there, or compared the digests that the store keeps. What the ledger has deleted goes too.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::ArchiveId;

/// An archive that is still in the vault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftArchive {
    /// Its id.
    pub id: ArchiveId,
    /// The full of its chain.
    pub chain: ArchiveId,
    /// What is known of it at the new home.
    pub there: AtNewHome,
    /// How many of its segments are in the vault.
    pub segments: usize,
    /// Their bytes.
    pub bytes: u64,
}

/// What the new home has of an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AtNewHome {
    /// All of it, and a check has compared the digest of each object.
    Proven,
    /// All of it as its listing shows, and no check has compared digests.
    Listed,
    /// A check found it damaged.
    Damaged,
    /// Not all of it.
    Lacking,
    /// It is retired, and the ledger does not say yet that it is deleted.
    Retired,
    /// The ledger says that it is deleted.
    Deleted,
}

/// What becomes of an archive in the vault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeftFate {
    /// Its segments are deleted.
    Delete,
    /// They stay.
    Keep,
}

/// An archive, and what becomes of it in the vault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftLine {
    /// Its id.
    pub id: ArchiveId,
    /// What becomes of it.
    pub fate: LeftFate,
    /// How many segments it has there.
    pub segments: usize,
    /// Their bytes.
    pub bytes: u64,
    /// Why.
    pub reason: String,
}

/// Decides it for all archives that are in the vault. `visible` are all archives that the ledger shows: each with its
/// chain, and what the new home has of it. The lines come in the order of deletion: what builds on others first.
pub fn plan_left(
    left: &[LeftArchive],
    visible: &BTreeMap<ArchiveId, (ArchiveId, AtNewHome)>,
) -> Vec<LeftLine> {
    let unproven = visible
        .iter()
        .filter(|(_, (_, there))| *there != AtNewHome::Proven);
    let unproven: BTreeSet<(ArchiveId, ArchiveId)> =
        unproven.map(|(id, (chain, _))| (*chain, *id)).collect();
    let mut sorted: Vec<&LeftArchive> = left.iter().collect();
    // A full comes last of its chain, whatever its date says.
    sorted.sort_by_key(|it| std::cmp::Reverse((it.chain, it.id != it.chain, it.id)));
    let lines = sorted.into_iter().map(|archive| {
        let mut of_chain = unproven.iter().filter(|(chain, _)| *chain == archive.chain);
        let (fate, reason) = match archive.there {
            AtNewHome::Proven => match of_chain.next() {
                None => (LeftFate::Delete, "the new home has it, checked".to_owned()),
                Some((_, other)) => (
                    LeftFate::Keep,
                    format!("{other} of its chain is not known to be sound at the new home"),
                ),
            },
            AtNewHome::Deleted => (LeftFate::Delete, "the ledger has deleted it".to_owned()),
            there => (LeftFate::Keep, there.why_kept().to_owned()),
        };
        LeftLine {
            id: archive.id,
            fate,
            segments: archive.segments,
            bytes: archive.bytes,
            reason,
        }
    });
    lines.collect()
}

impl AtNewHome {
    const fn why_kept(self) -> &'static str {
        match self {
            Self::Listed | Self::Proven => "no check has read it at the new home since the move",
            Self::Damaged => "a check found it damaged at the new home",
            Self::Lacking => "the new home does not have all of it",
            Self::Retired | Self::Deleted => "it is retired, and not deleted yet",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FULL: &str = "2026-10-07-full-00000000000000aa";
    const INCREMENTAL: &str = "2026-10-14-incr-00000000000000bb";
    const OLD: &str = "2026-01-07-full-00000000000000cc";

    fn id(text: &str) -> ArchiveId {
        text.parse().unwrap()
    }

    /// The fates of a full and its incremental, and of an older full, in the order of the lines.
    fn fates(full: AtNewHome, incremental: AtNewHome, old: AtNewHome) -> Vec<(String, LeftFate)> {
        let all = [
            (FULL, FULL, full),
            (INCREMENTAL, FULL, incremental),
            (OLD, OLD, old),
        ];
        let left = all.map(|(of, chain, there)| LeftArchive {
            id: id(of),
            chain: id(chain),
            there,
            segments: 1,
            bytes: 10,
        });
        let is_visible =
            |it: &&LeftArchive| !matches!(it.there, AtNewHome::Retired | AtNewHome::Deleted);
        let visible = left.iter().filter(is_visible);
        let visible = visible.map(|it| (it.id, (it.chain, it.there))).collect();
        let lines = plan_left(&left, &visible).into_iter();
        lines
            .map(|line| (line.id.date.to_string(), line.fate))
            .collect()
    }

    #[test]
    fn a_chain_goes_as_a_whole_and_only_if_all_of_it_is_proven_elsewhere() {
        use AtNewHome::{Damaged, Deleted, Lacking, Listed, Proven, Retired};
        use LeftFate::{Delete, Keep};
        let named = |fates: [LeftFate; 3]| -> Vec<(String, LeftFate)> {
            let dates = ["2026-10-14", "2026-10-07", "2026-01-07"];
            dates.map(str::to_owned).into_iter().zip(fates).collect()
        };
        for (full, incremental, old, expected) in [
            (Proven, Proven, Proven, [Delete, Delete, Delete]),
            (Proven, Listed, Proven, [Keep, Keep, Delete]),
            (Damaged, Proven, Deleted, [Keep, Keep, Delete]),
            (Proven, Lacking, Retired, [Keep, Keep, Keep]),
            (Listed, Listed, Listed, [Keep, Keep, Keep]),
        ] {
            assert_eq!(fates(full, incremental, old), named(expected));
        }
    }
}
