//! Why a ledger or a store could not be read into the catalog.

use std::path::PathBuf;

use super::{Advice, ExitCode, count, exit};
use crate::ledger::LedgerError;
use crate::ledger::Refusal as EntryRefusal;
use crate::model::ArchiveId;
use crate::model::SourceName;

/// Why a ledger or a store could not be read into the catalog.
#[derive(Debug, thiserror::Error)]
pub enum RebuildError {
    /// A ledger that is read for the first time is not one of those that are trusted.
    #[error("the ledger of `{source_name}` in {store} is not one that is trusted")]
    LedgerUntrusted {
        /// The source, or its directory.
        source_name: SourceName,
        /// The store's URL.
        store: String,
        /// What it is.
        source: Box<EntryRefusal>,
    },
    /// What is left of a source whose ledger is gone.
    #[error("the ledger of `{directory}` in {store} is gone: {} of {} are there, and no entry", count(*.objects, "object"), count(*.attempts, "archive"))]
    LedgerGone {
        /// The source's directory.
        directory: SourceName,
        /// The store's URL.
        store: String,
        /// How many archives, or attempts at some, have objects there.
        attempts: usize,
        /// How many objects.
        objects: usize,
    },
    /// No ledger was found that could be read.
    #[error("{}", no_ledger(stores, *foreign))]
    NoLedger {
        /// The stores' URLs.
        stores: String,
        /// Whether there are ledgers of others.
        foreign: bool,
    },
    /// No store was named.
    #[error("no store is named, and there is no config that names one")]
    NoStore,
    /// What was given to be trusted is no key.
    #[error("`{key}` is no public key")]
    TrustKey {
        /// As it was typed.
        key: String,
        /// The cause.
        source: LedgerError,
    },
    /// Nobody has said whom to trust.
    #[error("nothing says which root key to trust")]
    NobodyTrusted,
    /// A ledger of the kit's root key that the kit does not name.
    #[error(
        "the recovery kit does not name the ledger in {store}/{directory}, which names the kit's root key; with `--trust {root}` it is read"
    )]
    LedgerUnlisted {
        /// The source's directory.
        directory: SourceName,
        /// The store's URL.
        store: String,
        /// The root key.
        root: String,
    },
    /// Two directories have the same ledger.
    #[error("{second} has the ledger of `{source_name}`, which was read from {first} already")]
    LedgerTwice {
        /// The source, as it is called now.
        source_name: SourceName,
        /// Where it was read from.
        first: String,
        /// Where it lies once more.
        second: String,
    },
    /// The catalog knows a source in a store that is not read.
    #[error("the catalog here also knows `{source_name}`, in {store}")]
    StoreLeftOut {
        /// The source.
        source_name: SourceName,
        /// Its store's URL.
        store: String,
    },
    /// The catalog knows an attempt that no store tells of.
    #[error(
        "the archive {archive} of `{source_name}` is unfinished, and only the catalog here knows how to go on with it"
    )]
    UnfinishedHere {
        /// The source.
        source_name: SourceName,
        /// The attempt.
        archive: ArchiveId,
    },
    /// Sound entries were imported, and some are not sound.
    #[error("the catalog was rebuilt, with {} in what the stores hold", count(*.0, "flaw"))]
    Flawed(usize),
    /// What could be read was imported, and some stores could not be read at all.
    #[error("the catalog was rebuilt without {} that could not be read", count(*.0, "store"))]
    StoresUnread(usize),
    /// A ledger that is read up to an entry belongs into a catalog that knows none.
    #[error("the catalog in {} knows ledgers, and one that ends at an entry must not take its place", .0.display())]
    AsOfHere(PathBuf),
    /// Several ledgers would be read up to one number.
    #[error(
        "there are several ledgers, those of {one} and {other} among them, and each has numbers of its own"
    )]
    AsOfSeveral {
        /// A directory.
        one: String,
        /// Another.
        other: String,
    },
}

impl RebuildError {
    pub(super) fn advice(&self) -> Advice {
        match self {
            Self::LedgerUntrusted { .. } => exit(ExitCode::Integrity).hint("nothing of it was read; check --trust, or give the recovery kit of these archives"),
            Self::LedgerGone { .. } => exit(ExitCode::Integrity).hint("put `ledger/` back from a copy of the store or from older versions: only it says which archives these are"),
            Self::NoLedger { foreign: false, .. } => exit(ExitCode::Usage).hint("the store is the place that has the sources' own directories in it: the recovery kit has its URL"),
            Self::NoLedger { foreign: true, .. } => exit(ExitCode::Integrity).hint("nothing was changed; check the URL, and give the recovery kit of these archives"),
            Self::NoStore => exit(ExitCode::Usage).hint("give --store URL: the recovery kit has it"),
            Self::TrustKey { .. } => exit(ExitCode::Usage).hint("it is the one that begins with RW, on the line `root public key` of the recovery kit"),
            Self::NobodyTrusted => exit(ExitCode::Usage).hint("give --identity with the recovery kit, or --trust with the root public key (RW…) that it names; --unauthenticated reads the ledgers unchecked"),
            Self::LedgerUnlisted { .. } => exit(ExitCode::Integrity).hint("a source that is newer than the kit looks like that, and so does one that somebody else made up"),
            Self::LedgerTwice { .. } => exit(ExitCode::Integrity).hint("give only one of the two, and the sounder one: where both are given, the first counts"),
            Self::StoreLeftOut { .. } => exit(ExitCode::Usage).hint("nothing was changed; give --store for that store too, or another --state-dir for the catalog of this one"),
            Self::UnfinishedHere { .. } => exit(ExitCode::Usage).hint("let `coldchain backup` finish it first; with --yes it is given up, and what is stored of it goes with `coldchain prune`"),
            Self::Flawed(_) => exit(ExitCode::Integrity).hint("what is sound was imported, and can be listed and restored; compare the store with its copies or older versions"),
            Self::StoresUnread(_) => exit(ExitCode::SomeSources).hint("what was read can be listed and restored; run the same command again when the other stores can be read"),
            Self::AsOfHere(_) => exit(ExitCode::Usage).hint("give another one with --state-dir, which may be new"),
            Self::AsOfSeveral { .. } => exit(ExitCode::Usage).hint("name one with --only DIRECTORY"),
        }
    }
}

fn no_ledger(stores: &str, foreign: bool) -> String {
    if foreign {
        format!("no ledger in {stores} is one that is trusted")
    } else {
        format!("there is no ledger in {stores}")
    }
}
