//! A chain from its last archive to its end, with the real program on a real btrfs, and what must not
//! be deleted whatever a store says.

mod common;

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use coldchain::engine::{self, Clock, PruneAsked, Pruned};
use coldchain::error::{Error, ExitCode};
use coldchain::plan::ChainFate;
use coldchain::store::Store;
use serde_json::{Value, json};

use common::faults::{Faults, Mode};
use common::lab::Lab;
use common::loopfs::real_btrfs_available;
use common::rng::Rng;
use common::sandbox::{Sandbox, Setup};
use common::stream_builder::StreamBuilder;
use common::tree::{make_rich_tree, mutate_tree};

const DATES: [&str; 5] = [
    "2025-01-01",
    "2025-01-07",
    "2025-01-14",
    "2025-01-21",
    "2025-02-01",
];

/// Chains of two that expire after 30 days. The older one's newest archive is of 2025-01-07, so that
/// its last day is 2025-02-05.
fn with_chains_of_two(top: &str) -> Sandbox {
    let sandbox = Sandbox::with(&Setup {
        schedule: "max_incrementals = 1\nexpire_after_days = 30",
        ..Setup::default()
    });
    let config = fs::read_to_string(sandbox.config()).unwrap();
    fs::write(sandbox.config(), format!("{top}\n{config}")).unwrap();
    let mut rng = Rng::new(31);
    make_rich_tree(&sandbox.source(), &mut rng);
    for date in DATES {
        mutate_tree(&sandbox.source(), &mut rng);
        sandbox.backup(date);
    }
    sandbox
}

/// The objects of the archives of these dates.
fn objects_of(sandbox: &Sandbox, dates: &[&str]) -> Vec<PathBuf> {
    let archives = sandbox.store().join("home/archives");
    let mut paths: Vec<PathBuf> = sandbox.stored().into_keys().collect();
    paths.retain(|path| {
        let Ok(below) = path.strip_prefix(&archives) else {
            return false;
        };
        let below = below.to_str().unwrap();
        dates.iter().any(|date| below.starts_with(date))
    });
    paths
}

fn chains(sandbox: &Sandbox, words: &[&str]) -> Vec<(String, String)> {
    let words = ["list", "--json"].iter().chain(words);
    let listed = sandbox.run(words).ok().json();
    let chains = listed["sources"][0]["chains"].as_array().unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    chains
        .iter()
        .map(|chain| (text(&chain["id"]), text(&chain["state"])))
        .collect()
}

#[test]
fn a_chain_is_retired_on_its_day_and_deleted_after_its_time_of_grace() {
    if !real_btrfs_available() {
        return;
    }
    let sandbox = with_chains_of_two("delete_after = \"0s\"");
    let before = sandbox.stored();
    sandbox.backup("2025-02-05");
    assert_eq!(sandbox.stored(), before, "it is not its day yet");

    let events = sandbox
        .run(["backup", "2025-02-06", "--json"])
        .ok()
        .events();
    let retired = events.iter().find(|event| event["event"] == "retired");
    let expected = json!({
        "event": "retired", "source": "home", "chain": "2025-01-01", "archives": 2,
        "reason": "its newest archive is 30 days old, and the chain of 2025-02-01 stands",
    });
    assert_eq!(retired, Some(&expected), "{events:?}");
    let complete = |date: &str| (date.to_owned(), "complete".to_owned());
    let retired = ("2025-01-01".to_owned(), "retired".to_owned());
    let left = [complete("2025-01-14"), complete("2025-02-01")];
    assert_eq!(chains(&sandbox, &[]), left);
    assert_eq!(
        chains(&sandbox, &["--all"]),
        [&[retired], left.as_slice()].concat()
    );
    let old = objects_of(&sandbox, &["2025-01-01", "2025-01-07"]);
    assert!(old.len() >= 4, "its objects are there: {old:?}");
    let shown = sandbox.run(["show", "2025-01-07"]).ok();
    assert!(shown.stdout.contains("retired"), "{}", shown.stdout);

    let kept = sandbox.stored();
    sandbox.backup("2025-02-06");
    let mut expected = kept;
    expected.retain(|path, _| !old.contains(path));
    assert_eq!(sandbox.stored(), expected, "that, and nothing else");
    sandbox.restores_equal(&["2025-01-14", "2025-01-21"]);
    sandbox.restores_equal(&["2025-02-01"]);
    let gone = sandbox.run(["restore", "home", "--date", "2025-01-07", "--plan"]);
    assert_eq!(gone.code, Some(2), "{}", gone.stderr);
}

