//! Running a program: its session, its stderr, its end.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

use super::children;
use super::error::ProcessError;
use super::session::in_own_session;
use crate::model::Line;

/// How much of the end of stderr is kept. `btrfs receive` may print a line per file.
const STDERR_KEPT: usize = 64 << 10;

/// What messages need to know of a program.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Program {
    /// Its name.
    pub(crate) name: &'static str,
    /// The beginnings of lines that it writes to stderr when nothing is wrong.
    pub(crate) chatter: &'static [&'static str],
}

/// Runs a program to its end and returns what it wrote to stdout.
pub(crate) fn run(
    mut command: Command,
    program: Program,
    action: impl Into<String>,
) -> Result<Vec<u8>, ProcessError> {
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    let mut running = Running::spawn(command, program, action.into())?;
    let mut output = Vec::new();
    if let Some(mut stdout) = running.child.stdout.take() {
        stdout
            .read_to_end(&mut output)
            .map_err(|source| running.lost(source))?;
    }
    running.finish()?;
    Ok(output)
}

/// A running program. It is killed when this is dropped; [`finish`](Self::finish) waits for its end.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) child: Child,
    stderr: Option<JoinHandle<String>>,
    program: Program,
    action: String,
    reaped: Reaped,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reaped {
    Yes,
    No,
}

impl Running {
    /// Starts the command in its own session, and captures its stderr. `action` is what it is to do, as an
    /// infinitive with the path.
    pub(crate) fn spawn(
        mut command: Command,
        program: Program,
        action: String,
    ) -> Result<Self, ProcessError> {
        in_own_session(&mut command).stderr(Stdio::piped());
        let Some(spawned) = children::enter(|| command.spawn(), group) else {
            return Err(ProcessError::Stopping { action });
        };
        let spawned = spawned.and_then(|mut child| {
            let stderr = child
                .stderr
                .take()
                .map(|stderr| capture(stderr, program))
                .transpose();
            Ok(Self {
                // If the thread can't be started, dropping this kills the child.
                child,
                stderr: None,
                program,
                action: action.clone(),
                reaped: Reaped::No,
            }
            .with_stderr(stderr?))
        });
        spawned.map_err(|source| ProcessError::Spawn {
            program: command.get_program().into(),
            action,
            source,
        })
    }

    fn with_stderr(mut self, stderr: Option<JoinHandle<String>>) -> Self {
        self.stderr = stderr;
        self
    }

    /// Waits for the end. The caller must have closed the child's stdin and stdout before.
    pub(crate) fn finish(mut self) -> Result<(), ProcessError> {
        let status = self.reap().map_err(|source| self.lost(source))?;
        let stderr = self.stderr.take().map(JoinHandle::join);
        if status.success() {
            return Ok(());
        }
        Err(self.failed(status, stderr.and_then(Result::ok)))
    }

    /// Waits for the end, and returns how it ended and the last of what it wrote to stderr. The caller must have
    /// closed the child's stdin and stdout before.
    pub(crate) fn outcome(mut self) -> Result<(ExitStatus, String), ProcessError> {
        let status = self.reap().map_err(|source| self.lost(source))?;
        let stderr = self.stderr.take().and_then(|stderr| stderr.join().ok());
        Ok((status, stderr.unwrap_or_default()))
    }

    /// Waits for its end, but no longer than `at_most`, and then kills it. Returns how it ended by itself, and the last
    /// of what it wrote to stderr. The caller must have closed the child's stdin and stdout before.
    pub(crate) fn end_within(&mut self, at_most: Duration) -> (Option<ExitStatus>, String) {
        let until = Instant::now() + at_most;
        let ended = children::await_end(group(&self.child), until);
        if !ended && let Some(group) = group(&self.child) {
            // It is not reaped yet, so no other process has its id.
            let _ = kill_process_group(group, Signal::KILL);
        }
        let status = self.reap().ok().filter(|_| ended);
        // What it has left running may hold stderr open for ever.
        let stderr = self.stderr.take().filter(|stderr| {
            while !stderr.is_finished() && Instant::now() < until {
                std::thread::sleep(children::STEP);
            }
            stderr.is_finished()
        });
        let said = stderr.and_then(|stderr| stderr.join().ok());
        (status, said.unwrap_or_default())
    }

    /// Whether it has ended already.
    pub(crate) fn has_ended(&self) -> bool {
        group(&self.child).is_none_or(children::has_ended)
    }

    fn reap(&mut self) -> io::Result<ExitStatus> {
        if let Some(group) = group(&self.child) {
            children::leave(group);
        }
        let status = self.child.wait()?;
        self.reaped = Reaped::Yes;
        Ok(status)
    }

    fn failed(&self, status: ExitStatus, stderr: Option<String>) -> ProcessError {
        ProcessError::Failed {
            program: self.program.name,
            action: self.action.clone(),
            status,
            stderr: stderr
                .filter(|text| !text.is_empty())
                .unwrap_or_else(|| "it said nothing".to_owned()),
        }
    }

    pub(crate) fn lost(&self, source: io::Error) -> ProcessError {
        ProcessError::Contact {
            program: self.program.name,
            action: self.action.clone(),
            source,
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.reaped == Reaped::Yes {
            return;
        }
        // It is not reaped yet, so no other process has its id.
        if let Some(group) = group(&self.child) {
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = self.child.kill();
        let _ = self.reap();
    }
}

/// The process group of a child, which leads a session of its own.
fn group(child: &Child) -> Option<Pid> {
    i32::try_from(child.id()).ok().and_then(Pid::from_raw)
}

/// Reads stderr to its end on a thread, so that the child never waits for it to be read.
fn capture(stderr: ChildStderr, program: Program) -> io::Result<JoinHandle<String>> {
    std::thread::Builder::new()
        .name(format!("{} stderr", program.name))
        .spawn(move || readable(&tail(stderr, STDERR_KEPT), program.chatter))
}

/// The last `kept` bytes of what can be read.
fn tail(mut from: impl Read, kept: usize) -> Vec<u8> {
    let mut last = VecDeque::new();
    let mut buffer = [0; 4096];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => {
                keep_end(&mut last, &buffer[..length], kept);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => break,
        }
    }
    last.into()
}

/// Adds bytes, and keeps the last ones.
pub(super) fn keep_end(last: &mut VecDeque<u8>, more: &[u8], kept: usize) {
    last.extend(more);
    last.drain(..last.len().saturating_sub(kept));
}

/// Returns stderr as one line of text. It is escaped, because a file name in a message may contain what a
/// terminal obeys.
pub(super) fn readable(stderr: &[u8], chatter: &[&str]) -> String {
    let text = String::from_utf8_lossy(stderr);
    let lines: Vec<String> = text
        .lines()
        .map(|line| line.strip_prefix("ERROR: ").unwrap_or(line).trim())
        .filter(|line| !line.is_empty() && !chatter.iter().any(|start| line.starts_with(start)))
        .map(|line| Line(line).to_string())
        .collect();
    lines.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_end_of_a_long_stderr_is_kept() {
        let long: Vec<u8> = (0..100_000_u32)
            .flat_map(|n| n.to_string().into_bytes())
            .collect();
        assert_eq!(tail(&long[..], 1000), &long[long.len() - 1000..]);
        assert_eq!(tail(&b"short"[..], 1000), b"short");
    }

    #[test]
    fn a_message_can_not_steer_the_terminal() {
        assert_eq!(
            readable(
                b"Chroot to /x\nERROR: cannot open a\x1b[2J\nERROR: second\n\n",
                &["Chroot to "]
            ),
            "cannot open a\\u{1b}[2J; second"
        );
    }
}
