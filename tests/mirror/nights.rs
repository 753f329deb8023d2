//! Nights with an archive and a mirror; months of nights over three disks; runs that are killed.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use chrono::{Days, NaiveDate};

use super::disks::{Disks, MIRROR, SNAPSHOTS_ALONE, compare_copies, names, roll_back, sent};
use crate::common::dedupe::dedupe;
use crate::common::from_env;
use crate::common::loopfs::{LoopFs, btrfs, real_btrfs_available, run};
use crate::common::machine::LIVE_CONFIG;
use crate::common::tree::{compare_trees, describe};

#[test]
fn a_mirror_that_fails_leaves_the_archive_and_ends_with_4() {
    if !real_btrfs_available() {
        return;
    }
    let disks = Disks::with_store(21);
    disks.second.detach();
    let run = disks.run("backup home 2024-01-01 --json");
    assert_eq!(run.code, Some(4), "{}", run.stderr);
    assert!(
        run.stderr.contains("\"code\":4") || run.stdout.contains("\"code\":4"),
        "{run:?}"
    );
    assert_eq!(disks.machine.archived(), ["2024-01-01 full"]);
    disks.second.attach();
    let run = disks.run("backup home 2024-01-02 --json");
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let results = run
        .stdout
        .lines()
        .find(|line| line.contains("\"done\""))
        .unwrap();
    let results: serde_json::Value = serde_json::from_str(results).unwrap();
    assert_eq!(
        results["sources"][0]["mirrors"][0]["sent"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
    assert_eq!(disks.compare(), 2);
}

#[test]
fn a_store_that_is_away_does_not_keep_the_snapshot_from_the_mirror() {
    if !real_btrfs_available() {
        return;
    }
    let mut disks = Disks::with_store(22);
    disks.night("2024-01-01");
    fs::rename(disks.machine.path("store"), disks.machine.path("away")).unwrap();
    disks.mutate();
    let run = disks.run("backup home 2024-01-07");
    assert_eq!(run.code, Some(1), "{}", run.stderr);
    compare_trees(&disks.snapshot("2024-01-07"), &disks.copy("2024-01-07"));
    fs::rename(disks.machine.path("away"), disks.machine.path("store")).unwrap();
    disks.night("2024-01-07");
    assert_eq!(
        disks.machine.archived(),
        ["2024-01-01 full", "2024-01-07 incremental"]
    );
}

#[test]
fn an_archive_whose_send_parent_is_gone_here_is_sent_from_the_mirrors_copies() {
    if !real_btrfs_available() {
        return;
    }
    let mut disks = Disks::with_store(23);
    disks.night("2024-01-01");
    disks.mutate();
    disks.night("2024-01-02");
    btrfs(
        ["subvolume", "delete"],
        &[disks.snapshot("2024-01-01").as_path()],
    );
    disks.mutate();
    // What is planned is what the night does, and without the disk that is a full.
    let rescue =
        "it is sent from the copies at a mirror, since the snapshot of 2024-01-01 is gone here";
    let foreseen = |disks: &Disks, action: &str, reason: &str| {
        for words in ["plan home 2024-01-07", "backup home 2024-01-07 --dry-run"] {
            let plan = disks.run(words);
            assert_eq!(plan.code, Some(0), "{words}: {}", plan.stderr);
            for part in [action, reason] {
                assert!(plan.stdout.contains(part), "{part}: {}", plan.stdout);
            }
        }
    };
    foreseen(&disks, "incremental", rescue);
    disks.second.detach();
    foreseen(&disks, "full", "the snapshot of 2024-01-01 is gone");
    disks.second.attach();
    let night = disks.run("backup home 2024-01-07");
    assert_eq!(night.code, Some(0), "{}{}", night.stdout, night.stderr);
    assert!(night.stdout.contains(rescue), "{}", night.stdout);
    // The chain goes on from the snapshot here.
    disks.mutate();
    disks.night("2024-01-14");
    assert_eq!(
        disks.machine.archived(),
        [
            "2024-01-01 full",
            "2024-01-07 incremental",
            "2024-01-14 incremental"
        ]
    );
    let to = LoopFs::new(700);
    for date in ["2024-01-07", "2024-01-14"] {
        let words = format!(
            "restore home {date} --from store --identity $T/kit --to {} --yes",
            to.root().display()
        );
        let restored = disks.run(&words);
        assert_eq!(restored.code, Some(0), "{}", restored.stderr);
        compare_trees(&disks.snapshot(date), &to.path("home").join(date));
    }
}

#[test]
fn without_the_copy_of_the_send_parent_the_archive_is_a_full() {
    if !real_btrfs_available() {
        return;
    }
    let mut disks = Disks::with_store(24);
    disks.config(LIVE_CONFIG);
    disks.night("2024-01-01");
    disks.config(&format!("{LIVE_CONFIG}{MIRROR}"));
    disks.mutate();
    btrfs(
        ["subvolume", "delete"],
        &[disks.snapshot("2024-01-01").as_path()],
    );
    let plan = disks.run("backup home 2024-01-07 --dry-run");
    assert!(
        plan.stdout.contains("the snapshot of 2024-01-01 is gone"),
        "{}",
        plan.stdout
    );
    disks.night("2024-01-07");
    assert_eq!(
        disks.machine.archived(),
        ["2024-01-01 full", "2024-01-07 full"]
    );
    compare_trees(&disks.snapshot("2024-01-07"), &disks.copy("2024-01-07"));
}

/// Everything about a tree, in short.
fn digest(tree: &Path) -> blake3::Hash {
    blake3::hash(format!("{:?}", describe(tree)).as_bytes())
}

/// Thirty nights over three disks: a source, its mirror, and the mirror's mirror.
#[test]
fn a_month_over_three_disks_is_equal_on_each() {
    if !real_btrfs_available() {
        return;
    }
    let seed = from_env("COLDCHAIN_SEED", 25);
    let nights = from_env("COLDCHAIN_MIRROR_NIGHTS", 30);
    let mut disks = Disks::new(seed);
    let third = LoopFs::new(700);
    let away = format!(
        "\n[[mirror]]\nfrom = \"$M/home\"\nto = \"{}\"\nkeep = 40\n",
        third.root().display()
    );
    disks.config(&format!("{SNAPSHOTS_ALONE}{MIRROR}{away}"));
    let first: NaiveDate = "2024-01-01".parse().unwrap();
    let mut attached = true;
    let mut fulls = 0;
    // What each snapshot had, also of those that are gone here; and how often what happened.
    let mut trees = BTreeMap::new();
    let mut happened = BTreeMap::new();
    for night in 0..nights {
        let date = first + Days::new(night);
        let name = date.to_string();
        let here: Vec<String> = names(&disks.machine.btrfs().path("snapshots"))
            .into_keys()
            .collect();
        match (night, disks.rng.below(6)) {
            // The disk is away for five nights.
            (8, _) => {
                disks.second.detach();
                attached = false;
            }
            (13, _) => {
                disks.second.attach();
                attached = true;
            }
            (_, 0) if here.len() > 3 => {
                *happened.entry("a rollback").or_insert(0) += 1;
                let of = disks.rng.pick(&here).clone();
                roll_back(&disks.live(), &disks.snapshot(&of));
            }
            (_, 1) if here.len() > 3 => {
                *happened.entry("a deduplication").or_insert(0) += 1;
                // Deduplication of a snapshot changes its ctransid, and not its content.
                let newest = disks.snapshot(here.last().unwrap());
                dedupe(&newest.join("equal one"), &newest.join("equal two"));
            }
            (_, 2) if here.len() > 3 => {
                *happened.entry("a deleted snapshot").or_insert(0) += 1;
                // Somebody deletes a snapshot here, perhaps what the next one would be sent against.
                let gone = disks.rng.pick(&here).clone();
                let gone = disks.snapshot(&gone);
                btrfs(["subvolume", "delete"], &[gone.as_path()]);
            }
            (_, 3) if here.len() > 3 => {
                // Another subvolume takes the source's place: a clone that was made before and used beside it.
                let beside = disks.machine.btrfs().path("beside");
                let of = disks.snapshot(&here[0]);
                if of.exists() {
                    *happened.entry("another subvolume").or_insert(0) += 1;
                    btrfs(["subvolume", "snapshot"], &[of.as_path(), beside.as_path()]);
                    btrfs(["subvolume", "delete"], &[disks.live().as_path()]);
                    fs::rename(&beside, disks.live()).unwrap();
                }
            }
            _ => {}
        }
        disks.mutate();
        let equal = disks.rng.bytes(100_000);
        for file in ["equal one", "equal two"] {
            fs::write(disks.live().join(file), &equal).unwrap();
        }
        let run = disks.run(&format!("backup home {name}"));
        trees.insert(name.clone(), digest(&disks.snapshot(&name)));
        let expected = if attached { 0 } else { 4 };
        assert_eq!(
            run.code,
            Some(expected),
            "{name}: {}{}",
            run.stdout,
            run.stderr
        );
        if attached {
            let run = disks.run("mirror --json");
            assert_eq!(run.code, Some(0), "{name}: {}", run.stderr);
            fulls += sent(&run).iter().filter(|it| it.ends_with("full")).count();
            compare_trees(&disks.snapshot(&name), &third.path("home").join(&name));
        }
    }
    let compared = disks.compare();
    let both = compare_copies(&disks.second.path("home"), &third.path("home"));
    assert!(compared > 10 && both > 10, "{compared} {both}");
    for disk in [&disks.second, &third] {
        for (name, copy) in names(&disk.path("home")) {
            assert_eq!(digest(&copy), trees[&name], "{}", copy.display());
        }
    }
    assert_eq!(happened.len(), 4, "{happened:?}");
    println!("{nights} nights, {fulls} fulls to the third disk: {happened:?}");
    assert!(fulls >= 1, "the third disk began with a full");
}

/// A run is stopped in the middle of a snapshot, and somebody deletes that snapshot before the next run.
#[test]
fn the_snapshot_that_was_being_sent_can_be_deleted_before_the_next_run() {
    if !real_btrfs_available() {
        return;
    }
    let mut disks = Disks::new(27);
    disks.night("2024-01-01");
    disks.mutate();
    let large = disks.rng.bytes(8 << 20);
    fs::write(disks.live().join("large"), large).unwrap();
    let mut child = disks
        .machine
        .command("backup home 2024-01-02 --limit 64KiB")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let staging = disks.copy(".coldchain-staging");
    let until = Instant::now() + Duration::from_mins(2);
    while !fs::read_dir(&staging).is_ok_and(|mut entries| entries.next().is_some()) {
        assert!(Instant::now() < until, "no stream came");
        thread::yield_now();
    }
    child.kill().unwrap();
    child.wait().unwrap();
    // The kernel refuses until the sender of the killed program has ended too.
    let snapshot = disks.snapshot("2024-01-02");
    let until = Instant::now() + Duration::from_mins(2);
    while let Err(error) = run(Command::new("btrfs")
        .args(["subvolume", "delete"])
        .arg(&snapshot))
    {
        assert!(error.contains("send may be in progress"), "{error}");
        assert!(Instant::now() < until, "{error}");
        thread::sleep(Duration::from_millis(50));
    }
    disks.mutate();
    let night = disks.run("backup home 2024-01-03 --json");
    assert_eq!(night.code, Some(0), "{}", night.stderr);
    assert!(
        night.stdout.contains(r#""parent":"2024-01-01""#),
        "{}",
        night.stdout
    );
    disks.nothing_half_made();
    assert_eq!(disks.compare(), 2);
}

/// Kills the program at random moments while it mirrors.
#[test]
fn a_run_that_is_killed_leaves_no_half_copy_and_the_next_one_ends_well() {
    if !real_btrfs_available() {
        return;
    }
    let kills = from_env("COLDCHAIN_MIRROR_KILLS", 10);
    let mut disks = Disks::new(from_env("COLDCHAIN_SEED", 26));
    disks.night("2024-01-01");
    let mut date: NaiveDate = "2024-01-02".parse().unwrap();
    let mut done = 0;
    while done < kills {
        disks.mutate();
        let large = disks.rng.bytes(3 << 20);
        fs::write(disks.live().join("large"), large).unwrap();
        let mut command: Command = disks.machine.command(&format!("backup home {date}"));
        let mut child = command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        thread::sleep(Duration::from_micros(disks.rng.below(250_000)));
        child.kill().unwrap();
        let status = child.wait().unwrap();
        done += u64::from(!status.success());
        // What stands there under a name is whole.
        disks.compare_newest(2);
        let run = disks.run("mirror");
        assert_eq!(run.code, Some(0), "{date}: {}", run.stderr);
        disks.compare_newest(2);
        disks.nothing_half_made();
        date = date + Days::new(1);
    }
    disks.night(&date.to_string());
    let run = disks.run("mirror --json");
    assert!(sent(&run).is_empty(), "{}", run.stdout);
    disks.compare();
    // Each was sent against the one before.
    assert!(disks.fulls() <= 1, "{} fulls", disks.fulls());
}
