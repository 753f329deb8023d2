//! Which local snapshots stay, on a real btrfs: never less than the next run needs, and never anything
//! that coldchain did not make.

use std::fs;

use crate::common::loopfs::{LoopFs, btrfs, real_btrfs_available};
use crate::common::rng::Rng;
use crate::common::sandbox::{Sandbox, Setup, which};
use crate::common::tree::{compare_trees, make_rich_tree, mutate_tree};

/// A source that is due on the first of a month, with those lines of its own.
fn source(lines: &'static str) -> Sandbox {
    let sandbox = Sandbox::with(&Setup {
        source: lines,
        schedule: "days = [1]",
        ..Setup::default()
    });
    make_rich_tree(&sandbox.source(), &mut Rng::new(5));
    sandbox
}

/// Backs up on each of these nights, and says which snapshots stand then.
fn after(sandbox: &Sandbox, nights: &[&str]) -> Vec<String> {
    for date in nights {
        sandbox.backup(date);
    }
    sandbox.snapshot_names()
}

#[test]
fn old_snapshots_are_deleted_but_never_the_next_send_parent() {
    if !real_btrfs_available() {
        return;
    }
    let sandbox = Sandbox::with(&Setup {
        source: "keep_snapshots_days = 10",
        schedule: "days = [1]",
        ..Setup::default()
    });
    let mut rng = Rng::new(5);
    make_rich_tree(&sandbox.source(), &mut rng);
    let foreign = sandbox.snapshot("2024-01-01");
    btrfs(
        ["subvolume", "snapshot", "-r"],
        &[&sandbox.source(), &foreign],
    );
    let night = |date: &str, expected: &[&str]| {
        sandbox.backup(date);
        let names = sandbox.snapshot_names();
        // What coldchain did not make is not its to delete.
        assert_eq!(names[0], "2024-01-01");
        assert_eq!(names[1..], *expected, "after {date}");
    };
    night("2025-01-01", &["2025-01-01"]);
    night("2025-01-02", &["2025-01-01", "2025-01-02"]);
    night("2025-01-12", &["2025-01-01", "2025-01-02", "2025-01-12"]);
    night("2025-01-13", &["2025-01-01", "2025-01-12", "2025-01-13"]);
    mutate_tree(&sandbox.source(), &mut rng);
    night("2025-01-31", &["2025-01-01", "2025-01-31"]);
    assert_eq!(sandbox.committed(), ["2025-01-01"]);
    night("2025-02-01", &["2025-01-31", "2025-02-01"]);
    night("2025-02-20", &["2025-02-01", "2025-02-20"]);
    let archives = sandbox.archives("committed");
    assert_eq!(archives.len(), 2);
    assert_eq!(archives[1]["send_parent"], "2025-01-01");

    let other = LoopFs::new(256);
    sandbox.restore("2025-02-01", &other.root()).ok();
    compare_trees(
        &sandbox.snapshot("2025-02-01"),
        &other.path("home/2025-02-01"),
    );
}

#[test]
fn of_a_number_of_snapshots_the_newest_stay_and_what_the_next_run_needs() {
    if !real_btrfs_available() {
        return;
    }
    let sandbox = source("keep_snapshots = 2");
    assert_eq!(
        after(&sandbox, &["2025-01-01", "2025-01-02", "2025-01-03"]),
        ["2025-01-01", "2025-01-02", "2025-01-03"]
    );
    assert_eq!(
        after(&sandbox, &["2025-01-04"]),
        ["2025-01-01", "2025-01-03", "2025-01-04"]
    );
    assert_eq!(
        after(&sandbox, &["2025-02-01"]),
        ["2025-01-04", "2025-02-01"]
    );
    sandbox.restores_equal(&["2025-02-01"]);
}

#[test]
fn where_only_the_latest_is_kept_the_next_archive_still_builds_on_the_last() {
    if !real_btrfs_available() {
        return;
    }
    let sandbox = source("latest_only = true");
    assert_eq!(after(&sandbox, &["2025-01-01"]), ["2025-01-01"]);
    assert_eq!(
        after(&sandbox, &["2025-01-02", "2025-01-03"]),
        ["2025-01-01"]
    );
    mutate_tree(&sandbox.source(), &mut Rng::new(6));
    assert_eq!(after(&sandbox, &["2025-02-01"]), ["2025-02-01"]);
    assert_eq!(
        sandbox.archives("committed")[1]["send_parent"],
        "2025-01-01"
    );
    sandbox.restores_equal(&["2025-02-01"]);
}

#[test]
fn a_snapshot_that_another_took_the_place_of_is_never_deleted() {
    if !real_btrfs_available() {
        return;
    }
    let sandbox = source("keep_snapshots = 1");
    after(&sandbox, &["2025-01-01", "2025-01-02"]);
    let replaced = sandbox.snapshot("2025-01-02");
    btrfs(["subvolume", "delete"], &[&replaced]);
    btrfs(
        ["subvolume", "snapshot", "-r"],
        &[&sandbox.source(), &replaced],
    );
    assert_eq!(
        after(&sandbox, &["2025-01-03", "2025-01-04"]),
        ["2025-01-01", "2025-01-02", "2025-01-04"]
    );
}

