//! Contents: a backup fails with them, and lost ones are made again.

use std::collections::BTreeMap;
use std::sync::Arc;

use coldchain::engine::{AtOnce, ContentsRequest, make_contents};
use coldchain::error::Error;
use coldchain::store::Store;

use super::archiving::nothing_is_lost;
use super::enumerate;
use crate::common::faults::{Faults, Mode};
use crate::common::lab::Lab;
use crate::common::stream_builder::StreamBuilder;
use crate::common::two_chains::date;

const DATE: &str = "2026-01-01";

fn stream() -> Vec<u8> {
    StreamBuilder::header(1)
        .subvol(DATE.as_bytes(), *b"uuid of the 1st.", 10)
        .mkfile(b"a file")
        .write(b"a file", 0, b"some")
        .finish()
}

fn lab(contents: bool) -> Lab {
    let mut lab = Lab::new();
    lab.config.sources[0].contents = contents;
    lab
}

fn archived(contents: bool) -> Lab {
    let lab = lab(contents);
    lab.decide(DATE, &stream(), &Faults::none()).unwrap();
    lab
}

fn contents(lab: &Lab) -> Vec<String> {
    let objects = lab.objects().into_keys();
    objects.filter(|key| key.contains("/contents-")).collect()
}

/// `coldchain index home`: how many archives got contents.
fn index(lab: &Lab, faults: &Arc<Faults>) -> Result<usize, Error> {
    let identities = lab.identities();
    let source = &lab.config.sources[0];
    lab.in_context(faults, |context| {
        let request = ContentsRequest {
            dates: &[],
            thaw: None,
            at_once: AtOnce {
                asked_for: 1,
                memory_limit: lab.config.memory_limit,
            },
            identities: (&identities, "the identity"),
        };
        let made = make_contents(&lab.config, source, request, context)?;
        match made.failed {
            Some(error) => Err(error),
            None => Ok(made.made.len()),
        }
    })
}

#[test]
fn no_fault_while_lost_contents_are_made_again_loses_or_doubles_anything() {
    let begin = archived(true);
    for key in contents(&begin) {
        begin.store.delete(&begin.store.locate(&key)).unwrap();
    }
    let faults = Faults::none();
    assert_eq!(index(&begin.copy(), &faults).unwrap(), 1);
    enumerate("lost contents", &faults.points(), |point, mode: Mode| {
        let lab = begin.copy();
        let stored = lab.objects();
        let outcome = index(&lab, &Faults::at(point, mode));
        assert!(
            outcome.is_err(),
            "it says nothing of the fault: {outcome:?}"
        );
        nothing_is_lost(&stored, &lab);
        assert!(index(&lab, &Faults::none()).unwrap() <= 1);
        nothing_is_lost(&stored, &lab);
        assert!(!contents(&lab).is_empty());
        lab.can_be_rebuilt();
        let done = lab.objects();
        assert_eq!(index(&lab, &Faults::none()).unwrap(), 0);
        assert!(lab.objects() == done, "a run with nothing to do wrote");
    });
}

#[test]
fn an_archive_whose_contents_can_not_be_stored_fails_and_the_next_run_continues_it() {
    let lab = lab(true);
    let stream = stream();
    let sent = BTreeMap::from([(DATE, stream.as_slice())]);
    let refused = Faults::by_rule(|_, name| {
        let is_put = name.starts_with("store: store ") && name.contains("/contents-");
        is_put.then_some(Mode::Fails)
    });
    lab.decide(DATE, &stream, &refused).unwrap_err();
    assert!(lab.holds(&sent).is_empty());
    assert_eq!(contents(&lab), [""; 0]);
    let segments = |lab: &Lab| -> Vec<String> {
        let objects = lab.objects().into_keys();
        objects
            .filter(|key| crate::common::is_segment(key))
            .collect()
    };
    let stored = segments(&lab);
    assert_eq!(stored.len(), 1, "the segment was stored before");
    lab.decide(DATE, &stream, &Faults::none()).unwrap();
    assert_eq!(segments(&lab), stored);
    assert_eq!(contents(&lab).len(), 1);
    assert_eq!(lab.holds(&sent), [date(DATE)].into());
    lab.can_be_rebuilt();
}

#[test]
fn a_run_that_dies_after_it_has_stored_contents_is_continued() {
    let lab = lab(true);
    let stream = stream();
    let unanswered = Faults::by_rule(|_, name| {
        let is_put = name.starts_with("store: store ") && name.contains("/contents-");
        is_put.then_some(Mode::DiesAfter)
    });
    lab.decide(DATE, &stream, &unanswered).unwrap_err();
    lab.decide(DATE, &stream, &Faults::none()).unwrap();
    let sent = BTreeMap::from([(DATE, stream.as_slice())]);
    assert_eq!(lab.holds(&sent), [date(DATE)].into());
    lab.can_be_rebuilt();
}
