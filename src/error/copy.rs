//! Why archives can't be copied to another store.

use chrono::NaiveDate;

use super::{Advice, Error, ExitCode, count, exit};
use crate::model::copy_marker::NoCopyMarker;
use crate::model::{ArchiveId, LedgerId, SourceName};
use crate::store::{ErrorKind, StoreError};

/// Why archives can't be copied to another store.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// The store is the source's home.
    #[error("cannot copy `{source_name}` to {store}: that is where its archives already are")]
    OntoItself {
        /// The source.
        source_name: SourceName,
        /// The store's URL.
        store: String,
    },
    /// The store is a vault. It could hold no copy: other stores find the objects of a copy by their keys.
    #[error("cannot copy `{source_name}` to {store}: a vault can't have copies")]
    IntoVault {
        /// The source.
        source_name: SourceName,
        /// The store's URL.
        store: String,
    },
    /// The home is a vault, and the store is that of its ledger.
    #[error(
        "cannot copy `{source_name}` to {store}: the vault that is its home keeps the ledger there"
    )]
    OntoLedger {
        /// The source.
        source_name: SourceName,
        /// The store's URL.
        store: String,
    },
    /// Nothing says where to copy to.
    #[error("no store was named that is to get a copy")]
    NoneConfigured,
    /// The place has something of a source of that name, and no marker.
    #[error("cannot copy `{source_name}` to {store}: it has {what}")]
    InUse {
        /// The source.
        source_name: SourceName,
        /// The store's URL.
        store: String,
        /// What is there.
        what: String,
    },
    /// The copy was there and is not any more.
    #[error(
        "the copy of `{source_name}` in {store} is gone: its ledger had entries up to {head}, and nothing is there now"
    )]
    Emptied {
        /// The source.
        source_name: SourceName,
        /// The store's URL.
        store: String,
        /// The newest entry that it had.
        head: u64,
    },
    /// The marker of a copy is not one that coldchain has written.
    #[error("could not read the marker {key} in {store}")]
    MarkerUnreadable {
        /// The store's URL.
        store: String,
        /// The marker's key.
        key: String,
        /// Why.
        source: NoCopyMarker,
    },
    /// The place has a copy of another ledger.
    #[error("{store} has a copy of another ledger, {theirs}, under the name of `{source_name}`")]
    OfAnotherLedger {
        /// The source.
        source_name: SourceName,
        /// The store's URL.
        store: String,
        /// The ledger of which it is a copy.
        theirs: LedgerId,
    },
    /// The copy has an entry that home does not have.
    #[error(
        "the copy of `{source_name}` in {store} is ahead: it has ledger entry {seq}, and the newest at home is {head}"
    )]
    Ahead {
        /// The source.
        source_name: SourceName,
        /// The copy's URL.
        store: String,
        /// The first entry that home lacks.
        seq: u64,
        /// Home's newest entry.
        head: u64,
    },
    /// The copy has other bytes under a number than home.
    #[error("ledger entry {seq} in the copy of `{source_name}` in {store} is not the one at home")]
    Differs {
        /// The source.
        source_name: SourceName,
        /// The copy's URL.
        store: String,
        /// The entry's number.
        seq: u64,
    },
    /// A restore from a copy wants an archive that the copy does not have.
    #[error("the archive {archive} of `{source_name}` was not copied to {store}")]
    NotThere {
        /// The source.
        source_name: SourceName,
        /// The archive.
        archive: ArchiveId,
        /// The copy's URL.
        store: String,
        /// The newest date that can be restored from the copy.
        newest: Option<NaiveDate>,
    },
    /// `forget` was given a copy that the config makes each night.
    #[error("cannot forget the copy {copy} of `{source_name}`: the config still names it")]
    StillConfigured {
        /// The source.
        source_name: SourceName,
        /// As it was typed.
        copy: String,
    },
    /// `forget` was given a copy that the catalog does not have.
    #[error("the catalog has no copy {copy} of `{source_name}`")]
    NeverSeen {
        /// The source.
        source_name: SourceName,
        /// As it was typed.
        copy: String,
    },
    /// An object of an archive is not at home, and the archive is not retired.
    #[error("could not copy the archive {archive} to {to}")]
    NotCopied {
        /// The archive.
        archive: ArchiveId,
        /// The copy's URL.
        to: String,
        /// Why.
        source: Box<Error>,
    },
    /// A listing of the copy lacks objects of an archive that it has, so nothing is deleted by it.
    #[error("in a listing of the copy in {store}, {} of {archive} missing or changed; the first: {}", count(*.objects, "object"), first)]
    ListingShort {
        /// The archive.
        archive: ArchiveId,
        /// The copy's URL.
        store: String,
        /// How many.
        objects: usize,
        /// The key of the first, and what is wrong.
        first: String,
    },
    /// The copy's store did not delete everything that may be deleted.
    #[error("could not delete what has expired from the copy of `{source_name}` in {to}: {} deleted", count(*.deleted, "object"))]
    NotPruned {
        /// The source.
        source_name: SourceName,
        /// The copy's URL.
        to: String,
        /// How many objects of what was being deleted are gone.
        deleted: usize,
        /// The store's answer to the next.
        source: Box<StoreError>,
    },
    /// The copy lost its mark while something was to be deleted there.
    #[error(
        "stopped deleting from the copy of `{source_name}` in {store}: it has lost its mark of a copy"
    )]
    MarkGone {
        /// The source.
        source_name: SourceName,
        /// The copy's URL.
        store: String,
    },
    /// The copy is up to date, and not everything was deleted that may be.
    #[error("the copy of `{source_name}` in {to} is up to date, but not pruned")]
    Unpruned {
        /// The source.
        source_name: SourceName,
        /// The copy's name in the config.
        to: String,
        /// Why.
        source: Box<Error>,
    },
    /// An archive is not copied, because it or what it builds on is known to be damaged.
    #[error("did not copy the archive {archive} to {to}: {reason}")]
    LeftOut {
        /// The source.
        source_name: SourceName,
        /// The archive.
        archive: ArchiveId,
        /// The copy's URL.
        to: String,
        /// Why.
        reason: String,
    },
    /// The copy of a source failed.
    #[error("the copy of `{source_name}` in {to} is not up to date")]
    Behind {
        /// The source.
        source_name: SourceName,
        /// The copy's URL, or its name in the config.
        to: String,
        /// Why.
        source: Box<Error>,
    },
    /// The night is done, but a copy failed.
    #[error("the night of `{source_name}` is done, but its copy in {to} is not up to date")]
    AfterNight {
        /// The source.
        source_name: SourceName,
        /// The copy's name in the config.
        to: String,
        /// Why.
        source: Box<Error>,
    },
}

