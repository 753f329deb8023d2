//! A copy that races what else may be at work at home: a pruner, one that revives, a change of keys, another copy. Every
//! way in which the operations of the one can stand between two of the other, a sample of them here and all in the soak.

use std::collections::BTreeMap;
use std::sync::Arc;

use coldchain::engine::{CopyRequest, KeyChange, StateDir, rotate};
use coldchain::error::Error;
use coldchain::ledger::SigningKey;
use coldchain::model::entry::Role;
use coldchain::store::{MemoryStore, Store as _};

use super::pair::Pair;
use crate::common::faults::Faults;
use crate::common::from_env;
use crate::common::lab::Lab;
use crate::common::turns::{Turns, Who, operations};
use crate::common::two_chains::{prune, revive, visible, with_a_retired_chain};

/// What another machine does at home.
type Act = fn(&Lab, &Arc<Faults>) -> Result<(), Error>;

fn deletes(lab: &Lab, faults: &Arc<Faults>) -> Result<(), Error> {
    prune(lab, 8, faults).map(drop)
}

fn revives(lab: &Lab, faults: &Arc<Faults>) -> Result<(), Error> {
    revive(lab, faults).map(drop)
}

fn rotates(lab: &Lab, faults: &Arc<Faults>) -> Result<(), Error> {
    let state_dir = StateDir::new(&lab.config.state_dir);
    let new = SigningKey::generate().unwrap().public();
    let change = KeyChange {
        add: vec![(new, vec![Role::Pruner, Role::Writer])],
        remove: state_dir.signing_public().unwrap().into_iter().collect(),
        undelete: true,
        ..KeyChange::default()
    };
    let (config, root) = (&lab.config, lab.root());
    lab.in_context(faults, |context| {
        rotate(config, &config.sources[0], &change, &root, context).map(drop)
    })
}

/// Lets a copy and another machine's act run side by side, and looks at both places.
fn race(begin: &Pair, turns: &Arc<Turns>, act: Act) {
    let pair = Pair::new(begin.lab.copy(), None, Arc::new(MemoryStore::default()));
    let before = pair.lab.objects();
    let elsewhere = pair.lab.twin();
    let copied = std::thread::scope(|scope| {
        let other = scope.spawn(|| {
            let done = act(&elsewhere, &turns.of(Who::Other));
            turns.end(Who::Other);
            done
        });
        let copied = pair.copy(CopyRequest::default(), &turns.of(Who::One));
        turns.end(Who::One);
        other.join().unwrap().unwrap();
        copied
    });
    let after = pair.lab.objects();
    let mut ever: BTreeMap<String, Vec<u8>> = before;
    ever.extend(after);
    pair.is_right_so_far(&ever);
    if let Ok(ran) = copied {
        assert!(ran.stopped.is_none(), "{:?}", ran.stopped);
    }
    // What is visible at home is whole there, and after one more run in the copy.
    let dates = visible(&elsewhere);
    let again = pair.copy(CopyRequest::default(), &Faults::none()).unwrap();
    assert!(again.stopped.is_none(), "{:?}", again.stopped);
    assert_eq!((again.has, again.of), (dates.len(), dates.len()));
    let copy = super::pair::objects(pair.second.as_ref());
    for (key, bytes) in pair.lab.objects() {
        let is_visible = key.contains("/ledger/")
            || dates
                .iter()
                .any(|date| key.contains(&format!("/archives/{date}-")));
        assert!(!is_visible || copy.get(&key) == Some(&bytes), "{key}");
    }
}

/// Lets them race in every way, or in a sample of the ways.
fn every_way(act: Act) {
    let step = usize::try_from(from_env("COLDCHAIN_RACE_STEP", 11)).unwrap();
    let begin = Pair::in_memory(&with_a_retired_chain());
    let faults = Faults::none();
    Pair::in_memory(&begin.lab)
        .copy(CopyRequest::default(), &faults)
        .unwrap();
    let of_copy = operations(&faults);
    let faults = Faults::none();
    act(&begin.lab.copy(), &faults).unwrap();
    let of_act = operations(&faults);
    assert!(of_copy > 8 && of_act > 2, "{of_copy}, {of_act}");
    let mut ways = 0;
    for copied in 0..=of_copy {
        for acted in 0..=of_act {
            for first in [Who::One, Who::Other] {
                ways += 1;
                if ways % step != 0 {
                    continue;
                }
                let turns = match first {
                    Who::One => Turns::new(first, copied, acted),
                    Who::Other => Turns::new(first, acted, copied),
                };
                println!("{first:?} first; {copied} of the copy, {acted} of the other");
                race(&begin, &turns, act);
            }
        }
    }
}

#[test]
fn with_a_pruner_that_deletes() {
    every_way(deletes);
}

#[test]
fn with_one_that_revives() {
    every_way(revives);
}

#[test]
fn with_a_change_of_keys() {
    every_way(rotates);
}

#[test]
fn two_copies_to_one_place_end_as_one() {
    let begin = with_a_retired_chain();
    let faults = Faults::none();
    Pair::in_memory(&begin)
        .copy(CopyRequest::default(), &faults)
        .unwrap();
    let all = operations(&faults);
    let step = usize::try_from(from_env("COLDCHAIN_RACE_STEP", 4)).unwrap();
    for one in (0..=all).step_by(step) {
        for other in (0..=all).step_by(step) {
            let turns = Turns::new(Who::One, one, other);
            let mine = Pair::in_memory(&begin);
            let twin = mine.lab.twin();
            let theirs = Pair::new(twin, None, Arc::clone(&mine.second));
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    theirs
                        .copy(CopyRequest::default(), &turns.of(Who::Other))
                        .unwrap();
                    turns.end(Who::Other);
                });
                mine.copy(CopyRequest::default(), &turns.of(Who::One))
                    .unwrap();
                turns.end(Who::One);
            });
            let again = mine.copy(CopyRequest::default(), &Faults::none()).unwrap();
            assert_eq!((again.copied.len(), again.has, again.of), (0, 2, 2));
            let home = mine.lab.store.list("home/archives/").unwrap();
            assert!(!home.is_empty());
            mine.is_right_so_far(&mine.lab.objects());
        }
    }
}
