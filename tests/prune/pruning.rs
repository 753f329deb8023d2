//! A chain from its last archive to its end, with the real program on a real btrfs, and what must not
//! be deleted whatever a store says.

use std::cell::RefCell;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use coldchain::engine::{self, Clock, PruneAsked, Pruned};
use coldchain::error::{Error, ExitCode, PruneError};
use coldchain::model::Sha256;
use coldchain::plan::{ChainFate, Fate};
use coldchain::store::{NewObject, ObjectKind, Store};
use serde_json::{Value, json};

use crate::common::faults::{Faults, LOCKED_UNTIL, Mode};
use crate::common::lab::Lab;
use crate::common::loopfs::real_btrfs_available;
use crate::common::rng::Rng;
use crate::common::sandbox::{Sandbox, Setup};
use crate::common::stream_builder::StreamBuilder;
use crate::common::tree::{make_rich_tree, mutate_tree};

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
        "reason": "its newest archive is 30 days old, and the chain of 2025-02-01 is verified",
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
    let mut after = sandbox.stored();
    let new = |path: &PathBuf| !kept.contains_key(path);
    let new: Vec<PathBuf> = after.keys().filter(|path| new(path)).cloned().collect();
    let [entry] = &new[..] else {
        panic!("one entry says that it is deleted: {new:?}");
    };
    assert!(
        entry.parent().unwrap().ends_with("home/ledger"),
        "{entry:?}"
    );
    let body = fs::read_to_string(entry).unwrap();
    assert!(body.contains("\"kind\":\"delete\""), "{body}");
    after.remove(entry);
    let mut expected = kept.clone();
    expected.retain(|path, _| !old.contains(path));
    assert_eq!(after, expected, "that, and nothing else");
    let directory = old[0].parent().unwrap();
    assert!(!directory.exists(), "nothing is left of {directory:?}");
    let listed = sandbox.run(["list", "--all"]).ok().stdout;
    assert!(
        listed.contains("chain of 2025-01-01  retired, being deleted or gone\n"),
        "{listed}"
    );
    let shown = sandbox.run(["show", "2025-01-07"]).ok().stdout;
    assert!(
        shown.contains("; deletion begun by ledger entry "),
        "{shown}"
    );
    let revived = sandbox.run(["prune", "home", "--revive", "2025-01-01"]);
    assert_eq!(revived.code, Some(7), "{}", revived.stderr);
    sandbox.restores_equal(&["2025-01-14", "2025-01-21"]);
    sandbox.restores_equal(&["2025-02-01"]);
    let gone = sandbox.run([
        "restore",
        "home",
        "--from",
        "store",
        "--date",
        "2025-01-07",
        "--plan",
    ]);
    assert_eq!(gone.code, Some(2), "{}", gone.stderr);
    assert!(
        gone.stderr.starts_with(
            "error: the archive of 2025-01-07 of `home` was retired, and is being deleted or gone\n"
        ),
        "{}",
        gone.stderr
    );
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
    lab.in_context_at(&Fixed(now), faults, |context| {
        engine::prune(config, &config.sources[0], asked, context).map_err(Error::from)
    })
}

