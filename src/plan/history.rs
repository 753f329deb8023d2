//! What a source has in the store: its visible archives, grouped into chains.

use chrono::{DateTime, NaiveDate, Utc};

use crate::model::{ArchiveId, Sha256};

/// What is known to be wrong with an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// Nothing is known to be wrong.
    Sound,
    /// A segment is missing or damaged.
    Damaged,
    /// Its objects are as they were stored, but its stream carries compressed data, and the kernel loses
    /// bytes when it sends such data.
    Inexact,
}

/// Whether a listing after the commit showed every segment with its size and checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verification {
    /// It did.
    Verified,
    /// Not yet.
    Unverified,
}

/// As of when a listing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListedAsOf {
    /// It shows what the store has now.
    Now,
    /// It is what a vault had at that time, together with what was stored since; `None` before the first inventory.
    Inventory(Option<DateTime<Utc>>),
}

/// One visible archive: committed and not retired.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArchiveFacts {
    /// Its id, which holds its date.
    pub id: ArchiveId,
    /// The archive that it is incremental on; `None` in a full.
    pub send_parent: Option<ArchiveId>,
    /// The full of its chain; its own id if it is a full.
    pub chain: ArchiveId,
    /// The fingerprint of the recipients that its key was sealed to.
    pub recipients: Sha256,
    /// What is known to be wrong with it.
    pub condition: Condition,
    /// Whether it has been seen whole in the store.
    pub verification: Verification,
}

impl ArchiveFacts {
    /// Returns the archive that must be restored before this one; `None` for the full of a chain.
    ///
    /// An incremental without a send parent, which no ledger holds, is assumed to need its full.
    pub fn needs(&self) -> Option<ArchiveId> {
        (self.id != self.chain).then(|| self.send_parent.unwrap_or(self.chain))
    }
}

/// All visible archives of one source, in any order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct History {
    /// At most one for each date.
    pub archives: Vec<ArchiveFacts>,
}

impl History {
    /// Treats inexact archives as sound, for a source whose config accepts them.
    pub fn accept_inexact(&mut self) {
        for archive in &mut self.archives {
            if archive.condition == Condition::Inexact {
                archive.condition = Condition::Sound;
            }
        }
    }

    /// The archive with the newest date.
    pub fn newest(&self) -> Option<&ArchiveFacts> {
        self.archives.iter().max_by_key(|archive| archive.id)
    }

    /// The archive of a date.
    pub fn on(&self, date: NaiveDate) -> Option<&ArchiveFacts> {
        self.archives.iter().find(|archive| archive.id.date == date)
    }

    /// The archive of an id.
    pub fn get(&self, id: ArchiveId) -> Option<&ArchiveFacts> {
        self.archives.iter().find(|archive| archive.id == id)
    }

    /// The chains, oldest first.
    pub fn chains(&self) -> Vec<Chain<'_>> {
        let mut sorted: Vec<&ArchiveFacts> = self.archives.iter().collect();
        sorted.sort_unstable_by_key(|archive| (archive.chain, archive.id));
        sorted
            .chunk_by(|a, b| a.chain == b.chain)
            .filter_map(|archives| {
                Some(Chain {
                    id: archives.first()?.chain,
                    newest: archives.last()?,
                    archives: archives.to_vec(),
                })
            })
            .collect()
    }

    /// Returns the archives that the next incremental may build on, newest first: those of the newest chain,
    /// if it is complete. A plan needs to know the state of their snapshots.
    pub fn send_parents(&self) -> Vec<&ArchiveFacts> {
        let newest = self.chains().pop().filter(Chain::is_complete);
        let mut archives = newest.map_or_else(Vec::new, |chain| chain.archives);
        archives.reverse();
        archives
    }
}

/// A full and the incrementals that descend from it, as far as they are visible.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain<'a> {
    /// The id of its full, whether that is visible or not.
    pub id: ArchiveId,
    /// Its newest archive.
    pub newest: &'a ArchiveFacts,
    /// All its visible archives, oldest first, never empty.
    pub archives: Vec<&'a ArchiveFacts>,
}

impl<'a> Chain<'a> {
    /// Returns the date of its full, which names the chain.
    pub fn date(&self) -> NaiveDate {
        self.id.date
    }

