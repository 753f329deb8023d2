//! The codes that a command exits with. Scripts rely on them; the table in docs/commands.md is this file's.

use super::Error;
use crate::btrfs::BtrfsError;
use crate::model::Signal;
use crate::plan::RestoreRefusal;
use crate::store::ErrorKind;

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
    /// Archived, but a later step failed; or what is stray may not be deleted.
    Later = 4,
    /// Segments are thawing: run again.
    Thawing = 5,
    /// Damage, rollback, fork, a foreign or newer ledger.
    Integrity = 6,
    /// A link of the chain is missing.
    ChainBroken = 7,
    /// A program or a privilege is missing or too old.
    Missing = 8,
    /// Several sources or stores, some of them failed.
    SomeSources = 10,
    /// Stopped by SIGINT; what was done is kept.
    Interrupted = 130,
    /// Stopped by SIGTERM; what was done is kept.
    Terminated = 143,
}

impl Error {
    /// The code that the process exits with.
    #[expect(
        clippy::too_many_lines,
        reason = "a line for each error, and no rule that would put them in fewer"
    )]
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Config(_)
            | Self::Untrusted(_)
            | Self::Id(_)
            | Self::Refused(_)
            | Self::CostRefused(_)
            | Self::NoPrices(_)
            | Self::CommandLine(_)
            | Self::NothingLive
            | Self::NotLive(_)
            | Self::NoSnapshotsDir { .. }
            | Self::SnapshotsElsewhere { .. }
            | Self::SnapshotInTheWay { .. }
            | Self::SnapshotReceived { .. }
            | Self::NoLedger { foreign: false, .. }
            | Self::NoStore
            | Self::TrustKey { .. }
            | Self::NobodyTrusted
            | Self::StoreLeftOut { .. }
            | Self::LedgerUnread { .. }
            | Self::CatalogGone(_)
            | Self::UnfinishedHere { .. }
            | Self::NoKeys { .. }
            | Self::Kit { .. }
            | Self::NotOpened(_)
            | Self::TypedRecipient(_)
            | Self::RootKey(_)
            | Self::NeverKey(_)
            | Self::NoRetired { .. }
            | Self::ManySegments { .. }
            | Self::AsOfHere(_)
            | Self::AsOfSeveral { .. }
            | Self::AsOf(_)
            | Self::VoidsKept { .. }
            | Self::NotVoidable { .. }
            | Self::NoRootSecret(_)
            | Self::NoPublicKey(_)
            | Self::OtherRoot { .. }
            | Self::Exposed { .. }
            | Self::SourceMoved { .. }
            | Self::NeverArchived(_)
            | Self::NothingArchived
            | Self::StillConfigured(_)
            | Self::NeverSeen(_)
            | Self::NoSuchArchive(_)
            | Self::Ambiguous { .. }
            | Self::NoIdentity
            | Self::PlanFile { .. }
            | Self::NotRestored { .. }
            | Self::AdoptedElsewhere { .. }
            | Self::NoTarget(_)
            | Self::TargetInTheWay { .. }
            | Self::TargetInSource { .. }
            | Self::ReceivedElsewhere { .. }
            | Self::Exists(_)
            | Self::NotConfirmed
            | Self::NoTerminal
            | Self::Span { .. }
            | Self::ManyToRetire { .. }
            | Self::NotRetired { .. }
            | Self::DateRetired { .. }
            | Self::DateTaken { .. }
            | Self::NoPruner(_)
            | Self::Stdio(_) => ExitCode::Usage,
            Self::RestoreRefused(refusal) => match refusal {
                RestoreRefusal::Broken { .. } => ExitCode::ChainBroken,
                _ => ExitCode::Usage,
            },
            Self::NotRevivable { .. } | Self::DeletionBegun { .. } => ExitCode::ChainBroken,
            Self::Btrfs(error) => btrfs_code(error),
            Self::Seal(error) if error.is_wrong_input() => ExitCode::Usage,
            Self::Catalog(error) if error.is_integrity() => ExitCode::Integrity,
            Self::Thawing(_) => ExitCode::Thawing,
            // A copy that went cold again while others were fetched.
            Self::Store(error) if error.kind == ErrorKind::Cold && error.is_of_segment() => {
                ExitCode::Thawing
            }
            // It lies, or somebody has filled it; whatever was done when it turned out.
            Self::Store(error) if error.kind.is_without_end() => ExitCode::Integrity,
            Self::StraysLeft { source, .. }
            | Self::ChainLeft { source, .. }
            | Self::PruneUnsigned { source, .. }
                if source.kind.is_without_end() =>
            {
                ExitCode::Integrity
            }
            // What comes before a delete is done, and stands.
            Self::StraysLeft { source, .. }
            | Self::ChainLeft { source, .. }
            | Self::PruneUnsigned { source, .. }
                if source.kind == ErrorKind::Denied =>
            {
                ExitCode::Later
            }
            Self::Seal(_)
            | Self::Catalog(_)
            | Self::StraysLeft { .. }
            | Self::ChainLeft { .. }
            | Self::PruneUnsigned { .. }
            | Self::NoCapacity { .. }
            | Self::NoRoomForDrill { .. }
            | Self::Stream(_)
            | Self::Deduplicated { .. }
            | Self::Locked { .. }
            | Self::ReadStream { .. }
            | Self::WriteStream { .. }
            | Self::File { .. }
            | Self::Ledger(_)
            | Self::Signals(_)
            | Self::Unfit(_)
            | Self::Unopened { .. }
            | Self::NotAttached { .. }
            | Self::SegmentsMissing { .. }
            | Self::ListingUntrue { .. }
            | Self::AttemptRetired { .. }
            | Self::StreamKnown { .. } => ExitCode::Failed,
            Self::Store(error) => match error.kind {
                ErrorKind::Link | ErrorKind::NotAnObject | ErrorKind::TooLarge => {
                    ExitCode::Integrity
                }
                ErrorKind::NoCredentials
                | ErrorKind::WrongRegion
                | ErrorKind::NoRegion
                | ErrorKind::NoService
                | ErrorKind::OtherEndpoint => ExitCode::Usage,
                _ => ExitCode::Failed,
            },
            Self::EntryRefused { .. }
            | Self::Forked { .. }
            | Self::EntryDamaged { .. }
            | Self::LedgerUntrusted { .. }
            | Self::LedgerGone { .. }
            | Self::NoLedger { foreign: true, .. }
            | Self::LedgerTwice { .. }
            | Self::LedgerUnlisted { .. }
            | Self::Flawed(_)
            | Self::CatalogDiffers(_)
            | Self::ListingShort { .. }
            | Self::LedgerDiffers { .. }
            | Self::LedgerBehind { .. }
            | Self::LedgerForked { .. }
            | Self::NewerLedger { .. }
            | Self::NoRole { .. }
            | Self::OtherGrant(_)
            | Self::KitKnowsMore { .. }
            | Self::CatalogBehindKit { .. }
            | Self::ChainsDamaged { .. }
            | Self::KeyTaken { .. }
            | Self::DamageFound { .. }
            | Self::Untrustworthy(_)
            | Self::SegmentDamaged { .. }
            | Self::SegmentUnreadable { .. }
            | Self::StoredStream { .. }
            | Self::ReceivedWrong { .. } => ExitCode::Integrity,
            Self::Busy(_)
            | Self::StillBusy { .. }
            | Self::Overtaken { .. }
            | Self::BroughtBack { .. } => ExitCode::Busy,
            Self::AfterArchive { .. } => ExitCode::Later,
            Self::SomeSources { .. } | Self::StoresUnread(_) => ExitCode::SomeSources,
            Self::Interrupted(Signal::Interrupt) | Self::CheckInterrupted(Signal::Interrupt) => {
                ExitCode::Interrupted
            }
            Self::Interrupted(Signal::Terminate) | Self::CheckInterrupted(Signal::Terminate) => {
                ExitCode::Terminated
            }
        }
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
