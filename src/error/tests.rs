//! Every error's message, exit code and hint, as `errors.txt` beside this file has them.

use std::fmt::Write as _;

use super::*;
use crate::btrfs::stream;
use crate::model::StorageClass;
use crate::plan::Usd;
use crate::store::{ErrorKind, Operation};

fn mail() -> SourceName {
    "mail".parse().unwrap()
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
        refusal: stream::Refusal::NoEnd,
    }
}

fn awaited() -> Awaited {
    Awaited {
        source: mail(),
        segments: 3,
        readable: 1,
        thawing: 1,
        cold: 1,
        by: std::iter::once((StorageClass::DeepArchive, Some(Tier::Bulk))).collect(),
        due: None,
        now: chrono::DateTime::UNIX_EPOCH,
    }
}

fn samples() -> Vec<Error> {
    let kinds = [
        ErrorKind::NotFound,
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
        Error::Id(IdError::Date("x".to_owned())),
        Error::Refused(Refusal::AlreadyArchived { date: date() }),
        Error::RestoreRefused(RestoreRefusal::Empty {
            source_name: mail(),
        }),
        Error::CostRefused(CostRefusal::Beyond {
            estimate: Usd::from_micros(2_000_000),
            limit: Usd::from_micros(1_000_000),
        }),
        Error::NoPrices("TEXT".to_owned()),
        Error::Thawing(Box::new(awaited())),
        Error::NoCapacity {
            tier: Tier::Expedited,
            asked: 2,
            of: 2,
            source: kind(ErrorKind::Unavailable),
        },
        Error::Btrfs(BtrfsError::Missing {
            path: PathBuf::from("/gone"),
        }),
        Error::Stream(guard()),
        Error::Deduplicated {
            source_name: mail(),
            times: 2,
            source: Box::new(Error::Busy(mail())),
        },
        Error::StoredStream {
            archive: archive(),
            source: guard(),
        },
        Error::Seal(SealError::NoRecipients),
        Error::Store(kind(ErrorKind::Unavailable)),
        Error::Catalog(CatalogError::Damaged("x".to_owned())),
        Error::Ledger(LedgerError::Entry(EntryRefusal::OtherComment)),
        Error::EntryRefused {
            seq: 2,
            source_name: mail(),
            store: store(),
            source: Box::new(EntryRefusal::OtherComment),
        },
        Error::Forked {
            seq: 2,
            source_name: mail(),
            store: store(),
            by: "BY".into(),
            numbers: "NUMBERS".into(),
            source: Box::new(EntryRefusal::OtherComment),
        },
        Error::LedgerUntrusted {
            source_name: mail(),
            store: store(),
            source: Box::new(EntryRefusal::OtherComment),
        },
        Error::LedgerGone {
            directory: mail(),
            store: store(),
            attempts: 2,
            objects: 2,
        },
        Error::EntryDamaged {
            seq: 2,
            source_name: mail(),
            store: store(),
            source: Box::new(EntryRefusal::OtherComment),
        },
        Error::LedgerBehind {
            source_name: mail(),
            store: store(),
            missing: 2,
            head: 2,
        },
        Error::LedgerForked {
            source_name: mail(),
            store: store(),
            seq: 2,
        },
        Error::Overtaken {
            source_name: mail(),
            seq: 2,
        },
        Error::AttemptRetired {
            source_name: mail(),
            seq: 2,
        },
        Error::NewerLedger {
            source_name: mail(),
            what: "WHAT".to_owned(),
        },
        Error::NoRole {
            source_name: mail(),
            key: "KEY".to_owned(),
            role: Role::Writer,
        },
        Error::NoLedger {
            stores: "STORES".to_owned(),
            foreign: false,
        },
        Error::NoStore,
        Error::TrustKey {
            key: "KEY".to_owned(),
            source: LedgerError::Entry(EntryRefusal::OtherComment),
        },
        Error::NobodyTrusted,
        Error::LedgerUnlisted {
            directory: mail(),
            store: store(),
            root: "ROOT".to_owned(),
        },
        Error::LedgerUnread {
            source_name: mail(),
            store: store(),
        },
        Error::CatalogGone(PathBuf::from("/path")),
        Error::LedgerTwice {
            source_name: mail(),
            first: "key, missing".to_owned(),
            second: "SECOND".to_owned(),
        },
        Error::StoreLeftOut {
            source_name: mail(),
            store: store(),
        },
        Error::UnfinishedHere {
            source_name: mail(),
            archive: archive(),
        },
        Error::Flawed(2),
        Error::StoresUnread(2),
        Error::CatalogDiffers(2),
        Error::SegmentsMissing {
            archive: archive(),
            store: store(),
            objects: 2,
            first: "key, missing".to_owned(),
        },
        Error::ListingUntrue {
            store: store(),
            key: "KEY".to_owned(),
        },
        Error::ListingShort {
            archive: archive(),
            store: store(),
            objects: 2,
            first: "key, missing".to_owned(),
        },
        Error::StraysLeft {
            source_name: mail(),
            deleted: 2,
            of: 2,
            source: Box::new(kind(ErrorKind::Unavailable)),
        },
        Error::ChainLeft {
            source_name: mail(),
            chain: date(),
            deleted: 2,
            of: 2,
            source: Box::new(kind(ErrorKind::Unavailable)),
        },
        Error::PruneUnsigned {
            source_name: mail(),
            kind: "kind",
            source: Box::new(kind(ErrorKind::Unavailable)),
        },
        Error::ManyToRetire {
            source_name: mail(),
            chains: 2,
            archives: 2,
            agreed: Some(2),
        },
        Error::LedgerDiffers {
            source_name: mail(),
            archive: archive(),
        },
        Error::DateRetired {
            source_name: mail(),
            date: date(),
            chain: date(),
            is_deleted: false,
        },
        Error::NotRetired {
            source_name: mail(),
            chain: date(),
        },
        Error::NotRevivable {
            archive: archive(),
            store: store(),
            objects: 2,
            first: "key, missing".to_owned(),
        },
        Error::DeletionBegun {
            source_name: mail(),
            chain: date(),
        },
        Error::DateTaken {
            archive: archive(),
            by: archive(),
        },
        Error::NoPruner(mail()),
        Error::KeyTaken {
            store: store(),
            key: "KEY".to_owned(),
        },
        Error::DamageFound {
            source_name: mail(),
            store: store(),
            objects: 2,
        },
        Error::SegmentDamaged {
            archive: archive(),
            index: 2,
            key: "KEY".to_owned(),
            what: "WHAT".to_owned(),
        },
        Error::SegmentUnreadable {
            archive: archive(),
            index: 2,
            key: "KEY".to_owned(),
            source: io(),
        },
        Error::Locked {
            archive: archive(),
            identity: "IDENTITY".to_owned(),
            source: SealError::NoRecipients,
        },
        Error::File {
            doing: "doing",
            path: PathBuf::from("/path"),
            source: io(),
        },
        Error::ReadStream {
            from: "from",
            source: io(),
        },
        Error::WriteStream {
            archive: archive(),
            source: io(),
        },
        Error::Busy(mail()),
        Error::StillBusy {
            source_name: mail(),
            waited: Duration::from_secs(2),
        },
        Error::NotLive(mail()),
        Error::NoSnapshotsDir {
            source_name: mail(),
            path: PathBuf::from("/path"),
        },
        Error::SnapshotsElsewhere {
            path: PathBuf::from("/path"),
            subvolume: PathBuf::from("/subvolume"),
        },
        Error::SnapshotInTheWay {
            path: PathBuf::from("/path"),
            what: "WHAT".to_owned(),
        },
        Error::SnapshotReceived {
            path: PathBuf::from("/path"),
            received: uuid(),
        },
        Error::StreamKnown {
            uuid: uuid(),
            archive: archive(),
        },
        Error::NoKeys {
            state_dir: PathBuf::from("/state_dir"),
            file: "file",
        },
        Error::OtherGrant(PathBuf::from("/path")),
        Error::NotOpened(mail()),
        Error::RootKey("TEXT".to_owned()),
        Error::NeverKey("TEXT".to_owned()),
        Error::ManySegments {
            archive: archive(),
            segment_bytes: 2,
        },
        Error::BroughtBack {
            source_name: mail(),
            chain: date(),
        },
        Error::AsOfHere(PathBuf::from("/path")),
        Error::AsOfSeveral {
            one: "ONE".to_owned(),
            other: "OTHER".to_owned(),
        },
        Error::AsOf(mail()),
        Error::NoRetired {
            source_name: mail(),
            date: Some(date()),
        },
        Error::VoidsKept {
            seq: 2,
            key: "KEY".to_owned(),
        },
        Error::NotVoidable {
            seq: 2,
            kind: "KIND".to_owned(),
        },
        Error::Kit {
            path: PathBuf::from("/path"),
            source: KitFault::DamagedSecret,
        },
        Error::KitKnowsMore {
            path: PathBuf::from("/path"),
            source_name: mail(),
            seq: 2,
        },
        Error::CatalogBehindKit {
            path: PathBuf::from("/path"),
            source_name: mail(),
            seq: 2,
        },
        Error::NoPublicKey("TEXT".to_owned()),
        Error::NoRootSecret(PathBuf::from("/path")),
        Error::OtherRoot {
            path: PathBuf::from("/path"),
            found: "FOUND".to_owned(),
            trusted: "TRUSTED".to_owned(),
        },
        Error::Unopened {
            identity: "IDENTITY".to_owned(),
            unopened: 2,
            of: 2,
        },
        Error::NotAttached {
            identity: "IDENTITY".to_owned(),
            unopened: 2,
            of: 2,
        },
        Error::TypedRecipient(SealError::NoRecipients),
        Error::ChainsDamaged { damaged: 2, of: 2 },
        Error::Exposed {
            path: PathBuf::from("/path"),
            mode: 2,
        },
        Error::SourceMoved {
            source_name: mail(),
            was: "WAS".to_owned(),
            now: "NOW".to_owned(),
        },
        Error::NeverArchived(mail()),
        Error::StillConfigured(mail()),
        Error::NeverSeen(mail()),
        Error::NoSuchArchive("TEXT".to_owned()),
        Error::NothingArchived,
        Error::Ambiguous {
            which: "WHICH".to_owned(),
            sources: "SOURCES".to_owned(),
        },
        Error::NoIdentity,
        Error::PlanFile {
            path: PathBuf::from("/path"),
            what: "WHAT".to_owned(),
        },
        Error::NotRestored {
            path: PathBuf::from("/path"),
            archive: archive(),
        },
        Error::AdoptedElsewhere {
            path: PathBuf::from("/path"),
            subvolume: PathBuf::from("/subvolume"),
        },
        Error::NoTarget(PathBuf::from("/path")),
        Error::TargetInSource {
            path: PathBuf::from("/path"),
            source_name: mail(),
        },
        Error::TargetInTheWay {
            path: PathBuf::from("/path"),
            what: "WHAT".to_owned(),
        },
        Error::ReceivedElsewhere {
            path: PathBuf::from("/path"),
            archive: archive(),
        },
        Error::ReceivedWrong {
            path: PathBuf::from("/path"),
            what: "WHAT".to_owned(),
        },
        Error::Exists(PathBuf::from("/path")),
        Error::NotConfirmed,
        Error::NoTerminal,
        Error::AfterArchive {
            source_name: mail(),
            source: Box::new(Error::Busy(mail())),
        },
        Error::SomeSources { failed: 2, of: 2 },
        Error::Unfit(2),
        Error::Untrustworthy(2),
        Error::Span {
            from: date(),
            until: date(),
        },
        Error::Interrupted(Signal::Interrupt),
        Error::CheckInterrupted(Signal::Interrupt),
        Error::NoRoomForDrill {
            path: PathBuf::from("/path"),
            needed: 2,
            free: 2,
        },
        Error::Signals(io()),
        Error::CommandLine("TEXT".to_owned()),
        Error::NothingLive,
        Error::Stdio("text"),
        Error::Id(IdError::SourceName("x y".to_owned())),
        Error::Refused(Refusal::BeforeNewest {
            date: date(),
            newest: date(),
        }),
        Error::Refused(Refusal::BeforeUnfinished {
            date: date(),
            unfinished: date(),
        }),
        Error::Refused(Refusal::Future {
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
        Error::EntryRefused {
            seq: 2,
            source_name: mail(),
            store: store(),
            source: Box::new(EntryRefusal::AfterLost { first: 1, last: 1 }),
        },
        Error::EntryRefused {
            seq: 2,
            source_name: mail(),
            store: store(),
            source: Box::new(EntryRefusal::Newer { format: 9 }),
        },
        Error::EntryRefused {
            seq: 2,
            source_name: mail(),
            store: store(),
            source: Box::new(EntryRefusal::OtherRoot {
                found: "RWone".to_owned(),
                trusted: "RWtwo".to_owned(),
            }),
        },
        Error::NoLedger {
            stores: "STORES".to_owned(),
            foreign: true,
        },
        Error::StraysLeft {
            source_name: mail(),
            deleted: 1,
            of: 1,
            source: Box::new(kind(ErrorKind::Denied)),
        },
        Error::StraysLeft {
            source_name: mail(),
            deleted: 1,
            of: 1,
            source: Box::new(kind(ErrorKind::Endless)),
        },
        Error::ChainLeft {
            source_name: mail(),
            chain: date(),
            deleted: 1,
            of: 1,
            source: Box::new(kind(ErrorKind::Denied)),
        },
        Error::ChainLeft {
            source_name: mail(),
            chain: date(),
            deleted: 1,
            of: 1,
            source: Box::new(kind(ErrorKind::Endless)),
        },
        Error::PruneUnsigned {
            source_name: mail(),
            kind: "retire",
            source: Box::new(kind(ErrorKind::Denied)),
        },
        Error::PruneUnsigned {
            source_name: mail(),
            kind: "retire",
            source: Box::new(kind(ErrorKind::Endless)),
        },
        Error::ManyToRetire {
            source_name: mail(),
            chains: 1,
            archives: 1,
            agreed: None,
        },
        Error::DateRetired {
            source_name: mail(),
            date: date(),
            chain: date(),
            is_deleted: true,
        },
        Error::DamageFound {
            source_name: mail(),
            store: store(),
            objects: 1,
        },
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
        Error::NoKeys {
            state_dir: PathBuf::from("/state"),
            file: "signing.key",
        },
        Error::NoKeys {
            state_dir: PathBuf::from("/state"),
            file: "root.pub",
        },
        Error::NoRetired {
            source_name: mail(),
            date: None,
        },
        Error::Kit {
            path: PathBuf::from("/kit"),
            source: KitFault::NoText,
        },
        Error::Kit {
            path: PathBuf::from("/kit"),
            source: KitFault::NoRoot,
        },
        Error::AfterArchive {
            source_name: mail(),
            source: Box::new(Error::Store(kind(ErrorKind::Full))),
        },
        Error::AfterArchive {
            source_name: mail(),
            source: Box::new(Error::Stream(guard())),
        },
        Error::AfterArchive {
            source_name: mail(),
            source: Box::new(Error::ManyToRetire {
                source_name: mail(),
                chains: 1,
                archives: 1,
                agreed: None,
            }),
        },
        Error::AfterArchive {
            source_name: mail(),
            source: Box::new(Error::StraysLeft {
                source_name: mail(),
                deleted: 1,
                of: 2,
                source: Box::new(kind(ErrorKind::Denied)),
            }),
        },
        Error::AfterArchive {
            source_name: mail(),
            source: Box::new(Error::ChainLeft {
                source_name: mail(),
                chain: date(),
                deleted: 1,
                of: 2,
                source: Box::new(kind(ErrorKind::Denied)),
            }),
        },
        Error::AfterArchive {
            source_name: mail(),
            source: Box::new(Error::PruneUnsigned {
                source_name: mail(),
                kind: "retire",
                source: Box::new(kind(ErrorKind::Denied)),
            }),
        },
        Error::Interrupted(Signal::Terminate),
        Error::CheckInterrupted(Signal::Terminate),
    ];
    samples.extend(kinds.map(|of| Error::Store(kind(of))));
    samples
}

/// The variant's name.
fn name(error: &Error) -> String {
    let text = format!("{error:?}");
    text.split([' ', '(', '{']).next().unwrap_or("").to_owned()
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
    assert_eq!(found, std::fs::read_to_string(path).unwrap());
}
