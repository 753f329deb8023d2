//! The contents of archives after they are made: checked, and made later for archives without.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use crate::common::machine::{Machine, fed_config};
use crate::common::whole::first_and_seventh;

/// The full has two segments, the incremental one.
fn streams() -> [Vec<u8>; 2] {
    let [full, _] = first_and_seventh(17 << 10);
    let [_, incremental] = first_and_seventh(100);
    [full, incremental]
}

/// A machine that has archived them, with or without contents.
fn archived(contents: bool) -> Machine {
    let machine = Machine::fed(None);
    machine.write_config(&format!("contents = {contents}\n{}", fed_config()));
    for (date, stream) in ["2024-01-01", "2024-01-07"].into_iter().zip(streams()) {
        let run = machine.run_with(&format!("decide {date}"), &stream);
        assert_eq!(run.code, Some(0), "{run:?}");
    }
    machine
}

/// The objects of contents, those of the full first.
fn contents(machine: &Machine) -> Vec<PathBuf> {
    let mut found = machine.objects("");
    found.retain(|path| path.to_string_lossy().contains("/contents-"));
    found
}

fn answer(machine: &Machine, words: &str) -> Value {
    let run = machine.run(words);
    assert_eq!(run.code, Some(0), "{words}: {run:?}");
    serde_json::from_str(&run.stdout).unwrap_or_else(|error| panic!("{words}: {error}: {run:?}"))
}

fn state(machine: &Machine) -> String {
    let listed = machine.listed();
    let state = listed["sources"][0]["chains"][0]["state"].as_str();
    state.unwrap().to_owned()
}

/// What `restore --stream` writes of a date.
fn stream_of(machine: &Machine, date: &str) -> Vec<u8> {
    let to = machine.path("stream");
    let _ = fs::remove_file(&to);
    let run = machine.run(&format!(
        "restore {date} --stream $T/stream --identity $T/kit --yes"
    ));
    assert_eq!(run.code, Some(0), "{run:?}");
    fs::read(to).unwrap()
}

#[test]
fn contents_that_a_backup_has_made_are_what_the_segments_yield() {
    let machine = archived(true);
    assert_eq!(contents(&machine).len(), 2);
    let run = machine.run("verify --deep --identity $T/kit");
    assert_eq!(run.code, Some(0), "{run:?}");
    let shown = answer(&machine, "show 2024-01-01 --json");
    let objects = shown["contents"]["objects"].as_array().unwrap();
    assert_eq!(objects.len(), 1, "{shown}");
}

#[test]
fn damaged_contents_are_named_and_their_archive_is_restored_and_built_on() {
    let machine = archived(true);
    let [of_full, _] = &contents(&machine)[..] else {
        panic!("each archive has one object of contents");
    };
    let sound = fs::read(of_full).unwrap();
    let flipped = || {
        let mut bytes = sound.clone();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(of_full, bytes).unwrap();
        "--deep --identity $T/kit"
    };
    let missing = || {
        fs::remove_file(of_full).unwrap();
        ""
    };
    let strikes: [&dyn Fn() -> &'static str; 2] = [&flipped, &missing];
    for strike in strikes {
        let options = strike();
        let run = machine.run(&format!("verify {options}"));
        assert_eq!(run.code, Some(6), "{run:?}");
        let said = format!("{}{}", run.stdout, run.stderr);
        // The digest in its name is blanked.
        let named = said
            .lines()
            .any(|line| line.contains("/2024-01-01-full-") && line.contains("/contents-000000-"));
        assert!(named, "{said}");
        assert_eq!(state(&machine), "complete");
        let plans = answer(&machine, "plan 2024-01-14 --json");
        assert_eq!(plans["plans"][0]["action"], "incremental", "{plans}");
        assert_eq!(stream_of(&machine, "2024-01-01"), streams()[0]);
        assert_eq!(machine.run("prune").code, Some(0));
    }
    fs::write(of_full, sound).unwrap();
    assert_eq!(machine.run("verify --deep --identity $T/kit").code, Some(0));
}

#[test]
fn archives_without_contents_get_them_once() {
    let machine = archived(false);
    assert!(contents(&machine).is_empty());
    let before = machine.objects("");
    let plan = answer(&machine, "index --plan --json");
    assert_eq!(plan["sources"][0]["archives"].as_array().unwrap().len(), 2);
    assert_eq!(machine.run("index").code, Some(2));
    assert_eq!(machine.objects(""), before);

    let made = answer(&machine, "index --date 2024-01-07 --identity $T/kit --json");
    assert_eq!(
        made["sources"][0]["made"].as_array().unwrap().len(),
        1,
        "{made}"
    );
    assert_eq!(contents(&machine).len(), 1);
    let made = answer(&machine, "index --identity $T/kit --json");
    assert_eq!(
        made["sources"][0]["made"].as_array().unwrap().len(),
        1,
        "{made}"
    );
    assert_eq!(contents(&machine).len(), 2);
    let after = machine.objects("");
    let made = answer(&machine, "index --identity $T/kit --json");
    assert_eq!(
        made["sources"][0]["made"].as_array().unwrap().len(),
        0,
        "{made}"
    );
    assert_eq!(machine.objects(""), after);

    let run = machine.run("verify --deep --identity $T/kit");
    assert_eq!(run.code, Some(0), "{run:?}");
    let listed = machine.listed();
    for archive in listed["sources"][0]["chains"][0]["archives"]
        .as_array()
        .unwrap()
    {
        assert!(archive["contents_bytes"].as_u64().unwrap() > 0, "{archive}");
    }
    let run = machine.run("catalog check");
    assert_eq!(run.code, Some(0), "{run:?}");
    // The next archive is incremental on one that got its contents later.
    let plans = answer(&machine, "plan 2024-01-14 --json");
    assert_eq!(plans["plans"][0]["action"], "incremental", "{plans}");
}
