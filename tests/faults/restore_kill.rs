//! `kill -9` of a restore or of its `btrfs receive` at random moments, and run again until it is done: what
//! looks complete is complete at every moment, and in the end all of it is there.

use crate::common::from_env;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::common::loopfs::{LoopFs, real_btrfs_available};
use crate::common::rng::Rng;
use crate::common::sandbox::{CHAIN_OF_TWELVE, SOURCE, Sandbox, Setup};
use crate::common::servers::{ObjectLock, Versioning, Weed};
use crate::common::tree::{compare_trees, make_rich_tree, mutate_tree};
use coldchain::btrfs::identity;
use rustix::process::{Pid, Signal, kill_process};

/// A restore that is interrupted.
struct Restore<'a> {
    sandbox: &'a Sandbox,
    to: LoopFs,
    env: [(&'static str, &'a str); 3],
}

impl Restore<'_> {
    fn start(&self) -> Child {
        Command::new(env!("CARGO_BIN_EXE_coldchain"))
            .args([
                "restore", SOURCE, "--from", "store", "--yes", "--quiet", "--to",
            ])
            .arg(self.to.root())
            .arg("--identity")
            .arg(self.sandbox.kit())
            .env("COLDCHAIN_CONFIG", self.sandbox.config())
            .envs(self.env)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    }

    /// The dates that look complete, the newest of which was compared.
    fn complete(&self) -> Vec<String> {
        let directory = self.to.path(SOURCE);
        let Ok(entries) = fs::read_dir(&directory) else {
            return Vec::new();
        };
        let mut complete: Vec<String> = entries
            .map(|entry| entry.unwrap().path())
            .filter(|path| {
                identity(path).is_ok_and(|found| found.read_only || found.received_uuid.is_some())
            })
            .map(|path| path.file_name().unwrap().to_str().unwrap().to_owned())
            .collect();
        complete.sort();
        if let Some(newest) = complete.last() {
            compare_trees(&self.sandbox.snapshot(newest), &directory.join(newest));
        }
        complete
    }
}

fn kill(process: Pid) -> bool {
    kill_process(process, Signal::KILL).is_ok()
}

/// The program that a program runs, if it runs one now.
fn child_of(program: Pid) -> Option<Pid> {
    let program = program.as_raw_nonzero().get();
    let tasks = fs::read_dir(format!("/proc/{program}/task")).ok()?;
    tasks.flatten().find_map(|task| {
        let children = fs::read_to_string(task.path().join("children")).ok()?;
        let first = children.split_whitespace().next()?;
        first.parse().ok().and_then(Pid::from_raw)
    })
}

#[test]
fn a_restore_that_is_killed_at_any_moment_goes_on_until_all_of_it_stands() {
    let (true, Some(server)) = (real_btrfs_available(), Weed::shared()) else {
        return;
    };
    let wanted = from_env("COLDCHAIN_RESTORE_KILLS", 7);
    let mut rng = Rng::new(from_env("COLDCHAIN_SEED", 1));
    let bucket = server.new_bucket(ObjectLock::Off, Versioning::Off);
    let sandbox = Sandbox::with(&Setup {
        mib: 768,
        store: Some(&server.store_table(&bucket, "")),
        schedule: "max_chain_days = 36000",
        env: &server.env(),
        ..Setup::default()
    });
    make_rich_tree(&sandbox.source(), &mut rng);
    for date in CHAIN_OF_TWELVE {
        let bytes = rng.length(1 << 20, 24 << 20);
        fs::write(sandbox.source().join("changing"), rng.bytes(bytes)).unwrap();
        sandbox.backup(date);
        mutate_tree(&sandbox.source(), &mut rng);
    }

    let new_target = || Restore {
        sandbox: &sandbox,
        to: LoopFs::new(768),
        env: server.env(),
    };
    let first = new_target();
    let begun = Instant::now();
    assert!(first.start().wait().unwrap().success());
    let length = begun.elapsed();
    is_whole(&sandbox, &first.to.path(SOURCE));
    drop(first);

    let (mut kills, mut missed, mut restores) = (0, 0, 0);
    while kills < wanted {
        let restore = new_target();
        restores += 1;
        loop {
            // Some archives further each time, so that the later ones are struck too.
            let most = usize::try_from(length.as_micros() / 3).unwrap();
            let moment = Duration::from_micros(rng.length(0, most) as u64);
            let of_receive = rng.length(0, 3) == 0;
            let mut program = restore.start();
            thread::sleep(moment);
            let pid = Pid::from_child(&program);
            let struck = match child_of(pid).filter(|_| of_receive) {
                Some(receive) => kill(receive),
                None => program.try_wait().unwrap().is_none() && kill(pid),
            };
            let ended = program.wait().unwrap();
            if struck {
                kills += 1;
            } else {
                missed += 1;
            }
            restore.complete();
            if ended.success() {
                break;
            }
        }
        is_whole(&sandbox, &restore.to.path(SOURCE));
    }
    println!("{kills} kills in {restores} restores, {missed} runs were over before the blow");
}

/// Panics unless every date is there as it was archived, and nothing else.
fn is_whole(sandbox: &Sandbox, directory: &Path) {
    let mut names: Vec<String> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !name.starts_with('.'))
        .collect();
    names.sort();
    assert_eq!(names, CHAIN_OF_TWELVE);
    for date in CHAIN_OF_TWELVE {
        compare_trees(&sandbox.snapshot(date), &directory.join(date));
    }
}
