//! Archives into a vault, with every operation struck in every way: nothing is lost, no entry names what is not there,
//! and what a lost answer left is found by an inventory and removed.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{NaiveDate, TimeDelta, Utc};
use coldchain::config::PruneMode;
use coldchain::engine::Outcome;

use crate::common::enumerate::Cases;
use crate::common::faults::{Faults, Mode, Point};
use crate::common::lab::{Lab, SOURCE, archive_entries};
use crate::common::rng::Rng;
use crate::common::stream_builder::StreamBuilder;
use crate::common::two_chains::prune;

const FIRST: &str = "2026-01-01";
const SECOND: &str = "2026-01-07";
const FIRST_UUID: [u8; 16] = *b"uuid of the 1st.";
const SECOND_UUID: [u8; 16] = *b"uuid of the 7th.";

/// A stream with one file of so many writes.
fn one_file(head: StreamBuilder, seed: u64, writes: u64) -> Vec<u8> {
    const WRITE: usize = 48 << 10;
    let mut data = Rng::new(seed).text(WRITE);
    let written = (0..writes).fold(head.mkfile(b"a file"), |stream, nth| {
        data[..8].copy_from_slice(&nth.to_le_bytes());
        stream.write(b"a file", nth * WRITE as u64, &data)
    });
    written.finish()
}

/// Two segments: somewhat more than 4 MiB.
fn full() -> Vec<u8> {
    let head = StreamBuilder::header(1).subvol(FIRST.as_bytes(), FIRST_UUID, 10);
    one_file(head, 1, 90)
}

/// One segment.
fn incremental() -> Vec<u8> {
    let head = StreamBuilder::header(1);
    let head = head.snapshot(SECOND.as_bytes(), SECOND_UUID, 20, FIRST_UUID, 10);
    one_file(head, 2, 1)
}

/// A run, and the machine on which it begins.
struct Scenario {
    begin: Lab,
    date: &'static str,
    stream: Vec<u8>,
    before: Vec<(&'static str, Vec<u8>)>,
}

impl Scenario {
    fn sent(&self) -> BTreeMap<&str, &[u8]> {
        let before = self.before.iter();
        let before = before.map(|(date, stream)| (*date, stream.as_slice()));
        before
            .chain([(self.date, self.stream.as_slice())])
            .collect()
    }

    fn dates(&self) -> BTreeSet<NaiveDate> {
        self.sent()
            .keys()
            .map(|date| date.parse().unwrap())
            .collect()
    }

    fn points(&self) -> Vec<Point> {
        let lab = self.begin.copy();
        let faults = Faults::none();
        lab.decide(self.date, &self.stream, &faults).unwrap();
        assert_eq!(lab.holds(&self.sent()), self.dates());
        faults.points()
    }

