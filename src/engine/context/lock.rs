//! Locks: one run at a time works on a source. The kernel releases them when a process dies.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};

use crate::engine::context::RunContext;
use crate::engine::context::state_dir::StateDir;
use crate::error::Error;
use crate::interrupt::Interrupt;
use crate::model::{MirrorLocation, Sha256, SourceName};
use crate::progress::Event;

/// The pause between two tries to get a lock.
const STEP: Duration = Duration::from_millis(100);

/// How long a run waits, at least, while another makes a snapshot.
const A_SNAPSHOT: Duration = Duration::from_mins(1);

/// A lock that this process holds. Dropping it, or the death of the process, releases it.
#[derive(Debug)]
pub struct Lock {
    file: File,
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing the file is not enough: a child that is just being started may have a copy for a moment.
        let _ = flock(&self.file, FlockOperation::Unlock);
    }
}

impl StateDir {
    /// Locks a source for this process. If another process has it, waits up to `context.wait_lock`.
    pub fn lock(&self, source: &SourceName, context: &RunContext<'_>) -> Result<Lock, Error> {
        if context.wait_lock.is_zero() {
            return self.try_lock(source);
        }
        wait_for(&self.lock_path(source), context.wait_lock, source, context)
    }

    /// Locks the snapshots of a source while one is made and named. A run that archives holds this for a moment only,
    /// so that snapshots are taken while hours of upload go on. Waits for a minute at least.
    pub(in crate::engine) fn lock_snapshots(
        &self,
        source: &SourceName,
        context: &RunContext<'_>,
    ) -> Result<Lock, Error> {
        // No source's name makes this the lock of a source: that one ends in `.lock`.
        let path = self.file(&format!("{source}.snapshots-lock"));
        wait_for(&path, context.wait_lock.max(A_SNAPSHOT), source, context)
    }

    /// Locks a mirror of a source. It is not the source's lock: a first full of days never stops the nightly archive.
    pub(in crate::engine) fn lock_mirror(
        &self,
        source: &SourceName,
        to: &MirrorLocation,
        context: &RunContext<'_>,
    ) -> Result<Lock, Error> {
        let of = Sha256::of(to.to_string().as_bytes()).to_string();
        let path = self.file(&format!("{source}.mirror-{}-lock", &of[..16]));
        if context.wait_lock.is_zero() {
            return try_path(&path, source);
        }
        wait_for(&path, context.wait_lock, source, context)
    }

    /// Locks a copy of a source, by its URL. It is not the source's lock: a first copy of days never stops the nightly
    /// archive.
    pub(in crate::engine) fn lock_copy(
        &self,
        source: &SourceName,
        store: &str,
        context: &RunContext<'_>,
    ) -> Result<Lock, Error> {
        let of = Sha256::of(store.as_bytes()).to_string();
        let path = self.file(&format!("{source}.copy-{}-lock", &of[..16]));
        if context.wait_lock.is_zero() {
            return try_path(&path, source);
        }
        wait_for(&path, context.wait_lock, source, context)
    }

    /// Locks the pull of a source. It is not the source's lock: a long upload of an earlier snapshot never stops a pull.
    pub(in crate::engine) fn lock_pull(
        &self,
        source: &SourceName,
        context: &RunContext<'_>,
    ) -> Result<Lock, Error> {
        let path = self.file(&format!("{source}.pull-lock"));
        if context.wait_lock.is_zero() {
            return try_path(&path, source);
        }
        wait_for(&path, context.wait_lock, source, context)
    }

    /// Locks what was imported of another tool by this name. It is no source's lock: a retrieval of days never stops an
    /// archive of a source that may get the same name.
    pub(in crate::engine) fn lock_import(
        &self,
        name: &SourceName,
        context: &RunContext<'_>,
    ) -> Result<Lock, Error> {
        let path = self.file(&format!("{name}.import-lock"));
        if context.wait_lock.is_zero() {
            return try_path(&path, name);
        }
        wait_for(&path, context.wait_lock, name, context)
    }

    /// Locks a source for this process. Fails at once if another process has it.
    pub(in crate::engine) fn try_lock(&self, source: &SourceName) -> Result<Lock, Error> {
        try_path(&self.lock_path(source), source)
    }

    /// Returns the file whose lock a run holds that archives, prunes or restores this source.
    pub(in crate::engine) fn lock_path(&self, source: &SourceName) -> PathBuf {
        self.file(&format!("{source}.lock"))
    }

    /// Locks the state directory while its missing files are made. Waits for any other process that does the
    /// same: that takes no time.
    pub fn lock_for_init(&self, interrupt: &Interrupt) -> Result<Lock, Error> {
        let path = self.path();
        let failed = |error| Error::file("lock", path, error);
        let directory = File::open(path).map_err(failed)?;
        while try_lock(&directory).map_err(failed)? == LockAttempt::Taken {
            interrupt.pause(STEP)?;
        }
        Ok(Lock { file: directory })
    }
}

/// Takes a lock. Fails at once if another process has it.
fn try_path(path: &Path, source: &SourceName) -> Result<Lock, Error> {
    let file = open_lock(path)?;
    match try_lock(&file).map_err(|error| Error::file("lock", path, error))? {
        LockAttempt::Held => Ok(Lock { file }),
        LockAttempt::Taken => Err(Error::Busy(source.clone())),
    }
}

/// Takes a lock. If another process has it, says so and waits for it.
fn wait_for(
    path: &Path,
    at_most: Duration,
    source: &SourceName,
    context: &RunContext<'_>,
) -> Result<Lock, Error> {
    let failed = |error| Error::file("lock", path, error);
    let file = open_lock(path)?;
    if try_lock(&file).map_err(failed)? == LockAttempt::Held {
        return Ok(Lock { file });
    }
    context.observer.event(Event::Busy {
        source: source.clone(),
        at_most,
    });
    let begun = Instant::now();
    while let Some(left) = at_most.checked_sub(begun.elapsed()) {
        context.interrupt.pause(left.min(STEP))?;
        if try_lock(&file).map_err(failed)? == LockAttempt::Held {
            return Ok(Lock { file });
        }
    }
    Err(Error::StillBusy {
        source_name: source.clone(),
        waited: at_most,
    })
}

fn open_lock(path: &Path) -> Result<File, Error> {
    OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(path)
        .map_err(|error| Error::file("open the lock", path, error))
}

/// The result of a try to get a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LockAttempt {
    Held,
    Taken,
}

fn try_lock(file: &File) -> std::io::Result<LockAttempt> {
    match flock(file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(LockAttempt::Held),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(LockAttempt::Taken),
        Err(errno) => Err(errno.into()),
    }
}
