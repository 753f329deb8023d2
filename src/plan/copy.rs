//! Decides what a copy gets: which of home's archives, and in which order.
//!
//! It gets every archive that home shows, so that it can stand on its own. The newest chain comes first: a
//! copy that ends early then has what a restore most likely asks for. Within a chain the full comes first,
//! because nothing of the chain can be restored without it.
//!
//! An archive that is known to be damaged at home can't be copied whole, and what builds on it can't be
//! restored from the copy. Both are left out until home is mended.

use std::collections::{BTreeMap, BTreeSet};

use super::history::{ArchiveFacts, Condition};
use super::strays::{ListedObject, count};
use crate::model::ArchiveId;

/// An archive that home shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HomeArchive {
    /// What it is, and what is known to be wrong with it at home.
    pub archive: ArchiveFacts,
    /// Its objects and how long each is, as the ledger signs them: segments first, the archive's key last.
    pub objects: BTreeMap<String, u64>,
}

/// The input of a copy's plan.
#[derive(Debug, Clone, Default)]
pub struct CopyFacts {
    /// The archives that home shows, in any order.
    pub home: Vec<HomeArchive>,
    /// The objects below each archive's prefix in the copy.
    pub listed: BTreeMap<ArchiveId, Vec<ListedObject>>,
    /// The archives that an earlier run has copied whole.
    pub copied: BTreeSet<ArchiveId>,
}

/// What a copy gets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CopyPlan {
    /// One line for each archive that home shows, in the order of copying.
    pub lines: Vec<CopyLine>,
}

/// An archive, and what happens to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyLine {
    /// Its id.
    pub archive: ArchiveId,
    /// The full of its chain.
    pub chain: ArchiveId,
    /// What happens to it.
    pub fate: CopyFate,
    /// The objects that the copy lacks, with their lengths, in the order of copying: segments first, the
    /// archive's key last. The copy has an archive as soon as it has the key.
    pub objects: Vec<(String, u64)>,
    /// Why.
    pub reason: String,
}

/// What happens to an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CopyFate {
    /// What the copy lacks of it is copied.
    Copy,
    /// The copy has it.
    There,
    /// It is not copied.
    LeftOut,
}

impl CopyLine {
    /// The bytes to copy.
    pub fn bytes(&self) -> u64 {
        self.objects.iter().map(|(_, bytes)| bytes).sum()
    }
}

impl CopyPlan {
    /// The lines with that fate, in the order of copying.
    pub fn with(&self, fate: CopyFate) -> impl Iterator<Item = &CopyLine> {
        self.lines.iter().filter(move |line| line.fate == fate)
    }

    /// The objects to copy.
    pub fn objects(&self) -> usize {
        self.with(CopyFate::Copy)
            .map(|line| line.objects.len())
            .sum()
    }

    /// The bytes to copy.
    pub fn bytes(&self) -> u64 {
        self.with(CopyFate::Copy).map(CopyLine::bytes).sum()
    }
}

/// Decides what a copy gets.
pub fn plan_copy(facts: &CopyFacts) -> CopyPlan {
    let mut sorted: Vec<&HomeArchive> = facts.home.iter().collect();
    // The newest chain first; within it by id, which begins with the date.
    sorted.sort_by(|a, b| {
        let chains = b.archive.chain.cmp(&a.archive.chain);
        // The full comes before all that builds on it, whatever their dates say.
        let full = |it: &HomeArchive| it.archive.id != it.archive.chain;
        chains
            .then_with(|| full(a).cmp(&full(b)))
            .then_with(|| a.archive.id.cmp(&b.archive.id))
    });
    let visible: BTreeMap<ArchiveId, &ArchiveFacts> = facts
        .home
        .iter()
        .map(|home| (home.archive.id, &home.archive))
        .collect();
    let lines = sorted.into_iter();
    CopyPlan {
        lines: lines.map(|home| line(home, &visible, facts)).collect(),
    }
}

fn line(
    home: &HomeArchive,
    visible: &BTreeMap<ArchiveId, &ArchiveFacts>,
    facts: &CopyFacts,
) -> CopyLine {
    let id = home.archive.id;
    let lacks = lacks(home, facts.listed.get(&id).map_or(&[], Vec::as_slice));
    let (fate, reason) = match (&lacks, unfit(&home.archive, visible)) {
        (Err(reason), _) => (CopyFate::LeftOut, reason.clone()),
        (Ok(lacks), _) if lacks.is_empty() => {
            (CopyFate::There, "the copy has all its objects".to_owned())
        }
        (Ok(_), Some(reason)) => (CopyFate::LeftOut, reason),
        (Ok(lacks), None) => (CopyFate::Copy, why(home, lacks.len(), facts)),
    };
    CopyLine {
        archive: id,
        chain: home.archive.chain,
        fate,
        objects: match fate {
            CopyFate::Copy => lacks.unwrap_or_default(),
            CopyFate::There | CopyFate::LeftOut => Vec::new(),
        },
        reason,
    }
}

