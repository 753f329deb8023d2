//! Sending: a snapshot as a stream of bytes, and how many they will be.

use std::io::{self, Read};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{ChildStdout, Command, Stdio};
use std::thread;
use std::time::Duration;

use super::error::BtrfsError;
use super::find_obstacle::uptime;
use super::obstacle::Obstacle;
use super::stream::Guard;
use super::sys;
use super::tools::{BTRFS, Tools};
use crate::model::Protocol;
use crate::process::{ProcessError, Program, Running};

/// The largest pipe that `/proc/sys/fs/pipe-max-size` allows by default.
const PIPE_BYTES: i32 = 1 << 20;

/// With so many bytes in the pipe it is read at once.
const WORTH_READING: u64 = 256 << 10;

/// In which the kernel writes less than the pipe holds: it makes about 300 MB a second.
const A_MOMENT: Duration = Duration::from_millis(1);

/// This program where it asks the kernel for a stream.
const KERNEL_SENDER: Program = Program {
    name: "coldchain send-stream",
    chatter: &[],
};

/// What to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SendRequest {
    /// A read-only snapshot.
    pub snapshot: PathBuf,
    /// The read-only snapshot that the receiver has already; `None` sends everything.
    pub send_parent: Option<PathBuf>,
    /// In which form.
    pub protocol: Protocol,
    /// Who asks the kernel for it.
    pub by: SentBy,
}

/// Who asks the kernel for a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SentBy {
    /// This program, as a child of its own. It must be coldchain: it is called by its own name.
    Kernel,
    /// `btrfs send`, for the same bytes with more of the processor.
    Btrfs,
}

impl SentBy {
    /// Their names in the config.
    pub const NAMES: [(&'static str, Self); 2] = [("kernel", Self::Kernel), ("btrfs", Self::Btrfs)];
}

/// The words by which `btrfs send`, and coldchain's own sender, are asked for a form.
fn words(protocol: Protocol) -> &'static [&'static str] {
    match protocol {
        Protocol::V1 => &[],
        Protocol::V2 => &["--proto", "2"],
        Protocol::CompressedData => &["--compressed-data"],
    }
}

impl SendRequest {
    fn action(&self, what: &str) -> String {
        let snapshot = self.snapshot.display();
        match &self.send_parent {
            None => format!("{what} {snapshot}"),
            Some(parent) => format!("{what} {snapshot} with {} as its parent", parent.display()),
        }
    }

    /// Always with `-p` for an incremental: with `-c` alone `btrfs send` guesses a parent.
    fn arguments(&self, command: &mut Command, words: &[&str]) {
        command.args(["send", "-q"]).args(words);
        if let Some(parent) = &self.send_parent {
            command.arg("-p").arg(parent);
        }
        command.arg("--").arg(&self.snapshot);
    }
}

/// A running sender, read like a file.
///
/// EOF says only that it has ended. Whether what was read is a stream is for the
/// [`Guard`] and [`Sender::finish`] to say, and both are needed. Dropped, it is killed.
#[derive(Debug)]
pub struct Sender {
    stdout: ChildStdout,
    running: Running,
    by: SentBy,
    snapshot: PathBuf,
    /// When it was started, by [`uptime`].
    begun: Duration,
}

impl Sender {
    /// Starts it in a session of its own.
    pub fn spawn(tools: &Tools, request: &SendRequest) -> Result<Self, BtrfsError> {
        let words = words(request.protocol);
        match request.by {
            SentBy::Btrfs => Self::spawn_with(tools, request, words, request.action("send")),
            SentBy::Kernel => {
                let action = request.action("send");
                // This very program, also when a newer one was installed in its place meanwhile.
                let mut command = Command::new("/proc/self/exe");
                command.arg0("coldchain").env_clear().env("LC_ALL", "C");
                command.arg("send-stream").args(words);
                if let Some(parent) = &request.send_parent {
                    command.arg("--parent").arg(parent);
                }
                command.arg("--").arg(&request.snapshot);
                Self::start(command, request, SentBy::Kernel, action)
            }
        }
    }

