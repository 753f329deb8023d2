//! A copy that is cut off before and after each operation on a store or the catalog: run again, it is whole, and home
//! is as it was.

use std::sync::Arc;

use coldchain::engine::CopyRequest;
use coldchain::store::{DirStore, MemoryStore, Store};

use super::pair::{Pair, archived, objects};
use crate::common::bucket::OwnBucket;
use crate::common::enumerate::strikes;
use crate::common::faults::{Faults, Mode, Point};
use crate::common::lab::Lab;
use crate::common::s3_server::S3Server;

/// What a copy between two stores does, operation by operation.
fn points(pair: &Pair) -> Vec<Point> {
    let faults = Faults::none();
    let home = objects(pair.home.as_ref());
    let ran = pair.copy(CopyRequest::default(), &faults).unwrap();
    assert_eq!((ran.copied.len(), ran.has, ran.of), (3, 3, 3));
    assert!(ran.stopped.is_none() && ran.awaited.is_none());
    pair.is_whole(&home);
    faults.points()
}

/// Whether a segment that could not be read at home is read once more.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reads {
    Once,
    /// A directory or a bucket stores a segment while it is read, in pieces. If that fails, the segment is read as a
    /// whole.
    Twice,
}

/// Strikes one operation, and ends the copy with the next run.
fn strike(pair: &Pair, point: &Point, mode: Mode, reads: Reads) {
    let home = objects(pair.home.as_ref());
    let faults = Faults::at(point, mode);
    let struck = pair.copy(CopyRequest::default(), &faults);
    pair.is_right_so_far(&home);
    // Segments are copied side by side, so an operation may come later than it did, or under another number.
    let is_read_again = reads == Reads::Twice
        && mode == Mode::Fails
        && point.name.starts_with("store: read")
        && point.name.contains(".zst.");
    if faults.has_struck() && mode != Mode::LosesItsAnswer && !is_read_again {
        let whole = struck.is_ok_and(|ran| ran.stopped.is_none() && ran.unpruned.is_none());
        assert!(!whole, "{point}: {mode}: it reported success");
    }
    let again = pair.copy(CopyRequest::default(), &Faults::none()).unwrap();
    assert!(
        again.stopped.is_none(),
        "{point}: {mode}: {:?}",
        again.stopped
    );
    assert_eq!((again.has, again.of), (3, 3), "{point}: {mode}");
    pair.is_whole(&home);
    assert!(
        objects(pair.home.as_ref()) == home,
        "{point}: {mode}: home has changed"
    );
    // And once more: nothing is left to do.
    let nothing = pair.copy(CopyRequest::default(), &Faults::none()).unwrap();
    assert_eq!(
        (nothing.copied.len(), nothing.entries),
        (0, 0),
        "{point}: {mode}"
    );
}

#[test]
fn in_memory_every_operation_is_struck() {
    let lab = archived();
    let points = points(&Pair::in_memory(&lab));
    println!("{} operations", points.len());
    for (point, mode) in strikes(&points) {
        strike(&Pair::in_memory(&lab), point, mode, Reads::Once);
    }
}

/// A store of one kind, with what keeps it there.
type Made = (Arc<dyn Store>, Box<dyn std::any::Any>);

fn memory() -> Made {
    (Arc::new(MemoryStore::default()), Box::new(()))
}

fn directory() -> Made {
    let directory = tempfile::tempdir().unwrap();
    let store = DirStore::open(directory.path()).unwrap();
    (Arc::new(store), Box::new(directory))
}

fn bucket() -> Made {
    let bucket = OwnBucket::new(S3Server::new());
    let store = bucket.store();
    (Arc::new(store), Box::new(bucket))
}

/// How to make a store, how a client reads it, and at which operations of it to strike.
type Kind = (fn() -> Made, Reads, usize);

/// Strikes every `step`-th operation of a copy from one kind of store to another.
fn between(lab: &Lab, home: fn() -> Made, second: fn() -> Made, reads: Reads, step: usize) {
    let pair = |(home, second): (&Made, &Made)| {
        Pair::new(lab.copy(), Some(Arc::clone(&home.0)), Arc::clone(&second.0))
    };
    let (from, to) = (home(), second());
    let points = points(&pair((&from, &to)));
    for (nth, point) in points.iter().enumerate().step_by(step) {
        let mode = Mode::ALL[nth / step % Mode::ALL.len()];
        let to = second();
        strike(&pair((&from, &to)), point, mode, reads);
    }
}

#[test]
fn between_every_two_kinds_of_store() {
    let lab = archived();
    let kinds: [Kind; 3] = [
        (memory, Reads::Once, 11),
        (directory, Reads::Twice, 11),
        (bucket, Reads::Twice, 23),
    ];
    for (home, _, one) in kinds {
        for (second, reads, other) in kinds {
            between(&lab, home, second, reads, one.max(other));
        }
    }
}