#[test]
fn several_chains_are_retired_at_once_only_by_their_exact_number_of_archives() {
    let lab = with_fulls(&["2026-01-01", "2026-01-14", "2026-05-21"]);
    let before = lab.objects();
    for (agreed, said) in [
        (None, "which needs --yes-delete"),
        (Some(1), "but --yes-delete says 1 archive"),
        (Some(3), "but --yes-delete says 3 archives"),
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
    // What was done already is done, whatever number is given again.
    for agreed in [None, Some(2), Some(7)] {
        let before = lab.objects();
        let pruned = prune(&lab, "2026-06-01", 8, agreed, &Faults::none()).unwrap();
        assert_eq!(pruned.plan.retires(), (0, 0));
        assert!(lab.objects() == before);
    }
    // One chain needs no number, but a wrong one is still wrong.
    let lab = with_fulls(&["2026-01-01", "2026-05-21"]);
    prune(&lab, "2026-06-01", 0, Some(2), &Faults::none()).unwrap_err();
    prune(&lab, "2026-06-01", 0, None, &Faults::none()).unwrap();
}

#[test]
fn several_chains_are_retired_by_one_entry_so_that_the_same_command_ends_what_was_cut_short() {
    let begin = with_fulls(&["2026-01-01", "2026-01-14", "2026-05-21"]);
    let faults = Faults::none();
    prune(&begin.copy(), "2026-06-01", 0, Some(2), &faults).unwrap();
    for point in faults.points() {
        for mode in [Mode::DiesBefore, Mode::DiesAfter] {
            let lab = begin.copy();
            let _ = prune(&lab, "2026-06-01", 0, Some(2), &Faults::at(&point, mode));
            prune(&lab, "2026-06-01", 0, Some(2), &Faults::none())
                .unwrap_or_else(|error| panic!("{point}: {mode}: {error:?}"));
            let entries = lab.objects().into_keys();
            let entries = entries.filter(|key| key.starts_with("home/ledger/"));
            assert_eq!(entries.count(), 5, "`open`, three archives, one `retire`");
        }
    }
}

#[test]
fn what_is_due_is_deleted_while_several_chains_wait_for_their_number() {
    let lab = with_fulls(&["2026-01-01", "2026-03-07", "2026-03-14", "2026-05-21"]);
    prune(&lab, "2026-05-22", 0, None, &Faults::none()).unwrap();
    let (done, error) = cut_short(&lab, "2026-06-14", 8, &Faults::none());
    assert!(
        matches!(
            error,
            Error::Prune(PruneError::ManyToRetire { chains: 2, .. })
        ),
        "{error:?}"
    );
    assert!(error.hint().unwrap().ends_with("No chain was retired"));
    let plan = done.plan;
    let fates: Vec<_> = plan.chains.iter().map(|line| line.fate).collect();
    assert_eq!(fates, [ChainFate::Delete]);
    let left = lab.objects();
    assert!(!left.keys().any(|key| key.contains("/2026-01-01-")));
    assert!(left.keys().any(|key| key.contains("/2026-03-07-")));
}

/// What a prune did until it was cut short, and why it was.
fn cut_short(lab: &Lab, day: &str, later: i64, faults: &Arc<Faults>) -> (Pruned, Error) {
    let now = Utc::now() + TimeDelta::days(later);
    lab.store.set_now(now);
    let asked = PruneAsked {
        date: date(day),
        yes_delete: None,
    };
    let config = &lab.config;
    let done = RefCell::new(None);
    let error = lab.in_context_at(&Fixed(now), faults, |context| {
        engine::prune(config, &config.sources[0], asked, context).map_err(|cut| {
            *done.borrow_mut() = cut.done;
            *cut.error
        })
    });
    (*done.into_inner().unwrap(), error.unwrap_err())
}

#[test]
fn what_is_denied_is_exit_4_and_what_was_done_before_is_told() {
    let lab = with_fulls(&["2026-01-01", "2026-01-14", "2026-05-21"]);
    let denied = |what: &'static str, nth: usize| {
        let seen = std::sync::atomic::AtomicUsize::new(0);
        Faults::by_rule(move |_, name| {
            let hit = name.starts_with(what);
            let before = seen.fetch_add(usize::from(hit), std::sync::atomic::Ordering::Relaxed);
            (hit && before >= nth).then_some(Mode::IsDenied)
        })
    };
    // A ledger that it may not write to.
    let single = with_fulls(&["2026-01-01", "2026-05-21"]);
    let (done, error) = cut_short(
        &single,
        "2026-06-01",
        0,
        &denied("store: store home/ledger/", 0),
    );
    assert!(
        matches!(
            error,
            Error::Prune(PruneError::PruneUnsigned { kind: "retire", .. })
        ),
        "{error:?}"
    );
    assert_eq!(error.exit_code(), ExitCode::Later);
    assert!(done.plan.chains.is_empty());

    prune(&lab, "2026-06-01", 0, Some(2), &Faults::none()).unwrap();
    let before = lab.objects();
    let (done, error) = cut_short(
        &lab,
        "2026-06-01",
        8,
        &denied("store: store home/ledger/", 0),
    );
    assert!(
        matches!(
            error,
            Error::Prune(PruneError::PruneUnsigned { kind: "delete", .. })
        ),
        "{error:?}"
    );
    assert_eq!(error.exit_code(), ExitCode::Later);
    assert!(done.plan.chains.is_empty() && lab.objects() == before);
    // The first chain goes, and of the second one object.
    let (done, error) = cut_short(
        &lab,
        "2026-06-01",
        8,
        &denied("store: delete home/archives/", 4),
    );
    assert!(
        matches!(
            error,
            Error::Prune(PruneError::ChainLeft {
                deleted: 1,
                of: 3,
                ..
            })
        ),
        "{error:?}"
    );
    assert_eq!(error.exit_code(), ExitCode::Later);
    let chains = done.plan.chains.iter();
    let told: Vec<_> = chains
        .map(|line| (line.chain.date, line.fate, line.objects.len()))
        .collect();
    assert_eq!(
        told,
        [
            (date("2026-01-01"), ChainFate::Delete, 3),
            (date("2026-01-14"), ChainFate::Delete, 1)
        ]
    );
    let pruned = prune(&lab, "2026-06-01", 8, None, &Faults::none()).unwrap();
    let [line] = &pruned.plan.chains[..] else {
        panic!("{:?}", pruned.plan);
    };
    assert_eq!(
        (line.chain.date, line.objects.len()),
        (date("2026-01-14"), 2)
    );
}