/// Returns the objects that the copy lacks; an error in words if it has something else under a key. Nothing
/// is ever written over what a copy has.
fn lacks(home: &HomeArchive, listed: &[ListedObject]) -> Result<Vec<(String, u64)>, String> {
    let listed: BTreeMap<&str, u64> = listed
        .iter()
        .map(|object| (object.key.as_str(), object.bytes))
        .collect();
    let mut lacks = Vec::new();
    for (key, bytes) in &home.objects {
        match listed.get(key.as_str()) {
            None => lacks.push((key.clone(), *bytes)),
            Some(there) if there != bytes => {
                return Err(format!(
                    "damaged in the copy: {key} has {there} bytes, and the ledger signs {bytes}"
                ));
            }
            Some(_) => {}
        }
    }
    Ok(lacks)
}

/// Returns why an archive can't be copied, or would be of no use in the copy.
fn unfit(archive: &ArchiveFacts, visible: &BTreeMap<ArchiveId, &ArchiveFacts>) -> Option<String> {
    if archive.condition == Condition::Damaged {
        return Some("damaged at home".to_owned());
    }
    let mut at = archive;
    // A ledger has no circle. Whatever the facts are, the search ends.
    for _ in 0..visible.len() {
        let needed = at.needs()?;
        match visible.get(&needed) {
            None => return Some(format!("it builds on {needed}, which home does not show")),
            Some(parent) if parent.condition == Condition::Damaged => {
                return Some(format!("it builds on {needed}, which is damaged at home"));
            }
            Some(parent) => at = *parent,
        }
    }
    None
}

