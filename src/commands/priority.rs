//! `priority = "low"`: use processor and disks only when no other program needs them.

use std::process::Command;

use rustix::process::setpriority_process;

use crate::config::{Config, Priority};
use crate::error::in_words;
use crate::printing::warn;
use crate::process::{self, Program};

/// The lowest priority that exists.
const NICEST: i32 = 19;

const IONICE: Program = Program {
    name: "ionice",
    chatter: &[],
};

/// Lowers the priority of this process, and of all that it starts from now on, if the config asks for that.
/// Only warns of failures.
pub(super) fn apply(config: &Config) {
    if config.priority == Priority::Normal {
        return;
    }
    if let Err(error) = setpriority_process(None, NICEST) {
        warn(format_args!(
            "cannot lower the priority of the processor: {error}"
        ));
    }
    // The system call for it has no safe binding; `ionice` belongs to util-linux.
    let mut ionice = Command::new(IONICE.name);
    ionice
        .args(["--class", "idle", "--pid"])
        .arg(std::process::id().to_string());
    if let Err(error) = process::run(ionice, IONICE, "lower the priority of the disks") {
        warn(in_words(&error));
    }
}