#[test]
fn a_snapshot_of_another_subvolume_is_never_deleted_whatever_the_catalog_says() {
    if !real_btrfs_available() {
        return;
    }
    let sandbox = source("keep_snapshots = 1");
    after(&sandbox, &["2025-01-01", "2025-01-02"]);
    let other = sandbox.fs.subvolume("other");
    let path = sandbox.snapshot("2024-12-31");
    btrfs(["subvolume", "snapshot", "-r"], &[&other, &path]);
    let uuid = which(&path).uuid;
    let catalog =
        rusqlite::Connection::open(sandbox.loaded_config().state_dir.join("catalog.db")).unwrap();
    let changed = catalog
        .execute(
            "UPDATE snapshot SET path = ?1, local_uuid = ?2 WHERE date = '2025-01-02'",
            [path.to_str().unwrap(), &uuid.to_string()],
        )
        .unwrap();
    assert_eq!(changed, 1);
    assert_eq!(
        after(&sandbox, &["2025-01-03", "2025-01-04"]),
        ["2024-12-31", "2025-01-01", "2025-01-02", "2025-01-04"]
    );
}

#[test]
fn a_night_years_ahead_deletes_no_snapshot_for_its_age() {
    if !real_btrfs_available() {
        return;
    }
    let sandbox = source("keep_snapshots_days = 1");
    after(&sandbox, &["2025-01-01", "2025-01-02", "2025-01-03"]);
    // As a clock that jumped would have it.
    let standing = ["2025-01-01", "2025-01-02", "2025-01-03"];
    let jumped = after(&sandbox, &["2026-01-03"]);
    assert_eq!(jumped[..3], standing);
    // The next night is an ordinary one.
    assert_eq!(
        after(&sandbox, &["2026-01-04"]),
        ["2026-01-03", "2026-01-04"]
    );
}

/// Loses the catalog, and makes it anew from the store.
fn rebuild(sandbox: &Sandbox) -> String {
    let catalog = sandbox.loaded_config().state_dir.join("catalog.db");
    fs::remove_file(catalog).unwrap();
    sandbox.run(["catalog", "rebuild"]).ok().stdout
}

#[test]
fn what_a_rebuild_finds_in_the_directory_is_built_on_and_never_deleted() {
    if !real_btrfs_available() {
        return;
    }
    // Whether they are coldchain's own, another tool's that `decide` was fed with, or a restore's, the ledger
    // can't tell.
    let sandbox = source("keep_snapshots = 2");
    assert_eq!(
        after(&sandbox, &["2025-01-01", "2025-02-01"]),
        ["2025-01-01", "2025-02-01"]
    );
    let said = rebuild(&sandbox);
    assert!(
        said.ends_with(
            "home: 2 snapshots found again here\n\
             home: 2 snapshots of unknown origin here, which coldchain will never delete\n"
        ),
        "{said}"
    );
    // Nor does a second rebuild make them coldchain's.
    sandbox.run(["catalog", "rebuild"]).ok();
    let found = ["2025-01-01", "2025-02-01"];
    let nights = ["2025-02-02", "2025-02-03", "2025-02-04", "2025-02-05"];
    let standing = after(&sandbox, &nights);
    assert_eq!(standing[..2], found);
    assert_eq!(standing[2..], ["2025-02-04", "2025-02-05"]);
    mutate_tree(&sandbox.source(), &mut Rng::new(6));
    let standing = after(&sandbox, &["2025-03-01", "2025-03-02", "2025-03-03"]);
    assert_eq!(standing[..2], found);
    assert_eq!(
        sandbox.archives("committed")[2]["send_parent"],
        "2025-02-01"
    );
    sandbox.restores_equal(&["2025-02-01", "2025-03-01"]);
}

#[test]
fn a_rebuild_keeps_what_the_catalog_of_before_knew_as_made_here() {
    if !real_btrfs_available() {
        return;
    }
    let sandbox = source("keep_snapshots = 2");
    after(&sandbox, &["2025-01-01", "2025-02-01"]);
    let said = sandbox.run(["catalog", "rebuild"]).ok().stdout;
    assert!(!said.contains("nothing tells"), "{said}");
    assert_eq!(
        after(&sandbox, &["2025-02-02", "2025-02-03"]),
        ["2025-02-01", "2025-02-02", "2025-02-03"]
    );
}

#[test]
fn a_night_s_snapshot_that_no_catalog_knows_any_more_serves_and_stays() {
    if !real_btrfs_available() {
        return;
    }
    let sandbox = source("keep_snapshots = 1");
    after(&sandbox, &["2025-01-01", "2025-01-31"]);
    let standing = which(&sandbox.snapshot("2025-01-31"));
    let said = rebuild(&sandbox);
    assert!(
        said.contains("home: 2 snapshots of unknown origin here"),
        "{said}"
    );
    let again = sandbox.backup("2025-01-31");
    assert!(
        again.stderr.contains(
            "using an existing snapshot of unknown origin; coldchain will never delete it"
        ),
        "{again:?}"
    );
    assert_eq!(which(&sandbox.snapshot("2025-01-31")), standing);
    let silent = sandbox.backup("2025-01-31");
    assert!(!silent.stderr.contains("nothing tells"), "{silent:?}");
    assert_eq!(
        after(&sandbox, &["2025-02-01", "2025-02-02", "2025-02-03"]),
        ["2025-01-01", "2025-01-31", "2025-02-01", "2025-02-03"]
    );
    sandbox.restores_equal(&["2025-02-01"]);
}
