//! Why a restore can't begin yet, or stopped.

use std::path::PathBuf;

use chrono::NaiveDate;

use super::{Advice, Error, ExitCode, exit};
use crate::btrfs::GuardError;
use crate::model::size::Bytes;
use crate::model::{
    ArchiveId, CopyKind, MirrorLocation, SnapshotName, SourceName, StreamLabel, Tier,
};
use crate::plan::{Awaited, ThawWindow};
use crate::seal::SealError;
use crate::store::StoreError;

/// Why a restore can't begin yet, or stopped.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// `--max-cost` was given, but the store's prices are not known.
    #[error("cannot apply --max-cost: no prices are known for {0}")]
    NoPrices(String),
    /// The catalog knows no copy of the source in a store.
    #[error("the catalog knows no copy of `{source_name}` in the store `{place}`")]
    NoCopyAt {
        /// The source.
        source_name: SourceName,
        /// The store's name in the config.
        place: String,
    },
    /// The thaw can't be left to a batch job of S3.
    #[error("cannot thaw `{source_name}` by a batch job: {why}")]
    NoBatch {
        /// The source.
        source_name: SourceName,
        /// Why not.
        why: String,
    },
    /// Segments must be thawed first, which takes hours.
    #[error("{0}")]
    Thawing(Box<Awaited>),
    /// An archive is larger than what the line fetches while thawed segments stay readable.
    #[error(
        "cannot restore `{source_name}` straight from the vault: {archive} has {}, and no more can be kept \
         readable at once than {window}",
        Bytes(*bytes)
    )]
    LargerThanWindow {
        /// The source.
        source_name: SourceName,
        /// The archive.
        archive: ArchiveId,
        /// The length of its segments.
        bytes: u64,
        /// How much is thawed at once.
        window: ThawWindow,
    },
    /// The store has no capacity for a retrieval tier now.
    #[error("the tier `{tier}` has no capacity now: only {asked} of {of} segments were requested")]
    NoCapacity {
        /// The tier.
        tier: Tier,
        /// How many segments were requested.
        asked: usize,
        /// How many segments are needed.
        of: usize,
        /// The store's answer.
        source: StoreError,
    },
    /// The guard refused a stored send stream.
    #[error("the guard refused the send stream of {stream}; the refused part was not passed on")]
    StoredStream {
        /// The stream.
        stream: Box<StreamLabel>,
        /// Why.
        source: GuardError,
    },
    /// A stored segment differs from the ledger.
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
    /// A frame of a stored segment can't be read, or has other bytes than the contents of its archive say.
    #[error("frame {} of segment {} of {} is damaged: {what} ({key})", at.2, at.1, at.0)]
    FrameDamaged {
        /// The archive, the segment's place in it, and the frame's number in the segment.
        at: Box<(ArchiveId, u32, u32)>,
        /// The object.
        key: String,
        /// What is wrong.
        what: String,
    },
    /// A stored segment differs from the ledger, and the place that has another is cold.
    #[error("segment {} of {} is damaged: {what} ({key}); the copy in the store `{place}` is cold", at.1, at.0)]
    SegmentColdElsewhere {
        /// The source.
        source_name: SourceName,
        /// The archive, and the segment's place in it.
        at: Box<(ArchiveId, u32)>,
        /// Its object.
        key: String,
        /// What is wrong.
        what: String,
        /// The store's name in the config.
        place: String,
    },
    /// A stored segment has the signed bytes, but can't be opened.
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
    /// The identity does not open the archive key.
    #[error("could not unlock {archive} with {identity}")]
    Locked {
        /// The archive.
        archive: ArchiveId,
        /// The identity file.
        identity: String,
        /// The cause.
        source: SealError,
    },
    /// `btrfs receive` stopped reading.
    #[error("btrfs receive stopped reading the stream of {stream}")]
    WriteStream {
        /// The stream.
        stream: StreamLabel,
        /// The cause.
        source: std::io::Error,
    },
    /// The source has no retired archive of that date.
    #[error("{source_name} has no retired archive{}", date.map(|date| format!(" of {date}")).unwrap_or_default())]
    NoRetired {
        /// The source.
        source_name: SourceName,
        /// The date asked for.
        date: Option<NaiveDate>,
    },
    /// No identity was given.
    #[error("this command needs an identity")]
    NoIdentity,
    /// The file of `--from-plan` is not a plan, or does not fit the archives here.
    #[error("can't restore from the plan {}: {what}", path.display())]
    PlanFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// The restore's directory is missing.
    #[error("there is no target directory {}", .0.display())]
    NoTarget(PathBuf),
    /// The restore's directory lies in the source itself.
    #[error("cannot restore into {}: it lies in the subvolume of `{source_name}`", path.display())]
    TargetInSource {
        /// The directory.
        path: PathBuf,
        /// The source.
        source_name: SourceName,
    },
    /// No copy of what is wanted can be taken, or none of the kind that was asked for.
    #[error(
        "cannot restore {wanted} of `{source_name}`{}: {why}",
        from.map(|from| format!(" from a {from}")).unwrap_or_default()
    )]
    NoCopy {
        /// The source.
        source_name: SourceName,
        /// The name, or what was asked for in its place.
        wanted: String,
        /// What `--from` asks for.
        from: Option<CopyKind>,
        /// Why each place has none.
        why: String,
        /// Why it can't be restored from the store; `None` if that was not asked for, or the source has none.
        source: Option<Box<Error>>,
    },
    /// The copy that was chosen is not there any more, or has changed.
    #[error(
        "the copy {name} of `{source_name}` at the mirror {to} is not there any more, or was changed"
    )]
    CopyGone {
        /// The source.
        source_name: SourceName,
        /// Its name.
        name: SnapshotName,
        /// The mirror.
        to: Box<MirrorLocation>,
    },
    /// Something is at the path that the restore needs.
    #[error("{} is in the way: {what}", path.display())]
    TargetInTheWay {
        /// The path.
        path: PathBuf,
        /// What it is.
        what: String,
    },
    /// The target has another subvolume with the same received uuid, which `btrfs receive` might build on.
    #[error("{} on this filesystem was received from {stream} too, and btrfs receive might build on it", path.display())]
    ReceivedElsewhere {
        /// The subvolume, relative to the filesystem's root.
        path: PathBuf,
        /// What was restored, or is to be.
        stream: StreamLabel,
        /// The mirror on this filesystem, if there is one.
        mirror: Option<Box<MirrorLocation>>,
    },
    /// The received subvolume differs from the archive.
    #[error("{} was received, but {what}", path.display())]
    ReceivedWrong {
        /// The subvolume.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
}

