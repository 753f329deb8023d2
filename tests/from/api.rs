//! The library's face, as another program uses it: nothing of the crate but `api`, on what the program has set up.

use std::fs;
use std::path::Path;
use std::time::Duration;

use coldchain::api::{
    self, Config, Date, NightRequest, NightResult, PlanRequest, PlannedAction, RestoreRequest,
    SnapshotRequest, TakenFrom,
};

use crate::common::loopfs::{LoopFs, real_btrfs_available};
use crate::common::machine::{LIVE_CONFIG, Machine};
use crate::common::rng::Rng;
use crate::common::tree::{compare_trees, make_rich_tree, mutate_tree};

fn load(machine: &Machine) -> Config {
    Config::load(&machine.path("config.toml")).unwrap()
}

fn date(text: &str) -> Date {
    text.parse().unwrap()
}

/// The night of a date, and the archives that it stored: date, and whether it is a full.
#[track_caller]
fn night(config: &Config, night: &str) -> Vec<(Date, bool)> {
    let mut request = NightRequest::default();
    request.date = Some(date(night));
    let end = api::backup(config, "home", &request).unwrap();
    assert!(end.later.is_empty(), "{:?}", end.later);
    match end.result {
        NightResult::Archived(archives) => archives
            .iter()
            .map(|archive| (archive.date, archive.is_full))
            .collect(),
        NightResult::NothingDue { .. } => Vec::new(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn another_program_plans_archives_lists_and_restores() {
    if !real_btrfs_available() {
        return;
    }
    let machine = Machine::with_subvolume(512);
    let live = machine.btrfs().path("home");
    let mut rng = Rng::new(41);
    make_rich_tree(&live, &mut rng);
    let config = load(&machine);
    assert_eq!(config.sources(), ["home"]);

    // Plan: two nights of a span are due.
    let mut request = PlanRequest::default();
    request.date = Some(date("2024-01-01"));
    request.until = Some(date("2024-01-08"));
    let planned = api::plan(&config, &request).unwrap();
    assert_eq!(planned.warnings.len(), 1, "{:?}", planned.warnings);
    let due = |action: PlannedAction| action != PlannedAction::Nothing;
    let due: Vec<_> = planned
        .nights
        .iter()
        .filter(|night| due(night.action))
        .map(|night| (night.date, night.action))
        .collect();
    let first = date("2024-01-01");
    let incremental = PlannedAction::Incremental { send_parent: first };
    assert_eq!(
        due,
        [
            (first, PlannedAction::Full),
            (date("2024-01-07"), incremental)
        ]
    );

    // The nights do what was planned.
    assert_eq!(night(&config, "2024-01-01"), [(first, true)]);
    mutate_tree(&live, &mut rng);
    assert_eq!(night(&config, "2024-01-02"), []);
    mutate_tree(&live, &mut rng);
    assert_eq!(night(&config, "2024-01-07"), [(date("2024-01-07"), false)]);

    // A snapshot at any time.
    let taken = api::snapshot(&config, "home", &SnapshotRequest::default()).unwrap();
    assert!(taken.is_new && taken.later.is_none(), "{taken:?}");
    compare_trees(&live, &taken.path);

    // The list has all of it, and is the command's.
    let listed = api::list(&config, None).unwrap();
    let [home] = &listed[..] else {
        panic!("{listed:?}")
    };
    let [chain] = &home.chains[..] else {
        panic!("{home:?}")
    };
    assert_eq!((chain.date, chain.state.as_str()), (first, "complete"));
    let archives: Vec<String> = chain
        .archives
        .iter()
        .map(|it| {
            format!(
                "{} {}",
                it.date,
                if it.is_full { "full" } else { "incremental" }
            )
        })
        .collect();
    assert_eq!(archives, machine.archived());
    assert_eq!(chain.archives[1].send_parent, Some(first));
    let names: Vec<&str> = home.snapshots.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(
        names,
        ["2024-01-01", "2024-01-02", "2024-01-07", &taken.name]
    );

    // From the store, with the kit.
    let disk = LoopFs::new(512);
    let mut request = RestoreRequest::default();
    request.name = Some("2024-01-07".to_owned());
    request.from = Some(TakenFrom::Store);
    request.identity = Some(machine.path("kit"));
    request.writable = Some("work".to_owned());
    let end = api::restore(&config, "home", &disk.root(), &request).unwrap();
    assert_eq!(
        (end.name.as_str(), end.from),
        ("2024-01-07", TakenFrom::Store)
    );
    let snapshot = machine.btrfs().path("snapshots/2024-01-07");
    compare_trees(&snapshot, &end.path);
    fs::write(end.writable.unwrap().join("new"), "text").unwrap();

    // From the snapshot here: no identity.
    let here = machine.btrfs().path("restored");
    fs::create_dir(&here).unwrap();
    let mut request = RestoreRequest::default();
    request.name = Some(taken.name);
    let end = api::restore(&config, "home", &here, &request).unwrap();
    assert_eq!(end.from, TakenFrom::Snapshot);
    compare_trees(&taken.path, &end.path);
}

#[test]
fn a_call_does_what_the_command_does_to_hooks_log_and_mirrors() {
    if !real_btrfs_available() {
        return;
    }
    let machine = Machine::with_subvolume(512);
    let disk = LoopFs::new(512);
    fs::write(machine.btrfs().path("home/letter"), "text").unwrap();
    let hook = machine.path("hook");
    // What the library starts must not be the program that uses it.
    let copied = std::process::Command::new("install")
        .args(["-m", "755", "/dev/stdin"])
        .arg(&hook)
        .stdin(std::process::Stdio::piped())
        .spawn()
        .and_then(|mut child| {
            use std::io::Write as _;
            let script = "#!/bin/sh\necho \"$COLDCHAIN_EVENT $COLDCHAIN_RESULT\" >> \"${0%/*}/heard\"\nexit 7\n";
            child.stdin.take().unwrap().write_all(script.as_bytes())?;
            child.wait()
        });
    assert!(copied.unwrap().success());
    machine.write_config(&format!(
        "log = \"$T/log\"\nsender = \"kernel\"\n{LIVE_CONFIG}\n[hooks]\nafter = [\"{}\"]\n\n\
         [[mirror]]\nsource = \"home\"\nto = \"{}\"\n\n[[mirror]]\nsource = \"home\"\nto = \"{}\"\n",
        hook.display(),
        disk.root().display(),
        machine.path("nowhere").display()
    ));
    let config = load(&machine);
    let mut request = NightRequest::default();
    request.date = Some(date("2024-01-01"));
    request.wait_lock = Duration::from_secs(1);
    let end = api::backup(&config, "home", &request).unwrap();
    assert!(matches!(&end.result, NightResult::Archived(made) if made.len() == 1));
    let [mirror] = &end.mirrors[..] else {
        panic!("{:?}", end.mirrors)
    };
    assert_eq!(mirror.sent, ["2024-01-01"]);
    compare_trees(
        &machine.btrfs().path("snapshots/2024-01-01"),
        &disk.path("home/2024-01-01"),
    );
    // The mirror that is not there has failed after the archive, and counts before the hook.
    let failed: Vec<u8> = end.later.iter().map(api::Error::exit_code).collect();
    assert_eq!(failed, [4], "{:?}", end.later);
    let message = end.later[0].message();
    assert!(message.contains("/nowhere"), "{message}");
    assert_eq!(
        end.warnings.iter().filter(|it| it.contains("hook")).count(),
        1,
        "{:?}",
        end.warnings
    );
    let heard = fs::read_to_string(machine.path("heard")).unwrap();
    assert_eq!(heard, "backup archived\n");
    let log = fs::read_to_string(machine.path("log")).unwrap();
    assert!(
        log.contains("archived") && log.contains("hook-failed"),
        "{log}"
    );
    let listed = api::list(&config, Some("home")).unwrap();
    let mirrors = &listed[0].mirrors;
    assert_eq!(mirrors[0].copies, ["2024-01-01"]);
    assert_eq!(
        mirrors[1].lacking.as_deref(),
        Some(&["2024-01-01".to_owned()][..])
    );
}

#[test]
fn an_error_has_message_hint_and_the_exit_code_of_the_command() {
    let is_shared =
        |error: api::Error| -> Box<dyn std::error::Error + Send + Sync> { error.into() };
    let none = Config::load(Path::new("/nowhere/config.toml")).unwrap_err();
    assert_eq!(none.exit_code(), 2);
    assert!(none.message().contains("/nowhere/config.toml"), "{none}");
    assert!(none.hint().is_some());
    assert!(!is_shared(none).to_string().is_empty());

    let machine = Machine::fed(None);
    let config = load(&machine);
    let run = machine.run("plan nobody");
    let error = api::list(&config, Some("nobody")).unwrap_err();
    assert_eq!(Some(i32::from(error.exit_code())), run.code);

    let mut request = NightRequest::default();
    request.limit = Some(100);
    let error = api::backup(&config, "home", &request).unwrap_err();
    assert_eq!(error.exit_code(), 2);
    assert!(error.message().contains("65536"), "{error}");

    let mut request = PlanRequest::default();
    request.date = Date::new(2024, 1, 2);
    request.until = Date::new(2024, 1, 1);
    let error = api::plan(&config, &request).unwrap_err();
    assert_eq!(error.message(), "2024-01-01 is before 2024-01-02");

    for name in ["2024-01-01", ".hidden", "a/b", ""] {
        let mut request = RestoreRequest::default();
        request.writable = Some(name.to_owned());
        let error = api::restore(&config, "home", Path::new("/nowhere"), &request).unwrap_err();
        assert_eq!(error.exit_code(), 2, "{name}: {error}");
    }
}

#[test]
fn a_restore_that_may_cost_money_is_refused_unless_the_caller_agrees() {
    if !real_btrfs_available() {
        return;
    }
    let machine = Machine::with_subvolume(256);
    let cold = "path = \"$T/store\"\ncold = \"DEEP_ARCHIVE\"";
    machine.write_config(&LIVE_CONFIG.replace("path = \"$T/store\"", cold));
    fs::write(machine.btrfs().path("home/letter"), "text").unwrap();
    let config = load(&machine);
    assert_eq!(night(&config, "2024-01-01"), [(date("2024-01-01"), true)]);
    let mut request = RestoreRequest::default();
    request.from = Some(TakenFrom::Store);
    request.identity = Some(machine.path("kit"));
    let to = machine.btrfs().path("restored");
    fs::create_dir(&to).unwrap();
    let refused = api::restore(&config, "home", &to, &request).unwrap_err();
    assert_eq!(refused.exit_code(), 2, "{refused}");
    assert!(
        refused.message().contains("the limit of USD 0.00"),
        "{}",
        refused.message()
    );
    assert_eq!(fs::read_dir(&to).unwrap().count(), 0);
    request.max_cost_cents = Some(100);
    let thawing = api::restore(&config, "home", &to, &request).unwrap_err();
    assert_eq!(thawing.exit_code(), 5, "{thawing}");
}
