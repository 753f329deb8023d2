//! The sender that reads the data itself: its streams are those of `btrfs send`, byte for byte, and what it can't read fails
//! the archive.

mod disturbed;

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use coldchain::btrfs::{Expect, Guard};
use rustix::fs::{FallocateFlags, XattrFlags, fallocate, fsetxattr};
use rustix::process::{Pid, Signal, kill_process};

use crate::common::busy_tree::BusyTree;
use crate::common::clone_range::clone_range;
use crate::common::loopfs::{LoopFs, btrfs, real_btrfs_available};
use crate::common::rng::Rng;
use crate::common::sandbox::{Sandbox, Setup};
use crate::common::tree::{Description, describe, make_rich_tree, mutate_tree, reflink};
use crate::common::{from_env, is_segment};

/// A sender with so many readers.
fn sender(readers: u64, words: &[&str], paths: &[&Path]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_coldchain"));
    command
        .args(["send-stream", "--parallel", &readers.to_string()])
        .args(words)
        .args(paths)
        .stdin(Stdio::null());
    command
}

/// Returns the stream of `btrfs send`; `None` if it fails.
fn by_btrfs(words: &[&str], paths: &[&Path]) -> Option<Vec<u8>> {
    let sent = Command::new("btrfs")
        .args(["send", "-q"])
        .args(words)
        .args(paths)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    sent.status.success().then_some(sent.stdout)
}

/// Compares both streams of a snapshot, in both versions. Returns whether they are the same: an incremental of version 1 may have
/// other clones within a file (docs/decisions.md).
#[track_caller]
fn is_the_same(snapshot: &Path, parent: Option<&Path>, readers: u64) -> bool {
    let mut same = true;
    for version in ["1", "2"] {
        let mut own = vec!["--proto", version];
        let mut theirs = own.clone();
        if let Some(parent) = parent {
            own.extend(["--parent", parent.to_str().unwrap()]);
            theirs.extend(["-p", parent.to_str().unwrap()]);
        }
        let sent = sender(readers, &own, &[snapshot]).output().unwrap();
        let stderr = String::from_utf8_lossy(&sent.stderr);
        let Some(theirs) = by_btrfs(&theirs, &[snapshot]) else {
            // The kernel finds no way from some trees to others (btrfs-progs 931): then there is none here either.
            assert!(
                !sent.status.success() && !is_accepted(&sent.stdout),
                "{own:?}"
            );
            continue;
        };
        assert!(sent.status.success(), "{own:?}: {stderr}");
        let equal = sent.stdout == theirs;
        let may_differ = version == "1" && parent.is_some();
        assert!(equal || may_differ, "{own:?} {}", snapshot.display());
        same &= equal;
    }
    same
}

/// Describes what `btrfs receive` brings back, whoever sent it: not the root's times, no setuid bit where the owner comes
/// after it, and access control lists that a file inherits from its directory come on top (`coldchain restore` mends all).
fn brought_back(root: &Path) -> BTreeMap<OsString, Description> {
    let mut files = describe(root);
    files.remove(OsStr::new(""));
    for facts in files.values_mut() {
        facts.retain(|(name, _)| !name.starts_with("xattr system.posix_acl_"));
        for (_, mode) in facts.iter_mut().filter(|(name, _)| name == "mode") {
            let bits = u32::from_str_radix(mode, 8).unwrap() & !0o6000;
            *mode = format!("{bits:o}");
        }
    }
    files
}

