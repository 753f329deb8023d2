//! Prunes of a vault: chains expire once an inventory has shown the newer full, and only archives of the own ledger
//! are ever deleted.

use std::collections::BTreeSet;

use chrono::{TimeDelta, Utc};
use coldchain::config::PruneMode;
use coldchain::error::{Error, PruneError};
use coldchain::plan::ChainFate;
use coldchain::store::ErrorKind;

use crate::common::enumerate::enumerate;
use crate::common::faults::{Faults, Mode};
use crate::common::lab::Lab;
use crate::common::two_chains::{
    NEW, OLD, dates, is_of_the_old_chain, prune, two_chains_on, visible,
};

/// A machine with two chains in a vault, which has no inventory.
fn two_chains() -> Lab {
    two_chains_on(Lab::with_vault())
}

fn read_inventory(lab: &Lab, days: i64) {
    lab.store.set_now(Utc::now() + TimeDelta::days(days));
    lab.vault.as_ref().unwrap().read_inventory();
}

/// The same after the old chain was retired.
fn with_a_retired_chain() -> Lab {
    let lab = two_chains();
    read_inventory(&lab, 1);
    let pruned = prune(&lab, 1, &Faults::none()).unwrap();
    assert_eq!(pruned.plan.retires(), (1, 2));
    lab
}

#[test]
fn a_chain_expires_when_an_inventory_has_shown_the_full_that_replaces_it() {
    let lab = two_chains();
    let waits = |inventory: &str| {
        let pruned = prune(&lab, 1, &Faults::none()).unwrap();
        assert!(!pruned.plan.acts());
        let [line] = &pruned.plan.chains[..] else {
            panic!("{:?}", pruned.plan);
        };
        assert_eq!(line.fate, ChainFate::Keep);
        let said = format!(
            "but the full of the chain of {} is not in the vault's inventory{inventory} yet",
            NEW[0]
        );
        assert!(line.reason.contains(&said), "{}", line.reason);
    };
    waits("");
    assert_eq!(visible(&lab), dates(&[OLD, NEW]));
    read_inventory(&lab, 1);
    let pruned = prune(&lab, 1, &Faults::none()).unwrap();
    assert_eq!(pruned.plan.retires(), (1, 2));
    assert_eq!(visible(&lab), dates(&[NEW]));
}

#[test]
fn no_fault_in_a_deletion_touches_anything_else_and_the_next_run_ends_it() {
    let begin = with_a_retired_chain();
    let vault = begin.vault.as_ref().unwrap();
    let foreign = vault.plant(b"another program's");
    read_inventory(&begin, 8);
    let of_new: BTreeSet<String> = {
        let objects = begin.objects().into_keys();
        objects.filter(|key| !is_of_the_old_chain(key)).collect()
    };
    let lab = begin.copy();
    let faults = Faults::none();
    prune(&lab, 9, &faults).unwrap();
    let points = faults.points();
    enumerate("a deletion in a vault", &points, |point, mode| {
        let lab = begin.copy();
        let outcome = prune(&lab, 9, &Faults::at(point, mode));
        let is_kept = |lab: &Lab| {
            let objects = lab.objects();
            assert!(of_new.iter().all(|key| objects.contains_key(key)));
            assert!(lab.vault.as_ref().unwrap().ids().contains(&foreign));
            assert_eq!(visible(lab), dates(&[NEW]));
        };
        is_kept(&lab);
        if mode != Mode::LosesItsAnswer && outcome.is_ok() {
            assert!(!lab.objects().keys().any(|key| is_of_the_old_chain(key)));
        }
        prune(&lab, 9, &Faults::none()).unwrap();
        assert!(!lab.objects().keys().any(|key| is_of_the_old_chain(key)));
        is_kept(&lab);
        lab.can_be_rebuilt();
        // The inventory still shows what is gone: that is no reason to do anything.
        let stored = lab.objects();
        prune(&lab, 9, &Faults::none()).unwrap();
        assert!(lab.objects() == stored, "a prune with nothing to do wrote");
        // The next inventory agrees.
        read_inventory(&lab, 12);
        let pruned = prune(&lab, 12, &Faults::none()).unwrap();
        assert!(!pruned.plan.acts(), "{:?}", pruned.plan);
    });
}

