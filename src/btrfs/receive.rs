//! `btrfs receive`: turns a stream back into a subvolume.

use std::io::{self, Write};
use std::process::{ChildStdin, Stdio};

use super::confinement::Confinement;
use super::error::BtrfsError;
use super::sys;
use super::tools::{BTRFS, Tools};
use crate::process::{ProcessError, Running};

/// A running `btrfs receive`, written like a file.
///
/// A write that fails with a broken pipe only means that it has ended; [`Receiver::finish`] returns why.
/// Dropping it kills it, and leaves a subvolume that is not read-only and has no received uuid.
#[derive(Debug)]
pub struct Receiver {
    stdin: ChildStdin,
    running: Running,
}

impl Receiver {
    /// Starts `btrfs receive -C -e` confined, in a session of its own.
    ///
    /// `-C` confines it further, to its staging directory by chroot. `-e` ends it at the stream's END, so
    /// that it receives nothing after that. `-m` names the mount: the program would otherwise take it from
    /// the list of mounts, where the mount that the confining one covers has the same path. Never use `-E 0`,
    /// which loops without end on a truncated stream.
    pub fn spawn(tools: &Tools, confinement: Confinement) -> Result<Self, BtrfsError> {
        let mut command = tools.command();
        command
            .args(["receive", "-q", "-C", "-e", "-m"])
            .arg(confinement.root())
            .arg("--")
            .arg(confinement.staging())
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null());
        let path = confinement.path().to_owned();
        let action = format!("receive into {}", path.display());
        confinement.apply(&mut command);
        let mut running = match Running::spawn(command, BTRFS, action) {
            // The same program could be started before, to print its version.
            Err(ProcessError::Spawn { source, .. }) => {
                return Err(BtrfsError::Unconfined { path, source });
            }
            running => running?,
        };
        let stdin = running.child.stdin.take().expect("stdin is piped");
        let _ = sys::set_pipe_size(&stdin, 1 << 20);
        Ok(Self { stdin, running })
    }

    /// Returns the process id, which is also that of its session.
    pub fn pid(&self) -> u32 {
        self.running.child.id()
    }

    /// Returns whether it has already ended; [`Receiver::finish`] returns how.
    pub fn has_exited(&self) -> bool {
        self.running.has_ended()
    }

    /// Closes the stream and waits for the end of the program. The subvolume is durable only after
    /// [`sync`](super::sync).
    pub fn finish(self) -> Result<(), BtrfsError> {
        drop(self.stdin);
        Ok(self.running.finish()?)
    }
}

impl Write for Receiver {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stdin.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stdin.flush()
    }
}
