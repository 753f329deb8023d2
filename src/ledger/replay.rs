//! Replaying a ledger: each entry is judged by all that came before it.

mod archive;
mod attach;
mod delete;
mod format;
mod moved;
mod refused;
mod retire;
mod revive;
mod rotate;
mod undo;

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::ops::RangeInclusive;

use chrono::NaiveDate;

use super::body::decode_body;
use super::error::EntryRefusal;
use super::error::Numbers;
use super::grant::verify_grant;
use super::key::PublicKey;
use super::signature::{Check, open, split};
use crate::model::entry::{
    Entry, EntryHead, EntryKind, FORMAT, FURTHEST, OPEN_BYTES, OpenEntry, ROTATE_FORMAT, Role,
};
use crate::model::{ArchiveId, LedgerId, PlaceId, Sha256, Uuid, VaultPlace};

pub use refused::Refused;

/// Returns how many of some ascending numbers can be those of entries, if the ledger is known up to `head`. A
/// number that is more than [`FURTHEST`] beyond the one before it can't be, and none after it.
pub fn within_reach(numbers: &[u64], head: u64) -> usize {
    let mut last = head;
    numbers
        .iter()
        .take_while(|number| {
            let is_near = **number <= last.saturating_add(FURTHEST);
            last = last.max(**number);
            is_near
        })
        .count()
}

/// What a reader must know before it reads. Nothing of it may come from the store.
#[derive(Debug, Clone)]
pub struct Trust {
    /// The ledger's id.
    pub ledger: LedgerId,
    /// The source's directory in the store.
    pub source_directory: String,
    /// The root key, from which all other keys get their roles.
    pub root: PublicKey,
}

/// The newest valid entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Its number.
    pub seq: u64,
    /// SHA-256 of its body line.
    pub hash: Sha256,
}

/// An entry that was found valid.
#[derive(Debug, Clone)]
pub struct Absorbed {
    /// What it says.
    pub entry: Entry,
    /// SHA-256 of its body line.
    pub hash: Sha256,
    /// What the reader should know.
    pub warnings: Vec<Warning>,
    /// The numbers before it whose entries are damaged or lost. `None` unless the replay
    /// [reads past](Replay::reading_past) them.
    pub lost: Option<RangeInclusive<u64>>,
}

/// Something that this version does not understand, and reads past.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Warning {
    /// A kind that it does not know.
    UnknownKind {
        /// The entry's number.
        seq: u64,
        /// The kind.
        kind: String,
    },
    /// A format beyond its own.
    HigherFormat {
        /// The entry's number.
        seq: u64,
        /// The format.
        format: u32,
    },
}

impl Warning {
    /// The entry's number.
    pub fn seq(&self) -> u64 {
        match self {
            Self::UnknownKind { seq, .. } | Self::HigherFormat { seq, .. } => *seq,
        }
    }

    fn of(entry: &Entry) -> Option<Self> {
        let EntryHead { seq, format, .. } = entry.head;
        match &entry.kind {
            EntryKind::Unknown(_) if format > FORMAT => Some(Self::HigherFormat { seq, format }),
            EntryKind::Unknown(kind) => Some(Self::UnknownKind {
                seq,
                kind: kind.clone(),
            }),
            _ => None,
        }
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownKind { seq, kind } => {
                write!(f, "entry {seq} is of the unknown kind {kind:?}")
            }
            Self::HigherFormat { seq, format } => write!(f, "entry {seq} has format {format}"),
        }
    }
}

/// What happens to the entries after one that is damaged or lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AfterDamage {
    /// They are refused: a writer must know all that came before.
    Strict,
    /// They are accepted, but only for readers. Each is signed by a key with its role, and its own facts are
    /// checked. What depends on the lost entries can't be checked.
    Past {
        /// Whether an entry has been lost so far.
        lost: bool,
    },
}

