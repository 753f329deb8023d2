//! Opens an identity file, which may need a passphrase.

use std::path::Path;

use super::prompt::passphrase;
use crate::engine;
use crate::error::Error;
use crate::interrupt::Interrupt;
use crate::seal::{Identities, IdentityFile};

/// Who answers when a passphrase is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Passphrases {
    /// The user, on the terminal.
    Asked,
    /// No one: a file that needs one can't be opened.
    NeverAsked,
}

impl Passphrases {
    /// Opens an identity file.
    pub(super) fn open(self, path: &Path) -> Result<IdentityFile, Error> {
        match self {
            Self::Asked => open_identity_file(path),
            Self::NeverAsked => engine::open_identity_file(path, &|_| None),
        }
    }

    /// Returns the secret keys in an identity file.
    pub(super) fn identities_in(self, file: &IdentityFile) -> Result<Identities, Error> {
        match self {
            Self::Asked => identities_in(file),
            Self::NeverAsked => Ok(file.identities(&|_| None)?),
        }
    }
}

/// Opens the file, and decrypts it if it has a passphrase. The passphrase is asked for once, for all that is
/// read from the file.
pub(super) fn open_identity_file(path: &Path) -> Result<IdentityFile, Error> {
    answered(engine::open_identity_file(path, &passphrase))
}

/// Returns the secret keys in it. An ssh key may have its own passphrase.
pub(super) fn identities_in(file: &IdentityFile) -> Result<Identities, Error> {
    answered(file.identities(&passphrase).map_err(Error::from))
}

/// Opens the file and returns its secret keys.
pub(super) fn ask_for_identities(path: &Path) -> Result<Identities, Error> {
    identities_in(&open_identity_file(path)?)
}

/// Turns an error after a signal into the interrupt: a missing answer is not a wrong passphrase.
fn answered<T>(asked: Result<T, Error>) -> Result<T, Error> {
    asked.map_err(|error| {
        let interrupted = Interrupt::of_this_process().check().err();
        interrupted.unwrap_or(error)
    })
}
