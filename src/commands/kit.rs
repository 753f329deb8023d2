//! The recovery kit: one text file that brings everything back on an empty machine.
//!
//! It is an age identity file: every other line is a `#` comment, which age ignores. It only ever
//! grows: a source that is configured later is added at its end.

use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;

use crate::catalog::SourceRow;
use crate::engine::write_new;
use crate::error::Error;
use crate::ledger::SigningKey;

/// Begins a kit with a new identity, and returns its recipient.
pub(super) fn begin(path: &Path) -> Result<String, Error> {
    let (secret, recipient) = crate::seal::generate_identity();
    let text = format!(
        "\
# coldchain recovery kit
#
# Whoever has this file can read every archive that was made for the recipient below, and can
# change who may sign. Print it, keep it away from this machine, and delete it here.
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
# The identities that open the archives are not in this file: the config names recipients whose
# secret keys you keep elsewhere. Put one here if you like: this is an age identity file.
# Whoever has the root signing key below can change who may sign. Keep it away from this machine.
";
    write_new(path, text)
}

/// The part about the ledgers' signatures.
pub(super) fn root_section(root: &SigningKey) -> String {
    let mut text = format!(
        "\
#
# root public key: {}
# Ledger entries are signed by keys that this one vouches for. Its secret, in minisign's format:
#
",
        root.public()
    );
    for line in root.to_file_text().lines() {
        writeln!(text, "#   {line}").expect("writing to a string does not fail");
    }
    text
}

/// The part about one source: where it is, and how it comes back.
pub(super) fn source_section(source: &SourceRow, store: &str) -> String {
    format!(
        "\
#
# source {name}
#   store   {store}
#   prefix  {directory}/
#   ledger  {ledger}
#   restore with coldchain, on a machine with its config and state:
#     coldchain restore {name} --to DIRECTORY --identity THIS-FILE
#   restore without coldchain: {directory}/README-RESTORE.txt in the store says how.
",
        name = source.name,
        directory = source.directory,
        ledger = source.ledger,
    )
}

/// Adds lines to a kit.
pub(super) fn append(path: &Path, text: &str) -> Result<(), Error> {
    OpenOptions::new()
        .append(true)
        .open(path)
        .and_then(|mut kit| kit.write_all(text.as_bytes()).and_then(|()| kit.sync_all()))
        .map_err(|source| Error::file("add to the recovery kit", path, source))
}
