//! Every error's message, exit code and hint, as `errors.txt` beside this file has them.

use std::fmt::Write as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::time::Duration;

mod contents;
mod copy;
mod extract;
mod files;
mod import;
mod init;
mod mirror;
mod mount;
mod move_home;
mod pull;
mod take_over;

use chrono::NaiveDate;

use super::*;
use crate::btrfs::GuardError;
use crate::btrfs::stream;
use crate::hooks::Hook;
use crate::kit::KitFault;
use crate::ledger::EntryRefusal;
use crate::model::entry::Role;
use crate::model::{ArchiveId, CopyKind, PlaceId, StorageClass, Tier, Uuid};
use crate::plan::{Awaited, CopyCostRefusal, CopySide, ThawWindow, Usd};
use crate::store::{ErrorKind, Operation};

fn mail() -> SourceName {
    "mail".parse().unwrap()
}

fn two_places() -> TwoPlaces {
    TwoPlaces {
        source_name: mail(),
        home: store(),
        copy: "file:///copy".to_owned(),
        seq: 4,
        head: 3,
    }
}

fn date() -> NaiveDate {
    NaiveDate::from_ymd_opt(2026, 11, 21).unwrap()
}

fn archive() -> ArchiveId {
    "2026-11-21-full-5f0c9a12d4e6b801".parse().unwrap()
}

fn uuid() -> Uuid {
    "6f9619ff-8b86-4011-b42d-00cf4fc964ff".parse().unwrap()
}

fn store() -> String {
    "file:///backup".to_owned()
}

fn io() -> std::io::Error {
    std::io::ErrorKind::TimedOut.into()
}

fn kind(kind: ErrorKind) -> StoreError {
    StoreError {
        kind,
        operation: Operation::Get,
        key: "mail/archives/2026-11-21-full-5f0c9a12d4e6b801/000000.seg".to_owned(),
        url: store(),
        source: None,
        advice: None,
    }
}

fn guard() -> GuardError {
    GuardError {
        offset: 2,
        command: 1,
        refusal: stream::StreamRefusal::NoEnd,
    }
}

fn awaited() -> Awaited {
    Awaited {
        source: mail(),
        place: None,
        segments: 3,
        readable: 1,
        thawing: 1,
        cold: 1,
        by: std::iter::once((StorageClass::DeepArchive, Some(Tier::Bulk))).collect(),
        due: None,
        window: None,
        now: chrono::DateTime::UNIX_EPOCH,
    }
}

