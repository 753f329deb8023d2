//! Mounts whose process is gone.

use std::path::Path;
use std::process::Command;

use rustix::io::Errno;
use rustix::mount::{UnmountFlags, unmount};

use super::{FuseError, NAME};
use crate::mounts::mounts;
use crate::process::{Program, run};

/// What is mounted at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StaleMount {
    /// Nothing whose process is gone.
    None,
    /// A tree of ours, whose process is gone.
    Ours,
    /// Another one, whose process is gone.
    Foreign,
}

impl StaleMount {
    /// Looks at a path.
    pub fn at(path: &Path) -> Self {
        match rustix::fs::stat(path) {
            Err(Errno::NOTCONN) => {}
            _ => return Self::None,
        }
        // The last one is on top.
        let mounts = mounts();
        let on_top = mounts.iter().rfind(|mount| mount.at == path);
        let is_ours = on_top.is_some_and(|mount| mount.kind == format!("fuse.{NAME}"));
        if is_ours { Self::Ours } else { Self::Foreign }
    }
}

/// Unmounts a tree whose process is gone.
pub fn unmount_stale(at: &Path) -> Result<(), FuseError> {
    let failed = |why: String| FuseError::StaleStays {
        at: at.to_owned(),
        why,
    };
    match unmount(at, UnmountFlags::DETACH) {
        Ok(()) => Ok(()),
        Err(Errno::PERM) => {
            let by = |name: &'static str| {
                let mut command = Command::new(name);
                command.args(["-u", "-z", "--"]).arg(at);
                let program = Program { name, chatter: &[] };
                run(command, program, format!("unmount {}", at.display()))
            };
            let ran = by("fusermount3").or_else(|_| by("fusermount"));
            ran.map(drop).map_err(|error| failed(error.to_string()))
        }
        Err(errno) => Err(failed(errno.to_string())),
    }
}
