//! Contents that archives get later, from their segments.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use coldchain::engine::{AtOnce, ContentsRequest, bring_index_up_to_date, make_contents};
use coldchain::error::Error;
use coldchain::ledger::{decode_body, split};
use coldchain::model::ArchiveId;
use coldchain::model::entry::EntryKind;
use coldchain::model::{Sha256, keys};

use super::archiving::nothing_is_lost;
use super::enumerate;
use crate::common::faults::{Faults, Mode, Point};
use crate::common::lab::{Lab, SOURCE};
use crate::common::two_chains::{OLD, prune, stream_of};

/// A machine with two archives that have no contents.
fn archived() -> Lab {
    let mut lab = Lab::new();
    lab.config.sources[0].contents = false;
    let [full, incremental] = OLD;
    for (date, parent) in [(full, None), (incremental, Some(full))] {
        lab.decide(date, &stream_of(date, parent), &Faults::none())
            .unwrap();
    }
    lab
}

/// Makes contents for all archives without. Returns for how many.
fn make(lab: &Lab, faults: &Arc<Faults>) -> Result<usize, Error> {
    let identities = lab.identities();
    lab.in_context(faults, |context| {
        let request = ContentsRequest {
            dates: &[],
            thaw: None,
            at_once: AtOnce {
                asked_for: 2,
                memory_limit: lab.config.memory_limit,
            },
            identities: (&identities, "the identity"),
        };
        let made = make_contents(&lab.config, &lab.config.sources[0], request, context)?;
        match made.failed {
            Some(error) => Err(error),
            None => Ok(made.made.len()),
        }
    })
}

/// How many contents each archive has in the ledger. Their objects are all there, as they were signed.
fn attached(lab: &Lab) -> BTreeMap<ArchiveId, usize> {
    let mut attached = BTreeMap::new();
    for (archive, _) in attached_objects(lab) {
        *attached.entry(archive).or_insert(0) += 1;
    }
    attached
}

/// Of each attached contents the archive, and the keys of the objects.
fn attached_objects(lab: &Lab) -> Vec<(ArchiveId, Vec<String>)> {
    let objects = lab.objects();
    let mut attached = Vec::new();
    let entries = objects
        .iter()
        .filter(|(key, _)| key.strip_suffix(".entry").is_some());
    for (_, entry) in entries {
        let EntryKind::Attach(entry) = decode_body(split(entry).unwrap().0).unwrap().kind else {
            continue;
        };
        for attachment in entry.objects {
            let contents = attachment.contents.expect("nothing else is attached");
            let keys = (0..).zip(&contents.objects).map(|(index, record)| {
                let key = keys::contents(SOURCE, &attachment.archive, index, &record.sha256);
                assert_eq!(Sha256::of(&objects[&key]), record.sha256, "{key}");
                key
            });
            attached.push((attachment.archive, keys.collect()));
        }
    }
    attached
}

/// The objects of contents that no entry names.
fn orphaned(lab: &Lab) -> BTreeSet<String> {
    let attached = attached_objects(lab);
    let named: BTreeSet<&String> = attached.iter().flat_map(|(_, keys)| keys).collect();
    let objects = lab.objects().into_keys();
    objects
        .filter(|key| key.contains("/contents-") && !named.contains(key))
        .collect()
}

/// Prunes a week later: what no entry names goes, and nothing else does. Returns whether there was any.
fn prune_removes_what_no_entry_names(lab: &Lab) -> bool {
    let orphans = orphaned(lab);
    if orphans.is_empty() {
        return false;
    }
    let mut expected = lab.objects();
    expected.retain(|key, _| !orphans.contains(key));
    prune(lab, 8, &Faults::none()).unwrap();
    assert!(lab.objects() == expected, "not only {orphans:?} is gone");
    true
}

#[test]
fn no_fault_while_contents_are_made_loses_anything_and_each_archive_gets_them_once() {
    let begin = archived();
    let faults = Faults::none();
    assert_eq!(make(&begin.copy(), &faults).unwrap(), 2);
    let points: Vec<Point> = faults.points();
    let puts = points
        .iter()
        .filter(|it| it.name.starts_with("store: store"));
    assert!(
        puts.count() >= 4,
        "two objects and two entries: {points:#?}"
    );
    let streams = [
        (OLD[0], stream_of(OLD[0], None)),
        (OLD[1], stream_of(OLD[1], Some(OLD[0]))),
    ];
    let sent: BTreeMap<&str, &[u8]> = (streams.iter())
        .map(|(date, stream)| (*date, stream.as_slice()))
        .collect();
    let pruned = Cell::new(0);
    enumerate("making contents", &points, |point, mode: Mode| {
        let lab = begin.copy();
        let stored = lab.objects();
        let struck = make(&lab, &Faults::at(point, mode));
        nothing_is_lost(&stored, &lab);
        let so_far = attached(&lab);
        assert!(so_far.values().all(|count| *count == 1), "{so_far:?}");
        if struck.is_ok() {
            assert_eq!(so_far.len(), 2, "it reports success");
        }
        make(&lab, &Faults::none()).unwrap();
        nothing_is_lost(&stored, &lab);
        let all = attached(&lab);
        assert_eq!(all.into_values().collect::<Vec<_>>(), [1, 1]);
        assert_eq!(lab.holds(&sent).len(), 2);
        lab.can_be_rebuilt();
        let done = lab.objects();
        assert_eq!(make(&lab, &Faults::none()).unwrap(), 0);
        assert!(lab.objects() == done, "a third run changes something");
        if prune_removes_what_no_entry_names(&lab) {
            pruned.set(pruned.get() + 1);
        }
        // Last, because it makes a directory that a copy of the machine would not have.
        let (identities, catalog) = (lab.identities(), lab.catalog());
        let indexed = lab.in_context(&Faults::none(), |context| {
            let with = (&identities, "the identity");
            bring_index_up_to_date(&lab.config, &lab.config.sources[0], with, &catalog, context)
        });
        let indexed = indexed.unwrap();
        assert_eq!((indexed.loaded.len(), indexed.missing.len()), (2, 0));
    });
    assert!(
        pruned.get() > 0,
        "no fault left an object that no entry names"
    );
}
