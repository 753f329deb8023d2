//! Full and incremental archives, resumed ones, and commits that were cut off.

use std::collections::{BTreeMap, BTreeSet};

use chrono::NaiveDate;
use coldchain::config::PruneMode;
use coldchain::engine::Outcome;

use super::enumerate;
use crate::common::faults::{Faults, Mode, Point};
use crate::common::lab::Lab;
use crate::common::rng::Rng;
use crate::common::stream_builder::StreamBuilder;

const FIRST: &str = "2026-01-01";
const SECOND: &str = "2026-01-07";
const FIRST_UUID: [u8; 16] = *b"uuid of the 1st.";
const SECOND_UUID: [u8; 16] = *b"uuid of the 7th.";

/// A stream with one file of so many writes. It repeats itself, so that it is compressed in no time.
fn one_file(head: StreamBuilder, seed: u64, writes: u64) -> StreamBuilder {
    const WRITE: usize = 48 << 10;
    let mut data = Rng::new(seed).text(WRITE);
    (0..writes).fold(head.mkfile(b"a file"), |stream, nth| {
        data[..8].copy_from_slice(&nth.to_le_bytes());
        stream.write(b"a file", nth * WRITE as u64, &data)
    })
}

fn first() -> StreamBuilder {
    StreamBuilder::header(1).subvol(FIRST.as_bytes(), FIRST_UUID, 10)
}

/// Three segments: somewhat more than 8 MiB.
fn full() -> Vec<u8> {
    one_file(first(), 1, 176).finish()
}

/// The same snapshot as another sender prints it: the first segment is the same, the second is not,
/// and there is no third.
fn full_sent_otherwise() -> Vec<u8> {
    let begun = one_file(first(), 1, 120).mkfile(b"another");
    begun.write(b"another", 0, b"reflinks were made").finish()
}

fn incremental() -> Vec<u8> {
    let second = StreamBuilder::header(1);
    let second = second.snapshot(SECOND.as_bytes(), SECOND_UUID, 20, FIRST_UUID, 10);
    one_file(second, 2, 176).finish()
}

/// A run, and the machine on which it begins.
pub(super) struct Scenario {
    name: &'static str,
    pub(super) begin: Lab,
    pub(super) date: &'static str,
    pub(super) stream: Vec<u8>,
    /// The segments of a full that it has to store: the others are stored already.
    stores: &'static [usize],
    /// What was archived before it.
    before: Vec<(&'static str, Vec<u8>)>,
}

impl Scenario {
    /// What was sent of each date.
    pub(super) fn sent(&self) -> BTreeMap<&str, &[u8]> {
        let before = self.before.iter();
        before
            .map(|(date, stream)| (*date, stream.as_slice()))
            .chain([(self.date, self.stream.as_slice())])
            .collect()
    }

    fn dates_before(&self) -> BTreeSet<NaiveDate> {
        let dates = self.before.iter().map(|(date, _)| *date);
        dates.map(|date| date.parse().unwrap()).collect()
    }

    pub(super) fn dates_after(&self) -> BTreeSet<NaiveDate> {
        let mut dates = self.dates_before();
        dates.insert(self.date.parse().unwrap());
        dates
    }

    /// Every operation of the run, if nothing is struck.
    pub(super) fn points(&self) -> Vec<Point> {
        let lab = self.begin.copy();
        let faults = Faults::none();
        lab.decide(self.date, &self.stream, &faults).unwrap();
        assert_eq!(lab.holds(&self.sent()), self.dates_after());
        let points = faults.points();
        let stored = |nth: &usize| {
            let segment = format!("-full-*/{nth:06}-");
            let is_put = |name: &str| name.starts_with("store: store ") && name.contains(&segment);
            points.iter().any(|point| is_put(&point.name))
        };
        let stored: Vec<usize> = (0..4).filter(stored).collect();
        assert_eq!(stored, self.stores, "segments that the run stores");
        points
    }

    /// Strikes one operation of the run, and sees what is left of it and what the next runs make
    /// of that.
    fn strike(&self, point: &Point, mode: Mode) {
        let lab = self.begin.copy();
        let stored = lab.objects();
        let faults = Faults::at(point, mode);
        let outcome = lab.decide(self.date, &self.stream, &faults);
        assert!(faults.has_struck(), "it was not reached: {outcome:?}");

        // At this point, as at any.
        let visible = lab.holds(&self.sent());
        nothing_is_lost(&stored, &lab);
        assert!(
            visible.is_superset(&self.dates_before()),
            "visible is {visible:?}"
        );
        match &outcome {
            Err(_) => {}
            Ok(Outcome::Archived { later: Some(_), .. }) => {
                assert_eq!(visible, self.dates_after(), "it reports success");
            }
            Ok(_) => panic!("it says nothing of the fault: {outcome:?}"),
        }

        self.is_made_good(&lab);
    }

