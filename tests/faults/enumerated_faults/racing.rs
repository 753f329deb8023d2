//! A machine that deletes a chain, and another that wants it back: every way in which the operations
//! of the one can stand between two of the other.

use std::sync::Arc;

use coldchain::engine::{KeyChange, Rotated, StateDir, rotate};
use coldchain::error::{Error, PruneError};
use coldchain::ledger::SigningKey;
use coldchain::model::entry::Role;

use super::Cases;
use crate::common::faults::Faults;
use crate::common::from_env;
use crate::common::lab::Lab;
use crate::common::turns::{Turns, Who, operations};
use crate::common::two_chains::{
    NEW, OLD, dates, is_of_the_old_chain, prune, revive, visible, with_a_retired_chain,
};

const PRUNER: Who = Who::One;
const REVIVER: Who = Who::Other;

/// Of so many ways one is tried: of all, in the soak.
fn step() -> u64 {
    from_env("COLDCHAIN_RACE_STEP", 3)
}

#[test]
fn of_a_pruner_and_a_reviver_one_wins_and_no_visible_archive_lacks_an_object() {
    let begin = with_a_retired_chain();
    let faults = Faults::none();
    prune(&begin.copy(), 8, &faults).unwrap();
    let of_prune = operations(&faults);
    let faults = Faults::none();
    revive(&begin.copy(), &faults).unwrap();
    let of_revive = operations(&faults);
    assert!(of_prune > 8 && of_revive > 4, "{of_prune}, {of_revive}");
    let mut cases = Cases::new("a pruner and a reviver");
    let (mut came_back, mut deleted) = (0, 0);
    let mut ways = 0..;
    for pruned in 0..=of_prune {
        for revived in 0..=of_revive {
            for first in [PRUNER, REVIVER] {
                if ways.next().unwrap() % step() != 0 {
                    continue;
                }
                let turns = match first {
                    PRUNER => Turns::new(first, pruned, revived),
                    _ => Turns::new(first, revived, pruned),
                };
                let case =
                    format!("{first:?} first; {pruned} of the pruner, {revived} of the other");
                cases.run(&case, || {
                    if race(&begin, &turns) {
                        came_back += 1;
                    } else {
                        deleted += 1;
                    }
                });
            }
        }
    }
    assert!(came_back > 0 && deleted > 0, "{came_back}, {deleted}");
    cases.end();
}

/// Lets both run, and says whether the chain came back.
fn race(begin: &Lab, turns: &Arc<Turns>) -> bool {
    let lab = begin.copy();
    let elsewhere = lab.twin();
    let (pruned, revived) = std::thread::scope(|scope| {
        let pruner = scope.spawn(|| {
            let pruned = prune(&lab, 8, &turns.of(PRUNER));
            turns.end(PRUNER);
            pruned
        });
        let revived = revive(&elsewhere, &turns.of(REVIVER));
        turns.end(REVIVER);
        (pruner.join().unwrap(), revived)
    });
    pruned.unwrap();
    let seen = visible(&lab);
    let came_back = revived.is_ok();
    match revived {
        // A pruner that came to it later still has retired it anew: its time of grace begins again.
        Ok(_) => {
            assert!(
                seen == dates(&[OLD, NEW]) || seen == dates(&[NEW]),
                "{seen:?}"
            );
            assert_eq!(
                lab.objects()
                    .keys()
                    .filter(|key| is_of_the_old_chain(key))
                    .count(),
                6
            );
        }
        Err(error) => {
            assert!(
                matches!(error, Error::Prune(PruneError::DeletionBegun { .. })),
                "{error:?}"
            );
            assert_eq!(seen, dates(&[NEW]));
        }
    }
    // Whoever runs next takes in what the other did.
    prune(&lab, 8, &Faults::none()).unwrap();
    lab.can_be_rebuilt();
    came_back
}

/// Brings back what the machine's key has taken away, and withdraws that key.
fn undelete(lab: &Lab, faults: &Arc<Faults>) -> Result<Rotated, Error> {
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
        rotate(config, &config.sources[0], &change, &root, context)
    })
}

#[test]
fn what_a_pruner_deletes_while_it_is_brought_back_is_retired_again() {
    let begin = with_a_retired_chain();
    let faults = Faults::none();
    prune(&begin.copy(), 8, &faults).unwrap();
    let of_prune = operations(&faults);
    let faults = Faults::none();
    undelete(&begin.copy(), &faults).unwrap();
    let of_undelete = operations(&faults);
    let mut cases = Cases::new("a pruner and an undo of its deletion");
    let (mut whole, mut in_part, mut gone) = (0, 0, 0);
    for pruned in 0..=of_prune {
        for undone in 0..=of_undelete {
            let turns = Turns::new(PRUNER, pruned, undone);
            let case = format!("{pruned} of the pruner, {undone} of the other");
            cases.run(&case, || {
                let lab = begin.copy();
                let elsewhere = lab.twin();
                std::thread::scope(|scope| {
                    scope.spawn(|| {
                        // However it ends: its key may be gone.
                        let _ = prune(&lab, 8, &turns.of(PRUNER));
                        turns.end(PRUNER);
                    });
                    undelete(&elsewhere, &turns.of(REVIVER)).unwrap();
                    turns.end(REVIVER);
                });
                // An archive whose first object went just after the second listing is found by the next.
                undelete(&elsewhere, &Faults::none()).unwrap();
                let seen = visible(&elsewhere);
                assert!(seen.is_superset(&dates(&[NEW])), "{seen:?}");
                match seen.len() {
                    4 => whole += 1,
                    3 => in_part += 1,
                    _ => gone += 1,
                }
                elsewhere.can_be_rebuilt();
            });
        }
    }
    assert!(
        whole > 0 && in_part > 0 && gone > 0,
        "{whole}, {in_part}, {gone}"
    );
    cases.end();
}
