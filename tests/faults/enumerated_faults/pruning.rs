//! Retiring a chain, deleting it, and bringing it back.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use coldchain::error::{Error, ExitCode, PruneError};
use coldchain::plan::ChainFate;
use coldchain::store::Store;

use super::archiving::nothing_is_lost;
use super::enumerate;
use crate::common::faults::{Faults, Mode, Point};
use crate::common::lab::Lab;
use crate::common::two_chains::{
    NEW, OLD, dates, is_of_the_old_chain, prune, revive, visible, with_a_retired_chain,
    with_two_chains,
};

/// Panics if anything is gone or changed that is not the old chain's.
fn only_the_old_chain_is_touched(before: &BTreeMap<String, Vec<u8>>, lab: &Lab) {
    let others = before.iter().filter(|(key, _)| !is_of_the_old_chain(key));
    let others = others.map(|(key, bytes)| (key.clone(), bytes.clone()));
    nothing_is_lost(&others.collect(), lab);
}

/// The operations of an act on a copy of that machine, if nothing is struck.
fn points<T>(begin: &Lab, act: impl FnOnce(&Lab, &Arc<Faults>) -> Result<T, Error>) -> Vec<Point> {
    let lab = begin.copy();
    let faults = Faults::none();
    act(&lab, &faults).unwrap_or_else(|error| panic!("{error:?}"));
    faults.points()
}

#[test]
fn no_fault_in_a_retire_loses_anything_and_the_next_run_retires() {
    let begin = with_two_chains();
    let points = points(&begin, |lab, faults| prune(lab, 0, faults));
    enumerate("a retire", &points, |point, mode| {
        let lab = begin.copy();
        let stored = lab.objects();
        let outcome = prune(&lab, 0, &Faults::at(point, mode));
        nothing_is_lost(&stored, &lab);
        let seen = visible(&lab);
        assert!(
            seen == dates(&[OLD, NEW]) || seen == dates(&[NEW]),
            "visible is {seen:?}"
        );
        if outcome.is_ok() {
            assert_eq!(seen, dates(&[NEW]), "it reports success");
        }
        prune(&lab, 0, &Faults::none()).unwrap();
        assert_eq!(visible(&lab), dates(&[NEW]));
        nothing_is_lost(&stored, &lab);
        lab.can_be_rebuilt();
        nothing_more_is_done(&lab, 0);
    });
}

#[test]
fn no_fault_in_a_deletion_touches_anything_else_and_the_next_run_ends_it() {
    let begin = with_a_retired_chain();
    let points = points(&begin, |lab, faults| prune(lab, 8, faults));
    let deletes = points
        .iter()
        .filter(|point| point.name.starts_with("store: delete"));
    assert!(
        deletes.count() >= 5,
        "each archive has a key and a segment: {points:#?}"
    );
    enumerate("a deletion", &points, |point, mode| {
        let lab = begin.copy();
        let stored = lab.objects();
        let outcome = prune(&lab, 8, &Faults::at(point, mode));
        assert_eq!(visible(&lab), dates(&[NEW]));
        only_the_old_chain_is_touched(&stored, &lab);
        what_is_left_is_a_shorter_chain(&lab);
        if mode != Mode::LosesItsAnswer && outcome.is_ok() {
            assert!(!lab.objects().keys().any(|key| is_of_the_old_chain(key)));
        }
        prune(&lab, 8, &Faults::none()).unwrap();
        assert!(!lab.objects().keys().any(|key| is_of_the_old_chain(key)));
        only_the_old_chain_is_touched(&stored, &lab);
        assert_eq!(visible(&lab), dates(&[NEW]));
        lab.can_be_rebuilt();
        nothing_more_is_done(&lab, 8);
    });
}