fn why(home: &HomeArchive, lacks: usize, facts: &CopyFacts) -> String {
    let all = home.objects.len();
    let objects = |n: usize| count(i64::try_from(n).unwrap_or(i64::MAX), "object");
    if facts.copied.contains(&home.archive.id) {
        return format!("{} of {all} have vanished from the copy", objects(lacks));
    }
    if lacks < all {
        return format!("{} of {all} are not in the copy yet", objects(lacks));
    }
    "not in the copy yet".to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::sample::history;
    use super::*;
    use crate::model::keys;

    /// A key and two segments of 100 bytes each.
    fn objects(id: ArchiveId) -> BTreeMap<String, u64> {
        let names = [
            "key.age",
            "000000-00000000000000aa.zst.age",
            "000001-00000000000000bb.zst.age",
        ];
        let prefix = keys::archive_prefix("home", &id);
        names.map(|name| (format!("{prefix}{name}"), 100)).into()
    }

    fn home(chains: &[&[&str]]) -> CopyFacts {
        let archives = history(chains)
            .archives
            .into_iter()
            .map(|archive| HomeArchive {
                objects: objects(archive.id),
                archive,
            });
        CopyFacts {
            home: archives.collect(),
            ..CopyFacts::default()
        }
    }

    fn as_listed(key: &str, bytes: u64) -> ListedObject {
        ListedObject {
            key: key.to_owned(),
            part: keys::archive_part(key.rsplit('/').next().unwrap()),
            bytes,
            stored: None,
            class: None,
        }
    }

    /// Puts so many objects of an archive into the copy.
    fn put(facts: &mut CopyFacts, at: usize, n: usize) {
        let home = &facts.home[at];
        let listed = home.objects.iter().take(n);
        let listed = listed.map(|(key, bytes)| as_listed(key, *bytes)).collect();
        facts.listed.insert(home.archive.id, listed);
    }

    /// The lines as `date fate objects reason`.
    fn told(facts: &CopyFacts) -> Vec<String> {
        let lines = plan_copy(facts).lines;
        let told = lines.iter().map(|line| {
            let date = line.archive.date;
            format!(
                "{date} {:?} {} {}",
                line.fate,
                line.objects.len(),
                line.reason
            )
        });
        told.collect()
    }

    #[test]
    fn the_newest_chain_comes_first_and_a_full_before_what_builds_on_it() {
        let mut facts = home(&[
            &["2026-08-07", "2026-08-14"],
            &["2026-10-07", "2026-10-14", "2026-10-21"],
        ]);
        facts.home.reverse();
        assert_eq!(
            told(&facts),
            [
                "2026-10-07 Copy 3 not in the copy yet",
                "2026-10-14 Copy 3 not in the copy yet",
                "2026-10-21 Copy 3 not in the copy yet",
                "2026-08-07 Copy 3 not in the copy yet",
                "2026-08-14 Copy 3 not in the copy yet",
            ]
        );
        let plan = plan_copy(&facts);
        assert_eq!((plan.objects(), plan.bytes()), (15, 1500));
        let names = plan.lines[0]
            .objects
            .iter()
            .map(|(key, _)| &key[key.len() - 7..]);
        assert_eq!(names.collect::<Vec<_>>(), ["zst.age", "zst.age", "key.age"]);
    }

    #[test]
    fn only_what_the_copy_lacks_is_copied() {
        let mut facts = home(&[&["2026-10-07", "2026-10-14", "2026-10-21"]]);
        put(&mut facts, 0, 3);
        put(&mut facts, 1, 1);
        assert_eq!(
            told(&facts),
            [
                "2026-10-07 There 0 the copy has all its objects",
                "2026-10-14 Copy 2 2 objects of 3 are not in the copy yet",
                "2026-10-21 Copy 3 not in the copy yet",
            ]
        );
        assert_eq!(plan_copy(&facts).bytes(), 500);
    }

    #[test]
    fn what_has_vanished_from_the_copy_is_copied_again_and_said() {
        let mut facts = home(&[&["2026-10-07"]]);
        facts.copied.insert(facts.home[0].archive.id);
        assert_eq!(
            told(&facts),
            ["2026-10-07 Copy 3 3 objects of 3 have vanished from the copy"]
        );
        put(&mut facts, 0, 2);
        assert_eq!(
            told(&facts),
            ["2026-10-07 Copy 1 1 object of 3 have vanished from the copy"]
        );
    }

    #[test]
    fn nothing_is_written_over_what_the_copy_has() {
        let mut facts = home(&[&["2026-10-07"]]);
        put(&mut facts, 0, 1);
        let id = facts.home[0].archive.id;
        facts.listed.get_mut(&id).unwrap()[0].bytes = 99;
        let [line] = <[_; 1]>::try_from(told(&facts)).unwrap();
        assert!(
            line.starts_with(
                "2026-10-07 LeftOut 0 damaged in the copy: home/archives/2026-10-07-full-"
            ) && line.ends_with(".zst.age has 99 bytes, and the ledger signs 100"),
            "{line}"
        );
    }

    #[test]
    fn what_is_damaged_at_home_is_left_out_with_all_that_builds_on_it() {
        let mut facts = home(&[&["2026-10-07", "2026-10-14", "2026-10-21"]]);
        facts.home[1].archive.condition = Condition::Damaged;
        let needed = facts.home[1].archive.id;
        assert_eq!(
            told(&facts),
            [
                "2026-10-07 Copy 3 not in the copy yet".to_owned(),
                "2026-10-14 LeftOut 0 damaged at home".to_owned(),
                format!("2026-10-21 LeftOut 0 it builds on {needed}, which is damaged at home"),
            ]
        );
        // The copy was made before the damage.
        put(&mut facts, 1, 3);
        assert_eq!(
            told(&facts)[1],
            "2026-10-14 There 0 the copy has all its objects"
        );
        // Its stream is inexact, but its objects are as they were stored.
        facts.listed.clear();
        facts.home[1].archive.condition = Condition::Inexact;
        assert_eq!(plan_copy(&facts).objects(), 9);
        let full = facts.home.remove(0).archive.id;
        assert_eq!(
            told(&facts)[0],
            format!("2026-10-14 LeftOut 0 it builds on {full}, which home does not show")
        );
    }

    proptest! {
        #[test]
        fn an_object_is_copied_once_after_all_that_it_needs(
            there in prop::collection::vec(0_usize..=3, 5),
            damaged in prop::option::of(0_usize..5),
        ) {
            let mut facts = home(&[
                &["2026-08-07", "2026-08-14"],
                &["2026-10-07", "2026-10-14", "2026-10-21"],
            ]);
            for (at, n) in there.iter().enumerate() {
                put(&mut facts, at, *n);
            }
            if let Some(at) = damaged {
                facts.home[at].archive.condition = Condition::Damaged;
            }
            let plan = plan_copy(&facts);
            prop_assert_eq!(plan.lines.len(), 5);
            let mut whole: BTreeSet<ArchiveId> = BTreeSet::new();
            for line in &plan.lines {
                let home = facts.home.iter().find(|home| home.archive.id == line.archive).unwrap();
                match line.fate {
                    CopyFate::Copy => {
                        let is_there = home.archive.needs().is_none_or(|it| whole.contains(&it));
                        prop_assert!(is_there);
                        let is_sound = home.archive.condition != Condition::Damaged;
                        prop_assert!(is_sound);
                        prop_assert!(line.objects.last().unwrap().0.ends_with("key.age"));
                        whole.insert(line.archive);
                    }
                    CopyFate::There => {
                        prop_assert!(line.objects.is_empty());
                        whole.insert(line.archive);
                    }
                    CopyFate::LeftOut => prop_assert!(line.objects.is_empty()),
                }
            }
        }
    }
}
