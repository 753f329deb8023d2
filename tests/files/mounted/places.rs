//! Data of a source that lies in two places: what is damaged or silent in the one comes from the other.

use std::fs;
use std::path::Path;

use rustix::process::Signal;

use super::{Mounted, archived};
use crate::common::machine::{LIVE_CONFIG, Machine};
use crate::common::rng::Rng;

const DATE: &str = "2026-11-07";

/// More than a few frames, which don't compress.
fn data() -> Vec<u8> {
    Rng::new(71).bytes(9 << 20)
}

/// A machine whose archive lies in `$T/store` and in `$T/second`.
fn in_two_places() -> Option<Machine> {
    let config = LIVE_CONFIG.replace(
        "store = \"disk\"\n",
        "store = \"disk\"\ncopies = [\"second\"]\n",
    ) + "[store.second]\ntype = \"dir\"\npath = \"$T/second\"\n";
    let machine = archived(LIVE_CONFIG, &[DATE], |live, _| {
        fs::write(live.join("file"), data()).unwrap();
    })?;
    machine.write_config(&config);
    fs::create_dir(machine.path("second")).unwrap();
    let run = machine.run("copy home --to second --quiet");
    assert_eq!(run.code, Some(0), "{run:?}");
    Some(machine)
}

/// Damages the middle of each segment and contents in a place.
fn damage(place: &Path) {
    let mut damaged = 0;
    for path in crate::common::files_below(place).into_keys() {
        if !path.to_string_lossy().ends_with(".zst.age") {
            continue;
        }
        let mut bytes = fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 0x55;
        fs::write(&path, bytes).unwrap();
        damaged += 1;
    }
    assert!(damaged > 1, "{damaged}");
}

#[test]
fn what_is_damaged_at_home_comes_from_the_copy() {
    let Some(machine) = in_two_places() else {
        return;
    };
    damage(&machine.path("store"));
    let mounted = Mounted::new(&machine);
    assert!(fs::read(mounted.date(DATE).join("file")).unwrap() == data());
    let run = mounted.end_by(Signal::INT);
    assert_eq!(run.code, Some(0), "{run:?}");
    for line in run.stderr.lines() {
        assert!(line.starts_with("warning: home: frame "), "{line}");
        let taken = "in file://$T/store; took it from the copy in file://$T/second";
        assert!(line.ends_with(taken), "{line}");
    }
}

#[test]
fn what_is_damaged_in_both_is_an_error_that_names_it() {
    let Some(machine) = in_two_places() else {
        return;
    };
    let mounted = Mounted::new(&machine);
    let file = mounted.date(DATE).join("file");
    // The contents are read while they are sound.
    drop(fs::File::open(&file).unwrap());
    for place in ["store", "second"] {
        damage(&machine.path(place));
    }
    let error = fs::read(&file).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(5), "{error}");
    let run = mounted.end_by(Signal::INT);
    assert_eq!(run.code, Some(0), "{run:?}");
    let said = "warning: home: the mount cannot read the data of 2026-11-07: ";
    assert!(run.stderr.starts_with(said), "{run:?}");
    assert_eq!(run.stderr.lines().count(), 1, "{run:?}");
}

#[test]
fn a_home_that_is_silent_is_passed_over() {
    let Some(machine) = in_two_places() else {
        return;
    };
    let mounted = Mounted::new(&machine);
    fs::rename(machine.path("store"), machine.path("away")).unwrap();
    // Also the contents, which nothing has read before.
    assert!(fs::read(mounted.date(DATE).join("file")).unwrap() == data());
    fs::rename(machine.path("away"), machine.path("store")).unwrap();
    let run = mounted.end_by(Signal::INT);
    assert_eq!(run.code, Some(0), "{run:?}");
}

#[test]
fn a_place_that_is_named_is_read_alone() {
    let Some(machine) = in_two_places() else {
        return;
    };
    let read = |mounted: &Mounted<'_>| fs::read(mounted.date(DATE).join("file"));
    fs::rename(machine.path("store"), machine.path("away")).unwrap();
    let mounted = Mounted::with(&machine, "--identity $T/kit --place second");
    assert!(read(&mounted).unwrap() == data());
    assert_eq!(mounted.end_by(Signal::INT).code, Some(0));
    let mounted = Mounted::with(&machine, "--identity $T/kit --place disk");
    assert_eq!(read(&mounted).unwrap_err().raw_os_error(), Some(5));
    let run = mounted.end_by(Signal::INT);
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(run.stderr.contains("the mount cannot read"), "{run:?}");
    fs::rename(machine.path("away"), machine.path("store")).unwrap();
    fs::rename(machine.path("second"), machine.path("away")).unwrap();
    let mounted = Mounted::with(&machine, "--identity $T/kit --place second");
    assert_eq!(read(&mounted).unwrap_err().raw_os_error(), Some(5));
    assert_eq!(mounted.end_by(Signal::INT).code, Some(0));
    fs::rename(machine.path("away"), machine.path("second")).unwrap();
    // What is damaged there is taken from home.
    damage(&machine.path("second"));
    let mounted = Mounted::with(&machine, "--identity $T/kit --place second");
    assert!(read(&mounted).unwrap() == data());
    assert_eq!(mounted.end_by(Signal::INT).code, Some(0));
    let unknown = machine.run("mount $T/mnt --identity $T/kit --place third");
    assert_eq!(unknown.code, Some(2), "{unknown:?}");
}
