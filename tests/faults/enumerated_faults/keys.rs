//! Entries about keys: a further recipient for what is archived, and other keys that may sign.

use std::collections::BTreeMap;
use std::sync::Arc;

use coldchain::engine::{Attach, KeyChange, attach_recipient, rotate};
use coldchain::error::Error;
use coldchain::ledger::SigningKey;
use coldchain::model::entry::Role;
use coldchain::seal::{Recipients, generate_identity};

use super::archiving::nothing_is_lost;
use super::enumerate;
use crate::common::faults::{Faults, Mode, Point};
use crate::common::lab::Lab;
use crate::common::stream_builder::StreamBuilder;

const DATE: &str = "2026-01-01";

fn stream() -> Vec<u8> {
    StreamBuilder::header(1)
        .subvol(DATE.as_bytes(), *b"uuid of the 1st.", 10)
        .mkfile(b"a file")
        .finish()
}

fn archived() -> Lab {
    let lab = Lab::new();
    lab.decide(DATE, &stream(), &Faults::none()).unwrap();
    lab
}

/// Strikes every operation of a change to the ledger, which one further run must bring to its end.
fn enumerate_change(of: &'static str, change: impl Fn(&Lab, &Arc<Faults>) -> Result<bool, Error>) {
    let begin = archived();
    let faults = Faults::none();
    assert!(
        change(&begin.copy(), &faults).unwrap(),
        "it changes something"
    );
    let points: Vec<Point> = faults.points();
    enumerate(of, &points, |point, mode: Mode| {
        let lab = begin.copy();
        let stored = lab.objects();
        let faults = Faults::at(point, mode);
        let outcome = change(&lab, &faults);
        assert!(faults.has_struck(), "it was not reached: {outcome:?}");
        assert!(
            outcome.is_err(),
            "it says nothing of the fault: {outcome:?}"
        );
        nothing_is_lost(&stored, &lab);

        change(&lab, &Faults::none()).unwrap();
        nothing_is_lost(&stored, &lab);
        let stream = stream();
        let sent = BTreeMap::from([(DATE, stream.as_slice())]);
        assert_eq!(lab.holds(&sent).len(), 1);
        lab.can_be_rebuilt();
        let done = lab.objects();
        assert_eq!(done.len(), stored.len() + 1, "one entry, and nothing else");
        assert!(
            !change(&lab, &Faults::none()).unwrap(),
            "nothing is left to do"
        );
        assert!(lab.objects() == done, "a run with nothing to do wrote");
    });
}

#[test]
fn no_fault_while_a_recipient_is_added_loses_or_doubles_anything() {
    let (_, recipient) = generate_identity();
    let recipient = Recipients::parse(&[recipient]).unwrap();
    enumerate_change("a further recipient", |lab, faults| {
        let with = (&lab.identities(), "the identity");
        let source = &lab.config.sources[0];
        lab.in_context(faults, |context| {
            let done = attach_recipient(
                &lab.config,
                source,
                (&recipient, Attach::WhereMissing),
                with,
                context,
            )?;
            assert_eq!(done.attached + done.already, 1);
            Ok(done.attached == 1)
        })
    });
}

#[test]
fn no_fault_while_keys_are_changed_loses_or_doubles_anything() {
    let key = SigningKey::generate().unwrap().public();
    let change = KeyChange {
        add: vec![(key, vec![Role::Pruner])],
        ..KeyChange::default()
    };
    enumerate_change("other keys", |lab, faults| {
        let root = lab.root();
        let source = &lab.config.sources[0];
        lab.in_context(faults, |context| {
            let rotated = rotate(&lab.config, source, &change, &root, context)?;
            assert_eq!(rotated.keys.len(), 3);
            Ok(rotated.entry.is_some())
        })
    });
}
