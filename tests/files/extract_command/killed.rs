//! An extraction that is killed: nothing half-made has its name, and the next run makes everything whole.

use std::fs;
use std::time::Duration;

use rustix::process::Signal;

use super::archived::{Archived, holds};
use crate::common::from_env;
use crate::common::rng::Rng;

/// What stands in a directory beside the work of a run.
fn named(archived: &Archived, to: &str) -> Vec<String> {
    let Ok(entries) = fs::read_dir(archived.path(to)) else {
        return Vec::new();
    };
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names
        .filter(|name| !name.starts_with(".coldchain-extract-"))
        .collect()
}

#[test]
fn a_run_that_is_killed_leaves_nothing_under_a_final_name_and_the_next_one_goes_on() {
    let archived = Archived::new("");
    let mut rng = Rng::new(from_env("COLDCHAIN_SEED", 1));
    for kill in 0..from_env("COLDCHAIN_EXTRACT_KILLS", 6) {
        let to = format!("out-{kill}");
        let words = format!("extract home / --identity $T/kit --limit 16MiB --to $T/{to}");
        let mut talk = archived.machine.start(&words);
        talk.elapse(Duration::from_millis(rng.below(2500)));
        talk.signal(Signal::KILL);
        let ended = talk.end();
        let names = named(&archived, &to);
        if ended.code == Some(0) {
            continue;
        }
        // Between two renames some are there, and those are whole.
        for name in names {
            assert!(["album", "notes"].contains(&name.as_str()), "{name}");
        }
        let run = archived.extract(&format!("/ --to $T/{to}"));
        assert_eq!(run.code, Some(0), "{kill}: {run:?}");
        holds(&archived.path(&to), &archived.newest);
        assert_eq!(fs::read_dir(archived.path(&to)).unwrap().count(), 2);
    }
}

#[test]
fn a_signal_ends_it_and_the_next_run_goes_on() {
    let archived = Archived::new("");
    let words = "extract home / --identity $T/kit --limit 4MiB --to $T/out";
    let mut talk = archived.machine.start(words);
    assert!(talk.stderr_line().unwrap().contains("to fetch"));
    talk.signal(Signal::TERM);
    let run = talk.end();
    assert_eq!(run.code, Some(143), "{run:?}");
    assert_eq!(named(&archived, "out"), [""; 0]);
    let run = archived.extract("/ --to $T/out");
    assert_eq!(run.code, Some(0), "{run:?}");
    holds(&archived.path("out"), &archived.newest);
}
