//! Why a message can't be decrypted or decompressed.

use std::io;
use std::path::PathBuf;

use super::status::GpgFailure;
use crate::process::ProcessError;

/// Why gpg gave nothing that can be used.
#[derive(Debug, thiserror::Error)]
pub enum GpgError {
    /// There is no such program.
    #[error("cannot find the program `gpg` in {path}")]
    NoProgram {
        /// Where it was looked for.
        path: String,
    },
    /// The directory of its keys can't be used.
    #[error("cannot use {} as the directory of gpg's keys", path.display())]
    NoHome {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It has no secret key at all.
    #[error("gpg has no secret key in {home}, so it can decrypt nothing")]
    NoKeys {
        /// Where it keeps its keys.
        home: String,
    },
    /// It could not be run to its end.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// What it was given could not be read, or what it says of itself.
    #[error("could not pass the archive through gpg")]
    Pipe(#[source] io::Error),
    /// It did not decrypt the message, or not all of it.
    #[error("gpg did not decrypt the archive: {failure}{}", words(said))]
    Failed {
        /// What its status says.
        failure: GpgFailure,
        /// The last of what it wrote to stderr, with control characters escaped.
        said: String,
    },
}

fn words(said: &str) -> String {
    if said.is_empty() {
        String::new()
    } else {
        format!(" (gpg says: {said})")
    }
}

impl GpgError {
    /// Whether the program is missing.
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::NoProgram { .. })
    }

    /// Whether something here has to be set right, and the message may be sound.
    pub fn is_of_this_machine(&self) -> bool {
        match self {
            Self::NoProgram { .. }
            | Self::NoHome { .. }
            | Self::NoKeys { .. }
            | Self::Process(_)
            | Self::Pipe(_) => true,
            Self::Failed { failure, .. } => failure.is_of_this_machine(),
        }
    }

    /// Whether an option or a key of the user is the cause.
    pub fn is_wrong_input(&self) -> bool {
        match self {
            Self::NoHome { .. } | Self::NoKeys { .. } => true,
            Self::NoProgram { .. } | Self::Process(_) | Self::Pipe(_) => false,
            Self::Failed { failure, .. } => failure.is_of_this_machine(),
        }
    }

    /// Returns what to do next.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NoProgram { .. } => Some("install GnuPG: on Debian it is in the package gnupg"),
            Self::NoHome { .. } | Self::NoKeys { .. } => Some(
                "give the directory of the keyring that has btrsend's secret key with --gpg-homedir, such as /home/ann/.gnupg; \
                 or import the key with `gpg --import`",
            ),
            Self::Process(_) | Self::Pipe(_) => None,
            Self::Failed { failure, .. } => failure.hint(),
        }
    }
}

/// Why a text is not what `gzip` wrote.
#[derive(Debug, thiserror::Error)]
pub enum GzipError {
    /// There is nothing.
    #[error("the decrypted archive is empty: btrsend stored what a failed `gzip` left")]
    Empty,
    /// It does not begin as gzip's output does.
    #[error("the decrypted archive is not what `gzip` writes")]
    NoGzip,
    /// It ends too early.
    #[error("the gzip data end too early, after {bytes} bytes of the stream")]
    CutOff {
        /// How many bytes of the stream came before.
        bytes: u64,
    },
    /// A checksum or the coding is wrong.
    #[error("the gzip data are damaged after {bytes} bytes of the stream: {what}")]
    Damaged {
        /// How many bytes of the stream came before.
        bytes: u64,
        /// What is wrong.
        what: String,
    },
    /// Something that is no gzip data and no zeros follows.
    #[error("something follows the gzip data that `gzip` did not write")]
    Trailing,
    /// It could not be read.
    #[error("could not read what gpg prints")]
    Read(#[source] io::Error),
}
