//! The way out of a vault when not all of it can be thawed at once: one window after another, whatever happens in between.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::leaving::{Leaving, MARKER, modes_of, objects};
use crate::common::enumerate::Cases;
use crate::common::faults::{Faults, Mode};
use crate::common::lab::Lab;
use crate::common::rng::Rng;
use crate::common::stream_builder::StreamBuilder;

const DATES: [&str; 3] = ["2026-01-01", "2026-01-07", "2026-01-14"];

/// How many segments the vault has.
const SEGMENTS: usize = 4;

/// How long a job takes.
const JOB: i64 = 6;

/// A full of three segments. It repeats itself, so that it is compressed in no time.
fn full() -> Vec<u8> {
    const WRITE: usize = 48 << 10;
    let mut data = Rng::new(31).text(WRITE);
    let head = StreamBuilder::header(1)
        .subvol(DATES[0].as_bytes(), [1; 16], 10)
        .mkfile(b"a file");
    let stream = (0..176_u64).fold(head, |stream, nth| {
        data[..8].copy_from_slice(&nth.to_le_bytes());
        stream.write(b"a file", nth * WRITE as u64, &data)
    });
    stream.finish()
}

/// The archive number `nth`, on the one before.
fn incremental(nth: u8) -> Vec<u8> {
    let (uuid, parent) = ([nth + 1; 16], [nth; 16]);
    let date = DATES[usize::from(nth)].as_bytes();
    StreamBuilder::header(1)
        .snapshot(date, uuid, 10, parent, 10)
        .write(b"a file", 0, date)
        .finish()
}

/// A machine with a full of three segments and an incremental of one in a vault, of which one segment at a time can be
/// thawed.
fn begin() -> Leaving {
    let lab = Lab::with_vault();
    lab.decide(DATES[0], &full(), &Faults::none()).unwrap();
    lab.decide(DATES[1], &incremental(1), &Faults::none())
        .unwrap();
    let vault = lab.vault.as_ref().unwrap();
    assert_eq!(vault.ids().len(), SEGMENTS);
    vault.set_window(Duration::ZERO);
    // What is compared once is not compared in each copy of the machine.
    let streams = [full(), incremental(1)];
    let sent = DATES.into_iter().zip(streams.iter().map(Vec::as_slice));
    assert_eq!(lab.holds(&sent.collect()).len(), 2);
    let mut leaving = Leaving::new(lab);
    leaving.hours(0);
    leaving
}

fn retrievals(leaving: &Leaving) -> usize {
    leaving.lab.vault.as_ref().unwrap().retrievals()
}

/// Repeats the copy until it has everything. Returns how many runs that took.
fn go_on(leaving: &mut Leaving) -> usize {
    for run in 1..10 {
        let ran = leaving.copy_out(&Faults::none()).unwrap();
        assert!(ran.stopped.is_none(), "{ran:?}");
        if ran.awaited.is_none() {
            assert_eq!((ran.has, ran.of), (2, 2));
            return run;
        }
        leaving.hours(JOB);
    }
    panic!("it does not end");
}

/// Panics unless the copy is home to the byte.
fn is_home(leaving: &Leaving) {
    let mut copy = objects(&leaving.second);
    copy.remove(MARKER).expect("it is marked");
    assert!(copy == leaving.at_old_home(), "the copy is not home");
}

/// The same; then home is moved, and archives go on from there.
fn ends_moved(leaving: Leaving) {
    assert_eq!(retrievals(&leaving), SEGMENTS, "nothing is retrieved twice");
    is_home(&leaving);
    let vault = Arc::clone(leaving.lab.vault.as_ref().unwrap());
    leaving.move_home(&Faults::none()).unwrap();
    leaving.archive(DATES[2], &incremental(2)).unwrap();
    assert_eq!(vault.ids().len(), SEGMENTS, "the vault takes no more");
    assert_eq!(vault.retrievals(), SEGMENTS);
    let lab = leaving.at_new_home();
    assert!(objects(&lab.store).keys().any(|key| key.contains(DATES[2])));
    let streams = [full(), incremental(1), incremental(2)];
    let sent = DATES.into_iter().zip(streams.iter().map(Vec::as_slice));
    let sent: BTreeMap<&str, &[u8]> = sent.collect();
    assert_eq!(lab.holds(&sent).len(), DATES.len());
    lab.can_be_rebuilt();
}

#[test]
fn a_source_leaves_its_vault_in_many_windows_and_nothing_is_retrieved_twice() {
    let mut leaving = begin();
    assert_eq!(go_on(&mut leaving), SEGMENTS + 1);
    ends_moved(leaving);
}

#[test]
fn an_output_that_expires_before_it_is_copied_is_asked_for_again_alone() {
    let mut leaving = begin();
    assert!(leaving.copy_out(&Faults::none()).unwrap().awaited.is_some());
    leaving.hours(JOB);
    leaving.copy_out(&Faults::none()).unwrap();
    assert_eq!(retrievals(&leaving), 2);
    // The machine is off for two days.
    leaving.hours(48);
    go_on(&mut leaving);
    assert_eq!(retrievals(&leaving), SEGMENTS + 1);
    is_home(&leaving);
}

/// Strikes the run of that window at each operation in these ways, and goes on.
fn strike_window(window: usize, ways: &[Mode]) {
    let mut leaving = begin();
    // The first run asks for the first segment; each later one copies it and asks for the next.
    for _ in 0..window {
        leaving.copy_out(&Faults::none()).unwrap();
        leaving.hours(JOB);
    }
    let faults = Faults::none();
    leaving.copy().copy_out(&faults).unwrap();
    let mut cases = Cases::new("a window");
    for point in &faults.points() {
        let modes = modes_of(point).iter();
        for &mode in modes.filter(|mode| ways.contains(mode)) {
            cases.run(&format!("{point} {mode}"), || {
                let mut struck = leaving.copy();
                let faults = Faults::at(point, mode);
                let ran = struck.copy_out(&faults);
                assert!(faults.has_struck(), "it was not reached");
                if let Ok(ran) = ran {
                    // What a fault stops is an error, or said in the answer.
                    assert!(ran.stopped.is_some() || ran.awaited.is_some() || ran.has == 2);
                }
                struck.hours(JOB);
                go_on(&mut struck);
                assert_eq!(retrievals(&struck), SEGMENTS, "nothing is retrieved twice");
                is_home(&struck);
                if mode == Mode::DiesAfter {
                    ends_moved(struck);
                }
            });
        }
    }
    cases.end();
}

#[test]
fn a_copy_out_of_a_vault_that_is_killed_within_an_archive_goes_on_and_ends_equal() {
    strike_window(2, &Mode::ALL);
}

#[test]
fn a_copy_out_of_a_vault_that_is_killed_in_its_last_window_goes_on_and_ends_equal() {
    strike_window(SEGMENTS, &[Mode::DiesBefore, Mode::DiesAfter]);
}
