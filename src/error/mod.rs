//! The error that ends a command. Each area has its variants, messages, hints and exit codes in a file of its own.

mod backup;
mod contents;
mod copy;
mod exit_code;
mod extract;
mod files;
mod import;
mod init;
mod keys;
mod ledger;
mod mirror;
mod mirror_link;
mod mount;
mod move_home;
mod prune;
mod pull;
mod rebuild;
mod request;
mod restore;
mod snapshots;
mod take_over;
#[cfg(test)]
mod tests;
mod verify;

use std::borrow::Cow;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::btrfs::BtrfsError;
use crate::catalog::CatalogError;
use crate::config::ConfigError;
use crate::hooks::HookError;
use crate::ledger::LedgerError;
use crate::model::ids::IdError;
use crate::model::{Signal, SourceName};
use crate::owned::Untrusted;
use crate::plan::{BackupRefusal, CopyCostRefusal, CostRefusal, RestoreRefusal};
use crate::seal::SealError;
use crate::store::{ErrorKind, StoreError};

pub use backup::BackupError;
pub use contents::ContentsFault;
pub use copy::CopyError;
pub use exit_code::ExitCode;
pub use extract::ExtractError;
pub use files::FilesError;
pub use import::ImportError;
pub use init::InitError;
pub use keys::KeyError;
pub use ledger::LedgerStateError;
pub use mirror::MirrorError;
pub use mirror_link::{MirrorLinkError, SshFailure};
pub use mount::MountError;
pub use move_home::MoveError;
pub use prune::PruneError;
pub use pull::{PullError, PullFailure};
pub use rebuild::{RebuildError, TwoPlaces};
pub use request::RequestError;
pub use restore::RestoreError;
pub use snapshots::SnapshotError;
pub use take_over::TakeOverError;
pub use verify::VerifyError;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Why a backup stopped, or its archive could not be committed.
    #[error(transparent)]
    Backup(#[from] BackupError),
    /// Why the contents of an archive can't be read, copied or made.
    #[error(transparent)]
    Contents(#[from] ContentsFault),
    /// Why archives can't be copied to another store.
    #[error(transparent)]
    Copy(#[from] CopyError),
    /// Why extracted files can't be written.
    #[error(transparent)]
    Extract(#[from] ExtractError),
    /// Why a file can't be looked at or brought back.
    #[error(transparent)]
    Files(#[from] FilesError),
    /// Why another tool's archives can't be imported, restored or deleted.
    #[error(transparent)]
    Import(#[from] ImportError),
    /// Why a key or a recovery kit can't be used or changed.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// Why the ledger in the store, or the catalog's copy of it, can't be read or written.
    #[error(transparent)]
    LedgerState(#[from] LedgerStateError),
    /// Why a mirror can't be brought up to date.
    #[error(transparent)]
    Mirror(#[from] MirrorError),
    /// Why a mirror on another machine can't be reached or used.
    #[error(transparent)]
    MirrorLink(#[from] MirrorLinkError),
    /// Why archives can't be mounted.
    #[error(transparent)]
    Mount(#[from] MountError),
    /// Why a copy can't be made home.
    #[error(transparent)]
    Move(#[from] MoveError),
    /// Why chains and orphaned objects were not retired, deleted or revived.
    #[error(transparent)]
    Prune(#[from] PruneError),
    /// Why a source can't be pulled.
    #[error(transparent)]
    Pull(#[from] PullError),
    /// Why a ledger or a store could not be read into the catalog.
    #[error(transparent)]
    Rebuild(#[from] RebuildError),
    /// Why what was typed, piped or configured can't be done.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// Why a restore can't begin yet, or stopped.
    #[error(transparent)]
    Restore(#[from] RestoreError),
    /// Why a snapshot can't be made, sent or adopted.
    #[error(transparent)]
    Snapshots(#[from] SnapshotError),
    /// Why another tool's config can't be taken over.
    #[error(transparent)]
    TakeOver(#[from] TakeOverError),
    /// A new config can't be written from what was said.
    #[error(transparent)]
    Init(#[from] InitError),
    /// What a check found, or why it stopped.
    #[error(transparent)]
    Verify(#[from] VerifyError),
    /// The config can't be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Other users can change a kit, the config or the state directory.
    #[error(transparent)]
    Untrusted(#[from] Untrusted),
    /// The text is not a name, date, uuid or id.
    #[error(transparent)]
    Id(#[from] IdError),
    /// The date or the request does not fit what is archived.
    #[error(transparent)]
    Refused(#[from] BackupRefusal),
    /// There is nothing to restore there.
    #[error(transparent)]
    RestoreRefused(#[from] RestoreRefusal),
    /// A restore would cost too much, or the store lacks the tier.
    #[error(transparent)]
    CostRefused(#[from] CostRefusal),
    /// A copy would cost too much, or home lacks the tier.
    #[error(transparent)]
    CopyCostRefused(#[from] CopyCostRefusal),
    /// A btrfs operation failed.
    #[error(transparent)]
    Btrfs(#[from] BtrfsError),
    /// Compression or encryption failed.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// A store operation failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The catalog failed.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// A key or a ledger entry could not be made or read.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// A file or directory operation failed.
    #[error("could not {doing} {}", path.display())]
    File {
        /// What was being done.
        doing: &'static str,
        /// To which path.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// Another run works on the source.
    #[error("another run of coldchain is working on `{0}`")]
    Busy(SourceName),
    /// Another run still works on the source after `--wait-lock`.
    #[error(
        "another run of coldchain is still working on `{source_name}` after {}",
        count_seconds(.waited)
    )]
    StillBusy {
        /// The source.
        source_name: SourceName,
        /// For how long.
        waited: Duration,
    },
    /// Some of several sources failed.
    #[error("{failed} of {of} sources failed")]
    SomeSources {
        /// How many.
        failed: usize,
        /// Of how many.
        of: usize,
    },
    /// `doctor` found failures.
    #[error("{} found", count(*.0, "failure"))]
    Unfit(usize),
    /// `doctor` found failures, one of them in the config.
    #[error("{} found, one of them in the config", count(*.0, "failure"))]
    UnfitConfig(usize),
    /// `doctor` found failures, and a store whose answers can't be trusted.
    #[error("{} found", count(*.0, "failure"))]
    Untrustworthy(usize),
    /// A hook could not be run, or failed.
    #[error(transparent)]
    Hook(#[from] HookError),
    /// The run succeeded, but a hook after it did not.
    #[error("the run of `{source_name}` succeeded, but a hook after it failed")]
    AfterRun {
        /// The source.
        source_name: SourceName,
        /// The cause.
        source: HookError,
    },
    /// A signal stopped the run.
    #[error("interrupted by {0}")]
    Interrupted(Signal),
    /// The run panicked.
    #[error("a fault of coldchain: it panicked")]
    Panicked,
    /// Archives that were due are missing.
    #[error("overdue: {sources}")]
    Overdue {
        /// The sources.
        sources: String,
    },
    /// The answer was printed, and the exit code is a part of it: nothing more is to be said.
    #[error("see the answer")]
    Answered(ExitCode),
    /// The system allows no more threads.
    #[error("cannot start a thread that {that}")]
    Thread {
        /// What it would do.
        that: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
    /// The signal handlers could not be installed.
    #[error("could not listen for signals")]
    Signals(#[source] std::io::Error),
}

const MORE_TASKS: &str = "allow coldchain more tasks: `TasksMax=` of its systemd unit, or the limit on processes of its container";

/// What to do about an error: a command's exit code and, where there is one, a hint.
struct Advice {
    code: ExitCode,
    hint: Option<Cow<'static, str>>,
}

fn exit(code: ExitCode) -> Advice {
    Advice { code, hint: None }
}

impl Advice {
    fn hint(self, hint: impl Into<Cow<'static, str>>) -> Self {
        self.hint_of(Some(hint))
    }

    fn hint_of(self, hint: Option<impl Into<Cow<'static, str>>>) -> Self {
        Self {
            hint: hint.map(Into::into),
            ..self
        }
    }
}

impl Error {
    /// Makes the error of a failed operation on a file or directory.
    pub fn file(doing: &'static str, path: impl Into<PathBuf>, source: io::Error) -> Self {
        Self::File {
            doing,
            path: path.into(),
            source,
        }
    }

    /// Returns the exit code of the process.
    pub fn exit_code(&self) -> ExitCode {
        self.advice().code
    }

    /// Returns what to do next; `None` if there is no advice.
    pub fn hint(&self) -> Option<String> {
        self.advice().hint.map(Cow::into_owned)
    }

    fn advice(&self) -> Advice {
        match self {
            Self::Files(error) => error.advice(),
            Self::Backup(error) => error.advice(),
            Self::Contents(error) => error.advice(),
            Self::Copy(error) => error.advice(),
            Self::Extract(error) => error.advice(),
            Self::Import(error) => error.advice(),
            Self::Key(error) => error.advice(),
            Self::LedgerState(error) => error.advice(),
            Self::Mirror(error) => error.advice(),
            Self::MirrorLink(error) => error.advice(),
            Self::Mount(error) => error.advice(),
            Self::Move(error) => error.advice(),
            Self::Prune(error) => error.advice(),
            Self::Pull(error) => error.advice(),
            Self::Rebuild(error) => error.advice(),
            Self::Request(error) => error.advice(),
            Self::Restore(error) => error.advice(),
            Self::Snapshots(error) => error.advice(),
            Self::TakeOver(error) => error.advice(),
            Self::Init(error) => error.advice(),
            Self::Verify(error) => error.advice(),
            Self::Config(error) => exit(ExitCode::Usage).hint_of(error.hint()),
            Self::Untrusted(untrusted) => exit(ExitCode::Usage).hint(untrusted.hint()),
            Self::Id(_) => exit(ExitCode::Usage),
            Self::Refused(refusal) => exit(ExitCode::Usage).hint(match refusal {
                BackupRefusal::Future { .. } => {
                    "check the date and the system clock, or add --date-override"
                }
                BackupRefusal::AlreadyArchived { .. } => "ask for a full on another date",
                BackupRefusal::BeforeNewest { .. } => {
                    "give a later date. If you did not make that archive, run `coldchain key show \
                     --entries` to see which key signed it; docs/keys.md says what to do"
                }
                BackupRefusal::BeforeUnfinished { .. } => {
                    "give that date or a later one: the run then continues the unfinished \
                     archive"
                }
            }),
            Self::RestoreRefused(refusal) => match refusal {
                RestoreRefusal::Empty { .. } => exit(ExitCode::Usage).hint(request::REBUILD_FINDS),
                RestoreRefusal::NoArchive { .. } => exit(ExitCode::Usage).hint(request::LIST_SHOWS),
                RestoreRefusal::Broken { .. } => exit(ExitCode::ChainBroken).hint(
                    "restore a date of another chain; or put the missing entry back from a copy \
                     or an older version of the store and run `coldchain catalog rebuild`; or use \
                     the catalog from before a rebuild, kept as catalog.db.before-rebuild. \
                     docs/restore-without-coldchain.md says how to restore objects that no entry \
                     names",
                ),
            },
            Self::CostRefused(refusal) => exit(ExitCode::Usage).hint(match refusal {
                CostRefusal::Beyond { .. } => {
                    "nothing was asked for; raise --max-cost, or choose a cheaper --tier"
                }
                CostRefusal::Tier(_) => "nothing was asked for; choose another --tier",
            }),
            Self::CopyCostRefused(refusal) => exit(ExitCode::Usage).hint(match refusal {
                CopyCostRefusal::Beyond { .. } => {
                    "nothing was asked for; raise --max-cost, or choose a cheaper --tier"
                }
                CopyCostRefusal::Tier(_) => "nothing was asked for; choose another --tier",
                CopyCostRefusal::NoPrices(_) => {
                    "add its prices to `[prices]` in the config, or leave --max-cost out"
                }
            }),
            Self::Btrfs(error) => exit(btrfs_code(error)).hint_of(error.hint()),
            Self::Seal(error) if error.is_wrong_input() => {
                exit(ExitCode::Usage).hint_of(error.hint())
            }
            Self::Seal(error) => exit(ExitCode::Failed).hint_of(error.hint()),
            Self::Store(error) => exit(store_code(error)).hint_of(error.hint()),
            Self::Catalog(error) if error.is_integrity() => {
                exit(ExitCode::Integrity).hint_of(error.hint())
            }
            Self::Catalog(error) => exit(ExitCode::Failed).hint_of(error.hint()),
            Self::Ledger(_) | Self::Signals(_) => exit(ExitCode::Failed),
            Self::Thread { .. } => exit(ExitCode::Failed).hint(MORE_TASKS),
            Self::File { source, .. } => exit(ExitCode::Failed).hint_of(file_hint(source)),
            Self::Busy(_) | Self::StillBusy { .. } => {
                exit(ExitCode::Busy).hint("wait for it to end, and run again")
            }
            Self::SomeSources { .. } => exit(ExitCode::SomeSources),
            Self::Overdue { .. } => exit(ExitCode::Overdue)
                .hint("run `coldchain status` to see what is missing, and `coldchain backup` to make it good"),
            Self::Answered(code) => exit(*code),
            Self::Unfit(_) => exit(ExitCode::Failed).hint(EACH_FAILURE),
            Self::UnfitConfig(_) => exit(ExitCode::Usage).hint(EACH_FAILURE),
            Self::Untrustworthy(_) => exit(ExitCode::Integrity).hint(EACH_FAILURE),
            Self::Hook(of) if of.is_of_config() => exit(ExitCode::Usage).hint_of(of.hint()),
            Self::Hook(error) => exit(ExitCode::Failed).hint_of(error.hint()),
            Self::AfterRun { source, .. } => exit(ExitCode::Later).hint_of(source.hint()),
            Self::Panicked => exit(ExitCode::Panicked).hint(
                "run the same command again to continue: what was done is kept. If it panics again, report what it printed",
            ),
            Self::Interrupted(signal) => exit((*signal).into()).hint(
                "run the same command again to continue; what was done is kept, and half-done \
                 work has no effect",
            ),
        }
    }
}

const EACH_FAILURE: &str = "fix each failure above, then run `coldchain doctor` again";

fn btrfs_code(error: &BtrfsError) -> ExitCode {
    if error.is_missing_or_old() {
        ExitCode::Missing
    } else if error.is_wrong_path() {
        ExitCode::Usage
    } else {
        ExitCode::Failed
    }
}

fn store_code(error: &StoreError) -> ExitCode {
    match error.kind {
        // A copy that went cold again while others were fetched.
        ErrorKind::Cold if error.is_of_segment() => ExitCode::Thawing,
        // It lies, or somebody has filled it; whatever was done when it turned out.
        kind if kind.is_without_end() => ExitCode::Integrity,
        ErrorKind::Link | ErrorKind::NotAnObject | ErrorKind::TooLarge => ExitCode::Integrity,
        ErrorKind::NoCredentials
        | ErrorKind::WrongRegion
        | ErrorKind::NoRegion
        | ErrorKind::NoService
        | ErrorKind::OtherEndpoint => ExitCode::Usage,
        _ => ExitCode::Failed,
    }
}

fn file_hint(error: &io::Error) -> Option<&'static str> {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            Some("free some space there, and run again")
        }
        io::ErrorKind::ReadOnlyFilesystem => Some("make it writable, and run again"),
        _ => None,
    }
}

/// Returns an error with its causes on one line.
pub fn in_words(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text = format!("{text}: {next}");
        cause = next.source();
    }
    text
}

fn count(n: usize, what: &str) -> String {
    if n == 1 {
        format!("1 {what}")
    } else {
        format!("{n} {what}s")
    }
}

fn count_seconds(time: &Duration) -> String {
    count(
        usize::try_from(time.as_secs()).unwrap_or(usize::MAX),
        "second",
    )
}
