use super::*;
use crate::catalog::ThawState;
use crate::model::PlaceId;
use crate::model::{StorageClass, Tier, VerifyLevel, VerifyOutcome};

const MARK: PlaceId = PlaceId([7; 16]);

/// A catalog with an archive of two segments, and a copy that has it all.
fn with_copy() -> (Catalog, ArchiveId, i64) {
    let mut catalog = catalog();
    let object = b"{}\nsigned";
    absorb(&mut catalog, &entry(object), &archive_entry(FULL)).unwrap();
    let archive: ArchiveId = FULL.parse().unwrap();
    let place = catalog
        .know_place(&source().ledger, "file:///second", MARK)
        .unwrap();
    catalog
        .begin_placed(place.id, &archive, Some(StorageClass::Glacier))
        .unwrap();
    catalog
        .place_segments(place.id, &archive, &[(0, "there".to_owned())])
        .unwrap();
    (catalog, archive, place.id)
}

#[test]
fn a_copy_shows_an_archive_once_all_of_it_is_there() {
    let (mut catalog, archive, place) = with_copy();
    let ledger = source().ledger;
    catalog.turn_to(Some(place));
    assert_eq!(catalog.visible(&ledger).unwrap(), []);
    assert_eq!(catalog.lineage(&ledger).unwrap(), []);
    catalog.finish_placed(place, &archive, now()).unwrap();
    let seen = catalog.visible(&ledger).unwrap();
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].storage_class, Some(StorageClass::Glacier));
    assert_eq!(catalog.segments(&archive).unwrap()[0].locator, "there");
    catalog.turn_to(None);
    assert_eq!(catalog.visible(&ledger).unwrap()[0].storage_class, None);
    assert_ne!(catalog.segments(&archive).unwrap()[0].locator, "there");
}

#[test]
fn thaws_and_checks_of_a_copy_and_of_home_are_apart() {
    let (mut catalog, archive, place) = with_copy();
    let ledger = source().ledger;
    catalog.finish_placed(place, &archive, now()).unwrap();
    catalog
        .thaw_requested(&[(archive, 0)], Tier::Bulk, 3, now())
        .unwrap();
    catalog.archive_damaged(&archive, now()).unwrap();
    catalog.turn_to(Some(place));
    assert!(catalog.thaws(&archive).unwrap().is_empty());
    assert_eq!(catalog.archive(&archive).unwrap().unwrap().damaged_at, None);
    catalog
        .thaw_requested(&[(archive, 0)], Tier::Standard, 3, now())
        .unwrap();
    catalog.thaw_running(&[(archive, 0)]).unwrap();
    assert_eq!(
        catalog.thaws(&archive).unwrap()[&0].state,
        ThawState::Thawing
    );
    catalog.archive_verified(&archive, now()).unwrap();
    assert_eq!(
        catalog.archive(&archive).unwrap().unwrap().verified_at,
        Some(now())
    );
    let checks = catalog.verifications(&ledger).unwrap();
    assert_eq!((checks.len(), checks[0].outcome), (1, VerifyOutcome::Sound));
    catalog.turn_to(None);
    assert_eq!(catalog.thaws(&archive).unwrap()[&0].tier, Tier::Bulk);
    let home = catalog.archive(&archive).unwrap().unwrap();
    assert_eq!((home.verified_at, home.damaged_at), (None, Some(now())));
    let checks = catalog.verifications(&ledger).unwrap();
    assert_eq!(
        (checks[0].level, checks[0].outcome),
        (VerifyLevel::Listing, VerifyOutcome::Damaged)
    );
}

#[test]
fn a_copy_that_becomes_home_brings_all_that_is_known_of_it() {
    let (mut catalog, archive, place) = with_copy();
    catalog.finish_placed(place, &archive, now()).unwrap();
    catalog.archive_damaged(&archive, now()).unwrap();
    catalog.turn_to(Some(place));
    catalog.archive_verified(&archive, now()).unwrap();
    catalog.turn_to(None);
    catalog.make_home(place, now()).unwrap();
    let row = catalog.source(&source().name).unwrap().unwrap();
    assert_eq!(row.store, "file:///second");
    let home = catalog.archive(&archive).unwrap().unwrap();
    assert_eq!((home.verified_at, home.damaged_at), (Some(now()), None));
    assert_eq!(home.storage_class, Some(StorageClass::Glacier));
    assert_eq!(catalog.segments(&archive).unwrap()[0].locator, "there");
    assert_eq!(catalog.places(&row.ledger).unwrap(), []);
    // What the copy never had is not there any more.
    let (mut catalog, archive, place) = with_copy();
    catalog.make_home(place, now()).unwrap();
    assert_eq!(
        catalog.archive(&archive).unwrap().unwrap().damaged_at,
        Some(now())
    );
}

#[test]
fn a_place_with_another_marker_is_another_copy() {
    let (mut catalog, archive, place) = with_copy();
    let ledger = source().ledger;
    catalog.finish_placed(place, &archive, now()).unwrap();
    let same = catalog.know_place(&ledger, "file:///second", MARK).unwrap();
    assert_eq!(same.id, place);
    assert_eq!(catalog.placed(same.id).unwrap().len(), 1);
    let other = catalog
        .know_place(&ledger, "file:///second", PlaceId([8; 16]))
        .unwrap();
    assert_eq!(catalog.placed(other.id).unwrap(), []);
    assert_eq!(catalog.places(&ledger).unwrap(), [other]);
}
