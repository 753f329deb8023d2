//! Sources that are pulled from this machine.

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use super::pulled::{Pulled, is_equal, write};
use crate::common::loopfs::real_btrfs_available;
use crate::common::tree::mutate_tree;

#[test]
fn nights_of_a_pulled_source_equal_the_source() {
    if !real_btrfs_available() {
        return;
    }
    let mut pulled = Pulled::new(1);
    for day in 1..=4 {
        let origin = pulled.origin();
        if day > 1 {
            mutate_tree(&origin, &mut pulled.rng);
        }
        let date = format!("2024-01-0{day}");
        let run = pulled.run(&format!("backup home {date}"));
        assert_eq!(run.code, Some(0), "{}", run.stderr);
        assert!(run.stdout.contains(" pulled from "), "{}", run.stdout);
        pulled.is_equal();
        is_equal(&origin, &pulled.snapshot(&date));
        assert!(!pulled.snapshot(&date).join(".coldchain-pull").exists());
    }
    // The parent of the copy is made so that no other user can enter it.
    let above = fs::metadata(pulled.machine.btrfs().path("pulled")).unwrap();
    assert_eq!(above.mode() & 0o7777, 0o700);
}

#[test]
fn a_pull_alone_takes_no_snapshot_and_says_what_it_did() {
    if !real_btrfs_available() {
        return;
    }
    let pulled = Pulled::empty(2);
    write(&pulled.origin().join("a"), b"one");
    write(&pulled.origin().join("d/b"), b"two");
    let origin = pulled.origin().display().to_string();
    let trial = pulled.run("pull --dry-run");
    let expected = format!(
        "home: 2 files of 4 entries would be pulled from {origin}, 6 B; 0 would be deleted\n"
    );
    assert_eq!(
        (trial.stdout, trial.code),
        (expected, Some(0)),
        "{}",
        trial.stderr
    );
    // Nothing was made for it.
    assert!(!pulled.copy().exists() && !pulled.machine.path("state/pull-trial").exists());
    let run = pulled.run("pull home");
    let expected = format!("home: 2 files of 4 entries pulled from {origin}, 6 B; 0 deleted\n");
    assert_eq!(
        (run.stdout, run.code),
        (expected, Some(0)),
        "{}",
        run.stderr
    );
    pulled.is_equal();
    assert_eq!(fs::read_dir(pulled.snapshot("")).unwrap().count(), 0);
    fs::remove_file(pulled.origin().join("a")).unwrap();
    let trial = pulled.run("pull --json --dry-run");
    let answer: serde_json::Value =
        serde_json::from_str(trial.stdout.lines().last().unwrap()).unwrap();
    assert_eq!(answer["would_pull"][0]["deleted"], 1, "{answer}");
    assert!(pulled.copy().join("a").exists());
    let run = pulled.run("pull --json");
    let events: Vec<serde_json::Value> = run
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let names: Vec<_> = events
        .iter()
        .map(|event| event["event"].as_str().unwrap())
        .collect();
    assert!(
        names.starts_with(&["pulling"]) && names.ends_with(&["pulled", "done"]),
        "{names:?}"
    );
    assert_eq!(events.last().unwrap()["sources"][0]["deleted"], 1);
    assert!(!pulled.copy().join("a").exists());
}

#[test]
fn a_second_run_of_the_night_uses_the_snapshot_that_is_there() {
    if !real_btrfs_available() {
        return;
    }
    let pulled = Pulled::new(3);
    pulled.does("backup home 2024-01-01");
    // The machine is away, and what the first run has begun can still be ended.
    fs::rename(pulled.origin(), pulled.machine.btrfs().path("away")).unwrap();
    pulled.does("backup home 2024-01-01");
    pulled.fails(
        "backup home 2024-01-02",
        1,
        &["cannot pull $FS/origin", "No such file or directory"],
    );
    assert!(!pulled.snapshot("2024-01-02").exists());
}