/// Receives the streams of a chain, and compares what comes with the snapshots.
fn comes_back(fs: &LoopFs, snapshots: &[PathBuf], version: &str) {
    let received = fs.path("received");
    fs::create_dir(&received).unwrap();
    let mut parent: Option<&Path> = None;
    for taken in snapshots {
        let mut words = vec!["--proto", version];
        if let Some(parent) = parent {
            words.extend(["--parent", parent.to_str().unwrap()]);
        }
        let mut sent = sender(2, &words, &[taken])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stream = sent.stdout.take().unwrap();
        let into = Command::new("btrfs")
            .args(["receive", "-q"])
            .arg(&received)
            .stdin(stream)
            .output()
            .unwrap();
        let sent = sent.wait().unwrap();
        if !into.status.success() {
            // The kernel makes incrementals that nothing can receive. The bytes are its own then, and a backup makes such an
            // archive anew on an earlier one (`unrestorable.rs`).
            println!("{}", String::from_utf8_lossy(&into.stderr));
            assert!(
                parent.is_some() && is_the_same(taken, parent, 2),
                "{into:?}"
            );
            break;
        }
        assert!(sent.success());
        let came = received.join(taken.file_name().unwrap());
        let (left, right) = (brought_back(taken), brought_back(&came));
        for name in left.keys().chain(right.keys()) {
            assert_eq!(left.get(name), right.get(name), "{}", name.display());
        }
        parent = Some(taken);
    }
    for entry in fs::read_dir(&received).unwrap() {
        delete(&entry.unwrap().path());
    }
    fs::remove_dir(&received).unwrap();
}

fn snapshot(fs: &LoopFs, live: &Path, name: &str) -> PathBuf {
    let to = fs.path(name);
    btrfs(["subvolume", "snapshot", "-r"], &[live, &to]);
    to
}

fn delete(path: &Path) {
    btrfs(["subvolume", "delete"], &[path]);
}

#[test]
fn the_streams_of_random_chains_are_those_of_btrfs_send() {
    if !real_btrfs_available() {
        return;
    }
    let trees = from_env("COLDCHAIN_SENDER_TREES", 50);
    let seed = from_env("COLDCHAIN_SEED", 1);
    let mount = [
        "",
        "compress-force=zstd",
        "compress-force=lzo",
        "compress-force=zlib",
    ];
    let filesystems = mount.map(|options| LoopFs::with_options(1024, options));
    let (mut compared, mut different) = (0, 0);
    for tree in 0..trees {
        let fs = &filesystems[usize::try_from(tree % 4).unwrap()];
        let live = fs.subvolume("live");
        let mut rng = Rng::new(seed * 10_000 + tree);
        if tree % 2 == 0 {
            make_rich_tree(&live, &mut rng);
        }
        let mut busy = BusyTree::new(&live, Rng::new(seed * 10_000 + 5000 + tree));
        let mut snapshots: Vec<PathBuf> = Vec::new();
        let different_before = different;
        for date in 0..4 {
            busy.work(120);
            if tree % 2 == 0 && date > 0 {
                mutate_tree(&live, &mut rng);
            }
            let taken = snapshot(fs, &live, &format!("snapshot{date}"));
            let parent = snapshots.last().map(PathBuf::as_path);
            let same = is_the_same(&taken, parent, tree % 4 + 1);
            different += usize::from(!same);
            snapshots.push(taken);
        }
        compared += 3;
        // Over several dates, and backwards.
        if tree % 3 == 0 {
            for (taken, parent) in [(3, 0), (0, 3)] {
                let same = is_the_same(&snapshots[taken], Some(&snapshots[parent]), 2);
                different += usize::from(!same);
            }
            compared += 2;
        }
        // What has the same bytes comes back alike, whoever sent it.
        if different > different_before || tree % 5 == 0 {
            comes_back(fs, &snapshots, if tree % 15 == 10 { "2" } else { "1" });
        }
        for taken in &snapshots {
            delete(taken);
        }
        delete(&live);
    }
    println!("{different} of {compared} incrementals of version 1 have other clones");
    // It is about one in thirty.
    assert!(different * 4 <= compared, "{different} of {compared}");
}

