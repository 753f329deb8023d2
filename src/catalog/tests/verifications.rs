use super::*;
use VerifyLevel::{Checksums, Deep, Drill, Listing};
use VerifyOutcome::{Damaged, Partial, Sound};

use crate::model::{VerifyLevel, VerifyOutcome};

fn archived() -> (Catalog, ArchiveId) {
    let mut catalog = catalog();
    absorb(&mut catalog, &entry(b"x"), &archive_entry(FULL)).unwrap();
    (catalog, FULL.parse().unwrap())
}

fn row(archive: ArchiveId, level: VerifyLevel, outcome: VerifyOutcome) -> VerificationRow {
    VerificationRow {
        archive,
        level,
        outcome,
        at: now(),
    }
}

fn is_damaged(catalog: &Catalog) -> bool {
    catalog.archives(&source().ledger).unwrap()[0]
        .damaged_at
        .is_some()
}

#[test]
fn damage_is_taken_back_by_a_sound_check_that_would_find_it_again_and_by_no_other() {
    for found in VerifyLevel::ALL {
        for later in VerifyLevel::ALL {
            for outcome in [Sound, Partial] {
                let (mut catalog, id) = archived();
                catalog
                    .record_verifications(&[row(id, found, Damaged)])
                    .unwrap();
                assert!(is_damaged(&catalog), "{found}");
                catalog
                    .record_verifications(&[row(id, later, outcome)])
                    .unwrap();
                let mended =
                    outcome == Sound && (later == found || (later > found && later != Drill));
                assert_eq!(is_damaged(&catalog), !mended, "{found}, {later} {outcome}");
            }
        }
    }
}

#[test]
fn one_check_may_find_a_listing_sound_and_the_content_damaged() {
    let (mut catalog, id) = archived();
    let rows = [
        row(id, Listing, Sound),
        row(id, Checksums, Sound),
        row(id, Deep, Damaged),
    ];
    catalog.record_verifications(&rows).unwrap();
    assert!(is_damaged(&catalog));
    assert_eq!(catalog.verifications(&source().ledger).unwrap().len(), 3);
    let verified: Option<String> = column(&catalog, FULL, "verified_at");
    assert_eq!(verified, Some(now().to_string()));
}

#[test]
fn what_was_sound_is_so_no_more_once_damage_is_found_that_it_would_have_shown() {
    let (mut catalog, id) = archived();
    let all = VerifyLevel::ALL.map(|level| row(id, level, Sound));
    catalog.record_verifications(&all).unwrap();
    catalog
        .record_verifications(&[row(id, Checksums, Damaged)])
        .unwrap();
    let left: Vec<_> = catalog
        .verifications(&source().ledger)
        .unwrap()
        .into_iter()
        .map(|row| (row.level, row.outcome))
        .collect();
    assert_eq!(left, [(Checksums, Damaged), (Listing, Sound)]);
    catalog
        .record_verifications(&[row(id, Drill, Sound)])
        .unwrap();
    assert!(is_damaged(&catalog), "a drill reads no sealed key");
    catalog
        .record_verifications(&[row(id, Deep, Sound)])
        .unwrap();
    assert!(!is_damaged(&catalog));
}

#[test]
fn an_archive_that_the_catalog_does_not_have_is_passed_over() {
    let (mut catalog, _) = archived();
    let other = "2026-11-28-incr-5f0c9a12d4e6b802".parse().unwrap();
    catalog
        .record_verifications(&[row(other, Deep, Damaged)])
        .unwrap();
    assert_eq!(catalog.verifications(&source().ledger).unwrap(), []);
}
