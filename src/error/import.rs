//! Why another tool's archives can't be imported, restored or deleted.

use std::path::PathBuf;

use chrono::NaiveDate;

use super::{Advice, ExitCode, exit};
use crate::btrfs::GuardError;
use crate::catalog::BtrsendDbError;
use crate::gpg::{GpgError, GzipError};
use crate::model::size::Bytes;
use crate::model::{ArchiveId, SourceName};
use crate::plan::ImportRefusal;
use crate::store::StoreError;

/// Why another tool's archives can't be imported, restored or deleted.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The database can't be read.
    #[error(transparent)]
    Database(#[from] BtrsendDbError),
    /// What the database says can't be believed.
    #[error("cannot import {}: {refusal}", path.display())]
    Refused {
        /// The database.
        path: PathBuf,
        /// Why.
        refusal: Box<ImportRefusal>,
    },
    /// The store is no vault.
    #[error("cannot import from the store `{store}`: it is not of type \"glacier-vault\"")]
    NoVault {
        /// The store's name in the config.
        store: String,
    },
    /// The config has no store of that name.
    #[error("the config has no store `{store}`")]
    NoStore {
        /// The name.
        store: String,
    },
    /// A source has the name.
    #[error("cannot import by the name `{name}`: a source has it")]
    NameTaken {
        /// The name.
        name: SourceName,
    },
    /// The store names another vault than the one that was imported from.
    #[error("`{name}` was imported from the vault {imported}, and the store `{store}` is {found}")]
    OtherVault {
        /// What was imported.
        name: SourceName,
        /// The store's name in the config.
        store: String,
        /// The vault and region of the import.
        imported: String,
        /// Those of the store now.
        found: String,
    },
    /// Nothing was imported by that name.
    #[error("nothing was imported by the name `{name}`")]
    Unknown {
        /// The name.
        name: SourceName,
    },
    /// There is no such archive.
    #[error("`{name}` has no archive{}", date.map(|date| format!(" of {date}")).unwrap_or_default())]
    NoArchive {
        /// What was imported.
        name: SourceName,
        /// The date; `None` if it has none at all.
        date: Option<NaiveDate>,
    },
    /// The vault has deleted it.
    #[error("cannot restore {archive}: it was deleted from the vault")]
    Deleted {
        /// The archive.
        archive: ArchiveId,
    },
    /// It has no bytes.
    #[error("cannot restore {archive}: btrsend recorded it with the size 0, so it has no content")]
    Empty {
        /// The archive.
        archive: ArchiveId,
    },
    /// An archive that it builds on is not known.
    #[error(
        "cannot restore {archive}: it builds on the archive of {parent}, which btrsend's database does not have"
    )]
    Broken {
        /// The archive.
        archive: ArchiveId,
        /// The date of the missing one.
        parent: NaiveDate,
    },
    /// The spool can't be used.
    #[error("cannot use {} as a spool: {what}", path.display())]
    Spool {
        /// The directory.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// The spool has not the room.
    #[error(
        "the spool {} has not the room: {} are needed, {} are free",
        path.display(), Bytes(*needed), Bytes(*free)
    )]
    NoRoom {
        /// The directory.
        path: PathBuf,
        /// How many bytes are needed.
        needed: u64,
        /// How many are free.
        free: u64,
    },
    /// The vault is retrieving archives, which takes hours.
    #[error("{name}: {here} of {of} parts are here, {awaited} are being retrieved{}", after_that(*.later))]
    Retrieving {
        /// What was imported.
        name: SourceName,
        /// How many parts are in the spool.
        here: usize,
        /// How many are needed.
        of: usize,
        /// How many are being retrieved.
        awaited: usize,
        /// How many are asked for when those are here.
        later: usize,
    },
    /// The vault has another size for it.
    #[error("{archive} has {found} bytes in the vault, and btrsend's database says {recorded}")]
    OtherSize {
        /// The archive.
        archive: ArchiveId,
        /// The database's.
        recorded: u64,
        /// The vault's.
        found: u64,
    },
    /// What was fetched has another tree hash.
    #[error(
        "part {part} of {archive} came with other bytes than the vault has: the tree hashes differ"
    )]
    PartDamaged {
        /// The archive.
        archive: ArchiveId,
        /// The number of the part, from 0.
        part: u64,
    },
    /// gpg did not decrypt it.
    #[error("cannot decrypt {archive}")]
    Gpg {
        /// The archive.
        archive: ArchiveId,
        /// Why.
        source: Box<GpgError>,
    },
    /// gpg can't be used at all.
    #[error(transparent)]
    NoGpg(Box<GpgError>),
    /// It can't be decompressed.
    #[error("cannot decompress {archive}")]
    Gzip {
        /// The archive.
        archive: ArchiveId,
        /// Why.
        source: Box<GzipError>,
    },
    /// The guard refused the stream.
    #[error("the guard refused the send stream of {archive}: btrsend stored it as it is")]
    Stream {
        /// The archive.
        archive: ArchiveId,
        /// Why.
        source: Box<GuardError>,
    },
    /// The stream of an incremental is a full one.
    #[error(
        "the send stream of {archive} is a full one, and btrsend's database says that it builds on another archive"
    )]
    NotIncremental {
        /// The archive.
        archive: ArchiveId,
    },
    /// The number of archives to delete was not agreed to.
    #[error("prune would delete {archives} of `{name}` from the vault{}", said(*.agreed))]
    NotAgreed {
        /// What was imported.
        name: SourceName,
        /// How many archives there are.
        archives: usize,
        /// How many were agreed to.
        agreed: Option<usize>,
    },
    /// Some archives could not be deleted.
    #[error("{kept} of {of} archives of `{name}` could not be deleted")]
    Kept {
        /// What was imported.
        name: SourceName,
        /// How many are still there.
        kept: usize,
        /// Of how many.
        of: usize,
        /// Why, of the first.
        source: Box<StoreError>,
    },
}