/// Files of all forms, named by what they are.
fn make_forms(live: &Path, rng: &mut Rng) {
    let write = |name: &str, bytes: &[u8]| fs::write(live.join(name), bytes).unwrap();
    write("empty", b"");
    write("inline", b"a few bytes");
    write("the longest inline", &rng.bytes(2048));
    write("one block", &rng.bytes(4096));
    write("one block and a byte", &rng.bytes(4097));
    write("a write of version 1", &rng.bytes(48 << 10));
    write("and a byte", &rng.bytes((48 << 10) + 1));
    write("a block of the stream", &rng.bytes((1 << 20) + 5));
    write("large", &rng.bytes(9 << 20));
    write("of zeros", &vec![0; 3 << 20]);
    let open = |name: &str| {
        let path = live.join(name);
        OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .unwrap()
    };
    // In the tree, and shorter than the file.
    let inline = open("inline and a hole");
    inline.write_all_at(&rng.bytes(300), 0).unwrap();
    inline.sync_all().unwrap();
    inline.set_len(3000).unwrap();
    // Longer in the tree than what is read of it at first.
    let tagged = open("inline with a long attribute");
    tagged.write_all_at(b"data", 0).unwrap();
    let value = rng.bytes(8000);
    fsetxattr(&tagged, "user.long", &value, XattrFlags::empty()).unwrap();
    write("inline behind it", b"data too");
    open("holes of a TiB").set_len(1 << 40).unwrap();
    let holes = open("data after a TiB of holes");
    holes.write_all_at(b"here", 1 << 40).unwrap();
    let reserved = open("reserved beyond the end");
    reserved.write_all_at(&rng.bytes(10_000), 0).unwrap();
    fallocate(&reserved, FallocateFlags::KEEP_SIZE, 0, 1 << 20).unwrap();
    fallocate(open("reserved"), FallocateFlags::empty(), 0, 1 << 20).unwrap();
    let punched = open("punched");
    punched.write_all_at(&rng.bytes(1 << 20), 0).unwrap();
    let punch = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    fallocate(&punched, punch, 100_000, 300_000).unwrap();
    reflink(&live.join("large"), &live.join("a reflink"));
    let shared = open("shared ranges");
    let large = File::open(live.join("large")).unwrap();
    clone_range(&large, 4096..(1 << 20), &shared, 0).unwrap();
    clone_range(&large, 0..8192, &shared, 4 << 20).unwrap();
    fs::hard_link(live.join("large"), live.join("a hard link")).unwrap();
    fs::create_dir_all(live.join("many")).unwrap();
    for number in 0..3000 {
        let bytes = rng.bytes(number % 7000);
        fs::write(live.join(format!("many/{number}")), bytes).unwrap();
    }
}

#[test]
fn files_of_all_forms_are_sent_alike() {
    if !real_btrfs_available() {
        return;
    }
    let fs = LoopFs::new(1024);
    let live = fs.subvolume("live");
    let mut rng = Rng::new(61);
    make_forms(&live, &mut rng);
    let first = snapshot(&fs, &live, "first");
    for readers in 1..=4 {
        assert!(is_the_same(&first, None, readers));
    }
    // Shorter, longer, elsewhere, replaced.
    for (number, entry) in fs::read_dir(&live).unwrap().enumerate() {
        let path = entry.unwrap().path();
        if !path.is_file() {
            continue;
        }
        let file = OpenOptions::new().write(true).open(&path).unwrap();
        let bytes = file.metadata().unwrap().len();
        match number % 4 {
            0 => file.set_len(bytes / 2).unwrap(),
            1 => file.set_len(bytes + 5000).unwrap(),
            2 => file.write_all_at(b"changed", bytes + 70_000).unwrap(),
            _ => fs::rename(&path, live.join(format!("renamed {number}"))).unwrap(),
        }
    }
    fs::rename(live.join("many"), live.join("more")).unwrap();
    fs::create_dir(live.join("many")).unwrap();
    for number in 0..300 {
        let name = number.to_string();
        fs::rename(live.join("more").join(&name), live.join("many").join(&name)).unwrap();
        fs::write(live.join("more").join(&name), name).unwrap();
    }
    fs::write(live.join("many/7"), b"changed after it was moved").unwrap();
    let second = snapshot(&fs, &live, "second");
    for readers in 1..=3 {
        assert!(is_the_same(&second, Some(&first), readers));
        assert!(is_the_same(&first, Some(&second), readers));
    }
}