#[test]
fn what_a_vault_lock_keeps_is_kept_and_tried_again() {
    let lab = with_a_retired_chain();
    let vault = lab.vault.as_ref().unwrap();
    vault.deny_deletes(true);
    let ids = vault.ids();
    for _ in 0..2 {
        let error = prune(&lab, 9, &Faults::none()).unwrap_err();
        assert!(
            matches!(error, Error::Prune(PruneError::ChainLeft { .. })),
            "{error:?}"
        );
        assert_eq!(vault.ids(), ids);
    }
    vault.deny_deletes(false);
    prune(&lab, 9, &Faults::none()).unwrap();
    assert!(!lab.objects().keys().any(|key| is_of_the_old_chain(key)));
    assert_eq!(visible(&lab), dates(&[NEW]));
}

#[test]
fn segments_whose_ids_nothing_tells_are_not_taken_for_deleted() {
    let lab = with_a_retired_chain();
    let vault = lab.vault.as_ref().unwrap();
    let catalog = rusqlite::Connection::open(lab.config.state_dir.join("catalog.db")).unwrap();
    let sql = "UPDATE segment SET locator = substr(locator, 1, instr(locator, '?') - 1) \
               WHERE archive LIKE '2026-01-%'";
    assert_eq!(catalog.execute(sql, []).unwrap(), 2);
    vault.forget_inventory();
    let stored = |lab: &Lab| {
        lab.objects()
            .into_keys()
            .filter(|key| is_of_the_old_chain(key))
    };
    let before: BTreeSet<String> = stored(&lab).collect();
    for _ in 0..2 {
        let error = prune(&lab, 9, &Faults::none()).unwrap_err();
        let Error::Prune(PruneError::ChainLeft {
            deleted, source, ..
        }) = &error
        else {
            panic!("{error:?}");
        };
        assert_eq!((*deleted, source.kind), (0, ErrorKind::NoId));
        assert_eq!(stored(&lab).collect::<BTreeSet<_>>(), before, "keys too");
    }
    read_inventory(&lab, 9);
    prune(&lab, 9, &Faults::none()).unwrap();
    assert_eq!(stored(&lab).count(), 0);
    assert_eq!(visible(&lab), dates(&[NEW]));
}

#[test]
fn another_machines_archives_in_the_vault_are_never_touched() {
    let lab = two_chains();
    let vault = lab.vault.as_ref().unwrap();
    // Its source has the same directory, in a ledger store of its own.
    let segments: Vec<(String, Vec<u8>)> = vault.objects().into_iter().collect();
    let planted = segments
        .iter()
        .map(|(key, body)| vault.plant_of_another(key, body));
    let kept: BTreeSet<String> = planted.collect();
    assert_eq!(kept.len(), 4);
    read_inventory(&lab, 1);
    prune(&lab, 1, &Faults::none()).unwrap();
    read_inventory(&lab, 9);
    prune(&lab, 9, &Faults::none()).unwrap();
    assert!(vault.ids().is_superset(&kept));
    assert_eq!(visible(&lab), dates(&[NEW]));
}

#[test]
fn a_listing_that_lacks_what_an_inventory_should_have_stops_the_prune() {
    let mut lab = two_chains();
    lab.config.prune = PruneMode::Elsewhere;
    let vault = lab.vault.as_ref().unwrap();
    let lost = vault.ids().pop_last().unwrap();
    vault.lose(&lost);
    read_inventory(&lab, 1);
    let pruned = prune(&lab, 1, &Faults::none()).unwrap();
    assert_eq!(pruned.plan.retires().0, 1, "the full is there");
    let lab = two_chains();
    let vault = lab.vault.as_ref().unwrap();
    vault.lose(&vault.ids().pop_last().unwrap());
    read_inventory(&lab, 3);
    let error = prune(&lab, 3, &Faults::none()).unwrap_err();
    assert!(
        matches!(error, Error::Prune(PruneError::ListingShort { .. })),
        "{error:?}"
    );
}
