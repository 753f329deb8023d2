//! Crashes between two lines, and a store that is ahead, behind or forked: what the next run makes of it.

use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::common::loopfs::{LoopFs, btrfs, real_btrfs_available};
use crate::common::machine::Machine;
use crate::common::rng::Rng;
use crate::common::sandbox::{SOURCE, Sandbox, which};
use crate::common::stub::{Pipe, Stub};
use crate::common::tree::{compare_trees, make_rich_tree, mutate_tree};

fn with_tree(seed: u64) -> Sandbox {
    let sandbox = Sandbox::new();
    make_rich_tree(&sandbox.source(), &mut Rng::new(seed));
    sandbox
}

fn unnamed(sandbox: &Sandbox, date: &str) -> PathBuf {
    sandbox.snapshot(&format!(".coldchain-new-{date}"))
}

fn entry(sandbox: &Sandbox, seq: u64) -> PathBuf {
    sandbox
        .store()
        .join(format!("{SOURCE}/ledger/{seq:08}.entry"))
}

/// Changes the catalog behind the program's back, as a crash would have left it.
fn sql(sandbox: &Sandbox, statement: &str) {
    let catalog = sandbox.loaded_config().state_dir.join("catalog.db");
    let ran = Command::new("sqlite3")
        .arg(catalog)
        .arg(statement)
        .output()
        .unwrap();
    assert!(ran.status.success() && ran.stderr.is_empty(), "{ran:?}");
}

/// As after a crash between the entry's row and the store's answer.
fn forget_the_answer(sandbox: &Sandbox, seq: u64) {
    sql(
        sandbox,
        &format!(
            "UPDATE entry SET state = 'committing' WHERE seq = {seq};
             UPDATE archive SET state = 'committing' WHERE seq = {seq};"
        ),
    );
}

fn copy_directory(from: &Path, to: &Path) {
    let copied = Command::new("cp")
        .args(["-a", "--"])
        .arg(from)
        .arg(to)
        .status()
        .unwrap();
    assert!(copied.success());
}

#[test]
fn a_snapshot_that_was_recorded_but_not_named_gets_its_name() {
    if !real_btrfs_available() {
        return;
    }
    let sandbox = with_tree(1);
    sandbox.backup("2025-01-01");
    let made = which(&sandbox.snapshot("2025-01-01"));
    fs::rename(
        sandbox.snapshot("2025-01-01"),
        unnamed(&sandbox, "2025-01-01"),
    )
    .unwrap();
    sandbox.backup("2025-01-01");
    assert_eq!(which(&sandbox.snapshot("2025-01-01")), made);
    assert!(!unnamed(&sandbox, "2025-01-01").exists());
}

#[test]
fn a_snapshot_that_was_made_but_not_recorded_is_made_anew() {
    if !real_btrfs_available() {
        return;
    }
    let sandbox = with_tree(2);
    let left = unnamed(&sandbox, "2025-01-01");
    btrfs(["subvolume", "snapshot", "-r"], &[&sandbox.source(), &left]);
    let leftover = which(&left).uuid;
    sandbox.backup("2025-01-01");
    assert!(!left.exists());
    assert_ne!(which(&sandbox.snapshot("2025-01-01")).uuid, leftover);
    assert_eq!(sandbox.committed(), ["2025-01-01"]);
}

#[test]
fn what_only_has_a_snapshots_name_is_left_alone() {
    if !real_btrfs_available() {
        return;
    }
    let sandbox = with_tree(3);
    let left = unnamed(&sandbox, "2025-01-01");
    // Writable, and of another subvolume: two reasons why it is somebody else's.
    btrfs(["subvolume", "create"], &[&left]);
    fs::write(left.join("precious"), "data").unwrap();
    let ran = sandbox.run(["backup", "2025-01-01"]);
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(
        ran.stderr
            .contains("it has the name of an unfinished snapshot, but is not one"),
        "{ran:?}"
    );
    assert!(left.join("precious").exists());
    assert!(sandbox.ledger().is_empty());
}

