//! The sender that is coldchain itself: the streams are those of `btrfs send`, byte for byte, and so is what becomes of them.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use coldchain::btrfs::{Expect, Guard};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};

use crate::common::loopfs::{LoopFs, btrfs, real_btrfs_available};
use crate::common::rng::Rng;
use crate::common::sandbox::Sandbox;
use crate::common::tree::{make_rich_tree, mutate_tree};

fn by_kernel(words: &[&str], paths: &[&Path]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_coldchain"))
        .arg("send-stream")
        .args(words)
        .args(paths)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn by_btrfs(words: &[&str], paths: &[&Path]) -> Vec<u8> {
    let sent = Command::new("btrfs")
        .args(["send", "-q"])
        .args(words)
        .args(paths)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(sent.status.success(), "{sent:?}");
    sent.stdout
}

fn is_the_same(words: (&[&str], &[&str]), paths: &[&Path]) {
    let sent = by_kernel(words.0, paths);
    assert!(sent.status.success(), "{sent:?}");
    assert!(sent.stderr.is_empty(), "{sent:?}");
    assert!(sent.stdout.len() > 10_000);
    assert!(sent.stdout == by_btrfs(words.1, paths), "{words:?}");
}

#[test]
fn the_stream_is_that_of_btrfs_send() {
    if !real_btrfs_available() {
        return;
    }
    let fs = LoopFs::with_options(512, "compress-force=zstd");
    let live = fs.subvolume("live");
    let mut rng = Rng::new(51);
    make_rich_tree(&live, &mut rng);
    let snapshot = |name: &str| {
        let to = fs.path(name);
        btrfs(["subvolume", "snapshot", "-r"], &[&live, &to]);
        to
    };
    let first = snapshot("first");
    mutate_tree(&live, &mut rng);
    let second = snapshot("second");
    is_the_same((&[], &[]), &[&first]);
    let first_as_text = first.to_str().unwrap();
    is_the_same(
        (&["--parent", first_as_text], &["-p", first_as_text]),
        &[&second],
    );
    for form in [&["--proto", "2"][..], &["--compressed-data"]] {
        is_the_same((form, form), &[&second]);
    }

    for (paths, said) in [
        ([live.as_path()], "is not read-only"),
        ([Path::new("/proc")], "is not on a btrfs filesystem"),
        ([&fs.path("none")], "does not exist"),
    ] {
        let refused = by_kernel(&[], &paths);
        assert!(!refused.status.success(), "{refused:?}");
        assert!(refused.stdout.is_empty());
        let stderr = String::from_utf8(refused.stderr).unwrap();
        assert!(stderr.contains(said), "{stderr}");
    }
    let refused = by_kernel(&["--parent", live.to_str().unwrap()], &[&second]);
    assert!(!refused.status.success(), "{refused:?}");
}

#[test]
fn a_chain_that_the_kernel_sent_comes_back() {
    if !real_btrfs_available() {
        return;
    }
    let sandbox = Sandbox::new();
    let mut rng = Rng::new(52);
    sandbox.chain_comes_back(&mut rng);
}

/// A snapshot of 32 MiB, and its sender, of which nothing was read yet.
fn sender_of(fs: &LoopFs) -> (PathBuf, Child) {
    let live = fs.subvolume("live");
    fs::write(live.join("large"), Rng::new(53).bytes(32 << 20)).unwrap();
    let snapshot = fs.path("snapshot");
    btrfs(["subvolume", "snapshot", "-r"], &[&live, &snapshot]);
    let sender = Command::new(env!("CARGO_BIN_EXE_coldchain"))
        .arg("send-stream")
        .arg(&snapshot)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    (snapshot, sender)
}

#[test]
fn a_sender_that_nobody_reads_any_more_ends() {
    if !real_btrfs_available() {
        return;
    }
    let fs = LoopFs::new(256);
    let (_, mut sender) = sender_of(&fs);
    // Not one byte is read.
    drop(sender.stdout.take());
    assert!(!sender.wait().unwrap().success());
}

#[test]
fn what_a_sender_prints_that_was_stopped_and_continued_is_whole_or_refused() {
    if !real_btrfs_available() {
        return;
    }
    let fs = LoopFs::new(256);
    let (snapshot, mut sender) = sender_of(&fs);
    let mut stdout = sender.stdout.take().unwrap();
    let mut sent = vec![0; 1 << 20];
    stdout.read_exact(&mut sent).unwrap();
    let process = Pid::from_child(&sender);
    kill_process(process, Signal::STOP).unwrap();
    let stopped = WaitIdOptions::STOPPED | WaitIdOptions::NOWAIT;
    waitid(WaitId::Pid(process), stopped).unwrap();
    kill_process(process, Signal::CONT).unwrap();
    stdout.read_to_end(&mut sent).unwrap();
    let ended = sender.wait().unwrap();
    let mut guard = Guard::new(Expect::default());
    let accepted = guard.push(&sent).is_ok() && guard.finish().is_ok();
    // The kernel begins the stream anew, in the midst of it.
    let is_whole = ended.success() && sent == by_btrfs(&[], &[&snapshot]);
    assert!(is_whole || !accepted || !ended.success(), "{ended:?}");
}
