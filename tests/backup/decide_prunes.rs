//! `decide` prunes after itself, on a night with nothing due too, and says nothing of it on stdout.

use crate::common::machine::{DECIDE_PRUNES, Machine, fed_config};
use crate::common::stream_builder::StreamBuilder;

/// The stream of a date: a full, or an incremental on the other date.
fn stream(date: &str, parent: Option<&str>) -> Vec<u8> {
    let uuid = |date: &str| -> [u8; 16] {
        let mut uuid = *b"uuid of $DATE...";
        uuid[5..15].copy_from_slice(date.as_bytes());
        uuid
    };
    let name = date.as_bytes();
    let begun = match parent {
        None => StreamBuilder::header(1)
            .subvol(name, uuid(date), 10)
            .mkfile(b"a file"),
        Some(parent) => StreamBuilder::header(1).snapshot(name, uuid(date), 10, uuid(parent), 10),
    };
    begun.write(b"a file", 0, &[7; 1000]).finish()
}

/// Feeds a date's stream, and returns the answer with the exit code and stderr.
fn decide(machine: &Machine, date: &str, parent: Option<&str>) -> (String, Option<i32>, String) {
    let run = machine.run_with(&format!("decide {date}"), &stream(date, parent));
    (run.stdout, run.code, run.stderr)
}

fn ok(answer: &str) -> (String, Option<i32>, String) {
    (answer.to_owned(), Some(0), String::new())
}

/// A machine with these lines in `[schedule]`, which deletes at the next run what one has retired.
fn machine(schedule: &str) -> Machine {
    let machine = Machine::fed(None);
    configure(&machine, "", schedule);
    machine
}

fn configure(machine: &Machine, top: &str, schedule: &str) {
    let config = fed_config();
    machine.write_config(&format!(
        "{top}delete_after = \"0s\"\n{config}\n[schedule]\n{schedule}\n"
    ));
}

#[test]
fn a_night_with_nothing_due_retires_what_has_expired_and_a_later_one_deletes_it() {
    let machine = machine("max_incrementals = 1\nexpire_after_days = 10");
    assert_eq!(decide(&machine, "2024-01-01", None), ok("c\n"));
    let parent = Some("2024-01-01");
    assert_eq!(decide(&machine, "2024-01-07", parent), ok("i 2024-01-01\n"));
    assert_eq!(decide(&machine, "2024-01-14", None), ok("c\n"));
    assert_eq!(decide(&machine, "2024-01-16", None), ok(""));
    assert_eq!(machine.archived().len(), 3);
    let objects = machine.objects(".zst.age").len();

    assert_eq!(decide(&machine, "2024-01-17", None), ok(""));
    assert_eq!(machine.archived(), ["2024-01-14 full"]);
    assert_eq!(machine.objects(".zst.age").len(), objects);
    assert_eq!(decide(&machine, "2024-01-18", None), ok(""));
    assert_eq!(machine.objects(".zst.age").len(), objects - 2);
    // Nothing is left to do, so nothing is written.
    let before = machine.standing();
    assert_eq!(decide(&machine, "2024-01-19", None), ok(""));
    assert_eq!(machine.standing(), before);
}

#[test]
fn an_archive_retires_what_its_commit_lets_expire() {
    let machine = machine("max_incrementals = 0\nexpire_after_days = 6");
    assert_eq!(decide(&machine, "2024-01-01", None), ok("c\n"));
    assert_eq!(decide(&machine, "2024-01-07", None), ok("c\n"));
    assert_eq!(machine.archived(), ["2024-01-07 full"]);
}

#[test]
fn another_machine_prunes_if_the_config_says_so() {
    let schedule = "max_incrementals = 0\nexpire_after_days = 6";
    let machine = machine(schedule);
    configure(&machine, "prune = \"elsewhere\"\n", schedule);
    for date in ["2024-01-01", "2024-01-07"] {
        assert_eq!(decide(&machine, date, None), ok("c\n"));
    }
    assert_eq!(decide(&machine, "2024-01-08", None), ok(""));
    assert_eq!(machine.archived().len(), 2);
}

#[test]
fn where_archives_were_made_without_it_that_it_prunes_is_announced_once() {
    let schedule = "max_incrementals = 0\nexpire_after_days = 6";
    let machine = machine(schedule);
    configure(&machine, "prune = \"elsewhere\"\n", schedule);
    for date in ["2024-01-01", "2024-01-07"] {
        assert_eq!(decide(&machine, date, None), ok("c\n"));
    }
    configure(&machine, "", schedule);
    let announced = (String::new(), Some(0), DECIDE_PRUNES.to_owned());
    assert_eq!(decide(&machine, "2024-01-07", None), announced);
    assert_eq!(machine.archived(), ["2024-01-07 full"]);
    assert_eq!(decide(&machine, "2024-01-08", None), ok(""));
}

#[test]
fn a_prune_that_fails_leaves_the_archive_and_ends_with_4() {
    let schedule = "max_incrementals = 0\nexpire_after_days = 6";
    let machine = machine(schedule);
    configure(&machine, "prune = \"elsewhere\"\n", schedule);
    for date in ["2024-01-01", "2024-01-07"] {
        assert_eq!(decide(&machine, date, None), ok("c\n"));
    }
    configure(&machine, "", schedule);
    // Two chains at once need somebody's word.
    let (answer, code, stderr) = decide(&machine, "2024-01-14", None);
    assert_eq!((answer.as_str(), code), ("c\n", Some(4)), "{stderr}");
    assert!(
        stderr.contains("`home` was archived, but a later step failed\n")
            && stderr.contains("--yes-delete 2"),
        "{stderr}"
    );
    assert_eq!(machine.archived().len(), 3);
    // A night with nothing due says it too, with the code of `prune`.
    let (answer, code, stderr) = decide(&machine, "2024-01-15", None);
    assert_eq!((answer.as_str(), code), ("", Some(2)), "{stderr}");
    assert!(stderr.contains("--yes-delete 2"), "{stderr}");
    assert_eq!(machine.archived().len(), 3);
}

#[test]
fn a_date_before_the_newest_archive_is_no_error_where_no_archive_was_missed() {
    let machine = machine("");
    assert_eq!(decide(&machine, "2024-01-01", None), ok("c\n"));
    let parent = Some("2024-01-01");
    assert_eq!(decide(&machine, "2024-01-21", parent), ok("i 2024-01-01\n"));
    let before = machine.standing();
    for date in ["2024-01-01", "2024-01-06"] {
        let said = format!(
            "warning: home: {date} is before the newest archive, and nothing is due: the slot of 2024-01-01 was filled on 2024-01-01\n"
        );
        assert_eq!(decide(&machine, date, None), (String::new(), Some(0), said));
    }
    // The slots of the 7th and the 14th were missed, and nothing can fill them any more.
    for date in ["2023-12-31", "2024-01-07", "2024-01-20"] {
        let said = format!(
            "error: cannot archive {date}: there is a later archive, of 2024-01-21, and archives are made in the order of their dates\n\
             hint: give a later date. If you did not make that archive, run `coldchain key show --entries` to see which key signed it; docs/keys.md says what to do\n"
        );
        assert_eq!(decide(&machine, date, None), (String::new(), Some(2), said));
    }
    let run = machine.run_with("decide 2024-01-02 --full", &stream("2024-01-02", None));
    assert_eq!((run.code, run.stdout.as_str()), (Some(2), ""));
    assert_eq!(machine.standing(), before);
}
