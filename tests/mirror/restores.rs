//! Restores from mirrors: over ssh, from a mirror's mirror, and runs that are killed.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use coldchain::btrfs::identity;

use super::disks::{Disks, MIRROR, SNAPSHOTS_ALONE};
use super::reached::Reached;
use crate::common::from_env;
use crate::common::loopfs::{LoopFs, btrfs, real_btrfs_available};
use crate::common::tree::compare_trees;

/// The owner's rules, but for what a client may do.
const RULES: &str = "--keep 40 --timezone UTC --link current";

#[test]
fn a_restore_over_ssh_equals_the_snapshot_if_the_owner_allows_it() {
    if !real_btrfs_available() {
        return;
    }
    let mut reached = Reached::serving(41, Some(&format!("--allow list,receive {RULES}")));
    for day in 1..=2 {
        reached.night(&format!("2024-01-0{day}"));
    }
    let to = LoopFs::new(700);
    let restore = |reached: &Reached, name: &str| {
        let to = to.root().display().to_string();
        reached.run(&format!(
            "restore home {name} --from mirror --to {to} --yes"
        ))
    };
    let refused = restore(&reached, "2024-01-02");
    assert_eq!(refused.code, Some(2), "{}", refused.stderr);
    assert!(
        refused
            .stderr
            .contains("hint: add `send` to --allow of its `mirror-server`, if its owner agrees"),
        "{}",
        refused.stderr
    );
    assert!(!to.path("home/2024-01-02").exists());
    assert!(!to.path("home/.coldchain-staging").exists());

    reached.serve(&format!("--allow list,receive,send {RULES}"));
    let url = reached.url();
    for name in ["2024-01-02", "2024-01-01"] {
        let run = restore(&reached, name);
        assert_eq!(run.code, Some(0), "{}", run.stderr);
        assert!(
            run.stdout.contains(&format!("from the mirror {url}")),
            "{}",
            run.stdout
        );
        let restored = to.path("home").join(name);
        compare_trees(&reached.disks.snapshot(name), &restored);
        let found = identity(&restored).unwrap();
        let sent = identity(&reached.disks.snapshot(name)).unwrap();
        assert!(found.read_only);
        assert_eq!(found.received_uuid, Some(sent.uuid));
    }
    // What is there is taken for what it is.
    let before = identity(&to.path("home/2024-01-02")).unwrap();
    let again = restore(&reached, "2024-01-02");
    assert_eq!(again.code, Some(0), "{}", again.stderr);
    assert_eq!(identity(&to.path("home/2024-01-02")).unwrap(), before);
}

#[test]
fn the_server_that_dies_in_a_restore_leaves_nothing_half_done() {
    if !real_btrfs_available() {
        return;
    }
    let mut reached = Reached::serving(42, Some(&format!("--allow list,receive,send {RULES}")));
    fs::write(reached.disks.live().join("large"), vec![b'x'; 8 << 20]).unwrap();
    reached.night("2024-01-01");
    let to = LoopFs::new(700);
    let words = format!(
        "restore home 2024-01-01 --from mirror --to {} --yes",
        to.root().display()
    );
    for killed in ["server-pid", "ssh-pid"] {
        let child = reached
            .command(&format!("{words} --limit 64KiB"))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let staging = to.path("home/.coldchain-staging");
        reached.strike_when_staged(&staging, killed);
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("was cut after"), "{said}");
        assert!(!to.path("home/2024-01-01").exists());
        assert!(!staging.exists());
    }
    let run = reached.run(&words);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    compare_trees(
        &reached.disks.snapshot("2024-01-01"),
        &to.path("home/2024-01-01"),
    );
}

#[test]
fn a_mirrors_mirror_gives_back_what_the_mirror_no_longer_can() {
    if !real_btrfs_available() {
        return;
    }
    let mut disks = Disks::without_mirror(43);
    let third = LoopFs::new(700);
    let away = format!(
        "\n[[mirror]]\nfrom = \"$M/home\"\nto = \"{}\"\nkeep = 40\n",
        third.root().display()
    );
    disks.config(&format!("{SNAPSHOTS_ALONE}{MIRROR}{away}"));
    for day in 1..=3 {
        disks.night(&format!("2024-01-0{day}"));
        let run = disks.run("mirror");
        assert_eq!(run.code, Some(0), "{}", run.stderr);
        disks.mutate();
    }
    // The mirror between them is away.
    disks.second.detach();
    let to = LoopFs::new(700);
    for name in ["2024-01-03", "2024-01-01"] {
        let run = disks.run(&format!(
            "restore home {name} --from mirror --to {} --yes",
            to.root().display()
        ));
        assert_eq!(run.code, Some(0), "{}", run.stderr);
        let from = format!("from the mirror {}", third.root().display());
        assert!(run.stdout.contains(&from), "{}", run.stdout);
        let restored = to.path("home").join(name);
        compare_trees(&disks.snapshot(name), &restored);
        let sent = identity(&disks.snapshot(name)).unwrap();
        assert_eq!(identity(&restored).unwrap().received_uuid, Some(sent.uuid));
    }
    // On the third disk itself it is a snapshot of the copy there.
    let beside = third.path("beside");
    fs::create_dir(&beside).unwrap();
    btrfs(
        ["subvolume", "delete"],
        &[disks.snapshot("2024-01-02").as_path()],
    );
    let run = disks.run(&format!(
        "restore home 2024-01-02 --to {} --yes",
        beside.display()
    ));
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    compare_trees(
        &third.path("home/2024-01-02"),
        &beside.join("home/2024-01-02"),
    );
    disks.second.attach();
    disks.mutate();
    disks.night("2024-01-04");
    let run = disks.run("mirror");
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    compare_trees(
        &disks.snapshot("2024-01-04"),
        &third.path("home/2024-01-04"),
    );
}

