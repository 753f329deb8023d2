//! Copies that a night brings up to date: after the archive, and without ever costing it.

use std::fs;

use super::copied::files;
use crate::common::machine::{LIVE_CONFIG, Machine, ONE_RECIPIENT, fed_config};
use crate::common::whole::first_and_seventh;

/// That config with a second store, to which the night copies.
fn with_copies(config: &str) -> String {
    let config = config.replacen(
        "store = \"disk\"\n",
        "store = \"disk\"\ncopies = [\"second\"]\n",
        1,
    );
    format!("{config}\n[store.second]\ntype = \"dir\"\npath = \"$T/second\"\n")
}

#[test]
fn a_night_copies_its_archive_and_one_without_the_second_disk_is_caught_up() {
    let machine = Machine::with_subvolume(256);
    machine.write_config(&with_copies(LIVE_CONFIG));
    fs::create_dir(machine.path("second")).unwrap();
    fs::write(machine.btrfs().path("home/a"), "one").unwrap();
    let run = machine.run("backup 2024-01-01 --date-override");
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(
        run.stdout
            .contains("home: copy in second: 1 archive copied"),
        "{run:?}"
    );
    let made = machine.fill("home: no recovery kit names this copy yet; where the kit is, run: coldchain key kit --kit FILE\n");
    assert!(run.stdout.ends_with(&made), "{run:?}");
    // The disk is away: the archive stands all the same.
    fs::rename(machine.path("second"), machine.path("away")).unwrap();
    fs::write(machine.btrfs().path("home/a"), "two").unwrap();
    let run = machine.run("backup 2024-01-07 --date-override");
    assert_eq!(run.code, Some(4), "{run:?}");
    assert!(
        run.stderr
            .contains("the night of `home` is done, but its copy in second is not up to date"),
        "{run:?}"
    );
    assert_eq!(
        machine.archived(),
        ["2024-01-01 full", "2024-01-07 incremental"]
    );
    // Before it is back, plans say what it lacks.
    for (words, copy) in [
        ("plan 2024-01-08", "; as of the last run\n"),
        ("plan 2024-01-14", ", and the new one; as of the last run\n"),
        (
            "backup 2024-01-14 --dry-run --date-override",
            ", and the new one; as of the last run\n",
        ),
    ] {
        let run = machine.run(words);
        assert_eq!(run.code, Some(0), "{run:?}");
        let mut lines = run.stdout.split_inclusive('\n');
        let line = lines.find(|line| line.contains("  copy  ")).unwrap();
        assert!(line.contains("second: 1 archive, "), "{run:?}");
        assert!(line.ends_with(copy), "{run:?}");
    }
    let json = machine.run("plan 2024-01-14 --json").stdout;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let copy = &json["plans"][0]["copies"][0];
    assert_eq!(
        (&copy["to"], &copy["archives"], &copy["new"]),
        (&"second".into(), &1.into(), &true.into()),
        "{json}"
    );
    // It is back: the next night brings what it lacks, also if nothing is due.
    fs::rename(machine.path("away"), machine.path("second")).unwrap();
    let run = machine.run("backup 2024-01-08 --date-override --json");
    assert_eq!(run.code, Some(0), "{run:?}");
    let done: serde_json::Value = serde_json::from_str(run.stdout.lines().last().unwrap()).unwrap();
    let copy = &done["sources"][0]["copies"][0];
    assert_eq!(
        (&copy["has"], &copy["of"]),
        (&2.into(), &2.into()),
        "{done}"
    );
    let mut copy = files(&machine.path("second"));
    copy.remove("home/ledger/COPY").unwrap();
    assert!(copy == files(&machine.path("store")));
}

#[test]
fn decide_copies_too_and_prints_nothing_but_its_answer() {
    let machine = Machine::fed(None);
    machine.write_config(&with_copies(&fed_config()));
    let [full, _] = first_and_seventh(100);
    // There is no second disk yet.
    let run = machine.run_with("decide 2024-01-01", &full);
    assert_eq!((run.code, run.stdout.as_str()), (Some(4), "c\n"), "{run:?}");
    fs::create_dir(machine.path("second")).unwrap();
    let run = machine.run_with("decide 2024-01-02", b"");
    let said = run.stderr.replace(ONE_RECIPIENT, "");
    assert_eq!(
        (run.code, run.stdout.as_str(), said.as_str()),
        (Some(0), "", "")
    );
    assert_eq!(
        machine.run("copy").stdout,
        "home: copy in second: it has all 1 archive\n"
    );
}
