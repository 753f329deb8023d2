//! A disk is lost, the newest archive is restored onto a new one, and archiving goes on incrementally.

use std::fs;
use std::path::Path;

use crate::common::loopfs::{LoopFs, btrfs, real_btrfs_available};
use crate::common::machine::Machine;
use crate::common::rng::Rng;
use crate::common::tree::{compare_trees, make_rich_tree, mutate_tree};
use coldchain::btrfs::identity;

fn done(machine: &Machine, words: &str) -> String {
    let run = machine.run(words);
    assert_eq!(run.code, Some(0), "{words}: {}", run.stderr);
    run.stdout
}

fn restore_all(machine: &Machine, to: &Path) {
    let to = to.display();
    done(
        machine,
        &format!("restore home --from store --to {to} --identity $T/kit --yes --quiet"),
    );
}

/// The config of a machine whose source has moved to another filesystem.
fn move_source(machine: &Machine, to: &LoopFs) {
    let config = fs::read_to_string(machine.path("config.toml")).unwrap();
    let from = machine.btrfs().root().display().to_string();
    let to = to.root().display().to_string();
    let config = config
        .replace(&format!("{from}/home"), &format!("{to}/home/live"))
        .replace(&from, &to);
    fs::write(machine.path("config.toml"), config).unwrap();
}

#[test]
fn archiving_goes_on_from_a_restored_disk_and_the_whole_chain_comes_back() {
    if !real_btrfs_available() {
        return;
    }
    let machine = Machine::with_subvolume(512);
    let home = machine.btrfs().path("home");
    let mut rng = Rng::new(0xad0f);
    make_rich_tree(&home, &mut rng);
    done(&machine, "backup 2024-01-01");
    mutate_tree(&home, &mut rng);
    done(&machine, "backup 2024-01-07");

    let disk = LoopFs::new(512);
    fs::create_dir(disk.path("snapshots")).unwrap();
    let to = disk.root().display().to_string();
    done(
        &machine,
        &format!("restore home --from store --to {to} --identity $T/kit --yes --writable live"),
    );
    // The old disk is gone, and with it the snapshots.
    for date in ["2024-01-01", "2024-01-07"] {
        btrfs(
            ["subvolume", "delete"],
            &[&machine.btrfs().path("snapshots").join(date)],
        );
    }
    move_source(&machine, &disk);
    let plan = done(&machine, "plan 2024-01-14");
    assert!(
        plan.contains("the snapshot of 2024-01-07 is gone"),
        "{plan}"
    );

    let said = done(&machine, &format!("adopt home {to}"));
    let restored = disk.path("home/2024-01-07");
    assert_eq!(
        said,
        format!(
            "home: the next archive builds on {}, the archive of 2024-01-07; keep that snapshot until then\n",
            restored.display()
        )
    );
    let said = done(&machine, &format!("adopt home {to}"));
    assert!(said.contains("nothing was changed"), "{said}");

    let live = disk.path("home/live");
    mutate_tree(&live, &mut rng);
    done(&machine, "backup 2024-01-14");
    mutate_tree(&live, &mut rng);
    done(&machine, "backup 2024-01-21");
    assert_eq!(
        machine.archived(),
        [
            "2024-01-01 full",
            "2024-01-07 incremental",
            "2024-01-14 incremental",
            "2024-01-21 incremental"
        ]
    );
    // What was adopted was not taken by coldchain: it never goes by itself.
    assert!(identity(&restored).unwrap().read_only);

    let third = LoopFs::new(512);
    restore_all(&machine, &third.root());
    for date in ["2024-01-14", "2024-01-21"] {
        compare_trees(
            &disk.path("snapshots").join(date),
            &third.path("home").join(date),
        );
    }
    compare_trees(&restored, &third.path("home/2024-01-07"));
}

