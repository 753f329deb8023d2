//! Snapshots by the hour on real btrfs: which stay, what holds deletions back, and where the links lead.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;
use std::sync::Mutex;

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Europe;
use coldchain::config::Config;
use coldchain::engine::{self, Clock, RunContext, Snapshotted, StateDir};
use coldchain::error::{Error, SnapshotError};
use coldchain::progress::{Event, Observer};

use crate::common::from_env;
use crate::common::loopfs::{LoopFs, btrfs, run};
use crate::common::sandbox::{SOURCE, Sandbox, Setup};

/// A clock that stands.
struct At(DateTime<Utc>);

impl Clock for At {
    fn now(&self) -> DateTime<Utc> {
        self.0
    }
}

/// Keeps the warnings.
#[derive(Default)]
struct Warnings(Mutex<Vec<String>>);

impl Observer for Warnings {
    fn event(&self, event: Event) {
        if let Event::Warning { message, .. } = event {
            self.0.lock().unwrap().push(message);
        }
    }
}

fn moment(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn keeping(source: &'static str) -> Sandbox {
    let sandbox = Sandbox::with(&Setup {
        source,
        ..Setup::default()
    });
    fs::write(sandbox.source().join("file"), "content").unwrap();
    sandbox
}

/// Takes a snapshot at that moment, and says what was warned of.
fn take(config: &Config, at: DateTime<Utc>) -> (Result<Snapshotted, Error>, Vec<String>) {
    let warnings = Warnings::default();
    let taken = engine::snapshot(
        config,
        &config.sources[0],
        RunContext {
            clock: &At(at),
            ..RunContext::real(&warnings)
        },
    );
    (taken, warnings.0.into_inner().unwrap())
}

/// Takes one that must succeed without a warning, and returns how many it deleted.
fn taken(config: &Config, at: DateTime<Utc>) -> usize {
    let (taken, warnings) = take(config, at);
    assert!(warnings.is_empty(), "{at}: {warnings:?}");
    let taken = taken.unwrap_or_else(|error| panic!("{at}: {error:?}"));
    assert!(taken.later.is_none(), "{at}: {taken:?}");
    taken.deleted.unwrap()
}

/// Takes them at the hours of a day.
fn at_hours(config: &Config, day: &str, hours: std::ops::Range<u32>) -> usize {
    let hours = hours.map(|hour| moment(&format!("{day}T{hour:02}:00:00Z")));
    hours.map(|at| taken(config, at)).sum()
}

fn target(sandbox: &Sandbox, link: &str) -> String {
    let target = fs::read_link(sandbox.fs.path("snapshots").join(link)).unwrap();
    target.into_os_string().into_string().unwrap()
}

#[test]
fn a_snapshot_can_be_taken_at_any_time_and_the_links_lead_to_it() {
    let sandbox = keeping("links = [\"current\", \"cur\"]");
    let ran = sandbox.run(["snapshot"]).ok();
    let names = sandbox.snapshot_names();
    let name = names.iter().find(|name| *name != "cur").unwrap();
    assert_eq!(
        ran.stdout,
        format!("{SOURCE}: snapshot {name} made\n"),
        "{ran:?}"
    );
    for link in ["current", "cur"] {
        assert_eq!(target(&sandbox, link), *name);
    }
    assert_eq!(
        fs::read_to_string(sandbox.fs.path("snapshots").join("current/file")).unwrap(),
        "content"
    );
    let json = sandbox.run(["snapshots", "--json"]).ok().json();
    let snapshot = &json["sources"][0]["snapshots"][0];
    assert_eq!(snapshot["name"], **name);
    assert_eq!(snapshot["fault"], serde_json::Value::Null);
    assert_eq!(json["sources"][0]["links"]["cur"], **name);
}

#[test]
fn a_second_one_in_the_same_minute_is_refused_and_the_first_stays() {
    let sandbox = keeping("");
    let config = sandbox.loaded_config();
    taken(&config, moment("2026-11-28T03:00:10Z"));
    let (second, _) = take(&config, moment("2026-11-28T03:00:50Z"));
    assert!(matches!(
        second,
        Err(Error::Snapshots(SnapshotError::SameMinute { .. }))
    ));
    assert_eq!(sandbox.snapshot_names(), ["2026-11-28T0300"]);
    taken(&config, moment("2026-11-28T03:01:00Z"));
    assert_eq!(target(&sandbox, "current"), "2026-11-28T0301");
}

/// Every hour of some days around the end of summer time; at two in the morning the nightly one too.
#[test]
fn of_hourly_snapshots_those_stay_that_the_terms_name() {
    let sandbox = keeping("keep = \"20h 3d 2w 2m\"");
    let mut config = sandbox.loaded_config();
    config.timezone = Europe::Berlin;
    let begin = moment("2026-10-23T22:00:00Z");
    let mut all: Vec<(String, DateTime<chrono_tz::Tz>)> = Vec::new();
    // A year and more in scripts/soak.
    let days = from_env("COLDCHAIN_SNAPSHOT_DAYS", 2);
    for hour in 0..i64::try_from(days).unwrap() * 24 {
        let at = begin + TimeDelta::hours(hour);
        fs::write(sandbox.source().join("file"), at.to_rfc3339()).unwrap();
        taken(&config, at);
        let local = at.with_timezone(&Europe::Berlin);
        let mut name = local.format("%FT%H%M").to_string();
        if all.iter().any(|(other, _)| *other == name) {
            name.push_str(&local.format("%z").to_string());
        }
        all.push((name, local));
    }
    let mut expected = BTreeSet::new();
    for (format, number) in [("%F %H %z", 20), ("%F", 3), ("%G %V", 2), ("%Y %m", 2)] {
        // The last of each span, by the order in which they were taken.
        let mut spans: BTreeMap<String, (usize, &str)> = BTreeMap::new();
        for (place, (name, local)) in all.iter().enumerate() {
            spans.insert(local.format(format).to_string(), (place, name));
        }
        let mut newest: Vec<(usize, &str)> = spans.into_values().collect();
        newest.sort_unstable();
        expected.extend(
            newest
                .iter()
                .rev()
                .take(number)
                .map(|(_, name)| (*name).to_owned()),
        );
    }
    let standing: BTreeSet<String> = sandbox.snapshot_names().into_iter().collect();
    assert_eq!(standing, expected);
    let (newest, at) = all.last().unwrap();
    assert_eq!(target(&sandbox, "current"), *newest);
    let kept = fs::read_to_string(sandbox.snapshot(newest).join("file")).unwrap();
    assert_eq!(kept, at.with_timezone(&Utc).to_rfc3339());
}

#[test]
fn what_the_next_archive_needs_stays_whatever_keep_says() {
    let sandbox = keeping("keep = 1");
    sandbox.backup("2026-01-01");
    let config = sandbox.loaded_config();
    at_hours(&config, "2026-11-28", 0..3);
    assert_eq!(sandbox.snapshot_names(), ["2026-01-01", "2026-11-28T0200"]);
    let text = sandbox.run(["snapshots"]).ok().stdout;
    assert!(
        text.contains("the next archive is sent against it"),
        "{text}"
    );
}

#[test]
fn a_snapshot_is_taken_while_another_run_works_and_deletes_nothing() {
    let sandbox = keeping("keep = 1");
    let config = sandbox.loaded_config();
    at_hours(&config, "2026-11-28", 0..1);
    let state_dir = StateDir::new(&config.state_dir);
    let held = state_dir.lock(
        &config.sources[0].name,
        &RunContext::real(&Warnings::default()),
    );
    let (second, _) = take(&config, moment("2026-11-28T01:00:00Z"));
    assert_eq!(second.unwrap().deleted, None);
    assert_eq!(sandbox.snapshot_names().len(), 2);
    assert_eq!(target(&sandbox, "current"), "2026-11-28T0100");
    drop(held);
    assert_eq!(at_hours(&config, "2026-11-28", 2..3), 2);
    assert_eq!(sandbox.snapshot_names(), ["2026-11-28T0200"]);
}

#[test]
fn while_the_clock_is_behind_nothing_is_deleted_and_that_is_said_once() {
    let sandbox = keeping("keep = 2");
    let config = sandbox.loaded_config();
    at_hours(&config, "2026-11-28", 0..2);
    let behind = |at| {
        let (taken, warnings) = take(&config, moment(at));
        assert_eq!(taken.unwrap().deleted, Some(0));
        warnings
    };
    let said = behind("2026-11-01T00:00:00Z");
    assert_eq!(
        said,
        [
            "the clock is behind the newest snapshot, 2026-11-28T0100, so no snapshot is deleted: check the clock"
        ]
    );
    assert!(behind("2026-11-01T01:00:00Z").is_empty());
    assert_eq!(sandbox.snapshot_names().len(), 4);
    assert_eq!(target(&sandbox, "current"), "2026-11-28T0100");
    let pruned = engine::prune_snapshots(
        &config,
        &config.sources[0],
        None,
        RunContext {
            clock: &At(moment("2026-11-01T02:00:00Z")),
            ..RunContext::real(&Warnings::default())
        },
    );
    assert!(matches!(
        pruned,
        Err(Error::Snapshots(SnapshotError::ClockBehind { .. }))
    ));
    // The clock is right again.
    assert_eq!(at_hours(&config, "2026-11-28", 2..3), 3);
    assert_eq!(
        sandbox.snapshot_names(),
        ["2026-11-28T0100", "2026-11-28T0200"]
    );
}

#[test]
fn a_snapshot_of_the_future_that_somebody_deleted_holds_nothing_back() {
    let sandbox = keeping("keep = 2");
    let config = sandbox.loaded_config();
    at_hours(&config, "2026-11-28", 0..2);
    assert_eq!(taken(&config, moment("2027-11-28T00:00:00Z")), 1);
    let (behind, warnings) = take(&config, moment("2026-11-28T02:00:00Z"));
    assert_eq!((behind.unwrap().deleted, warnings.len()), (Some(0), 1));
    btrfs(
        ["subvolume", "delete"],
        &[&sandbox.snapshot("2027-11-28T0000")],
    );
    let text = sandbox.run(["snapshots"]).ok().stdout;
    assert!(text.contains("2027-11-28T0000 is gone\n"), "{text}");
    assert_eq!(at_hours(&config, "2026-11-28", 3..4), 1);
    assert_eq!(target(&sandbox, "current"), "2026-11-28T0300");
    assert_eq!(
        sandbox.snapshot_names(),
        ["2026-11-28T0200", "2026-11-28T0300"]
    );
}

/// A disk that is away for a night, with another one in its place, keeps its snapshots and what they are needed for.
#[test]
fn snapshots_of_a_disk_that_is_away_are_known_when_it_comes_back() {
    let sandbox = keeping("keep = 3");
    sandbox.backup("2026-01-01");
    let config = sandbox.loaded_config();
    at_hours(&config, "2026-01-28", 0..2);
    let other = LoopFs::new(128);
    other.subvolume(SOURCE);
    fs::create_dir(other.path("snapshots")).unwrap();
    let (place, another) = (sandbox.fs.root(), other.root());
    run(Command::new("mount").arg("--bind").args([&another, &place])).unwrap();
    at_hours(&config, "2026-01-28", 2..4);
    run(Command::new("umount").arg(&place)).unwrap();
    at_hours(&config, "2026-01-28", 4..6);
    // The oldest would have been deleted meanwhile. It stays, and nobody knows any more who made it.
    assert_eq!(
        sandbox.snapshot_names(),
        [
            "2026-01-01",
            "2026-01-28T0000",
            "2026-01-28T0100",
            "2026-01-28T0400",
            "2026-01-28T0500"
        ]
    );
    let planned = sandbox.run(["plan", "2026-02-01"]).ok().stdout;
    assert!(planned.contains("incremental"), "{planned}");
}

#[test]
fn most_snapshots_go_only_when_the_user_has_confirmed_their_number() {
    let sandbox = keeping("keep = 20");
    at_hours(&sandbox.loaded_config(), "2026-01-28", 0..12);
    let config = fs::read_to_string(sandbox.config()).unwrap();
    fs::write(sandbox.config(), config.replace("keep = 20", "keep = 2")).unwrap();
    let config = sandbox.loaded_config();
    let (withheld, warnings) = take(&config, moment("2026-01-28T12:00:00Z"));
    assert_eq!(withheld.unwrap().deleted, Some(0));
    assert_eq!(
        warnings,
        [format!(
            "more than half of the snapshots have expired, so none is deleted: run `coldchain snapshots {SOURCE} --plan` \
             to see them and how to delete them"
        )]
    );
    let (again, warnings) = take(&config, moment("2026-01-28T13:00:00Z"));
    assert_eq!((again.unwrap().deleted, warnings), (Some(0), Vec::new()));

    let plan = sandbox.run(["snapshots", "--plan"]).ok().stdout;
    let lines: Vec<&str> = plan.lines().collect();
    assert_eq!(lines[0], format!("{SOURCE}: 12 of 14 snapshots expire"));
    assert_eq!(lines[1], "  2026-01-28T0000: the newest 2 are kept");
    let command = format!("coldchain snapshots {SOURCE} --prune --yes-delete 12");
    assert!(lines[13].contains(&command), "{plan}");
    for (words, code) in [
        (&["snapshots", "--prune"][..], 2),
        (&["snapshots", "--prune", "--yes-delete", "11"], 2),
        (&["snapshots", "--yes-delete", "12"], 2),
    ] {
        let ran = sandbox.run(words);
        assert_eq!(ran.code, Some(code), "{ran:?}");
        assert_eq!(sandbox.snapshot_names().len(), 14);
    }
    let ran = sandbox
        .run(["snapshots", "--prune", "--yes-delete", "12", "--sync"])
        .ok();
    assert_eq!(
        ran.stdout,
        format!("{SOURCE}: 12 expired snapshots deleted\n")
    );
    assert_eq!(
        sandbox.snapshot_names(),
        ["2026-01-28T1200", "2026-01-28T1300"]
    );
    assert_eq!(
        sandbox.run(["snapshots", "--prune"]).ok().stdout,
        format!("{SOURCE}: 0 expired snapshots deleted\n")
    );
}

#[test]
fn what_coldchain_did_not_make_is_shown_and_never_deleted() {
    let sandbox = keeping("keep = 1");
    let directory = sandbox.fs.path("snapshots");
    let foreign = directory.join("2026-11-01");
    btrfs(
        ["subvolume", "snapshot", "-r"],
        &[&sandbox.source(), &foreign],
    );
    let config = sandbox.loaded_config();
    at_hours(&config, "2026-11-28", 0..3);
    assert!(foreign.exists());
    let text = sandbox.run(["snapshots"]).ok().stdout;
    let line = format!(
        "  {}: coldchain did not make it, and never deletes it",
        foreign.display()
    );
    assert!(text.contains(&line), "{text}");

    // The night of that date uses it, and keeps it all the same.
    sandbox.backup("2026-11-01");
    at_hours(&config, "2026-11-28", 3..5);
    sandbox.backup("2026-11-07");
    at_hours(&config, "2026-11-28", 5..6);
    assert!(foreign.exists());
    let text = sandbox.run(["snapshots"]).ok().stdout;
    assert!(text.contains("coldchain did not make it"), "{text}");
}

#[test]
fn something_else_under_a_link_s_name_is_left_alone() {
    let sandbox = keeping("links = [\"current\", \"last\"]");
    let directory = sandbox.fs.path("snapshots");
    fs::create_dir(directory.join("current")).unwrap();
    fs::write(directory.join("current/mine"), "mine").unwrap();
    symlink("/nowhere", directory.join("last")).unwrap();
    let config = sandbox.loaded_config();
    let (made, warnings) = take(&config, moment("2026-11-28T00:00:00Z"));
    assert!(made.unwrap().later.is_none());
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(
        warnings[0].contains("current is no symbolic link"),
        "{warnings:?}"
    );
    assert!(directory.join("current/mine").exists());
    assert_eq!(target(&sandbox, "last"), "2026-11-28T0000");
    at_hours(&config, "2026-11-28", 1..2);
}

#[test]
fn a_link_leads_to_the_newest_snapshot_that_there_is() {
    let sandbox = keeping("latest_only = true");
    let config = sandbox.loaded_config();
    // The link's target is deleted at once: only what is pinned stays.
    sandbox.backup("2026-01-01");
    at_hours(&config, "2026-11-28", 0..1);
    assert_eq!(sandbox.snapshot_names(), ["2026-01-01"]);
    assert_eq!(target(&sandbox, "current"), "2026-01-01");
}

/// A source that has no store, on a machine that was never initialised.
fn alone(keep: &str) -> Sandbox {
    let sandbox = keeping("");
    fs::remove_dir_all(sandbox.loaded_config().state_dir).unwrap();
    let config = fs::read_to_string(sandbox.config()).unwrap();
    let (head, _) = config.split_once("[schedule]").unwrap();
    let head = head.replace("segment_size = \"16MiB\"", "");
    let config = head.replace("store = \"shelf\"", keep);
    fs::write(sandbox.config(), config).unwrap();
    sandbox
}

#[test]
fn the_night_of_a_source_without_a_store_is_its_snapshot() {
    let sandbox = alone("keep = 2");
    sandbox.run(["init"]).ok();
    let ran = sandbox.run(["backup", "2026-01-01"]).ok();
    assert_eq!(ran.stdout, format!("{SOURCE}: snapshot 2026-01-01 made\n"));
    let again = sandbox.run(["backup", "2026-01-01"]).ok();
    assert_eq!(
        again.stdout,
        format!("{SOURCE}: snapshot 2026-01-01 exists already\n")
    );
    sandbox.backup("2026-01-02");
    let planned = sandbox.run(["plan", "2026-01-03"]).ok().stdout;
    let line = "            home  delete       the snapshot 2026-01-01: the newest 2 are kept\n";
    assert!(planned.contains(line), "{planned}");
    let planned = sandbox.run(["plan", "2026-01-03", "--json"]).ok().json();
    assert_eq!(planned["plans"][0]["snapshots"][0]["name"], "2026-01-01");
    let ran = sandbox.run(["backup", "2026-01-03", "--json"]).ok();
    let done = ran.events().pop().unwrap();
    assert_eq!(done["sources"][0]["result"], "snapshot");
    assert_eq!(sandbox.snapshot_names(), ["2026-01-02", "2026-01-03"]);
    assert_eq!(target(&sandbox, "current"), "2026-01-03");
    assert!(!sandbox.store().join(SOURCE).exists());
    let tomorrow = sandbox.run(["backup", "2999-01-01"]);
    assert_eq!(tomorrow.code, Some(2), "{tomorrow:?}");

    // Under another name it goes on with what it has.
    let config = fs::read_to_string(sandbox.config()).unwrap();
    fs::write(sandbox.config(), config.replace("\"home\"", "\"house\"")).unwrap();
    sandbox.backup("2026-01-04");
    assert_eq!(sandbox.snapshot_names(), ["2026-01-03", "2026-01-04"]);
}

/// It kept snapshots alone under another name; then it got a store, and archives.
#[test]
fn a_source_with_archives_takes_over_the_snapshots_of_its_earlier_name() {
    let sandbox = keeping("keep = 3");
    let config = sandbox.loaded_config();
    let mut alone = config.clone();
    alone.sources[0].name = "docs".parse().unwrap();
    alone.sources[0].store = None;
    at_hours(&alone, "2026-01-28", 0..2);
    sandbox.backup("2026-01-01");
    let ledger = sandbox.ledger();
    at_hours(&config, "2026-01-28", 2..4);
    assert_eq!(sandbox.ledger(), ledger);
    assert_eq!(sandbox.committed(), ["2026-01-01"]);
    assert_eq!(
        sandbox.snapshot_names(),
        [
            "2026-01-01",
            "2026-01-28T0100",
            "2026-01-28T0200",
            "2026-01-28T0300"
        ]
    );
}

#[test]
fn sizes_are_shown_where_quotas_count_them() {
    let sandbox = keeping("");
    let size = |sandbox: &Sandbox, key: &str| {
        let json = sandbox.run(["snapshots", "--json"]).ok().json();
        json["sources"][0]["snapshots"][0][key].as_u64()
    };
    let config = sandbox.loaded_config();
    at_hours(&config, "2026-01-28", 0..1);
    assert_eq!(size(&sandbox, "exclusive_bytes"), None);
    let root = sandbox.fs.root();
    btrfs(["quota", "enable"], &[&root]);
    btrfs(["quota", "rescan", "-w"], &[&root]);
    let exclusive = size(&sandbox, "exclusive_bytes").unwrap();
    assert!(size(&sandbox, "referenced_bytes").unwrap() >= exclusive);
    let text = sandbox.run(["snapshots"]).ok().stdout;
    assert!(
        text.contains(" own, ") && text.contains(" shared"),
        "{text}"
    );
}

#[test]
fn a_night_to_come_is_planned_as_if_it_had_come() {
    let sandbox = keeping("keep = 1");
    at_hours(&sandbox.loaded_config(), "2026-01-28", 0..1);
    let planned = sandbox.run(["plan", "2999-01-02"]).ok().stdout;
    let line = "delete       the snapshot 2026-01-28T0000: the newest 1 are kept";
    assert!(planned.contains(line), "{planned}");
}

#[test]
fn hooks_and_log_learn_of_a_snapshot() {
    let sandbox = keeping("keep = 1");
    at_hours(&sandbox.loaded_config(), "2026-01-28", 0..1);
    let [log, heard] = ["log", "heard"].map(|name| sandbox.fs.path(name));
    let config = fs::read_to_string(sandbox.config()).unwrap();
    let hook = format!("env | sort > {}; exit 3", heard.display());
    let config = format!(
        "log = \"{}\"\nhooks.after = [\"/bin/sh\", \"-c\", \"{hook}\"]\n{config}",
        log.display()
    );
    fs::write(sandbox.config(), config).unwrap();
    let ran = sandbox.run(["snapshot"]);
    // The snapshot was taken; the hook that came after it failed.
    assert_eq!(ran.code, Some(4), "{ran:?}");
    let [name] = &sandbox.snapshot_names()[..] else {
        panic!("{:?}", sandbox.snapshot_names());
    };
    let heard = fs::read_to_string(heard).unwrap();
    for line in [
        "COLDCHAIN_EVENT=snapshot".to_owned(),
        "COLDCHAIN_RESULT=snapshot".to_owned(),
        format!("COLDCHAIN_SNAPSHOT={name}"),
        "COLDCHAIN_EXIT_CODE=0".to_owned(),
    ] {
        assert!(heard.lines().any(|it| it == line), "{line}: {heard}");
    }
    let log = fs::read_to_string(log).unwrap();
    let actions: Vec<&str> = log
        .lines()
        .map(|line| line.split_once(" home ").unwrap().1)
        .collect();
    assert_eq!(actions[0], format!("snapshot {name}"), "{log}");
    assert_eq!(
        actions[1], "snapshot-deleted 2026-01-28T0000 reason=\"the newest 1 are kept\"",
        "{log}"
    );
    assert!(
        actions[2].starts_with(&format!("done {name} deleted=1")),
        "{log}"
    );
    assert!(actions[3].starts_with("hook-failed"), "{log}");
}

/// A run died after btrfs had made its snapshot, and before the catalog knew it.
#[test]
fn a_snapshot_that_was_being_made_when_the_run_died_goes_and_another_s_stays() {
    let sandbox = keeping("");
    let config = sandbox.loaded_config();
    at_hours(&config, "2026-11-28", 0..1);
    let unnamed = |name: &str| sandbox.snapshot(&format!(".coldchain-new-{name}"));
    let (ours, another) = (unnamed("2026-11-28T0100"), unnamed("2026-11-28T0200"));
    for path in [&ours, &another] {
        btrfs(["subvolume", "snapshot", "-r"], &[&sandbox.source(), path]);
    }
    let source = SOURCE.parse().unwrap();
    let mut catalog = StateDir::new(&config.state_dir).catalog().unwrap();
    let making = "snapshot in the making";
    catalog.tell(&source, making, "2026-11-28T0100").unwrap();
    at_hours(&config, "2026-11-28", 3..4);
    assert!(!ours.exists());
    assert!(another.exists());
    assert_eq!(catalog.told(&source, making).unwrap(), None);
}

fn remount(sandbox: &Sandbox, options: &str) {
    let root = sandbox.fs.root();
    run(Command::new("mount").args(["-o", options]).arg(root)).unwrap();
}

#[test]
fn a_directory_of_snapshots_that_can_t_be_used_is_refused() {
    let sandbox = keeping("");
    let directory = sandbox.fs.path("snapshots");
    let refused = |code: i32, what: &str| {
        let ran = sandbox.run(["snapshot"]);
        assert_eq!(ran.code, Some(code), "{ran:?}");
        assert!(ran.stderr.contains(what), "{ran:?}");
    };
    fs::rename(&directory, sandbox.fs.path("aside")).unwrap();
    refused(2, "there is no directory");
    fs::write(&directory, "a file").unwrap();
    refused(2, "there is no directory");
    fs::remove_file(&directory).unwrap();
    let other = LoopFs::new(128);
    symlink(other.root(), &directory).unwrap();
    refused(2, "is not on the filesystem of");
    fs::remove_file(&directory).unwrap();
    fs::rename(sandbox.fs.path("aside"), &directory).unwrap();
    remount(&sandbox, "remount,ro");
    let ran = sandbox.run(["snapshot"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.stderr.contains("Read-only file system"), "{ran:?}");
    remount(&sandbox, "remount,rw");
    sandbox.run(["snapshot"]).ok();
}

#[test]
fn keep_that_says_nothing_or_too_much_is_a_config_error() {
    let sandbox = keeping("keep = 5");
    let config = fs::read_to_string(sandbox.config()).unwrap();
    for (keep, what) in [
        ("keep = 0", "`source.keep` must be a number"),
        ("keep = \"\"", "`source.keep` must be a number"),
        ("keep = \"0d\"", "terms like"),
        ("keep = \"7 days\"", "terms like"),
        ("keep = \"7d 7d\"", "each unit once"),
        ("kepp = 5", "did you mean `keep`?"),
        (
            "keep = 5\nkeep_days = 5",
            "both say which snapshots are kept",
        ),
        (
            "keep = 5\nkeep_snapshots = 5",
            "both say which snapshots are kept",
        ),
        (
            "keep_days = 5\nlatest_only = true",
            "both say which snapshots are kept",
        ),
        ("links = [\"a/b\"]", "a file name that is no date"),
        ("links = [\"2026-11-28\"]", "a file name that is no date"),
    ] {
        fs::write(sandbox.config(), config.replace("keep = 5", keep)).unwrap();
        for command in ["snapshot", "snapshots", "backup"] {
            let ran = sandbox.run([command]);
            assert_eq!(ran.code, Some(2), "{keep}: {ran:?}");
            assert!(ran.stderr.contains(what), "{keep}: {ran:?}");
        }
    }
    assert!(sandbox.snapshot_names().is_empty());
}
