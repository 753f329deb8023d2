//! The error that ends a command. Its exit code and its hint are in files of their own.

mod exit_code;
mod hint;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::time::Duration;

use chrono::NaiveDate;

use crate::btrfs::{BtrfsError, GuardError};
use crate::catalog::CatalogError;
use crate::config::ConfigError;
use crate::kit::KitFault;
use crate::ledger::{LedgerError, Refusal as EntryRefusal};
use crate::model::Signal;
use crate::model::entry::Role;
use crate::model::ids::IdError;
use crate::model::segment::MOST_SEGMENTS;
use crate::model::size::Bytes;
use crate::model::{ArchiveId, SourceName, Tier, Uuid};
use crate::owned::Untrusted;
use crate::plan::{Awaited, CostRefusal, Refusal, RestoreRefusal};
use crate::seal::SealError;
use crate::store::StoreError;

pub use exit_code::ExitCode;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The config can't be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A kit or the state directory can be changed by others.
    #[error(transparent)]
    Untrusted(#[from] Untrusted),
    /// Something typed is no name, date or id.
    #[error(transparent)]
    Id(#[from] IdError),
    /// The date or the request does not fit what is archived.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// There is nothing to restore there.
    #[error(transparent)]
    RestoreRefused(#[from] RestoreRefusal),
    /// It would cost too much, or its tier can't be had.
    #[error(transparent)]
    CostRefused(#[from] CostRefusal),
    /// A limit was given for what has no price.
    #[error("--max-cost can't be held against {0}: its prices are not known")]
    NoPrices(String),
    /// Segments must be thawed first, which takes its time.
    #[error("{0}")]
    Thawing(Box<Awaited>),
    /// A tier is used up for now.
    #[error("the tier `{tier}` has no capacity now, {asked} of {of} segments were asked for")]
    NoCapacity {
        /// The tier.
        tier: Tier,
        /// How many segments are on their way.
        asked: usize,
        /// How many were to be.
        of: usize,
        /// The store's answer.
        source: StoreError,
    },
    /// A btrfs operation failed.
    #[error(transparent)]
    Btrfs(#[from] BtrfsError),
    /// A send stream was refused.
    #[error("the send stream was not archived")]
    Stream(#[source] GuardError),
    /// Something deduplicates a snapshot all the time.
    #[error(
        "cannot send the snapshot of `{source_name}`: deduplication has changed or held it {times} times in a row"
    )]
    Deduplicated {
        /// The source.
        source_name: SourceName,
        /// How often.
        times: u32,
        /// The last failure.
        source: Box<Error>,
    },
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
    /// A key of the ledger has signed an entry that does not fit.
    #[error(
        "the ledger of `{source_name}` in {store} has forked: entry {seq}, which {by} has signed, does not fit"
    )]
    Forked {
        /// The entry's number.
        seq: u64,
        /// The source.
        source_name: SourceName,
        /// The store's URL.
        store: String,
        /// The key.
        by: Box<str>,
        /// The numbers of all such entries, as `key rotate --void` takes them.
        numbers: Box<str>,
        /// Why.
        source: Box<EntryRefusal>,
    },
    /// A ledger that is read for the first time is not one of those that are trusted.
    #[error("the ledger of `{source_name}` in {store} is not one that is trusted")]
    LedgerUntrusted {
        /// The source, or its directory.
        source_name: SourceName,
        /// The store's URL.
        store: String,
        /// What it is.
        source: Box<EntryRefusal>,
    },
    /// What is left of a source whose ledger is gone.
    #[error("the ledger of `{directory}` in {store} is gone: {} of {} are there, and no entry", count(*.objects, "object"), count(*.attempts, "archive"))]
    LedgerGone {
        /// The source's directory.
        directory: SourceName,
        /// The store's URL.
        store: String,
        /// How many archives, or attempts at some, have objects there.
        attempts: usize,
        /// How many objects.
        objects: usize,
    },
    /// What the store has under a number may be an entry that was damaged.
    #[error("ledger entry {seq} of `{source_name}` in {store} is damaged, or none of this ledger")]
    EntryDamaged {
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
    /// A pruner has retired what an attempt needs, or the attempt itself.
    #[error(
        "ledger entry {seq} of `{source_name}` has meanwhile retired this archive or what it builds on; nothing was committed here"
    )]
    AttemptRetired {
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
    /// The ledger does not let this machine's key sign what it would write.
    #[error("the ledger of `{source_name}` does not have this machine's key as a {role}: {key}")]
    NoRole {
        /// The source.
        source_name: SourceName,
        /// The public key.
        key: String,
        /// What it may not do.
        role: Role,
    },
    /// No ledger was found that could be read.
    #[error("{}", no_ledger(stores, *foreign))]
    NoLedger {
        /// The stores' URLs.
        stores: String,
        /// Whether there are ledgers of others.
        foreign: bool,
    },
    /// No store was named.
    #[error("no store is named, and there is no config that names one")]
    NoStore,
    /// What was given to be trusted is no key.
    #[error("`{key}` is no public key")]
    TrustKey {
        /// As it was typed.
        key: String,
        /// The cause.
        source: LedgerError,
    },
    /// Nobody has said whom to trust.
    #[error("nothing says which root key to trust")]
    NobodyTrusted,
    /// A ledger of the kit's root key that the kit does not name.
    #[error(
        "the recovery kit does not name the ledger in {store}/{directory}, which names the kit's root key; with `--trust {root}` it is read"
    )]
    LedgerUnlisted {
        /// The source's directory.
        directory: SourceName,
        /// The store's URL.
        store: String,
        /// The root key.
        root: String,
    },
    /// There are archives that the catalog knows nothing of.
    #[error(
        "the store {store} has a ledger of `{source_name}` that the catalog here does not know"
    )]
    LedgerUnread {
        /// The source.
        source_name: SourceName,
        /// The store's URL.
        store: String,
    },
    /// This machine has begun to archive or to prune, and its catalog is not there.
    #[error("the catalog {} is gone: the machine's keys are there, and no catalog", .0.display())]
    CatalogGone(PathBuf),
    /// Two directories have the same ledger.
    #[error("{second} has the ledger of `{source_name}`, which was read from {first} already")]
    LedgerTwice {
        /// The source, as it is called now.
        source_name: SourceName,
        /// Where it was read from.
        first: String,
        /// Where it lies once more.
        second: String,
    },
    /// The catalog knows a source in a store that is not read.
    #[error("the catalog here also knows `{source_name}`, in {store}")]
    StoreLeftOut {
        /// The source.
        source_name: SourceName,
        /// Its store's URL.
        store: String,
    },
    /// The catalog knows an attempt that no store tells of.
    #[error(
        "the archive {archive} of `{source_name}` is unfinished, and only the catalog here knows how to go on with it"
    )]
    UnfinishedHere {
        /// The source.
        source_name: SourceName,
        /// The attempt.
        archive: ArchiveId,
    },
    /// Sound entries were imported, and some are not sound.
    #[error("the catalog was rebuilt, with {} in what the stores hold", count(*.0, "flaw"))]
    Flawed(usize),
    /// What could be read was imported, and some stores could not be read at all.
    #[error("the catalog was rebuilt without {} that could not be read", count(*.0, "store"))]
    StoresUnread(usize),
    /// Catalog, ledger and store do not say the same.
    #[error("catalog, ledger and store differ in {}", count(*.0, "place"))]
    CatalogDiffers(usize),
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
    /// A listing lacks an object that the store has.
    #[error("a listing of {store} lacks {key}, and the store has it when it is asked for it")]
    ListingUntrue {
        /// The store's URL.
        store: String,
        /// The object's key.
        key: String,
    },
    /// A listing lacks what a visible archive has, so it can't be told what it lacks besides.
    #[error("a listing of {store} lacks or has changed {} of {archive}, {}", count(*.objects, "object"), first)]
    ListingShort {
        /// The archive.
        archive: ArchiveId,
        /// The store's URL.
        store: String,
        /// How many.
        objects: usize,
        /// The key of the first, and what is wrong.
        first: String,
    },
    /// Not all stray objects could be deleted.
    #[error("could not delete all orphaned objects of `{source_name}`: {deleted} of {} were deleted", count(*.of, "object"))]
    StraysLeft {
        /// The source.
        source_name: SourceName,
        /// How many are gone.
        deleted: usize,
        /// Of how many.
        of: usize,
        /// The store's answer to the next.
        source: Box<StoreError>,
    },
    /// Not all objects of a retired chain could be deleted.
    #[error("could not delete all of the retired chain of {chain} of `{source_name}`: {deleted} of {} were deleted", count(*.of, "object"))]
    ChainLeft {
        /// The source.
        source_name: SourceName,
        /// The date that names the chain.
        chain: NaiveDate,
        /// How many are gone.
        deleted: usize,
        /// Of how many.
        of: usize,
        /// The store's answer to the next.
        source: Box<StoreError>,
    },
    /// What is to be retired or deleted could not be written into the ledger.
    #[error("could not write the `{kind}` entry of `{source_name}`")]
    PruneUnsigned {
        /// The source.
        source_name: SourceName,
        /// The entry's kind.
        kind: &'static str,
        /// The store's answer.
        source: Box<StoreError>,
    },
    /// More would be retired than was agreed to.
    #[error("`{source_name}` has {} with {} to retire, {}", count(*.chains, "chain"), count(*.archives, "archive"), agreed_to(*.agreed))]
    ManyToRetire {
        /// The source.
        source_name: SourceName,
        /// How many chains.
        chains: usize,
        /// How many archives they have.
        archives: usize,
        /// How many archives were agreed to, if a number was given.
        agreed: Option<usize>,
    },
    /// The catalog takes other archives for visible than the ledger does.
    #[error("the catalog and the ledger of `{source_name}` disagree on {archive}")]
    LedgerDiffers {
        /// The source.
        source_name: SourceName,
        /// The first archive that they disagree on.
        archive: ArchiveId,
    },
    /// The archive of a date is not visible any more.
    #[error("the archive of {date} of `{source_name}` was retired{}", if *.is_deleted { ", and is being deleted or gone" } else { "" })]
    DateRetired {
        /// The source.
        source_name: SourceName,
        /// The date.
        date: NaiveDate,
        /// The date that names its chain.
        chain: NaiveDate,
        /// Whether it is past being revived.
        is_deleted: bool,
    },
    /// There is no retired chain of that date.
    #[error("`{source_name}` has no retired chain of {chain}")]
    NotRetired {
        /// The source.
        source_name: SourceName,
        /// The date.
        chain: NaiveDate,
    },
    /// Objects of a retired archive are gone.
    #[error("{archive} can't be revived: {store} lacks or has changed {} of it, {}", count(*.objects, "object"), first)]
    NotRevivable {
        /// The archive.
        archive: ArchiveId,
        /// The store's URL.
        store: String,
        /// How many.
        objects: usize,
        /// The key of the first, and what is wrong.
        first: String,
    },
    /// A retired chain is past being revived.
    #[error("the chain of {chain} of `{source_name}` can't be revived: its deletion has begun")]
    DeletionBegun {
        /// The source.
        source_name: SourceName,
        /// The date that names the chain.
        chain: NaiveDate,
    },
    /// A retired archive's date was archived again.
    #[error("{archive} can't be revived: its date was archived again, as {by}")]
    DateTaken {
        /// The archive.
        archive: ArchiveId,
        /// The one that has its date.
        by: ArchiveId,
    },
    /// This machine's key may not prune.
    #[error("this machine's key may not sign for the pruning of `{0}`")]
    NoPruner(SourceName),
    /// A key is taken by other bytes.
    #[error("{store} has another object under the key {key}")]
    KeyTaken {
        /// The store's URL.
        store: String,
        /// The key.
        key: String,
    },
    /// A check has found something missing or damaged.
    #[error("{} of `{source_name}` in {store} {}", count(*.objects, "object"), if *.objects == 1 { "is missing or damaged" } else { "are missing or damaged" })]
    DamageFound {
        /// The source.
        source_name: SourceName,
        /// The store's URL.
        store: String,
        /// How many.
        objects: usize,
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
        /// The kernel, `btrfs send` or stdin.
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
    /// Another run works on the source, and was waited for in vain.
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
    /// The source is archived through `decide` alone.
    #[error("`{0}` has no `subvolume` in the config")]
    NotLive(SourceName),
    /// The snapshots directory is missing.
    #[error("there is no directory {} for the snapshots of `{source_name}`", path.display())]
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
    /// Something that can't serve as the snapshot has its name.
    #[error("{} is in the way of the snapshot: {what}", path.display())]
    SnapshotInTheWay {
        /// The snapshot's path.
        path: PathBuf,
        /// What stands there.
        what: String,
    },
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
    /// What opens ledgers is not for the key that would have to sign them.
    #[error("{} is not the root key's word for this machine's key as a writer", .0.display())]
    OtherGrant(PathBuf),
    /// A key was to change in a ledger that has no keys yet.
    #[error("the ledger of `{0}` is not opened yet, so there is nothing to add a key to")]
    NotOpened(SourceName),
    /// The root key is what it is.
    #[error("{0} is the root key, which is neither added nor removed")]
    RootKey(String),
    /// A key was to be removed that was never there.
    #[error("no ledger here has ever had the key {0}")]
    NeverKey(String),
    /// An archive has too many segments for a ledger entry.
    #[error("the archive {archive} has more than {MOST_SEGMENTS} segments of {}", Bytes(*segment_bytes))]
    ManySegments {
        /// The archive.
        archive: ArchiveId,
        /// Raw bytes of a segment.
        segment_bytes: u64,
    },
    /// A chain was to be deleted that the root key has brought back.
    #[error(
        "the chain of {chain} of {source_name} was brought back by the root key while it was being deleted"
    )]
    BroughtBack {
        /// The source.
        source_name: SourceName,
        /// The date of its full.
        chain: NaiveDate,
    },
    /// A ledger that is read up to an entry belongs into a catalog that knows none.
    #[error("the catalog in {} knows ledgers, and one that ends at an entry must not take its place", .0.display())]
    AsOfHere(PathBuf),
    /// Several ledgers would be read up to one number.
    #[error(
        "there are several ledgers, those of {one} and {other} among them, and each has numbers of its own"
    )]
    AsOfSeveral {
        /// A directory.
        one: String,
        /// Another.
        other: String,
    },
    /// The catalog leaves out how the ledger goes on.
    #[error(
        "the catalog has the ledger of {0} only up to an entry that was asked for: nothing is written with it"
    )]
    AsOf(SourceName),
    /// There is no retired archive to restore.
    #[error("{source_name} has no retired archive{}", date.map(|date| format!(" of {date}")).unwrap_or_default())]
    NoRetired {
        /// The source.
        source_name: SourceName,
        /// The date asked for.
        date: Option<NaiveDate>,
    },
    /// An entry was to be voided whose key may go on signing.
    #[error("entry {seq} is signed by {key}, which may sign this ledger")]
    VoidsKept {
        /// The entry.
        seq: u64,
        /// The key.
        key: String,
    },
    /// An entry was to be voided that can't be.
    #[error("entry {seq} is of the kind `{kind}`, which is not voided")]
    NotVoidable {
        /// The entry.
        seq: u64,
        /// Its kind.
        kind: String,
    },
    /// The file is no kit that can be relied on.
    #[error("could not understand the recovery kit {}", path.display())]
    Kit {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: KitFault,
    },
    /// A kit is a witness of an entry that the catalog lacks, or has otherwise.
    #[error("{} knows an entry {seq} of `{source_name}` that the catalog here does not have", path.display())]
    KitKnowsMore {
        /// The kit.
        path: PathBuf,
        /// The source.
        source_name: SourceName,
        /// The entry's number.
        seq: u64,
    },
    /// A kit is a witness that there are newer entries, or others, than the catalog knows.
    #[error("{} knows entry {seq} of `{source_name}` as the catalog here does not: what is the newest here may not be", path.display())]
    CatalogBehindKit {
        /// The kit.
        path: PathBuf,
        /// The source.
        source_name: SourceName,
        /// The entry's number.
        seq: u64,
    },
    /// What was typed is no key.
    #[error("`{0}` is no public key")]
    NoPublicKey(String),
    /// The root key's secret is needed, and is not there.
    #[error("{} holds no root secret", .0.display())]
    NoRootSecret(PathBuf),
    /// A kit belongs to other ledgers.
    #[error("{} is of the root key {found}, and {trusted} is trusted here", path.display())]
    OtherRoot {
        /// The kit.
        path: PathBuf,
        /// Its root key.
        found: String,
        /// The one in the state directory.
        trusted: String,
    },
    /// Archives whose keys an identity does not open.
    #[error("{identity} does not open {unopened} of {}", count(*.of, "archive"))]
    Unopened {
        /// The identity file.
        identity: String,
        /// How many.
        unopened: usize,
        /// Of how many.
        of: usize,
    },
    /// Archives whose keys could not be sealed to a further recipient.
    #[error("{identity} does not open {unopened} of {}, so the recipient was not added to them", count(*.of, "archive"))]
    NotAttached {
        /// The identity file.
        identity: String,
        /// How many.
        unopened: usize,
        /// Of how many.
        of: usize,
    },
    /// What was typed is no recipient.
    #[error(transparent)]
    TypedRecipient(SealError),
    /// Chains whose newest archive is not as the ledger says.
    #[error("the newest archive is damaged in {damaged} of {}", count(*.of, "chain"))]
    ChainsDamaged {
        /// How many.
        damaged: usize,
        /// Of how many.
        of: usize,
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
    /// A source was to be forgotten that the config names.
    #[error("the config names the source `{0}`, so the next run would learn of it again")]
    StillConfigured(SourceName),
    /// A source was to be forgotten that is not known.
    #[error("the catalog has no source `{0}`")]
    NeverSeen(SourceName),
    /// No such archive.
    #[error("there is no archive `{0}`")]
    NoSuchArchive(String),
    /// Nothing was ever archived of any source.
    #[error("nothing has been archived yet")]
    NothingArchived,
    /// Several archives answer to that.
    #[error("several sources have {which}: {sources}")]
    Ambiguous {
        /// What was asked for, with its article.
        which: String,
        /// Their names.
        sources: String,
    },
    /// No identity was given.
    #[error("restoring needs an identity")]
    NoIdentity,
    /// A plan to restore from is not one, or not one for here.
    #[error("can't restore from the plan {}: {what}", path.display())]
    PlanFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// What is to be adopted is not the archive.
    #[error("{} is not {archive}, as a restore leaves it", path.display())]
    NotRestored {
        /// Where it was looked for.
        path: PathBuf,
        /// The newest archive.
        archive: ArchiveId,
    },
    /// What is to be adopted can't be a send parent of the source.
    #[error("{} is not on the filesystem of {}", path.display(), subvolume.display())]
    AdoptedElsewhere {
        /// What was restored.
        path: PathBuf,
        /// The source.
        subvolume: PathBuf,
    },
    /// The restore's directory is missing.
    #[error("there is no target directory {}", .0.display())]
    NoTarget(PathBuf),
    /// The restore's directory is part of what it would restore.
    #[error("{} lies in the subvolume of `{source_name}` itself", path.display())]
    TargetInSource {
        /// The directory.
        path: PathBuf,
        /// The source.
        source_name: SourceName,
    },
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
    /// There is no terminal to ask on, and it was not agreed to beforehand.
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
    /// Backups would fail, or could not be relied on.
    #[error("{} found", count(*.0, "failure"))]
    Unfit(usize),
    /// The same, and a store answers as no honest one does.
    #[error("{} found", count(*.0, "failure"))]
    Untrustworthy(usize),
    /// A span of dates that ends before it begins.
    #[error("{until} is before {from}")]
    Span {
        /// The first date.
        from: NaiveDate,
        /// The last date.
        until: NaiveDate,
    },
    /// It was asked to stop.
    #[error("interrupted by {0}")]
    Interrupted(Signal),
    /// A check was asked to stop.
    #[error("the check was interrupted by {0}")]
    CheckInterrupted(Signal),
    /// What is to be restored for a drill has no room.
    #[error("{} has no room for a drill: {} are restored there, and {} are free", path.display(), Bytes(*needed), Bytes(*free))]
    NoRoomForDrill {
        /// The drill's directory.
        path: PathBuf,
        /// Bytes that are to be restored.
        needed: u64,
        /// Bytes that are free.
        free: u64,
    },
    /// Signals can't be caught.
    #[error("could not listen for signals")]
    Signals(#[source] std::io::Error),
    /// What was typed does not fit together, or says too little.
    #[error("{0}")]
    CommandLine(String),
    /// No source has a subvolume that could be archived from here.
    #[error("no source in the config has a `subvolume`, so `backup` has nothing to archive")]
    NothingLive,
    /// stdout or stdin is not what the command needs.
    #[error("{0}")]
    Stdio(&'static str),
}

/// An error with its causes, in a line.
pub fn in_words(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text = format!("{text}: {next}");
        cause = next.source();
    }
    text
}

fn agreed_to(agreed: Option<usize>) -> String {
    match agreed {
        Some(agreed) => format!("and {} were agreed to", count(agreed, "archive")),
        None => "which is not done without being asked for".to_owned(),
    }
}

fn count(n: usize, what: &str) -> String {
    if n == 1 {
        format!("1 {what}")
    } else {
        format!("{n} {what}s")
    }
}

fn no_ledger(stores: &str, foreign: bool) -> String {
    if foreign {
        format!("no ledger in {stores} is one that is trusted")
    } else {
        format!("there is no ledger in {stores}")
    }
}

fn count_seconds(time: &Duration) -> String {
    count(
        usize::try_from(time.as_secs()).unwrap_or(usize::MAX),
        "second",
    )
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
}