/// A ledger as far as it has been read.
#[derive(Debug, Clone)]
pub struct Replay {
    trust: Trust,
    reading: AfterDamage,
    head: Option<Head>,
    keys: Vec<(PublicKey, Vec<Role>)>,
    /// Every key that an entry has given a role.
    ever: Vec<PublicKey>,
    /// Keys that could sign earlier, and can't any more.
    withdrawn: Vec<PublicKey>,
    archives: HashMap<ArchiveId, Known>,
    /// Retired archives and retired ids of attempts, each with the number of the entry that retired it.
    retired: HashMap<ArchiveId, u64>,
    /// Archives that the root key has made visible again.
    brought_back: HashSet<ArchiveId>,
    /// Retired archives whose objects may be gone, each with the number of the entry that says so.
    deleted: HashMap<ArchiveId, u64>,
    /// The stream uuids of all archives, also of retired ones: none may occur a second time.
    streams: HashSet<Uuid>,
    /// The visible archive of each date.
    dates: HashMap<NaiveDate, ArchiveId>,
    /// Entries that this version does not understand, and that no `rotate` has voided.
    unknown: Vec<Warning>,
    /// By entry number: the index in `ever` of the key that signed it.
    signers: HashMap<u64, usize>,
    /// Entries that attach something, and that no `rotate` has voided.
    attaching: HashSet<u64>,
    /// Where home was moved to, oldest first, each with the number of the entry that says so. Those that a
    /// `rotate` has voided are left out.
    moved: Vec<(u64, PlaceId)>,
    /// The ids of all segments in vaults, also of retired archives, as short digests: none may occur a second time.
    in_vaults: HashSet<u128>,
    /// Numbers after the head whose objects are signed and do not fit, except those that the root key has
    /// voided.
    forked: Vec<u64>,
    /// Numbers after the head whose objects do not verify.
    unskipped: Vec<u64>,
}

#[derive(Debug, Clone, Copy)]
struct Known {
    chain: ArchiveId,
    send_parent: Option<ArchiveId>,
    stream_uuid: Uuid,
    /// The format of its entry.
    format: u32,
}

impl Replay {
    /// Begins to read a ledger. Entries after one that is damaged or lost are refused.
    pub fn new(trust: Trust) -> Self {
        Self::with(trust, AfterDamage::Strict)
    }

    /// Begins to read a ledger, and continues after entries that are damaged or lost. Numbers may be missing,
    /// and nothing is quarantined: a valid entry names the numbers that it passes over.
    pub fn reading_past(trust: Trust) -> Self {
        Self::with(trust, AfterDamage::Past { lost: false })
    }

    fn with(trust: Trust, reading: AfterDamage) -> Self {
        Self {
            trust,
            reading,
            head: None,
            keys: Vec::new(),
            ever: Vec::new(),
            withdrawn: Vec::new(),
            archives: HashMap::new(),
            retired: HashMap::new(),
            brought_back: HashSet::new(),
            deleted: HashMap::new(),
            streams: HashSet::new(),
            dates: HashMap::new(),
            unknown: Vec::new(),
            signers: HashMap::new(),
            attaching: HashSet::new(),
            moved: Vec::new(),
            in_vaults: HashSet::new(),
            forked: Vec::new(),
            unskipped: Vec::new(),
        }
    }

    /// The newest valid entry.
    pub fn head(&self) -> Option<Head> {
        self.head
    }

    /// Whether an entry archives it and none retires it.
    pub fn is_visible(&self, archive: &ArchiveId) -> bool {
        self.archives.contains_key(archive) && !self.retired.contains_key(archive)
    }

    /// The archives that an entry archives and none retires, in no order.
    pub fn visible(&self) -> impl Iterator<Item = ArchiveId> {
        self.dates.values().copied()
    }

    /// Whether an entry retires it, whether it is an archive or an attempt that was never archived.
    pub fn is_retired(&self, archive: &ArchiveId) -> bool {
        self.retired.contains_key(archive)
    }

    /// Whether an entry says that its objects are being deleted: then no `revive` can name it.
    pub fn is_deleted(&self, archive: &ArchiveId) -> bool {
        self.deleted.contains_key(archive)
    }

    /// The entries that this version does not understand, except those that a `rotate` has voided: a writer
    /// must not write after them.
    pub fn unknown(&self) -> &[Warning] {
        &self.unknown
    }

    /// Returns the key that signed an accepted entry.
    pub fn signer(&self, seq: u64) -> Option<&PublicKey> {
        self.signers.get(&seq).map(|by| &self.ever[*by])
    }

    /// Numbers after the head whose objects are signed and do not fit. Only a `rotate` of the root key that
    /// voids them can come next.
    pub fn forked(&self) -> &[u64] {
        &self.forked
    }

    /// Notes that the object of a number is a [fork](Refused::Fork).
    pub fn fork(&mut self, seq: u64) {
        self.forked.push(seq);
        self.unskipped.push(seq);
    }

