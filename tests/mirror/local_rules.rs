//! The rules of a mirror on a second disk: one test each.

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use super::disks::{
    Disks, MIRROR, SNAPSHOTS_ALONE, compare_copies, names, retarget, roll_back, sent, tamper,
    tamper_keeping_received,
};
use crate::common::loopfs::{LoopFs, btrfs, real_btrfs_available};
use crate::common::tree::compare_trees;

const AHEAD: &str = "2024-01-";

fn dates(days: std::ops::RangeInclusive<u32>) -> Vec<String> {
    days.map(|day| format!("{AHEAD}{day:02}")).collect()
}

#[test]
fn a_mirror_gets_a_full_and_then_increments_and_each_copy_is_equal() {
    if !real_btrfs_available() {
        return;
    }
    let mut disks = Disks::new(1);
    let first = disks.run("backup home 2024-01-01");
    assert_eq!(first.code, Some(0), "{}", first.stderr);
    assert!(
        first
            .stdout
            .contains("home: mirror $M: 1 snapshot sent (2024-01-01), ")
            && first.stdout.ends_with(", 1 in full\n"),
        "{}",
        first.stdout
    );
    for date in &dates(2..=4) {
        disks.mutate();
        disks.night(date);
    }
    assert_eq!(disks.compare(), 4);
    let link = fs::read_link(disks.copy("current")).unwrap();
    assert_eq!(link.to_str(), Some("2024-01-04"));
    assert_eq!(
        fs::metadata(disks.second.path("home")).unwrap().mode() & 0o777,
        0o700
    );
    // Nothing is staged, and the next run has nothing to do.
    assert!(!disks.copy(".coldchain-staging").exists());
    let again = disks.run("mirror");
    again.is(
        0,
        "home: mirror $M: up to date, the newest copy is 2024-01-04\n",
        "",
    );
}

#[test]
fn a_mirror_that_comes_late_gets_what_it_would_keep_oldest_first() {
    if !real_btrfs_available() {
        return;
    }
    let mut disks = Disks::without_mirror(2);
    disks.config(SNAPSHOTS_ALONE);
    for date in &dates(1..=5) {
        disks.night(date);
        disks.mutate();
    }
    disks.config(&format!("{SNAPSHOTS_ALONE}{}", MIRROR.replace("40", "3")));
    let plan = disks.run("mirror --dry-run");
    assert_eq!((plan.code, plan.stderr.as_str()), (Some(0), ""));
    let lines: Vec<&str> = plan.stdout.lines().collect();
    assert!(
        lines[0].starts_with("home: mirror $M: it has no copy yet; "),
        "{lines:?}"
    );
    assert!(
        lines[1].starts_with("  would send 2024-01-03 in full, about "),
        "{lines:?}"
    );
    assert!(
        lines[2].starts_with("  would send 2024-01-04 on 2024-01-03, about "),
        "{lines:?}"
    );
    assert_eq!(lines.len(), 4, "{lines:?}");
    assert!(!disks.second.path("home").exists());
    assert_eq!(
        disks.mirrored(),
        [
            "2024-01-03 full",
            "2024-01-04 incremental",
            "2024-01-05 incremental"
        ]
    );
    assert_eq!(disks.compare(), 3);
    // Its own rule deletes there, and nothing here.
    disks.night("2024-01-06");
    let there: Vec<String> = names(&disks.second.path("home")).into_keys().collect();
    assert_eq!(there, dates(4..=6));
    assert_eq!(names(&disks.machine.btrfs().path("snapshots")).len(), 6);
}

#[test]
fn a_disk_that_was_away_for_five_nights_catches_up() {
    if !real_btrfs_available() {
        return;
    }
    let mut disks = Disks::new(3);
    disks.night("2024-01-01");
    disks.second.detach();
    for date in &dates(2..=6) {
        disks.mutate();
        disks.run(&format!("backup home {date}")).is(
            4,
            &format!("home: snapshot {date} made\n"),
            "error: the night of `home` is done, but the mirror $M is not up to date\ncaused by: the mirror $M is not there: \
             that is not on btrfs\nhint: attach and mount its disk, and run `coldchain mirror`; if the mirror was made anew on \
             purpose, run `coldchain mirror SOURCE --forget-mark` once\n",
        );
    }
    disks.second.attach();
    let caught_up: Vec<String> = dates(2..=6)
        .iter()
        .map(|it| format!("{it} incremental"))
        .collect();
    assert_eq!(disks.mirrored(), caught_up);
    assert_eq!(disks.compare(), 6);
}