impl RestoreError {
    pub(super) fn advice(&self) -> Advice {
        match self {
            Self::NoPrices(_) => exit(ExitCode::Usage)
                .hint("add its prices to `[prices]` in the config, or leave --max-cost out"),
            Self::NoCopyAt { source_name, place } => exit(ExitCode::Usage).hint(format!(
                "run `coldchain copy {} --to {place}`, which makes the copy, or recognizes one that is there",
                source_name.as_argument()
            )),
            Self::NoBatch { .. } => exit(ExitCode::Usage).hint(
                "leave --batch out: `coldchain thaw` then sends a request for each segment",
            ),
            Self::Thawing(awaited) => exit(ExitCode::Thawing).hint(awaited.hint()),
            Self::NoCapacity { .. } => exit(ExitCode::Failed).hint(
                "run the same command again later, or use --tier standard, which always has \
                 capacity; the requested segments are thawing",
            ),
            Self::LargerThanWindow { source_name, .. } => exit(ExitCode::Failed).hint(format!(
                "add a store of type `dir` to the config and run `coldchain copy {0} --to STORE`, which thaws and \
                 copies a part at a time; then restore with `coldchain restore {0} --place STORE`",
                source_name.as_argument()
            )),
            Self::StoredStream { .. } => exit(ExitCode::Integrity),
            Self::FrameDamaged { .. } => exit(ExitCode::Integrity).hint(
                "take the files that need it from another date, or put the object back from a copy of the store",
            ),
            Self::SegmentDamaged { .. } | Self::SegmentUnreadable { .. } => {
                exit(ExitCode::Integrity).hint(
                    "restore another date, or put the object back from a copy of the store; the \
                 archives that are already restored stay",
                )
            }
            Self::SegmentColdElsewhere {
                source_name,
                at,
                place,
                ..
            } => exit(ExitCode::Integrity).hint(format!(
                "run `coldchain thaw {} --date {} --place {place}`, wait until all is readable, and run the same command again",
                source_name.as_argument(),
                at.0.date
            )),
            Self::Locked { .. } => exit(ExitCode::Failed).hint(
                "give the identity of one of the recipients that it was sealed to: the recovery \
                 kit, or the key file named in your notes",
            ),
            Self::WriteStream { .. } => exit(ExitCode::Failed),
            Self::NoRetired { .. } => exit(ExitCode::Usage).hint(
                "run `coldchain list --all` to see what was retired; after `coldchain catalog \
                 rebuild` it also shows what another machine retired",
            ),
            Self::NoIdentity => exit(ExitCode::Usage).hint(
                "give --identity FILE, or set COLDCHAIN_IDENTITY_FILE: the recovery kit, an age \
                 or an ssh key file",
            ),
            Self::PlanFile { .. } => exit(ExitCode::Usage)
                .hint("make a new plan: `coldchain restore SOURCE --plan --json > FILE`"),
            Self::NoTarget(_) => exit(ExitCode::Usage)
                .hint("create it on a btrfs filesystem, or name another directory with --to"),
            Self::TargetInSource { .. } => {
                exit(ExitCode::Usage).hint("give a directory outside of the source with --to")
            }
            Self::TargetInTheWay { .. } => {
                exit(ExitCode::Usage).hint("move it away, or restore into another directory")
            }
            Self::NoCopy {
                from: Some(_), ..
            } => exit(ExitCode::Failed)
                .hint("leave --from out to take the nearest copy that there is"),
            Self::NoCopy { source: Some(source), .. } => {
                exit(source.exit_code()).hint_of(source.hint())
            }
            Self::NoCopy { .. } => exit(ExitCode::Failed).hint(
                "run `coldchain snapshots` to see what there is here; attach the disks of its mirrors, if it has any",
            ),
            Self::CopyGone { .. } => {
                exit(ExitCode::Failed).hint("run the command again: it looks for another copy")
            }
            Self::ReceivedElsewhere {
                mirror: Some(mirror), ..
            } => exit(ExitCode::Usage).hint(format!(
                "leave --from out, or give --from mirror, to take the copy of the mirror {mirror}, which is on this \
                 filesystem; or restore onto another filesystem",
            )),
            Self::ReceivedElsewhere { .. } => exit(ExitCode::Usage).hint(
                "restore onto another filesystem; or look at that subvolume with `btrfs \
                 subvolume show`, and delete it if you don't need it",
            ),
            Self::ReceivedWrong { .. } => exit(ExitCode::Integrity)
                .hint("do not use it; restore again into an empty directory"),
        }
    }
}
