//! A store that does not answer: the mount ends all the same.

use std::fs;
use std::process::Command;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::meanwhile::await_that;
use super::{Mounted, ran};
use crate::common::machine::Run;
use crate::common::s3_server::{Fault, FaultKind, Operation};
use crate::common::stream_builder::StreamBuilder;
use crate::extract_command::archived::{Archived, INCREMENTAL};

/// Ends it by a signal, which takes less than five seconds, and nothing stays mounted.
#[track_caller]
fn ends_soon(mounted: Mounted<'_>, archived: &Archived) -> Run {
    ends_soon_by(mounted, archived, |mounted| mounted.end_by(Signal::TERM))
}

#[track_caller]
fn ends_soon_by<'m>(
    mounted: Mounted<'m>,
    archived: &Archived,
    end: impl FnOnce(Mounted<'m>) -> Run,
) -> Run {
    let began = Instant::now();
    let run = end(mounted);
    let took = began.elapsed();
    assert!(took < Duration::from_secs(5), "{took:?}: {run:?}");
    assert_eq!((run.code, run.stdout.as_str()), (Some(0), ""), "{run:?}");
    let left = fs::read_dir(archived.path("mnt")).unwrap().count();
    assert_eq!(left, 0, "something is mounted still");
    run
}

/// Has every request for an object hang whose key has this in it, and returns what tells that there is one.
fn hang<'a>(archived: &'a Archived, part: &'static str) -> impl Fn() -> bool + use<'a> {
    let fault = Fault::on(Operation::Get, FaultKind::Stall(None));
    archived.server.fail(fault.key(part).always());
    archived.server.forget_requests();
    move || {
        let requests = archived.server.requests();
        let mut gets = requests.iter().filter(|it| it.operation == Operation::Get);
        gets.any(|it| it.key.contains(part))
    }
}

/// Begins to read a file, whose segment does not come. The thread returns whether that failed.
fn begin_to_read(mounted: &Mounted<'_>, archived: &Archived) -> JoinHandle<bool> {
    let file = mounted.date("2024-01-07").join("album/b");
    // The contents are read before.
    drop(fs::File::open(&file).unwrap());
    let hangs = hang(archived, "/000000-");
    let reader = thread::spawn(move || fs::read(file).is_err());
    await_that("a segment is asked for", hangs);
    reader
}

#[test]
fn a_signal_ends_it_while_a_read_hangs() {
    let archived = Archived::new("");
    let mounted = Mounted::new(&archived.machine);
    let reader = begin_to_read(&mounted, &archived);
    let run = ends_soon(mounted, &archived);
    assert!(run.stderr.contains("was in use"), "{run:?}");
    assert!(
        reader.join().unwrap(),
        "the program that reads gets an error"
    );
}

/// The program stays behind when its mount is gone.
#[test]
fn umount_ends_it_while_a_read_hangs() {
    let archived = Archived::new("");
    let mounted = Mounted::new(&archived.machine);
    let reader = begin_to_read(&mounted, &archived);
    ends_soon_by(mounted, &archived, |mounted| {
        // Nothing can be unmounted plainly that a program waits for; with `-f` that gets an error.
        let mut umount = Command::new("umount");
        ran(umount.args(["-f", "-l"]).arg(archived.path("mnt")));
        mounted.end()
    });
    assert!(
        reader.join().unwrap(),
        "the program that reads gets an error"
    );
}

#[test]
fn a_signal_ends_it_while_a_new_archive_is_being_indexed() {
    let archived = Archived::with_lines("", "index = false");
    let mounted = Mounted::new(&archived.machine);
    let hangs = hang(&archived, "/contents-");
    let stream = StreamBuilder::header(1)
        .snapshot(b"2024-01-14", *b"uuid of a third.", 30, INCREMENTAL, 20)
        .utimes(b"");
    let run = archived
        .machine
        .run_with("decide 2024-01-14", &stream.finish());
    assert_eq!(run.code, Some(0), "{run:?}");
    await_that("the new contents are asked for", hangs);
    // What is shown is shown meanwhile.
    assert!(fs::exists(mounted.date("2024-01-07").join("notes/two")).unwrap());
    ends_soon(mounted, &archived);
}
