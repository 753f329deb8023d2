//! What is still done after a signal or a panic, before the process ends: the hooks of the source that was being worked on.
//!
//! A run that a signal stops ends by itself, or is ended by force. Only one of the two may run its hooks.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::error::Error;
use crate::process;

/// What is done if a run is ended by force, or panics. The error says which.
pub type LastWork = Box<dyn FnOnce(&Error) + Send>;

static ENDING: Mutex<Ending> = Mutex::new(Ending {
    by: EndedBy::Undecided,
    work: None,
});

struct Ending {
    by: EndedBy,
    work: Option<LastWork>,
}

/// Who ends the run.
#[derive(Clone, Copy, PartialEq, Eq)]
enum EndedBy {
    Undecided,
    /// The run itself, whose hooks may take their time.
    Run,
    Force,
}

fn ending() -> MutexGuard<'static, Ending> {
    ENDING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Says what is to be done if the run that begins now has to be ended by force, or panics.
pub fn in_case_of_force(work: LastWork) {
    ending().work = Some(work);
}

/// Ends that. If the run is just being ended by force, this does not return, because the process ends.
pub fn run_is_over() {
    let mut ending = ending();
    ending.work = None;
    drop(unless_forced(ending));
}

/// Does not return while the run is being ended by force, because the process ends.
fn unless_forced(mut ending: MutexGuard<'static, Ending>) -> MutexGuard<'static, Ending> {
    while ending.by == EndedBy::Force {
        drop(ending);
        std::thread::park();
        ending = self::ending();
    }
    ending
}

/// Does what the run has left to do that has panicked. If it is just being ended by force, this does not return.
pub fn end_after_panic(error: &Error) {
    let work = unless_forced(ending()).work.take();
    if let Some(work) = work {
        work(error);
    }
}

/// Lets programs be started again if `is_stopping`, for a run that has ended by itself.
pub(super) fn let_hooks_run(is_stopping: impl FnOnce() -> bool) {
    let mut ending = ending();
    if is_stopping() && ending.by != EndedBy::Force {
        ending.by = EndedBy::Run;
        process::admit_children();
    }
}

/// Raises a flag, and ends all programs.
pub(super) fn stop(raise: impl FnOnce()) {
    // Both at once: `let_hooks_run` admits programs if it finds the flag raised.
    let _ending = ending();
    // The flag comes first: code that notices a killed program must find it raised.
    raise();
    process::end_children();
}

/// Whether the run has ended by itself. If not, it is ended by force from now on.
pub(super) fn ends_by_itself() -> bool {
    let mut ending = ending();
    if ending.by == EndedBy::Undecided {
        ending.by = EndedBy::Force;
    }
    ending.by == EndedBy::Run
}

/// Ends the run by force, and its programs.
pub(super) fn force() {
    ending().by = EndedBy::Force;
    process::end_children();
}

/// What is to be done before the process ends by force. Programs may be started for it.
pub(super) fn last_work() -> Option<LastWork> {
    let work = ending().work.take()?;
    process::admit_children();
    Some(work)
}
