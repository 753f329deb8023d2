//! SIGINT and SIGTERM: a flag that every run checks, and an end for a run that can't check it.
//!
//! A run may be cut short at any point, so a signal only has to end it. The first signal raises the flag and
//! kills every program that is running, such as `btrfs`. The run notices, and ends by itself with
//! [`Error::Interrupted`]. If it waits for something that does not come (an upload, a filesystem), the
//! process exits after [`GRACE`], or on a second signal. The hooks of the source that was being worked on run in
//! either case, but for a second signal.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded, select};
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::btrfs::BtrfsError;
use crate::error::{BackupError, Error, PullError, RestoreError};
use crate::hooks::HookError;
use crate::model::Signal;
use crate::process::{self, ProcessError};
use crate::rsync::RsyncError;
use crate::seal::SealError;

mod ending;

pub use ending::{LastWork, end_after_panic, in_case_of_force, run_is_over};

/// How long a run may take to end by itself.
pub const GRACE: Duration = Duration::from_secs(5);

/// How long a run may take to end whose work is done.
const GRACE_AFTER_WORK: Duration = Duration::from_secs(1);

/// How long to wait for a killed `btrfs` that is still inside the kernel.
const LAST_WAIT: Duration = Duration::from_secs(2);

static OF_THIS_PROCESS: Interrupt = Interrupt::new();

/// Says that the work is done.
static DONE: OnceLock<Sender<()>> = OnceLock::new();

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

/// Returns the flag of a signal, which is not 0.
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
    /// Readable from the first signal on, for code that waits on file descriptors.
    woken: OnceLock<OwnedFd>,
}

impl Interrupt {
    /// Makes one that is not raised.
    pub const fn new() -> Self {
        Self {
            flag: AtomicU8::new(0),
            woken: OnceLock::new(),
        }
    }

    /// Returns the one that this process's signals raise, once [`listen`] was called.
    pub fn of_this_process() -> &'static Self {
        &OF_THIS_PROCESS
    }

    /// The first signal, if there was one.
    pub fn raised(&self) -> Option<Signal> {
        of_flag(self.flag.load(Ordering::SeqCst))
    }

    /// Returns an error from the first signal on.
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

    /// Returns the error of a run after a signal: [`Error::Interrupted`] in place of an error that killing
    /// the programs may have caused; any other error unchanged.
    pub fn explain(&self, error: Error) -> Error {
        match self.raised() {
            Some(signal) if comes_of_ended_programs(&error) => Error::Interrupted(signal),
            _ => error,
        }
    }

    /// Waits until there is something to read, or its end, or a signal.
    pub fn await_readable(&self, from: BorrowedFd<'_>) -> Result<(), Error> {
        self.wait(Some(from), None)
            .map_err(|source| Error::file("wait for", "stdin", source))?;
        self.check()
    }

    /// Waits for that time, or until a signal.
    pub fn pause(&self, time: Duration) -> Result<(), Error> {
        self.check()?;
        self.wait(None, Some(time))
            .map_err(|source| Error::file("wait on", "the clock", source))?;
        self.check()
    }

    /// Waits until one of these is ready, but no longer than that time, or until a signal. The first of `fds` are
    /// theirs afterwards.
    pub fn poll<'f>(&'f self, fds: &mut Vec<PollFd<'f>>, time: Duration) -> Result<(), Error> {
        let failed = |source: io::Error| Error::file("wait for", "another program", source);
        let woken = self.woken.get().map(AsFd::as_fd);
        fds.extend(woken.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)));
        let time = Timespec::try_from(time).map_err(|error| failed(io::Error::other(error)))?;
        rustix::io::retry_on_intr(|| poll(fds, Some(&time)))
            .map_err(|errno| failed(errno.into()))?;
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
        // A signal's handler runs before the flag is raised, so only the descriptor shows a signal.
        rustix::io::retry_on_intr(|| poll(&mut fds, time.as_ref()))?;
        Ok(())
    }
}

impl Default for Interrupt {
    fn default() -> Self {
        Self::new()
    }
}

