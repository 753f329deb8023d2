//! What a vault still has after its source was moved out of it: it goes archive by archive, only while the move stands,
//! and nothing else goes with it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use coldchain::engine::{KeyChange, OldHomeAsked, rotate};
use coldchain::error::{Error, PruneError};
use coldchain::plan::LeftFate;
use coldchain::store::Store;

use super::leaving::{Leaving, modes_of, objects};
use crate::common::enumerate::Cases;
use crate::common::faults::{Faults, Mode, Point};
use crate::common::lab::Lab;
use crate::common::two_chains::{OLD, is_of_the_old_chain, two_chains_on};

/// How many archives the vault has of the source.
const ARCHIVES: usize = 4;

/// A source that was moved out of its vault and checked at its new home.
struct Left {
    leaving: Leaving,
    /// What others have in the vault.
    foreign: BTreeSet<String>,
    /// What an upload left whose answer was lost.
    orphan: String,
    /// Another machine, which does not know of the move.
    unaware: Lab,
    /// The number of the entry that says that home was moved.
    moved: u64,
}

/// Moves a source out of its vault. The inventory that was read shows all that the vault has, and is eight days younger.
fn left() -> Left {
    let mut leaving = Leaving::new(two_chains_on(Lab::with_vault()));
    let (lab, none) = (&leaving.lab, Faults::none());
    let vault = Arc::clone(lab.vault.as_ref().unwrap());
    assert_eq!(vault.ids().len(), ARCHIVES);
    let key = vault
        .objects()
        .into_keys()
        .find(|key| is_of_the_old_chain(key));
    let orphan = vault.plant_again(&key.unwrap());
    let theirs: Vec<(String, Vec<u8>)> = vault.objects().into_iter().take(2).collect();
    let theirs = theirs
        .iter()
        .map(|(key, body)| vault.plant_of_another(key, body));
    let mut foreign: BTreeSet<String> = theirs.collect();
    foreign.insert(vault.plant(b"another program's"));
    leaving.hours(0);
    assert!(leaving.copy_out(&none).unwrap().awaited.is_some());
    leaving.hours(6);
    let ran = leaving.copy_out(&none).unwrap();
    assert_eq!((ran.copied.len(), ran.has), (ARCHIVES, ARCHIVES));
    let unaware = leaving.lab.copy();
    leaving.move_home(&none).unwrap();
    let entries = objects(&leaving.lab.store).into_keys();
    let moved = entries.filter(|key| key.contains("/ledger/0")).count() as u64;
    leaving.hours(1);
    assert!(leaving.check().damaged().is_empty());
    leaving.hours(8 * 24);
    vault.read_inventory();
    Left {
        leaving,
        foreign,
        orphan,
        unaware,
        moved,
    }
}

impl Left {
    fn copy(&self) -> Self {
        Self {
            leaving: self.leaving.copy(),
            foreign: self.foreign.clone(),
            orphan: self.orphan.clone(),
            unaware: self.unaware.copy(),
            moved: self.moved,
        }
    }

    /// How many archives `--dry-run` says would go.
    fn would_go(&self) -> usize {
        let plan = self.leaving.prune_old(OldHomeAsked::Plan, &Faults::none());
        plan.unwrap().to_delete()
    }

    /// The command that `--dry-run` leads to.
    fn delete(&self, faults: &Arc<Faults>) -> Result<usize, Error> {
        let agreed = Some(self.would_go());
        let asked = OldHomeAsked::Delete { agreed };
        let pruned = self.leaving.prune_old(asked, faults)?;
        Ok(pruned.to_delete())
    }

    /// Panics unless only archives of the source are gone, and they from the vault alone.
    fn nothing_else_is_gone(&self, second: &BTreeMap<String, Vec<u8>>) {
        assert!(self.leaving.ids().is_superset(&self.foreign));
        assert!(objects(&self.leaving.second) == *second, "the new home");
    }

    /// Panics unless all is gone that may go, and a later inventory leaves nothing to do.
    fn ends(mut self, second: &BTreeMap<String, Vec<u8>>) {
        self.nothing_else_is_gone(second);
        assert_eq!(self.leaving.ids(), self.foreign);
        for later in [0, 5 * 24] {
            self.leaving.hours(later);
            if later > 0 {
                self.leaving.lab.vault.as_ref().unwrap().read_inventory();
            }
            let plan = self.leaving.prune_old(OldHomeAsked::Plan, &Faults::none());
            let plan = plan.unwrap();
            assert_eq!((plan.lines.len(), plan.orphans), (0, 0), "{plan:?}");
        }
        let asked = OldHomeAsked::Delete { agreed: None };
        self.leaving.prune_old(asked, &Faults::none()).unwrap();
        assert_eq!(self.leaving.ids(), self.foreign);
    }
}

