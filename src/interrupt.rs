//! SIGINT and SIGTERM: a flag that every run looks at, and an end for one that can't.
//!
//! A run may be cut short between any two of its lines, so a signal only has to make it short. The
//! first one raises the flag and ends every `btrfs` that is at work; the run notices, and ends by
//! itself with [`Error::Interrupted`]. One that waits for something that does not come (an upload, a
//! filesystem) is ended after [`GRACE`], and by a second signal at once.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, bounded};
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::btrfs::BtrfsError;
use crate::error::{BackupError, Error, RestoreError};
use crate::model::Signal;
use crate::process::{self, ProcessError};
use crate::seal::SealError;

/// How long a run may take to end by itself.
pub const GRACE: Duration = Duration::from_secs(5);

/// How long is waited for a `btrfs` that was ended and is still inside the kernel.
const LAST_WAIT: Duration = Duration::from_secs(2);

static OF_THIS_PROCESS: Interrupt = Interrupt::new();

fn of_number(number: i32) -> Option<Signal> {
    match number {
        SIGINT => Some(Signal::Interrupt),
        SIGTERM => Some(Signal::Terminate),
        _ => None,
    }
}

fn of_flag(flag: u8) -> Option<Signal> {
    [Signal::Interrupt, Signal::Terminate]
        .into_iter()
        .find(|signal| flag_of(*signal) == flag)
}

/// Nonzero.
fn flag_of(signal: Signal) -> u8 {
    match signal {
        Signal::Interrupt => 1,
        Signal::Terminate => 2,
    }
}

/// Whether a run has been asked to stop.
#[derive(Debug)]
pub struct Interrupt {
    flag: AtomicU8,
    /// Readable from the first signal on, for who waits on file descriptors.
    woken: OnceLock<OwnedFd>,
}

impl Interrupt {
    /// One that is not raised.
    pub const fn new() -> Self {
        Self {
            flag: AtomicU8::new(0),
            woken: OnceLock::new(),
        }
    }

    /// The one that this process's signals raise, if they are [listened](listen) to.
    pub fn of_this_process() -> &'static Self {
        &OF_THIS_PROCESS
    }

    /// The first signal, if there was one.
    pub fn raised(&self) -> Option<Signal> {
        of_flag(self.flag.load(Ordering::SeqCst))
    }

    /// An error from the first signal on.
    pub fn check(&self) -> Result<(), Error> {
        self.raised()
            .map_or(Ok(()), |signal| Err(Error::Interrupted(signal)))
    }

    /// Asks the run to stop.
    pub fn raise(&self, signal: Signal) {
        let first =
            self.flag
                .compare_exchange(0, flag_of(signal), Ordering::SeqCst, Ordering::SeqCst);
        if first.is_ok()
            && let Some(woken) = self.woken.get()
        {
            // It can't fail: the counter is far from full.
            let _ = rustix::io::write(woken, &1_u64.to_ne_bytes());
        }
    }

    /// What a run's error is after a signal: one that ending the programs brings about is the signal's
    /// doing, any other stands for itself.
    pub fn explain(&self, error: Error) -> Error {
        match self.raised() {
            Some(signal) if comes_of_ended_programs(&error) => Error::Interrupted(signal),
            _ => error,
        }
    }

    /// Waits until there is something to be read, or its end.
    pub fn await_readable(&self, from: BorrowedFd<'_>) -> Result<(), Error> {
        self.wait(Some(from), None)
            .map_err(|source| Error::file("wait for", "stdin", source))?;
        self.check()
    }

    /// Lets that time pass.
    pub fn pause(&self, time: Duration) -> Result<(), Error> {
        self.check()?;
        self.wait(None, Some(time))
            .map_err(|source| Error::file("wait on", "the clock", source))?;
        self.check()
    }

    fn wait(&self, from: Option<BorrowedFd<'_>>, time: Option<Duration>) -> io::Result<()> {
        let woken = self.woken.get().map(AsFd::as_fd);
        let fds = from.into_iter().chain(woken);
        let mut fds: Vec<_> = fds
            .map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN))
            .collect();
        let time = time
            .map(Timespec::try_from)
            .transpose()
            .map_err(io::Error::other)?;
        // A signal's handler runs before the flag is raised: only the descriptor tells.
        rustix::io::retry_on_intr(|| poll(&mut fds, time.as_ref()))?;
        Ok(())
    }
}

impl Default for Interrupt {
    fn default() -> Self {
        Self::new()
    }
}

/// Whether an error may be due to a `btrfs` that was ended by [`process::end_children`], or was not
/// started any more.
fn comes_of_ended_programs(error: &Error) -> bool {
    match error {
        Error::Btrfs(
            BtrfsError::Unsendable { .. }
            | BtrfsError::Process(
                ProcessError::Failed { .. }
                | ProcessError::Contact { .. }
                | ProcessError::Stopping { .. },
            ),
        )
        | Error::Backup(BackupError::Stream(_) | BackupError::ReadStream { .. })
        | Error::Restore(RestoreError::WriteStream { .. })
        | Error::Seal(SealError::Stopped)
        | Error::Interrupted(_) => true,
        Error::Backup(BackupError::AfterArchive { source, .. }) => comes_of_ended_programs(source),
        _ => false,
    }
}

/// From now on SIGINT and SIGTERM raise [`Interrupt::of_this_process`]. If the run does not end by
/// itself, it is told to `last_words`, and the process exits.
pub fn listen(last_words: impl FnOnce(&Error) + Send + 'static) -> Result<(), Error> {
    let woken = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
        .map_err(|errno| Error::Signals(errno.into()))?;
    // A second call changes nothing: the first one's descriptor stays.
    let _ = OF_THIS_PROCESS.woken.set(woken);
    let mut signals = Signals::new([SIGINT, SIGTERM]).map_err(Error::Signals)?;
    let (caught, catches) = bounded(16);
    let spawn = |name: &str| thread::Builder::new().name(name.to_owned());
    spawn("signals")
        .spawn(move || {
            for signal in signals.forever().filter_map(of_number) {
                // Full, it holds more signals than anyone waits for.
                let _ = caught.try_send(signal);
            }
        })
        .map_err(Error::Signals)?;
    spawn("end")
        .spawn(move || end(&catches, last_words))
        .map_err(Error::Signals)?;
    Ok(())
}

fn end(catches: &Receiver<Signal>, last_words: impl FnOnce(&Error)) {
    let Ok(first) = catches.recv() else {
        return;
    };
    // The flag comes first: whoever misses a program that was ended finds it raised.
    OF_THIS_PROCESS.raise(first);
    process::end_children();
    let second = catches.recv_timeout(GRACE);
    process::await_end_of_children(LAST_WAIT);
    let error = Error::Interrupted(second.unwrap_or(first));
    last_words(&error);
    std::process::exit(i32::from(error.exit_code() as u8));
}
