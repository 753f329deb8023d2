//! The edge to other programs: their sessions, what they write to stderr, how they end, and what keeps the machine
//! awake for them.

mod children;
mod error;
mod find;
mod running;
mod session;
mod sleep_inhibitor;
mod ssh;
mod timed;
mod timers;

pub(crate) use children::{admit_children, enter};
pub use children::{await_end_of_children, end_children};
pub use error::ProcessError;
pub(crate) use find::{find_program, is_program};
pub(crate) use running::{Program, Running, run};
pub(crate) use session::in_own_session;
pub(crate) use sleep_inhibitor::SleepInhibitor;
pub(crate) use ssh::ssh_words;
pub(crate) use timed::run_for;
pub use timers::{SystemdTimer, cron_entries, systemd_timers};