    fn spawn_with(
        tools: &Tools,
        request: &SendRequest,
        words: &[&str],
        action: String,
    ) -> Result<Self, BtrfsError> {
        let mut command = tools.command();
        request.arguments(&mut command, words);
        Self::start(command, request, SentBy::Btrfs, action)
    }

    fn start(
        mut command: Command,
        request: &SendRequest,
        by: SentBy,
        action: String,
    ) -> Result<Self, BtrfsError> {
        let begun = uptime();
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let program = match by {
            SentBy::Kernel => KERNEL_SENDER,
            SentBy::Btrfs => BTRFS,
        };
        let mut running = Running::spawn(command, program, action)?;
        let stdout = running.child.stdout.take().expect("stdout is piped");
        // Best effort: it only spares switches between the sender and its reader.
        let _ = sys::set_pipe_size(&stdout, PIPE_BYTES);
        Ok(Self {
            stdout,
            running,
            by,
            snapshot: request.snapshot.clone(),
            begun,
        })
    }

    /// What it is called.
    pub fn name(&self) -> &'static str {
        match self.by {
            SentBy::Kernel => "the kernel",
            SentBy::Btrfs => "btrfs send",
        }
    }

    /// The process id, which is also its session's.
    pub fn pid(&self) -> u32 {
        self.running.child.id()
    }

    /// Closes the stream and waits. A sender that was not read to EOF fails by that. After a failure that is due to
    /// what is in the snapshot it may read the whole snapshot to name it.
    pub fn finish(self) -> Result<(), BtrfsError> {
        drop(self.stdout);
        self.running.finish().map_err(|error| match error {
            ProcessError::Failed {
                action,
                stderr,
                program,
                status,
            } => match Obstacle::find(&self.snapshot, &stderr, self.begun) {
                Some(obstacle) => BtrfsError::Unsendable {
                    action,
                    obstacle,
                    stderr,
                },
                None => BtrfsError::Process(ProcessError::Failed {
                    action,
                    stderr,
                    program,
                    status,
                }),
            },
            error => error.into(),
        })
    }
}

impl Read for Sender {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        // The kernel wakes a reader that waits at each of its writes, most of which are some dozens of
        // bytes. One that comes back a moment later finds more, and no time is lost while the pipe has
        // room. What is spliced takes a page however short it is, and fills a pipe too soon for that.
        if self.by == SentBy::Kernel
            && rustix::io::ioctl_fionread(&self.stdout).is_ok_and(|waiting| waiting < WORTH_READING)
        {
            thread::sleep(A_MOMENT);
        }
        self.stdout.read(buffer)
    }
}

/// About how many bytes the stream will have.
///
/// Within a few percent; with compressed data it says what the stream would have without, since the kernel
/// tells no compressed sizes. It reads metadata only: about a second
/// for 15,000 files.
pub fn estimate(tools: &Tools, request: &SendRequest) -> Result<u64, BtrfsError> {
    let action = request.action("estimate the size of");
    let words = match request.protocol {
        Protocol::V1 | Protocol::CompressedData => &["--no-data"][..],
        Protocol::V2 => &["--no-data", "--proto", "2"],
    };
    let mut sender = Sender::spawn_with(tools, request, words, action.clone())?;
    let mut guard = Guard::for_estimate();
    let mut buffer = vec![0; 1 << 18];
    loop {
        let length = match sender.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(source) => return Err(sender.running.lost(source).into()),
        };
        if let Err(source) = guard.push(&buffer[..length]) {
            return Err(BtrfsError::Refused { action, source });
        }
    }
    sender.finish()?;
    let summary = guard
        .finish()
        .map_err(|source| BtrfsError::Refused { action, source })?;
    Ok(summary.bytes.saturating_add(summary.file_data_bytes))
}
