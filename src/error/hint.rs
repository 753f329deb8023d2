//! What to do next, for each error where there is something to say.

use std::io;

use super::{EntryRefusal, Error};
use crate::kit::KitFault;
use crate::plan::{CostRefusal, Refusal, RestoreRefusal};

const DAMAGE_FOUND: &str = "put the objects back from a copy of the store or from older versions, and \
    verify again; until then, where an archive of the newest chain is damaged, the next one is a full";

impl Error {
    /// What to do next, where there is something to say.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Config(error) => error.hint(),
            Self::Untrusted(untrusted) => Some(untrusted.hint()),
            Self::Btrfs(error) => error.hint(),
            Self::Seal(error) => error.hint(),
            Self::Store(error) => error.hint(),
            Self::Catalog(error) => error.hint().map(str::to_owned),
            Self::Thawing(awaited) => Some(awaited.hint()),
            Self::StraysLeft { source, .. }
            | Self::ChainLeft { source, .. }
            | Self::PruneUnsigned { source, .. } => source.hint(),
            Self::ManyToRetire {
                source_name,
                archives,
                ..
            } => Some(format!(
                "no chain was retired; see `coldchain prune {source_name} --dry-run`, and if that is \
                 meant, run `coldchain prune {source_name} --yes-delete {archives}`"
            )),
            Self::Forked {
                source_name,
                by,
                numbers,
                ..
            } => Some(format!(
                "nothing was written; if somebody has stolen that key, `coldchain key rotate --kit FILE \
                 --source {source_name} --remove {by} --void {numbers}` withdraws it and passes over what does not \
                 fit, and docs/keys.md says how to go on; if not, compare the store with its copies or older \
                 versions"
            )),
            Self::DateRetired {
                source_name,
                chain,
                is_deleted: false,
                ..
            } => Some(format!(
                "`coldchain prune {source_name} --revive {chain}` makes its chain visible again, where the machine \
                 that prunes has not begun to delete it"
            )),
            // What other errors advise holds before an archive only.
            Self::AfterArchive { source, .. }
                if matches!(
                    **source,
                    Self::Btrfs(_)
                        | Self::Catalog(_)
                        | Self::ChainLeft { .. }
                        | Self::File { .. }
                        | Self::ManyToRetire { .. }
                        | Self::PruneUnsigned { .. }
                        | Self::Store(_)
                        | Self::StraysLeft { .. }
                ) =>
            {
                source.hint()
            }
            Self::File { source, .. } => file(source).map(str::to_owned),
            _ => self
                .rebuild_hint()
                .or_else(|| self.restore_hint())
                .or_else(|| self.fixed_hint())
                .or_else(|| self.check_hint())
                .or_else(|| self.prune_hint())
                .or_else(|| self.key_hint())
                .map(str::to_owned),
        }
    }

    /// What to do about a catalog, or a ledger, that has to be made whole.
    fn rebuild_hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::EntryRefused { source, .. }
                if matches!(**source, EntryRefusal::AfterLost { .. }) =>
            {
                "nothing was written; what is sound can be restored. Put a copy or an older version of the lost entry back and run `coldchain catalog rebuild`, or give the source a new name to begin a new ledger"
            }
            Self::EntryRefused { source, .. } if matches!(**source, EntryRefusal::Newer { .. }) => {
                "use the coldchain that wrote it, or a later one"
            }
            Self::LedgerUntrusted { .. } => {
                "nothing of it was read; check --trust, or give the recovery kit of these archives"
            }
            Self::LedgerGone { .. } => {
                "put `ledger/` back from a copy of the store or from older versions: only it says which archives these are"
            }
            Self::EntryDamaged { .. } => {
                "nothing was written; put a sound copy of it in its place: a copy of the store has one, or an older version of the object, or `catalog.db` of the machine that wrote it. If there is none, and no entry follows it, move the object out of `ledger/`: what it archived is then given up"
            }
            Self::NoLedger { foreign: false, .. } => {
                "the store is the place that has the sources' own directories in it: the recovery kit has its URL"
            }
            Self::NoLedger { foreign: true, .. } => {
                "nothing was changed; check the URL, and give the recovery kit of these archives"
            }
            Self::NoStore => "give --store URL: the recovery kit has it",
            Self::TrustKey { .. } => {
                "it is the one that begins with RW, on the line `root public key` of the recovery kit"
            }
            Self::NobodyTrusted => {
                "give --identity with the recovery kit, or --trust with the root public key (RW…) that it names; --unauthenticated reads the ledgers unchecked"
            }
            Self::NeverArchived(_)
            | Self::NothingArchived
            | Self::RestoreRefused(RestoreRefusal::Empty { .. }) => {
                "what a store has of it from another day or machine, `coldchain catalog rebuild --identity KIT` finds"
            }
            Self::SourceMoved { .. } => {
                "set `archive_as` and `store` back; if the store itself has moved with all that is in it, run `coldchain catalog rebuild`; or give the source a new name to begin a new ledger"
            }
            Self::RestoreRefused(RestoreRefusal::Broken { .. }) => {
                "restore a date of another chain, or look for what is missing: an entry from a copy or an older version of the store, read in by `coldchain catalog rebuild`, or the catalog of before a rebuild, kept as catalog.db.before-rebuild; docs/restore-without-coldchain.md restores from objects that no entry names"
            }
            Self::LedgerUnlisted { .. } => {
                "a source that is newer than the kit looks like that, and so does one that somebody else made up"
            }
            Self::LedgerUnread { .. } => {
                "run `coldchain catalog rebuild --identity KIT`, which reads it; if another machine archives there, set `archive_as` to give this source a directory of its own"
            }
            Self::CatalogGone(_) => {
                "run `coldchain catalog rebuild --identity KIT`, which makes a new one from the stores, or put back a copy of it"
            }
            Self::LedgerTwice { .. } => {
                "give only one of the two, and the sounder one: where both are given, the first counts"
            }
            Self::StoreLeftOut { .. } => {
                "nothing was changed; give --store for that store too, or another --state-dir for the catalog of this one"
            }
            Self::UnfinishedHere { .. } => {
                "let `coldchain backup` finish it first; with --yes it is given up, and what is stored of it goes with `coldchain prune`"
            }
            Self::CatalogDiffers(_) => {
                "nothing was changed; if it is the catalog that is wrong, `coldchain catalog rebuild` makes it anew, and if it is the store, compare it with its copies or older versions"
            }
            Self::StoresUnread(_) => {
                "what was read can be listed and restored; run the same command again when the other stores can be read"
            }
            Self::Flawed(_) => {
                "what is sound was imported, and can be listed and restored; compare the store with its copies or older versions"
            }
            _ => return None,
        })
    }

    /// What to do where something of a restore or after it is not as it has to be.
    fn restore_hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::NotRestored { .. } => {
                "restore the newest archive there first: `coldchain restore SOURCE --to DIR`; only its read-only subvolume will do"
            }
            Self::AdoptedElsewhere { .. } => {
                "an incremental is sent within one filesystem: set `subvolume` and `snapshots` to where it was restored"
            }
            Self::PlanFile { .. } => {
                "make it anew: `coldchain restore SOURCE --plan --json > FILE`"
            }
            Self::TargetInSource { .. } => {
                "name a directory outside of it with --to: in the source, each night would have to leave it out"
            }
            Self::TargetInTheWay { .. } => "move it away, or restore into another directory",
            Self::ReceivedElsewhere { .. } => {
                "restore onto another filesystem; or look at that subvolume with `btrfs subvolume show`, and delete it if you don't need it"
            }
            Self::ReceivedWrong { .. } => "do not use it; restore again into an empty directory",
            _ => return None,
        })
    }

    /// What to do where it is always the same.
    fn fixed_hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::CostRefused(CostRefusal::Beyond { .. }) => {
                "nothing was asked for; raise --max-cost, or choose a cheaper --tier"
            }
            Self::CostRefused(CostRefusal::Tier(_)) => {
                "nothing was asked for; choose another --tier"
            }
            Self::NoPrices(_) => "say in `[prices]` what it asks for, or leave --max-cost out",
            Self::NoCapacity { .. } => {
                "what was asked for is on its way; run again later, or with --tier standard, which always has capacity"
            }
            Self::Refused(Refusal::Future { .. }) => {
                "check the date and the system clock, or add --date-override"
            }
            Self::Refused(Refusal::AlreadyArchived { .. }) => {
                "a full can be asked for on another date"
            }
            Self::Refused(Refusal::BeforeNewest { .. }) => {
                "archives are made in the order of their dates. If you did not make that one, run `coldchain key show --entries` to see which key signed it; docs/keys.md says what to do"
            }
            Self::Refused(Refusal::BeforeUnfinished { .. }) => {
                "run it for that date or a later one: it continues that archive"
            }
            Self::Locked { .. } => {
                "give the identity of one of the recipients that it was sealed to: the recovery kit, or the key file named in your notes"
            }
            Self::Stream(refused) => refused.hint(),
            Self::EntryRefused { source, .. }
                if matches!(
                    **source,
                    EntryRefusal::OtherLedger { .. } | EntryRefusal::OtherRoot { .. }
                ) =>
            {
                "nothing was written; if the catalog of these archives was lost, `coldchain catalog rebuild --identity KIT` makes it anew with their recovery kit, and if another machine archives there, give this one a place of its own"
            }
            Self::EntryRefused { .. } | Self::LedgerForked { .. } | Self::LedgerBehind { .. } => {
                "nothing was written; compare the store with its copies or older versions before you run again"
            }
            Self::NewerLedger { .. } => {
                "use the coldchain that wrote them, or a later one; if somebody with a leaked key has, `coldchain key rotate --kit FILE --source NAME --remove KEY --void NUMBER` withdraws the key and lets writers go on"
            }
            Self::ListingUntrue { .. } => {
                "run the same command again later; if that does not help, find out what changes the answers of that store"
            }
            Self::SegmentsMissing { .. } => "nothing was committed; check the store, and run again",
            Self::SegmentDamaged { .. } | Self::SegmentUnreadable { .. } => {
                "earlier archives of the chain that were restored stay; restore another date, or fetch the object from a copy of the store"
            }
            Self::Busy(_) | Self::StillBusy { .. } => "wait for it to end, and run again",
            Self::AttemptRetired { .. } => "run again: the night is planned anew",
            Self::NotLive(_) | Self::NothingLive => {
                "add `subvolume` and `snapshots`, or feed it through `coldchain decide`"
            }
            Self::NoSnapshotsDir { .. } => "create it, or run `coldchain init`",
            Self::SnapshotsElsewhere { .. } => {
                "btrfs takes a snapshot only within a filesystem: set `snapshots` to a directory on the same one"
            }
            Self::Deduplicated { .. } => {
                "pause deduplication (bees, duperemove) while `coldchain backup` runs, or exclude the directory of the snapshots from it"
            }
            Self::SnapshotInTheWay { .. } => "rename it or delete it, and run again",
            Self::SnapshotReceived { .. } => {
                "archive a writable snapshot of it instead: `btrfs subvolume snapshot` drops the received uuid"
            }
            Self::StreamKnown { .. } => {
                "a snapshot is archived once: make a new one, and send that"
            }
            Self::NoSuchArchive(_) | Self::RestoreRefused(_) => {
                "`coldchain list` shows what there is"
            }
            Self::StillConfigured(_) => "take its [[source]] out of the config first",
            Self::NeverSeen(_) => "`coldchain list` shows the sources",
            Self::Ambiguous { .. } => "name the source too, or give the archive's id",
            Self::NoIdentity => {
                "give --identity FILE, or set COLDCHAIN_IDENTITY_FILE: the recovery kit, an age or an ssh key file"
            }
            Self::NoTarget(_) => {
                "create it on a btrfs filesystem, or name another directory with --to"
            }
            Self::Exists(_) => "nothing was overwritten; name another file, or move it away",
            Self::NotConfirmed => "nothing was changed",
            Self::NoTerminal => "nothing was changed; add --yes to go on without being asked",
            Self::Interrupted(_) => {
                "nothing half-done counts, and what was done is kept: run the same command again to go on"
            }
            Self::Unfit(_) | Self::Untrustworthy(_) => "put right what each says, and run it again",
            _ => return None,
        })
    }

    /// What to do after a check.
    fn check_hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::DamageFound { .. } => DAMAGE_FOUND,
            Self::CheckInterrupted(_) => {
                "what it has found is recorded; what it has not come to is not checked, and a check begins anew"
            }
            Self::NoRoomForDrill { .. } => {
                "free some space there, or name another directory with --drill-dir"
            }
            _ => return None,
        })
    }

    /// What to do about a prune, or a revive.
    fn prune_hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::ListingShort { .. } => {
                "nothing was retired or removed; compare the store with its copies or older versions. `coldchain verify` notes what is missing for good, and what is noted holds up no prune"
            }
            Self::LedgerDiffers { .. } => {
                "nothing was retired or deleted; the store is the truth: `coldchain catalog rebuild` makes the catalog anew from it"
            }
            Self::NotRetired { .. } => "`coldchain list --all` shows the retired chains",
            Self::NotRevivable { .. } | Self::DeletionBegun { .. } => {
                "nothing was changed: what is deleted can't be had back"
            }
            Self::NoPruner(_) => "run it on the machine that prunes",
            _ => return None,
        })
    }

    /// What to do about keys and the kit.
    fn key_hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::NoKeys { file, .. } => no_keys(file),
            Self::KitKnowsMore { .. } => {
                "the kit was not changed; `coldchain catalog rebuild --identity KIT` holds the store against it"
            }
            Self::CatalogBehindKit { .. } => {
                "`coldchain catalog rebuild --identity KIT` reads the ledger and says what it lacks; what the catalog has is restored by its date, with --date"
            }
            Self::OtherGrant(_) => {
                "nothing was stored; `coldchain key rotate --kit FILE --new-signing-key` makes a key and what belongs to it"
            }
            Self::NotOpened(_) => "archive it once, which opens it, and run this again",
            Self::ManySegments { .. } => {
                "nothing was committed; set a larger `segment_size` for the source, up to \"1GiB\", and run again with --full"
            }
            Self::BroughtBack { .. } => {
                "nothing more of it was deleted; run `coldchain prune` again"
            }
            Self::AsOfHere(_) => "give another one with --state-dir, which may be new",
            Self::AsOfSeveral { .. } => "name one with --only DIRECTORY",
            Self::AsOf(_) => {
                "restore with it, and write with another: `coldchain catalog rebuild` without --as-of makes that"
            }
            Self::NoRetired { .. } => {
                "`coldchain list --all` shows what was retired; after a rebuild also what another machine has retired"
            }
            Self::VoidsKept { .. } => {
                "nothing was written; withdraw the key in the same command, with --remove or --new-signing-key"
            }
            Self::NotVoidable { .. } => {
                "nothing was written; what a pruner's key has retired or begun to delete comes back with --undelete"
            }
            Self::NeverKey(_) => "`coldchain key show` tells who has which role",
            Self::NoPublicKey(_) => "`coldchain key show` prints a machine's, RW…",
            Self::NoRootSecret(_) => "give the recovery kit that `coldchain init` has written",
            Self::OtherRoot { .. } => "nothing was done; give the kit of this machine's ledgers",
            Self::Unopened { .. } => {
                "`coldchain key add-recipient` seals their keys to another recipient, with an identity that opens them"
            }
            Self::NotAttached { .. } => {
                "give the identity of a recipient that they were sealed to: `coldchain key check` tells what one opens"
            }
            Self::TypedRecipient(_) => {
                "it is the public half of an identity, age1… or an ssh public key: `age-keygen -y FILE` prints it"
            }
            Self::ChainsDamaged { .. } => "`coldchain verify` says what else is damaged",
            Self::NoRole { .. } => {
                "nothing was stored; `coldchain key show` tells who has which role, and `coldchain key rotate --kit FILE --add KEY --role ROLE` gives one"
            }
            Self::Exposed { .. } => {
                "run `chmod 600` on it; if others had access, its key is no secret any more"
            }
            Self::Kit {
                source: KitFault::NoText,
                ..
            } => {
                "nothing was changed; decrypt it first, or let `coldchain key kit` without --kit print what is to be kept beside it"
            }
            Self::Kit {
                source: KitFault::NoRoot,
                ..
            } => "nothing was changed; give the recovery kit that `coldchain init` has written",
            Self::Kit { .. } => "nothing was changed; put it right, or take an older copy of it",
            _ => return None,
        })
    }
}

/// Who needs the file decides where it comes from: keys that `init` makes are nobody's in ledgers that there
/// are already.
fn no_keys(file: &str) -> &'static str {
    match file {
        "signing.key" => {
            "`coldchain init` makes the keys of a machine that begins to archive; one that only prunes gets its own by `coldchain key new`, and one that goes on with the archives of another by `coldchain key rotate --kit FILE --new-signing-key`"
        }
        "root.pub" => {
            "`coldchain catalog rebuild` with --identity KIT or --trust RW… writes it for ledgers that there are already; `coldchain init` makes it for new ones"
        }
        _ => {
            "it opens the ledger of a new source: `coldchain key rotate --kit FILE --add KEY --role writer` writes it, with this machine's key (`coldchain key show`); without any ledger yet, `coldchain init` does"
        }
    }
}

fn file(error: &io::Error) -> Option<&'static str> {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            Some("free some space there, and run again")
        }
        io::ErrorKind::ReadOnlyFilesystem => Some("make it writable, and run again"),
        _ => None,
    }
}
