//! Contents of chains that are deleted: they go with their chain, also what a lock keeps or another pruner has left.

use std::collections::BTreeMap;

use coldchain::model::Sha256;
use coldchain::plan::ChainFate;
use coldchain::store::{NewObject, ObjectKind, Store};

use crate::common::faults::{Faults, Mode};
use crate::common::lab::Lab;
use crate::common::two_chains::{NEW, dates, is_of_the_old_chain, prune, two_chains_on, visible};

fn with_contents() -> Lab {
    let mut lab = Lab::new();
    lab.config.sources[0].contents = true;
    let lab = two_chains_on(lab);
    assert_eq!(contents(&lab).len(), 2);
    lab
}

/// The contents of the old chain.
fn contents(lab: &Lab) -> BTreeMap<String, Vec<u8>> {
    let mut objects = lab.objects();
    objects.retain(|key, _| is_of_the_old_chain(key) && key.contains("/contents-"));
    objects
}

fn fates(lab: &Lab, days: i64) -> Vec<ChainFate> {
    let pruned = prune(lab, days, &Faults::none()).unwrap();
    pruned.plan.chains.iter().map(|line| line.fate).collect()
}

#[test]
fn contents_that_a_pruner_left_which_knows_none_are_deleted_by_the_next_one() {
    let lab = with_contents();
    let left = contents(&lab);
    prune(&lab, 0, &Faults::none()).unwrap();
    assert_eq!(fates(&lab, 8), [ChainFate::Delete]);
    assert!(!lab.objects().keys().any(|key| is_of_the_old_chain(key)));
    for (key, bytes) in &left {
        let sha256 = Sha256::of(bytes);
        let object = NewObject::new(key, bytes.clone(), sha256, ObjectKind::Ledger);
        lab.store.put_if_absent(&object).unwrap();
    }
    assert_eq!(fates(&lab, 8), [ChainFate::Delete]);
    assert!(!lab.objects().keys().any(|key| is_of_the_old_chain(key)));
    assert_eq!(visible(&lab), dates(&[NEW]));
    lab.can_be_rebuilt();
    let stored = lab.objects();
    assert!(fates(&lab, 9).is_empty());
    assert!(lab.objects() == stored);
}

#[test]
fn contents_that_a_lock_keeps_are_deleted_when_it_ends() {
    let lab = with_contents();
    prune(&lab, 0, &Faults::none()).unwrap();
    let locked = Faults::by_rule(|_, name| {
        let is_locked = name.starts_with("store: delete ") && name.contains("/contents-");
        is_locked.then_some(Mode::IsLocked)
    });
    let pruned = prune(&lab, 8, &locked).unwrap();
    let mut fates_of_both = pruned.plan.chains.iter().map(|line| line.fate);
    assert!(fates_of_both.any(|fate| matches!(fate, ChainFate::Retained { .. })));
    assert_eq!(contents(&lab).len(), 2);
    assert_eq!(visible(&lab), dates(&[NEW]));
    assert_eq!(fates(&lab, 8), [ChainFate::Delete]);
    assert!(!lab.objects().keys().any(|key| is_of_the_old_chain(key)));
    lab.can_be_rebuilt();
}
