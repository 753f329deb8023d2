//! `priority = "low"`: the processor and the disks when no other program wants them.

use std::process::{Command, Stdio};

use rustix::process::setpriority_process;

use crate::config::{Config, Priority};
use crate::printing::warn;

/// The lowest that there is.
const NICEST: i32 = 19;

/// Lowers the priority of this process, and with it that of all that it starts from now on, if the config
/// wants that. What can't be had is told, and nothing fails for it.
pub(super) fn apply(config: &Config) {
    if config.priority == Priority::Normal {
        return;
    }
    if let Err(error) = setpriority_process(None, NICEST) {
        tell("of the processor", &error.to_string());
    }
    // The kernel's call for it has no safe binding; the program belongs to util-linux.
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
