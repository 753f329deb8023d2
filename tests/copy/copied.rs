//! What a copy has after a run, after the second, and after a night.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::common::machine::{Machine, fed_config};
use crate::common::whole::first_and_seventh;
use crate::common::{files_below, is_segment};

/// A config with a second store.
pub(crate) fn two_stores() -> String {
    let config = fed_config();
    format!("{config}\n[store.second]\ntype = \"dir\"\npath = \"$T/second\"\n")
}

/// A machine with a full and an incremental at home, and a second store that is empty.
pub(crate) fn archived() -> Machine {
    let machine = archived_once();
    let [_, incremental] = first_and_seventh(17 << 10);
    let run = machine.run_with("decide 2024-01-07", &incremental);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    machine
}

/// The same with the full alone.
pub(crate) fn archived_once() -> Machine {
    let machine = Machine::fed(None);
    machine.write_config(&two_stores());
    fs::create_dir(machine.path("second")).unwrap();
    let [full, _] = first_and_seventh(17 << 10);
    let run = machine.run_with("decide 2024-01-01", &full);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    machine
}

/// What a first copy says until the kit names it.
pub(crate) const NOT_IN_KIT: &str = "home: no recovery kit names this copy yet; where the kit is, run: coldchain key kit --kit FILE\n";

/// Every file below a directory, by its path.
pub(crate) fn files(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let named = files_below(directory).into_iter().map(|(path, bytes)| {
        let name = path.strip_prefix(directory).unwrap();
        (name.display().to_string(), bytes)
    });
    named.collect()
}

#[test]
fn a_copy_has_every_object_of_home_and_its_marker() {
    let machine = archived();
    let home = files(&machine.path("store"));
    let run = machine.run("copy home --to second");
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
    assert!(
        run.stdout
            .starts_with("home: copy in second: 2 archives copied, "),
        "{}",
        run.stdout
    );
    assert!(
        run.stdout
            .ends_with(&format!("; it has all 2 archives\n{NOT_IN_KIT}")),
        "{}",
        run.stdout
    );
    let mut copy = files(&machine.path("second"));
    let marker = copy.remove("home/ledger/COPY").expect("it is marked");
    assert!(marker.starts_with(b"coldchain copy\nplace "));
    assert_eq!(copy, home);
    assert_eq!(files(&machine.path("store")), home);
    // Again: nothing is left to do, and nothing changes.
    let again = machine.run("copy home --to second");
    assert_eq!(
        again.stdout,
        "home: copy in second: it has all 2 archives\n"
    );
    copy.insert("home/ledger/COPY".to_owned(), marker);
    assert_eq!(files(&machine.path("second")), copy);
}

#[test]
fn a_catalog_that_knows_nothing_of_a_copy_recognizes_it() {
    let machine = archived();
    machine.run("copy home --to second");
    let copy = files(&machine.path("second"));
    fs::remove_dir_all(machine.path("state")).unwrap();
    let rebuilt = machine.run("catalog rebuild --store file://$T/store --identity $T/kit");
    assert_eq!(rebuilt.code, Some(0), "{}", rebuilt.stderr);
    let run = machine.run("copy home --to second");
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
    let found = format!("home: copy in second: it has all 2 archives\n{NOT_IN_KIT}");
    assert_eq!(run.stdout, found);
    assert_eq!(files(&machine.path("second")), copy);
}

#[test]
fn what_a_run_left_half_done_is_ended_by_the_next() {
    let machine = archived();
    machine.run("copy home --to second");
    let whole = files(&machine.path("second"));
    let key = whole.keys().find(|key| key.ends_with("key.age")).unwrap();
    let segment = whole.keys().find(|key| is_segment(key)).unwrap();
    for gone in [vec![key], vec![key, segment]] {
        for gone in gone {
            fs::remove_file(machine.path("second").join(gone)).unwrap();
        }
        // As if its rows were never written.
        fs::remove_dir_all(machine.path("state")).unwrap();
        machine.run("catalog rebuild --store file://$T/store --identity $T/kit");
        let run = machine.run("copy home --to second");
        assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
        assert_eq!(files(&machine.path("second")), whole);
    }
}

#[test]
fn json_says_what_was_copied() {
    let machine = archived();
    let run = machine.run("copy home --to second --json");
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let last = run.stdout.lines().last().unwrap();
    let done: serde_json::Value = serde_json::from_str(last).unwrap();
    let copy = &done["copies"][0];
    assert_eq!(copy["source"], "home");
    assert_eq!(copy["copied"].as_array().unwrap().len(), 2);
    assert_eq!((&copy["has"], &copy["of"]), (&2.into(), &2.into()));
    assert!(
        run.stdout
            .lines()
            .any(|line| line.contains("\"event\":\"copied\""))
    );
}

#[test]
fn a_plan_says_what_is_to_copy_and_writes_nothing() {
    let machine = archived();
    let run = machine.run("copy home --to second --plan");
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
    assert!(
        run.stdout
            .starts_with("home: copy in second (file://$T/second): 2 archives to copy, "),
        "{}",
        run.stdout
    );
    assert!(files(&machine.path("second")).is_empty());
    machine.run("copy home --to second");
    let run = machine.run("copy home --to second --plan --json");
    let plan: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    let plan = &plan["copies"][0];
    assert_eq!((&plan["objects"], &plan["bytes"]), (&0.into(), &0.into()));
    assert_eq!(plan["archives"][0]["fate"], "there");
    // The prices of a rehearsed cold class are those of the class.
    let cold = two_stores().replacen(
        "type = \"dir\"",
        "type = \"dir\"\ncold = \"DEEP_ARCHIVE\"",
        1,
    );
    machine.write_config(&cold.replace("$T/second\"", "$T/third\""));
    fs::create_dir(machine.path("third")).unwrap();
    let run = machine.run("copy home --to second --plan");
    assert!(run.stdout.contains("to thaw     "), "{}", run.stdout);
    let dear = machine.run("copy home --to second --max-cost 0 --yes");
    assert_eq!(dear.code, Some(2), "{dear:?}");
    assert!(files(&machine.path("third")).is_empty());
}

#[test]
fn a_cold_home_is_thawed_once_that_is_agreed_and_the_next_run_copies() {
    let machine = Machine::fed(None);
    let cold = "type = \"dir\"\ncold = \"DEEP_ARCHIVE\"\ncold_delay = \"0s\"";
    machine.write_config(&two_stores().replacen("type = \"dir\"", cold, 1));
    fs::create_dir(machine.path("second")).unwrap();
    let [full, _] = first_and_seventh(17 << 10);
    let run = machine.run_with("decide 2024-01-01", &full);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let unasked = machine.run("copy home --to second");
    assert_eq!(unasked.code, Some(2), "{unasked:?}");
    assert!(files(&machine.path("second")).is_empty());
    let thawing = machine.run("copy home --to second --yes");
    assert_eq!(thawing.code, Some(5), "{thawing:?}");
    assert!(thawing.stdout.ends_with(NOT_IN_KIT), "{thawing:?}");
    assert!(
        thawing.stderr.contains("0 of 2 segments are readable"),
        "{thawing:?}"
    );
    let copy = files(&machine.path("second"));
    assert!(
        !copy.keys().any(|key| key.contains("/archives/")),
        "{:?}",
        copy.keys()
    );
    let run = machine.run("copy home --to second --yes");
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
    assert!(run.stdout.ends_with("it has all 1 archive\n"), "{run:?}");
}