    /// The number that the next entry takes.
    pub fn next_seq(&self) -> u64 {
        let head = self.head.map(|head| head.seq);
        self.unskipped.last().copied().max(head).unwrap_or(0) + 1
    }

    /// Returns the numbers that the next entry has to name in `skips`: every number since the head, even if
    /// its object was removed meanwhile.
    pub fn skips(&self) -> Vec<u64> {
        let head = self.head.map_or(0, |head| head.seq);
        (head + 1..self.next_seq()).collect()
    }

    /// Notes that the object of the next number is [litter](Refused::Litter): the next valid entry has
    /// to name it.
    pub fn quarantine(&mut self, seq: u64) {
        self.unskipped.push(seq);
    }

    /// Judges the object under that number, and takes it in if it is a valid entry. A refusal changes
    /// nothing.
    pub fn absorb(&mut self, seq: u64, object: &[u8]) -> Result<Absorbed, EntryRefusal> {
        self.take(seq, object, Check::Check)
    }

    /// Does the same for an object whose signature was verified when it was first read.
    pub fn absorb_trusted(&mut self, seq: u64, object: &[u8]) -> Result<Absorbed, EntryRefusal> {
        self.take(seq, object, Check::Checked)
    }

    fn take(&mut self, seq: u64, object: &[u8], check: Check) -> Result<Absorbed, EntryRefusal> {
        let next = self.next_seq();
        let gap = EntryRefusal::Gap { missing: next };
        // Only an entry can say that it passes over numbers before it, and their objects may be gone by now.
        if seq < next || (seq > next && self.head.is_none()) {
            return Err(gap);
        }
        let head = self.head.map_or(0, |head| head.seq);
        if seq - head > FURTHEST {
            return Err(EntryRefusal::TooFar { head });
        }
        let reading = self.reading;
        let taken = self.take_next(seq, object, check);
        if taken.is_err() {
            // The entry was judged as one after a loss. As it was refused, it does not show that there is a
            // loss.
            self.reading = reading;
        }
        match (taken, self.reading) {
            (Err(_), AfterDamage::Strict) if seq > next => Err(gap),
            (taken, _) => taken,
        }
    }

    fn take_next(
        &mut self,
        seq: u64,
        object: &[u8],
        check: Check,
    ) -> Result<Absorbed, EntryRefusal> {
        // The first entry names its own keys. So only its body is read before the signature is checked.
        let is_first = self.head.is_none();
        let (entry, opened) = if is_first {
            let bytes = object.len() as u64;
            if bytes > OPEN_BYTES {
                return Err(EntryRefusal::OpenTooLong { bytes });
            }
            let entry = decode_body(split(object)?.0)?;
            let opened = self.opened(seq, &entry)?;
            (Some(entry), Some(opened))
        } else {
            (None, None)
        };
        let ever: Vec<PublicKey>;
        let known = match &opened {
            Some(opened) => {
                ever = opened.iter().map(|(key, _)| key.clone()).collect();
                &ever
            }
            None => &self.ever,
        };
        let signed = open(object, known, check)?;
        let body = signed.body;
        let entry = match entry {
            Some(entry) => entry,
            None => decode_body(body)?,
        };
        let head = &entry.head;
        self.belongs(seq, &entry)?;
        signed.is_of(&entry)?;
        let by = &known[signed.by];
        if !may_sign(opened.as_ref().unwrap_or(&self.keys), by, &entry) {
            return Err(EntryRefusal::Unsigned {
                kind: entry.kind.name().to_owned(),
            });
        }
        if opened.is_none() && matches!(entry.kind, EntryKind::Open(_)) {
            return Err(EntryRefusal::Open);
        }
        self.ends_forks(&entry)?;
        let lost = self.follow(head)?;
        if lost.is_some() {
            self.reading = AfterDamage::Past { lost: true };
        }
        self.check_format(&entry)?;
        match &entry.kind {
            EntryKind::Archive(archive) => self.check_archive(head, archive)?,
            EntryKind::Retire(retire) => self.check_retire(&retire.archives)?,
            EntryKind::Revive(revive) => self.check_revive(&revive.archives)?,
            EntryKind::Delete(delete) => self.check_delete(delete)?,
            EntryKind::Attach(attach) => self.check_attach(attach)?,
            EntryKind::Open(_)
            | EntryKind::Rotate(_)
            | EntryKind::Moved(_)
            | EntryKind::Unknown(_) => {}
        }
        let by = self.ever.iter().position(|known| known == by);
        let replaced = match &entry.kind {
            EntryKind::Rotate(rotate) => Some(self.rotated(head, rotate)?),
            _ => opened,
        };

        // Nothing was taken in until here: a refused object leaves the replay as it was.
        self.take_in(&entry);
        if let Some(keys) = replaced {
            self.replace_keys(keys);
        }
        // The first entry brings the key that signed it.
        self.signers.insert(seq, by.unwrap_or(signed.by));
        self.unskipped.clear();
        self.forked.clear();
        let hash = Sha256::of(body);
        self.head = Some(Head { seq, hash });
        let warnings = Warning::of(&entry).into_iter().collect();
        Ok(Absorbed {
            entry,
            hash,
            warnings,
            lost,
        })
    }

