//! Sources without a store: they keep snapshots alone. What needs a store says so, and what works on all
//! sources leaves them out.

use std::fs;

use serde_json::{Value, json};

use crate::common::loopfs::LoopFs;
use crate::common::machine::{LIVE_CONFIG, Machine, Run, fed_config};
use crate::common::stream_builder::StreamBuilder;

/// A whole config. Its subvolume need not be there for what only reads.
const ALONE: &str = r#"timezone = "UTC"
state_dir = "$T/state"

[[source]]
name = "docs"
subvolume = "$FS/docs"
snapshots = "$FS/docs-snapshots"
"#;

const NO_SOURCE: &str = "error: $T/config.toml: no source has a store: they keep snapshots alone\n\
    hint: edit $T/config.toml: add `store = \"NAME\"` to a [[source]] to archive it\n";

const NO_STORE: &str = "error: source `docs` has no store: it keeps snapshots alone\n\
    hint: add `store = \"NAME\"` to its [[source]] to archive it\n";

/// The kit of [`Machine::new`] lies beside the config.
const KIT_IN_REACH: &str =
    "warning: $T/kit holds a secret key: keep it away from this machine, and delete it here\n";

/// The commands that are about archives; `{}` is where a source may be named.
const ON_ARCHIVES: &[&str] = &[
    "decide {} today",
    "show {} today",
    "thaw {} --status",
    "verify {}",
    "verify {} --deep --identity $T/kit",
    "prune {}",
    "prune {} --dry-run",
    "catalog check {}",
    "key check {} --identity $T/kit",
    "key add-recipient {} $R --identity $T/kit",
    "key rotate {} --kit $T/kit --undelete",
];

/// A machine whose only source keeps snapshots alone; nothing was run on it.
fn alone() -> Machine {
    let machine = Machine::new();
    machine.write_config(&ALONE.replace("$FS", "/nowhere"));
    machine
}

/// A machine with the source `home`, which has an archive of 2026-11-21, and `docs` without a store.
fn both() -> Machine {
    let machine = Machine::fed(None);
    archive(&machine);
    let docs = ALONE.split_once("\n\n").unwrap().1;
    machine.write_config(&format!("{}\n{docs}", fed_config()).replace("$FS", "/nowhere"));
    machine
}

/// Archives a made-up stream.
fn archive(machine: &Machine) {
    let stream = StreamBuilder::header(1)
        .subvol(b"home", [b'a'; 16], 10)
        .mkfile(b"file")
        .write(b"file", 0, b"letter")
        .finish();
    let run = machine.run_with("decide 2026-11-21", &stream);
    assert_eq!(run.code, Some(0), "{run:?}");
}

fn ok(run: Run) -> Run {
    assert_eq!(run.code, Some(0), "{run:?}");
    run
}

fn json_of(run: &Run) -> Value {
    serde_json::from_str(&run.stdout).unwrap_or_else(|error| panic!("{error}: {run:?}"))
}

#[test]
fn a_command_on_archives_says_that_no_source_has_a_store() {
    let machine = alone();
    for words in ON_ARCHIVES {
        machine
            .run(&words.replace("{} ", "").replace(" {}", ""))
            .is(2, "", NO_SOURCE);
    }
    machine.run("adopt $T").is(2, "", NO_SOURCE);
    let before = machine.run("list");
    assert!(!machine.state().exists(), "{before:?}");
}

#[test]
fn a_command_on_archives_says_that_the_named_source_has_no_store() {
    for machine in [alone(), both()] {
        for words in ON_ARCHIVES {
            machine
                .run(&words.replace("{}", "--source docs"))
                .is(2, "", NO_STORE);
        }
        machine.run("adopt --source docs $T").is(2, "", NO_STORE);
        machine
            .run("prune docs --revive 2026-11-21")
            .is(2, "", NO_STORE);
        machine.run("verify docs").is(2, "", NO_STORE);
        let run = machine.run("--json verify docs");
        let error: Value = serde_json::from_str(&run.stderr).unwrap();
        assert_eq!(error["error"]["code"], 2, "{run:?}");
    }
}