#[test]
fn an_entry_whose_answer_was_lost_is_found_committed() {
    if !real_btrfs_available() {
        return;
    }
    let sandbox = with_tree(4);
    sandbox.backup("2025-01-01");
    forget_the_answer(&sandbox, 2);
    assert_eq!(sandbox.archives("unfinished").len(), 1);
    let stored = sandbox.stored();
    let said = sandbox.backup("2025-01-01");
    assert!(said.stdout.contains("nothing due"), "{said:?}");
    assert_eq!(sandbox.committed(), ["2025-01-01"]);
    assert_eq!(sandbox.stored(), stored);
    sandbox.restores_equal(&["2025-01-01"]);
}

#[test]
fn an_entry_that_never_reached_the_store_is_taken_back_and_archived_anew() {
    if !real_btrfs_available() {
        return;
    }
    let sandbox = with_tree(5);
    sandbox.backup("2025-01-01");
    forget_the_answer(&sandbox, 2);
    fs::remove_file(entry(&sandbox, 2)).unwrap();
    sandbox.backup("2025-01-01");
    assert_eq!(sandbox.committed(), ["2025-01-01"]);
    assert_eq!(sandbox.ledger().len(), 2);
    sandbox.restores_equal(&["2025-01-01"]);
}

#[test]
fn a_ledger_that_went_back_stops_the_run() {
    if !real_btrfs_available() {
        return;
    }
    let sandbox = with_tree(6);
    sandbox.backup("2025-01-01");
    sandbox.backup("2025-01-07");
    fs::remove_file(entry(&sandbox, 3)).unwrap();
    let stored = sandbox.stored();
    let ran = sandbox.run(["backup", "2025-01-14"]);
    assert_eq!(ran.code, Some(6), "{ran:?}");
    assert!(
        ran.stderr
            .contains("has gone back: entry 3 is missing, but entries up to 3 were committed"),
        "{ran:?}"
    );
    assert_eq!(sandbox.stored(), stored);
    assert!(
        sandbox.snapshot("2025-01-14").exists(),
        "the night's snapshot is not lost by it"
    );
}

#[test]
fn a_ledger_that_forked_stops_the_run() {
    if !real_btrfs_available() {
        return;
    }
    // Two machines with the same state: the second one's archive takes the number of the first's.
    let sandbox = with_tree(7);
    sandbox.backup("2025-01-01");
    let state = sandbox.loaded_config().state_dir;
    let (before, after) = (
        state.with_extension("before"),
        state.with_extension("after"),
    );
    copy_directory(&state, &before);
    sandbox.backup("2025-01-07");
    let theirs = fs::read(entry(&sandbox, 3)).unwrap();
    fs::rename(&state, &after).unwrap();
    fs::rename(&before, &state).unwrap();
    fs::remove_file(entry(&sandbox, 3)).unwrap();
    btrfs(["subvolume", "delete"], &[&sandbox.snapshot("2025-01-07")]);
    sandbox.backup("2025-01-07");
    assert_ne!(fs::read(entry(&sandbox, 3)).unwrap(), theirs);
    fs::remove_dir_all(&state).unwrap();
    fs::rename(&after, &state).unwrap();
    let ran = sandbox.run(["backup", "2025-01-14"]);
    assert_eq!(ran.code, Some(6), "{ran:?}");
    assert!(ran.stderr.contains("has forked: entry 3"), "{ran:?}");
}

#[test]
fn entries_of_another_machine_are_absorbed_before_anything_is_planned() {
    if !real_btrfs_available() {
        return;
    }
    let sandbox = with_tree(8);
    let state = sandbox.loaded_config().state_dir;
    let before = state.with_extension("before");
    sandbox.backup("2025-01-01");
    copy_directory(&state, &before);
    mutate_tree(&sandbox.source(), &mut Rng::new(80));
    sandbox.backup("2025-01-07");
    // How many files an archive has is known to the index of this machine alone.
    let listed = || {
        let mut listed = sandbox.listed();
        for archive in listed["chains"][0]["archives"].as_array_mut().unwrap() {
            archive.as_object_mut().unwrap().remove("files");
        }
        listed
    };
    let both = listed();
    fs::remove_dir_all(&state).unwrap();
    fs::rename(&before, &state).unwrap();
    // The snapshot of that date is not in this catalog.
    fs::rename(sandbox.snapshot("2025-01-07"), sandbox.snapshot("aside")).unwrap();
    let said = sandbox.backup("2025-01-07");
    assert!(said.stdout.contains("nothing due"), "{said:?}");
    assert_eq!(listed(), both);
    // Its snapshot is not known here, so the next builds on the one before it, with that reason.
    let said = sandbox.backup("2025-01-14");
    assert!(
        said.stdout
            .contains("it builds on 2025-01-01, since the snapshot of 2025-01-07 is gone"),
        "{said:?}"
    );
    let other = LoopFs::new(512);
    sandbox.restore("2025-01-07", &other.root()).ok();
    compare_trees(
        &sandbox.snapshot("aside"),
        &other.path(SOURCE).join("2025-01-07"),
    );
}

