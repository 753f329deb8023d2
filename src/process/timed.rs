//! Runs a program that others wrote for a limited time, and keeps the end of what it prints.

use std::collections::VecDeque;
use std::io::{self, PipeReader, Read};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{ioctl_fionbio, retry_on_intr};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};

use super::children;
use super::running::{keep_end, readable};
use super::session::in_own_session;

/// How much of the end of its output is kept. It ends up in messages of one line.
const OUTPUT_KEPT: usize = 2 << 10;

/// How long a killed program may take to end. One that is inside the kernel can't end earlier.
const LAST_WAIT: Duration = Duration::from_secs(5);

/// How many buffers of output are read after the program has ended. What it has left running may print for ever.
const LAST_READS: usize = 16;

/// How a program ended that had a limited time.
#[derive(Debug)]
pub(crate) struct TimedRun {
    /// Its status; `None` if its time was over, and it was killed.
    pub(crate) status: Option<ExitStatus>,
    /// The end of what it wrote to stdout and stderr, on one line.
    pub(crate) output: String,
}

/// Runs a program to its end, or kills it with its whole group after that time. Its stdout and stderr are
/// read as they come.
///
/// Programs that it leaves running in the background are not waited for; what they print later is lost.
pub(crate) fn run_for(
    mut command: Command,
    stdin: Stdio,
    at_most: Duration,
) -> io::Result<TimedRun> {
    let until = Instant::now() + at_most;
    let (output, writer) = io::pipe()?;
    ioctl_fionbio(&output, true)?;
    command
        .stdin(stdin)
        .stdout(writer.try_clone()?)
        .stderr(writer);
    in_own_session(&mut command);
    let started = children::enter(|| command.spawn(), |child| Some(Pid::from_child(child)));
    // Otherwise this process itself would keep the pipe open.
    drop(command);
    let mut child = started.ok_or_else(|| io::Error::other("coldchain is being stopped"))??;
    let mut output = Output::of(output);
    let watched = pidfd_open(Pid::from_child(&child), PidfdFlags::empty())
        .map_err(io::Error::from)
        .and_then(|process| watch(&process, &mut output, until));
    let ended = match watched {
        Ok(true) => true,
        in_time => {
            let gone = kill(&child);
            in_time?;
            if !gone {
                return Ok(TimedRun {
                    status: None,
                    output: output.shown(),
                });
            }
            false
        }
    };
    children::leave(Pid::from_child(&child));
    let status = child.wait()?;
    for _ in 0..LAST_READS {
        if !output.read()? {
            break;
        }
    }
    Ok(TimedRun {
        status: ended.then_some(status),
        output: output.shown(),
    })
}

/// Reads the output until the program ends, and returns whether it did in time.
fn watch(process: &OwnedFd, output: &mut Output, until: Instant) -> io::Result<bool> {
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(false);
        }
        let left = Timespec::try_from(left).map_err(io::Error::other)?;
        let mut fds = vec![PollFd::new(process, PollFlags::IN)];
        // At its end it would be readable all the time.
        fds.extend(
            output
                .pipe
                .iter()
                .map(|pipe| PollFd::new(pipe, PollFlags::IN)),
        );
        retry_on_intr(|| poll(&mut fds, Some(&left)))?;
        if !fds[0].revents().is_empty() {
            return Ok(true);
        }
        output.read()?;
    }
}

/// Kills the program with its group, and returns whether it has ended.
fn kill(child: &Child) -> bool {
    let group = Pid::from_child(child);
    // It is not reaped yet, so no other process has its id.
    let _ = kill_process_group(group, Signal::KILL);
    let until = Instant::now() + LAST_WAIT;
    while Instant::now() < until {
        if children::has_ended(group) {
            return true;
        }
        std::thread::sleep(children::STEP);
    }
    false
}

/// What the program prints.
struct Output {
    /// `None` at its end.
    pipe: Option<PipeReader>,
    end: VecDeque<u8>,
    buffer: Vec<u8>,
}

impl Output {
    fn of(pipe: PipeReader) -> Self {
        Self {
            pipe: Some(pipe),
            end: VecDeque::new(),
            buffer: vec![0; 64 << 10],
        }
    }

    /// Reads what there is without waiting for it, and returns whether there was any.
    fn read(&mut self) -> io::Result<bool> {
        let Some(pipe) = &mut self.pipe else {
            return Ok(false);
        };
        match pipe.read(&mut self.buffer) {
            Ok(0) => {
                self.pipe = None;
                Ok(false)
            }
            Ok(length) => {
                keep_end(&mut self.end, &self.buffer[..length], OUTPUT_KEPT);
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(true),
            Err(error) => Err(error),
        }
    }

    fn shown(mut self) -> String {
        readable(self.end.make_contiguous(), &[])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_mins(3);

    fn shell(script: &str, at_most: Duration) -> TimedRun {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        run_for(command, Stdio::null(), at_most).unwrap()
    }

    #[test]
    fn status_and_output_are_those_of_the_program() {
        let run = shell("echo one; echo two >&2; exit 3", LONG);
        assert_eq!(run.status.unwrap().code(), Some(3));
        assert_eq!(run.output, "one; two");
    }

    #[test]
    fn only_the_end_of_a_long_output_is_kept() {
        let run = shell(
            "head -c 100000000 /dev/zero | tr '\\0' x; echo; echo end",
            LONG,
        );
        assert!(run.status.unwrap().success());
        assert!(run.output.ends_with("x; end"), "{}", run.output);
        assert!(run.output.len() <= OUTPUT_KEPT);
    }

    #[test]
    fn what_is_left_in_the_background_is_not_waited_for() {
        let run = shell("sleep 1000 & echo $!", LONG);
        assert!(run.status.unwrap().success());
        let left = Pid::from_raw(run.output.parse().unwrap()).unwrap();
        rustix::process::kill_process(left, Signal::KILL).unwrap();
    }

    #[test]
    fn a_program_that_does_not_end_is_killed_with_its_children() {
        let run = shell("sleep 1000 & echo $!; wait", Duration::from_secs(1));
        assert!(run.status.is_none());
        let child = Pid::from_raw(run.output.parse().unwrap()).unwrap();
        // Its parent is gone, so another process reaps it.
        while rustix::process::test_kill_process(child).is_ok() {
            let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.as_raw_nonzero()));
            if stat.is_ok_and(|stat| stat.contains(") Z ")) {
                break;
            }
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_program_that_is_missing_is_an_error() {
        let missing = run_for(Command::new("/does/not/exist"), Stdio::null(), LONG);
        assert_eq!(missing.unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
