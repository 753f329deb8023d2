//! Why what was typed, piped or configured can't be done.

use std::path::PathBuf;

use chrono::NaiveDate;

use super::{Advice, ExitCode, exit};
use crate::model::SourceName;

pub(super) const REBUILD_FINDS: &str = "run `coldchain catalog rebuild --identity KIT` if the store has archives of an earlier \
     catalog or of another machine";
pub(super) const LIST_SHOWS: &str = "`coldchain list` shows what there is";

/// Why what was typed, piped or configured can't be done.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// The config's store or directory differs from those of the source's archives.
    #[error("`{source_name}` was archived to {was}, the config now says {now}")]
    SourceMoved {
        /// The source.
        source_name: SourceName,
        /// Store and directory in the catalog.
        was: String,
        /// Store and directory in the config.
        now: String,
    },
    /// The source has no archive.
    #[error("nothing has been archived of `{0}` yet")]
    NeverArchived(SourceName),
    /// `forget` was given a source that the config names.
    #[error("cannot forget `{0}`: the config still names it")]
    StillConfigured(SourceName),
    /// `forget` was given a source that the catalog does not have.
    #[error("the catalog has no source `{0}`")]
    NeverSeen(SourceName),
    /// No such archive.
    #[error("there is no archive `{0}`")]
    NoSuchArchive(String),
    /// `explain` does not know what it was asked.
    #[error("there is nothing to explain by the name `{word}`")]
    NoSuchTopic {
        /// What was typed.
        word: String,
        /// The known word that was probably meant.
        nearest: Option<String>,
    },
    /// No source has an archive.
    #[error("nothing has been archived yet")]
    NothingArchived,
    /// Several archives match what was typed.
    #[error("several sources have {which}: {sources}")]
    Ambiguous {
        /// What was asked for, with its article.
        which: String,
        /// Their names.
        sources: String,
    },
    /// The file to write exists already.
    #[error("{} exists already", .0.display())]
    Exists(PathBuf),
    /// What is to be replaced is no plain file.
    #[error("cannot write {}: it is {}", .0.display(), .1)]
    NoPlainFile(PathBuf, &'static str),
    /// The user said no.
    #[error("stopped: not confirmed")]
    NotConfirmed,
    /// The command needs a confirmation, and there is neither a terminal nor `--yes`.
    #[error("this needs a confirmation, and there is no terminal to ask on")]
    NoTerminal,
    /// A span of dates that ends before it begins.
    #[error("{until} is before {from}")]
    Span {
        /// The first date.
        from: NaiveDate,
        /// The last date.
        until: NaiveDate,
    },
    /// The arguments contradict each other, or some are missing.
    #[error("{0}")]
    CommandLine(String),
    /// The command can't use this stdin or stdout.
    #[error("{0}")]
    Stdio(&'static str),
}

impl RequestError {
    pub(super) fn advice(&self) -> Advice {
        match self {
            Self::SourceMoved { .. } => exit(ExitCode::Usage).hint(
                "set `archive_as` and `store` back; if the store itself has moved with all that \
                 is in it, run `coldchain catalog rebuild`; or give the source a new name to \
                 begin a new ledger",
            ),
            Self::NeverArchived(_) | Self::NothingArchived => {
                exit(ExitCode::Usage).hint(REBUILD_FINDS)
            }
            Self::StillConfigured(_) => {
                exit(ExitCode::Usage).hint("take its [[source]] out of the config first")
            }
            Self::NeverSeen(_) => exit(ExitCode::Usage).hint("`coldchain list` shows the sources"),
            Self::NoSuchArchive(_) => exit(ExitCode::Usage).hint(LIST_SHOWS),
            Self::NoSuchTopic { nearest, .. } => exit(ExitCode::Usage).hint(match nearest {
                Some(nearest) => format!("run `coldchain explain {nearest}`"),
                None => "`coldchain explain` lists what there is".to_owned(),
            }),
            Self::Ambiguous { .. } => {
                exit(ExitCode::Usage).hint("name the source too, or give the archive's id")
            }
            Self::Exists(_) => exit(ExitCode::Usage)
                .hint("nothing was overwritten; name another file, or move it away"),
            Self::NoPlainFile(..) => exit(ExitCode::Usage)
                .hint("nothing was written; name a plain file, or one that does not exist yet"),
            Self::NotConfirmed => exit(ExitCode::Usage).hint("nothing was changed"),
            Self::NoTerminal => exit(ExitCode::Usage)
                .hint("add --yes to run without a confirmation; nothing was changed"),
            Self::Span { .. } | Self::CommandLine(_) | Self::Stdio(_) => exit(ExitCode::Usage),
        }
    }
}
