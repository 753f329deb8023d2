//! How the threads of a sealer learn that it was dropped, and why they stop.

use std::convert::Infallible;

use crossbeam_channel::{Receiver, TryRecvError};

use super::error::SealError;

/// A flag for the sealer's threads, which is raised when the sealer is dropped.
#[derive(Clone)]
pub(super) struct Abort(pub(super) Receiver<Infallible>);

impl Abort {
    pub(super) fn raised(&self) -> bool {
        self.0.try_recv() == Err(TryRecvError::Disconnected)
    }
}

/// The sealer was dropped while a thread waited for bytes.
pub(super) struct Aborted;

/// Why assembling stops before the end.
pub(super) enum Stop {
    /// The sealer or the receiver of its segments was dropped.
    Aborted,
    Failed(SealError),
}

impl From<SealError> for Stop {
    fn from(error: SealError) -> Self {
        Self::Failed(error)
    }
}
