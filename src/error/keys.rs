//! Why a key or a recovery kit can't be used or changed.

use std::path::PathBuf;

use super::{Advice, ExitCode, count, exit};
use crate::kit::KitFault;
use crate::model::{SourceName, shell};
use crate::seal::SealError;

/// Why a key or a recovery kit can't be used or changed.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The state directory lacks a key file.
    #[error("{} has no {file}", state_dir.display())]
    NoKeys {
        /// The state directory.
        state_dir: PathBuf,
        /// The missing file.
        file: &'static str,
    },
    /// The grant in the state directory is not for this machine's signing key.
    #[error("{} does not grant this machine's key the writer role", .0.display())]
    OtherGrant(PathBuf),
    /// A key was to be added to a ledger without entries.
    #[error("cannot add a key to the ledger of `{0}`: it has no entry yet")]
    NotOpened(SourceName),
    /// The root key was to be added or removed.
    #[error("cannot add or remove {0}: it is the root key")]
    RootKey(String),
    /// A key was to be removed that no ledger has ever had.
    #[error("no ledger here has ever had the key {0}")]
    NeverKey(String),
    /// An entry was to be voided, but its key may still sign.
    #[error("cannot void entry {seq}: its key {key} may still sign this ledger")]
    VoidsKept {
        /// The entry.
        seq: u64,
        /// The key.
        key: String,
    },
    /// An entry of this kind can't be voided.
    #[error("cannot void entry {seq}: it is of the kind `{kind}`")]
    NotVoidable {
        /// The entry.
        seq: u64,
        /// Its kind.
        kind: String,
    },
    /// The file is not a valid recovery kit.
    #[error("could not understand the recovery kit {}", path.display())]
    Kit {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: KitFault,
    },
    /// The kit to be written names an entry that the catalog does not have.
    #[error("{} names an entry {seq} of `{source_name}` that the catalog does not have", path.display())]
    KitKnowsMore {
        /// The kit.
        path: PathBuf,
        /// The source.
        source_name: SourceName,
        /// The entry's number.
        seq: u64,
    },
    /// The kit given to a restore names an entry that the catalog does not have.
    #[error("the catalog may be out of date: {} names an entry {seq} of `{source_name}` that the catalog does not have", path.display())]
    CatalogBehindKit {
        /// The kit.
        path: PathBuf,
        /// The source.
        source_name: SourceName,
        /// The entry's number.
        seq: u64,
    },
    /// The argument is not a public key.
    #[error("`{0}` is no public key")]
    NoPublicKey(String),
    /// The kit lacks the root key's secret, which is needed.
    #[error("{} holds no root secret", .0.display())]
    NoRootSecret(PathBuf),
    /// A second kit would be made beside the one that has the identity.
    #[error("{} would be a second recovery kit: the identity of this config's recipient is in {}", path.display(), first.display())]
    SecondKit {
        /// The kit that would be made.
        path: PathBuf,
        /// The kit that the first run made.
        first: PathBuf,
    },
    /// The kit belongs to another root key than the trusted one.
    #[error("{} belongs to the root key {found}, but this machine trusts {trusted}", path.display())]
    OtherRoot {
        /// The kit.
        path: PathBuf,
        /// Its root key.
        found: String,
        /// The one in the state directory.
        trusted: String,
    },
    /// The identity does not open some archives' keys.
    #[error("{identity} does not open {unopened} of {}", count(*.of, "archive"))]
    Unopened {
        /// The identity file.
        identity: String,
        /// How many.
        unopened: usize,
        /// Of how many.
        of: usize,
    },
    /// Some archives' keys could not be sealed to the new recipient, because the identity does not open them.
    #[error("{identity} does not open {unopened} of {}, so the recipient was not added to them", count(*.of, "archive"))]
    NotAttached {
        /// The identity file.
        identity: String,
        /// How many.
        unopened: usize,
        /// Of how many.
        of: usize,
    },
    /// The argument is not a recipient.
    #[error(transparent)]
    TypedRecipient(SealError),
    /// Other users can read a file that must be private.
    #[error("{} can be read by others (mode {mode:o})", path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
}

