//! Why the ledger in the store, or the catalog's copy of it, can't be read or written.

use std::path::PathBuf;

use super::{Advice, ExitCode, exit};
use crate::ledger::EntryRefusal;
use crate::model::entry::Role;
use crate::model::{ArchiveId, PlaceId, SourceName};

const COMPARE: &str =
    "nothing was written; compare the store with its copies or older versions before you run again";

/// Why the ledger in the store, or the catalog's copy of it, can't be read or written.
#[derive(Debug, thiserror::Error)]
pub enum LedgerStateError {
    /// An entry in the store is not a valid next entry.
    #[error("ledger entry {seq} of `{source_name}` in {store} was refused")]
    EntryRefused {
        /// The entry's number.
        seq: u64,
        /// The source.
        source_name: SourceName,
        /// The store's URL.
        store: String,
        /// Why.
        source: Box<EntryRefusal>,
    },
    /// A key of the ledger signed an entry that does not fit the entries before it.
    #[error(
        "the ledger of `{source_name}` in {store} has forked: entry {seq} is signed by {by}, but does not fit the entries before it"
    )]
    Forked {
        /// The entry's number.
        seq: u64,
        /// The source.
        source_name: SourceName,
        /// The store's URL.
        store: String,
        /// The key.
        by: Box<str>,
        /// The numbers of all such entries, as `key rotate --void` takes them.
        numbers: Box<str>,
        /// Why.
        source: Box<EntryRefusal>,
    },
    /// The object under an entry's number may be a damaged entry.
    #[error(
        "ledger entry {seq} of `{source_name}` in {store} is damaged, or is not an entry of this ledger"
    )]
    EntryDamaged {
        /// The entry's number.
        seq: u64,
        /// The source.
        source_name: SourceName,
        /// The store's URL.
        store: String,
        /// Why.
        source: Box<EntryRefusal>,
    },
    /// The store's ledger lacks entries that the catalog has.
    #[error(
        "the ledger of `{source_name}` in {store} has gone back: entry {missing} is missing, but entries up to {head} were committed"
    )]
    LedgerBehind {
        /// The source.
        source_name: SourceName,
        /// The store's URL.
        store: String,
        /// The first entry that is missing.
        missing: u64,
        /// The catalog's newest.
        head: u64,
    },
    /// The store's ledger has another entry where the catalog has one.
    #[error(
        "the ledger of `{source_name}` in {store} has forked: entry {seq} is not the one that was committed"
    )]
    LedgerForked {
        /// The source.
        source_name: SourceName,
        /// The store's URL.
        store: String,
        /// The entry's number.
        seq: u64,
    },
    /// Another run committed an entry under the number that this run wanted.
    #[error(
        "another run committed ledger entry {seq} of `{source_name}` meanwhile; nothing was committed here"
    )]
    Overtaken {
        /// The source.
        source_name: SourceName,
        /// The entry's number.
        seq: u64,
    },
    /// A pruner retired the unfinished archive, or one that it builds on.
    #[error(
        "nothing was committed: meanwhile, ledger entry {seq} of `{source_name}` retired this archive or one that it builds on"
    )]
    AttemptRetired {
        /// The source.
        source_name: SourceName,
        /// The entry's number.
        seq: u64,
    },
    /// The ledger has entries of a newer version, so this version must not write.
    #[error("the ledger of `{source_name}` has entries that this version does not know: {what}")]
    NewerLedger {
        /// The source.
        source_name: SourceName,
        /// What was found.
        what: String,
    },
    /// An earlier version has read the ledger into the catalog, and has left out entries that it did not know.
    #[error(
        "the catalog does not have what the ledger of `{source_name}` says of {archive}: an earlier version of coldchain read \
         that entry and did not know it"
    )]
    LeftOut {
        /// The source.
        source_name: SourceName,
        /// An archive of which the two say different things.
        archive: ArchiveId,
    },
    /// The place is a copy of the source's home, and this run may only work at home.
    #[error("{store} has a copy of `{source_name}`, in which only `coldchain copy` writes")]
    IsCopy {
        /// The source.
        source_name: SourceName,
        /// The store's URL.
        store: String,
    },
    /// The ledger says that another place is home.
    #[error("{store} is no longer the home of `{source_name}`, which was moved to another place")]
    MovedAway {
        /// The source.
        source_name: SourceName,
        /// The store's URL.
        store: String,
        /// The id of the new home.
        place: PlaceId,
    },
    /// This machine's key does not have the role that it needs.
    #[error(
        "the ledger of `{source_name}` does not grant this machine's key the {role} role: {key}"
    )]
    NoRole {
        /// The source.
        source_name: SourceName,
        /// The public key.
        key: String,
        /// What it may not do.
        role: Role,
    },
    /// The store has a ledger that the catalog does not have.
    #[error(
        "the store {store} has a ledger of `{source_name}` that the catalog here does not know"
    )]
    LedgerUnread {
        /// The source.
        source_name: SourceName,
        /// The store's URL.
        store: String,
    },
    /// This machine has keys, but its catalog is missing.
    #[error("the catalog {} is missing, but this machine's keys exist", .0.display())]
    CatalogGone(PathBuf),
    /// The catalog was rebuilt with `--as-of` and has a part of the ledger only.
    #[error(
        "cannot write with this catalog: it was rebuilt with --as-of and has only a part of the ledger of {0}"
    )]
    AsOf(SourceName),
}

