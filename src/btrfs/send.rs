//! Sends a snapshot as a stream of bytes, and estimates their number.

use std::io::{self, Read};
use std::num::NonZeroUsize;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{ChildStdout, Command, Stdio};
use std::thread;
use std::time::Duration;

use super::error::BtrfsError;
use super::find_obstacle::uptime;
use super::obstacle::Obstacle;
use super::parallel::{ParallelFault, ParallelStream};
use super::stream::Guard;
use super::sys;
use super::tools::{BTRFS, Tools};
use crate::model::Protocol;
use crate::process::{ProcessError, Program, Running};

/// The largest pipe that `/proc/sys/fs/pipe-max-size` allows by default.
const PIPE_BYTES: i32 = 1 << 20;

/// If the pipe has this many bytes, it is read at once.
const WORTH_READING: u64 = 256 << 10;

/// A pause in which the kernel writes less than the pipe holds: it makes about 300 MB a second.
const A_MOMENT: Duration = Duration::from_millis(1);

/// The most threads that read the data of files: the kernel's part, which is one thread, is the limit before more help.
const MOST_READERS: NonZeroUsize = NonZeroUsize::new(4).expect("it is not 0");

/// This program, when it asks the kernel for a stream.
const KERNEL_SENDER: Program = Program {
    name: "coldchain send-stream",
    chatter: &[],
};

/// The stream to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SendRequest {
    /// A read-only snapshot.
    pub snapshot: PathBuf,
    /// The read-only snapshot that the receiver already has; `None` for a full stream.
    pub send_parent: Option<PathBuf>,
    /// The protocol of the stream.
    pub protocol: Protocol,
    /// The program that asks the kernel for it.
    pub by: SentBy,
}

/// The program that asks the kernel for a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SentBy {
    /// This program, in a child process. The running program must be coldchain: it starts itself.
    Kernel,
    /// The same without the data of files, which this process reads itself, in several threads. Where that is not possible,
    /// it is as [`SentBy::Kernel`].
    Parallel,
    /// `btrfs send`, which gives the same bytes but takes more processor time.
    Btrfs,
}

impl SentBy {
    /// The names in the config.
    pub const NAMES: [(&'static str, Self); 3] = [
        ("kernel", Self::Kernel),
        ("parallel", Self::Parallel),
        ("btrfs", Self::Btrfs),
    ];
}

/// Returns the options for a protocol, for both `btrfs send` and coldchain's own sender.
fn words(protocol: Protocol) -> &'static [&'static str] {
    match protocol {
        Protocol::V1 => &[],
        Protocol::V2 => &["--proto", "2"],
        Protocol::CompressedData => &["--compressed-data"],
    }
}

impl SendRequest {
    /// Returns why [`SentBy::Parallel`] can't send it, so that the kernel sends its data too.
    pub fn why_not_parallel(&self) -> Option<String> {
        ParallelStream::obstacle(&self.snapshot, self.send_parent.as_deref(), self.protocol)
    }

    fn action(&self, what: &str) -> String {
        let snapshot = self.snapshot.display();
        match &self.send_parent {
            None => format!("{what} {snapshot}"),
            Some(parent) => format!("{what} {snapshot} with {} as its parent", parent.display()),
        }
    }

    /// Adds the arguments. An incremental always has `-p`: with only `-c`, `btrfs send` guesses a parent.
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
/// EOF only means that it has ended. Both the [`Guard`] and [`Sender::finish`] must say that what was read is
/// a whole stream. Dropping it kills it.
#[derive(Debug)]
pub struct Sender {
    output: SenderOutput,
    running: Running,
    by: SentBy,
    action: String,
    snapshot: PathBuf,
    /// When it was started, by [`uptime`].
    begun: Duration,
}

/// Where the bytes come from.
#[derive(Debug)]
enum SenderOutput {
    Kernel(KernelPipe),
    Btrfs(ChildStdout),
    Parallel(ParallelStream),
}

impl Sender {
    /// Starts the sender in a session of its own.
    pub fn spawn(tools: &Tools, request: &SendRequest) -> Result<Self, BtrfsError> {
        Self::spawn_with_readers(tools, request, readers())
    }

