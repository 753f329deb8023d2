//! `priority = "low"`: use processor and disks only when no other program needs them.

use std::process::{Command, Stdio};

use rustix::process::setpriority_process;

use crate::config::{Config, Priority};
use crate::printing::warn;

/// The lowest priority that exists.
const NICEST: i32 = 19;

/// Lowers the priority of this process, and of all that it starts from now on, if the config asks for that.
/// Only warns of failures.
pub(super) fn apply(config: &Config) {
    if config.priority == Priority::Normal {
        return;
    }
    if let Err(error) = setpriority_process(None, NICEST) {
        tell("of the processor", &error.to_string());
    }
    // The system call for it has no safe binding; `ionice` belongs to util-linux.
    let ionice = Command::new("ionice")
        .args(["--class", "idle", "--pid"])
        .arg(std::process::id().to_string())
        .stdin(Stdio::null())
        .output();
    match ionice {
        Ok(ended) if ended.status.success() => {}
        Ok(ended) => tell("of the disks", &String::from_utf8_lossy(&ended.stderr)),
        Err(error) => tell("of the disks", &format!("`ionice`: {error}")),
    }
}

fn tell(what: &str, why: &str) {
    warn(format_args!(
        "the priority {what} could not be lowered: {}",
        why.trim_end()
    ));
}