#[test]
fn somebody_elses_bytes_under_the_next_number_are_passed_over_aloud() {
    if !real_btrfs_available() {
        return;
    }
    let sandbox = with_tree(9);
    sandbox.backup("2025-01-01");
    fs::write(entry(&sandbox, 3), "no entry\n").unwrap();
    let said = sandbox.backup("2025-01-07");
    assert!(
        said.stderr
            .contains("warning: home: ledger entry 3 is passed over"),
        "{said:?}"
    );
    let body = fs::read_to_string(entry(&sandbox, 4)).unwrap();
    assert!(body.contains("\"skips\":[3]"), "{body}");
    assert_eq!(sandbox.committed(), ["2025-01-01", "2025-01-07"]);
    // Said once: the catalog knows it now, and the next entries go on.
    mutate_tree(&sandbox.source(), &mut Rng::new(90));
    let said = sandbox.backup("2025-01-14");
    assert!(!said.stderr.contains("passed over"), "{said:?}");
    sandbox.restores_equal(&["2025-01-01", "2025-01-07", "2025-01-14"]);
}

#[test]
fn a_foreign_ledger_in_the_sources_place_is_refused() {
    if !real_btrfs_available() {
        return;
    }
    let sandbox = with_tree(10);
    let other = with_tree(11);
    other.backup("2025-01-01");
    copy_directory(&other.store().join(SOURCE), &sandbox.store().join(SOURCE));
    let stored = sandbox.stored();
    let ran = sandbox.run(["backup", "2025-01-01"]);
    assert_eq!(ran.code, Some(6), "{ran:?}");
    assert!(ran.stderr.contains("it belongs to the ledger"), "{ran:?}");
    assert_eq!(sandbox.stored(), stored);
}

#[test]
fn a_restore_that_was_killed_goes_on_and_deletes_only_what_it_began() {
    if !real_btrfs_available() {
        return;
    }
    let sandbox = with_tree(12);
    sandbox.backup("2025-01-01");
    mutate_tree(&sandbox.source(), &mut Rng::new(120));
    sandbox.backup("2025-01-07");
    let other = LoopFs::new(512);
    sandbox.restore("2025-01-01", &other.root()).ok();
    let place = other.path(SOURCE);
    let full = which(&place.join("2025-01-01"));
    // As a crash in the middle of the second archive leaves it: begun, recorded, writable.
    let begun = place.join("2025-01-07");
    btrfs(["subvolume", "create"], &[&begun]);
    fs::write(begun.join("half"), "of it").unwrap();
    let mark = place.join(".coldchain-restore.json");
    let recorded = fs::read_to_string(&mark).unwrap();
    let name = b"2025-01-07".map(|byte| byte.to_string()).join(",");
    let begun_as = |id: u64| {
        let begun = format!("{{\"name\":[{name}],\"subvolume_id\":{id}}}");
        fs::write(
            &mark,
            recorded.replace("\"begun\":null", &format!("\"begun\":{begun}")),
        )
        .unwrap();
    };
    // Another subvolume id than the one that was recorded: it is not what this restore began.
    begun_as(which(&begun).subvolume_id + 1000);
    let ran = sandbox.restore("2025-01-07", &other.root());
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(begun.join("half").exists());
    begun_as(which(&begun).subvolume_id);
    sandbox.restore("2025-01-07", &other.root()).ok();
    assert_eq!(which(&place.join("2025-01-01")), full);
    for date in ["2025-01-01", "2025-01-07"] {
        compare_trees(&sandbox.snapshot(date), &place.join(date));
    }
}

