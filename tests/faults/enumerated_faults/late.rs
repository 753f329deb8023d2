//! A PUT that its run gave up, and that arrives when the next run is at work.

use std::sync::Arc;

use coldchain::engine::Outcome;
use coldchain::model::Sha256;
use coldchain::store::{NewObject, ObjectKind, Store};

use super::Cases;
use super::archiving::{Scenario, a_full, nothing_is_lost};
use crate::common::faults::{Faults, Mode, Point, without_chance};
use crate::common::lab::Lab;

const PUT: &str = "store: store ";

/// An object on its way.
#[derive(Clone)]
struct Late {
    key: String,
    bytes: Vec<u8>,
}

impl Late {
    fn arrive(&self, store: &impl Store) {
        let sha256 = Sha256::of(&self.bytes);
        let object = NewObject::new(&self.key, self.bytes.clone(), sha256, ObjectKind::Segment);
        store.put_if_absent(&object).unwrap();
    }
}

/// A machine that died over a PUT, and what it sent.
fn given_up(scenario: &Scenario, put: &Point) -> (Lab, Late) {
    let lab = scenario.begin.copy();
    let faults = Faults::at(put, Mode::DiesAfter);
    lab.decide(scenario.date, &scenario.stream, &faults)
        .unwrap_err();
    // It is not there yet.
    let (key, bytes) = lab
        .objects()
        .into_iter()
        .find(|(key, _)| put.name == format!("{PUT}{}", without_chance(key)))
        .unwrap();
    lab.store.delete(&lab.store.locate(&key)).unwrap();
    (lab, Late { key, bytes })
}

#[test]
fn no_put_that_arrives_late_harms_anything() {
    let scenario = a_full();
    let puts = scenario.points().into_iter();
    let puts: Vec<_> = puts.filter(|point| point.name.starts_with(PUT)).collect();
    assert_eq!(
        puts.len(),
        8,
        "signpost, key, segments, contents and entries: {puts:?}"
    );
    let mut cases = Cases::new("a late PUT");
    for put in &puts {
        let (died, late) = given_up(&scenario, put);
        let next = Faults::none();
        died.copy()
            .decide(scenario.date, &scenario.stream, &next)
            .unwrap();
        let points = next.points().into_iter();
        for point in points.filter(|point| point.name.starts_with("store: ")) {
            let case = format!("{put} arrives right before {point} of the next run");
            cases.run(&case, || arrives(&scenario, &died.copy(), &late, &point));
        }
    }
    cases.end();
}

fn arrives(scenario: &Scenario, lab: &Lab, late: &Late, point: &Point) {
    let stored = lab.objects();
    let (store, late) = (Arc::clone(&lab.store), late.clone());
    let faults = Faults::meanwhile(point, move || late.arrive(store.as_ref()));
    let outcome = lab.decide(scenario.date, &scenario.stream, &faults);
    assert!(faults.has_struck(), "it was not reached: {outcome:?}");
    nothing_is_lost(&stored, lab);
    let visible = lab.holds(&scenario.sent());
    match outcome {
        Ok(Outcome::Archived { later: None, .. } | Outcome::NothingDue { .. }) => {
            assert_eq!(visible, scenario.dates_after());
        }
        _ => panic!("it is disturbed: {outcome:?}"),
    }
    scenario.is_made_good(lab);
}
