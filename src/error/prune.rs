//! Why chains and orphaned objects were not retired, deleted or revived.

use chrono::NaiveDate;

use super::{Advice, ExitCode, count, exit};
use crate::model::ArchiveId;
use crate::model::SourceName;
use crate::store::ErrorKind;
use crate::store::StoreError;

/// Why chains and orphaned objects were not retired, deleted or revived.
#[derive(Debug, thiserror::Error)]
pub enum PruneError {
    /// A listing lacks objects of a visible archive, so nothing is pruned by it.
    #[error("in a listing of {store}, {} of {archive} missing or changed; the first: {}", count(*.objects, "object"), first)]
    ListingShort {
        /// The archive.
        archive: ArchiveId,
        /// The store's URL.
        store: String,
        /// How many.
        objects: usize,
        /// The key of the first, and what is wrong.
        first: String,
    },
    /// The store did not delete all orphaned objects.
    #[error("could not delete all orphaned objects of `{source_name}`: {deleted} of {} were deleted", count(*.of, "object"))]
    StraysLeft {
        /// The source.
        source_name: SourceName,
        /// How many are gone.
        deleted: usize,
        /// Of how many.
        of: usize,
        /// The store's answer to the next.
        source: Box<StoreError>,
    },
    /// The store did not delete all objects of a retired chain.
    #[error("could not delete all of the retired chain of {chain} of `{source_name}`: {deleted} of {} were deleted", count(*.of, "object"))]
    ChainLeft {
        /// The source.
        source_name: SourceName,
        /// The date that names the chain.
        chain: NaiveDate,
        /// How many are gone.
        deleted: usize,
        /// Of how many.
        of: usize,
        /// The store's answer to the next.
        source: Box<StoreError>,
    },
    /// The store did not take the `retire` or `delete` entry.
    #[error("could not write the `{kind}` entry of `{source_name}`")]
    PruneUnsigned {
        /// The source.
        source_name: SourceName,
        /// The entry's kind.
        kind: &'static str,
        /// The store's answer.
        source: Box<StoreError>,
    },
    /// A prune would retire more archives than `--yes-delete` allows.
    #[error("`{source_name}` has {} with {} to retire, {}", count(*.chains, "chain"), count(*.archives, "archive"), agreed_to(*.agreed))]
    ManyToRetire {
        /// The source.
        source_name: SourceName,
        /// How many chains.
        chains: usize,
        /// How many archives they have.
        archives: usize,
        /// How many archives were agreed to, if a number was given.
        agreed: Option<usize>,
    },
    /// Catalog and ledger disagree on which archives are visible.
    #[error("the catalog and the ledger of `{source_name}` disagree on {archive}")]
    LedgerDiffers {
        /// The source.
        source_name: SourceName,
        /// The first archive that they disagree on.
        archive: ArchiveId,
    },
    /// The archive of that date was retired.
    #[error("the archive of {date} of `{source_name}` was retired{}", if *.is_deleted { ", and is being deleted or gone" } else { "" })]
    DateRetired {
        /// The source.
        source_name: SourceName,
        /// The date.
        date: NaiveDate,
        /// The date that names its chain.
        chain: NaiveDate,
        /// Whether its deletion has begun.
        is_deleted: bool,
    },
    /// There is no retired chain of that date.
    #[error("`{source_name}` has no retired chain of {chain}")]
    NotRetired {
        /// The source.
        source_name: SourceName,
        /// The date.
        chain: NaiveDate,
    },
    /// A retired archive can't be revived, because objects of it are missing or changed.
    #[error("{archive} can't be revived: {} missing or changed in {store}; the first: {}", count(*.objects, "object"), first)]
    NotRevivable {
        /// The archive.
        archive: ArchiveId,
        /// The store's URL.
        store: String,
        /// How many.
        objects: usize,
        /// The key of the first, and what is wrong.
        first: String,
    },
    /// A retired chain can't be revived, because its deletion has begun.
    #[error("the chain of {chain} of `{source_name}` can't be revived: its deletion has begun")]
    DeletionBegun {
        /// The source.
        source_name: SourceName,
        /// The date that names the chain.
        chain: NaiveDate,
    },
    /// A retired archive can't be revived, because its date was archived again.
    #[error("{archive} can't be revived: its date was archived again, as {by}")]
    DateTaken {
        /// The archive.
        archive: ArchiveId,
        /// The one that has its date.
        by: ArchiveId,
    },
    /// A store is not an old home of a source in a vault.
    #[error("cannot delete what is left of `{source_name}` in {store}: {why}")]
    NotOldHome {
        /// The source.
        source_name: SourceName,
        /// The store's URL.
        store: String,
        /// Why not.
        why: &'static str,
    },
    /// The ledger of an old home is not the beginning of home's.
    #[error(
        "cannot delete what is left of `{source_name}` in {store}: ledger entry {seq} there is not home's"
    )]
    OldHomeParted {
        /// The source.
        source_name: SourceName,
        /// The store's URL.
        store: String,
        /// The first entry that differs.
        seq: u64,
    },
    /// Archives would be deleted in an old home that were not agreed to.
    #[error("{store} has {} of `{source_name}` to delete, {}", count(*.archives, "archive"), agreed_to(*.agreed))]
    LeftNotAgreed {
        /// The source.
        source_name: SourceName,
        /// The store's URL.
        store: String,
        /// How many archives.
        archives: usize,
        /// How many archives were agreed to, if a number was given.
        agreed: Option<usize>,
    },
    /// A vault refused to delete some of what is left there.
    #[error("could not delete {kept} of {} of `{source_name}` in {store}", count(*.of, "segment"))]
    LeftDenied {
        /// The source.
        source_name: SourceName,
        /// The store's URL.
        store: String,
        /// How many segments stay.
        kept: usize,
        /// Of how many that were to be deleted.
        of: usize,
        /// The first refusal.
        source: Box<StoreError>,
    },
    /// This machine's key does not have the pruner role.
    #[error("this machine's key does not have the pruner role for `{0}`")]
    NoPruner(SourceName),
    /// The root key brought back a chain while it was being deleted.
    #[error(
        "stopped deleting the chain of {chain} of {source_name}: meanwhile the root key has brought it back"
    )]
    BroughtBack {
        /// The source.
        source_name: SourceName,
        /// The date of its full.
        chain: NaiveDate,
    },
}

