//! What a listing of a vault means: the inventory of some day, and what was stored since.

use std::collections::BTreeSet;

use chrono::{TimeDelta, Utc};
use coldchain::engine::{AtOnce, OpenSource, StateDir, VerifyReport, Verifying, verify};
use coldchain::interrupt::Interrupt;
use coldchain::model::VerifyLevel;
use coldchain::plan::Unchecked;
use coldchain::progress::Quiet;

use crate::common::faults::Faults;
use crate::common::lab::{Lab, SOURCE};
use crate::common::two_chains::{Fixed, OLD, stream_of};

/// `coldchain verify --checksums`.
fn check(lab: &Lab) -> VerifyReport {
    let mut catalog = lab.catalog();
    let row = catalog.source(&SOURCE.parse().unwrap()).unwrap().unwrap();
    let source = OpenSource {
        config: &lab.config.sources[0],
        row,
        store: lab.open(),
    };
    let root = StateDir::new(&lab.config.state_dir).root_key().unwrap();
    let verifying = Verifying {
        source: &source,
        root: &root,
        levels: &BTreeSet::from([VerifyLevel::Checksums]),
        sample: None,
        identities: None,
        kit: &[],
        drill: None,
        at_once: AtOnce {
            asked_for: 1,
            memory_limit: u64::MAX,
        },
        clock: &Fixed(Utc::now()),
        observer: &Quiet,
        interrupt: Interrupt::of_this_process(),
    };
    verify(&verifying, &mut catalog).unwrap().whole().unwrap()
}

fn one_archive() -> Lab {
    let lab = Lab::with_vault();
    let stream = stream_of(OLD[0], None);
    lab.decide(OLD[0], &stream, &Faults::none()).unwrap();
    lab
}

fn later(lab: &Lab, hours: i64) {
    lab.store.set_now(Utc::now() + TimeDelta::hours(hours));
}

fn not_in_inventory(report: &VerifyReport) -> u64 {
    let reasons = report.levels[0].unchecked_by_reason();
    reasons
        .get(&Unchecked::NotInInventory)
        .copied()
        .unwrap_or(0)
}

#[test]
fn what_no_inventory_shows_is_not_missing_until_one_is_two_days_newer() {
    let lab = one_archive();
    let vault = lab.vault.as_ref().unwrap();
    let id = vault.ids().pop_last().unwrap();
    let report = check(&lab);
    assert_eq!((not_in_inventory(&report), report.damaged().len()), (1, 0));
    assert!(
        report
            .notes
            .iter()
            .any(|note| note.contains("no inventory yet")),
        "{:?}",
        report.notes
    );
    vault.lose(&id);
    for (hours, missing) in [(1, 0), (40, 0), (50, 1)] {
        later(&lab, hours);
        vault.read_inventory();
        let report = check(&lab);
        assert_eq!(report.damaged().len(), missing, "after {hours} hours");
        assert_eq!(not_in_inventory(&report), 1 - missing as u64);
        assert!(
            report
                .notes
                .iter()
                .any(|note| note.contains("inventory of")),
            "{:?}",
            report.notes
        );
    }
}

#[test]
fn an_inventory_with_another_tree_hash_is_damage_and_one_with_the_signed_one_proves_the_checksum() {
    let lab = one_archive();
    let vault = lab.vault.as_ref().unwrap();
    later(&lab, 50);
    vault.read_inventory();
    let report = check(&lab);
    assert!(report.damaged().is_empty());
    // Segment, contents and key, by their digests.
    let [_, checksums] = &report.levels[..] else {
        panic!("{report:?}");
    };
    assert_eq!((checksums.checked(), checksums.unchecked()), (3, 0));
    lab.all_are_verified();

    let id = vault.ids().pop_last().unwrap();
    vault.spoil(&id);
    vault.read_inventory();
    let report = check(&lab);
    let [damage] = &report.damaged()[..] else {
        panic!("{report:?}");
    };
    assert!(
        damage.what.contains("does not have it with the signed id"),
        "{}",
        damage.what
    );
}

#[test]
fn an_inventory_is_asked_for_by_one_run_and_read_by_a_later_one() {
    let lab = one_archive();
    let vault = lab.vault.as_ref().unwrap();
    later(&lab, 20);
    vault.make_inventory();
    let said = |report: &VerifyReport, words: &str| {
        assert!(
            report.notes.iter().any(|note| note.contains(words)),
            "{:?}",
            report.notes
        );
    };
    let report = check(&lab);
    said(&report, "the service is making one");
    assert_eq!(not_in_inventory(&report), 1);
    later(&lab, 22);
    assert_eq!(not_in_inventory(&check(&lab)), 1);
    later(&lab, 25);
    let report = check(&lab);
    said(&report, "inventory of");
    assert_eq!(not_in_inventory(&report), 0);
}
