//! What can not be answered says why.

use super::ledger::{CostMachine, MadeUp};

const SHELF: &str = "[[source]]\nname = \"home\"\nstore = \"shelf\"\n[[source]]\nname = \"mail\"\nstore = \"shelf\"\n\
    [store.shelf]\ntype = \"dir\"\npath = \"$T/shelf\"\n";

/// A machine with an archive of the source `home`; `mail` was never archived.
fn machine() -> CostMachine {
    let mut machine = CostMachine::new(SHELF);
    let archive = MadeUp::new("2026-11-01 full", 5 << 20, 128 << 20);
    machine.source("home", "file://$T/shelf", &[archive]);
    machine
}

#[track_caller]
fn refused(machine: &CostMachine, words: &str, code: i32, stderr: &str) {
    let ended = machine.cost(words);
    assert_eq!(
        (ended.code, ended.stdout.as_str(), ended.stderr.as_str()),
        (Some(code), "", stderr),
        "{words}"
    );
}

#[test]
fn what_is_typed_wrong_is_refused() {
    let machine = machine();
    refused(
        &machine,
        "hone",
        2,
        "error: unknown source `hone`, did you mean `home`?\nhint: known: `home`, `mail`\n",
    );
    for (words, says) in [
        (
            "--storage-class COLD",
            "invalid value 'COLD' for '--storage-class <CLASS>': unknown storage class `COLD`, known: `STANDARD`",
        ),
        (
            "--storage-class GLACIER_VAULT",
            "a vault is no class of S3, and takes no new customers",
        ),
        (
            "--months 0",
            "invalid value '0' for '--months <N>': 0 is not in 1..=120",
        ),
        ("--months 10000", "10000 is not in 1..=120"),
        ("--months x", "invalid value 'x' for '--months <N>'"),
        (
            "--segment-size 8MiB",
            "give a size like 128MiB, from 16MiB to 1GiB in steps of 4MiB",
        ),
        ("--segment-size 2GiB", "from 16MiB to 1GiB"),
        ("--segment-size 17MiB", "in steps of 4MiB"),
        ("--segment-size 128", "in steps of 4MiB"),
        ("--thaw-days 0", "0 is not in 1..=365"),
        ("--from 2026-13-01", "2026-13-01"),
        ("--from latest", "this takes a date, not an archive"),
    ] {
        let ended = machine.cost(words);
        assert_eq!(
            (ended.code, ended.stdout.as_str()),
            (Some(2), ""),
            "{words}: {ended:?}"
        );
        assert!(ended.stderr.contains(says), "{words}: {ended:?}");
    }
}

#[test]
fn a_source_that_was_never_archived_is_refused_alone_and_told_among_others() {
    let machine = machine();
    refused(
        &machine,
        "mail",
        2,
        "error: nothing has been archived of `mail` yet\n\
         hint: run `coldchain catalog rebuild --identity KIT` if the store has archives of an earlier catalog or of \
         another machine\n",
    );
    let told = machine.cost("mail home home --from 2026-11-30 -q").ok();
    let lines: Vec<&str> = told.stdout.lines().take(3).collect();
    assert_eq!(
        lines,
        [
            "source  place                            stored  a month  12 months  restore",
            "mail    nothing has been archived yet",
            "home    shelf                          3.34 MiB     0.00       0.00     0.00",
        ]
    );
}

#[test]
fn without_archives_or_a_catalog_there_is_nothing_to_tell() {
    let empty = CostMachine::new(SHELF);
    let hint = "hint: run `coldchain catalog rebuild --identity KIT` if the store has archives of an earlier catalog or of \
         another machine\n";
    refused(
        &empty,
        "",
        2,
        &format!("error: nothing has been archived yet\n{hint}"),
    );
    std::fs::remove_file(empty.path("state/catalog.db")).unwrap();
    refused(
        &empty,
        "",
        2,
        &format!("error: nothing has been archived yet\n{hint}"),
    );
    // A machine that has its keys and has lost its catalog.
    std::fs::write(empty.path("state/signing.pub"), "x").unwrap();
    std::fs::write(empty.path("state/signing.key"), "x").unwrap();
    std::fs::write(empty.path("state/root.pub"), "x").unwrap();
    let ended = empty.cost("");
    assert_eq!(
        (ended.code, ended.stdout.as_str()),
        (Some(2), ""),
        "{ended:?}"
    );
    assert!(ended.stderr.contains("catalog.db is missing"), "{ended:?}");
}

#[test]
fn a_source_that_the_config_does_not_name_has_no_forecast() {
    let machine = machine();
    machine.write_config(&SHELF.replace("\"home\"", "\"other\""));
    let document = machine.cost("home --json").ok().json();
    let source = &document["sources"][0];
    assert_eq!(source["forecast"], serde_json::Value::Null);
    assert_eq!(
        source["no_forecast"],
        "the config does not name it, so its schedule is not known"
    );
    assert_eq!(source["usd_a_month"], 0.0);
}

#[test]
fn a_forecast_beyond_the_calendar_is_told_so() {
    let machine = machine();
    let told = machine.cost("home --from 9999-12-31 -q").ok();
    assert!(told.stdout.contains("months"), "{told:?}");
}
