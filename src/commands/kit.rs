//! How `init` begins a recovery kit. It only adds to one that is there: a source that is configured
//! later comes at its end.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;

use crate::engine::write_new;
use crate::error::Error;

/// Begins a kit with a new identity, and returns its recipient.
pub(super) fn begin(path: &Path) -> Result<String, Error> {
    let (secret, recipient) = crate::seal::generate_identity();
    let text = format!(
        "\
# coldchain recovery kit
#
# Whoever has this file can read every archive that was made for the recipient
# below, and can change who may sign. Print it, keep it away from this machine,
# and delete it here.
#
# identity of {recipient}
{secret}
"
    );
    write_new(path, &text)?;
    Ok(recipient)
}

/// Begins a kit without an identity: the recipients in the config have theirs elsewhere.
pub(super) fn begin_without_identity(path: &Path) -> Result<(), Error> {
    let text = "\
# coldchain recovery kit
#
# The identities that open the archives are not in this file: the config names
# recipients whose secret keys you keep elsewhere. Put one here if you like:
# this is an age identity file. Whoever has the root signing key below can
# change who may sign. Keep it away from this machine.
";
    write_new(path, text)
}

/// Adds lines to a kit.
pub(super) fn append(path: &Path, text: &str) -> Result<(), Error> {
    OpenOptions::new()
        .append(true)
        .open(path)
        .and_then(|mut kit| kit.write_all(text.as_bytes()).and_then(|()| kit.sync_all()))
        .map_err(|source| Error::file("add to the recovery kit", path, source))
}
