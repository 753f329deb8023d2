//! What happens beside the sender, at any time: what then comes is the whole stream, or is no stream.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::{by_btrfs, delete, is_accepted, parallel, sender, snapshot};
use crate::common::loopfs::{LoopFs, real_btrfs_available, run};
use crate::common::rng::Rng;

/// How many bytes are read before something happens: none, some of the first data, some of the small files' names, and some
/// of the last data, when the kernel's part has ended.
const PHASES: [usize; 4] = [0, 1 << 20, 10 << 20, 15 << 20];

/// Makes a snapshot whose stream is longer than what the pipe and the blocks hold, in its data and in its names. Returns its
/// filesystem, itself and that stream; `None` where there is no btrfs.
fn begun() -> Option<(LoopFs, PathBuf, Vec<u8>)> {
    if !real_btrfs_available() {
        return None;
    }
    let fs = LoopFs::new(512);
    let live = fs.subvolume("live");
    fill(&live);
    let taken = snapshot(&fs, &live, "snapshot");
    let whole = by_btrfs(&[], &[&taken]).unwrap();
    Some((fs, taken, whole))
}

fn fill(live: &Path) {
    let large = |name: &str| {
        let bytes = Rng::new(71).bytes(8 << 20);
        fs::write(live.join(name), bytes).unwrap();
    };
    large("first");
    let long = "of a name".repeat(25);
    for number in 0..4000 {
        fs::write(live.join(format!("{long} {number}")), b"data").unwrap();
    }
    large("last");
}

/// Returns the child of a process that asks the kernel, while it is there.
fn kernels_of(process: &Child) -> Option<Pid> {
    let is_it = |pid: &&str| {
        let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        words
            .split(|byte| *byte == 0)
            .any(|word| word == b"--no-data")
    };
    let threads = fs::read_dir(format!("/proc/{}/task", process.id())).ok()?;
    threads.flatten().find_map(|thread| {
        let children = fs::read_to_string(thread.path().join("children")).ok()?;
        Pid::from_raw(children.split_whitespace().find(is_it)?.parse().ok()?)
    })
}

/// A sender at work.
struct Sending {
    child: Child,
    sent: Vec<u8>,
}

impl Sending {
    fn begin(taken: &Path, bytes: usize) -> Self {
        let mut child = sender(2, &[], &[taken])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut sent = vec![0; bytes];
        let stdout = child.stdout.as_mut().unwrap();
        stdout.read_exact(&mut sent).unwrap();
        let sending = Self { child, sent };
        while bytes == 0 && kernels_of(&sending.child).is_none() {
            sleep(Duration::from_millis(1));
        }
        sending
    }

    fn signal_kernels(&self, signal: Signal) {
        if let Some(kernels) = kernels_of(&self.child) {
            let _ = kill_process(kernels, signal);
        }
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Reads the rest.
    fn end(mut self) -> (Vec<u8>, Output) {
        let mut stdout = self.child.stdout.take().unwrap();
        stdout.read_to_end(&mut self.sent).unwrap();
        (self.sent, self.child.wait_with_output().unwrap())
    }

    fn ends_whole(self, whole: &[u8]) {
        let (sent, ended) = self.end();
        assert!(ended.status.success(), "{ended:?}");
        assert!(sent == whole);
    }

    /// What is accepted must be the whole stream. Returns whether that came, and no error.
    fn ends_whole_or_is_refused(self, whole: &[u8]) -> bool {
        let (sent, ended) = self.end();
        let is_whole = sent == whole;
        assert!(is_whole || !is_accepted(&sent), "{ended:?}");
        is_whole && ended.status.success()
    }
}

#[test]
fn a_sender_whose_kernel_part_is_killed_makes_no_whole_stream() {
    let Some((_fs, taken, whole)) = begun() else {
        return;
    };
    for phase in PHASES {
        let sending = Sending::begin(&taken, phase);
        sending.signal_kernels(Signal::KILL);
        let came = sending.ends_whole_or_is_refused(&whole);
        assert!(!came || phase >= PHASES[2], "at {phase}");
    }
}

#[test]
fn a_sender_that_is_killed_makes_no_whole_stream() {
    let Some((_fs, taken, whole)) = begun() else {
        return;
    };
    for phase in PHASES {
        let sending = Sending::begin(&taken, phase);
        sending.signal(Signal::KILL);
        assert!(!sending.ends_whole_or_is_refused(&whole), "at {phase}");
    }
}

#[test]
fn a_sender_that_stands_still_for_a_while_makes_the_same_stream_or_none() {
    let Some((_fs, taken, whole)) = begun() else {
        return;
    };
    let while_it_stands = Duration::from_millis(100);
    for phase in PHASES {
        let sending = Sending::begin(&taken, phase);
        sending.signal(Signal::STOP);
        sleep(while_it_stands);
        sending.signal(Signal::CONT);
        sending.ends_whole(&whole);

        let sending = Sending::begin(&taken, phase);
        sending.signal_kernels(Signal::STOP);
        sleep(while_it_stands);
        sending.signal_kernels(Signal::CONT);
        // The kernel may begin the stream anew, in the midst of it.
        sending.ends_whole_or_is_refused(&whole);
    }
}

/// A filesystem that is frozen until this is dropped.
struct Frozen<'f>(&'f LoopFs);

