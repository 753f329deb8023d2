//! Why a copy can't be made home.

use super::{Advice, Error, ExitCode, exit};
use crate::model::{ArchiveId, SourceName};

/// Why a copy can't be made home.
#[derive(Debug, thiserror::Error)]
pub enum MoveError {
    /// The place is no copy.
    #[error("cannot move `{source_name}` to {store}: it has no copy of it")]
    NoCopy {
        /// The source.
        source_name: SourceName,
        /// The store's URL.
        store: String,
    },
    /// The place is a vault, in which there are no copies.
    #[error(
        "cannot move `{source_name}` to {store}: a vault can't have copies, so none can become home"
    )]
    IntoVault {
        /// The source.
        source_name: SourceName,
        /// The store's URL.
        store: String,
    },
    /// The copy lacks ledger entries of home.
    #[error(
        "cannot move `{source_name}` to {store}: that copy lacks ledger entry {seq}, which home has"
    )]
    Behind {
        /// The source.
        source_name: SourceName,
        /// The copy's URL.
        store: String,
        /// The first entry that it lacks.
        seq: u64,
    },
    /// The copy lacks objects of archives.
    #[error(
        "cannot move `{source_name}` to {store}: that copy does not have all of {archives} of the archives, the first of them {first}"
    )]
    NotWhole {
        /// The source.
        source_name: SourceName,
        /// The copy's URL.
        store: String,
        /// How many archives it does not have whole.
        archives: usize,
        /// The first of them.
        first: ArchiveId,
    },
    /// Home is lost, and the copy has no archive.
    #[error("cannot move `{source_name}` to {store}: that copy has no whole archive")]
    NothingThere {
        /// The source.
        source_name: SourceName,
        /// The copy's URL.
        store: String,
    },
    /// The old home went on after the copy was made home, and the catalog here followed it.
    #[error(
        "cannot move `{source_name}` to {store}: it is home already, and its ledger and the one in {from} have parted"
    )]
    Parted {
        /// The source.
        source_name: SourceName,
        /// The new home.
        store: String,
        /// The old home.
        from: String,
        /// Where the two differ.
        source: Box<Error>,
    },
    /// The config still names the old home.
    #[error(
        "the home of `{source_name}` is {home} since it was moved, and the config still names {configured}"
    )]
    ConfigBehind {
        /// The source.
        source_name: SourceName,
        /// The URL of home.
        home: String,
        /// What the config names.
        configured: String,
        /// The name that the config has for the store of home; `None` if it has none.
        store: Option<String>,
    },
    /// The config names the new home, and the catalog here the old one.
    #[error(
        "`{source_name}` was moved: the config names {configured}, and the catalog here still has {known}"
    )]
    CatalogBehind {
        /// The source.
        source_name: SourceName,
        /// The URL that the catalog has.
        known: String,
        /// The URL that the config names.
        configured: String,
        /// The name that the config has for it.
        store: String,
    },
}

impl MoveError {
    pub(super) fn advice(&self) -> Advice {
        match self {
            Self::NoCopy { source_name, .. } => exit(ExitCode::Usage).hint(format!(
                "run `coldchain copy {source_name} --to STORE` first, or name the store of a copy"
            )),
            Self::IntoVault { .. } => exit(ExitCode::Usage)
                .hint("name the store of a copy with --to, in a directory or a bucket"),
            Self::Behind { source_name, .. } | Self::NotWhole { source_name, .. } => {
                exit(ExitCode::Failed).hint(format!(
                    "run `coldchain copy {source_name} --to STORE`, which brings the copy up to date, and then this \
                     command again; if that copies archives without their contents, run `coldchain index {source_name}` \
                     first. Nothing was changed"
                ))
            }
            Self::NothingThere { .. } => exit(ExitCode::ChainBroken)
                .hint("name the store of another copy. Nothing was changed"),
            Self::Parted { .. } => exit(ExitCode::Integrity).hint(
                "follow docs/moving-house.md, \"An old home comes back\", which says how to restore what \
                 was archived only there. Nothing was changed",
            ),
            Self::CatalogBehind {
                source_name, store, ..
            } => exit(ExitCode::Usage).hint(format!(
                "run `coldchain move {source_name} --to {store}` on this machine too"
            )),
            Self::ConfigBehind {
                source_name, store, ..
            } => exit(ExitCode::Usage).hint(match store {
                Some(store) => format!(
                    "set `store = \"{store}\"` in the [[source]] of `{source_name}`, and take \"{store}\" out of its \
                     `copies`"
                ),
                None => format!(
                    "add a [store.NAME] with that address, and set `store = \"NAME\"` in the [[source]] of \
                     `{source_name}`"
                ),
            }),
        }
    }
}