/// How many segments a store has, while others come.
fn segments_below(directory: &Path) -> usize {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries
        .map(|entry| {
            let path = entry.path();
            if path.is_dir() {
                segments_below(&path)
            } else {
                usize::from(is_segment(path.to_str().unwrap()))
            }
        })
        .sum()
}

fn parallel() -> Sandbox {
    Sandbox::with(&Setup {
        top: "sender = \"parallel\"",
        ..Setup::default()
    })
}

#[test]
fn a_chain_comes_back_and_a_half_one_is_gone_on_with_by_another_sender() {
    if !real_btrfs_available() {
        return;
    }
    let sandbox = parallel();
    let mut rng = Rng::new(62);
    sandbox.chain_comes_back(&mut rng);

    // A night ends in the midst, after a segment was stored.
    fs::write(sandbox.source().join("large"), rng.bytes(60 << 20)).unwrap();
    let mut night = Command::new(env!("CARGO_BIN_EXE_coldchain"))
        // Slow enough to be ended between two segments.
        .args(["backup", "2025-01-21", "--full", "--limit", "8MiB"])
        .env("COLDCHAIN_CONFIG", sandbox.config())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let segments = || segments_below(&sandbox.store());
    let before = segments();
    // The third is begun once the first or second is recorded.
    while segments() < before + 3 {
        assert!(night.try_wait().unwrap().is_none(), "it is done too soon");
    }
    kill_process(Pid::from_child(&night), Signal::KILL).unwrap();
    night.wait().unwrap();
    let config = fs::read_to_string(sandbox.config()).unwrap();
    fs::write(
        sandbox.config(),
        config.replace("\"parallel\"", "\"kernel\""),
    )
    .unwrap();
    let resumed = sandbox
        .run(["backup", "2025-01-21", "--full", "--json"])
        .ok();
    let events = resumed.events();
    let skipped = events.iter().filter(|event| event["skipped"] == true);
    assert!(skipped.count() > 0, "{resumed:?}");
    sandbox.restores_equal(&["2025-01-21"]);
}

#[test]
fn what_is_sent_compressed_is_left_to_the_kernel_and_said() {
    if !real_btrfs_available() {
        return;
    }
    let sandbox = Sandbox::with(&Setup {
        top: "sender = \"parallel\"",
        source: "keep_snapshots_days = 10000\ncompressed_data = \"inexact\"\nprotocol = 2",
        ..Setup::default()
    });
    fs::write(sandbox.source().join("file"), Rng::new(63).bytes(1 << 20)).unwrap();
    let ran = sandbox.run(["backup", "2025-01-01"]).ok();
    let said = "the kernel reads the data of files, and not coldchain: data is sent as it is compressed on disk";
    assert_eq!(ran.stderr.matches(said).count(), 1, "{ran:?}");
    sandbox.restores_equal(&["2025-01-01"]);
}

fn is_accepted(sent: &[u8]) -> bool {
    let mut guard = Guard::new(Expect::default());
    guard.push(sent).is_ok() && guard.finish().is_ok()
}

#[test]
fn what_is_no_snapshot_is_refused() {
    if !real_btrfs_available() {
        return;
    }
    let fs = LoopFs::new(256);
    let live = fs.subvolume("live");
    let taken = snapshot(&fs, &live, "snapshot");
    for (words, path, said) in [
        (vec![], live.as_path(), "is not read-only"),
        (vec![], Path::new("/proc"), "is not on a btrfs filesystem"),
        (vec![], &*fs.path("none"), "does not exist"),
        (
            vec!["--parent", live.to_str().unwrap()],
            &*taken,
            "is not read-only",
        ),
    ] {
        let refused = sender(2, &words, &[path]).output().unwrap();
        assert!(!refused.status.success(), "{refused:?}");
        assert!(!is_accepted(&refused.stdout));
        let stderr = String::from_utf8(refused.stderr).unwrap();
        assert!(stderr.contains(said), "{stderr}");
    }
}