#[test]
fn no_fault_while_an_old_home_is_emptied_takes_anything_else_and_the_next_run_ends_it() {
    let begin = left();
    let second = objects(&begin.leaving.second);
    let beside = objects(&begin.leaving.lab.store);
    let faults = Faults::none();
    let whole = begin.copy();
    assert_eq!(whole.delete(&faults).unwrap(), ARCHIVES);
    let points = faults.points();
    whole.ends(&second);
    let deletes = points.iter().filter(|point| is_delete(point));
    assert_eq!(deletes.count(), ARCHIVES + 1, "{points:?}");
    let mut cases = Cases::new("an old home that is emptied");
    for point in &points {
        for &mode in modes_of(point) {
            cases.run(&format!("{point} {mode}"), || {
                let left = begin.copy();
                let faults = Faults::at(point, mode);
                let struck = left.delete(&faults);
                assert!(faults.has_struck(), "it was not reached");
                assert!(struck.is_err(), "it says nothing of the fault");
                left.nothing_else_is_gone(&second);
                left.delete(&Faults::none()).unwrap();
                assert!(objects(&left.leaving.lab.store) == beside, "the ledger");
                left.ends(&second);
            });
        }
    }
    cases.end();
}

fn is_delete(point: &Point) -> bool {
    point.name.starts_with("store: delete ")
}