    fn strike(&self, point: &Point, mode: Mode) {
        let lab = self.begin.copy();
        let before = lab.vault.as_ref().unwrap().ids();
        let outcome = lab.decide(self.date, &self.stream, &Faults::at(point, mode));
        let visible = lab.holds(&self.sent());
        assert!(
            lab.vault.as_ref().unwrap().ids().is_superset(&before),
            "something is gone"
        );
        match &outcome {
            Err(_) => {}
            // A list that can't be asked for is a warning.
            Ok(Outcome::Archived { .. }) => assert_eq!(visible, self.dates(), "it reports success"),
            Ok(_) => panic!("it says nothing of the fault: {outcome:?}"),
        }
        let outcome = lab.decide(self.date, &self.stream, &Faults::none());
        match &outcome {
            Ok(Outcome::Archived { later: None, .. } | Outcome::NothingDue { .. }) => {}
            _ => panic!("the next run does not make it good: {outcome:?}"),
        }
        assert_eq!(lab.holds(&self.sent()), self.dates());
        lab.can_be_rebuilt();
        verified_by_the_inventory_alone(&lab, self);
        only_what_is_named_is_left(&lab);
        assert_eq!(lab.holds(&self.sent()), self.dates());
    }
}

/// Strikes every operation, and those on segments in every way. The others fail as they do in any store, which the
/// enumerated faults of those cover.
fn strike_all(of: &'static str, scenario: &Scenario, points: &[Point]) {
    let mut cases = Cases::new(of);
    for point in points {
        let is_segment = point.name.contains("/00000");
        for (nth, mode) in Mode::ALL.into_iter().enumerate() {
            if is_segment || point.number % Mode::ALL.len() == nth {
                cases.run(&format!("{point}: {mode}"), || scenario.strike(point, mode));
            }
        }
    }
    cases.end();
}

/// Panics unless the archives are unverified until an inventory shows them.
fn verified_by_the_inventory_alone(lab: &Lab, scenario: &Scenario) {
    let unverified = || {
        let catalog = lab.catalog();
        let row = catalog.source(&SOURCE.parse().unwrap()).unwrap().unwrap();
        let archives = catalog.archives(&row.ledger).unwrap();
        archives
            .iter()
            .filter(|row| row.is_visible() && row.verified_at.is_none())
            .count()
    };
    assert_eq!(
        unverified(),
        scenario.dates().len(),
        "no inventory was made yet"
    );
    let vault = lab.vault.as_ref().unwrap();
    lab.store.set_now(Utc::now() + TimeDelta::hours(20));
    vault.read_inventory();
    lab.decide(scenario.date, &scenario.stream, &Faults::none())
        .unwrap();
    lab.all_are_verified();
}

/// Panics unless a prune some days later leaves exactly those archives in the vault that entries name.
fn only_what_is_named_is_left(lab: &Lab) {
    let vault = lab.vault.as_ref().unwrap();
    let foreign = vault.plant(b"another program's");
    lab.store.set_now(Utc::now() + TimeDelta::days(8));
    vault.read_inventory();
    prune(lab, 8, &Faults::none()).unwrap();
    let mut named = named(lab);
    named.insert(foreign);
    assert_eq!(vault.ids(), named);
}

/// The ids that entries name.
fn named(lab: &Lab) -> BTreeSet<String> {
    let mut catalog = lab.catalog();
    let row = catalog.source(&SOURCE.parse().unwrap()).unwrap().unwrap();
    let entries = archive_entries(&mut catalog, row.ledger);
    let places = entries.iter().flat_map(|entry| &entry.vault);
    let segments = places.flat_map(|place| &place.segments);
    segments.map(|segment| segment.id.to_string()).collect()
}

/// A machine that leaves prunes to another.
fn machine() -> Lab {
    let mut lab = Lab::with_vault();
    lab.config.prune = PruneMode::Elsewhere;
    lab
}

fn a_full() -> Scenario {
    Scenario {
        begin: machine(),
        date: FIRST,
        stream: full(),
        before: Vec::new(),
    }
}

#[test]
fn no_fault_in_a_full_into_a_vault_loses_anything() {
    let scenario = a_full();
    let points = scenario.points();
    let uploads = points
        .iter()
        .filter(|point| point.name.contains("/000001-"));
    assert!(uploads.count() >= 1, "it has two segments: {points:#?}");
    strike_all("a full into a vault", &scenario, &points);
}

#[test]
fn no_fault_in_an_incremental_into_a_vault_loses_anything() {
    let begin = machine();
    begin.decide(FIRST, &full(), &Faults::none()).unwrap();
    let scenario = Scenario {
        begin,
        date: SECOND,
        stream: incremental(),
        before: vec![(FIRST, full())],
    };
    strike_all("an incremental into a vault", &scenario, &scenario.points());
}

#[test]
fn no_fault_in_a_resumed_archive_in_a_vault_loses_anything() {
    let begun = a_full();
    let points = begun.points();
    let second =
        |point: &&Point| point.name.starts_with("store: store ") && point.name.contains("/000001-");
    // It is in the vault, and no row names it.
    let cut = points.iter().find(second).unwrap();
    begun
        .begin
        .decide(FIRST, &full(), &Faults::at(cut, Mode::DiesAfter))
        .unwrap_err();
    assert_eq!(begun.begin.vault.as_ref().unwrap().ids().len(), 2);
    strike_all("a resumed archive in a vault", &begun, &begun.points());
}

#[test]
fn what_an_inventory_shows_of_a_lost_answer_is_not_uploaded_again() {
    let scenario = a_full();
    let points = scenario.points();
    let second =
        |point: &&Point| point.name.starts_with("store: store ") && point.name.contains("/000001-");
    let cut = points.iter().find(second).unwrap();
    let lab = scenario.begin;
    lab.decide(FIRST, &full(), &Faults::at(cut, Mode::DiesAfter))
        .unwrap_err();
    let vault = lab.vault.as_ref().unwrap();
    let before = vault.ids();
    vault.read_inventory();
    lab.decide(FIRST, &full(), &Faults::none()).unwrap();
    assert_eq!(vault.ids(), before);
    assert_eq!(named(&lab), before);
}