impl<'f> Frozen<'f> {
    fn new(fs: &'f LoopFs) -> Self {
        run(Command::new("fsfreeze").arg("--freeze").arg(fs.root())).unwrap();
        Self(fs)
    }
}

impl Drop for Frozen<'_> {
    fn drop(&mut self) {
        let _ = run(Command::new("fsfreeze")
            .arg("--unfreeze")
            .arg(self.0.root()));
    }
}

#[test]
fn a_frozen_filesystem_is_sent_all_the_same() {
    let Some((fs, taken, whole)) = begun() else {
        return;
    };
    for phase in PHASES {
        let sending = Sending::begin(&taken, phase);
        let frozen = Frozen::new(&fs);
        sending.ends_whole(&whole);
        drop(frozen);
    }
}

#[test]
fn a_filesystem_that_is_detached_meanwhile_is_sent_to_its_end() {
    let Some((fs, _, whole)) = begun() else {
        return;
    };
    let elsewhere = tempfile::tempdir().unwrap();
    // Before that the snapshot may not be open.
    for phase in &PHASES[1..] {
        let bind = run(Command::new("mount")
            .arg("--bind")
            .arg(fs.root())
            .arg(elsewhere.path()));
        bind.unwrap();
        let sending = Sending::begin(&elsewhere.path().join("snapshot"), *phase);
        let plain = run(Command::new("umount").arg(elsewhere.path()));
        let lazy = run(Command::new("umount").arg("--lazy").arg(elsewhere.path()));
        assert!(plain.is_err(), "it is in use");
        lazy.unwrap();
        sending.ends_whole(&whole);
    }
}

#[test]
fn a_snapshot_that_is_deleted_meanwhile_makes_no_other_stream() {
    let Some((fs, mut taken, _)) = begun() else {
        return;
    };
    for phase in PHASES {
        let whole = by_btrfs(&[], &[&taken]).unwrap();
        let sending = Sending::begin(&taken, phase);
        // While the kernel sends itself, it may refuse that.
        let deleted = run(Command::new("btrfs")
            .args(["subvolume", "delete"])
            .arg(&taken));
        sending.ends_whole_or_is_refused(&whole);
        if deleted.is_err() {
            delete(&taken);
        }
        taken = snapshot(&fs, &fs.path("live"), "snapshot");
    }
}

#[test]
fn a_sender_that_nothing_reads_any_more_ends() {
    let Some((_fs, taken, _)) = begun() else {
        return;
    };
    for phase in PHASES {
        let mut sending = Sending::begin(&taken, phase);
        drop(sending.child.stdout.take());
        assert!(!sending.child.wait().unwrap().success(), "at {phase}");
    }
}

#[test]
fn a_night_whose_sender_is_stopped_and_continued_is_archived_whole() {
    if !real_btrfs_available() {
        return;
    }
    let sandbox = parallel();
    fill(&sandbox.source());
    let night = Command::new(env!("CARGO_BIN_EXE_coldchain"))
        // Slow enough that the kernel has to wait.
        .args(["backup", "2025-01-01", "--limit", "8MiB"])
        .env("COLDCHAIN_CONFIG", sandbox.config())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let kernels = loop {
        if let Some(kernels) = kernels_of(&night) {
            break kernels;
        }
        sleep(Duration::from_millis(1));
    };
    sleep(Duration::from_millis(5));
    let _ = kill_process(kernels, Signal::STOP);
    sleep(Duration::from_millis(100));
    let _ = kill_process(kernels, Signal::CONT);
    let ended = night.wait_with_output().unwrap();
    assert!(ended.status.success(), "{ended:?}");
    sandbox.restores_equal(&["2025-01-01"]);
    println!("{}", String::from_utf8_lossy(&ended.stderr));
}
