//! Opening the identity file that was given, which a passphrase may lock.

use std::path::Path;

use super::prompt::passphrase;
use crate::engine;
use crate::error::Error;
use crate::interrupt::Interrupt;
use crate::seal::{Identities, IdentityFile};

/// The file, decrypted if it has a passphrase: that is asked for once, whatever is then read from it.
pub(super) fn open_identity_file(path: &Path) -> Result<IdentityFile, Error> {
    answered(engine::open_identity_file(path, &passphrase))
}

/// The secret keys in it. An ssh key may have a passphrase of its own.
pub(super) fn identities_in(file: &IdentityFile) -> Result<Identities, Error> {
    answered(file.identities(&passphrase).map_err(Error::from))
}

/// Both, where nothing else of the file is wanted.
pub(super) fn ask_for_identities(path: &Path) -> Result<Identities, Error> {
    identities_in(&open_identity_file(path)?)
}

/// What was not answered was not refused.
fn answered<T>(asked: Result<T, Error>) -> Result<T, Error> {
    asked.map_err(|error| {
        let interrupted = Interrupt::of_this_process().check().err();
        interrupted.unwrap_or(error)
    })
}