#[test]
fn the_newest_common_snapshot_stays_here_until_the_hold_is_over() {
    if !real_btrfs_available() {
        return;
    }
    let mut disks = Disks::without_mirror(4);
    // Nothing is kept but what is needed.
    let config = SNAPSHOTS_ALONE.replace("keep = 40", "latest_only = true");
    disks.config(&format!("{config}{MIRROR}"));
    disks.night("2024-01-01");
    disks.second.detach();
    for date in &dates(2..=4) {
        disks.mutate();
        assert_eq!(disks.run(&format!("backup home {date}")).code, Some(4));
    }
    let here = |disks: &Disks| -> Vec<String> {
        names(&disks.machine.btrfs().path("snapshots"))
            .into_keys()
            .collect()
    };
    assert_eq!(here(&disks), ["2024-01-01", "2024-01-04"]);
    disks.second.attach();
    assert_eq!(disks.mirrored(), ["2024-01-04 incremental"]);
    disks.mutate();
    disks.night("2024-01-05");
    // What was sent against goes the next night.
    assert_eq!(here(&disks), ["2024-01-04", "2024-01-05"]);
    assert_eq!(disks.compare(), 2);

    // The hold of a day is over when the mirror was last reached in the past.
    disks.config(&format!("{config}{MIRROR}hold = \"24h\"\n"));
    disks.second.detach();
    let catalog = rusqlite::Connection::open(disks.machine.state().join("catalog.db")).unwrap();
    let changed = catalog.execute_batch(
        "UPDATE mirror SET reached_at = '2024-01-05T03:00:00Z';
         UPDATE mirrored SET mirrored_at = '2024-01-05T03:00:00Z'",
    );
    changed.unwrap();
    disks.mutate();
    assert_eq!(disks.run("backup home 2024-01-06").code, Some(4));
    assert_eq!(here(&disks), ["2024-01-06"]);
    disks.second.attach();
    assert_eq!(disks.mirrored(), ["2024-01-06 full"]);
    assert_eq!(disks.compare(), 1);
}

#[test]
fn after_a_rollback_the_parent_is_what_the_source_descends_from() {
    if !real_btrfs_available() {
        return;
    }
    let mut disks = Disks::new(5);
    for date in &dates(1..=3) {
        disks.night(date);
        disks.mutate();
    }
    roll_back(&disks.live(), &disks.snapshot("2024-01-02"));
    disks.mutate();
    let night = disks.run("backup home 2024-01-04 --json");
    assert_eq!(night.code, Some(0), "{}", night.stderr);
    // The rollback descends from the newest common one's subvolume, and so can be sent against that.
    let parent = |run: &crate::common::machine::Run| {
        let begun = run
            .stdout
            .lines()
            .find(|line| line.contains("mirror-begun"))
            .unwrap()
            .to_owned();
        let begun: serde_json::Value = serde_json::from_str(&begun).unwrap();
        begun["parent"].as_str().map(str::to_owned)
    };
    assert!(parent(&night).is_some());
    assert_eq!(disks.compare(), 4);

    // A copy that was made beside the source, and used instead of it, descends from nothing that is common.
    let aside = disks.machine.btrfs().path("aside");
    btrfs(
        ["subvolume", "snapshot"],
        &[disks.live().as_path(), aside.as_path()],
    );
    disks.mutate();
    disks.night("2024-01-05");
    btrfs(["subvolume", "delete"], &[&disks.live()]);
    fs::rename(&aside, disks.live()).unwrap();
    disks.mutate();
    let night = disks.run("backup home 2024-01-06 --json");
    assert_eq!(night.code, Some(0), "{}", night.stderr);
    assert_ne!(parent(&night).as_deref(), Some("2024-01-05"));
    assert_eq!(disks.compare(), 6);
}