/// Whether an error may come from a `btrfs` that [`process::end_children`] killed, or that was not started
/// any more.
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
        | Error::Pull(PullError::Failed { .. } | PullError::Rsync(RsyncError::Process(_)))
        | Error::Restore(RestoreError::WriteStream { .. })
        | Error::Seal(SealError::Stopped)
        | Error::Hook(HookError::Failed { .. } | HookError::Unfit { .. })
        | Error::Interrupted(_) => true,
        Error::Backup(BackupError::AfterArchive { source, .. }) => comes_of_ended_programs(source),
        Error::AfterRun { source, .. } => {
            matches!(source, HookError::Failed { .. } | HookError::Unfit { .. })
        }
        _ => false,
    }
}

/// Makes SIGINT and SIGTERM raise [`Interrupt::of_this_process`] from now on. If the run does not end by
/// itself, this calls `last_words` with the error, and the process exits.
pub fn listen(last_words: impl FnOnce(&Error) + Send + 'static) -> Result<(), Error> {
    let woken = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
        .map_err(|errno| Error::Signals(errno.into()))?;
    // A second call changes nothing: the first one's descriptor stays.
    let _ = OF_THIS_PROCESS.woken.set(woken);
    let mut signals = Signals::new([SIGINT, SIGTERM]).map_err(Error::Signals)?;
    let (caught, catches) = bounded(16);
    let (done, is_done) = bounded(1);
    let _ = DONE.set(done);
    let spawn = |name: &str| thread::Builder::new().name(name.to_owned());
    spawn("signals")
        .spawn(move || {
            for signal in signals.forever().filter_map(of_number) {
                // If it is full, it holds more signals than are needed.
                let _ = caught.try_send(signal);
            }
        })
        .map_err(Error::Signals)?;
    spawn("end")
        .spawn(move || end(&catches, &is_done, last_words))
        .map_err(Error::Signals)?;
    Ok(())
}

/// Lets programs be started after a signal, for a run that has ended by itself. From now on only a second signal
/// ends the process by force.
pub fn let_hooks_run() {
    ending::let_hooks_run(|| OF_THIS_PROCESS.raised().is_some());
}

/// Says that the work of this run is done, and only a wait is left that nothing depends on: the process ends soon, with success.
pub fn work_is_done() {
    if let Some(done) = DONE.get() {
        // The second time says nothing new.
        let _ = done.try_send(());
    }
}

/// Ends the process, unless it ends by itself before.
fn end_after_work() -> ! {
    thread::sleep(GRACE_AFTER_WORK);
    std::process::exit(0);
}

fn end(catches: &Receiver<Signal>, is_done: &Receiver<()>, last_words: impl FnOnce(&Error)) {
    let first = select! {
        recv(catches) -> first => first,
        recv(is_done) -> _ => end_after_work(),
    };
    let Ok(first) = first else {
        return;
    };
    ending::stop(|| OF_THIS_PROCESS.raise(first));
    let next = select! {
        recv(catches) -> second => second.map_err(drop),
        recv(is_done) -> _ => end_after_work(),
        default(GRACE) => Err(()),
    };
    let second = match next {
        Ok(second) => Some(second),
        Err(()) if ending::ends_by_itself() => catches.recv().ok(),
        Err(()) => work_on(first, catches),
    };
    ending::force();
    process::await_end_of_children(LAST_WAIT);
    let error = Error::Interrupted(second.unwrap_or(first));
    last_words(&error);
    std::process::exit(i32::from(error.exit_code() as u8));
}

/// Does what is to be done before the process ends by force, until another signal comes. Returns that signal.
fn work_on(first: Signal, catches: &Receiver<Signal>) -> Option<Signal> {
    let work = ending::last_work()?;
    // Nothing is sent: the channel is closed at the end of the work.
    let (done, is_done) = bounded::<()>(0);
    thread::Builder::new()
        .name("hooks".to_owned())
        .spawn(move || {
            work(&Error::Interrupted(first));
            drop(done);
        })
        .ok()?;
    select! {
        recv(catches) -> second => second.ok(),
        recv(is_done) -> _ => None,
    }
}
