//! The edge to other programs: their sessions, what they write to stderr, how they end, and what keeps the machine
//! awake for them.

mod children;
mod error;
mod running;
mod session;
mod sleep_inhibitor;
mod ssh;
mod timed;

pub(crate) use children::{admit_children, enter};
pub use children::{await_end_of_children, end_children};
pub use error::ProcessError;
pub(crate) use running::{Program, Running, run};
pub(crate) use session::in_own_session;
pub(crate) use sleep_inhibitor::SleepInhibitor;
pub(crate) use ssh::ssh_words;
pub(crate) use timed::run_for;
