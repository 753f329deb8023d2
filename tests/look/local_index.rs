//! The file index on this machine: made by each archive, removed, and made anew.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use crate::common::machine::{Machine, fed_config};
use crate::common::replicated::only_ledger;
use crate::common::whole::first_and_seventh;

const DATES: [&str; 2] = ["2024-01-01", "2024-01-07"];

/// What `ls -q home` prints of these archives.
const LISTED: &str = "a file\n";

/// A machine that has archived two streams, with or without contents.
fn archived(contents: bool) -> Machine {
    let machine = Machine::fed(None);
    machine.write_config(&format!("contents = {contents}\n{}", fed_config()));
    for (date, stream) in DATES.into_iter().zip(first_and_seventh(10)) {
        let run = machine.run_with(&format!("decide {date}"), &stream);
        assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""), "{run:?}");
    }
    machine
}

/// Where its index is.
fn index(machine: &Machine) -> PathBuf {
    let ledger = only_ledger(&machine.state().join("catalog.db"));
    machine.state().join(format!("files/{ledger}.db"))
}

/// The databases that are there.
fn databases(machine: &Machine) -> usize {
    let files = fs::read_dir(machine.state().join("files")).unwrap();
    let paths = files.map(|file| file.unwrap().path());
    paths
        .filter(|path| path.extension().is_some_and(|it| it == "db"))
        .count()
}

#[test]
fn an_index_that_is_removed_is_made_anew_by_a_question_with_an_identity() {
    let machine = archived(true);
    machine.run("ls -q home").is(0, LISTED, "");
    machine.run("index --drop").is(
        0,
        "home: removed the index of its files; a question with --identity makes it anew\n",
        "",
    );
    assert!(!index(&machine).exists());
    assert_eq!(databases(&machine), 0);
    machine
        .run("index --drop")
        .is(0, "home: there is no index of its files\n", "");
    let asked = machine.run("ls -q home");
    assert_eq!(asked.code, Some(1), "{asked:?}");
    assert!(
        asked.stderr.contains("hint: add --identity FILE"),
        "{asked:?}"
    );
    machine
        .run("ls -q home --identity $T/kit")
        .is(0, LISTED, "");
    let dropped = machine.run("index --drop --json");
    let dropped: Value = serde_json::from_str(&dropped.stdout).unwrap();
    assert_eq!(dropped["sources"][0]["dropped"], true);
}

#[test]
fn an_index_is_made_anew_beside_the_old_one() {
    let machine = archived(true);
    assert_eq!(machine.run("index --rebuild").code, Some(2));
    machine
        .run("index --rebuild --identity $T/kit")
        .is(0, "home: indexed 2 archives anew\n", "");
    machine.run("ls -q home").is(0, LISTED, "");
    // What a run that died left is no index, and makes way for one.
    let beside = index(&machine).with_extension("new.db");
    fs::write(&beside, "no database").unwrap();
    fs::write(index(&machine), "no database either").unwrap();
    let anew = machine.run("index --rebuild --identity $T/kit --json");
    let anew: Value = serde_json::from_str(&anew.stdout).unwrap();
    assert_eq!(anew["sources"][0]["indexed"].as_array().unwrap().len(), 2);
    assert_eq!(anew["sources"][0]["not_indexed"], serde_json::json!([]));
    assert_eq!(databases(&machine), 1);
    machine.run("ls -q home").is(0, LISTED, "");
    fs::write(&beside, "no database").unwrap();
    assert_eq!(machine.run("index --drop").code, Some(0));
    assert_eq!(databases(&machine), 0);
}

#[test]
fn an_index_that_cannot_be_made_anew_stays_as_it_was() {
    let machine = archived(true);
    for path in machine.objects("") {
        if path.to_string_lossy().contains("/contents-") {
            fs::rename(&path, path.with_extension("away")).unwrap();
        }
    }
    let run = machine.run("index --rebuild --identity $T/kit");
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(
        run.stderr
            .contains("warning: home: cannot index 2024-01-01-full-"),
        "{run:?}"
    );
    assert!(
        run.stderr.contains(
            "error: cannot make the file index of `home` anew: none of its archives can be indexed (2 tried); the old one is as it was\n"
        ),
        "{run:?}"
    );
    machine.run("ls -q home").is(0, LISTED, "");
    assert_eq!(databases(&machine), 1);
    for words in ["--drop --rebuild", "--drop --plan", "--rebuild --thaw"] {
        let run = machine.run(&format!("index {words} --identity $T/kit"));
        assert_eq!(run.code, Some(2), "{run:?}");
    }
}

#[test]
fn without_contents_a_question_names_the_command_that_makes_them() {
    let machine = archived(false);
    let asked = machine.run("ls home");
    assert_eq!(asked.code, Some(1), "{asked:?}");
    assert!(
        asked
            .stderr
            .contains("hint: run `coldchain index home --plan` to see what it costs"),
        "{asked:?}"
    );
    let run = machine.run("index --rebuild --identity $T/kit");
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(
        run.stderr.contains("run `coldchain index home` first"),
        "{run:?}"
    );
    assert_eq!(machine.run("index --identity $T/kit").code, Some(0));
    machine.run("ls -q home").is(0, LISTED, "");
}