#[expect(clippy::too_many_lines, reason = "a sample of each error")]
fn samples() -> Vec<Error> {
    let kinds = [
        ErrorKind::NotFound,
        ErrorKind::NoId,
        ErrorKind::MissingRoot,
        ErrorKind::NoBucket,
        ErrorKind::NoCredentials,
        ErrorKind::Expired,
        ErrorKind::ClockSkew,
        ErrorKind::WrongRegion,
        ErrorKind::NoRegion,
        ErrorKind::NoService,
        ErrorKind::OtherEndpoint,
        ErrorKind::Cold,
        ErrorKind::NoCapacity,
        ErrorKind::Corrupted,
        ErrorKind::Unavailable,
        ErrorKind::Denied,
        ErrorKind::Endless,
        ErrorKind::TooMany,
        ErrorKind::TooLarge,
        ErrorKind::TooShort,
        ErrorKind::Full,
        ErrorKind::NotAnObject,
        ErrorKind::Link,
        ErrorKind::BadKey,
        ErrorKind::Unsupported,
        ErrorKind::Failed,
    ];
    let mut samples = vec![
        Error::Config(ConfigError::NoSource {
            path: PathBuf::from("/config"),
        }),
        Error::Config(ConfigError::NoStore {
            source_name: mail(),
        }),
        Error::Config(ConfigError::NobodyToNotify {
            path: PathBuf::from("/config.toml"),
        }),
        Error::Config(ConfigError::NoSourceWithStore {
            path: PathBuf::from("/config"),
        }),
        Error::Id(IdError::Date("x".to_owned())),
        Error::Refused(BackupRefusal::AlreadyArchived { date: date() }),
        Error::RestoreRefused(RestoreRefusal::Empty {
            source_name: mail(),
        }),
        Error::CostRefused(CostRefusal::Beyond {
            estimate: Usd::from_micros(2_000_000),
            limit: Usd::from_micros(1_000_000),
        }),
        Error::CopyCostRefused(CopyCostRefusal::Beyond {
            estimate: Usd::from_micros(2_000_000),
            limit: Usd::from_micros(1_000_000),
        }),
        Error::CopyCostRefused(CopyCostRefusal::NoPrices(CopySide::Home)),
        Error::Restore(RestoreError::NoPrices("TEXT".to_owned())),
        Error::Restore(RestoreError::NoCopyAt {
            source_name: mail(),
            place: "offsite2".to_owned(),
        }),
        Error::Restore(RestoreError::NoBatch {
            source_name: mail(),
            why: "TEXT".to_owned(),
        }),
        Error::Restore(RestoreError::Thawing(Box::new(awaited()))),
        Error::Restore(RestoreError::LargerThanWindow {
            source_name: mail(),
            archive: archive(),
            bytes: 1 << 40,
            window: ThawWindow::new(Duration::from_hours(20), None),
        }),
        Error::Restore(RestoreError::NoCapacity {
            tier: Tier::Expedited,
            asked: 2,
            of: 2,
            source: kind(ErrorKind::Unavailable),
        }),
        Error::Btrfs(BtrfsError::Missing {
            path: PathBuf::from("/gone"),
        }),
        Error::Backup(BackupError::Stream(guard())),
        Error::Backup(BackupError::Deduplicated {
            source_name: mail(),
            times: 2,
            source: Box::new(Error::Busy(mail())),
        }),
        Error::Restore(RestoreError::StoredStream {
            stream: Box::new(archive().into()),
            source: guard(),
        }),
        Error::Seal(SealError::NoRecipients),
        Error::Store(kind(ErrorKind::Unavailable)),
        Error::Catalog(CatalogError::Damaged("x".to_owned())),
        Error::Ledger(LedgerError::Entry(EntryRefusal::OtherComment)),
        Error::LedgerState(LedgerStateError::EntryRefused {
            seq: 2,
            source_name: mail(),
            store: store(),
            source: Box::new(EntryRefusal::OtherComment),
        }),
        Error::LedgerState(LedgerStateError::Forked {
            seq: 2,
            source_name: mail(),
            store: store(),
            by: "BY".into(),
            numbers: "NUMBERS".into(),
            source: Box::new(EntryRefusal::OtherComment),
        }),
        Error::Rebuild(RebuildError::LedgerUntrusted {
            source_name: mail(),
            store: store(),
            source: Box::new(EntryRefusal::OtherComment),
        }),
        Error::Rebuild(RebuildError::LedgerGone {
            directory: mail(),
            store: store(),
            attempts: 2,
            objects: 2,
        }),
        Error::LedgerState(LedgerStateError::EntryDamaged {
            seq: 2,
            source_name: mail(),
            store: store(),
            source: Box::new(EntryRefusal::OtherComment),
        }),
        Error::LedgerState(LedgerStateError::LedgerBehind {
            source_name: mail(),
            store: store(),
            missing: 2,
            head: 2,
        }),
        Error::LedgerState(LedgerStateError::LedgerForked {
            source_name: mail(),
            store: store(),
            seq: 2,
        }),
        Error::LedgerState(LedgerStateError::Overtaken {
            source_name: mail(),
            seq: 2,
        }),
        Error::LedgerState(LedgerStateError::AttemptRetired {
            source_name: mail(),
            seq: 2,
        }),
        Error::LedgerState(LedgerStateError::NewerLedger {
            source_name: mail(),
            what: "WHAT".to_owned(),
        }),
        Error::LedgerState(LedgerStateError::LeftOut {
            source_name: mail(),
            archive: archive(),
        }),
        Error::LedgerState(LedgerStateError::NoRole {
            source_name: mail(),
            key: "KEY".to_owned(),
            role: Role::Writer,
        }),
        Error::LedgerState(LedgerStateError::IsCopy {
            source_name: mail(),
            store: store(),
        }),
        Error::LedgerState(LedgerStateError::MovedAway {
            source_name: mail(),
            store: store(),
            place: PlaceId([0x5a; 16]),
        }),
        Error::Rebuild(RebuildError::NoLedger {
            stores: "STORES".to_owned(),
            foreign: false,
        }),
        Error::Rebuild(RebuildError::NoSuchDirectory {
            directory: "hmoe".to_owned(),
            stores: "STORES".to_owned(),
        }),
        Error::Rebuild(RebuildError::NoStore),
        Error::Rebuild(RebuildError::TrustKey {
            key: "KEY".to_owned(),
            source: LedgerError::Entry(EntryRefusal::OtherComment),
        }),
        Error::Rebuild(RebuildError::NobodyTrusted),
        Error::Rebuild(RebuildError::LedgerUnlisted {
            directory: mail(),
            store: store(),
            root: "ROOT".to_owned(),
        }),
        Error::LedgerState(LedgerStateError::LedgerUnread {
            source_name: mail(),
            store: store(),
        }),
        Error::LedgerState(LedgerStateError::CatalogGone(PathBuf::from("/path"))),
        Error::Rebuild(RebuildError::LedgerTwice {
            source_name: mail(),
            first: "key, missing".to_owned(),
            second: "SECOND".to_owned(),
        }),
        Error::Rebuild(RebuildError::CopyAhead(Box::new(two_places()))),
        Error::Rebuild(RebuildError::CopyDiffers(Box::new(two_places()))),
        Error::Rebuild(RebuildError::StoreLeftOut {
            source_name: mail(),
            store: store(),
        }),
        Error::Rebuild(RebuildError::UnfinishedHere {
            source_name: mail(),
            archive: archive(),
        }),
        Error::Rebuild(RebuildError::Flawed(2)),
        Error::Rebuild(RebuildError::StoresUnread(2)),
        Error::Verify(VerifyError::CatalogDiffers(2)),
        Error::Backup(BackupError::SegmentsMissing {
            archive: archive(),
            store: store(),
            objects: 2,
            first: "key, missing".to_owned(),
        }),
        Error::Backup(BackupError::ListingUntrue {
            store: store(),
            key: "KEY".to_owned(),
        }),
        Error::Prune(PruneError::ListingShort {
            archive: archive(),
            store: store(),
            objects: 2,
            first: "key, missing".to_owned(),
        }),
        Error::Prune(PruneError::StraysLeft {
            source_name: mail(),
            deleted: 2,
            of: 2,
            source: Box::new(kind(ErrorKind::Unavailable)),
        }),
        Error::Prune(PruneError::ChainLeft {
            source_name: mail(),
            chain: date(),
            deleted: 2,
            of: 2,
            source: Box::new(kind(ErrorKind::Unavailable)),
        }),
        Error::Prune(PruneError::PruneUnsigned {
            source_name: mail(),
            kind: "kind",
            source: Box::new(kind(ErrorKind::Unavailable)),
        }),
        Error::Prune(PruneError::ManyToRetire {
            source_name: mail(),
            chains: 2,
            archives: 2,
            agreed: Some(2),
        }),
        Error::Prune(PruneError::NotOldHome {
            source_name: mail(),
            store: "glacier-vault://eu-central-1/old".to_owned(),
            why: "it is the home",
        }),
        Error::Prune(PruneError::OldHomeParted {
            source_name: mail(),
            store: "glacier-vault://eu-central-1/old".to_owned(),
            seq: 7,
        }),
        Error::Prune(PruneError::LeftNotAgreed {
            source_name: mail(),
            store: "glacier-vault://eu-central-1/old".to_owned(),
            archives: 12,
            agreed: None,
        }),
        Error::Prune(PruneError::LeftDenied {
            source_name: mail(),
            store: "glacier-vault://eu-central-1/old".to_owned(),
            kept: 2,
            of: 40,
            source: Box::new(kind(ErrorKind::Denied)),
        }),
        Error::Prune(PruneError::LedgerDiffers {
            source_name: mail(),
            archive: archive(),
        }),
        Error::Prune(PruneError::DateRetired {
            source_name: mail(),
            date: date(),
            chain: date(),
            is_deleted: false,
        }),
        Error::Prune(PruneError::NotRetired {
            source_name: mail(),
            chain: date(),
        }),
        Error::Prune(PruneError::NotRevivable {
            archive: archive(),
            store: store(),
            objects: 2,
            first: "key, missing".to_owned(),
        }),
        Error::Prune(PruneError::DeletionBegun {
            source_name: mail(),
            chain: date(),
        }),
        Error::Prune(PruneError::DateTaken {
            archive: archive(),
            by: archive(),
        }),
        Error::Prune(PruneError::NoPruner(mail())),
        Error::Backup(BackupError::KeyTaken {
            store: store(),
            key: "KEY".to_owned(),
        }),
        Error::Verify(VerifyError::DamageFound {
            source_name: mail(),
            store: store(),
            objects: 2,
        }),
        Error::Verify(VerifyError::RepairFromItself {
            source_name: mail(),
            store: store(),
            place: "home".to_owned(),
        }),
        Error::Verify(VerifyError::ContentsDamaged {
            source_name: mail(),
            store: store(),
            objects: 1,
        }),
        Error::Verify(VerifyError::NotRepaired {
            source_name: mail(),
            store: store(),
            objects: 2,
        }),
        Error::Restore(RestoreError::SegmentDamaged {
            archive: archive(),
            index: 2,
            key: "KEY".to_owned(),
            what: "WHAT".to_owned(),
        }),
        Error::Restore(RestoreError::FrameDamaged {
            at: Box::new((archive(), 2, 7)),
            key: "KEY".to_owned(),
            what: "WHAT".to_owned(),
        }),
        Error::Restore(RestoreError::SegmentColdElsewhere {
            source_name: mail(),
            at: Box::new((archive(), 2)),
            key: "TEXT".to_owned(),
            what: "TEXT".to_owned(),
            place: "offsite2".to_owned(),
        }),
        Error::Restore(RestoreError::SegmentUnreadable {
            archive: archive(),
            index: 2,
            key: "KEY".to_owned(),
            source: io(),
        }),
        Error::Restore(RestoreError::Locked {
            archive: archive(),
            identity: "IDENTITY".to_owned(),
            source: SealError::NoRecipients,
        }),
        Error::File {
            doing: "doing",
            path: PathBuf::from("/path"),
            source: io(),
        },
        Error::Backup(BackupError::ReadStream {
            from: "from",
            source: io(),
        }),
        Error::Restore(RestoreError::WriteStream {
            stream: archive().into(),
            source: io(),
        }),
        Error::Busy(mail()),
        Error::StillBusy {
            source_name: mail(),
            waited: Duration::from_secs(2),
        },
        Error::Backup(BackupError::NotLive(mail())),
        Error::Snapshots(SnapshotError::NoSnapshotsDir {
            source_name: mail(),
            path: PathBuf::from("/path"),
        }),
        Error::Snapshots(SnapshotError::SnapshotsElsewhere {
            path: PathBuf::from("/path"),
            subvolume: PathBuf::from("/subvolume"),
        }),
        Error::Snapshots(SnapshotError::SnapshotInTheWay {
            path: PathBuf::from("/path"),
            what: "WHAT".to_owned(),
        }),
        Error::Snapshots(SnapshotError::SameMinute {
            source_name: mail(),
            name: "2026-11-28T0300".parse().unwrap(),
        }),
        Error::Snapshots(SnapshotError::ManyExpire {
            source_name: mail(),
            expiring: 34,
            of: 40,
        }),
        Error::Snapshots(SnapshotError::OtherNumber {
            source_name: mail(),
            confirmed: 33,
            expiring: 34,
        }),
        Error::Snapshots(SnapshotError::ClockBehind {
            source_name: mail(),
            newest: "2026-11-28T0300".parse().unwrap(),
        }),
        Error::Snapshots(SnapshotError::AfterSnapshot {
            source_name: mail(),
            name: "2026-11-28T0300".parse().unwrap(),
            source: Box::new(Error::Snapshots(SnapshotError::NoneToSnapshot)),
        }),
        Error::Snapshots(SnapshotError::NothingToSnapshot {
            source_name: mail(),
        }),
        Error::Snapshots(SnapshotError::NoneToSnapshot),
        Error::Snapshots(SnapshotError::SnapshotReceived {
            path: PathBuf::from("/path"),
            received: uuid(),
        }),
        Error::Backup(BackupError::StreamKnown {
            uuid: uuid(),
            archive: archive(),
        }),
        Error::Key(KeyError::NoKeys {
            state_dir: PathBuf::from("/state_dir"),
            file: "file",
        }),
        Error::Key(KeyError::OtherGrant(PathBuf::from("/path"))),
        Error::Key(KeyError::NotOpened(mail())),
        Error::Key(KeyError::RootKey("TEXT".to_owned())),
        Error::Key(KeyError::NeverKey("TEXT".to_owned())),
        Error::Backup(BackupError::ManyContents {
            archive: archive(),
            most: 100_000,
        }),
        Error::Backup(BackupError::ManySegments {
            archive: archive(),
            most: 500_000,
            segment_bytes: 2,
        }),
        Error::Prune(PruneError::BroughtBack {
            source_name: mail(),
            chain: date(),
        }),
        Error::Rebuild(RebuildError::AsOfHere(PathBuf::from("/path"))),
        Error::Rebuild(RebuildError::AsOfSeveral {
            one: "ONE".to_owned(),
            other: "OTHER".to_owned(),
        }),
        Error::LedgerState(LedgerStateError::AsOf(mail())),
        Error::Restore(RestoreError::NoRetired {
            source_name: mail(),
            date: Some(date()),
        }),
        Error::Key(KeyError::VoidsKept {
            seq: 2,
            key: "KEY".to_owned(),
        }),
        Error::Key(KeyError::NotVoidable {
            seq: 2,
            kind: "KIND".to_owned(),
        }),
        Error::Key(KeyError::Kit {
            path: PathBuf::from("/path"),
            source: KitFault::DamagedSecret,
        }),
        Error::Key(KeyError::KitKnowsMore {
            path: PathBuf::from("/path"),
            source_name: mail(),
            seq: 2,
        }),
        Error::Key(KeyError::CatalogBehindKit {
            path: PathBuf::from("/path"),
            source_name: mail(),
            seq: 2,
        }),
        Error::Key(KeyError::NoPublicKey("TEXT".to_owned())),
        Error::Key(KeyError::NoRootSecret(PathBuf::from("/path"))),
        Error::Key(KeyError::SecondKit {
            path: PathBuf::from("/second"),
            first: PathBuf::from("/first kit"),
        }),
        Error::Key(KeyError::OtherRoot {
            path: PathBuf::from("/path"),
            found: "FOUND".to_owned(),
            trusted: "TRUSTED".to_owned(),
        }),
        Error::Key(KeyError::Unopened {
            identity: "IDENTITY".to_owned(),
            unopened: 2,
            of: 2,
        }),
        Error::Key(KeyError::NotAttached {
            identity: "IDENTITY".to_owned(),
            unopened: 2,
            of: 2,
        }),
        Error::Key(KeyError::TypedRecipient(SealError::NoRecipients)),
        Error::Verify(VerifyError::ChainsDamaged { damaged: 2, of: 2 }),
        Error::Key(KeyError::Exposed {
            path: PathBuf::from("/path"),
            mode: 2,
        }),
        Error::Request(RequestError::SourceMoved {
            source_name: mail(),
            was: "WAS".to_owned(),
            now: "NOW".to_owned(),
        }),
        Error::Request(RequestError::NeverArchived(mail())),
        Error::Request(RequestError::StillConfigured(mail())),
        Error::Request(RequestError::NeverSeen(mail())),
        Error::Request(RequestError::NoSuchArchive("TEXT".to_owned())),
        Error::Request(RequestError::NothingArchived),
        Error::Request(RequestError::NoSuchTopic {
            word: "TEXT".to_owned(),
            nearest: Some("NAME".to_owned()),
        }),
        Error::Request(RequestError::NoSuchTopic {
            word: "TEXT".to_owned(),
            nearest: None,
        }),
        Error::Request(RequestError::Ambiguous {
            which: "WHICH".to_owned(),
            sources: "SOURCES".to_owned(),
        }),
        Error::Restore(RestoreError::NoIdentity),
        Error::Restore(RestoreError::PlanFile {
            path: PathBuf::from("/path"),
            what: "WHAT".to_owned(),
        }),
        Error::Snapshots(SnapshotError::NotRestored {
            path: PathBuf::from("/path"),
            archive: archive(),
        }),
        Error::Snapshots(SnapshotError::NoCopyToAdopt {
            source_name: mail(),
            path: PathBuf::from("/path"),
        }),
        Error::Snapshots(SnapshotError::AdoptedElsewhere {
            path: PathBuf::from("/path"),
            subvolume: PathBuf::from("/subvolume"),
        }),
        Error::Restore(RestoreError::NoTarget(PathBuf::from("/path"))),
        Error::Restore(RestoreError::TargetInSource {
            path: PathBuf::from("/path"),
            source_name: mail(),
        }),
        Error::Restore(RestoreError::TargetInTheWay {
            path: PathBuf::from("/path"),
            what: "WHAT".to_owned(),
        }),
        Error::Restore(RestoreError::ReceivedElsewhere {
            path: PathBuf::from("/path"),
            stream: archive().into(),
            mirror: None,
        }),
        Error::Restore(RestoreError::ReceivedElsewhere {
            path: PathBuf::from("/path"),
            stream: archive().into(),
            mirror: Some(Box::new("/mirror".parse().unwrap())),
        }),
        Error::Restore(RestoreError::NoCopy {
            source_name: mail(),
            wanted: "2026-11-21".to_owned(),
            from: Some(CopyKind::Mirror),
            why: "WHY".to_owned(),
            source: None,
        }),
        Error::Restore(RestoreError::NoCopy {
            source_name: mail(),
            wanted: "2026-11-21".to_owned(),
            from: None,
            why: "WHY".to_owned(),
            source: None,
        }),
        Error::Restore(RestoreError::NoCopy {
            source_name: mail(),
            wanted: "2026-11-21".to_owned(),
            from: None,
            why: "WHY".to_owned(),
            source: Some(Box::new(Error::Busy(mail()))),
        }),
        Error::Restore(RestoreError::CopyGone {
            source_name: mail(),
            name: date().into(),
            to: Box::new("/mirror".parse().unwrap()),
        }),
        Error::Restore(RestoreError::ReceivedWrong {
            path: PathBuf::from("/path"),
            what: "WHAT".to_owned(),
        }),
        Error::Request(RequestError::Exists(PathBuf::from("/path"))),
        Error::Request(RequestError::NoPlainFile(PathBuf::from("/path"), "a link")),
        Error::Request(RequestError::NotConfirmed),
        Error::Request(RequestError::NoTerminal),
        Error::Backup(BackupError::AfterArchive {
            source_name: mail(),
            source: Box::new(Error::Busy(mail())),
        }),
        Error::SomeSources { failed: 2, of: 2 },
        Error::Overdue {
            sources: "home, www".to_owned(),
        },
        Error::Answered(ExitCode::Failed),
        Error::Unfit(2),
        Error::UnfitConfig(2),
        Error::Untrustworthy(2),
        Error::Request(RequestError::Span {
            from: date(),
            until: date(),
        }),
        Error::Panicked,
        Error::Interrupted(Signal::Interrupt),
        Error::Verify(VerifyError::CheckInterrupted(Signal::Interrupt)),
        Error::Verify(VerifyError::NoRoomForDrill {
            path: PathBuf::from("/path"),
            needed: 2,
            free: 2,
        }),
        Error::Signals(io()),
        Error::Thread {
            that: "stores what was sealed",
            source: io(),
        },
        Error::Request(RequestError::CommandLine("TEXT".to_owned())),
        Error::Backup(BackupError::NothingLive),
        Error::Request(RequestError::Stdio("text")),
        Error::Id(IdError::SourceName("x y".to_owned())),
        Error::Refused(BackupRefusal::BeforeNewest {
            date: date(),
            newest: date(),
        }),
        Error::Refused(BackupRefusal::BeforeUnfinished {
            date: date(),
            unfinished: date(),
        }),
        Error::Refused(BackupRefusal::Future {
            date: date(),
            today: date(),
        }),
        Error::RestoreRefused(RestoreRefusal::NoArchive {
            source_name: mail(),
            date: date(),
            before: None,
            after: Some(date()),
        }),
        Error::RestoreRefused(RestoreRefusal::Broken {
            source_name: mail(),
            date: date(),
            archive: archive(),
            missing: archive(),
        }),
        Error::Btrfs(BtrfsError::Exists {
            path: PathBuf::from("/there"),
        }),
        Error::Catalog(CatalogError::Newer { found: 9, known: 8 }),
        Error::LedgerState(LedgerStateError::EntryRefused {
            seq: 2,
            source_name: mail(),
            store: store(),
            source: Box::new(EntryRefusal::AfterLost { first: 1, last: 1 }),
        }),
        Error::LedgerState(LedgerStateError::EntryRefused {
            seq: 2,
            source_name: mail(),
            store: store(),
            source: Box::new(EntryRefusal::Newer { format: 9 }),
        }),
        Error::LedgerState(LedgerStateError::EntryRefused {
            seq: 2,
            source_name: mail(),
            store: store(),
            source: Box::new(EntryRefusal::OtherRoot {
                found: "RWone".to_owned(),
                trusted: "RWtwo".to_owned(),
            }),
        }),
        Error::Rebuild(RebuildError::NoLedger {
            stores: "STORES".to_owned(),
            foreign: true,
        }),
        Error::Prune(PruneError::StraysLeft {
            source_name: mail(),
            deleted: 1,
            of: 1,
            source: Box::new(kind(ErrorKind::Denied)),
        }),
        Error::Prune(PruneError::StraysLeft {
            source_name: mail(),
            deleted: 1,
            of: 1,
            source: Box::new(kind(ErrorKind::Endless)),
        }),
        Error::Prune(PruneError::ChainLeft {
            source_name: mail(),
            chain: date(),
            deleted: 1,
            of: 1,
            source: Box::new(kind(ErrorKind::Denied)),
        }),
        Error::Prune(PruneError::ChainLeft {
            source_name: mail(),
            chain: date(),
            deleted: 1,
            of: 1,
            source: Box::new(kind(ErrorKind::Endless)),
        }),
        Error::Prune(PruneError::PruneUnsigned {
            source_name: mail(),
            kind: "retire",
            source: Box::new(kind(ErrorKind::Denied)),
        }),
        Error::Prune(PruneError::PruneUnsigned {
            source_name: mail(),
            kind: "retire",
            source: Box::new(kind(ErrorKind::Endless)),
        }),
        Error::Prune(PruneError::ManyToRetire {
            source_name: mail(),
            chains: 1,
            archives: 1,
            agreed: None,
        }),
        Error::Prune(PruneError::DateRetired {
            source_name: mail(),
            date: date(),
            chain: date(),
            is_deleted: true,
        }),
        Error::Verify(VerifyError::DamageFound {
            source_name: mail(),
            store: store(),
            objects: 1,
        }),
        Error::File {
            doing: "write",
            path: PathBuf::from("/path"),
            source: std::io::ErrorKind::StorageFull.into(),
        },
        Error::File {
            doing: "write",
            path: PathBuf::from("/path"),
            source: std::io::ErrorKind::ReadOnlyFilesystem.into(),
        },
        Error::StillBusy {
            source_name: mail(),
            waited: Duration::from_secs(1),
        },
        Error::Key(KeyError::NoKeys {
            state_dir: PathBuf::from("/state"),
            file: "signing.key",
        }),
        Error::Key(KeyError::NoKeys {
            state_dir: PathBuf::from("/state"),
            file: "root.pub",
        }),
        Error::Restore(RestoreError::NoRetired {
            source_name: mail(),
            date: None,
        }),
        Error::Key(KeyError::Kit {
            path: PathBuf::from("/kit"),
            source: KitFault::NoText,
        }),
        Error::Key(KeyError::Kit {
            path: PathBuf::from("/kit"),
            source: KitFault::NoRoot,
        }),
        Error::Backup(BackupError::AfterArchive {
            source_name: mail(),
            source: Box::new(Error::Store(kind(ErrorKind::Full))),
        }),
        Error::Backup(BackupError::AfterArchive {
            source_name: mail(),
            source: Box::new(Error::Backup(BackupError::Stream(guard()))),
        }),
        Error::Backup(BackupError::AfterArchive {
            source_name: mail(),
            source: Box::new(Error::Prune(PruneError::ManyToRetire {
                source_name: mail(),
                chains: 1,
                archives: 1,
                agreed: None,
            })),
        }),
        Error::Backup(BackupError::AfterArchive {
            source_name: mail(),
            source: Box::new(Error::Prune(PruneError::StraysLeft {
                source_name: mail(),
                deleted: 1,
                of: 2,
                source: Box::new(kind(ErrorKind::Denied)),
            })),
        }),
        Error::Backup(BackupError::AfterArchive {
            source_name: mail(),
            source: Box::new(Error::Prune(PruneError::ChainLeft {
                source_name: mail(),
                chain: date(),
                deleted: 1,
                of: 2,
                source: Box::new(kind(ErrorKind::Denied)),
            })),
        }),
        Error::Backup(BackupError::AfterArchive {
            source_name: mail(),
            source: Box::new(Error::Prune(PruneError::PruneUnsigned {
                source_name: mail(),
                kind: "retire",
                source: Box::new(kind(ErrorKind::Denied)),
            })),
        }),
        Error::Hook(HookError::Unfit {
            hook: Hook::Before,
            program: "/usr/local/bin/notify".into(),
            source: std::io::ErrorKind::NotFound.into(),
        }),
        Error::Hook(HookError::Failed {
            hook: Hook::Before,
            program: "/usr/local/bin/notify".into(),
            status: ExitStatus::from_raw(1 << 8),
            output: "no network".to_owned(),
        }),
        Error::AfterRun {
            source_name: mail(),
            source: HookError::TimedOut {
                hook: Hook::After,
                program: "/usr/local/bin/notify".into(),
                timeout: Duration::from_mins(10),
                output: String::new(),
            },
        },
        Error::Interrupted(Signal::Terminate),
        Error::Verify(VerifyError::CheckInterrupted(Signal::Terminate)),
    ];
    samples.extend(kinds.map(|of| Error::Store(kind(of))));
    let of_vault = [ErrorKind::NoBucket, ErrorKind::NoService, ErrorKind::Denied];
    samples.extend(of_vault.map(|of| {
        let url = "glacier-vault://eu-central-1/mail".to_owned();
        Error::Store(StoreError { url, ..kind(of) })
    }));
    samples.extend(mirror_link::samples());
    samples.extend(contents::samples());
    samples.extend(copy::samples());
    samples.extend(extract::samples());
    samples.extend(files::samples());
    samples.extend(import::samples());
    samples.extend(mount::samples());
    samples.extend(move_home::samples());
    samples.extend(mirror::samples());
    samples.extend(pull::samples());
    samples.extend(take_over::samples());
    samples.extend(init::samples());
    samples
}

