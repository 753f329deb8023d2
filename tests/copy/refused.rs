//! Places where nothing is copied to: clear errors, and nothing is changed.

use std::fs;

use super::copied::{archived, files, two_stores};
use crate::common::machine::{Machine, Run};

/// Copies to the second store, and checks that neither store has changed.
fn refused(machine: &Machine, arguments: &str) -> Run {
    let before = (
        files(&machine.path("store")),
        files(&machine.path("second")),
    );
    let run = machine.run(arguments);
    let after = (
        files(&machine.path("store")),
        files(&machine.path("second")),
    );
    assert!(before == after, "{run:?}");
    run
}

fn error(run: &Run) -> &str {
    run.stderr.lines().next().unwrap_or_default()
}

#[test]
fn a_copy_onto_home_is_refused_by_any_name() {
    let machine = archived();
    let also_home = format!(
        "{}\n[store.also]\ntype = \"dir\"\npath = \"$T/store\"\n",
        two_stores()
    );
    machine.write_config(&also_home);
    for name in ["disk", "also"] {
        let run = refused(&machine, &format!("copy home --to {name}"));
        assert_eq!(run.code, Some(2), "{run:?}");
        assert!(error(&run).contains("already are"), "{run:?}");
    }
    // By a link, it is the same ledger without a marker.
    std::os::unix::fs::symlink(machine.path("store"), machine.path("link")).unwrap();
    machine.write_config(&format!(
        "{}\n[store.also]\ntype = \"dir\"\npath = \"$T/link\"\n",
        two_stores()
    ));
    let run = refused(&machine, "copy home --to also");
    assert_eq!(run.code, Some(6), "{run:?}");
    assert!(error(&run).contains("this very ledger"), "{run:?}");
}

#[test]
fn a_place_with_another_ledger_of_that_name_is_left_alone() {
    let machine = archived();
    let other = archived();
    fs::remove_dir(machine.path("second")).unwrap();
    fs::rename(other.path("store"), machine.path("second")).unwrap();
    let run = refused(&machine, "copy home --to second");
    assert_eq!(run.code, Some(6), "{run:?}");
    assert!(
        error(&run).contains("the ledger of another source"),
        "{run:?}"
    );
    // And a copy of another ledger.
    let other = archived();
    other.run("copy home --to second");
    fs::remove_dir_all(machine.path("second")).unwrap();
    fs::rename(other.path("second"), machine.path("second")).unwrap();
    let run = refused(&machine, "copy home --to second");
    assert_eq!(run.code, Some(6), "{run:?}");
    assert!(error(&run).contains("a copy of another ledger"), "{run:?}");
}

#[test]
fn a_copy_that_is_ahead_or_differs_is_refused() {
    let machine = archived();
    machine.run("copy home --to second");
    let ledger = machine.path("second/home/ledger");
    let newest = ledger.join("00000003.entry");
    fs::copy(&newest, ledger.join("00000004.entry")).unwrap();
    let run = refused(&machine, "copy home --to second");
    assert_eq!(run.code, Some(6), "{run:?}");
    assert!(
        error(&run).contains("is ahead: it has ledger entry 4"),
        "{run:?}"
    );
    fs::remove_file(ledger.join("00000004.entry")).unwrap();
    let mut bytes = fs::read(&newest).unwrap();
    bytes[100] ^= 1;
    fs::write(&newest, bytes).unwrap();
    let run = refused(&machine, "copy home --to second");
    assert_eq!(run.code, Some(6), "{run:?}");
    assert!(error(&run).contains("ledger entry 3"), "{run:?}");
}

#[test]
fn a_copy_that_has_vanished_is_not_begun_again_unasked() {
    let machine = archived();
    machine.run("copy home --to second");
    let whole = files(&machine.path("second"));
    fs::remove_dir_all(machine.path("second/home")).unwrap();
    let run = refused(&machine, "copy home --to second");
    assert_eq!(run.code, Some(6), "{run:?}");
    assert!(error(&run).contains("is gone"), "{run:?}");
    let anew = machine.run("copy home --to second --anew");
    assert_eq!((anew.code, anew.stderr.as_str()), (Some(0), ""));
    let mut again = files(&machine.path("second"));
    assert_ne!(
        again.insert("home/ledger/COPY".to_owned(), Vec::new()),
        None
    );
    assert_eq!(again.len(), whole.len());
}

#[test]
fn a_segment_that_is_damaged_at_home_is_named_and_the_others_are_copied() {
    let machine = archived();
    let segment = machine.objects(".zst.age").into_iter().next().unwrap();
    let mut bytes = fs::read(&segment).unwrap();
    bytes[1000] ^= 1;
    fs::write(&segment, bytes).unwrap();
    let run = machine.run("copy home --to second");
    assert_eq!(run.code, Some(6), "{run:?}");
    assert!(run.stderr.contains("SHA-256"), "{run:?}");
    assert!(run.stdout.contains("it has 1 of 2 archives"), "{run:?}");
    let keys = files(&machine.path("second"));
    let keys = keys.keys().filter(|key| key.ends_with("key.age"));
    assert_eq!(keys.count(), 1);
}

#[test]
fn stores_and_sources_that_do_not_exist_are_usage_errors() {
    let machine = archived();
    for (arguments, words) in [
        ("copy home --to secnd", "did you mean `second`"),
        ("copy hme --to second", "did you mean `home`"),
        ("copy home", "no store was named"),
    ] {
        let run = refused(&machine, arguments);
        assert_eq!(run.code, Some(2), "{run:?}");
        assert!(run.stderr.contains(words), "{arguments}: {run:?}");
    }
    // No identity is ever needed.
    let bare = archived();
    fs::remove_file(bare.path("kit")).unwrap();
    assert_eq!(bare.run("copy home --to second").code, Some(0));
}