#[test]
fn a_copy_that_was_changed_is_not_built_on_and_said_once() {
    if !real_btrfs_available() {
        return;
    }
    let mut disks = Disks::new(6);
    disks.night("2024-01-01");
    disks.mutate();
    disks.night("2024-01-02");
    // It keeps its received uuid where a program changes the flag alone.
    tamper_keeping_received(&disks.copy("2024-01-02"));
    disks.mutate();
    let night = disks.run("backup home 2024-01-03");
    assert_eq!(night.code, Some(0), "{}", night.stderr);
    assert_eq!(
        night.stderr,
        "warning: home: copies at the mirror $M were changed, so nothing is sent against them: 2024-01-02\n"
    );
    compare_trees(&disks.snapshot("2024-01-03"), &disks.copy("2024-01-03"));
    assert!(disks.copy("2024-01-02/changed").exists());
    disks.mutate();
    assert_eq!(disks.night("2024-01-04").stderr, "");
    compare_trees(&disks.snapshot("2024-01-04"), &disks.copy("2024-01-04"));
}

#[test]
fn a_snapshot_here_that_was_changed_is_not_sent_and_not_built_on() {
    if !real_btrfs_available() {
        return;
    }
    let mut disks = Disks::new(7);
    disks.night("2024-01-01");
    disks.mutate();
    disks.night("2024-01-02");
    tamper(&disks.snapshot("2024-01-02"));
    disks.mutate();
    disks.night("2024-01-03");
    compare_trees(&disks.snapshot("2024-01-03"), &disks.copy("2024-01-03"));
    assert!(!disks.copy("2024-01-02/changed").exists());
}

#[test]
fn another_disk_in_its_place_is_not_the_mirror() {
    if !real_btrfs_available() {
        return;
    }
    let mut disks = Disks::new(8);
    disks.night("2024-01-01");
    let not_there = |disks: &Disks, what: &str| {
        let before = names(&disks.second.root());
        let run = disks.run("mirror");
        assert_eq!(run.code, Some(1), "{}", run.stderr);
        let error = format!("error: the mirror $M is not there: {what}\nhint: ");
        assert!(run.stderr.starts_with(&error), "{}", run.stderr);
        assert_eq!(names(&disks.second.root()), before);
    };
    disks.second.detach();
    not_there(&disks, "that is not on btrfs");
    disks.second.attach();
    // A new disk under the same path is never made the mirror by itself.
    let old = std::mem::replace(&mut disks.second, LoopFs::new(700));
    disks.config(&format!("{SNAPSHOTS_ALONE}{MIRROR}"));
    retarget(&disks, &old);
    not_there(
        &disks,
        "the directory there does not have this mirror's mark",
    );
    // The user says so.
    let forced = disks.run("mirror --forget-mark");
    assert_eq!(forced.code, Some(0), "{}", forced.stderr);
    assert_eq!(disks.compare(), 1);
    disks.mutate();
    disks.night("2024-01-02");
    assert_eq!(disks.compare(), 2);
}

#[test]
fn the_copies_of_another_source_are_never_mixed_with_its_own() {
    if !real_btrfs_available() {
        return;
    }
    let disks = Disks::new(9);
    disks.night("2024-01-01");
    let other = Disks::without_mirror(10);
    let shared = disks.second.root().display().to_string();
    other.machine.write_config(&format!(
        "{SNAPSHOTS_ALONE}{}",
        MIRROR.replace("$M", &shared)
    ));
    let run = other.machine.run("backup home 2024-01-02");
    assert_eq!(run.code, Some(4), "{}", run.stderr);
    assert!(
        run.stderr.contains(
            "holds copies under the name `home`, and none of them is of a snapshot that is here"
        ),
        "{}",
        run.stderr
    );
    assert_eq!(names(&disks.second.path("home")).len(), 1);
}

#[test]
fn a_catalog_that_was_lost_finds_its_mirror_again() {
    if !real_btrfs_available() {
        return;
    }
    let mut disks = Disks::new(11);
    disks.night("2024-01-01");
    fs::rename(
        disks.machine.state().join("catalog.db"),
        disks.machine.path("lost"),
    )
    .unwrap();
    disks.mutate();
    // The snapshot of before is not in the new catalog; the same night takes it in as one of unknown origin.
    disks.machine.run("backup home 2024-01-01");
    disks.night("2024-01-02");
    assert_eq!(disks.compare(), 2);
    let run = disks.run("mirror");
    run.is(
        0,
        "home: mirror $M: up to date, the newest copy is 2024-01-02\n",
        "",
    );
}