    /// Refuses an entry of another ledger, source or number.
    fn belongs(&self, seq: u64, entry: &Entry) -> Result<(), EntryRefusal> {
        let head = &entry.head;
        if head.ledger != self.trust.ledger {
            return Err(EntryRefusal::OtherLedger {
                found: head.ledger,
                expected: self.trust.ledger,
            });
        }
        if head.source != self.trust.source_directory {
            let expected = self.trust.source_directory.clone();
            return Err(EntryRefusal::OtherSource {
                found: head.source.clone(),
                expected,
            });
        }
        if head.seq != seq {
            return Err(EntryRefusal::OtherNumber { found: head.seq });
        }
        Ok(())
    }

    /// Returns the keys that the first entry names, each with a grant of the root key.
    fn opened(&self, seq: u64, entry: &Entry) -> Result<Vec<(PublicKey, Vec<Role>)>, EntryRefusal> {
        self.belongs(seq, entry)?;
        let format = entry.head.format;
        match &entry.kind {
            EntryKind::Open(open) => self.granted(open),
            // Only a later version knows what opens a ledger of a higher format.
            EntryKind::Unknown(_) if format > FORMAT => Err(EntryRefusal::Newer { format }),
            _ => Err(EntryRefusal::Open),
        }
    }

    /// Refuses an entry that comes after a fork and does not end it.
    fn ends_forks(&self, entry: &Entry) -> Result<(), EntryRefusal> {
        let Some(fork) = self.forked.first().copied() else {
            return Ok(());
        };
        let follows = entry.head.prev == self.head.map(|head| head.hash);
        match &entry.kind {
            EntryKind::Rotate(rotate)
                if entry.head.format >= ROTATE_FORMAT
                    && follows
                    && self.forked.iter().all(|seq| rotate.voids.contains(seq)) =>
            {
                Ok(())
            }
            _ => Err(EntryRefusal::AfterFork { fork }),
        }
    }

    /// Applies an entry that was found valid.
    fn take_in(&mut self, entry: &Entry) {
        let seq = entry.head.seq;
        match &entry.kind {
            EntryKind::Archive(archive) => {
                let known = Known {
                    chain: archive.chain,
                    send_parent: archive.send_parent,
                    stream_uuid: archive.stream_uuid,
                    format: entry.head.format,
                };
                let in_vault = archive.vault.iter().flat_map(VaultPlace::short_ids);
                self.in_vaults.extend(in_vault);
                self.archives.insert(archive.id, known);
                self.streams.insert(archive.stream_uuid);
                self.dates.insert(archive.date, archive.id);
            }
            EntryKind::Retire(retire) => self.take_from_view(seq, &retire.archives),
            EntryKind::Revive(revive) => self.bring_back(&revive.archives),
            EntryKind::Delete(delete) => {
                // The entry that retired them may be lost.
                self.take_from_view(seq, &delete.archives);
                self.deleted
                    .extend(delete.archives.iter().map(|id| (*id, seq)));
            }
            EntryKind::Rotate(rotate) => {
                self.unknown
                    .retain(|entry| !rotate.voids.contains(&entry.seq()));
                self.attaching.retain(|seq| !rotate.voids.contains(seq));
                self.moved.retain(|(seq, _)| !rotate.voids.contains(seq));
                self.take_from_view(seq, &rotate.retires);
                self.bring_back(&rotate.revives);
                self.brought_back.extend(&rotate.revives);
            }
            EntryKind::Attach(_) => {
                self.attaching.insert(seq);
            }
            EntryKind::Moved(moved) => self.moved.push((seq, moved.place)),
            EntryKind::Unknown(_) => self.unknown.extend(Warning::of(entry)),
            EntryKind::Open(_) => {}
        }
    }