/// The refusal of a vault: how many segments stay, of how many.
fn denied(result: Result<usize, Error>) -> (usize, usize) {
    match result.unwrap_err() {
        Error::Prune(PruneError::LeftDenied { kept, of, .. }) => (kept, of),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_a_vault_lock_keeps_in_an_old_home_is_counted_and_goes_once_the_lock_has_ended() {
    let left = left();
    let second = objects(&left.leaving.second);
    let vault = Arc::clone(left.leaving.lab.vault.as_ref().unwrap());
    let ids = vault.ids();
    vault.deny_deletes(true);
    for _ in 0..2 {
        let all = ARCHIVES + 1;
        assert_eq!(denied(left.delete(&Faults::none())), (all, all));
        assert_eq!(vault.ids(), ids);
        assert_eq!(left.would_go(), ARCHIVES);
    }
    vault.deny_deletes(false);
    left.delete(&Faults::none()).unwrap();
    left.ends(&second);
}

#[test]
fn a_delete_that_is_denied_keeps_that_archive_alone() {
    let begin = left();
    let second = objects(&begin.leaving.second);
    let faults = Faults::none();
    begin.copy().delete(&faults).unwrap();
    let points = faults.points();
    let mut cases = Cases::new("a denied delete");
    for point in points.iter().filter(|point| is_delete(point)) {
        cases.run(&point.to_string(), || {
            let left = begin.copy();
            let struck = left.delete(&Faults::at(point, Mode::IsDenied));
            assert_eq!(denied(struck), (1, ARCHIVES + 1));
            assert_eq!(left.leaving.ids().len(), left.foreign.len() + 1);
            left.delete(&Faults::none()).unwrap();
            left.ends(&second);
        });
    }
    cases.end();
}

/// Another machine takes home back with the root key: the move is void.
fn void(left: &Left) -> impl Fn() + Send + Sync + 'static {
    let mut other = left.unaware.copy();
    other.store = Arc::clone(&left.leaving.lab.store);
    other.vault.clone_from(&left.leaving.lab.vault);
    let change = KeyChange {
        void: vec![left.moved],
        ..KeyChange::default()
    };
    move || {
        let root = other.root();
        let rotated = other.in_context(&Faults::none(), |context| {
            let (config, source) = (&other.config, &other.config.sources[0]);
            rotate(config, source, &change, &root, context)
        });
        assert!(rotated.unwrap().entry.is_some());
    }
}

#[test]
fn a_move_that_is_voided_meanwhile_ends_the_deletion() {
    let begin = left();
    let second = objects(&begin.leaving.second);
    let faults = Faults::none();
    begin.copy().delete(&faults).unwrap();
    let points = faults.points();
    let mut cases = Cases::new("a move that is voided");
    let is_look = |point: &Point| point.name == "store: list home/ledger/";
    let last_look = points.iter().rposition(is_look).unwrap();
    for (at, point) in points.iter().enumerate() {
        // The catalog's own operations tell nothing of other machines.
        if !point.name.starts_with("store: ") {
            continue;
        }
        cases.run(&point.to_string(), || {
            let left = begin.copy();
            let before = points[..at].iter().filter(|point| is_delete(point)).count();
            let faults = Faults::meanwhile(point, void(&left));
            let ran = left.delete(&faults);
            assert!(faults.has_struck(), "it was not reached");
            left.nothing_else_is_gone(&second);
            let gone = begin.leaving.ids().len() - left.leaving.ids().len();
            // The ledger was read right before an archive: that one goes, and no other.
            assert!(
                gone <= before + 1,
                "{gone} are gone, and {before} were before"
            );
            if at <= last_look {
                assert!(gone <= ARCHIVES, "the orphan");
                let error = ran.unwrap_err();
                assert!(
                    matches!(error, Error::Prune(PruneError::NotOldHome { .. })),
                    "{error:?}"
                );
            }
            // And no later run deletes any more.
            let ids = left.leaving.ids();
            let asked = OldHomeAsked::Delete {
                agreed: Some(ARCHIVES - gone.min(ARCHIVES)),
            };
            let again = left.leaving.prune_old(asked, &Faults::none());
            assert!(again.is_err(), "{again:?}");
            assert_eq!(left.leaving.ids(), ids);
        });
    }
    cases.end();
}

#[test]
fn an_orphan_of_an_old_home_goes_when_an_inventory_shows_it_and_it_is_a_week_old() {
    let mut left = left();
    let second = objects(&left.leaving.second);
    let vault = Arc::clone(left.leaving.lab.vault.as_ref().unwrap());
    let key = vault
        .objects()
        .into_keys()
        .find(|key| !is_of_the_old_chain(key));
    let young = vault.plant_again(&key.unwrap());
    let orphans = |left: &Left| {
        let plan = left.leaving.prune_old(OldHomeAsked::Plan, &Faults::none());
        plan.unwrap().orphans
    };
    assert_eq!(orphans(&left), 1, "no inventory shows the young one");
    left.leaving.hours(6 * 24);
    vault.read_inventory();
    assert_eq!(orphans(&left), 1, "it is not a week old");
    left.delete(&Faults::none()).unwrap();
    let mut expected = left.foreign.clone();
    expected.insert(young.clone());
    assert!(!vault.ids().contains(&left.orphan));
    assert_eq!(vault.ids(), expected);
    // Orphans alone need no number.
    left.leaving.hours(25);
    let asked = OldHomeAsked::Delete { agreed: None };
    let pruned = left.leaving.prune_old(asked, &Faults::none()).unwrap();
    assert_eq!((pruned.orphans, pruned.to_delete()), (1, 0));
    assert!(!vault.ids().contains(&young));
    left.ends(&second);
}

#[test]
fn what_the_new_home_lacks_stays_in_the_vault_with_all_of_its_chain() {
    let left = left();
    let vault = Arc::clone(left.leaving.lab.vault.as_ref().unwrap());
    let full = format!("home/archives/{}-", OLD[0]);
    let lost = objects(&left.leaving.second).into_keys();
    let lost: Vec<String> = lost.filter(|key| key.starts_with(&full)).collect();
    let at = left.leaving.second.locate(lost.last().unwrap());
    left.leaving.second.delete(&at).unwrap();
    let plan = left.leaving.prune_old(OldHomeAsked::Plan, &Faults::none());
    let plan = plan.unwrap();
    for line in &plan.lines {
        let stays = OLD.contains(&line.id.date.to_string().as_str());
        assert_eq!(line.fate == LeftFate::Keep, stays, "{line:?}");
    }
    assert_eq!(left.delete(&Faults::none()).unwrap(), 2);
    let kept = vault.objects().into_keys();
    let kept: BTreeSet<String> = kept.collect();
    assert_eq!(kept.len(), 2);
    assert!(kept.iter().all(|key| is_of_the_old_chain(key)), "{kept:?}");
}
