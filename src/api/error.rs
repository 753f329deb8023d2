//! Why a call failed.

use std::error::Error as StdError;
use std::fmt;

use crate::error::{Error, in_words};

/// Why a call failed: a message, a hint what to do, and the code that the command would exit with.
#[derive(Debug)]
pub struct ApiError(pub(super) Box<Error>);

impl ApiError {
    /// Returns what was being done, to what, and why it failed, with all causes on one line. It may have characters
    /// that a terminal obeys, because parts of it come from stores and file names.
    pub fn message(&self) -> String {
        in_words(&*self.0)
    }

    /// Returns what to do about it, if anything is known. The commands that it names are those of `coldchain`.
    pub fn hint(&self) -> Option<String> {
        self.0.hint()
    }

    /// Returns the code that the same command would exit with: docs/commands.md has the table.
    pub fn exit_code(&self) -> u8 {
        self.0.exit_code() as u8
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl StdError for ApiError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source()
    }
}

#[doc(hidden)]
impl<E: Into<Error>> From<E> for ApiError {
    fn from(error: E) -> Self {
        Self(Box::new(error.into()))
    }
}