#[test]
fn adopt_on_a_new_machine_looks_for_a_copy_of_a_mirror() {
    let machine = Machine::new();
    let mirrored = format!("{ALONE}\n[[mirror]]\nsource = \"docs\"\nto = \"/nowhere/mirror\"\n");
    machine.write_config(&mirrored.replace("$FS", "/nowhere"));
    let none = "error: $T has no restored copy of a snapshot of `docs`\n";
    for words in ["adopt $T", "adopt --source docs $T"] {
        let run = machine.run(words);
        assert_eq!(run.code, Some(2), "{run:?}");
        assert!(run.stderr.starts_with(none), "{run:?}");
    }
}

#[test]
fn a_restore_needs_no_store_but_a_snapshot_or_a_mirror() {
    let none = "error: cannot restore the newest snapshot of `docs`: a snapshot here: there is none\n\
        hint: run `coldchain snapshots` to see what there is here; attach the disks of its mirrors, if it has any\n";
    for machine in [alone(), both()] {
        machine.run("restore docs --plan").is(1, "", none);
        machine
            .run("restore --source docs --to $T/to --yes")
            .is(1, "", none);
        machine
            .run("restore docs --from store --plan")
            .is(2, "", NO_STORE);
    }
    // The only source need not be named.
    alone().run("restore --plan").is(1, "", none);
    let run = alone().run("restore docs 2026-11-21 --from mirror --plan");
    run.is(
        1,
        "",
        "error: cannot restore 2026-11-21 of `docs` from a mirror: the config has no mirror of it\n\
         hint: leave --from out to take the nearest copy that there is\n",
    );
}

#[test]
fn a_rebuild_without_a_store_asks_for_one() {
    let run = alone().run("catalog rebuild --identity $T/kit");
    assert_eq!(run.code, Some(2), "{run:?}");
    assert!(run.stderr.contains("--store"), "{run:?}");
}

#[test]
fn a_plan_for_snapshots_alone_archives_nothing_and_says_why() {
    let machine = alone();
    machine.run("plan 2026-11-21").is(
        0,
        "2026-11-21  docs  none         no archive: this source has no store\n",
        "",
    );
    let plan = |date| {
        json!({
            "date": date, "source": "docs", "action": "none", "send_parent": null,
            "reason": "no archive: this source has no store", "expire": [], "waiting": [], "copies": [], "snapshots": [], "mirrors": [],
        })
    };
    let span = ok(machine.run("--json plan 2026-11-21 --until 2026-11-22"));
    assert_eq!(
        json_of(&span),
        json!({"plans": [plan("2026-11-21"), plan("2026-11-22")], "warnings": []})
    );
    machine.run("plan 2026-11-21 --until 2027-11-21").is(
        0,
        "",
        "nights with nothing due are left out; -v shows them\n",
    );
    let dry = ok(machine.run("--json backup 2026-11-21 --dry-run"));
    assert_eq!(json_of(&dry)["plans"], json!([plan("2026-11-21")]));
    assert!(!machine.state().exists());
}

#[test]
fn a_list_shows_snapshots_alone_and_names_no_store() {
    let machine = alone();
    machine.run("list").is(
        0,
        "docs  snapshots alone\n  `coldchain snapshots` shows them\n",
        "",
    );
    let expected =
        json!([{"name": "docs", "store": null, "next_slot": null, "chains": [], "mirrors": []}]);
    assert_eq!(machine.listed()["sources"], expected);
    let tested = "no store to test: no source has one\n";
    // Its subvolume does not exist.
    let run = machine.run("doctor");
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(
        run.stdout.contains("\nsource docs\n  FAIL  subvolume "),
        "{run:?}"
    );
    assert!(
        run.stdout.ends_with(tested) && run.stderr.starts_with(KIT_IN_REACH),
        "{run:?}"
    );
    let doctor: Value = serde_json::from_str(&machine.run("doctor --json").stdout).unwrap();
    assert_eq!(doctor["stores"], json!([]));
    machine
        .run("key show")
        .is(0, "signing key  none\nroot key     none\n", "");
}

