//! Why a ledger or a store could not be read into the catalog.

use std::path::PathBuf;

use super::{Advice, ExitCode, count, exit};
use crate::ledger::EntryRefusal;
use crate::ledger::LedgerError;
use crate::model::ArchiveId;
use crate::model::SourceName;

/// Why a ledger or a store could not be read into the catalog.
#[derive(Debug, thiserror::Error)]
pub enum RebuildError {
    /// A ledger that is new here is not a trusted one.
    #[error("the ledger of `{source_name}` in {store} is not trusted")]
    LedgerUntrusted {
        /// The source, or its directory.
        source_name: SourceName,
        /// The store's URL.
        store: String,
        /// What it is.
        source: Box<EntryRefusal>,
    },
    /// The store has objects of a source, but no ledger entry.
    #[error("the ledger of `{directory}` in {store} is gone: the store has {} of {}, but no entry", count(*.objects, "object"), count(*.attempts, "archive"))]
    LedgerGone {
        /// The source's directory.
        directory: SourceName,
        /// The store's URL.
        store: String,
        /// How many archives and unfinished archives have objects there.
        attempts: usize,
        /// How many objects.
        objects: usize,
    },
    /// The stores have no ledger, or none that is trusted.
    #[error("{}", no_ledger(stores, *foreign))]
    NoLedger {
        /// The stores' URLs.
        stores: String,
        /// Whether the stores have ledgers that are not trusted.
        foreign: bool,
    },
    /// A directory was named that no store has.
    #[error("there is no source directory `{directory}` in {stores}")]
    NoSuchDirectory {
        /// As it was typed.
        directory: String,
        /// The stores' URLs.
        stores: String,
    },
    /// No store was named.
    #[error("no store is named, and there is no config that names one")]
    NoStore,
    /// The argument of `--trust` is not a public key.
    #[error("`{key}` is no public key")]
    TrustKey {
        /// As it was typed.
        key: String,
        /// The cause.
        source: LedgerError,
    },
    /// No root key to trust was given.
    #[error("cannot check the ledgers: no root key to trust is given")]
    NobodyTrusted,
    /// A ledger names the kit's root key, but the kit does not name the ledger.
    #[error(
        "the recovery kit does not name the ledger in {store}/{directory}, but that ledger names the kit's root key; `--trust {root}` reads it"
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
    #[error(
        "the ledger of `{source_name}` is in two places: it was read from {first}, and {second} has it too"
    )]
    LedgerTwice {
        /// The source, as it is called now.
        source_name: SourceName,
        /// Where it was read from.
        first: String,
        /// The second place.
        second: String,
    },
    /// A copy has an entry that home does not have.
    #[error(
        "the copy of `{}` in {} is ahead of its home in {}: it has ledger entry {}, and the newest at home is {}",
        .0.source_name, .0.copy, .0.home, .0.seq, .0.head
    )]
    CopyAhead(Box<TwoPlaces>),
    /// A copy has another entry under a number than home.
    #[error(
        "ledger entry {} of `{}` in its copy in {} is not the one at its home in {}",
        .0.seq, .0.source_name, .0.copy, .0.home
    )]
    CopyDiffers(Box<TwoPlaces>),
    /// The current catalog has a source in a store that was not given.
    #[error(
        "the current catalog also has `{source_name}` in {store}, and that store was not given"
    )]
    StoreLeftOut {
        /// The source.
        source_name: SourceName,
        /// Its store's URL.
        store: String,
    },
    /// The current catalog has an unfinished archive, which a rebuild would lose.
    #[error(
        "the archive {archive} of `{source_name}` is unfinished, and only the current catalog can continue it"
    )]
    UnfinishedHere {
        /// The source.
        source_name: SourceName,
        /// The attempt.
        archive: ArchiveId,
    },
    /// The rebuild found damage, and imported the rest.
    #[error("the catalog was rebuilt, but the data in the stores has {}", count(*.0, "flaw"))]
    Flawed(usize),
    /// The rebuild left out stores that could not be read.
    #[error("the catalog was rebuilt without {} that could not be read", count(*.0, "store"))]
    StoresUnread(usize),
    /// `--as-of` was given for a state directory whose catalog has ledgers.
    #[error("cannot rebuild with --as-of in {}: the catalog there already has ledgers", .0.display())]
    AsOfHere(PathBuf),
    /// `--as-of` was given, and there is more than one ledger.
    #[error(
        "--as-of takes one ledger, but there are several: those of {one}, {other} and maybe others"
    )]
    AsOfSeveral {
        /// A directory.
        one: String,
        /// Another.
        other: String,
    },
}