#[test]
fn a_restore_that_died_before_it_knew_what_it_had_made_goes_on() {
    if !real_btrfs_available() {
        return;
    }
    let sandbox = with_tree(12);
    sandbox.backup("2025-01-01");
    mutate_tree(&sandbox.source(), &mut Rng::new(120));
    sandbox.backup("2025-01-07");
    let other = LoopFs::new(512);
    sandbox.restore("2025-01-01", &other.root()).ok();
    let place = other.path(SOURCE);
    let full = place.join("2025-01-01");
    let uuid = which(&full).uuid;
    let mark = place.join(".coldchain-restore.json");
    let recorded = fs::read_to_string(&mark).unwrap();
    let name = b"2025-01-07".map(|byte| byte.to_string()).join(",");
    let told = |at: &str| {
        let told = format!("{{\"at\":\"{at}\",\"parent\":\"{uuid}\"}}");
        let begun = format!("{{\"name\":[{name}],\"subvolume_id\":null,\"told\":{told}}}");
        fs::write(
            &mark,
            recorded.replace("\"begun\":null", &format!("\"begun\":{begun}")),
        )
        .unwrap();
    };
    // As `btrfs receive` begins an incremental one.
    let begun = place.join("2025-01-07");
    let snapshot = || btrfs(["subvolume", "snapshot"], &[&full, &begun]);
    snapshot();
    fs::write(begun.join("mine"), "of the time after the crash").unwrap();
    let now = chrono::Utc::now();
    for at in [
        now - chrono::TimeDelta::minutes(1),
        now + chrono::TimeDelta::minutes(1),
    ] {
        told(&at.to_rfc3339());
        let ran = sandbox.restore("2025-01-07", &other.root());
        assert_eq!(ran.code, Some(2), "{ran:?}");
        assert!(ran.stderr.contains("that is not certain"), "{ran:?}");
        assert!(begun.join("mine").exists());
    }
    btrfs(["subvolume", "delete"], &[&begun]);
    told(&chrono::Utc::now().to_rfc3339());
    snapshot();
    sandbox.restore("2025-01-07", &other.root()).ok();
    for date in ["2025-01-01", "2025-01-07"] {
        compare_trees(&sandbox.snapshot(date), &place.join(date));
    }
}

#[test]
fn a_directory_that_was_put_in_the_restored_one_s_place_is_not_called_restored() {
    if !real_btrfs_available() {
        return;
    }
    let machine = Machine::with_subvolume(256);
    fs::write(machine.btrfs().path("home/letter"), "dear reader\n").unwrap();
    assert_eq!(machine.run("backup 2024-01-01").code, Some(0));
    let other = LoopFs::new(256);
    let (stub, begun) = (Stub::new(), Pipe::new());
    let go = stub.file("go");
    stub.does(
        "receive",
        &format!(
            "echo begun >{}; until [ -e '{}' ]; do sleep 0.02; done; exec \"$real\" \"$@\"",
            begun.path(),
            go.display()
        ),
    );
    let words = format!(
        "restore home --from store --identity $T/kit --yes --to {}",
        other.root().display()
    );
    let mut command = machine.command(&words);
    let talk = machine.start_command(command.env("PATH", stub.path()));
    begun.hear();
    // Whoever owns the directory that was named may do so.
    fs::rename(other.path("home"), other.path("moved")).unwrap();
    fs::create_dir(other.path("home")).unwrap();
    fs::write(&go, b"").unwrap();
    let run = talk.end();
    assert_eq!(run.code, Some(2), "{run:?}");
    assert!(
        run.stderr.contains("what was restored was moved away"),
        "{run:?}"
    );
    assert_eq!(fs::read_dir(other.path("home")).unwrap().count(), 0);
    compare_trees(
        &machine.btrfs().path("snapshots/2024-01-01"),
        &other.path("moved/2024-01-01"),
    );
}