#[test]
fn what_a_lock_keeps_is_told_with_its_day_and_the_rest_goes() {
    let lab = with_fulls(&["2026-01-01", "2026-05-21"]);
    prune(&lab, "2026-06-01", 0, None, &Faults::none()).unwrap();
    // A segment of an earlier stream, beside those of the archive that stands.
    let objects = lab.objects();
    let own = objects.keys().find(|key| key.contains("/2026-05-21-"));
    let (prefix, _) = own.unwrap().rsplit_once('/').unwrap();
    let stray = format!("{prefix}/000000-0123456789abcdef.zst.age");
    let object = NewObject::new(&stray, b"x".to_vec(), Sha256::of(b"x"), ObjectKind::Segment);
    lab.store.put_if_absent(&object).unwrap();
    // The stray, and of the chain what comes after its segment and its contents.
    let faults = Faults::by_rule(|_, name| {
        let is_locked = name.starts_with("store: delete home/archives/2026-05-21-")
            || (name.starts_with("store: delete home/archives/2026-01-01-")
                && name.ends_with("/key.age"));
        is_locked.then_some(Mode::IsLocked)
    });
    let pruned = prune(&lab, "2026-06-01", 8, None, &faults).unwrap();
    let until = LOCKED_UNTIL.parse().unwrap();
    let chains = pruned.plan.chains.iter();
    let told: Vec<_> = chains.map(|line| (line.fate, line.objects.len())).collect();
    assert_eq!(
        told,
        [(ChainFate::Delete, 2), (ChainFate::Retained { until }, 1)]
    );
    let [line] = &pruned.plan.strays.lines[..] else {
        panic!("{:?}", pruned.plan.strays);
    };
    assert_eq!((line.fate, line.objects.len()), (Fate::Keep, 1));
    assert!(
        line.reason
            .ends_with("; retained until 2099-01-01T00:00:00Z"),
        "{}",
        line.reason
    );
    // Once they are over, the next run ends it.
    prune(&lab, "2026-06-01", 9, None, &Faults::none()).unwrap();
    let left = lab.objects();
    assert!(
        !left
            .keys()
            .any(|key| key.contains("/2026-01-01-") || *key == stray)
    );
}

#[test]
fn a_retired_chain_of_which_nothing_is_listed_is_deleted_once() {
    // A delete marker that somebody else has put hides what is paid for as before.
    let lab = with_fulls(&["2026-01-01", "2026-05-21"]);
    prune(&lab, "2026-06-01", 0, None, &Faults::none()).unwrap();
    for key in lab.objects().into_keys() {
        if key.contains("/2026-01-01-") {
            lab.store.delete(&lab.store.locate(&key)).unwrap();
        }
    }
    let faults = Faults::none();
    prune(&lab, "2026-06-01", 8, None, &faults).unwrap();
    let deletes = |faults: &Faults| {
        let points = faults.points().into_iter();
        let points = points.filter(|point| point.name.starts_with("store: delete home/archives/"));
        points.count()
    };
    assert_eq!(deletes(&faults), 3);
    let faults = Faults::none();
    prune(&lab, "2026-06-01", 9, None, &faults).unwrap();
    assert_eq!(deletes(&faults), 0);
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
    assert_eq!(
        line.reason,
        "retired, but not expired by the schedule of this machine"
    );
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
        let foreseen = lab.in_context_at(&Fixed(now), &Faults::none(), |context| {
            engine::foresee_prune(config, &config.sources[0], asked, context)
        });
        let foreseen = foreseen.unwrap();
        assert_eq!(foreseen.plan.chains.len(), 1);
        assert!(lab.objects() == before);
        let done = lab.in_context_at(&Fixed(now), &Faults::none(), |context| {
            engine::prune(config, &config.sources[0], asked, context).map_err(Error::from)
        });
        assert_eq!(foreseen.plan, done.unwrap().plan);
    }
}
