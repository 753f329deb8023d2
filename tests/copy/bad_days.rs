//! Bad days of people who copy repositories with other programs: an emptied source, an unmounted or full disk, a copy that
//! lost objects, a source that went back. Each ends in an error that says what to do, and the copy keeps what it has.

use std::fs;
use std::path::Path;

use rustix::process::Signal;

use super::copied::{NOT_IN_KIT, archived, files, two_stores};
use crate::common::is_segment;
use crate::common::machine::{Machine, Run};
use crate::common::tmpfs::Tmpfs;
use crate::common::whole::first_and_seventh;

fn copied() -> Machine {
    let machine = archived();
    let run = machine.run("copy home --to second");
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
    machine
}

#[track_caller]
fn fails(run: &Run, code: i32, words: &str) {
    assert_eq!(run.code, Some(code), "{run:?}");
    assert!(run.stderr.contains(words), "{run:?}");
}

/// Copies a directory with all that is in it.
fn duplicate(from: &Path, to: &Path) {
    for (name, bytes) in files(from) {
        let path = to.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
}

#[test]
fn a_home_that_was_emptied_takes_nothing_from_its_copy_which_restores() {
    let machine = copied();
    let copy = files(&machine.path("second"));
    fs::remove_dir_all(machine.path("store/home")).unwrap();
    fails(&machine.run("copy home --to second"), 6, "has gone back");
    fs::remove_dir(machine.path("store")).unwrap();
    let gone = machine.run("copy home --to second");
    assert_eq!(gone.code, Some(1), "{gone:?}");
    assert!(files(&machine.path("second")) == copy);
    let [full, incremental] = first_and_seventh(17 << 10);
    for (date, wanted) in [("2024-01-01", full), ("2024-01-07", incremental)] {
        let to = machine.path(date);
        let words = format!(
            "restore home --date {date} --place second --identity $T/kit --yes --stream {}",
            to.display()
        );
        let run = machine.run(&words);
        assert_eq!(run.code, Some(0), "{run:?}");
        assert!(fs::read(to).unwrap() == wanted, "{date}");
    }
}

#[test]
fn a_copy_within_homes_directory_disturbs_neither() {
    for below in ["copies", "home", "home/archives"] {
        let machine = archived();
        let config = two_stores().replace("$T/second", &format!("$T/store/{below}"));
        machine.write_config(&config);
        let _ = fs::create_dir(machine.path(&format!("store/{below}")));
        let home = files(&machine.path("store"));
        let run = machine.run("copy home --to second");
        assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""), "{below}");
        for words in [
            "copy home --to second",
            "verify home",
            "verify home --place second",
            "prune home",
        ] {
            let run = machine.run(words);
            assert_eq!(run.code, Some(0), "{below}: {words}: {run:?}");
        }
        let after = files(&machine.path("store"));
        assert!(
            home.iter()
                .all(|(key, bytes)| after.get(key) == Some(bytes)),
            "{below}"
        );
    }
}

#[test]
fn the_wrong_way_round_nothing_is_copied() {
    let machine = archived();
    let home = files(&machine.path("store"));
    let swapped = two_stores().replacen("store = \"disk\"", "store = \"second\"", 1);
    machine.write_config(&swapped);
    let run = machine.run("copy home --to disk");
    assert_eq!(run.code, Some(2), "{run:?}");
    assert!(files(&machine.path("store")) == home);
    assert!(files(&machine.path("second")).is_empty());
    // On a machine that knows nothing of it, neither.
    fs::remove_dir_all(machine.path("state")).unwrap();
    let run = machine.run("copy home --to disk");
    assert_eq!(run.code, Some(2), "{run:?}");
    assert!(files(&machine.path("store")) == home);
}

#[test]
fn another_disk_under_the_same_name_gets_a_copy_of_its_own() {
    let machine = copied();
    fs::rename(machine.path("second"), machine.path("shelf")).unwrap();
    fs::create_dir(machine.path("second")).unwrap();
    fails(&machine.run("copy home --to second"), 6, "--anew");
    let anew = machine.run("copy home --to second --anew");
    assert_eq!((anew.code, anew.stderr.as_str()), (Some(0), ""));
    // The first disk comes back: it is a copy too, and is recognized.
    fs::rename(machine.path("second"), machine.path("other")).unwrap();
    fs::rename(machine.path("shelf"), machine.path("second")).unwrap();
    let run = machine.run("copy home --to second");
    let found = format!("home: copy in second: it has all 2 archives\n{NOT_IN_KIT}");
    assert_eq!(run.stdout, found, "{run:?}");
}

