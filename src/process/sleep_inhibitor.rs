//! Keeps the machine awake while a stream is sent or received.
//!
//! A sender that is suspended and continued prints a corrupt stream, and an idle machine may fall asleep
//! during a long upload. coldchain starts `systemd-inhibit` if it is installed; without systemd nothing keeps
//! the machine awake.

use std::env;
use std::ffi::OsStr;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process_group};

/// Keeps the machine awake until it is dropped.
#[derive(Debug)]
pub(crate) struct SleepInhibitor {
    /// The inhibitor's process. It runs until `cat` sees the end of its stdin, which comes when this process
    /// ends, for whatever reason. `None` if it could not be started.
    inhibitor: Option<Child>,
}

impl SleepInhibitor {
    /// Keeps the machine awake from now on, if possible. systemd shows `why` as the reason.
    pub(crate) fn hold(why: &str) -> Self {
        let path = env::var_os("PATH").unwrap_or_default();
        let program = env::split_paths(&path)
            // As for `btrfs`: a program that runs as root is not taken from the current directory.
            .filter(|directory| directory.is_absolute())
            .map(|directory| directory.join("systemd-inhibit"))
            .find(|file| file.is_file());
        Self {
            inhibitor: program.and_then(|program| start(&program, &path, why).ok()),
        }
    }
}

fn start(program: &Path, path: &OsStr, why: &str) -> io::Result<Child> {
    Command::new(program)
        .args(["--what=sleep", "--who=coldchain", "--mode=block"])
        .arg(format!("--why={why}"))
        .arg("cat")
        // The environment may contain credentials.
        .env_clear()
        .env("PATH", path)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        // The terminal's Ctrl-C must not reach it.
        .process_group(0)
        .spawn()
}

impl Drop for SleepInhibitor {
    fn drop(&mut self) {
        let Some(inhibitor) = &mut self.inhibitor else {
            return;
        };
        // It may still wait for an answer from systemd, so the end of the pipe is not enough.
        let _ = kill_process_group(Pid::from_child(inhibitor), Signal::KILL);
        let _ = inhibitor.wait();
    }
}
