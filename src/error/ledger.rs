//! Why nothing can be written after what the ledger in the store says.

use std::path::PathBuf;

use super::{Advice, ExitCode, exit};
use crate::ledger::Refusal as EntryRefusal;
use crate::model::SourceName;
use crate::model::entry::Role;

const COMPARE: &str =
    "nothing was written; compare the store with its copies or older versions before you run again";

/// Why nothing can be written after what the ledger in the store says.
#[derive(Debug, thiserror::Error)]
pub enum LedgerStateError {
    /// An entry in the store is not one that follows what is known.
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
    /// A key of the ledger has signed an entry that does not fit.
    #[error(
        "the ledger of `{source_name}` in {store} has forked: entry {seq}, which {by} has signed, does not fit"
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
    /// What the store has under a number may be an entry that was damaged.
    #[error("ledger entry {seq} of `{source_name}` in {store} is damaged, or none of this ledger")]
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
        "the ledger of `{source_name}` in {store} has gone back: entry {missing} is missing, {head} were committed"
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
    /// Some other run committed the number that this one wanted.
    #[error(
        "another run committed ledger entry {seq} of `{source_name}` meanwhile; nothing was committed here"
    )]
    Overtaken {
        /// The source.
        source_name: SourceName,
        /// The entry's number.
        seq: u64,
    },
    /// A pruner has retired what an attempt needs, or the attempt itself.
    #[error(
        "ledger entry {seq} of `{source_name}` has meanwhile retired this archive or what it builds on; nothing was committed here"
    )]
    AttemptRetired {
        /// The source.
        source_name: SourceName,
        /// The entry's number.
        seq: u64,
    },
    /// A ledger holds entries that this version may read past but not write after.
    #[error("the ledger of `{source_name}` has entries that this version does not know: {what}")]
    NewerLedger {
        /// The source.
        source_name: SourceName,
        /// What was found.
        what: String,
    },
    /// The ledger does not let this machine's key sign what it would write.
    #[error("the ledger of `{source_name}` does not have this machine's key as a {role}: {key}")]
    NoRole {
        /// The source.
        source_name: SourceName,
        /// The public key.
        key: String,
        /// What it may not do.
        role: Role,
    },
    /// There are archives that the catalog knows nothing of.
    #[error(
        "the store {store} has a ledger of `{source_name}` that the catalog here does not know"
    )]
    LedgerUnread {
        /// The source.
        source_name: SourceName,
        /// The store's URL.
        store: String,
    },
    /// This machine has begun to archive or to prune, and its catalog is not there.
    #[error("the catalog {} is gone: the machine's keys are there, and no catalog", .0.display())]
    CatalogGone(PathBuf),
    /// The catalog leaves out how the ledger goes on.
    #[error(
        "the catalog has the ledger of {0} only up to an entry that was asked for: nothing is written with it"
    )]
    AsOf(SourceName),
}

impl LedgerStateError {
    pub(super) fn advice(&self) -> Advice {
        match self {
            Self::EntryRefused { source, .. } => exit(ExitCode::Integrity).hint(match **source {
                EntryRefusal::AfterLost { .. } => "nothing was written; what is sound can be restored. Put a copy or an older version of the lost entry back and run `coldchain catalog rebuild`, or give the source a new name to begin a new ledger",
                EntryRefusal::Newer { .. } => "use the coldchain that wrote it, or a later one",
                EntryRefusal::OtherLedger { .. } | EntryRefusal::OtherRoot { .. } => "nothing was written; if the catalog of these archives was lost, `coldchain catalog rebuild --identity KIT` makes it anew with their recovery kit, and if another machine archives there, give this one a place of its own",
                _ => COMPARE,
            }),
            Self::Forked { source_name, by, numbers, .. } => exit(ExitCode::Integrity).hint(format!(
                "nothing was written; if somebody has stolen that key, `coldchain key rotate --kit FILE \
                 --source {source_name} --remove {by} --void {numbers}` withdraws it and passes over what does not \
                 fit, and docs/keys.md says how to go on; if not, compare the store with its copies or older \
                 versions"
            )),
            Self::EntryDamaged { .. } => exit(ExitCode::Integrity).hint("nothing was written; put a sound copy of it in its place: a copy of the store has one, or an older version of the object, or `catalog.db` of the machine that wrote it. If there is none, and no entry follows it, move the object out of `ledger/`: what it archived is then given up"),
            Self::LedgerBehind { .. } | Self::LedgerForked { .. } => exit(ExitCode::Integrity).hint(COMPARE),
            Self::Overtaken { .. } => exit(ExitCode::Busy),
            Self::AttemptRetired { .. } => exit(ExitCode::Failed).hint("run again: the night is planned anew"),
            Self::NewerLedger { .. } => exit(ExitCode::Integrity).hint("use the coldchain that wrote them, or a later one; if somebody with a leaked key has, `coldchain key rotate --kit FILE --source NAME --remove KEY --void NUMBER` withdraws the key and lets writers go on"),
            Self::NoRole { .. } => exit(ExitCode::Integrity).hint("nothing was stored; `coldchain key show` tells who has which role, and `coldchain key rotate --kit FILE --add KEY --role ROLE` gives one"),
            Self::LedgerUnread { .. } => exit(ExitCode::Usage).hint("run `coldchain catalog rebuild --identity KIT`, which reads it; if another machine archives there, set `archive_as` to give this source a directory of its own"),
            Self::CatalogGone(_) => exit(ExitCode::Usage).hint("run `coldchain catalog rebuild --identity KIT`, which makes a new one from the stores, or put back a copy of it"),
            Self::AsOf(_) => exit(ExitCode::Usage).hint("restore with it, and write with another: `coldchain catalog rebuild` without --as-of makes that"),
        }
    }
}
