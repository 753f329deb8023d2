//! The codes that a command exits with. Scripts rely on them; the table in docs/commands.md is this file's.

use crate::model::Signal;

/// How a command ends. An unknown code is a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitCode {
    /// Failed: the store is unreachable, the sender failed, an identity opens nothing.
    Failed = 1,
    /// Anything typed or configured: config, date, source, path, recipient, target.
    Usage = 2,
    /// Another run holds the lock.
    Busy = 3,
    /// Archived, but a later step or a hook failed; or what is stray may not be deleted; or extracted, but not all could be
    /// kept.
    Later = 4,
    /// Segments are thawing: run again.
    Thawing = 5,
    /// Damage, rollback, fork, a foreign or newer ledger.
    Integrity = 6,
    /// A link of the chain is missing.
    ChainBroken = 7,
    /// A program or a privilege is missing or too old.
    Missing = 8,
    /// Archives that were due are missing.
    Overdue = 9,
    /// Several sources or stores, some of them failed.
    SomeSources = 10,
    /// A fault of coldchain: it panicked. Rust's own code for that.
    Panicked = 101,
    /// Stopped by SIGINT; what was done is kept.
    Interrupted = 130,
    /// Stopped by SIGTERM; what was done is kept.
    Terminated = 143,
}

impl From<Signal> for ExitCode {
    fn from(signal: Signal) -> Self {
        match signal {
            Signal::Interrupt => Self::Interrupted,
            Signal::Terminate => Self::Terminated,
        }
    }
}