#[test]
fn a_name_that_something_else_has_is_left_alone_and_the_others_are_sent() {
    if !real_btrfs_available() {
        return;
    }
    let mut disks = Disks::new(12);
    disks.night("2024-01-01");
    fs::write(disks.copy("2024-01-02"), "mine").unwrap();
    disks.mutate();
    let night = disks.night("2024-01-02");
    assert!(night.stderr.contains("has something else under the names of these snapshots, so they are not sent: 2024-01-02; rename or delete that"), "{}", night.stderr);
    disks.mutate();
    disks.night("2024-01-03");
    assert_eq!(
        fs::read_to_string(disks.copy("2024-01-02")).unwrap(),
        "mine"
    );
    compare_trees(&disks.snapshot("2024-01-03"), &disks.copy("2024-01-03"));
}

#[test]
fn a_mirror_without_room_for_a_full_gets_none_and_leaves_no_directory() {
    if !real_btrfs_available() {
        return;
    }
    let mut disks = Disks::without_mirror(13);
    disks.second = LoopFs::new(128);
    disks.config(&format!("{SNAPSHOTS_ALONE}{MIRROR}"));
    let large = disks.rng.bytes(150 << 20);
    fs::write(disks.live().join("large"), large).unwrap();
    let run = disks.run("backup home 2024-01-01");
    assert_eq!(run.code, Some(4), "{}", run.stderr);
    assert!(
        run.stderr.contains("the mirror $M has ")
            && run
                .stderr
                .contains(" free, and the snapshot 2024-01-01 has about "),
        "{}",
        run.stderr
    );
    assert!(!disks.second.path("home").exists());
    // Forced, it fails with what btrfs says, and nothing half-made is left.
    let forced = disks.run("mirror --ignore-room");
    assert_eq!(forced.code, Some(1), "{}", forced.stderr);
    assert!(
        forced.stderr.contains("No space left on device"),
        "{}",
        forced.stderr
    );
    assert!(names(&disks.second.path("home")).is_empty());
    fs::remove_file(disks.live().join("large")).unwrap();
    disks.mutate();
    let run = disks.run("backup home 2024-01-02");
    assert_eq!(
        names(&disks.second.path("home")).len(),
        0,
        "{}{}",
        run.stdout,
        run.stderr
    );
}

#[test]
fn what_somebody_put_beside_the_copies_is_never_deleted() {
    if !real_btrfs_available() {
        return;
    }
    let mut disks = Disks::without_mirror(14);
    disks.config(&format!("{SNAPSHOTS_ALONE}{}", MIRROR.replace("40", "2")));
    disks.night("2024-01-03");
    let own = disks.copy("2024-01-01");
    btrfs(
        ["subvolume", "snapshot", "-r"],
        &[disks.copy("2024-01-03").as_path(), own.as_path()],
    );
    for date in &dates(4..=7) {
        disks.mutate();
        disks.night(date);
    }
    let there: Vec<String> = names(&disks.second.path("home")).into_keys().collect();
    assert_eq!(there, ["2024-01-01", "2024-01-06", "2024-01-07"]);
}

#[test]
fn a_mirror_can_be_mirrored_again() {
    if !real_btrfs_available() {
        return;
    }
    let mut disks = Disks::new(15);
    let third = LoopFs::new(700);
    let chained = format!(
        "{SNAPSHOTS_ALONE}{MIRROR}\n[[mirror]]\nfrom = \"$M/home\"\nto = \"{}\"\nkeep = 40\n",
        third.root().display()
    );
    disks.config(&chained);
    for date in &dates(1..=3) {
        disks.night(date);
        let run = disks.run("mirror --json");
        assert_eq!(run.code, Some(0), "{}", run.stderr);
        let kind = if date == "2024-01-01" {
            "full"
        } else {
            "incremental"
        };
        assert_eq!(sent(&run), [format!("{date} {kind}")]);
        disks.mutate();
    }
    roll_back(&disks.live(), &disks.snapshot("2024-01-02"));
    disks.mutate();
    disks.night("2024-01-04");
    let run = disks.run("mirror --json");
    assert_eq!(sent(&run), ["2024-01-04 incremental"]);
    assert_eq!(
        compare_copies(
            &disks.machine.btrfs().path("snapshots"),
            &third.path("home")
        ),
        4
    );
}