#[test]
fn a_failing_source_does_not_stop_the_others() {
    if !real_btrfs_available() {
        return;
    }
    let pulled = Pulled::new(4);
    let path = pulled.machine.path("config.toml");
    let second = r#"
[[source]]
name = "photos"
subvolume = "$FS/pulled/photos"
snapshots = "$FS/pulled/snapshots-of-photos"

[source.pull]
from = "$FS/origin"
"#;
    let first = fs::read_to_string(&path)
        .unwrap()
        .replace("origin", "nowhere");
    pulled.machine.write_config(&format!("{first}{second}"));
    for words in ["pull", "backup --date=2024-01-01"] {
        pulled.fails_some(words);
    }
    let copy = pulled.machine.btrfs().path("pulled/photos");
    is_equal(&pulled.origin(), &copy);
    is_equal(
        &pulled.origin(),
        &pulled
            .machine
            .btrfs()
            .path("pulled/snapshots-of-photos/2024-01-01"),
    );
    assert!(!pulled.copy().exists());
}

impl Pulled {
    #[track_caller]
    fn fails_some(&self, words: &str) {
        let run = self.run(words);
        assert_eq!(run.code, Some(10), "{words}: {}", run.stderr);
        assert!(
            run.stderr.contains("1 of 2 sources failed"),
            "{}",
            run.stderr
        );
    }
}

#[test]
fn hooks_run_around_a_pull_and_the_log_has_a_line_of_it() {
    if !real_btrfs_available() {
        return;
    }
    let pulled = Pulled::new(5);
    let path = pulled.machine.path("config.toml");
    let hooks = "log = \"$T/log\"\n";
    let text = fs::read_to_string(&path).unwrap();
    let after = "\n[hooks]\nafter = [\"/bin/sh\", \"-c\", \"echo $COLDCHAIN_EVENT $COLDCHAIN_RESULT >>$T/seen\"]\n";
    pulled
        .machine
        .write_config(&format!("{hooks}{text}{after}"));
    pulled.does("pull");
    let seen = fs::read_to_string(pulled.machine.path("seen")).unwrap();
    assert_eq!(seen, "pull pulled\n");
    let log = fs::read_to_string(pulled.machine.path("log")).unwrap();
    assert!(log.contains(" info home pulled from=\""), "{log}");
    assert!(log.contains(" info home done seconds="), "{log}");
}

#[test]
fn on_a_new_machine_init_and_the_first_pull_need_nothing_that_a_pull_makes() {
    if !real_btrfs_available() {
        return;
    }
    let pulled = Pulled::new(61);
    pulled.fails(
        "snapshot",
        1,
        &["no pull of `home`", "run `coldchain pull home`"],
    );
    let state = pulled.machine.path("state");
    for words in ["pull --dry-run", "pull"] {
        fs::remove_dir_all(&state).unwrap();
        pulled.does(words);
    }
    let other = Pulled::new(62);
    other.does("init");
    assert!(!other.copy().exists());
    other.does("pull");
    other.is_equal();
}

#[test]
fn mirrors_are_brought_up_to_date_although_the_pull_fails() {
    if !real_btrfs_available() {
        return;
    }
    let pulled = Pulled::new(63);
    pulled.does("backup home 2024-01-01");
    fs::create_dir(pulled.machine.btrfs().path("second")).unwrap();
    let mirror = "\n[[mirror]]\nsource = \"home\"\nto = \"$FS/second\"\n";
    pulled.config_from("$FS/gone", mirror);
    pulled.fails("backup home 2024-01-02 --date-override", 1, &["gone"]);
    is_equal(
        &pulled.snapshot("2024-01-01"),
        &pulled.machine.btrfs().path("second/home/2024-01-01"),
    );
}

#[test]
fn a_link_in_the_place_of_the_unfinished_files_leads_nowhere() {
    if !real_btrfs_available() {
        return;
    }
    let pulled = Pulled::new(64);
    pulled.does("pull");
    let elsewhere = pulled.machine.path("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    let file = elsewhere.join(".some.aB3xyZ");
    fs::write(&file, "mine").unwrap();
    std::os::unix::fs::symlink(&elsewhere, pulled.copy().join(".coldchain-pull")).unwrap();
    pulled.fails("pull", 2, &[".coldchain-pull is no directory"]);
    assert_eq!(fs::read_to_string(&file).unwrap(), "mine");
}
