//! Archives as a filesystem, mounted by the program: what other programs find in it.

mod ends;
mod hostile_contents;
mod hostile_index;
mod meanwhile;
mod others;
mod places;
mod readers;
mod refused;
mod silent;
mod whole;

use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::{Pid, Signal, kill_process};

use crate::common::loopfs::real_btrfs_available;
use crate::common::machine::{LIVE_CONFIG, Machine, Run, Talk};

/// A mount. Dropped, also by a panic, its process is killed and it is unmounted.
pub(crate) struct Mounted<'m> {
    talk: Option<Talk<'m>>,
    at: PathBuf,
}

/// Unmounts what may be mounted.
struct Unmounted(PathBuf);

impl Drop for Unmounted {
    fn drop(&mut self) {
        let _ = Command::new("umount")
            .args(["-q", "-l"])
            .arg(&self.0)
            .output();
    }
}

impl<'m> Mounted<'m> {
    /// Mounts at `$T/mnt`, with the identity.
    pub(crate) fn new(machine: &'m Machine) -> Self {
        Self::with(machine, "--identity $T/kit")
    }

    /// Mounts at `$T/mnt`.
    pub(crate) fn with(machine: &'m Machine, words: &str) -> Self {
        let mut command = machine.command(&format!("mount $T/mnt {words}"));
        let mut mounted = Self {
            talk: Some(machine.start_command(&mut command)),
            at: machine.path("mnt"),
        };
        let line = mounted.talk().line();
        let is_ready = line
            .as_ref()
            .is_some_and(|line| line.starts_with("mounted "));
        if !is_ready {
            let ended = mounted.talk.take().unwrap().end();
            panic!("{line:?}, {ended:?}");
        }
        mounted
    }

    fn talk(&mut self) -> &mut Talk<'m> {
        self.talk.as_mut().expect("it has not ended")
    }

    /// A directory of a date.
    pub(crate) fn date(&self, date: &str) -> PathBuf {
        self.at.join("home").join(date)
    }

    /// Sends it a signal, and waits for its end.
    pub(crate) fn end_by(mut self, signal: Signal) -> Run {
        let talk = self.talk.take().unwrap();
        talk.signal(signal);
        talk.end()
    }

    /// Waits for its end.
    pub(crate) fn end(mut self) -> Run {
        self.talk.take().unwrap().end()
    }

    /// The most memory that its process has had, in bytes.
    pub(crate) fn most_memory(&mut self) -> u64 {
        let status = format!("/proc/{}/status", self.talk().id());
        let status = std::fs::read_to_string(status).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.unwrap().trim().trim_end_matches(" kB");
        kib.parse::<u64>().unwrap() << 10
    }
}

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        let _unmounted = Unmounted(self.at.clone());
        if let Some(talk) = self.talk.take() {
            let id = Pid::from_raw(talk.id().cast_signed()).unwrap();
            let _ = kill_process(id, Signal::KILL);
            talk.end();
        }
    }
}

/// A machine with an archive for each of these dates; `change` fills the subvolume before each.
pub(crate) fn archived(
    config: &str,
    dates: &[&str],
    change: impl Fn(&Path, usize),
) -> Option<Machine> {
    if !real_btrfs_available() {
        return None;
    }
    let machine = Machine::with_subvolume(1024);
    machine.write_config(config);
    let live = machine.btrfs().path("home");
    for (number, date) in dates.iter().enumerate() {
        change(&live, number);
        let run = machine.run(&format!("backup home {date} --quiet"));
        assert_eq!(run.code, Some(0), "{run:?}");
    }
    Some(machine)
}

/// A machine whose one archive has a file of these bytes.
pub(crate) fn with_file(bytes: &[u8]) -> Option<Machine> {
    archived(LIVE_CONFIG, &["2026-11-07"], |live, _| {
        std::fs::write(live.join("file"), bytes).unwrap();
    })
}

/// Runs a program, which must succeed, and returns what it printed.
#[track_caller]
pub(crate) fn ran(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {stderr}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Runs a program, which must fail, and returns what it complained of.
#[track_caller]
pub(crate) fn failed(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(!output.status.success(), "{command:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}