#[test]
fn a_full_or_read_only_disk_keeps_what_it_has_and_the_next_run_goes_on() {
    let machine = archived();
    let tmpfs = Tmpfs::on(&machine.path("second"), 64 << 10);
    tmpfs.leave_free(64);
    let full = machine.run("copy home --to second");
    fails(&full, 1, "No space left");
    tmpfs.free_all();
    tmpfs.read_only();
    fails(&machine.run("copy home --to second"), 1, "Read-only");
    tmpfs.writable();
    let run = machine.run("copy home --to second");
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
    let mut copy = files(&machine.path("second"));
    copy.remove("home/ledger/COPY").unwrap();
    assert!(copy == files(&machine.path("store")));
}

#[test]
fn a_home_that_was_restored_from_an_older_state_is_noticed_and_the_copy_can_become_home() {
    let machine = archived();
    duplicate(&machine.path("store"), &machine.path("older"));
    let later = crate::common::stream_builder::StreamBuilder::header(1)
        .snapshot(b"2024-01-14", [14; 16], 10, [7; 16], 10)
        .write(b"a file", 0, b"later")
        .finish();
    assert_eq!(machine.run_with("decide 2024-01-14", &later).code, Some(0));
    assert_eq!(machine.run("copy home --to second").code, Some(0));
    fs::remove_dir_all(machine.path("store")).unwrap();
    fs::rename(machine.path("older"), machine.path("store")).unwrap();
    fails(&machine.run("copy home --to second"), 6, "has gone back");
    // A machine whose catalog is as old does not believe that home is ahead.
    fs::rename(machine.path("state"), machine.path("known")).unwrap();
    let rebuilt = machine.run("catalog rebuild --store file://$T/store --identity $T/kit");
    assert_eq!(rebuilt.code, Some(0), "{rebuilt:?}");
    fails(
        &machine.run("copy home --to second"),
        6,
        "is ahead: it has ledger entry 4",
    );
    fs::remove_dir_all(machine.path("state")).unwrap();
    fs::rename(machine.path("known"), machine.path("state")).unwrap();
    let moved = machine.run("move home --to second --abandon-home --yes");
    assert_eq!(moved.code, Some(0), "{moved:?}");
    machine.write_config(&two_stores().replacen("store = \"disk\"", "store = \"second\"", 1));
    let listed = machine.run("list");
    assert!(listed.stdout.contains("2024-01-14"), "{listed:?}");
}

#[test]
fn an_interrupted_copy_says_so_and_goes_on() {
    let machine = archived();
    let mut talk = machine.start("copy home --to second --json --limit 64KiB");
    let first = talk.line().expect("it says that it begins");
    assert!(first.contains("\"event\":\"copying\""), "{first}");
    talk.signal(Signal::INT);
    let run = talk.end();
    assert_eq!(run.code, Some(130), "{run:?}");
    let run = machine.run("copy home --to second");
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
    assert!(run.stdout.contains("it has all 2 archives\n"), "{run:?}");
}

#[test]
fn what_a_copy_has_lost_is_noticed_and_brought_again() {
    let machine = copied();
    let whole = files(&machine.path("second"));
    let segment = whole.keys().find(|key| is_segment(key)).unwrap();
    let key = whole.keys().find(|key| key.ends_with("key.age")).unwrap();
    for lost in [segment, key] {
        fs::remove_file(machine.path("second").join(lost)).unwrap();
        // The next copy looks before it deletes anything.
        let noticed = machine.run("copy home --to second");
        assert_eq!(noticed.code, Some(4), "{noticed:?}");
        assert!(noticed.stderr.contains("coldchain verify"), "{noticed:?}");
        let run = machine.run("verify home --place second");
        assert_eq!(run.code, Some(6), "{run:?}");
        let run = machine.run("copy home --to second");
        assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
        assert!(files(&machine.path("second")) == whole, "{lost}");
    }
}