#[test]
fn commands_over_all_sources_leave_out_those_without_a_store() {
    let machine = both();
    let run = ok(machine.run("list --json"));
    let sources = json_of(&run)["sources"].as_array().unwrap().clone();
    assert_eq!(sources[0]["chains"].as_array().unwrap().len(), 1);
    assert_eq!(sources[1]["store"], Value::Null);
    // Where one source is taken, it is the only one with archives.
    let plan = json_of(&ok(machine.run("restore --plan --json")));
    assert_eq!(
        (&plan["source"], &plan["date"]),
        (&json!("home"), &json!("2026-11-21"))
    );
    assert!(
        ok(machine.run("show latest"))
            .stdout
            .contains("2026-11-21-full-")
    );
    ok(machine.run("thaw --status"));
    for (words, key) in [
        ("verify", "source"),
        ("verify --deep --identity $T/kit", "source"),
        ("prune", "source"),
        ("prune --dry-run", "source"),
        ("catalog check", "name"),
        ("key check --identity $T/kit", "source"),
        ("key add-recipient $R --identity $T/kit", "source"),
        ("key rotate --kit $T/kit --new-signing-key", "source"),
    ] {
        let answer = json_of(&ok(machine.run(&format!("--json {words}"))));
        let sources = answer["sources"].as_array().unwrap();
        let names: Vec<&Value> = sources.iter().map(|source| &source[key]).collect();
        assert_eq!(names, ["home"], "{words}: {answer}");
    }
    let nights = json_of(&ok(machine.run("plan 2026-12-01 --json")))["plans"].clone();
    let nights = nights.as_array().unwrap().iter();
    let planned: Vec<_> = nights
        .map(|plan| (&plan["source"], &plan["action"]))
        .collect();
    assert_eq!(planned.len(), 2);
    assert_eq!(planned[1], (&json!("docs"), &json!("none")));
    // Nothing gave it a ledger.
    let kit = ok(machine.run("key kit --json"));
    assert_eq!(
        json_of(&kit)["sources"].as_array().unwrap().len(),
        1,
        "{kit:?}"
    );
    // A rebuild reads the stores that are used.
    fs::remove_file(machine.state().join("catalog.db")).unwrap();
    ok(machine.run("catalog rebuild --identity $T/kit"));
    assert_eq!(machine.archived(), ["2026-11-21 full"]);
}