/// A run that was killed after it gave a copy its name leaves an empty staging directory.
#[test]
fn what_a_killed_run_left_is_removed_though_nothing_is_left_to_do() {
    if !real_btrfs_available() {
        return;
    }
    let disks = Disks::new(48);
    disks.night("2024-01-01");
    let to = LoopFs::new(512);
    let restore = format!(
        "restore home --from mirror --to {} --yes",
        to.root().display()
    );
    assert_eq!(disks.run(&restore).code, Some(0));
    for (words, home) in [
        ("mirror", disks.second.path("home")),
        (&*restore, to.path("home")),
    ] {
        let staging = home.join(".coldchain-staging");
        fs::create_dir(&staging).unwrap();
        let run = disks.run(words);
        assert_eq!(run.code, Some(0), "{}", run.stderr);
        assert!(!staging.exists(), "{words}");
    }
}

/// Kills a restore from a copy at random moments, and runs it again until it is done.
#[test]
fn a_restore_from_a_copy_that_is_killed_is_whole_in_the_end() {
    if !real_btrfs_available() {
        return;
    }
    let wanted = from_env("COLDCHAIN_COPY_RESTORE_KILLS", 10);
    let mut disks = Disks::new(from_env("COLDCHAIN_SEED", 44));
    disks.night("2024-01-01");
    disks.mutate();
    let large = disks.rng.bytes(6 << 20);
    fs::write(disks.live().join("large"), large).unwrap();
    disks.night("2024-01-02");
    let snapshot = disks.snapshot("2024-01-02");
    let copy = disks.copy("2024-01-02");
    let restoring = |disks: &Disks, to: &Path| {
        let mut command = disks.machine.command("restore home 2024-01-02 --yes");
        command.args(["--from", "mirror", "--to"]).arg(to);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command
    };
    let first = LoopFs::new(512);
    let begun = Instant::now();
    let mut command = restoring(&disks, &first.root());
    assert!(command.status().unwrap().success());
    let most = u64::try_from(begun.elapsed().as_micros()).unwrap();
    drop(first);

    let (mut kills, mut rounds) = (0, 0);
    while kills < wanted {
        rounds += 1;
        // On another disk it is received; on the mirror's own it is a snapshot.
        for is_shared in [false, true] {
            let disk = LoopFs::new(512);
            let to = if is_shared {
                let beside = disks.second.path(format!("to-{rounds}"));
                fs::create_dir(&beside).unwrap();
                beside
            } else {
                disk.root()
            };
            let restored = to.join("home/2024-01-02");
            loop {
                let mut program = restoring(&disks, &to).spawn().unwrap();
                thread::sleep(Duration::from_micros(disks.rng.below(most)));
                let is_running = program.try_wait().unwrap().is_none();
                kills += u64::from(is_running && program.kill().is_ok());
                let ended = program.wait().unwrap();
                // What has the name is whole at every moment.
                if restored.exists() {
                    assert!(identity(&restored).unwrap().read_only);
                    compare_trees(&snapshot, &restored);
                }
                if ended.success() {
                    break;
                }
            }
            compare_trees(&snapshot, &restored);
            let left: Vec<_> = fs::read_dir(to.join("home"))
                .unwrap()
                .map(|entry| entry.unwrap().file_name())
                .filter(|name| name.to_string_lossy().contains("staging"))
                .collect();
            assert!(left.is_empty(), "{left:?}");
            let found = identity(&restored).unwrap();
            assert_eq!(found.received_uuid.is_none(), is_shared);
        }
        // The copy is as it was.
        compare_trees(&snapshot, &copy);
    }
    disks.mutate();
    disks.night("2024-01-03");
    compare_trees(&disks.snapshot("2024-01-03"), &disks.copy("2024-01-03"));
}