#[test]
fn two_runs_at_once_do_not_meet() {
    if !real_btrfs_available() {
        return;
    }
    let disks = Disks::new(16);
    disks.night("2024-01-01");
    let held = fs::File::open(disks.second.path("home")).unwrap();
    rustix::fs::flock(&held, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let run = disks.run("mirror");
    assert_eq!(run.code, Some(3), "{}", run.stderr);
    // The night goes on without it, and does not fail for it.
    let night = disks.night("2024-01-02");
    assert!(
        night.stderr.contains(
            "another run is sending snapshots to the mirror $M, so this one leaves it alone"
        ) || night
            .stderr
            .contains("another run is sending snapshots to the mirror"),
        "{}",
        night.stderr
    );
}

#[test]
fn after_a_restore_by_hand_the_mirror_goes_on_with_what_was_adopted() {
    if !real_btrfs_available() {
        return;
    }
    let mut disks = Disks::new(17);
    disks.night("2024-01-01");
    disks.mutate();
    disks.night("2024-01-02");
    // The source and its snapshots are lost, and come back from the copy.
    for name in ["2024-01-01", "2024-01-02"] {
        btrfs(["subvolume", "delete"], &[disks.snapshot(name).as_path()]);
    }
    btrfs(["subvolume", "delete"], &[disks.live().as_path()]);
    let back = disks.machine.btrfs().path("back");
    fs::create_dir(&back).unwrap();
    let pipe = "set -o pipefail; btrfs send -q \"$1\" | btrfs receive -q \"$2\"";
    let received = std::process::Command::new("bash")
        .args(["-c", pipe, "bash"])
        .args([&disks.copy("2024-01-02"), &back])
        .status();
    assert!(received.unwrap().success());
    let restored = back.join("2024-01-02");
    btrfs(
        ["subvolume", "snapshot"],
        &[restored.as_path(), disks.live().as_path()],
    );
    let nothing = disks.run("adopt home $T");
    assert_eq!(nothing.code, Some(2), "{}", nothing.stderr);
    assert!(
        nothing
            .stderr
            .contains("has no restored copy of a snapshot of `home`"),
        "{}",
        nothing.stderr
    );
    let adopted = disks.run("adopt home $FS/back");
    adopted.is(
        0,
        "home: the mirrors' next snapshots build on $FS/back/2024-01-02, the copy 2024-01-02; keep it until then\n",
        "",
    );
    disks.run("adopt home $FS/back").is(
        0,
        "home: $FS/back/2024-01-02 is known already; nothing was changed\n",
        "",
    );
    disks.mutate();
    let night = disks.run("backup home 2024-01-03 --json");
    assert_eq!(night.code, Some(0), "{}", night.stderr);
    assert!(
        night.stdout.contains(r#""parent":"2024-01-02""#),
        "{}",
        night.stdout
    );
    compare_trees(&disks.snapshot("2024-01-03"), &disks.copy("2024-01-03"));
}

#[test]
fn a_mark_that_is_lost_and_a_directory_of_somebody_elses_are_in_the_way() {
    if !real_btrfs_available() {
        return;
    }
    let disks = Disks::new(18);
    disks.night("2024-01-01");
    let mark = disks.copy(".coldchain-mirror.json");
    let aside = disks.copy("aside");
    fs::rename(&mark, &aside).unwrap();
    let run = disks.run("mirror");
    assert_eq!(run.code, Some(2), "{}", run.stderr);
    assert!(
        run.stderr.contains("$M/home is in the way of the mirror: it is not a mirror that coldchain made\nhint: move it away, or set `to`"),
        "{}",
        run.stderr
    );
    fs::rename(&aside, &mark).unwrap();
    disks.run("mirror").is(
        0,
        "home: mirror $M: up to date, the newest copy is 2024-01-01\n",
        "",
    );
}