#[test]
fn init_makes_neither_kit_nor_keys_where_no_source_has_a_store() {
    let machine = Machine::fed(Some(LoopFs::new(256)));
    machine.btrfs().subvolume("docs");
    machine.write_config(&ALONE.replace("$T/state", "$T/other"));
    let done = "no source has a store: snapshots alone need no recovery kit and no keys\n";
    let made = format!("made $FS/docs-snapshots\n{done}");
    machine
        .run("init --kit $T/another")
        .is(0, &made, KIT_IN_REACH);
    machine
        .run("init --kit $T/another")
        .is(0, done, KIT_IN_REACH);
    let json = json_of(&ok(machine.run("init --json --kit $T/another")));
    assert_eq!(
        (&json["kit"], &json["root_key"]),
        (&Value::Null, &Value::Null)
    );
    assert!(!machine.path("another").exists());
    let mut files: Vec<_> = fs::read_dir(machine.path("other"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.contains("key") || name.contains("pub"))
        .collect();
    files.sort();
    assert!(files.is_empty(), "{files:?}");
    // A store that comes later gets all of it.
    machine.write_config(
        &LIVE_CONFIG
            .replace("$T/state", "$T/other")
            .replace("$FS/home", "$FS/docs"),
    );
    let later = ok(machine.run("init --kit $T/kit"));
    assert!(later.stdout.contains("signing keys"), "{later:?}");
}

#[test]
fn init_names_a_subvolume_that_is_not_there_and_makes_nothing() {
    let machine = alone();
    let run = machine.run("init");
    assert_eq!(run.code, Some(2), "{run:?}");
    assert!(run.stderr.contains("/nowhere/docs"), "{run:?}");
    assert!(!machine.state().exists());
}

#[test]
fn a_config_that_means_something_else_is_named_with_line_and_key() {
    let machine = Machine::new();
    let store = "[store.disk]\ntype = \"dir\"\npath = \"$T/store\"\n";
    let keys = "known: `name`, `subvolume`, `snapshots`, `keep`, `keep_days`, `links`, `keep_snapshots_days`, `keep_snapshots`, `latest_only`, \
                `store`, `copies`, `archive_as`, `protocol`, `compressed_data`, `segment_size`, `contents`, `index`, `schedule`, `pull`";
    let needs = |key: &str| {
        format!(
            "error: $T/config.toml:8: `source.{key}` has no effect in a source without a `store`\n\
             hint: add `store = \"NAME\"` to archive the source, or remove the line\n"
        )
    };
    let mut cases = vec![
        (
            format!("{ALONE}stor = \"disk\"\n{store}"),
            format!(
                "error: $T/config.toml:8: unknown key `source.stor`, did you mean `store`?\nhint: {keys}\n"
            ),
        ),
        (
            format!("{ALONE}store = \"disc\"\n{store}"),
            "error: $T/config.toml:8: unknown store `disc`, did you mean `disk`?\nhint: known: `disk`\n".to_owned(),
        ),
        (
            format!("{ALONE}store = \"disk\"\n"),
            "error: $T/config.toml:8: unknown store `disk`\nhint: describe it in a [store.NAME]\n".to_owned(),
        ),
        (
            ALONE.replace("subvolume", "#").replace("snapshots", "#"),
            "error: $T/config.toml:4: the source has neither a `store` nor a `subvolume`\n\
             hint: set `store` to archive it, `subvolume` and `snapshots` to keep snapshots of it, or all three\n"
                .to_owned(),
        ),
    ];
    for (key, value) in [
        ("copies", "[\"disk\"]"),
        ("archive_as", "\"docs\""),
        ("protocol", "2"),
        ("compressed_data", "false"),
        ("segment_size", "\"16MiB\""),
        ("schedule", "{ days = [1] }"),
    ] {
        cases.push((format!("{ALONE}{key} = {value}\n"), needs(key)));
    }
    for (config, stderr) in cases {
        machine.write_config(&config.replace("$FS", "/nowhere"));
        for words in ["backup", "plan", "list", "init"] {
            machine.run(words).is(2, "", &stderr);
        }
    }
}

#[test]
fn a_store_that_no_source_uses_is_warned_of_where_one_is_lacking() {
    let machine = Machine::new();
    let store = "[store.disk]\ntype = \"dir\"\npath = \"$T/store\"\n";
    machine.write_config(&format!("{ALONE}\n{store}").replace("$FS", "/nowhere"));
    let warning = "warning: no source uses [store.disk]; to archive docs there, add `store = \"disk\"` to its [[source]]\n";
    for (words, code) in [("plan", 0), ("doctor", 1)] {
        let run = machine.run(words);
        assert_eq!(run.code, Some(code), "{run:?}");
        assert!(run.stderr.starts_with(warning), "{run:?}");
    }
    let rebuilt = machine.run("catalog rebuild --identity $T/kit");
    assert_eq!(rebuilt.code, Some(2), "{rebuilt:?}");
}

#[test]
fn a_source_that_lost_its_store_keeps_its_archives() {
    let machine = Machine::fed(None);
    archive(&machine);
    let before = machine.archived();
    let paths = "subvolume = \"/nowhere\"\nsnapshots = \"/nowhere/snapshots\"";
    let lost = fed_config().replace("store = \"disk\"", paths);
    // With the store's table left in the config or not, the catalog knows where the archives lie.
    let without_table = lost.split_once("[store.disk]").unwrap().0;
    for config in [lost.as_str(), without_table] {
        machine.write_config(config);
        assert_eq!(machine.archived(), before);
        let source = machine.listed()["sources"][0].clone();
        assert!(
            source["store"].as_str().unwrap().starts_with("file://"),
            "{source}"
        );
        assert_eq!(source["next_slot"], Value::Null);
        for words in [
            "show latest",
            "restore --plan",
            "thaw --status",
            "verify --deep --identity $T/kit",
            "catalog check",
            "key check --identity $T/kit",
        ] {
            ok(machine.run(words));
        }
        let warning = "home: the config names no store for it any more, so it is not archived, and none of its archives \
                       is retired or deleted: put its `store` back to continue";
        for (words, code) in [("plan", 0), ("doctor", 1)] {
            let run = machine.run(words);
            assert_eq!(run.code, Some(code), "{run:?}");
            assert!(run.stderr.contains(warning), "{run:?}");
        }
        machine.run("prune").is(2, "", NO_SOURCE);
        let forget = machine.run("forget home --yes");
        assert_eq!(forget.code, Some(2), "{forget:?}");
        assert_eq!(machine.archived(), before);
    }
    // A leaked key must not sign its ledger any longer.
    let mixed = format!("{lost}\n[[source]]\nname = \"mail\"\nstore = \"disk\"\n");
    machine.write_config(&mixed);
    let rotated = json_of(&ok(
        machine.run("--json key rotate --kit $T/kit --new-signing-key")
    ));
    let names: Vec<&Value> = rotated["sources"].as_array().unwrap().iter().collect();
    assert!(
        names.iter().any(|source| source["source"] == "home"),
        "{rotated}"
    );
    // A catalog that is lost too is rebuilt from what the kit names.
    fs::remove_file(machine.state().join("catalog.db")).unwrap();
    ok(machine.run("catalog rebuild --identity $T/kit"));
    assert_eq!(machine.archived(), before);
    machine.write_config(&fed_config());
    let plan = json_of(&ok(machine.run("plan 2026-12-01 --json")))["plans"][0].clone();
    assert_eq!(plan["action"], "incremental", "{plan}");
}

#[test]
fn a_source_that_lost_its_store_before_its_first_archive_has_nothing_to_be_warned_of() {
    let machine = Machine::fed(None);
    let paths = "subvolume = \"/nowhere\"\nsnapshots = \"/nowhere/snapshots\"";
    let lost = fed_config().replace("store = \"disk\"", paths);
    machine.write_config(lost.split_once("[store.disk]").unwrap().0);
    assert_eq!(machine.listed()["sources"][0]["store"], Value::Null);
    let plan = ok(machine.run("plan --json"));
    assert_eq!(json_of(&plan)["warnings"], json!([]));
}

#[test]
fn an_init_without_a_store_does_not_hide_that_the_catalog_is_gone() {
    let machine = Machine::fed(Some(LoopFs::new(256)));
    machine.btrfs().subvolume("docs");
    archive(&machine);
    fs::remove_file(machine.state().join("catalog.db")).unwrap();
    machine.write_config(ALONE);
    ok(machine.run("init"));
    let run = machine.run("list");
    assert_ne!(run.code, Some(0), "{run:?}");
    assert!(run.stderr.contains("catalog rebuild"), "{run:?}");
}

#[test]
fn the_snapshot_that_the_next_incremental_needs_outlives_a_time_without_a_store() {
    let machine = Machine::with_subvolume(256);
    fs::write(machine.btrfs().path("home/letter"), "dear reader\n").unwrap();
    ok(machine.run("backup 2026-11-21 --date-override"));
    let snapshot = machine.btrfs().path("snapshots/2026-11-21");
    machine.write_config(&LIVE_CONFIG.replace("store = \"disk\"", "latest_only = true"));
    let told = machine.run("backup 2026-11-28").stderr;
    assert!(
        told.contains("the config names no store for it any more"),
        "{told}"
    );
    for words in [
        "backup 2026-11-28",
        "plan",
        "doctor",
        "prune",
        "init --kit $T/kit",
    ] {
        let run = machine.run(words);
        assert!(snapshot.join("letter").exists(), "{words}: {run:?}");
    }
    machine.write_config(LIVE_CONFIG);
    ok(machine.run("backup 2026-12-01 --date-override"));
    assert_eq!(
        machine.archived(),
        ["2026-11-21 full", "2026-12-01 incremental"]
    );
}