#[test]
fn a_retired_chain_comes_back_as_long_as_nothing_of_it_is_deleted() {
    if !real_btrfs_available() {
        return;
    }
    let sandbox = with_chains_of_two("");
    sandbox.backup("2025-02-06");
    let revived = sandbox
        .run(["prune", "home", "--revive", "2025-01-01"])
        .ok();
    assert_eq!(
        revived.stdout,
        "home: the chain of 2025-01-01 is visible again, 2 archives\n"
    );
    assert_eq!(sandbox.committed(), DATES);
    sandbox.restores_equal(&["2025-01-01", "2025-01-07"]);
    let again = sandbox.run(["prune", "home", "--revive", "2025-01-01"]);
    assert_eq!(again.code, Some(2));
    assert!(
        again
            .stderr
            .starts_with("error: `home` has no retired chain of 2025-01-01\n"),
        "{}",
        again.stderr
    );
    // It is retired once more, and its time of grace begins anew.
    sandbox.backup("2025-02-06");
    assert_eq!(sandbox.committed(), DATES[2..]);
    assert!(objects_of(&sandbox, &["2025-01-01"]).len() >= 2);
}

#[test]
fn with_prune_elsewhere_a_backup_retires_nothing() {
    if !real_btrfs_available() {
        return;
    }
    let sandbox = with_chains_of_two("prune = \"elsewhere\"");
    let before = sandbox.stored();
    sandbox.backup("2025-02-06");
    assert_eq!(sandbox.stored(), before);
    assert_eq!(sandbox.committed(), DATES);
}

struct Fixed(DateTime<Utc>);

impl Clock for Fixed {
    fn now(&self) -> DateTime<Utc> {
        self.0
    }
}

fn date(text: &str) -> NaiveDate {
    text.parse().unwrap()
}

/// A machine in process with so many chains of one full each, two weeks apart; only the last stands
/// on 2026-06-01.
fn with_fulls(dates: &[&str]) -> Lab {
    let mut lab = Lab::new();
    lab.config.sources[0].schedule.max_incrementals = 0;
    for date in dates {
        let uuid = format!("uuid {date:>11}").into_bytes().try_into().unwrap();
        let stream = StreamBuilder::header(1)
            .subvol(date.as_bytes(), uuid, 10)
            .mkfile(b"a file")
            .write(b"a file", 0, date.as_bytes());
        lab.decide(date, &stream.finish(), &Faults::none()).unwrap();
    }
    lab
}

fn prune(
    lab: &Lab,
    day: &str,
    later: i64,
    yes_delete: Option<usize>,
    faults: &Arc<Faults>,
) -> Result<Pruned, Error> {
    let now = Utc::now() + TimeDelta::days(later);
    lab.store.set_now(now);
    let asked = PruneAsked {
        date: date(day),
        yes_delete,
    };
    let config = &lab.config;
    lab.in_world_at(&Fixed(now), faults, |world| {
        engine::prune(config, &config.sources[0], asked, world)
    })
}

#[test]
fn several_chains_are_retired_at_once_only_by_their_exact_number_of_archives() {
    let lab = with_fulls(&["2026-01-01", "2026-01-14", "2026-05-21"]);
    let before = lab.objects();
    for (agreed, said) in [
        (None, "which is not done without being asked for"),
        (Some(1), "and 1 archive were agreed to"),
        (Some(3), "and 3 archives were agreed to"),
    ] {
        let error = prune(&lab, "2026-06-01", 0, agreed, &Faults::none()).unwrap_err();
        assert_eq!(error.exit_code(), ExitCode::Usage);
        let text = format!("`home` has 2 chains with 2 archives to retire, {said}");
        assert_eq!(error.to_string(), text);
        assert!(error.hint().unwrap().contains("--yes-delete 2"));
        assert!(lab.objects() == before);
    }
    let pruned = prune(&lab, "2026-06-01", 0, Some(2), &Faults::none()).unwrap();
    assert_eq!(pruned.plan.retires(), (2, 2));
    let pruned = prune(&lab, "2026-06-01", 8, None, &Faults::none()).unwrap();
    let fates: Vec<_> = pruned.plan.chains.iter().map(|line| line.fate).collect();
    assert_eq!(fates, [ChainFate::Delete; 2]);
    assert!(!lab.objects().keys().any(|key| key.contains("/2026-01-")));
    // One chain needs no number, but a wrong one is still wrong.
    let lab = with_fulls(&["2026-01-01", "2026-05-21"]);
    prune(&lab, "2026-06-01", 0, Some(2), &Faults::none()).unwrap_err();
    prune(&lab, "2026-06-01", 0, None, &Faults::none()).unwrap();
}

