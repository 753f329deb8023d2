use super::*;

#[test]
fn a_thaw_is_remembered_from_the_request_to_the_end() {
    let (mut catalog, id) = with_segments(3);
    let later: Timestamp = "2026-11-29T00:00:00Z".parse().unwrap();
    let expected = |state, readable_until| ThawRow {
        tier: Tier::Bulk,
        days: 7,
        state,
        asked_at: now(),
        readable_until,
    };
    assert!(catalog.thaws(&id).unwrap().is_empty());
    catalog
        .thaw_requested(&[(id, 0), (id, 2)], Tier::Bulk, 7, now())
        .unwrap();
    let thaws = catalog.thaws(&id).unwrap();
    assert_eq!(thaws.keys().copied().collect::<Vec<_>>(), [0, 2]);
    assert_eq!(thaws[&0], expected(ThawState::Requested, None));
    catalog.thaw_running(&[(id, 0)]).unwrap();
    catalog.thaw_readable(&[(id, 2, later)]).unwrap();
    let thaws = catalog.thaws(&id).unwrap();
    assert_eq!(thaws[&0], expected(ThawState::Thawing, None));
    assert_eq!(thaws[&2], expected(ThawState::Readable, Some(later)));
    catalog.thaw_fetched(&id).unwrap();
    catalog.thaw_readable(&[(id, 2, later)]).unwrap();
    let thaws = catalog.thaws(&id).unwrap();
    assert_eq!(thaws[&2], expected(ThawState::Fetched, Some(later)));
    // Requested again: the earlier request does not count any more.
    catalog
        .thaw_requested(&[(id, 2)], Tier::Bulk, 7, now())
        .unwrap();
    let thaws = catalog.thaws(&id).unwrap();
    assert_eq!(thaws[&2], expected(ThawState::Requested, None));
}

#[test]
fn what_was_not_asked_for_here_gets_no_row_and_leaves_with_its_segment() {
    let (mut catalog, id) = with_segments(1);
    catalog.thaw_running(&[(id, 0)]).unwrap();
    catalog.thaw_readable(&[(id, 0, now())]).unwrap();
    assert!(catalog.thaws(&id).unwrap().is_empty());
    let no_such = catalog.thaw_requested(&[(id, 1)], Tier::Bulk, 7, now());
    assert!(no_such.is_err());
    catalog
        .thaw_requested(&[(id, 0)], Tier::Bulk, 7, now())
        .unwrap();
    catalog
        .segment_sealed(
            &id,
            0,
            &segment(),
            (&Blake3([6; 32]), b"layout"),
            "elsewhere",
        )
        .unwrap();
    assert!(catalog.thaws(&id).unwrap().is_empty());
}

#[test]
fn an_archive_can_be_read_until_the_first_of_its_segments_is_cold_again() {
    let (mut catalog, id) = with_segments(2);
    let [sooner, later]: [Timestamp; 2] =
        ["2026-11-29T00:00:00Z", "2026-11-30T00:00:00Z"].map(|time| time.parse().unwrap());
    assert_eq!(catalog.thawed_until(None, &id).unwrap(), None);
    catalog
        .thaw_requested(&[(id, 0), (id, 1)], Tier::Bulk, 7, now())
        .unwrap();
    catalog.thaw_readable(&[(id, 1, later)]).unwrap();
    assert_eq!(catalog.thawed_until(None, &id).unwrap(), None);
    catalog.thaw_readable(&[(id, 0, sooner)]).unwrap();
    assert_eq!(catalog.thawed_until(None, &id).unwrap(), Some(sooner));
    assert_eq!(catalog.thawed_until(Some(7), &id).unwrap(), None);
}
