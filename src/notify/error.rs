//! Why a message could not be sent.

use std::io;

/// Why a message could not be sent. The text names the host of a URL, and nothing after it.
#[derive(Debug, thiserror::Error)]
pub enum NotifyError {
    /// The server can't be reached.
    #[error("cannot reach {to}: {why}")]
    Unreachable {
        /// The server.
        to: String,
        /// Why.
        why: String,
    },
    /// The server did not answer in time.
    #[error("{to} did not answer within {seconds} s")]
    TooSlow {
        /// The server.
        to: String,
        /// The time that it had.
        seconds: u64,
    },
    /// The server refused the message.
    #[error("{to} answered with status {status}")]
    Refused {
        /// The server.
        to: String,
        /// The HTTP status.
        status: u16,
    },
    /// The URL can't be asked.
    #[error("the URL of {to} is not valid")]
    Url {
        /// The server.
        to: String,
    },
    /// The mail program can't be run.
    #[error("cannot run {program}")]
    Program {
        /// The program.
        program: String,
        /// Why.
        source: io::Error,
    },
    /// The mail program failed.
    #[error("{program} {how}")]
    Mail {
        /// The program.
        program: String,
        /// How it ended.
        how: String,
    },
}

impl NotifyError {
    /// Returns whether another attempt may go well.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::TooSlow { .. } | Self::Mail { .. } => true,
            // Too many requests, or the server has a fault.
            Self::Refused { status, .. } => *status == 429 || *status >= 500,
            Self::Url { .. } | Self::Program { .. } => false,
        }
    }
}