    /// The same, where so many threads read the data of files if the kernel does not.
    pub fn spawn_with_readers(
        tools: &Tools,
        request: &SendRequest,
        readers: NonZeroUsize,
    ) -> Result<Self, BtrfsError> {
        let words = words(request.protocol);
        let mut by = request.by;
        if by == SentBy::Parallel && request.why_not_parallel().is_some() {
            by = SentBy::Kernel;
        }
        match by {
            SentBy::Btrfs => Self::spawn_with(tools, request, words, request.action("send")),
            SentBy::Kernel | SentBy::Parallel => {
                let action = request.action("send");
                // This same program, even if a newer one was installed in its place meanwhile.
                let mut command = Command::new("/proc/self/exe");
                command.arg0("coldchain").env_clear().env("LC_ALL", "C");
                command.arg("send-stream").args(words);
                if let Some(parent) = &request.send_parent {
                    command.arg("--parent").arg(parent);
                }
                if by == SentBy::Parallel {
                    command.arg("--no-data");
                }
                command.arg("--").arg(&request.snapshot);
                Self::start(command, request, (by, readers), action)
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
        Self::start(command, request, (SentBy::Btrfs, NonZeroUsize::MIN), action)
    }

    fn start(
        mut command: Command,
        request: &SendRequest,
        (by, readers): (SentBy, NonZeroUsize),
        action: String,
    ) -> Result<Self, BtrfsError> {
        let begun = uptime();
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let program = match by {
            SentBy::Kernel | SentBy::Parallel => KERNEL_SENDER,
            SentBy::Btrfs => BTRFS,
        };
        let mut running = Running::spawn(command, program, action.clone())?;
        let stdout = running.child.stdout.take().expect("stdout is piped");
        // A failure is ignored: this only saves switches between the sender and its reader.
        let _ = sys::set_pipe_size(&stdout, PIPE_BYTES);
        let output = match by {
            SentBy::Kernel => SenderOutput::Kernel(KernelPipe(stdout)),
            SentBy::Btrfs => SenderOutput::Btrfs(stdout),
            SentBy::Parallel => SenderOutput::Parallel(ParallelStream::start(
                &request.snapshot,
                request.send_parent.as_deref(),
                KernelPipe(stdout),
                readers,
            )?),
        };
        Ok(Self {
            output,
            running,
            by,
            action,
            snapshot: request.snapshot.clone(),
            begun,
        })
    }

    /// Returns its name for messages.
    pub fn name(&self) -> &'static str {
        match self.by {
            SentBy::Kernel | SentBy::Parallel => "the kernel",
            SentBy::Btrfs => "btrfs send",
        }
    }

    /// Returns the process id, which is also that of its session.
    pub fn pid(&self) -> u32 {
        self.running.child.id()
    }

    /// Closes the stream and waits for the sender's end. A sender that was not read to EOF fails because of
    /// that. If it failed because of something in the snapshot, this may read the whole snapshot to find it.
    pub fn finish(self) -> Result<(), BtrfsError> {
        let fault = match self.output {
            SenderOutput::Kernel(KernelPipe(stdout)) | SenderOutput::Btrfs(stdout) => {
                drop(stdout);
                None
            }
            SenderOutput::Parallel(stream) => stream.finish(),
        };
        if let Some(fault) = fault {
            // The kernel was stopped because of that.
            drop(self.running);
            return Err(fault_of(&self.snapshot, self.action, self.begun, &fault));
        }
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
        match &mut self.output {
            SenderOutput::Kernel(pipe) => pipe.read(buffer),
            SenderOutput::Btrfs(stdout) => stdout.read(buffer),
            SenderOutput::Parallel(stream) => stream.read(buffer),
        }
    }
}

/// A pipe that the kernel writes a stream into.
#[derive(Debug)]
struct KernelPipe(ChildStdout);

impl Read for KernelPipe {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        // The kernel wakes a waiting reader at each of its writes, most of which have some dozens of bytes. A
        // reader that comes a moment later finds more, and no time is lost while the pipe has room. A spliced
        // write takes a page however short it is, and fills a pipe too soon for that.
        if rustix::io::ioctl_fionread(&self.0).is_ok_and(|waiting| waiting < WORTH_READING) {
            thread::sleep(A_MOMENT);
        }
        self.0.read(buffer)
    }
}

/// Returns how many threads read the data of files.
fn readers() -> NonZeroUsize {
    let cores = thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    cores.min(MOST_READERS)
}

/// Returns the error of a stream that ended because of a fault.
fn fault_of(snapshot: &Path, action: String, begun: Duration, fault: &ParallelFault) -> BtrfsError {
    let said = fault.to_string();
    // This may read all files. A name alone must not have it done.
    let is_unreadable = fault.is_unreadable();
    let obstacle = is_unreadable.then(|| Obstacle::find(snapshot, &said, begun));
    match obstacle.flatten() {
        Some(obstacle) => BtrfsError::Unsendable {
            action,
            obstacle,
            stderr: said,
        },
        None => BtrfsError::Unread { action, why: said },
    }
}

/// Estimates how many bytes the stream will have.
///
/// The estimate is right within a few percent. With compressed data it is the size that the stream would have
/// without it, because the kernel reports no compressed sizes. It reads only metadata: about a second for
/// 15,000 files.
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