/// A source's home, and a copy that is not what home is.
#[derive(Debug)]
pub struct TwoPlaces {
    /// The source.
    pub source_name: SourceName,
    /// Home's URL.
    pub home: String,
    /// The copy's URL.
    pub copy: String,
    /// The first entry that home lacks, or that is another one.
    pub seq: u64,
    /// Home's newest entry.
    pub head: u64,
}

impl RebuildError {
    pub(super) fn advice(&self) -> Advice {
        match self {
            Self::LedgerUntrusted { .. } => exit(ExitCode::Integrity).hint(
                "nothing of it was read; check --trust, or give the recovery kit of these archives"
,
            ),
            Self::LedgerGone { .. } => exit(ExitCode::Integrity).hint(
                "put `ledger/` back from a copy of the store or from older versions: only it \
                 says which archives these are",
            ),
            Self::NoLedger { foreign: false, .. } => exit(ExitCode::Usage).hint(
                "give the URL of the place that has the sources' directories in it; the recovery \
                 kit has that URL",
            ),
            Self::NoLedger { foreign: true, .. } => exit(ExitCode::Integrity).hint(
                "nothing was changed; check the URL, and give the recovery kit of these archives"
,
            ),
            Self::NoSuchDirectory { .. } => exit(ExitCode::Usage)
                .hint("check the name after --only or --include; nothing was changed"),
            Self::NoStore => exit(ExitCode::Usage).hint("give --store URL: the recovery kit has it"),
            Self::TrustKey { .. } => exit(ExitCode::Usage).hint(
                "give the key that begins with RW, on the line `root public key` of the recovery kit"
,
            ),
            Self::NobodyTrusted => exit(ExitCode::Usage).hint(
                "give --identity with the recovery kit, or --trust with the root public key \
                 (RW…) that it names; --unauthenticated reads the ledgers unchecked",
            ),
            Self::LedgerUnlisted { .. } => exit(ExitCode::Integrity).hint(
                "use --trust only if you know that source: it may be newer than the kit, or \
                 somebody else may have made it up",
            ),
            Self::LedgerTwice { .. } => exit(ExitCode::Integrity).hint(
                "give only one of the two, the undamaged one: of two, coldchain reads the first"
,
            ),
            Self::CopyAhead(_) => exit(ExitCode::Integrity).hint(
                "find out whether home has gone back. If it has, rebuild from the copy alone in another --state-dir, \
                 restore from there, and make the copy home with `coldchain move SOURCE --to NAME --abandon-home`",
            ),
            Self::CopyDiffers(_) => exit(ExitCode::Integrity).hint(
                "find out which of the two is right: compare both with the recovery kit. To restore from the copy, \
                 rebuild from it alone in another --state-dir",
            ),
            Self::StoreLeftOut { .. } => exit(ExitCode::Usage).hint(
                "add a --store for that store too, or make the new catalog in another \
                 --state-dir; nothing was changed",
            ),
            Self::UnfinishedHere { .. } => exit(ExitCode::Usage).hint(
                "run `coldchain backup` first, which finishes it; or add --yes to give it up, \
                 and `coldchain prune` removes its stored objects",
            ),
            Self::Flawed(_) => exit(ExitCode::Integrity).hint(
                "what is sound was imported, and can be listed and restored; compare the store \
                 with its copies or older versions",
            ),
            Self::StoresUnread(_) => exit(ExitCode::SomeSources).hint(
                "what was read can be listed and restored; run the same command again when the \
                 other stores can be read",
            ),
            Self::AsOfHere(_) => exit(ExitCode::Usage).hint("give an empty or new directory with --state-dir"),
            Self::AsOfSeveral { .. } => exit(ExitCode::Usage).hint("name one with --only DIRECTORY"),
        }
    }
}

fn no_ledger(stores: &str, foreign: bool) -> String {
    if foreign {
        format!("no ledger in {stores} is trusted")
    } else {
        format!("there is no ledger in {stores}")
    }
}