/// The variant's name.
fn name(error: &Error) -> String {
    let text = format!("{error:?}");
    let mut words = text.split([' ', '(', ')', '{']);
    let first = words.next().unwrap_or("");
    match first {
        "Backup" | "Contents" | "Copy" | "Extract" | "Files" | "Import" | "Key" | "LedgerState"
        | "Mirror" | "MirrorLink" | "Mount" | "Move" | "Prune" | "Pull" | "Rebuild" | "Request"
        | "Init" | "Restore" | "Snapshots" | "TakeOver" | "Verify" => {
            words.next().unwrap_or("").to_owned()
        }
        _ => first.to_owned(),
    }
}

#[test]
fn messages_exit_codes_and_hints() {
    let mut found = String::new();
    for error in samples() {
        writeln!(
            found,
            "{} {}: {}",
            name(&error),
            error.exit_code() as u8,
            in_words(&error)
        )
        .unwrap();
        if let Some(hint) = error.hint() {
            writeln!(found, "    {hint}").unwrap();
        }
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/error/errors.txt");
    if std::env::var_os("COLDCHAIN_WRITE_GOLDEN").is_some() {
        std::fs::write(path, &found).unwrap();
    }
    let golden = std::fs::read_to_string(path).unwrap();
    for (found, golden) in found.lines().zip(golden.lines()) {
        assert_eq!(found, golden);
    }
    assert_eq!(found.len(), golden.len());
}

#[test]
fn every_error_is_in_the_golden() {
    let golden = include_str!("errors.txt");
    let sources = [
        include_str!("backup.rs"),
        include_str!("contents.rs"),
        include_str!("copy.rs"),
        include_str!("extract.rs"),
        include_str!("files.rs"),
        include_str!("import.rs"),
        include_str!("init.rs"),
        include_str!("keys.rs"),
        include_str!("ledger.rs"),
        include_str!("mirror.rs"),
        include_str!("mirror_link.rs"),
        include_str!("mod.rs"),
        include_str!("mount.rs"),
        include_str!("move_home.rs"),
        include_str!("prune.rs"),
        include_str!("rebuild.rs"),
        include_str!("request.rs"),
        include_str!("restore.rs"),
        include_str!("pull.rs"),
        include_str!("snapshots.rs"),
        include_str!("take_over.rs"),
        include_str!("verify.rs"),
    ];
    // An area itself is named by what is in it; a directory that others may write to is in tests/cli.
    let left_out = [
        "Backup",
        "Contents",
        "Copy",
        "Extract",
        "Files",
        "Import",
        "Init",
        "Key",
        "LedgerState",
        "Mirror",
        "MirrorLink",
        "Fuse",
        "Mount",
        "Move",
        "Prune",
        "Pull",
        "Rebuild",
        "Request",
        "Restore",
        "Snapshots",
        "TakeOver",
        "Untrusted",
        "Verify",
    ];
    let mut variants = 0;
    for source in sources {
        let start = source.find("pub enum ").unwrap();
        let body = &source[start..][..source[start..].find("\n}").unwrap()];
        for line in body.lines() {
            let Some(line) = line.strip_prefix("    ") else {
                continue;
            };
            if !line.starts_with(|first: char| first.is_ascii_uppercase()) {
                continue;
            }
            let name = line.split(['(', ' ', ',']).next().unwrap();
            variants += 1;
            assert!(
                left_out.contains(&name)
                    || golden
                        .lines()
                        .any(|line| line.starts_with(&format!("{name} "))),
                "{name}"
            );
        }
    }
    assert!(variants > 100, "{variants}");
}
