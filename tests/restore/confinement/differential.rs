//! The same chains to `btrfs receive -C` alone, and to the program: what the first opens outside of its
//! subvolume, the second must not, because the guard refuses it or because the kernel does.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::ground::Ground;
use super::hostile_chain::HostileChain;
use super::shelf::Shelf;
use super::trace::{escapes, traced};
use super::ways::{Way, bounded_by, patience};
use super::{can_run, number};

/// An opened fifo without another end, and a receive that waits for one, end by themselves or by this.
const UNCONFINED: Duration = Duration::from_secs(3);

/// Feeds a chain to `btrfs receive` as it is, and tells what it did outside.
fn unconfined(ground: &mut Ground, chain: &HostileChain) -> BTreeSet<&'static str> {
    let before = ground.look();
    let directory = ground.restored();
    let scratch = tempfile::tempdir().unwrap();
    let [log, file] = ["log", "stream"].map(|name| scratch.path().join(name));
    fs::create_dir(&directory).unwrap();
    fs::set_permissions(&directory, Permissions::from_mode(0o700)).unwrap();
    let mark = directory.join(".coldchain-restore.json");
    fs::write(&mark, "a mark").unwrap();
    let mut found = BTreeSet::new();
    for archive in &chain.archives {
        fs::write(&file, &archive.stream).unwrap();
        let mut receive = traced(&log, "btrfs");
        receive.args(["receive", "-q", "-C", "-e"]).arg(&directory);
        let stdin = Stdio::from(File::open(&file).unwrap());
        let ended = bounded_by(UNCONFINED, stdin, &mut receive);
        found.extend(escapes(&log, &ground.fs().root(), &directory));
        if ended.hung {
            found.insert("hung");
        }
        if ended.code != Some(0) {
            break;
        }
    }
    if !ground.touched(&before).is_empty() {
        found.insert("touched a canary");
    }
    if fs::read(&mark).ok().as_deref() != Some(b"a mark") || made_beside(&directory) {
        found.insert("changed what is beside the subvolume");
    }
    found
}

/// Whether there is something else than subvolumes and the mark.
fn made_beside(directory: &Path) -> bool {
    let entries = fs::read_dir(directory).unwrap().flatten();
    let paths = entries.map(|entry| entry.path());
    paths
        .filter(|path| !path.ends_with(".coldchain-restore.json"))
        .any(|path| coldchain::btrfs::identity(&path).is_err())
}

#[test]
fn what_receive_does_outside_of_its_subvolume_is_stopped_by_the_guard_or_by_the_kernel() {
    if !can_run() {
        return;
    }
    assert!(
        Command::new("strace").arg("--version").output().is_ok(),
        "strace is not installed"
    );
    let seed = number("COLDCHAIN_SEED").unwrap_or(1);
    let chains = number("COLDCHAIN_HOSTILE_TRACED").unwrap_or(20);
    let mut counts: BTreeMap<(&str, String), u64> = BTreeMap::new();
    let mut failures = Vec::new();
    let (mut ground, mut shelf) = (Ground::new(), Shelf::new());
    let mut unconfined_ground = Ground::new();
    for chain in 0..chains {
        if chain % 16 == 0 {
            shelf = Shelf::new();
        }
        let seeded = seed.wrapping_mul(1_000_003).wrapping_add(chain);
        // The same chain, with the canaries of each ground.
        let dates = shelf.dates();
        let alone = HostileChain::random(seeded, &dates, &unconfined_ground.aims());
        let escaped = unconfined(&mut unconfined_ground, &alone);
        if escaped.contains("touched a canary") {
            unconfined_ground = Ground::new();
        }
        unconfined_ground.clear();

        let hostile = HostileChain::random(seeded, &dates, &ground.aims());
        shelf.put(&hostile);
        let date = &hostile.archives.last().unwrap().date;
        let before = ground.look();
        let scratch = tempfile::tempdir().unwrap();
        let log = scratch.path().join("log");
        let to = ground.to();
        let words = format!("restore home --from store --date {date} --identity $T/kit --yes --to");
        let strace = traced(&log, env!("CARGO_BIN_EXE_coldchain"));
        let words: Vec<String> = words
            .split(' ')
            .map(|word| shelf.machine().fill(word))
            .collect();
        let mut restore = shelf.machine().command_of("strace", "");
        restore.args(strace.get_args()).args(words).arg(&to);
        let ended = bounded_by(patience(), Stdio::null(), &mut restore);
        let mut confined = escapes(&log, &ground.fs().root(), &ground.restored());
        // One of its own, which nobody else has an end of; that nothing waits for it is asked below.
        confined.remove("opened a fifo");
        let touched = ground.touched(&before);
        for what in &escaped {
            *counts.entry((what, ended.by().to_owned())).or_default() += 1;
        }
        if !confined.is_empty() || !touched.is_empty() || ended.fault(Way::Restore).is_some() {
            failures.push(format!(
                "chain {chain} ({}): alone {escaped:?}, by the program {confined:?}, {:?}, touched \
                 {touched:?}: {}",
                hostile.kinds.join("; "),
                ended.fault(Way::Restore),
                ended.said.trim()
            ));
        }
        ground.clear();
        if !touched.is_empty() {
            (ground, shelf) = (Ground::new(), Shelf::new());
        }
    }
    println!(
        "{chains} hostile chains, seed {seed}: what receive did alone, and how the program ended"
    );
    for ((what, by), count) in &counts {
        println!("  {what}, {by}: {count}");
    }
    assert!(
        failures.is_empty(),
        "{} failures:\n{}",
        failures.len(),
        failures.join("\n")
    );
}
