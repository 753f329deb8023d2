//! The programs at work, so that a signal can end all of them.
//!
//! Each runs in a session of its own, where the terminal's Ctrl-C does not reach it.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

static CHILDREN: Mutex<Children> = Mutex::new(Children {
    admission: Admission::Open,
    groups: Vec::new(),
});

/// How often it is looked whether the last has gone.
const STEP: Duration = Duration::from_millis(10);

struct Children {
    admission: Admission,
    /// Their process groups, whose leaders are not reaped yet: the ids are nobody else's.
    groups: Vec<Pid>,
}

/// Whether programs may be started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Admission {
    Open,
    Closed,
}

/// Starts a program and enters it. After [`end_children`] it starts none, and returns `None`.
pub(crate) fn enter<T, E>(
    start: impl FnOnce() -> Result<T, E>,
    id: impl FnOnce(&T) -> Option<Pid>,
) -> Option<Result<T, E>> {
    // Held while it starts: there is no moment at which it runs and can't be ended.
    let mut children = children();
    if children.admission == Admission::Closed {
        return None;
    }
    let started = start();
    if let Some(group) = started.as_ref().ok().and_then(id) {
        children.groups.push(group);
    }
    Some(started)
}

/// Waits for a program's end and strikes it out. Only after this may it be reaped: then its id may
/// become another's.
pub(crate) fn leave(group: Pid) {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
    // An error means that it is no child any more, and there is nothing to wait for.
    let _ = rustix::io::retry_on_intr(|| waitid(WaitId::Pid(group), options));
    children().groups.retain(|entered| *entered != group);
}

/// Whether a program has ended; it stays to be reaped.
pub(crate) fn has_ended(group: Pid) -> bool {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
    !matches!(waitid(WaitId::Pid(group), options), Ok(None))
}

/// Ends every program that this process has started, with whatever they started in turn, and starts
/// none from now on.
pub fn end_children() {
    let mut children = children();
    children.admission = Admission::Closed;
    for group in &children.groups {
        let _ = kill_process_group(*group, Signal::KILL);
    }
}

/// Waits until those that were ended are gone, but no longer than that: a process inside the kernel
/// ends when the kernel lets go of it.
pub fn await_end_of_children(at_most: Duration) {
    let begun = Instant::now();
    while begun.elapsed() < at_most {
        // Whoever started them may be reaping them at the same time.
        if children().groups.iter().all(|group| has_ended(*group)) {
            return;
        }
        std::thread::sleep(STEP);
    }
}

fn children() -> MutexGuard<'static, Children> {
    CHILDREN.lock().unwrap_or_else(PoisonError::into_inner)
}