impl KeyError {
    pub(super) fn advice(&self) -> Advice {
        match self {
            Self::NoKeys { file, .. } => exit(ExitCode::Usage).hint(no_keys(file)),
            Self::OtherGrant(_) => exit(ExitCode::Integrity).hint(
                "run `coldchain key rotate --kit FILE --new-signing-key` to make a new key and \
                 its grant; nothing was stored",
            ),
            Self::NotOpened(_) => exit(ExitCode::Usage).hint(
                "archive the source once, which begins its ledger, then run this command again",
            ),
            Self::RootKey(_) => exit(ExitCode::Usage),
            Self::NeverKey(_) => exit(ExitCode::Usage)
                .hint("run `coldchain key show` to see which key has which role"),
            Self::VoidsKept { .. } => exit(ExitCode::Usage).hint(
                "nothing was written; withdraw the key in the same command, with --remove or \
                 --new-signing-key",
            ),
            Self::NotVoidable { .. } => exit(ExitCode::Usage).hint(
                "add --undelete to bring back what a withdrawn key has retired or begun to \
                 delete; nothing was written",
            ),
            Self::Kit { source, .. } => exit(ExitCode::Usage).hint(match source {
                KitFault::NoText => {
                    "decrypt it first, or run `coldchain key kit` without --kit to print a \
                     supplement to keep with it; nothing was changed"
                }
                KitFault::NoRoot => {
                    "nothing was changed; give the recovery kit that `coldchain init` has \
                     written"
                }
                _ => "correct the kit, or use an older copy of it; nothing was changed",
            }),
            Self::KitKnowsMore { .. } => exit(ExitCode::Integrity).hint(
                "run `coldchain catalog rebuild --identity KIT` to compare the store with the \
                 kit; the kit was not changed",
            ),
            Self::CatalogBehindKit { .. } => exit(ExitCode::Integrity).hint(
                "run `coldchain catalog rebuild --identity KIT` to read the ledger again; or \
                 name an archive that the catalog has, with --date",
            ),
            Self::NoPublicKey(_) => exit(ExitCode::Usage).hint(
                "give a key that begins with RW: `coldchain key show` prints a machine's key",
            ),
            Self::NoRootSecret(_) => exit(ExitCode::Usage)
                .hint("give the recovery kit that `coldchain init` has written"),
            Self::SecondKit { first, .. } => exit(ExitCode::Usage).hint(format!(
                "run `coldchain init --kit {}`; nothing was made",
                shell::path(first)
            )),
            Self::OtherRoot { .. } => exit(ExitCode::Usage)
                .hint("nothing was done; give the kit of this machine's ledgers"),
            Self::Unopened { .. } => exit(ExitCode::Failed).hint(
                "run `coldchain key add-recipient` with an identity that opens them, to seal \
                 their keys to the recipient of this identity too",
            ),
            Self::NotAttached { .. } => exit(ExitCode::Failed).hint(
                "give the identity of a recipient that they were sealed to; `coldchain key \
                 check` shows what an identity opens",
            ),
            Self::TypedRecipient(_) => exit(ExitCode::Usage).hint(
                "give the public half of an identity, age1… or an ssh public key; `age-keygen -y \
                 FILE` prints it",
            ),
            Self::Exposed { .. } => exit(ExitCode::Usage)
                .hint("run `chmod 600` on it; if others had access, its key is no secret any more"),
        }
    }
}

/// Returns how to get a missing key file. It depends on the file: the keys that `init` makes have no role in
/// existing ledgers.
fn no_keys(file: &str) -> &'static str {
    match file {
        "signing.key" => {
            "run `coldchain init` on a machine that begins to archive, `coldchain key new` on one that only prunes, or `coldchain key rotate --kit FILE --new-signing-key` on one that continues the archives of another machine"
        }
        "root.pub" => {
            "run `coldchain catalog rebuild` with --identity KIT or --trust RW… for existing ledgers, or `coldchain init` for new ones"
        }
        _ => {
            "run `coldchain key rotate --kit FILE --add KEY --role writer` to write this file, \
             which a new source needs; KEY is this machine's key, as `coldchain key show` prints \
             it. If there is no ledger yet, run `coldchain init`"
        }
    }
}
