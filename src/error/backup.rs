//! Why a backup stopped, or its archive could not be committed.

use super::{Advice, Error, ExitCode, PruneError, count, exit};
use crate::btrfs::GuardError;
use crate::model::ArchiveId;
use crate::model::SourceName;
use crate::model::Uuid;
use crate::model::size::Bytes;

/// Why a backup stopped, or its archive could not be committed.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The guard refused the send stream.
    #[error("the send stream was not archived")]
    Stream(#[source] GuardError),
    /// Deduplication keeps changing or holding the snapshot.
    #[error(
        "cannot send the snapshot of `{source_name}`: deduplication changed it or blocked the send {times} times in a row"
    )]
    Deduplicated {
        /// The source.
        source_name: SourceName,
        /// How often.
        times: u32,
        /// The last failure.
        source: Box<Error>,
    },
    /// The listing lacks objects that were stored, or shows them changed.
    #[error("{} of {archive} missing or changed in {store}; the first: {}", count(*.objects, "object"), first)]
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
    /// A listing lacks an object that the store has.
    #[error("a listing of {store} lacks {key}, but the store has that object")]
    ListingUntrue {
        /// The store's URL.
        store: String,
        /// The object's key.
        key: String,
    },
    /// The store has another object under the key.
    #[error("{store} has another object under the key {key}")]
    KeyTaken {
        /// The store's URL.
        store: String,
        /// The key.
        key: String,
    },
    /// Reading the send stream failed.
    #[error("could not read the send stream from {from}")]
    ReadStream {
        /// The kernel, `btrfs send` or stdin.
        from: &'static str,
        /// The cause.
        source: std::io::Error,
    },
    /// The source has no subvolume, so only `decide` can archive it.
    #[error("`{0}` has no `subvolume` in the config")]
    NotLive(SourceName),
    /// The ledger has this stream already.
    #[error("the stream with uuid {uuid} is archived already, as {archive}")]
    StreamKnown {
        /// Its uuid.
        uuid: Uuid,
        /// The archive.
        archive: ArchiveId,
    },
    /// The contents of an archive are too large for a ledger entry.
    #[error("cannot archive {archive}: its contents would have more than {most} objects")]
    ManyContents {
        /// The archive.
        archive: ArchiveId,
        /// The most objects that contents have.
        most: u32,
    },
    /// An archive has too many segments for a ledger entry.
    #[error("the archive {archive} has more than {most} segments of {}", Bytes(*segment_bytes))]
    ManySegments {
        /// The archive.
        archive: ArchiveId,
        /// The most that an archive can have in this store.
        most: u32,
        /// Raw bytes of a segment.
        segment_bytes: u64,
    },
    /// The archive is committed, but a later step failed.
    #[error("`{source_name}` was archived, but a later step failed")]
    AfterArchive {
        /// The source.
        source_name: SourceName,
        /// The cause.
        source: Box<Error>,
    },
    /// No source has a subvolume.
    #[error("no source in the config has a `subvolume`, so `backup` has nothing to archive")]
    NothingLive,
}

impl BackupError {
    pub(super) fn advice(&self) -> Advice {
        match self {
            Self::Stream(refused) => exit(ExitCode::Failed).hint(refused.hint()),
            Self::Deduplicated { .. } => exit(ExitCode::Failed).hint(
                "pause deduplication (bees, duperemove) while `coldchain backup` runs, or \
                 exclude the directory of the snapshots from it",
            ),
            Self::SegmentsMissing { .. } => exit(ExitCode::Failed).hint("nothing was committed; check the store, and run again"),
            Self::ListingUntrue { .. } => exit(ExitCode::Failed).hint(
                "run the same command again later; if that does not help, find out why the \
                 listings of that store are incomplete",
            ),
            Self::KeyTaken { .. } => exit(ExitCode::Integrity),
            Self::ReadStream { .. } => exit(ExitCode::Failed),
            Self::NotLive(_) | Self::NothingLive => exit(ExitCode::Usage).hint(
                "add `subvolume` and `snapshots` to its [[source]], or archive it with `coldchain decide`"
,
            ),
            Self::StreamKnown { .. } => exit(ExitCode::Failed).hint(
                "a snapshot is archived once: make a new one, and send that"
,
            ),
            Self::ManyContents { .. } => exit(ExitCode::Usage).hint(
                "nothing was committed; set `contents = false` for the source, and run again with --full",
            ),
            Self::ManySegments { .. } => exit(ExitCode::Usage).hint(
                "nothing was committed; set a larger `segment_size` for the source, up to \
                 \"1GiB\", and run again with --full",
            ),
            // What other errors advise holds before an archive only.
            Self::AfterArchive { source, .. } => match **source {
                Error::Btrfs(_)
                | Error::Catalog(_)
                | Error::Contents(_)
                | Error::File { .. }
                | Error::Prune(
                    PruneError::ChainLeft { .. }
                    | PruneError::ManyToRetire { .. }
                    | PruneError::PruneUnsigned { .. }
                    | PruneError::StraysLeft { .. },
                )
                | Error::Store(_) => exit(ExitCode::Later).hint_of(source.hint()),
                _ => exit(ExitCode::Later),
            },
        }
    }
}
