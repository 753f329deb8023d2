//! Why a file can't be looked at or brought back.

use std::path::{Path, PathBuf};

use chrono::NaiveDate;

use super::{Advice, Error, ExitCode, exit};
use crate::files_db::{FilesDbError, IndexReadError};
use crate::model::{ArchiveId, SnapshotName, SourceName, shell};

impl From<IndexReadError> for Error {
    fn from(error: IndexReadError) -> Self {
        Self::Files(error.into())
    }
}

impl From<FilesDbError> for Error {
    fn from(error: FilesDbError) -> Self {
        Self::Files(error.into())
    }
}

/// Why a file can't be looked at or brought back.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    /// The path is in no source.
    #[error("{} is in no source; the sources are {sources}", path.display())]
    OfNoSource {
        /// The path, absolute.
        path: PathBuf,
        /// The sources, each with its subvolume.
        sources: String,
    },
    /// There is nothing to look at.
    #[error("there is no snapshot of `{source_name}` here, and no copy at an attached mirror")]
    NoCopies {
        /// The source.
        source_name: SourceName,
    },
    /// No copy has the file.
    #[error("no snapshot and no mirror's copy here has {} ({copies} looked at)", file.display())]
    InNoCopy {
        /// The file, as `source:path`.
        file: PathBuf,
        /// How many copies there are.
        copies: usize,
    },
    /// Only an archive has the file, and nothing was given that opens it.
    #[error("no snapshot and no mirror's copy here has {}, but the archive of {date} has it", file.display())]
    InArchiveAlone {
        /// The file, as `source:path`.
        file: PathBuf,
        /// The archive's date.
        date: NaiveDate,
    },
    /// The file is in a nested subvolume.
    #[error("no snapshot of `{source_name}` has what is in {}: it is a subvolume of its own", nested.display())]
    Nested {
        /// The source.
        source_name: SourceName,
        /// The nested subvolume.
        nested: PathBuf,
    },
    /// No copy of that time or before has the file.
    #[error("there is no version of {} from {before} or before", file.display())]
    NoneSoOld {
        /// The file, as `source:path`.
        file: PathBuf,
        /// The time.
        before: String,
    },
    /// The time that was asked for is before all calendars.
    #[error("cannot look back so far: no calendar has that date")]
    TooFarBack,
    /// No plain copy has this date.
    #[error(
        "there is no snapshot {date} of `{source_name}` here, and no copy of it at an attached mirror"
    )]
    NoCopyOf {
        /// The source.
        source_name: SourceName,
        /// The name that was asked for.
        date: SnapshotName,
        /// Whether the catalog has an archive of that date.
        is_archived: bool,
    },
    /// The copy of this date does not have the file.
    #[error("the copy of {date} does not have {}", file.display())]
    NotInCopy {
        /// The file, as `source:path`.
        file: PathBuf,
        /// The copy's name.
        date: SnapshotName,
    },
    /// No archive of the source is in its file index.
    #[error("none of the archives of `{source_name}` is in the file index here ({archived})")]
    NotIndexed {
        /// The source.
        source_name: SourceName,
        /// How many archives it has, in words.
        archived: String,
        /// Whether any of them has contents, from which it can be indexed.
        has_contents: bool,
    },
    /// The file index can't be made anew.
    #[error(
        "cannot make the file index of `{source_name}` anew: none of its archives can be indexed ({archives} tried); the old one is as it was"
    )]
    NotMadeAnew {
        /// The source.
        source_name: SourceName,
        /// How many archives it has.
        archives: usize,
    },
    /// No indexed archive is so old.
    #[error("no archive of `{source_name}` with an index of its files is from {before} or before")]
    NoIndexSoOld {
        /// The source.
        source_name: SourceName,
        /// The date that was asked for.
        before: NaiveDate,
        /// The date of the oldest that is indexed.
        oldest: NaiveDate,
    },
    /// The archive of that id is not indexed.
    #[error("the archive {archive} of `{source_name}` is not in the file index here")]
    ArchiveNotIndexed {
        /// The source.
        source_name: SourceName,
        /// The archive.
        archive: ArchiveId,
    },
    /// An archive does not have the file.
    #[error("the archive of {date} does not have {}", file.display())]
    NotInArchive {
        /// The file, as `source:path`.
        file: PathBuf,
        /// The archive's date.
        date: NaiveDate,
        /// The dates of the first and of the last archive that has it; `None` if none has.
        exists: Option<(NaiveDate, NaiveDate)>,
    },
    /// No plain copy is so old, but an archive has the file.
    #[error(
        "no snapshot and no mirror's copy here has {} from {before} or before, but the archive of {date} has it", file.display()
    )]
    OnlyArchived {
        /// The file, as `source:path`.
        file: PathBuf,
        /// The time.
        before: String,
        /// The archive's date.
        date: NaiveDate,
        /// The source.
        source_name: SourceName,
    },
    /// No user has this name here.
    #[error("no user of this machine has the name `{0}`")]
    UnknownOwner(String),
    /// The file index can't be brought up to date.
    #[error(transparent)]
    IndexDb(#[from] FilesDbError),
    /// The file index can't be read.
    #[error(transparent)]
    Index(#[from] IndexReadError),
    /// What is to be written exists already.
    #[error("cannot write {}: it exists already", .0.display())]
    TargetExists(PathBuf),
    /// A directory is in the place of what is to be written.
    #[error("cannot replace {}: it is a directory", .0.display())]
    TargetIsDirectory(PathBuf),
    /// The directory to write into does not exist, or the name is none.
    #[error("cannot write {}: there is no such directory", .0.display())]
    NoTargetDirectory(PathBuf),
}

impl FilesError {
    pub(super) fn advice(&self) -> Advice {
        match self {
            Self::OfNoSource { .. } => exit(ExitCode::Usage)
                .hint("give a path below a source's subvolume, or SOURCE:PATH"),
            Self::NoCopies { source_name } => exit(ExitCode::Failed).hint(format!(
                "attach a mirror, or run `coldchain list {}` to see what is archived",
                source_name.as_argument()
            )),
            Self::InNoCopy { .. } => exit(ExitCode::Failed).hint(
                "check the path; it is below the subvolume's root, and a link on the way is not followed",
            ),
            Self::InArchiveAlone { .. } => exit(ExitCode::Failed)
                .hint("add --identity FILE with the recovery kit to bring it from there; it says first what that costs"),
            Self::Nested { .. } => exit(ExitCode::Failed)
                .hint("add a [[source]] for that subvolume: a snapshot ends where another subvolume begins"),
            Self::NoneSoOld { file, .. } | Self::NotInCopy { file, .. } => {
                exit(ExitCode::Failed).hint(format!(
                    "run `coldchain history {}` to see its versions",
                    shell::path(file)
                ))
            }
            Self::TooFarBack => exit(ExitCode::Usage).hint("give a smaller number"),
            Self::NoCopyOf {
                source_name,
                date,
                is_archived: true,
            } => exit(ExitCode::Failed).hint(format!(
                "run `coldchain restore {} {} --to DIR`, and copy the file from there: it is archived",
                source_name.as_argument(),
                date.date
            )),
            Self::NoCopyOf {
                source_name,
                is_archived: false,
                ..
            } => exit(ExitCode::Usage).hint(format!(
                "run `coldchain snapshots {}` to see the dates, or leave out --date for the newest",
                source_name.as_argument()
            )),
            Self::NotIndexed {
                has_contents: true, ..
            } => exit(ExitCode::Failed).hint(
                "add --identity FILE to index them from their contents: nothing is thawed for it",
            ),
            Self::NotIndexed {
                source_name,
                has_contents: false,
                ..
            } => exit(ExitCode::Failed).hint(format!(
                "run `coldchain index {} --plan` to see what it costs to make their contents: they have none",
                source_name.as_argument()
            )),
            Self::NotMadeAnew { source_name, .. } => exit(ExitCode::Failed).hint(format!(
                "fix what the warnings say; for archives without contents, run `coldchain index {}` first",
                source_name.as_argument()
            )),
            Self::NoIndexSoOld { oldest, .. } => {
                exit(ExitCode::Usage).hint(format!("add --date {oldest} for the oldest that is indexed"))
            }
            Self::ArchiveNotIndexed { .. } => {
                exit(ExitCode::Usage).hint("add --identity FILE to index it, or take another --date")
            }
            Self::NotInArchive {
                file,
                exists: Some((first, last)),
                ..
            } => exit(ExitCode::Failed).hint(format!(
                "it exists from {first} to {last}: add --date {last}, or run `coldchain history {}`",
                shell::path(file)
            )),
            Self::NotInArchive {
                file, exists: None, ..
            } => exit(ExitCode::Failed).hint(look_for(file)),
            Self::OnlyArchived {
                date, source_name, ..
            } => exit(ExitCode::Failed).hint(format!(
                "run `coldchain restore {} {date} --to DIR`, and copy the file from there",
                source_name.as_argument()
            )),
            Self::UnknownOwner(_) => {
                exit(ExitCode::Usage).hint("give the user's number: an archive has numbers alone")
            }
            Self::IndexDb(error) => exit(ExitCode::Failed).hint(of_index(error)),
            Self::Index(error) => exit(ExitCode::Failed).hint(format!(
                "delete {}: it is made anew from the contents of the archives",
                shell::path(error.path())
            )),
            Self::TargetExists(_) => exit(ExitCode::Usage)
                .hint("give another name with --to, or add --force to replace a file"),
            Self::TargetIsDirectory(_) => exit(ExitCode::Usage).hint(
                "move it away, or give another name with --to: no directory is ever replaced",
            ),
            Self::NoTargetDirectory(_) => {
                exit(ExitCode::Usage).hint("create it, or give another path with --to")
            }
        }
    }
}

/// What to do about an index that can't be used.
fn of_index(error: &FilesDbError) -> &'static str {
    match error {
        FilesDbError::Busy(_) => "wait until it has ended, then run the command again",
        error if error.is_damage() => {
            "delete the directory `files` in the state directory: it is made anew from the contents of the archives"
        }
        _ => {
            "check that the state directory can be written and has free space, then run the command again"
        }
    }
}

/// How to look for a file whose path is in no archive.
fn look_for(file: &Path) -> String {
    let name = file.file_name().unwrap_or_default();
    let text = file.as_os_str().to_string_lossy();
    let source_name = text.split(':').next().unwrap_or_default();
    format!(
        "check the path, or run `coldchain find {source_name}: --all-dates --name {}` to look for the name",
        shell::path(Path::new(name))
    )
}
