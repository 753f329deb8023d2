//! `btrfs receive`: a stream back into a subvolume.

use std::io::{self, Write};
use std::path::Path;
use std::process::{ChildStdin, Stdio};

use super::error::BtrfsError;
use super::program::{BTRFS, Running};
use super::sys;
use super::tools::Tools;

/// A running `btrfs receive`, written like a file.
///
/// A write that fails with a broken pipe says only that it has ended; [`Receiver::finish`] says
/// why. Dropped, it is killed, and leaves a subvolume that is neither read-only nor has a received
/// uuid.
#[derive(Debug)]
pub struct Receiver {
    stdin: ChildStdin,
    running: Running,
}

impl Receiver {
    /// Starts `btrfs receive -C -e` into a directory, in a session of its own.
    ///
    /// `-C` confines it to the directory by chroot. `-e` ends it at the stream's END, so that
    /// nothing after that is ever received. Never `-E 0`, which loops without end on a cut stream.
    pub fn spawn(tools: &Tools, directory: &Path) -> Result<Self, BtrfsError> {
        let mut command = tools.command();
        command
            .args(["receive", "-q", "-C", "-e", "--"])
            .arg(directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::null());
        let action = format!("receive into {}", directory.display());
        let mut running = Running::spawn(command, BTRFS, action)?;
        let stdin = running.child.stdin.take().expect("stdin is piped");
        let _ = sys::set_pipe_size(&stdin, 1 << 20);
        Ok(Self { stdin, running })
    }

    /// The process id, which is also its session's.
    pub fn pid(&self) -> u32 {
        self.running.child.id()
    }

    /// Whether it has ended already; [`Receiver::finish`] says how.
    pub fn has_exited(&self) -> bool {
        self.running.has_ended()
    }

    /// Closes the stream and waits. What was received is durable only after
    /// [`sync`](super::sync).
    pub fn finish(self) -> Result<(), BtrfsError> {
        drop(self.stdin);
        self.running.finish()
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