impl CopyError {
    pub(super) fn advice(&self) -> Advice {
        match self {
            Self::OntoItself { .. } => {
                exit(ExitCode::Usage).hint("name another store of the config with --to")
            }
            Self::IntoVault { .. } => exit(ExitCode::Usage)
                .hint("name a store of the config with --to that is a directory or a bucket"),
            Self::OntoLedger { .. } => exit(ExitCode::Usage).hint(
                "describe another prefix or directory in a [store.NAME], and name that with --to",
            ),
            Self::NoneConfigured => exit(ExitCode::Usage).hint(
                "name a store of the config with --to, or give the source `copies = [\"NAME\"]` in the config",
            ),
            Self::InUse { .. } => exit(ExitCode::Integrity).hint(
                "choose another prefix or directory for the copy, in which nothing of a source of that name is",
            ),
            Self::Emptied { .. } => exit(ExitCode::Integrity).hint(
                "mount the disk or correct the address. If the copy was deleted on purpose, add --anew to make it \
                 again from the beginning",
            ),
            Self::MarkerUnreadable { .. } => exit(ExitCode::Integrity).hint(
                "find out who wrote there; then choose another prefix or directory for the copy",
            ),
            Self::OfAnotherLedger { .. } => exit(ExitCode::Integrity).hint(
                "choose another prefix or directory for this copy, or give the source another `archive_as`",
            ),
            Self::Ahead { source_name, .. } => exit(ExitCode::Integrity).hint(format!(
                "find out whether home has gone back: compare `coldchain list` with the recovery kit. If home is lost, \
                 make the copy home: `coldchain move {} --abandon-home --to` and the copy's name in the config",
                source_name.as_argument()
            )),
            Self::Differs { source_name, .. } => {
                exit(ExitCode::Integrity).hint(verify_there(source_name))
            }
            Self::NotThere { newest: Some(date), .. } => exit(ExitCode::ChainBroken).hint(format!(
                "restore an earlier date: {date} is the newest of which the copy has all; or bring the home back"
            )),
            Self::NotThere { newest: None, .. } => exit(ExitCode::ChainBroken).hint(
                "bring the home back: the copy has no date that could be restored",
            ),
            Self::StillConfigured { .. } => {
                exit(ExitCode::Usage).hint("take it out of `copies` in the config first")
            }
            Self::NeverSeen { .. } => exit(ExitCode::Usage)
                .hint("name it as `coldchain list` does: by its store's name in the config, or by its URL"),
            Self::ListingShort { archive, .. } => exit(ExitCode::Integrity).hint(format!(
                "nothing was deleted; run `coldchain verify` with --place and the copy's name in the config to find \
                 what it has lost of {archive}"
            )),
            Self::NotPruned { source, .. } if source.kind == ErrorKind::Denied => {
                exit(ExitCode::Later).hint(
                    "let the credentials of the copy delete objects, or copy with --no-prune; the next run goes on",
                )
            }
            Self::NotPruned { .. } => {
                exit(ExitCode::Later).hint("run the same command again; it goes on with the rest")
            }
            Self::MarkGone { .. } => exit(ExitCode::Integrity).hint(
                "run `coldchain copy` again to see what the place is now",
            ),
            Self::LeftOut { source_name, .. } => exit(ExitCode::Integrity).hint(format!(
                "run `coldchain verify {} --deep` to see what is damaged; the other archives are copied",
                source_name.as_argument()
            )),
            Self::NotCopied { source, .. }
            | Self::Behind { source, .. } => exit(source.exit_code()).hint_of(source.hint()),
            Self::Unpruned { source, .. } | Self::AfterNight { source, .. } => exit(ExitCode::Later).hint_of(source.hint()),
        }
    }
}

/// Says how to look at a copy.
fn verify_there(source_name: &SourceName) -> String {
    format!(
        "run `coldchain verify {} --place` with the copy's name in the config, to see whether it is damaged or another \
         ledger",
        source_name.as_argument()
    )
}
