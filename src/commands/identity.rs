//! Opens an identity file, which may need a passphrase.

use std::path::Path;

use super::prompt::passphrase;
use crate::engine;
use crate::error::Error;
use crate::interrupt::Interrupt;
use crate::seal::{Identities, IdentityFile};

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
