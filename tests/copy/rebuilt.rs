//! Catalogs made again from a home and its copies, or from a copy alone.

use std::fs;

use super::copied::{archived, archived_once, files, two_stores};
use crate::common::machine::Machine;
use crate::common::whole::first_and_seventh;

const BOTH: &str =
    "catalog rebuild --store file://$T/store --store file://$T/second --identity $T/kit";
const COPY: &str =
    "catalog rebuild --store file://$T/second --identity $T/kit --state-dir $T/state";

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

/// Restores both dates with a catalog of its own and no config, and holds them against what was archived.
#[track_caller]
fn restores_both(machine: &Machine) {
    for (date, wanted) in ["2024-01-01", "2024-01-07"]
        .into_iter()
        .zip(first_and_seventh(17 << 10))
    {
        let to = machine.path(date);
        let run = machine.run(&format!(
            "restore home --date {date} --state-dir $T/state --identity $T/kit --yes --stream {}",
            to.display()
        ));
        assert_eq!(run.code, Some(0), "{run:?}");
        assert!(fs::read(to).unwrap() == wanted, "{date}");
    }
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

#[test]
fn a_copy_that_is_behind_is_told_by_its_entries_and_archives() {
    let machine = archived_once();
    machine.run("copy home --to second");
    let [_, incremental] = first_and_seventh(17 << 10);
    let run = machine.run_with("decide 2024-01-07", &incremental);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    lose_state(&machine);
    let run = machine.run(BOTH);
    run.is(
        0,
        "home: 3 entries read, 2 archives\n\
         home: its copy in file://$T/second is behind: it has entries up to 2, home up to 3, and 1 of 2 archives\n",
        "",
    );
    let run = machine.run("copy home --to second");
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(run.stdout.ends_with("it has all 2 archives\n"), "{run:?}");
}

#[test]
fn a_home_that_has_gone_back_is_told_by_its_copy() {
    let machine = copied();
    let store = machine.path("store/home");
    fs::remove_file(store.join("ledger/00000003.entry")).unwrap();
    let copy = files(&machine.path("second"));
    lose_state(&machine);
    let run = machine.run(BOTH);
    assert_eq!(run.code, Some(6), "{run:?}");
    assert!(
        run.stdout.contains(
            "file://$T/second/home was refused: the copy of `home` in file://$T/second is ahead of its home in \
             file://$T/store: it has ledger entry 3, and the newest at home is 2\n  find out whether"
        ),
        "{run:?}"
    );
    assert_eq!(files(&machine.path("second")), copy);
    // The way out: everything is in the copy.
    lose_state(&machine);
    fs::remove_file(machine.path("config.toml")).unwrap();
    let run = machine.run(COPY);
    assert_eq!(run.code, Some(0), "{run:?}");
    restores_both(&machine);
}

#[test]
fn a_copy_with_another_entry_is_told_with_both_places() {
    let machine = copied();
    let entry = machine.path("second/home/ledger/00000002.entry");
    let mut bytes = fs::read(&entry).unwrap();
    bytes[20] ^= 1;
    fs::write(&entry, bytes).unwrap();
    lose_state(&machine);
    let run = machine.run(BOTH);
    assert_eq!(run.code, Some(6), "{run:?}");
    assert!(
        run.stdout.contains(
            "ledger entry 2 of `home` in its copy in file://$T/second is not the one at its home in file://$T/store\n"
        ),
        "{run:?}"
    );
}

#[test]
fn everything_comes_back_from_the_copy_alone() {
    let machine = copied();
    lose_state(&machine);
    fs::remove_dir_all(machine.path("store/home")).unwrap();
    fs::remove_file(machine.path("config.toml")).unwrap();
    let copy = files(&machine.path("second"));
    let run = machine.run(COPY);
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(
        run.stdout.starts_with(
            "home: 3 entries read, 2 archives\n\
             home: read from its copy in file://$T/second, which has 2 of the 2 archives in its ledger: "
        ),
        "{run:?}"
    );
    restores_both(&machine);
    assert_eq!(files(&machine.path("second")), copy);
}

#[test]
fn what_was_not_copied_is_refused_with_the_reason_and_is_no_damage() {
    let machine = copied();
    let keys = files(&machine.path("second")).into_keys();
    let of_seventh = keys.filter(|key| key.contains("2024-01-07-incr-"));
    for key in of_seventh {
        fs::remove_file(machine.path("second").join(key)).unwrap();
    }
    lose_state(&machine);
    fs::remove_file(machine.path("config.toml")).unwrap();
    let run = machine.run(COPY);
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(
        run.stdout
            .contains(", which has 1 of the 2 archives in its ledger: "),
        "{run:?}"
    );
    let run = machine.run("restore home --state-dir $T/state --identity $T/kit --yes --stream -");
    assert_eq!(run.code, Some(7), "{run:?}");
    assert!(
        run.stderr
            .contains("of `home` was not copied to file://$T/second\n"),
        "{run:?}"
    );
    assert!(run.stderr.contains("2024-01-01 is the newest"), "{run:?}");
    let run =
        machine.run("restore home --date 2024-01-01 --state-dir $T/state --identity $T/kit --yes --stream $T/first");
    assert_eq!(run.code, Some(0), "{run:?}");
}

#[test]
fn a_copy_alone_leaves_the_home_of_the_config_as_it_is() {
    let machine = copied();
    lose_state(&machine);
    fs::rename(machine.path("store"), machine.path("away")).unwrap();
    let run = machine.run(COPY);
    assert_eq!(run.code, Some(0), "{run:?}");
    let listed = machine.listed();
    assert_eq!(listed["sources"][0]["store"], "file://$T/store");
    assert_eq!(
        machine.archived(),
        ["2024-01-01 full", "2024-01-07 incremental"]
    );
    // Home comes back, and all goes on there.
    fs::rename(machine.path("away"), machine.path("store")).unwrap();
    let run = machine.run("copy home --to second");
    run.is(0, "home: copy in second: it has all 2 archives\n", "");
}

#[test]
fn a_copy_that_could_not_be_read_stays_known() {
    let machine = copied();
    let run = machine.run("catalog rebuild --store file://$T/store --identity $T/kit");
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(
        run.stdout
            .contains("home: its copy in file://$T/second was not read; "),
        "{run:?}"
    );
    // It is not recognized again: what the catalog knows is enough.
    let run = machine.run("copy home --to second");
    run.is(0, "home: copy in second: it has all 2 archives\n", "");
}

#[test]
fn a_second_place_without_a_marker_is_still_refused() {
    let machine = copied();
    fs::remove_file(machine.path("second/home/ledger/COPY")).unwrap();
    lose_state(&machine);
    let run = machine.run(BOTH);
    assert_eq!(run.code, Some(6), "{run:?}");
    assert!(run.stdout.contains("is in two places"), "{run:?}");
}
