//! The running programs, so that a signal can end all of them.
//!
//! Each runs in a session of its own, where the terminal's Ctrl-C does not reach it.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

static CHILDREN: Mutex<Children> = Mutex::new(Children {
    admission: MayStart::Open,
    groups: Vec::new(),
});

/// The pause between two looks at whether the last program has ended.
pub(super) const STEP: Duration = Duration::from_millis(10);

struct Children {
    admission: MayStart,
    /// Their process groups. The leaders are not reaped yet, so no other process has these ids.
    groups: Vec<Pid>,
}

/// Whether programs may be started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum MayStart {
    Open,
    Closed,
}

/// Starts a program and records it. After [`end_children`] it starts none, and returns `None`, unless
/// [`admit_children`] was called.
pub(crate) fn enter<T, E>(
    start: impl FnOnce() -> Result<T, E>,
    id: impl FnOnce(&T) -> Option<Pid>,
) -> Option<Result<T, E>> {
    // The lock is held while the program starts, so that it can be ended from the first moment on.
    let mut children = children();
    if children.admission == MayStart::Closed {
        return None;
    }
    let started = start();
    if let Some(group) = started.as_ref().ok().and_then(id) {
        children.groups.push(group);
    }
    Some(started)
}

/// Waits for a program's end and removes it from the record. It may be reaped only after this: then another
/// process may get its id.
pub(crate) fn leave(group: Pid) {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
    // An error means that it is no child any more, so there is nothing to wait for.
    let _ = rustix::io::retry_on_intr(|| waitid(WaitId::Pid(group), options));
    children().groups.retain(|entered| *entered != group);
}

/// Whether a program has ended. It is not reaped by this.
pub(crate) fn has_ended(group: Pid) -> bool {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
    !matches!(waitid(WaitId::Pid(group), options), Ok(None))
}

/// Waits for a program's end, but no longer than until then, and returns whether it has ended.
pub(super) fn await_end(group: Option<Pid>, until: Instant) -> bool {
    let Some(group) = group else {
        return true;
    };
    while !has_ended(group) {
        if Instant::now() >= until {
            return false;
        }
        std::thread::sleep(STEP);
    }
    true
}

/// Kills every program that this process has started, with all that they started, and starts none from now
/// on.
pub fn end_children() {
    let mut children = children();
    children.admission = MayStart::Closed;
    for group in &children.groups {
        let _ = kill_process_group(*group, Signal::KILL);
    }
}

/// Lets programs be started again after [`end_children`].
pub(crate) fn admit_children() {
    children().admission = MayStart::Open;
}

/// Waits until the killed programs have ended, but no longer than `at_most`: a process inside the kernel only
/// ends when it leaves the kernel.
pub fn await_end_of_children(at_most: Duration) {
    let begun = Instant::now();
    while begun.elapsed() < at_most {
        // The threads that started them may reap them at the same time.
        if children().groups.iter().all(|group| has_ended(*group)) {
            return;
        }
        std::thread::sleep(STEP);
    }
}

fn children() -> MutexGuard<'static, Children> {
    CHILDREN.lock().unwrap_or_else(PoisonError::into_inner)
}