#[test]
fn a_listing_that_fails_or_is_cut_or_empty_or_old_deletes_nothing() {
    let begin = with_fulls(&["2026-01-01", "2026-05-21"]);
    let retired = begin.copy();
    prune(&retired, "2026-06-01", 0, None, &Faults::none()).unwrap();
    for (lab, later) in [(begin, 0), (retired, 8)] {
        let before = lab.objects();
        let faults = Faults::by_rule(|_, name| {
            name.starts_with("store: list home/archives/")
                .then_some(Mode::Fails)
        });
        let error = prune(&lab, "2026-06-01", later, None, &faults).unwrap_err();
        assert_eq!(error.exit_code(), ExitCode::Failed);
        assert!(lab.objects() == before);
        // Cut, empty, or from before the newer archive: what a store without these objects lists.
        let of_the_new: Vec<String> = before
            .keys()
            .filter(|key| key.contains("/2026-05-21-"))
            .cloned()
            .collect();
        for lost in [&of_the_new[..1], &of_the_new[1..], &of_the_new[..]] {
            let lab = lab.copy();
            for key in lost {
                lab.store.delete(&lab.store.locate(key)).unwrap();
            }
            let before = lab.objects();
            let error = prune(&lab, "2026-06-01", later, None, &Faults::none()).unwrap_err();
            assert_eq!(error.exit_code(), ExitCode::Integrity, "{error:?}");
            assert!(lab.objects() == before);
        }
        // A ledger from before its newest entry.
        let lab = lab.copy();
        let entry = before.keys().rfind(|key| key.starts_with("home/ledger/"));
        lab.store.delete(&lab.store.locate(entry.unwrap())).unwrap();
        let before = lab.objects();
        let error = prune(&lab, "2026-06-01", later, None, &Faults::none()).unwrap_err();
        assert_eq!(error.exit_code(), ExitCode::Integrity, "{error:?}");
        assert!(lab.objects() == before);
    }
}

#[test]
fn what_the_schedule_here_still_wants_is_not_deleted_whoever_retired_it() {
    let mut lab = with_fulls(&["2026-01-01", "2026-05-21"]);
    prune(&lab, "2026-06-01", 0, None, &Faults::none()).unwrap();
    lab.config.sources[0].schedule.expire_after_days = 365;
    let before = lab.objects();
    let pruned = prune(&lab, "2026-06-01", 30, None, &Faults::none()).unwrap();
    let [line] = &pruned.plan.chains[..] else {
        panic!("{:?}", pruned.plan);
    };
    assert_eq!(line.fate, ChainFate::Keep);
    assert_eq!(line.reason, "retired, and not expired by the schedule here");
    assert!(lab.objects() == before);
}

#[test]
fn while_the_catalog_disagrees_with_the_ledger_nothing_is_pruned() {
    let lab = with_fulls(&["2026-01-01", "2026-05-21"]);
    let before = lab.objects();
    let path = lab.config.state_dir.join("catalog.db");
    let catalog = rusqlite::Connection::open(path).unwrap();
    let changed = catalog
        .execute(
            "UPDATE archive SET state = 'retired' WHERE date = '2026-05-21'",
            [],
        )
        .unwrap();
    assert_eq!(changed, 1);
    let error = prune(&lab, "2026-06-01", 0, None, &Faults::none()).unwrap_err();
    assert_eq!(error.exit_code(), ExitCode::Integrity);
    assert!(
        error
            .to_string()
            .starts_with("the catalog and the ledger of `home` disagree on 2026-05-21-full-"),
        "{error}"
    );
    assert!(lab.objects() == before);
}

#[test]
fn a_dry_run_foresees_what_the_run_then_does_and_writes_nothing() {
    let lab = with_fulls(&["2026-01-01", "2026-05-21"]);
    for later in [0, 8] {
        let now = Utc::now() + TimeDelta::days(later);
        lab.store.set_now(now);
        let before = lab.objects();
        let asked = PruneAsked {
            date: date("2026-06-01"),
            yes_delete: None,
        };
        let config = &lab.config;
        let foreseen = lab.in_world_at(&Fixed(now), &Faults::none(), |world| {
            engine::foresee_prune(config, &config.sources[0], asked, world)
        });
        let foreseen = foreseen.unwrap();
        assert_eq!(foreseen.plan.chains.len(), 1);
        assert!(lab.objects() == before);
        let done = lab.in_world_at(&Fixed(now), &Faults::none(), |world| {
            engine::prune(config, &config.sources[0], asked, world)
        });
        assert_eq!(foreseen.plan, done.unwrap().plan);
    }
}
