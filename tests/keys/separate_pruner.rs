//! A machine that archives and one that prunes, each with a catalog and a key of its own, by the real
//! program.

use std::fs;

use crate::common::machine::{Machine, Run, fed_config};
use crate::common::stream_builder::StreamBuilder;
use chrono::{Days, NaiveDate, Utc};
use coldchain::kit::Kit;
use serde_json::Value;

const SCHEDULE: &str = "\n[schedule]\nmax_incrementals = 0\nexpire_after_days = 30\n";

fn days_ago(days: u64) -> NaiveDate {
    Utc::now().date_naive() - Days::new(days)
}

fn feed(machine: &Machine, date: NaiveDate, uuid: u8) {
    let date = date.to_string();
    let stream = StreamBuilder::header(1)
        .subvol(date.as_bytes(), [uuid; 16], 10)
        .mkfile(b"file")
        .write(b"file", 0, date.as_bytes());
    let run = machine.run_with(&format!("decide {date}"), &stream.finish());
    assert_eq!(run.code, Some(0), "{date}: {}", run.stderr);
}

#[track_caller]
fn ok(run: &Run) -> &str {
    assert_eq!(
        (run.code, run.stderr.as_str()),
        (Some(0), ""),
        "{}",
        run.stdout
    );
    &run.stdout
}

fn config(machine: &Machine) -> String {
    let store = machine.path("store").display().to_string();
    let text = fed_config().replace("$T/store", &store);
    format!("delete_after = \"0s\"\n{text}{SCHEDULE}")
}

/// A machine with a chain whose time is over and one that stands, and the one that prunes for it.
fn machines() -> (Machine, Machine) {
    let machine = Machine::fed(None);
    machine.write_config(&config(&machine));
    feed(&machine, days_ago(100), b'a');
    feed(&machine, days_ago(4), b'b');
    let pruner = Machine::new();
    pruner.write_config(&config(&machine));
    ok(&pruner.run("key new"));
    let own = |machine: &Machine| {
        let shown: Value = serde_json::from_str(ok(&machine.run("key show --json"))).unwrap();
        shown["signing_key"].as_str().unwrap().to_owned()
    };
    for (key, role) in [(own(&pruner), "pruner"), (own(&machine), "writer")] {
        let rotate = format!("key rotate --kit $T/kit --add {key} --role {role}");
        ok(&machine.run(&rotate));
    }
    let kit = Kit::parse(fs::read_to_string(machine.path("kit")).unwrap().as_bytes()).unwrap();
    let root = kit.root.unwrap();
    ok(&pruner.run(&format!("catalog rebuild --trust {root}")));
    (machine, pruner)
}

#[test]
fn what_another_machine_retires_revives_and_deletes_is_known_where_it_is_restored() {
    let (machine, pruner) = machines();
    let old = days_ago(100);
    let restore = format!("restore home --from store --yes --date {old} --identity $T/kit");
    fs::create_dir(machine.path("out")).unwrap();
    // It is refused before the file is made.
    let into = format!("{restore} --stream $T/out/stream");
    let refused = |what: &str| {
        let run = machine.run(&into);
        assert_eq!(run.code, Some(2), "{}", run.stderr);
        let first = run.stderr.lines().next().unwrap();
        assert_eq!(
            first,
            format!("error: the archive of {old} of `home` was retired{what}")
        );
    };

    let retired = pruner.run("prune");
    assert!(
        ok(&retired).starts_with(&format!(
            "home: retired the chain of {old}, 1 archive, 3 objects"
        )),
        "{}",
        retired.stdout
    );
    // The catalog here has seen none of it.
    refused("");
    ok(&machine.run("catalog check"));
    // Now it has.
    feed(&machine, days_ago(3), b'c');
    let run = machine.run(&format!("{restore} --plan"));
    let hint =
        format!("hint: run `coldchain prune home --revive {old}` to make its chain visible again");
    assert!(run.stderr.contains(&hint), "{}", run.stderr);
    // Without the role of a pruner it deletes nothing either, however long the time of grace is over.
    let stored = machine.objects(".age");
    let kept = machine.run("prune");
    assert!(
        ok(&kept).contains("and this machine's key may not begin to delete it\n"),
        "{}",
        kept.stdout
    );
    assert_eq!(machine.objects(".age"), stored);

    ok(&pruner.run(&format!("prune home --revive {old}")));
    ok(&machine.run(&format!("{restore} --plan")));

    ok(&pruner.run("prune"));
    let deleted = pruner.run("prune");
    let told = ok(&deleted);
    assert!(
        told.starts_with(&format!(
            "home: deleted the chain of {old}, 1 archive, 3 objects"
        )),
        "{told}"
    );
    assert!(
        told.lines()
            .last()
            .unwrap()
            .starts_with("home: 3 objects removed, "),
        "{told}"
    );
    assert_eq!(machine.objects(".age").len(), stored.len() - 3);
    refused(", and is being deleted or gone");
    ok(&machine.run("catalog check"));
    let listed = pruner.run("list --all");
    assert!(
        ok(&listed).contains(&format!("chain of {old}  retired, being deleted or gone\n")),
        "{}",
        listed.stdout
    );
}

#[test]
fn a_dry_run_of_several_chains_ends_with_the_command_that_retires_them() {
    let machine = Machine::fed(None);
    machine.write_config(&config(&machine));
    for (days, uuid) in [(100, b'a'), (80, b'b'), (4, b'c')] {
        feed(&machine, days_ago(days), uuid);
    }
    let foreseen = machine.run("prune --dry-run");
    let last = ok(&foreseen).lines().last().unwrap();
    assert_eq!(
        last,
        "home: to retire several chains, run `coldchain prune home --yes-delete 2`"
    );
    let json: Value = serde_json::from_str(ok(&machine.run("prune --dry-run --json"))).unwrap();
    assert_eq!(json["sources"][0]["yes_delete"], 2);
    assert_eq!(machine.run("prune").code, Some(2));
    for _ in 0..3 {
        ok(&machine.run("prune home --yes-delete 2"));
    }
    assert_eq!(machine.objects("key.age").len(), 1);
}