    fn take_from_view(&mut self, seq: u64, archives: &[ArchiveId]) {
        self.retired.extend(archives.iter().map(|id| (*id, seq)));
        for id in archives {
            if self.dates.get(&id.date) == Some(id) {
                self.dates.remove(&id.date);
            }
        }
    }

    fn bring_back(&mut self, archives: &[ArchiveId]) {
        for id in archives {
            self.retired.remove(id);
            self.deleted.remove(id);
            self.dates.insert(id.date, *id);
        }
    }

    /// Checks that a signed entry follows the head, and returns the numbers between the two whose entries are
    /// damaged or lost.
    fn follow(&self, entry: &EntryHead) -> Result<Option<RangeInclusive<u64>>, EntryRefusal> {
        let expected = self.head.map(|head| head.hash);
        let next = self.head.map_or(0, |head| head.seq) + 1;
        if entry.prev == expected {
            let passed_over = next..entry.seq;
            return if entry.skips.iter().copied().eq(passed_over.clone()) {
                Ok(None)
            } else {
                Err(EntryRefusal::OtherSkips {
                    found: Numbers::of(&entry.skips),
                    expected: passed_over,
                })
            };
        }
        let other = EntryRefusal::OtherPrevious {
            found: entry.prev,
            expected,
        };
        // The numbers that it passes over come just before it, and the entry that it follows comes before
        // them.
        let skipped = entry.skips.len() as u64;
        let Some(follows) = entry.seq.checked_sub(1 + skipped) else {
            return Err(other);
        };
        let just_before = entry.skips.iter().copied().eq(follows + 1..entry.seq);
        // If the entry that it follows is known here, that one has another hash: this is a fork.
        if !just_before || follows < next || entry.prev.is_none() || self.head.is_none() {
            return Err(other);
        }
        match self.reading {
            AfterDamage::Strict => Err(EntryRefusal::AfterLost {
                first: next,
                last: follows,
            }),
            AfterDamage::Past { .. } => Ok(Some(next..=follows)),
        }
    }

    /// Whether an entry was lost. Then an entry that does not seem to fit may depend on the lost one.
    pub(super) fn lacks_some(&self) -> bool {
        self.reading == AfterDamage::Past { lost: true }
    }

    /// Returns the keys that an `open` entry gives roles, each with a grant of the trusted root key.
    fn granted(&self, open: &OpenEntry) -> Result<Vec<(PublicKey, Vec<Role>)>, EntryRefusal> {
        let root = &self.trust.root;
        let Some((first, others)) = open.keys.split_first() else {
            return Err(EntryRefusal::Fields("`keys` is empty".to_owned()));
        };
        if first.key != root.to_string() || first.roles != [Role::Root] {
            return Err(EntryRefusal::OtherRoot {
                found: first.key.clone(),
                trusted: root.to_string(),
            });
        }
        let mut keys = vec![(root.clone(), vec![Role::Root])];
        for grant in others {
            keys.push((verify_grant(root, grant)?, grant.roles.clone()));
        }
        Ok(keys)
    }
}

/// Whether that key may sign an entry of that kind. The role that an unknown kind needs is unknown too. Its
/// only effect here is to stop every writer, so only a writer or the root key may sign it.
fn may_sign(keys: &[(PublicKey, Vec<Role>)], by: &PublicKey, entry: &Entry) -> bool {
    let may = |roles: &[Role]| match &entry.kind {
        EntryKind::Open(_) | EntryKind::Archive(_) | EntryKind::Attach(_) => {
            roles.contains(&Role::Writer)
        }
        // A version that knows format 1 alone passes over what only a pruner has signed of format 2, and takes the next
        // entry for a fork.
        EntryKind::Retire(_) | EntryKind::Revive(_) | EntryKind::Delete(_) => {
            roles.contains(&Role::Pruner)
                && (entry.head.format == FORMAT || roles.contains(&Role::Writer))
        }
        EntryKind::Rotate(_) => roles.contains(&Role::Root),
        // A version that does not know `moved` takes it for an unknown kind.
        EntryKind::Moved(_) | EntryKind::Unknown(_) => {
            roles.contains(&Role::Writer) || roles.contains(&Role::Root)
        }
    };
    keys.iter().any(|(key, roles)| key == by && may(roles))
}

#[cfg(test)]
mod tests;
