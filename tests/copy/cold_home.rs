//! A copy of a cold home asks for what it lacks, and for nothing else: a thaw costs money.

use std::fs;
use std::path::PathBuf;

use super::copied::{files, two_stores};
use crate::common::is_segment;
use crate::common::machine::Machine;
use crate::common::whole::first_and_seventh;

const COPY: &str = "copy home --to second --yes";

/// A machine whose home is cold, with a full of two segments that is copied. What was thawed for that is cold again.
fn copied() -> Machine {
    let machine = Machine::fed(None);
    let cold = "type = \"dir\"\ncold = \"DEEP_ARCHIVE\"\ncold_delay = \"0s\"";
    machine.write_config(&two_stores().replacen("type = \"dir\"", cold, 1));
    fs::create_dir(machine.path("second")).unwrap();
    let [full, _] = first_and_seventh(17 << 10);
    let run = machine.run_with("decide 2024-01-01", &full);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert_eq!(machine.run(COPY).code, Some(5));
    assert_eq!(thawed(&machine).len(), 2);
    ends_whole(&machine);
    go_cold(&machine);
    machine
}

/// The names that tell the thaws of segments at home.
fn thaws(machine: &Machine) -> Vec<PathBuf> {
    let at_home = files(&machine.path("store")).into_keys();
    let thaws = at_home.filter(|name| name.contains("/.cold-") && is_segment(name));
    thaws.map(|name| machine.path("store").join(name)).collect()
}

/// The segments at home that a thaw was asked for.
fn thawed(machine: &Machine) -> Vec<PathBuf> {
    let mut thaws = thaws(machine);
    thaws.retain(|path| !fs::read_to_string(path).unwrap().contains("\"thaw\":null"));
    thaws
}

/// Lets every thaw at home be over.
fn go_cold(machine: &Machine) {
    let cold = r#"{"class":"DEEP_ARCHIVE","thaw":null}"#;
    for path in thaws(machine) {
        fs::write(path, cold).unwrap();
    }
    assert!(thawed(machine).is_empty());
}

fn ends_whole(machine: &Machine) {
    let run = machine.run(COPY);
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
    assert!(run.stdout.contains("it has all 1 archive\n"), "{run:?}");
}

fn first_segment(machine: &Machine) -> PathBuf {
    let copy = machine.path("second");
    let names = files(&copy).into_keys();
    let mut segments = names.filter(|name| is_segment(name));
    copy.join(segments.next().unwrap())
}

#[test]
fn a_segment_that_a_check_found_missing_in_the_copy_is_thawed_alone() {
    let machine = copied();
    let whole = files(&machine.path("second"));
    fs::remove_file(first_segment(&machine)).unwrap();
    assert_eq!(machine.run("verify home --place second").code, Some(6));
    let plan = machine.run("copy home --to second --plan");
    assert!(plan.stdout.contains("1 object of 4"), "{plan:?}");
    let thawing = machine.run(COPY);
    assert_eq!(thawing.code, Some(5), "{thawing:?}");
    assert!(
        thawing.stderr.contains("0 of 1 segment are readable"),
        "{thawing:?}"
    );
    assert_eq!(thawed(&machine).len(), 1);
    ends_whole(&machine);
    assert!(files(&machine.path("second")) == whole);
}

#[test]
fn a_segment_that_a_check_found_damaged_in_the_copy_is_not_thawed_for_a_copy() {
    let machine = copied();
    let segment = first_segment(&machine);
    let mut sealed = fs::read(&segment).unwrap();
    sealed[5000] ^= 1;
    fs::write(&segment, sealed).unwrap();
    let deep = "verify home --deep --place second --identity $T/kit";
    assert_eq!(machine.run(deep).code, Some(6));
    let run = machine.run(COPY);
    assert_eq!(run.code, Some(6), "{run:?}");
    assert!(
        run.stderr.contains("a check found it damaged there"),
        "{run:?}"
    );
    assert!(thawed(&machine).is_empty());
}

#[test]
fn what_is_readable_of_an_archive_is_copied_while_the_rest_of_it_thaws() {
    let machine = copied();
    for name in files(&machine.path("second")).keys() {
        if name.contains("/archives/") {
            fs::remove_file(machine.path("second").join(name)).unwrap();
        }
    }
    assert_eq!(machine.run("verify home --place second").code, Some(6));
    assert_eq!(machine.run(COPY).code, Some(5));
    // One of the two goes cold before the next run.
    let asked = thawed(&machine);
    assert_eq!(asked.len(), 2);
    fs::write(&asked[1], r#"{"class":"DEEP_ARCHIVE","thaw":null}"#).unwrap();
    let half = machine.run(COPY);
    assert_eq!(half.code, Some(5), "{half:?}");
    assert!(
        half.stderr.contains("1 of 2 segments is readable"),
        "{half:?}"
    );
    let has = files(&machine.path("second"));
    let of_archive: Vec<&String> = has
        .keys()
        .filter(|key| key.contains("/archives/"))
        .collect();
    assert_eq!(of_archive.len(), 1, "{of_archive:?}");
    assert!(of_archive[0].ends_with(".zst.age"));
    go_cold(&machine);
    // Of the segment that is there nothing is asked for again.
    let last = machine.run(COPY);
    assert_eq!(last.code, Some(5), "{last:?}");
    assert!(last.stderr.contains("0 of 1 segment"), "{last:?}");
    assert_eq!(thawed(&machine).len(), 1);
    ends_whole(&machine);
}
