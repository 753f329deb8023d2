//! Catalogs made again from a home and its copies, or from a copy alone.

use std::fs;

use super::copied::{archived, files, two_stores};
use crate::common::machine::{Machine, Run};
use crate::common::whole::visible_streams;

const BOTH: &str =
    "catalog rebuild --store file://$T/store --store file://$T/second --identity $T/kit";
const COPY: &str = "catalog rebuild --store file://$T/second --identity $T/kit";

/// Loses the state directory.
fn lose_state(machine: &Machine) {
    fs::remove_dir_all(machine.path("state")).unwrap();
}

fn copied() -> Machine {
    let machine = archived();
    let run = machine.run("copy home --to second");
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
    machine
}

/// Restores a date from wherever the catalog finds it, as a stream.
fn stream(machine: &Machine, date: &str) -> Run {
    let to = machine.path(&format!("stream-{date}"));
    let words = format!(
        "restore home --date {date} --identity $T/kit --stream {}",
        to.display()
    );
    machine.run(&words)
}

/// Holds the streams that a restore brings back against those that were archived.
#[track_caller]
fn restores_equal(machine: &Machine, date: &str, wanted: &[u8]) {
    let run = stream(machine, date);
    assert_eq!(run.code, Some(0), "{run:?}");
    let got = fs::read(machine.path(&format!("stream-{date}"))).unwrap();
    assert!(
        got.starts_with(wanted),
        "{} bytes, {} wanted",
        got.len(),
        wanted.len()
    );
}

#[test]
fn a_home_and_its_copy_are_read_once_and_the_copy_is_known() {
    let machine = copied();
    let copy = files(&machine.path("second"));
    for stores in [
        BOTH,
        "catalog rebuild --store file://$T/second --store file://$T/store --identity $T/kit",
    ] {
        lose_state(&machine);
        let run = machine.run(stores);
        run.is(
            0,
            "home: 3 entries read, 2 archives\n\
             home: its copy in file://$T/second has all 2 archives\n",
            "",
        );
        let run = machine.run("copy home --to second");
        run.is(0, "home: copy in second: it has all 2 archives\n", "");
        assert_eq!(files(&machine.path("second")), copy);
    }
}

#[test]
fn the_stores_of_the_config_are_read_with_their_copies() {
    let machine = copied();
    let config = two_stores().replace(
        "store = \"disk\"\n",
        "store = \"disk\"\ncopies = [\"second\"]\n",
    );
    machine.write_config(&config);
    lose_state(&machine);
    let run = machine.run("catalog rebuild --identity $T/kit");
    run.is(
        0,
        "home: 3 entries read, 2 archives\n\
         home: its copy in file://$T/second has all 2 archives\n",
        "",
    );
}