    /// Its full, if visible.
    pub fn full(&self) -> Option<&'a ArchiveFacts> {
        self.find(self.id)
    }

    /// How many of its archives are incremental.
    pub fn incrementals(&self) -> usize {
        self.archives.len() - usize::from(self.full().is_some())
    }

    /// Returns the first archive that an incremental needs but that is missing: it is not in the chain, or is
    /// not older than the incremental.
    ///
    /// An incremental may build on any earlier archive of its chain, and on no other archive.
    pub fn missing(&self) -> Option<ArchiveId> {
        if self.full().is_none() {
            return Some(self.id);
        }
        self.archives.iter().find_map(|archive| {
            let needed = archive.needs()?;
            let there = needed.date < archive.id.date && self.find(needed).is_some();
            (!there).then_some(needed)
        })
    }

    /// The first archive of it that is damaged.
    pub fn damaged(&self) -> Option<ArchiveId> {
        self.first(Condition::Damaged)
    }

    /// The first archive of it that is inexact.
    pub fn inexact(&self) -> Option<ArchiveId> {
        self.first(Condition::Inexact)
    }

    fn first(&self, condition: Condition) -> Option<ArchiveId> {
        let mut archives = self.archives.iter();
        let found = archives.find(|archive| archive.condition == condition);
        found.map(|archive| archive.id)
    }

    /// Whether its full and every incremental's send parent are there.
    pub fn is_complete(&self) -> bool {
        self.missing().is_none()
    }

    /// Whether every date of it can be restored, as far as is known.
    pub fn is_restorable(&self) -> bool {
        self.is_complete() && self.damaged().is_none()
    }

    /// Whether it may replace an older chain: it can be restored to exactly what was sent, and a listing has
    /// shown its full in the store.
    pub fn is_proven(&self) -> bool {
        let verified = |full: &ArchiveFacts| full.verification == Verification::Verified;
        self.full().is_some_and(verified) && self.is_restorable() && self.inexact().is_none()
    }

    /// Finds an archive by its id. The archives are sorted by id.
    fn find(&self, id: ArchiveId) -> Option<&'a ArchiveFacts> {
        let at = self
            .archives
            .binary_search_by_key(&id, |archive| archive.id);
        self.archives.get(at.ok()?).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample::{date, history};
    use super::*;

    #[test]
    fn chains_come_oldest_first_whatever_order_the_archives_have() {
        let mut history = history(&[
            &["2026-05-07", "2026-05-14", "2026-05-21"],
            &["2026-08-07", "2026-08-14"],
        ]);
        history.archives.reverse();
        let chains = history.chains();
        let dates: Vec<_> = chains.iter().map(Chain::date).collect();
        assert_eq!(dates, [date("2026-05-07"), date("2026-08-07")]);
        assert_eq!(chains[0].incrementals(), 2);
        assert_eq!(chains[0].newest.id.date, date("2026-05-21"));
        assert!(chains.iter().all(Chain::is_proven));
        assert_eq!(history.newest().unwrap().id.date, date("2026-08-14"));
        let send_parents = history.send_parents();
        assert_eq!(send_parents.len(), 2);
        assert_eq!(Some(send_parents[0]), history.newest());
    }

    #[test]
    fn a_chain_without_its_full_or_with_a_gap_lacks_what_it_needs() {
        let whole = history(&[&["2026-08-07", "2026-08-14", "2026-08-21"]]);
        for (lost, missing) in [(0, Some(0)), (1, Some(1)), (2, None)] {
            let mut history = whole.clone();
            history.archives.remove(lost);
            let chains = history.chains();
            let missing = missing.map(|at: usize| whole.archives[at].id);
            assert_eq!(chains[0].missing(), missing, "lost {lost}");
            assert_eq!(chains[0].is_complete(), missing.is_none());
            assert_eq!(history.send_parents().is_empty(), missing.is_some());
        }
    }

    #[test]
    fn a_link_may_skip_archives_of_its_chain_but_not_go_forward() {
        let mut history = history(&[&["2026-08-07", "2026-08-14", "2026-08-21"]]);
        history.archives[2].send_parent = Some(history.archives[0].id);
        assert!(history.chains()[0].is_complete());
        history.archives[1].send_parent = Some(history.archives[2].id);
        assert!(!history.chains()[0].is_complete());
    }

    #[test]
    fn a_link_into_another_chain_leaves_the_chain_incomplete() {
        let mut history = history(&[&["2026-05-07"], &["2026-08-07", "2026-08-14"]]);
        history.archives[2].send_parent = Some(history.archives[0].id);
        assert!(!history.chains()[1].is_complete());
        assert!(history.send_parents().is_empty());
    }

    #[test]
    fn damage_makes_a_complete_chain_unrestorable_and_no_verification_makes_it_unproven() {
        let mut history = history(&[&["2026-08-07", "2026-08-14"]]);
        history.archives[0].verification = Verification::Unverified;
        assert!(history.chains()[0].is_restorable());
        assert!(!history.chains()[0].is_proven());
        history.archives[0].verification = Verification::Verified;
        history.archives[1].condition = Condition::Damaged;
        assert!(history.chains()[0].is_complete());
        assert!(!history.chains()[0].is_restorable());
        assert!(!history.chains()[0].is_proven());
    }

    #[test]
    fn an_inexact_archive_leaves_its_chain_restorable_and_unproven_unless_it_is_accepted() {
        let mut history = history(&[&["2026-08-07", "2026-08-14"]]);
        history.archives[1].condition = Condition::Inexact;
        assert!(history.chains()[0].is_restorable());
        assert!(!history.chains()[0].is_proven());
        history.accept_inexact();
        assert!(history.chains()[0].is_proven());
    }

    #[test]
    fn nothing_is_newest_where_nothing_is() {
        let none = History::default();
        assert_eq!(none.newest(), None);
        assert!(none.send_parents().is_empty());
        assert!(none.chains().is_empty());
    }
}
