//! How a mount ends, and what it leaves.

use std::fs;
use std::io::Read as _;
use std::process::Command;

use rustix::process::Signal;

use super::{Mounted, failed, ran, with_file};

#[test]
fn signals_and_umount_end_it_well() {
    let Some(machine) = with_file(b"data") else {
        return;
    };
    for signal in [Signal::INT, Signal::TERM] {
        let mounted = Mounted::new(&machine);
        assert_eq!(
            fs::read(mounted.date("2026-11-07").join("file")).unwrap(),
            b"data"
        );
        mounted.end_by(signal).is(0, "", "");
        assert_eq!(fs::read_dir(machine.path("mnt")).unwrap().count(), 0);
    }
    let mounted = Mounted::new(&machine);
    ran(Command::new("umount").arg(machine.path("mnt")));
    mounted.end().is(0, "", "");
}

#[test]
fn a_mount_whose_process_was_killed_is_taken_over() {
    let Some(machine) = with_file(b"data") else {
        return;
    };
    let mut first = Mounted::new(&machine);
    let talk = first.talk.take().unwrap();
    talk.signal(Signal::KILL);
    assert_eq!(talk.end().code, None);
    assert!(fs::read_dir(machine.path("mnt")).is_err());
    let second = Mounted::new(&machine);
    assert_eq!(
        fs::read(second.date("2026-11-07").join("file")).unwrap(),
        b"data"
    );
    second.end_by(Signal::INT).is(
        0,
        "",
        "warning: unmounted $T/mnt, which a run that was killed had left\n",
    );
    drop(first);
}

#[test]
fn a_mount_that_is_in_use_is_unmounted_all_the_same_and_says_so() {
    let Some(machine) = with_file(&vec![7; 20 << 20]) else {
        return;
    };
    let mounted = Mounted::new(&machine);
    let mut file = fs::File::open(mounted.date("2026-11-07").join("file")).unwrap();
    file.read_exact(&mut [0; 10]).unwrap();
    let said = failed(
        Command::new("umount")
            .arg(machine.path("mnt"))
            .env("LC_ALL", "C"),
    );
    assert!(said.contains("busy"), "{said}");
    mounted.end_by(Signal::TERM).is(
        0,
        "",
        "warning: $T/mnt was in use: programs that have files of it open get errors from now on\n",
    );
    assert_eq!(fs::read_dir(machine.path("mnt")).unwrap().count(), 0);
    assert!(file.read_to_end(&mut Vec::new()).is_err());
}

#[test]
fn events_are_json_if_asked() {
    let Some(machine) = with_file(b"data") else {
        return;
    };
    let mut talk = machine.start("mount $T/mnt --json");
    let line = talk.line().unwrap();
    let _unmounted = super::Unmounted(machine.path("mnt"));
    let event: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(event["event"], "mounted");
    assert_eq!(event["sources"][0]["archives"], 1);
    talk.signal(Signal::INT);
    talk.end()
        .is(0, "{\"at\":\"$T/mnt\",\"event\":\"unmounted\"}\n", "");
}
