//! Why a key or a recovery kit can't be used or changed.

use std::path::PathBuf;

use super::{Advice, ExitCode, count, exit};
use crate::kit::KitFault;
use crate::model::SourceName;
use crate::seal::SealError;

/// Why a key or a recovery kit can't be used or changed.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The keys of the state directory are missing.
    #[error("{} has no {file}", state_dir.display())]
    NoKeys {
        /// The state directory.
        state_dir: PathBuf,
        /// The missing file.
        file: &'static str,
    },
    /// What opens ledgers is not for the key that would have to sign them.
    #[error("{} is not the root key's word for this machine's key as a writer", .0.display())]
    OtherGrant(PathBuf),
    /// A key was to change in a ledger that has no keys yet.
    #[error("the ledger of `{0}` is not opened yet, so there is nothing to add a key to")]
    NotOpened(SourceName),
    /// The root key is what it is.
    #[error("{0} is the root key, which is neither added nor removed")]
    RootKey(String),
    /// A key was to be removed that was never there.
    #[error("no ledger here has ever had the key {0}")]
    NeverKey(String),
    /// An entry was to be voided whose key may go on signing.
    #[error("entry {seq} is signed by {key}, which may sign this ledger")]
    VoidsKept {
        /// The entry.
        seq: u64,
        /// The key.
        key: String,
    },
    /// An entry was to be voided that can't be.
    #[error("entry {seq} is of the kind `{kind}`, which is not voided")]
    NotVoidable {
        /// The entry.
        seq: u64,
        /// Its kind.
        kind: String,
    },
    /// The file is no kit that can be relied on.
    #[error("could not understand the recovery kit {}", path.display())]
    Kit {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: KitFault,
    },
    /// A kit is a witness of an entry that the catalog lacks, or has otherwise.
    #[error("{} knows an entry {seq} of `{source_name}` that the catalog here does not have", path.display())]
    KitKnowsMore {
        /// The kit.
        path: PathBuf,
        /// The source.
        source_name: SourceName,
        /// The entry's number.
        seq: u64,
    },
    /// A kit is a witness that there are newer entries, or others, than the catalog knows.
    #[error("{} knows entry {seq} of `{source_name}` as the catalog here does not: what is the newest here may not be", path.display())]
    CatalogBehindKit {
        /// The kit.
        path: PathBuf,
        /// The source.
        source_name: SourceName,
        /// The entry's number.
        seq: u64,
    },
    /// What was typed is no key.
    #[error("`{0}` is no public key")]
    NoPublicKey(String),
    /// The root key's secret is needed, and is not there.
    #[error("{} holds no root secret", .0.display())]
    NoRootSecret(PathBuf),
    /// A kit belongs to other ledgers.
    #[error("{} is of the root key {found}, and {trusted} is trusted here", path.display())]
    OtherRoot {
        /// The kit.
        path: PathBuf,
        /// Its root key.
        found: String,
        /// The one in the state directory.
        trusted: String,
    },
    /// Archives whose keys an identity does not open.
    #[error("{identity} does not open {unopened} of {}", count(*.of, "archive"))]
    Unopened {
        /// The identity file.
        identity: String,
        /// How many.
        unopened: usize,
        /// Of how many.
        of: usize,
    },
    /// Archives whose keys could not be sealed to a further recipient.
    #[error("{identity} does not open {unopened} of {}, so the recipient was not added to them", count(*.of, "archive"))]
    NotAttached {
        /// The identity file.
        identity: String,
        /// How many.
        unopened: usize,
        /// Of how many.
        of: usize,
    },
    /// What was typed is no recipient.
    #[error(transparent)]
    TypedRecipient(SealError),
    /// A file that must be private isn't.
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
            Self::OtherGrant(_) => exit(ExitCode::Integrity).hint("nothing was stored; `coldchain key rotate --kit FILE --new-signing-key` makes a key and what belongs to it"),
            Self::NotOpened(_) => exit(ExitCode::Usage).hint("archive it once, which opens it, and run this again"),
            Self::RootKey(_) => exit(ExitCode::Usage),
            Self::NeverKey(_) => exit(ExitCode::Usage).hint("`coldchain key show` tells who has which role"),
            Self::VoidsKept { .. } => exit(ExitCode::Usage).hint("nothing was written; withdraw the key in the same command, with --remove or --new-signing-key"),
            Self::NotVoidable { .. } => exit(ExitCode::Usage).hint("nothing was written; what a pruner's key has retired or begun to delete comes back with --undelete"),
            Self::Kit { source, .. } => exit(ExitCode::Usage).hint(match source {
                KitFault::NoText => "nothing was changed; decrypt it first, or let `coldchain key kit` without --kit print what is to be kept beside it",
                KitFault::NoRoot => "nothing was changed; give the recovery kit that `coldchain init` has written",
                _ => "nothing was changed; put it right, or take an older copy of it",
            }),
            Self::KitKnowsMore { .. } => exit(ExitCode::Integrity).hint("the kit was not changed; `coldchain catalog rebuild --identity KIT` holds the store against it"),
            Self::CatalogBehindKit { .. } => exit(ExitCode::Integrity).hint("`coldchain catalog rebuild --identity KIT` reads the ledger and says what it lacks; what the catalog has is restored by its date, with --date"),
            Self::NoPublicKey(_) => exit(ExitCode::Usage).hint("`coldchain key show` prints a machine's, RW…"),
            Self::NoRootSecret(_) => exit(ExitCode::Usage).hint("give the recovery kit that `coldchain init` has written"),
            Self::OtherRoot { .. } => exit(ExitCode::Usage).hint("nothing was done; give the kit of this machine's ledgers"),
            Self::Unopened { .. } => exit(ExitCode::Failed).hint("`coldchain key add-recipient` seals their keys to another recipient, with an identity that opens them"),
            Self::NotAttached { .. } => exit(ExitCode::Failed).hint("give the identity of a recipient that they were sealed to: `coldchain key check` tells what one opens"),
            Self::TypedRecipient(_) => exit(ExitCode::Usage).hint("it is the public half of an identity, age1… or an ssh public key: `age-keygen -y FILE` prints it"),
            Self::Exposed { .. } => exit(ExitCode::Usage).hint("run `chmod 600` on it; if others had access, its key is no secret any more"),
        }
    }
}

/// Who needs the file decides where it comes from: keys that `init` makes are nobody's in ledgers that there
/// are already.
fn no_keys(file: &str) -> &'static str {
    match file {
        "signing.key" => {
            "`coldchain init` makes the keys of a machine that begins to archive; one that only prunes gets its own by `coldchain key new`, and one that goes on with the archives of another by `coldchain key rotate --kit FILE --new-signing-key`"
        }
        "root.pub" => {
            "`coldchain catalog rebuild` with --identity KIT or --trust RW… writes it for ledgers that there are already; `coldchain init` makes it for new ones"
        }
        _ => {
            "it opens the ledger of a new source: `coldchain key rotate --kit FILE --add KEY --role writer` writes it, with this machine's key (`coldchain key show`); without any ledger yet, `coldchain init` does"
        }
    }
}
