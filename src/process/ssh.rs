//! How this program logs in on other machines.

use std::ffi::OsString;
use std::path::Path;

/// Returns the words of an `ssh` that asks nothing, trusts only hosts that it knows, and notices a dead connection.
/// The host comes after them.
///
/// Nothing but the session goes through the connection, whatever ssh's own config allows: the other side is not
/// trusted with an agent.
pub(crate) fn ssh_words(
    port: Option<u16>,
    user: Option<&str>,
    identity_file: Option<&Path>,
) -> Vec<OsString> {
    let mut words: Vec<OsString> = ["-T", "-a", "-x"].map(Into::into).into();
    for option in [
        "BatchMode=yes",
        "StrictHostKeyChecking=yes",
        "ClearAllForwardings=yes",
        "ServerAliveInterval=15",
        "ServerAliveCountMax=8",
    ] {
        words.extend(["-o", option].map(Into::into));
    }
    if let Some(port) = port {
        words.extend(["-p".into(), port.to_string().into()]);
    }
    if let Some(user) = user {
        words.extend(["-l", user].map(Into::into));
    }
    if let Some(file) = identity_file {
        words.extend(["-i".into(), file.as_os_str().to_owned()]);
        words.extend(["-o", "IdentitiesOnly=yes"].map(Into::into));
    }
    words
}