/// While anything of the incremental is there, all of its full is; while a segment is there, so is
/// the key that opens it.
fn what_is_left_is_a_shorter_chain(lab: &Lab) {
    let objects = lab.objects();
    let of = |date: &str| -> Vec<&String> {
        let prefix = format!("home/archives/{date}-");
        objects
            .keys()
            .filter(|key| key.starts_with(&prefix))
            .collect()
    };
    if !of(OLD[1]).is_empty() {
        assert_eq!(of(OLD[0]).len(), 3, "the full goes last");
    }
    for date in OLD {
        let left = of(date);
        assert!(
            left.is_empty() || left.iter().any(|key| key.ends_with("key.age")),
            "{left:?}"
        );
    }
}

#[test]
fn no_fault_in_a_revive_loses_anything_and_the_chain_comes_back() {
    let begin = with_a_retired_chain();
    let points = points(&begin, revive);
    enumerate("a revive", &points, |point, mode| {
        let lab = begin.copy();
        let stored = lab.objects();
        let outcome = revive(&lab, &Faults::at(point, mode));
        nothing_is_lost(&stored, &lab);
        let seen = visible(&lab);
        assert!(
            seen == dates(&[OLD, NEW]) || seen == dates(&[NEW]),
            "visible is {seen:?}"
        );
        if outcome.is_ok() {
            assert_eq!(seen, dates(&[OLD, NEW]), "it reports success");
        }
        match revive(&lab, &Faults::none()) {
            Ok(_) => {}
            // The entry was committed by the run that was struck.
            Err(error) => assert!(
                matches!(error, Error::Prune(PruneError::NotRetired { .. })),
                "{error:?}"
            ),
        }
        assert_eq!(visible(&lab), dates(&[OLD, NEW]));
        nothing_is_lost(&stored, &lab);
        lab.can_be_rebuilt();
    });
}

fn nothing_more_is_done(lab: &Lab, days: i64) {
    let stored = lab.objects();
    prune(lab, days, &Faults::none()).unwrap();
    assert!(lab.objects() == stored, "a prune with nothing to do wrote");
}

#[test]
fn a_chain_that_lacks_an_object_does_not_come_back() {
    let lab = with_a_retired_chain();
    let key = lab
        .objects()
        .into_keys()
        .rfind(|key| is_of_the_old_chain(key));
    let key = key.unwrap();
    lab.store.delete(&lab.store.locate(&key)).unwrap();
    let stored = lab.objects();
    let error = revive(&lab, &Faults::none()).unwrap_err();
    assert_eq!(error.exit_code(), ExitCode::ChainBroken, "{error:?}");
    assert!(lab.objects() == stored);
    assert_eq!(visible(&lab), dates(&[NEW]));
}

#[test]
fn a_deletion_that_was_cut_short_is_ended_without_another_entry_and_nothing_revives_it() {
    let begin = with_a_retired_chain();
    let points = points(&begin, |lab, faults| prune(lab, 8, faults));
    let mut deletes = points
        .iter()
        .filter(|point| point.name.starts_with("store: delete home/archives/"));
    // The entry is there, and no object is gone yet.
    let lab = begin.copy();
    prune(
        &lab,
        8,
        &Faults::at(deletes.next().unwrap(), Mode::DiesBefore),
    )
    .unwrap_err();
    let stored = lab.objects();
    let kept: BTreeSet<&String> = stored
        .keys()
        .filter(|key| is_of_the_old_chain(key))
        .collect();
    assert_eq!(kept.len(), 6);
    let error = revive(&lab, &Faults::none()).unwrap_err();
    assert!(
        matches!(error, Error::Prune(PruneError::DeletionBegun { .. })),
        "{error:?}"
    );
    assert_eq!(error.exit_code(), ExitCode::ChainBroken);
    assert!(lab.objects() == stored);
    let entries = |lab: &Lab| {
        let objects = lab.objects().into_keys();
        objects
            .filter(|key| key.starts_with("home/ledger/"))
            .count()
    };
    let before = entries(&lab);
    let pruned = prune(&lab, 8, &Faults::none()).unwrap();
    let fates: Vec<_> = pruned.plan.chains.iter().map(|line| line.fate).collect();
    assert_eq!(fates, [ChainFate::Delete]);
    assert!(!lab.objects().keys().any(|key| is_of_the_old_chain(key)));
    assert_eq!(entries(&lab), before);
    lab.can_be_rebuilt();
}