#[test]
fn a_second_restore_into_a_directory_that_is_being_restored_into_is_turned_away() {
    if !real_btrfs_available() {
        return;
    }
    let sandbox = with_tree(13);
    sandbox.backup("2025-01-01");
    let other = LoopFs::new(512);
    let place = other.path(SOURCE);
    sandbox.restore("2025-01-01", &other.root()).ok();
    let restored = which(&place.join("2025-01-01"));
    // As a restore at work holds it.
    let held = fs::File::open(&place).unwrap();
    rustix::fs::flock(&held, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let ran = sandbox.restore("2025-01-01", &other.root());
    assert_eq!(ran.code, Some(3), "{ran:?}");
    drop(held);
    sandbox.restore("2025-01-01", &other.root()).ok();
    assert_eq!(which(&place.join("2025-01-01")), restored);
}

#[test]
fn a_restore_that_died_before_its_mark_goes_on() {
    if !real_btrfs_available() {
        return;
    }
    let sandbox = with_tree(14);
    sandbox.backup("2025-01-01");
    let other = LoopFs::new(512);
    let place = other.path(SOURCE);
    fs::DirBuilder::new().mode(0o700).create(&place).unwrap();
    fs::write(place.join(".coldchain-restore.json.new"), "{").unwrap();
    sandbox.restore("2025-01-01", &other.root()).ok();
    compare_trees(&sandbox.snapshot("2025-01-01"), &place.join("2025-01-01"));
}

#[test]
fn an_entry_that_is_taken_back_still_passes_over_what_it_passed_over() {
    if !real_btrfs_available() {
        return;
    }
    let sandbox = with_tree(15);
    sandbox.backup("2025-01-01");
    fs::write(entry(&sandbox, 3), "no entry\n").unwrap();
    sandbox.backup("2025-01-07");
    forget_the_answer(&sandbox, 4);
    fs::remove_file(entry(&sandbox, 4)).unwrap();
    sandbox.backup("2025-01-07");
    assert_eq!(sandbox.committed(), ["2025-01-01", "2025-01-07"]);
    assert!(
        fs::read_to_string(entry(&sandbox, 4))
            .unwrap()
            .contains("\"skips\":[3]")
    );
}

#[test]
fn a_signpost_with_another_text_stops_nothing() {
    if !real_btrfs_available() {
        return;
    }
    let sandbox = with_tree(16);
    fs::create_dir(sandbox.store().join(SOURCE)).unwrap();
    let signpost = sandbox.store().join(SOURCE).join("README-RESTORE.txt");
    fs::write(&signpost, "my own words").unwrap();
    sandbox.backup("2025-01-01");
    assert_eq!(fs::read_to_string(signpost).unwrap(), "my own words");
}

#[test]
fn a_source_that_was_archived_before_init_saw_it_comes_into_the_kit() {
    if !real_btrfs_available() {
        return;
    }
    let sandbox = with_tree(17);
    sandbox.backup("2025-01-01");
    let kit = fs::read_to_string(sandbox.kit()).unwrap();
    let (before, _) = kit.split_once("# source home").unwrap();
    fs::write(sandbox.kit(), before).unwrap();
    let path = sandbox.kit();
    let init = ["init".as_ref(), "--kit".as_ref(), path.as_os_str()];
    sandbox.run(init).ok();
    assert!(
        fs::read_to_string(sandbox.kit())
            .unwrap()
            .contains("# source home")
    );
    let again = sandbox.run(init).ok();
    assert!(again.stdout.contains("nothing is missing"), "{again:?}");
}

#[test]
fn a_full_disk_behind_stdout_and_stderr_costs_no_archive() {
    if !real_btrfs_available() {
        return;
    }
    let sandbox = with_tree(18);
    let full = || {
        fs::OpenOptions::new()
            .write(true)
            .open("/dev/full")
            .unwrap()
    };
    let config = sandbox.loaded_config().path;
    let status = Command::new(env!("CARGO_BIN_EXE_coldchain"))
        .args(["backup", "2025-01-01", "-v", "--config"])
        .arg(config)
        .stdout(full())
        .stderr(full())
        .status()
        .unwrap();
    assert_eq!(status.code(), Some(4));
    assert_eq!(sandbox.committed(), ["2025-01-01"]);
}