fn after_that(later: usize) -> String {
    match later {
        0 => String::new(),
        later => format!(", {later} are asked for after that"),
    }
}

fn said(agreed: Option<usize>) -> String {
    agreed.map_or_else(String::new, |agreed| {
        format!(", and --yes-delete says {agreed}")
    })
}

impl ImportError {
    /// Returns whether the archive itself is at fault: it was fetched whole, and can't be restored.
    pub fn is_of_archive(&self) -> bool {
        match self {
            Self::Gpg { source, .. } => !source.is_of_this_machine(),
            Self::Gzip { source, .. } => !matches!(**source, GzipError::Read(_)),
            Self::Stream { .. } | Self::NotIncremental { .. } => true,
            _ => false,
        }
    }

    pub(super) fn advice(&self) -> Advice {
        match self {
            Self::Database(error) => exit(ExitCode::Usage).hint_of(error.hint()),
            Self::Refused { refusal, .. } => exit(ExitCode::Usage).hint(match **refusal {
                ImportRefusal::Contradiction { .. } => {
                    "check that it is the database of the same user; to import another one beside it, give it another --name"
                }
                ImportRefusal::OtherVault { .. } => {
                    "name the store of that vault with --vault, or add one to the config"
                }
                ImportRefusal::Empty => "give the database of a btrsend that has stored something",
                _ => {
                    "copy the database, correct the row in the copy with sqlite3, and import the copy; nothing was imported"
                }
            }),
            Self::NoVault { .. } | Self::NoStore { .. } => exit(ExitCode::Usage).hint(
                "add a [store.NAME] with `type = \"glacier-vault\"`, the vault's name and region, and name it with --vault",
            ),
            Self::NameTaken { .. } => exit(ExitCode::Usage).hint("choose another --name"),
            Self::OtherVault { .. } => exit(ExitCode::Usage)
                .hint("correct the vault and the region of that store in the config"),
            Self::Unknown { .. } => exit(ExitCode::Usage).hint(
                "run `coldchain list` to see what was imported; `coldchain import btrsend --db FILE --vault STORE` imports",
            ),
            Self::NoArchive { .. } | Self::Deleted { .. } => exit(ExitCode::Usage)
                .hint("run `coldchain list --all` to see which archives there are"),
            Self::Empty { .. } => exit(ExitCode::ChainBroken)
                .hint("restore another date, which does not build on it"),
            Self::Broken { .. } => exit(ExitCode::ChainBroken).hint(
                "restore a date of another chain; or import an older copy of the database that has the missing row; or \
                 write the stream out with --stream",
            ),
            Self::Spool { .. } => exit(ExitCode::Usage)
                .hint("name a directory of your own with --spool, which only you can write to"),
            Self::NoRoom { .. } => exit(ExitCode::Failed).hint(
                "name a directory on a larger filesystem with --spool; nothing was asked for from the vault",
            ),
            Self::Retrieving { .. } => exit(ExitCode::Thawing)
                .hint("run the same command again later: it continues where it stopped"),
            Self::OtherSize { .. } => exit(ExitCode::Integrity)
                .hint("check that the store's vault and account are those that btrsend used"),
            Self::PartDamaged { .. } => exit(ExitCode::Integrity)
                .hint("run the same command again: it fetches that part again, which costs no new retrieval"),
            Self::NoGpg(source) => {
                let code = if source.is_missing() {
                    ExitCode::Missing
                } else if source.is_wrong_input() {
                    ExitCode::Usage
                } else {
                    ExitCode::Failed
                };
                exit(code).hint_of(source.hint())
            }
            Self::Gpg { source, .. } => {
                let code = if source.is_missing() {
                    ExitCode::Missing
                } else if source.is_of_this_machine() {
                    ExitCode::Failed
                } else {
                    ExitCode::Integrity
                };
                exit(code).hint_of(source.hint())
            }
            Self::Gzip { .. } | Self::Stream { .. } | Self::NotIncremental { .. } => {
                exit(ExitCode::Integrity).hint(
                    "restore another date: btrsend stored whatever its programs printed, also when they failed. What was \
                     fetched stays in the spool",
                )
            }
            Self::NotAgreed { name, archives, .. } => exit(ExitCode::Usage).hint(format!(
                "run `coldchain list --all` to see them; to delete all of them for ever, run `coldchain prune --imported {name} \
                 --yes-delete {archives}`"
            )),
            Self::Kept { source, .. } => exit(ExitCode::Later).hint_of(source.hint()),
        }
    }
}