#[test]
fn a_source_that_has_moved_goes_on_although_its_old_snapshots_still_stand() {
    if !real_btrfs_available() {
        return;
    }
    let machine = Machine::with_subvolume(256);
    fs::write(machine.btrfs().path("home/letter"), "one\n").unwrap();
    done(&machine, "backup 2024-01-01");
    let old = machine.btrfs().path("snapshots/2024-01-01");
    let disk = LoopFs::new(256);
    fs::create_dir(disk.path("snapshots")).unwrap();
    let to = disk.root().display().to_string();
    done(
        &machine,
        &format!("restore home --from store --to {to} --identity $T/kit --yes --writable live"),
    );
    move_source(&machine, &disk);
    // Not adopted, the next archive is a full: the old snapshot is of no use here.
    let plan = done(&machine, "plan 2024-01-07");
    assert!(plan.contains("full"), "{plan}");
    assert!(plan.contains("is on another filesystem"), "{plan}");
    let said = done(&machine, &format!("adopt home {to}"));
    assert!(
        said.contains("home/2024-01-01, the archive of 2024-01-01;"),
        "{said}"
    );
    let plan = done(&machine, "plan 2024-01-07");
    assert!(plan.contains("incremental"), "{plan}");
    fs::write(disk.path("home/live/letter"), "two\n").unwrap();
    done(&machine, "backup 2024-01-07");
    assert_eq!(
        machine.archived(),
        ["2024-01-01 full", "2024-01-07 incremental"]
    );
    assert!(identity(&old).unwrap().read_only, "it is left where it is");
}

#[test]
fn only_the_newest_archive_as_a_restore_leaves_it_is_adopted() {
    if !real_btrfs_available() {
        return;
    }
    let machine = Machine::with_subvolume(256);
    let letter = machine.btrfs().path("home/letter");
    fs::write(&letter, "one\n").unwrap();
    done(&machine, "backup 2024-01-01");
    fs::write(&letter, "two\n").unwrap();
    done(&machine, "backup 2024-01-07");
    let disk = LoopFs::new(256);
    let to = disk.root().display().to_string();
    let refused = |says: &str| {
        let run = machine.run(&format!("adopt home {to}"));
        assert_eq!(run.code, Some(2), "{}", run.stderr);
        assert!(run.stderr.contains(says), "{}", run.stderr);
    };
    // While the snapshot that was archived stands there is nothing to adopt.
    let said = done(&machine, &format!("adopt home {to}"));
    assert!(said.contains("nothing was changed"), "{said}");
    btrfs(
        ["subvolume", "delete"],
        &[&machine.btrfs().path("snapshots/2024-01-07")],
    );
    refused("is not what a restore of 2024-01-07-incr-");
    done(
        &machine,
        &format!("restore home --from store --to {to} --date 2024-01-01 --identity $T/kit --yes"),
    );
    refused("is not what a restore of 2024-01-07-incr-");
    // Something else under that name.
    disk.subvolume("home/2024-01-07");
    refused("is not what a restore of 2024-01-07-incr-");
    btrfs(["subvolume", "delete"], &[&disk.path("home/2024-01-07")]);
    restore_all(&machine, &disk.root());
    // On another filesystem than the source it is of no use.
    refused("is not on the filesystem");
}

#[test]
fn a_stream_from_a_restored_disk_is_taken_once_that_is_adopted() {
    if !real_btrfs_available() {
        return;
    }
    let machine = Machine::fed(Some(LoopFs::new(256)));
    machine.btrfs().subvolume("home");
    let send = |from: &Path, parent: Option<&Path>| {
        let mut command = std::process::Command::new("btrfs");
        command.args(["send", "-q"]);
        if let Some(parent) = parent {
            command.arg("-p").arg(parent);
        }
        let output = command.arg(from).output().unwrap();
        assert!(output.status.success());
        output.stdout
    };
    let snapshot = |of: &Path, to: &Path| btrfs(["subvolume", "snapshot", "-r"], &[of, to]);
    let first = machine.btrfs().path("first");
    fs::write(machine.btrfs().path("home/letter"), "one\n").unwrap();
    snapshot(&machine.btrfs().path("home"), &first);
    let run = machine.run_with("decide 2024-01-01", &send(&first, None));
    assert_eq!(run.code, Some(0), "{}", run.stderr);

    let disk = LoopFs::new(256);
    let to = disk.root().display().to_string();
    done(
        &machine,
        &format!("restore home --from store --to {to} --identity $T/kit --yes --writable live"),
    );
    let restored = disk.path("home/2024-01-01");
    fs::write(disk.path("home/live/letter"), "two\n").unwrap();
    let second = disk.path("second");
    snapshot(&disk.path("home/live"), &second);
    let stream = send(&second, Some(&restored));
    // Its send parent has another ctransid than the one that was archived.
    let run = machine.run_with("decide 2024-01-07", &stream);
    assert_eq!(run.code, Some(1), "{}", run.stderr);
    done(&machine, &format!("adopt home {to}"));
    let run = machine.run_with("decide 2024-01-07", &stream);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let third = LoopFs::new(256);
    restore_all(&machine, &third.root());
    compare_trees(&second, &third.path("home/2024-01-07"));
}