    /// Nothing is struck any more: one run is enough, and the one after it changes nothing.
    pub(super) fn is_made_good(&self, lab: &Lab) {
        let stored = lab.objects();
        let outcome = lab.decide(self.date, &self.stream, &Faults::none());
        match &outcome {
            Ok(Outcome::Archived { later: None, .. } | Outcome::NothingDue { .. }) => {}
            _ => panic!("the next run does not make it good: {outcome:?}"),
        }
        assert_eq!(lab.holds(&self.sent()), self.dates_after());
        nothing_is_lost(&stored, lab);
        lab.can_be_rebuilt();
        lab.all_are_verified();

        let stored = lab.objects();
        let outcome = lab.decide(self.date, &self.stream, &Faults::none());
        assert!(
            matches!(outcome, Ok(Outcome::NothingDue { .. })),
            "{outcome:?}"
        );
        assert!(lab.objects() == stored, "a run with nothing due wrote");
        lab.can_be_rebuilt();
    }
}

/// Panics if an object is gone or has other bytes than before.
pub(super) fn nothing_is_lost(before: &BTreeMap<String, Vec<u8>>, lab: &Lab) {
    let now = lab.objects();
    for (key, bytes) in before {
        assert!(now.get(key) == Some(bytes), "{key} is not what it was");
    }
}

fn enumerate_archiving(scenario: &Scenario) {
    enumerate(scenario.name, &scenario.points(), |point, mode| {
        scenario.strike(point, mode);
    });
}

/// The run up to where it was cut off.
fn cut_off(lab: &Lab, at: &str, mode: Mode) {
    let copy = lab.copy();
    let faults = Faults::none();
    copy.decide(FIRST, &full(), &faults).unwrap();
    let points = faults.points();
    let point = points
        .iter()
        .find(|point| point.name.starts_with(at))
        .unwrap_or_else(|| panic!("no {at} in {points:#?}"));
    lab.decide(FIRST, &full(), &Faults::at(point, mode))
        .unwrap_err();
}

/// A machine that leaves prunes to another: what follows an archive is enumerated with the incremental and the commits.
fn without_prunes() -> Lab {
    let mut lab = Lab::new();
    lab.config.prune = PruneMode::Elsewhere;
    lab
}

pub(super) fn a_full() -> Scenario {
    Scenario {
        name: "a full archive",
        begin: without_prunes(),
        date: FIRST,
        stream: full(),
        stores: &[0, 1, 2],
        before: Vec::new(),
    }
}

fn an_incremental() -> Scenario {
    let begin = Lab::new();
    begin.decide(FIRST, &full(), &Faults::none()).unwrap();
    Scenario {
        name: "an incremental archive",
        begin,
        date: SECOND,
        stream: incremental(),
        stores: &[],
        before: vec![(FIRST, full())],
    }
}

/// A full that was cut off at an operation.
fn after(
    begin: Lab,
    (name, at): (&'static str, &str),
    mode: Mode,
    stores: &'static [usize],
) -> Scenario {
    cut_off(&begin, at, mode);
    Scenario {
        name,
        begin,
        stores,
        ..a_full()
    }
}

fn a_resume() -> Scenario {
    after(
        without_prunes(),
        (
            "a resumed archive",
            "store: store home/archives/2026-01-01-full-*/000001-",
        ),
        Mode::DiesBefore,
        &[1, 2],
    )
}

fn a_resume_by_another_stream() -> Scenario {
    let begun = after(
        without_prunes(),
        (
            "an archive resumed by another stream",
            "store: list home/archives/2026-01-01-full-*/",
        ),
        Mode::DiesBefore,
        &[1],
    );
    Scenario {
        stream: full_sent_otherwise(),
        ..begun
    }
}

/// The archive's entry is in the store, but its answer never came.
fn an_unanswered_commit() -> Scenario {
    after(
        Lab::new(),
        (
            "a commit whose answer was lost",
            "store: store home/ledger/00000002.entry",
        ),
        Mode::DiesAfter,
        &[],
    )
}

/// The archive's entry is signed, but not in the store.
fn a_commit_that_was_not_sent() -> Scenario {
    after(
        Lab::new(),
        (
            "a commit that was not sent",
            "store: store home/ledger/00000002.entry",
        ),
        Mode::DiesBefore,
        &[],
    )
}

#[test]
fn no_fault_in_a_full_archive_loses_anything() {
    enumerate_archiving(&a_full());
}

#[test]
fn no_fault_in_an_incremental_archive_loses_anything() {
    enumerate_archiving(&an_incremental());
}

#[test]
fn no_fault_in_a_resumed_archive_loses_anything() {
    enumerate_archiving(&a_resume());
}

#[test]
fn no_fault_in_an_archive_resumed_by_another_stream_loses_anything() {
    enumerate_archiving(&a_resume_by_another_stream());
}

#[test]
fn no_fault_after_a_commit_whose_answer_was_lost_loses_anything() {
    enumerate_archiving(&an_unanswered_commit());
}

#[test]
fn no_fault_after_a_commit_that_was_not_sent_loses_anything() {
    enumerate_archiving(&a_commit_that_was_not_sent());
}

#[test]
fn the_faults_in_archives_are_500_and_more() {
    let scenarios = [
        a_full(),
        an_incremental(),
        a_resume(),
        a_resume_by_another_stream(),
        an_unanswered_commit(),
        a_commit_that_was_not_sent(),
    ];
    let operations: usize = scenarios
        .iter()
        .map(|scenario| scenario.points().len())
        .sum();
    let faults = operations * Mode::ALL.len();
    println!("archives: {operations} operations, {faults} faults");
    assert!(faults >= 500);
}