impl LedgerStateError {
    pub(super) fn advice(&self) -> Advice {
        match self {
            Self::EntryRefused { source, .. } => exit(ExitCode::Integrity).hint(match **source {
                EntryRefusal::AfterLost { .. } => {
                    "nothing was written; what is sound can be restored. Put a copy or an older \
                     version of the lost entry back and run `coldchain catalog rebuild`, or give \
                     the source a new name to begin a new ledger"
                }
                EntryRefusal::Newer { .. } => "use the coldchain that wrote it, or a later one",
                EntryRefusal::OtherLedger { .. } | EntryRefusal::OtherRoot { .. } => {
                    "run `coldchain catalog rebuild --identity KIT` with the recovery kit of \
                     these archives if their catalog was lost; if another machine archives there, \
                     give this machine another directory or store. Nothing was written"
                }
                _ => COMPARE,
            }),
            Self::Forked {
                source_name,
                by,
                numbers,
                ..
            } => exit(ExitCode::Integrity).hint(format!(
                "if that key was stolen, run `coldchain key rotate --kit FILE --source \
                 {source_name} --remove {by} --void {numbers}` to withdraw it and to void these \
                 entries, then follow docs/keys.md; if not, compare the store with its copies or \
                 older versions. Nothing was written",
            )),
            Self::EntryDamaged { .. } => exit(ExitCode::Integrity).hint(
                "replace the object by a sound copy: from a copy of the store, from an older \
                 version of the object, or from `catalog.db` of the machine that wrote it. If \
                 there is none, and no entry follows it, move the object out of `ledger/`; the \
                 archive that it names is then given up. Nothing was written",
            ),
            Self::LedgerBehind { .. } | Self::LedgerForked { .. } => {
                exit(ExitCode::Integrity).hint(COMPARE)
            }
            Self::Overtaken { .. } => exit(ExitCode::Busy),
            Self::AttemptRetired { .. } => {
                exit(ExitCode::Failed).hint("run the command again; it makes a new plan")
            }
            Self::NewerLedger { .. } => exit(ExitCode::Integrity).hint(
                "use the version of coldchain that wrote them, or a later one; if a stolen key \
                 signed them, run `coldchain key rotate --kit FILE --source NAME --remove KEY \
                 --void NUMBER` to withdraw the key and to void them",
            ),
            Self::LeftOut { .. } => exit(ExitCode::Integrity).hint(
                "run `coldchain catalog rebuild`, which reads the ledger anew, then run this again",
            ),
            Self::IsCopy { source_name, .. } => exit(ExitCode::Integrity).hint(format!(
                "set `store` of this source to the store of its home. If that one is lost, run \
                 `coldchain move {source_name} --to STORE --abandon-home`, which makes the copy its \
                 home. Nothing was written"
            )),
            Self::MovedAway { place, .. } => exit(ExitCode::Integrity).hint(format!(
                "set `store` of this source to the store that has the marker HOME-{place} beside its \
                 ledger entries. If that one is lost, follow docs/moving-house.md. Nothing was \
                 written"
            )),
            Self::NoRole { .. } => exit(ExitCode::Integrity).hint(
                "run `coldchain key show` to see which key has which role, and `coldchain key \
                 rotate --kit FILE --add KEY --role ROLE` to give one; nothing was stored",
            ),
            Self::LedgerUnread { .. } => exit(ExitCode::Usage).hint(
                "run `coldchain catalog rebuild --identity KIT`, which reads it; if another \
                 machine archives there, set `archive_as` to give this source a directory of its \
                 own",
            ),
            Self::CatalogGone(_) => exit(ExitCode::Usage).hint(
                "run `coldchain catalog rebuild --identity KIT`, which makes a new one from the \
                 stores, or put back a copy of it",
            ),
            Self::AsOf(_) => exit(ExitCode::Usage).hint(
                "use this catalog only to restore; to write, make another one with `coldchain \
                 catalog rebuild` without --as-of",
            ),
        }
    }
}