impl PruneError {
    pub(super) fn advice(&self) -> Advice {
        match self {
            Self::StraysLeft { source, .. }
            | Self::ChainLeft { source, .. }
            | Self::PruneUnsigned { source, .. }
            | Self::LeftDenied { source, .. } => {
                exit(refused_by_store(source)).hint_of(source.hint())
            }
            Self::ListingShort { .. } => exit(ExitCode::Integrity).hint(
                "compare the store with its copies or older versions. If the objects are lost \
                 for good, run `coldchain verify`, which records that, and then prune again. \
                 Nothing was retired or removed",
            ),
            Self::ManyToRetire {
                source_name,
                archives,
                ..
            } => exit(ExitCode::Usage).hint(format!(
                "look at `coldchain prune {source_name} --dry-run`; to retire them all, run \
                 `coldchain prune {source_name} --yes-delete {archives}`. No chain was retired",
            )),
            Self::LedgerDiffers { .. } => exit(ExitCode::Integrity).hint(
                "run `coldchain catalog rebuild` to make a new catalog from the store; nothing \
                 was retired or deleted",
            ),
            Self::DateRetired {
                is_deleted: true, ..
            }
            | Self::DateTaken { .. } => exit(ExitCode::Usage),
            Self::DateRetired {
                source_name, chain, ..
            } => exit(ExitCode::Usage).hint(format!(
                "run `coldchain prune {source_name} --revive {chain}` to make its chain visible \
                 again; that works only until the machine that prunes begins to delete it",
            )),
            Self::NotRetired { .. } => {
                exit(ExitCode::Usage).hint("`coldchain list --all` shows the retired chains")
            }
            Self::NotRevivable { .. } | Self::DeletionBegun { .. } => exit(ExitCode::ChainBroken)
                .hint("nothing was changed; deleted objects cannot be brought back"),
            Self::NotOldHome { .. } => exit(ExitCode::Usage).hint(
                "name the vault that the source was moved out of; what is left in a directory or bucket is deleted \
                 with other tools",
            ),
            Self::OldHomeParted { .. } => exit(ExitCode::Integrity).hint(
                "find out which of the two has the archives that you want; nothing was deleted",
            ),
            Self::LeftNotAgreed { archives, .. } => exit(ExitCode::Usage).hint(format!(
                "look at it with --dry-run; to delete them for ever, give --yes-delete {archives}. Nothing was deleted",
            )),
            Self::NoPruner(_) => exit(ExitCode::Usage).hint("run it on the machine that prunes"),
            Self::BroughtBack { .. } => exit(ExitCode::Busy)
                .hint("nothing more of it was deleted; run `coldchain prune` again"),
        }
    }
}

/// Chooses the exit code when the store refuses a delete: what was done before it stays done.
fn refused_by_store(error: &StoreError) -> ExitCode {
    match error.kind {
        kind if kind.is_without_end() => ExitCode::Integrity,
        ErrorKind::Denied | ErrorKind::NoId => ExitCode::Later,
        _ => ExitCode::Failed,
    }
}

fn agreed_to(agreed: Option<usize>) -> String {
    match agreed {
        Some(agreed) => format!("but --yes-delete says {}", count(agreed, "archive")),
        None => "which needs --yes-delete".to_owned(),
    }
}
