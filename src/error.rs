//! The error that ends a command, its hint, and the exit code that scripts rely on.

use std::path::PathBuf;

use chrono::NaiveDate;

use crate::btrfs::{BtrfsError, GuardError};
use crate::catalog::CatalogError;
use crate::config::ConfigError;
use crate::ledger::{LedgerError, Refusal as EntryRefusal};
use crate::model::ids::IdError;
use crate::model::{ArchiveId, SourceName, Uuid};
use crate::plan::{Refusal, RestoreRefusal};
use crate::seal::SealError;
use crate::store::{ErrorKind, StoreError};

/// How a command ends. An unknown code is a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitCode {
    /// Failed: the store is unreachable, the sender failed, an identity opens nothing.
    Failed = 1,
    /// Anything typed or configured: config, date, source, path, recipient, target.
    Usage = 2,
    /// Another run holds the lock.
    Busy = 3,
    /// Archived, but a later step failed.
    Later = 4,
    /// Damage, rollback, fork, a foreign or newer ledger.
    Integrity = 6,
    /// A link of the chain is missing.
    ChainBroken = 7,
    /// A program or a privilege is missing or too old.
    Missing = 8,
    /// Several sources, some of them failed.
    SomeSources = 10,
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The config can't be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Something typed is no name, date or id.
    #[error(transparent)]
    Id(#[from] IdError),
    /// The date or the request does not fit what is archived.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// There is nothing to restore there.
    #[error(transparent)]
    RestoreRefused(#[from] RestoreRefusal),
    /// A btrfs operation failed.
    #[error(transparent)]
    Btrfs(#[from] BtrfsError),
    /// A send stream was refused.
    #[error("the send stream is not whole and sound, and was not archived")]
    Stream(#[source] GuardError),
    /// A stored send stream was refused.
    #[error("the send stream of {archive} was refused before btrfs receive saw the refused part")]
    StoredStream {
        /// The archive.
        archive: ArchiveId,
        /// Why.
        source: GuardError,
    },
    /// Compression or encryption failed.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// A store operation failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The catalog failed.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// A key or an entry could not be made.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
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
    /// A ledger holds entries that this version may read past but not write after.
    #[error("the ledger of `{source_name}` has entries that this version does not know: {what}")]
    NewerLedger {
        /// The source.
        source_name: SourceName,
        /// What was found.
        what: String,
    },
    /// A listing does not show what was stored.
    #[error("{store} lacks or has changed {} of {archive}, {}", count(*.objects, "object"), first)]
    SegmentsMissing {
        /// The archive.
        archive: ArchiveId,
        /// The store's URL.
        store: String,
        /// How many.
        objects: usize,
        /// The key of the first, and what is wrong.
        first: String,
    },
    /// A key is taken by other bytes.
    #[error("{store} has another object under the key {key}")]
    KeyTaken {
        /// The store's URL.
        store: String,
        /// The key.
        key: String,
    },
    /// A stored segment is not what the ledger signed.
    #[error("segment {index} of {archive} is damaged: {what} ({key})")]
    SegmentDamaged {
        /// The archive.
        archive: ArchiveId,
        /// The segment's place.
        index: u32,
        /// Its object.
        key: String,
        /// What is wrong.
        what: String,
    },
    /// A stored segment can't be opened although its bytes are those that were signed.
    #[error("segment {index} of {archive} can't be opened ({key})")]
    SegmentUnreadable {
        /// The archive.
        archive: ArchiveId,
        /// The segment's place.
        index: u32,
        /// Its object.
        key: String,
        /// The cause.
        source: std::io::Error,
    },
    /// The archive key can't be had.
    #[error("could not unlock {archive} with {identity}")]
    Locked {
        /// The archive.
        archive: ArchiveId,
        /// The identity file.
        identity: String,
        /// The cause.
        source: SealError,
    },
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
    /// Reading the send stream failed.
    #[error("could not read the send stream from {from}")]
    ReadStream {
        /// `btrfs send` or stdin.
        from: &'static str,
        /// The cause.
        source: std::io::Error,
    },
    /// `btrfs receive` stopped reading.
    #[error("btrfs receive stopped reading the stream of {archive}")]
    WriteStream {
        /// The archive.
        archive: ArchiveId,
        /// The cause.
        source: std::io::Error,
    },
    /// Another run works on the source.
    #[error("another run of coldchain is working on `{0}`")]
    Busy(SourceName),
    /// The source is archived through `decide` alone.
    #[error("`{0}` has no `subvolume` in the config")]
    NotLive(SourceName),
    /// The snapshots directory is missing.
    #[error("the snapshots directory {} of `{source_name}` is missing", path.display())]
    NoSnapshotsDir {
        /// The source.
        source_name: SourceName,
        /// The directory.
        path: PathBuf,
    },
    /// The snapshots directory is on another filesystem.
    #[error("the snapshots directory {} is not on the filesystem of {}", path.display(), subvolume.display())]
    SnapshotsElsewhere {
        /// The directory.
        path: PathBuf,
        /// The source.
        subvolume: PathBuf,
    },
    /// Something that coldchain did not make has the snapshot's name.
    #[error("{} exists, and coldchain did not make it", .0.display())]
    SnapshotInTheWay(PathBuf),
    /// A snapshot with a received uuid would share its stream uuid with all its siblings.
    #[error("{} has a received uuid ({received}), so its stream would carry the uuid of another subvolume", path.display())]
    SnapshotReceived {
        /// The snapshot or source.
        path: PathBuf,
        /// Its received uuid.
        received: Uuid,
    },
    /// The ledger has this stream already.
    #[error("the stream with uuid {uuid} is archived already, as {archive}")]
    StreamKnown {
        /// Its uuid.
        uuid: Uuid,
        /// The archive.
        archive: ArchiveId,
    },
    /// The keys of the state directory are missing.
    #[error("{} has no {file}", state_dir.display())]
    NoKeys {
        /// The state directory.
        state_dir: PathBuf,
        /// The missing file.
        file: &'static str,
    },
    /// A file that must be private isn't.
    #[error("{} can be read by others (mode {mode:o})", path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// The config now says something that was fixed at the first archive.
    #[error("`{source_name}` was archived to {was}, the config now says {now}")]
    SourceMoved {
        /// The source.
        source_name: SourceName,
        /// Store and directory in the catalog.
        was: String,
        /// Store and directory in the config.
        now: String,
    },
    /// Nothing was ever archived.
    #[error("nothing has been archived of `{0}` yet")]
    NeverArchived(SourceName),
    /// No such archive.
    #[error("there is no archive `{0}`")]
    NoSuchArchive(String),
    /// Several archives answer to that date.
    #[error("several sources have an archive of {date}: {sources}")]
    Ambiguous {
        /// The date.
        date: NaiveDate,
        /// Their names.
        sources: String,
    },
    /// No identity was given.
    #[error("restoring needs an identity")]
    NoIdentity,
    /// The restore's directory is missing.
    #[error("the target directory {} does not exist", .0.display())]
    NoTarget(PathBuf),
    /// Something stands where the restore would go.
    #[error("{} is in the way: {what}", path.display())]
    TargetInTheWay {
        /// The path.
        path: PathBuf,
        /// What it is.
        what: String,
    },
    /// `btrfs receive` might build on a foreign subvolume.
    #[error("{} on this filesystem was received from {archive} too, and btrfs receive might build on it", path.display())]
    ReceivedElsewhere {
        /// The subvolume, relative to the filesystem's root.
        path: PathBuf,
        /// The archive.
        archive: ArchiveId,
    },
    /// What btrfs received is not what was archived.
    #[error("{} was received, but {what}", path.display())]
    ReceivedWrong {
        /// The subvolume.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// The file exists, and nothing is overwritten.
    #[error("{} exists already", .0.display())]
    Exists(PathBuf),
    /// The user said no.
    #[error("stopped: not confirmed")]
    NotConfirmed,
    /// The identity's passphrase or a confirmation could not be asked for.
    #[error("this needs a confirmation, and there is no terminal to ask on")]
    NoTerminal,
    /// Archived, and then something failed.
    #[error("`{source_name}` was archived, but a later step failed")]
    AfterArchive {
        /// The source.
        source_name: SourceName,
        /// The cause.
        source: Box<Error>,
    },
    /// Several sources, and some failed.
    #[error("{failed} of {of} sources failed")]
    SomeSources {
        /// How many.
        failed: usize,
        /// Of how many.
        of: usize,
    },
    /// A span of dates that ends before it begins.
    #[error("{until} is before {from}")]
    Span {
        /// The first date.
        from: NaiveDate,
        /// The last date.
        until: NaiveDate,
    },
    /// stdout or stdin is not what the command needs.
    #[error("{0}")]
    Stdio(&'static str),
}

fn count(n: usize, what: &str) -> String {
    if n == 1 {
        format!("1 {what}")
    } else {
        format!("{n} {what}s")
    }
}

impl Error {
    /// A failed operation on a file or directory.
    pub fn file(doing: &'static str, path: impl Into<PathBuf>, source: std::io::Error) -> Self {
        Self::File {
            doing,
            path: path.into(),
            source,
        }
    }

    /// The code that the process exits with.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Config(_)
            | Self::Id(_)
            | Self::Refused(_)
            | Self::NotLive(_)
            | Self::NoSnapshotsDir { .. }
            | Self::SnapshotsElsewhere { .. }
            | Self::SnapshotInTheWay(_)
            | Self::SnapshotReceived { .. }
            | Self::NoKeys { .. }
            | Self::Exposed { .. }
            | Self::SourceMoved { .. }
            | Self::NeverArchived(_)
            | Self::NoSuchArchive(_)
            | Self::Ambiguous { .. }
            | Self::NoIdentity
            | Self::NoTarget(_)
            | Self::TargetInTheWay { .. }
            | Self::ReceivedElsewhere { .. }
            | Self::Exists(_)
            | Self::NotConfirmed
            | Self::NoTerminal
            | Self::Span { .. }
            | Self::Stdio(_) => ExitCode::Usage,
            Self::RestoreRefused(refusal) => match refusal {
                RestoreRefusal::Broken { .. } => ExitCode::ChainBroken,
                _ => ExitCode::Usage,
            },
            Self::Btrfs(error) => btrfs_code(error),
            Self::Seal(error) if error.is_wrong_input() => ExitCode::Usage,
            Self::Catalog(error) if error.is_integrity() => ExitCode::Integrity,
            Self::Seal(_)
            | Self::Catalog(_)
            | Self::Stream(_)
            | Self::Locked { .. }
            | Self::ReadStream { .. }
            | Self::WriteStream { .. }
            | Self::File { .. }
            | Self::Ledger(_)
            | Self::SegmentsMissing { .. }
            | Self::StreamKnown { .. } => ExitCode::Failed,
            Self::Store(error) => match error.kind {
                ErrorKind::NotAnObject => ExitCode::Integrity,
                ErrorKind::MissingRoot => ExitCode::Usage,
                _ => ExitCode::Failed,
            },
            Self::EntryRefused { .. }
            | Self::LedgerBehind { .. }
            | Self::LedgerForked { .. }
            | Self::NewerLedger { .. }
            | Self::KeyTaken { .. }
            | Self::SegmentDamaged { .. }
            | Self::SegmentUnreadable { .. }
            | Self::StoredStream { .. }
            | Self::ReceivedWrong { .. } => ExitCode::Integrity,
            Self::Busy(_) | Self::Overtaken { .. } => ExitCode::Busy,
            Self::AfterArchive { .. } => ExitCode::Later,
            Self::SomeSources { .. } => ExitCode::SomeSources,
        }
    }

    /// What to do next, where there is something to say.
    pub fn hint(&self) -> Option<String> {
        let text = match self {
            Self::Config(error) => return error.hint(),
            Self::Btrfs(error) => return error.hint(),
            Self::Seal(error) => return error.hint(),
            Self::Store(error) => return error.hint(),
            Self::Catalog(error) => return error.hint().map(str::to_owned),
            Self::Refused(Refusal::Future { .. }) => {
                "check the date and the system clock, or add --date-override"
            }
            Self::Refused(Refusal::AlreadyArchived { .. }) => {
                "a full can be asked for on another date"
            }
            Self::Refused(Refusal::BeforeNewest { .. }) => {
                "archives are made in the order of their dates"
            }
            Self::RestoreRefused(RestoreRefusal::Broken { .. }) => {
                "restore a date of another chain"
            }
            Self::Locked { .. } => {
                "give the identity of one of the recipients that it was sealed to: the recovery kit, or the key file named in your notes"
            }
            Self::Stream(_) => {
                "nothing was committed, and the next run starts anew; a sender that was stopped, frozen or suspended prints such a stream"
            }
            Self::EntryRefused { .. } | Self::LedgerForked { .. } | Self::LedgerBehind { .. } => {
                "nothing was written; compare the store with its copies or older versions before you run again"
            }
            Self::NewerLedger { .. } => "use the coldchain that wrote them, or a later one",
            Self::SegmentsMissing { .. } => "nothing was committed; check the store, and run again",
            Self::SegmentDamaged { .. } | Self::SegmentUnreadable { .. } => {
                "earlier archives of the chain that were restored stay; restore another date, or fetch the object from a copy of the store"
            }
            Self::Busy(_) => "wait for it to end, and run again",
            Self::NotLive(_) => {
                "add `subvolume` and `snapshots`, or feed it through `coldchain decide`"
            }
            Self::NoSnapshotsDir { .. } => "create it, or run `coldchain init`",
            Self::SnapshotsElsewhere { .. } => {
                "btrfs takes a snapshot only within a filesystem: set `snapshots` to a directory on the same one"
            }
            Self::SnapshotInTheWay(_) => "rename it or delete it, and run again",
            Self::SnapshotReceived { .. } => {
                "archive a writable snapshot of it instead: `btrfs subvolume snapshot` drops the received uuid"
            }
            Self::NoKeys { .. } => "run `coldchain init`",
            Self::Exposed { .. } => {
                "run `chmod 600` on it; if others had access, its key is no secret any more"
            }
            Self::SourceMoved { .. } => {
                "set `archive_as` and `store` back, or give the source a new name to begin a new ledger"
            }
            Self::NoSuchArchive(_) | Self::RestoreRefused(_) => {
                "`coldchain list` shows what there is"
            }
            Self::Ambiguous { .. } => "add --source NAME, or give the archive's id",
            Self::NoIdentity => {
                "give --identity FILE, or set COLDCHAIN_IDENTITY_FILE: the recovery kit, an age or an ssh key file"
            }
            Self::NoTarget(_) => {
                "create it on a btrfs filesystem, or name another directory with --to"
            }
            Self::TargetInTheWay { .. } => "move it away, or restore into another directory",
            Self::ReceivedElsewhere { .. } => {
                "restore onto another filesystem, or delete that subvolume first"
            }
            Self::ReceivedWrong { .. } => "do not use it; restore again into an empty directory",
            Self::Exists(_) => "nothing was overwritten; name another file, or move it away",
            Self::NotConfirmed => "nothing was changed",
            Self::NoTerminal => "add --yes",
            _ => return None,
        };
        Some(text.to_owned())
    }
}

fn btrfs_code(error: &BtrfsError) -> ExitCode {
    if error.is_missing_or_old() {
        ExitCode::Missing
    } else if error.is_wrong_path() {
        ExitCode::Usage
    } else {
        ExitCode::Failed
    }
}
