//! Checks the whole ledger in the store, from its first entry, for itself and against the catalog's copy.

use std::collections::{BTreeMap, BTreeSet};

use super::Verifying;
use super::progress::Progress;
use super::unreadable::{in_short, unreadable};
use crate::catalog::{Catalog, CatalogError, EntryRow};
use crate::engine::context::kit_file::heads_of;
use crate::engine::context::open_source::{OpenSource, place_in_words};
use crate::engine::ledger::archive_keys::SealedArchive;
use crate::engine::ledger::markers::PlaceMarkers;
use crate::engine::ledger::object::{EntryNumbers, JudgedObject, MAX_ENTRY_BYTES, judge};
use crate::engine::ledger::reader::{WantedEntry, batches, fetch_all, trust_in};
use crate::error::{Error, LedgerStateError, in_words};
use crate::ledger::{
    Absorbed, AttachedContents, EntryRefusal, PublicKey, Refused, Replay, decode_body, split,
};
use crate::model::entry::{Attachment, EntryKind};
use crate::model::{ArchiveId, LedgerId, PlaceId, Sha256, keys};
use crate::plan::Damage;
use crate::progress::Counted;
use crate::store::{ErrorKind, StoreError};

/// The result of checking the ledger in the store.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LedgerReport {
    /// How many entries in the store are valid.
    pub valid: u64,
    /// How many committed entries the catalog has.
    pub known: u64,
    /// Entries that are missing or changed, and objects that are no entries.
    pub damaged: Vec<Damage>,
    /// Further notes for the user.
    pub notes: Vec<String>,
}

/// The trusted ledger: the entries that the catalog has as committed, and those that follow them.
pub(super) struct CheckedLedger {
    pub(super) report: LedgerReport,
    /// The archives that are visible, in the order of their entries.
    pub(super) visible: Vec<SealedArchive>,
    /// The archives that are retired.
    pub(super) retired: BTreeSet<ArchiveId>,
    /// All its entries, replayed.
    pub(super) replay: Replay,
    /// The markers beside its entries.
    pub(super) markers: PlaceMarkers,
}

/// The object under an entry's number.
enum EntryObject {
    There(Vec<u8>),
    Missing,
    TooLong,
    Unreadable(StoreError),
}

impl From<Result<Vec<u8>, StoreError>> for EntryObject {
    fn from(fetched: Result<Vec<u8>, StoreError>) -> Self {
        match fetched {
            Ok(object) => Self::There(object),
            Err(error) if error.is_not_found() => Self::Missing,
            Err(error) if error.kind == ErrorKind::TooLarge => Self::TooLong,
            Err(error) => Self::Unreadable(error),
        }
    }
}

struct LedgerCheck<'a> {
    verifying: &'a Verifying<'a>,
    replay: Replay,
    archives: Vec<SealedArchive>,
    /// The number of the entry of each.
    numbers: Vec<u64>,
    contents: AttachedContents,
    report: LedgerReport,
    /// Numbers whose objects do not verify, as long as no later entry says what they are.
    unread: BTreeMap<u64, String>,
    /// The markers beside the entries.
    markers: PlaceMarkers,
    /// The hashes of the trusted entries.
    hashes: BTreeMap<u64, Sha256>,
    /// Entries that are signed but do not fit, and that are not voided so far.
    forked: Vec<(u64, String)>,
    /// Why an entry of another ledger in the place of a committed one is refused: the first such reason.
    foreign: Option<EntryRefusal>,
}

pub(super) fn read(verifying: &Verifying<'_>, catalog: &Catalog) -> Result<CheckedLedger, Error> {
    let source = verifying.source;
    let row = &source.row;
    let trust = trust_in(row, verifying.root);
    // Read the catalog first: then entries that another run commits meanwhile make the store look ahead, and
    // not behind.
    let end = end_of_copy(&row.ledger, catalog)?;
    let known: BTreeMap<u64, EntryRow> = catalog
        .entries(&row.ledger)?
        .into_iter()
        .filter(|entry| entry.committed && end.is_none_or(|end| entry.seq <= end))
        .map(|entry| (entry.seq, entry))
        .collect();
    let quarantined: BTreeMap<u64, String> =
        catalog.quarantined(&row.ledger)?.into_iter().collect();
    let stored = ListedLedger::list(source)?;
    let head = known.keys().next_back().copied().unwrap_or(0);
    let mut reading = LedgerCheck {
        verifying,
        // Read past lost entries: a catalog that was rebuilt after the loss has a copy of all others.
        replay: Replay::reading_past(trust),
        archives: Vec::new(),
        numbers: Vec::new(),
        contents: AttachedContents::default(),
        report: LedgerReport {
            known: known.len() as u64,
            notes: stored.no_entries(),
            ..LedgerReport::default()
        },
        unread: BTreeMap::new(),
        markers: stored.markers.clone(),
        hashes: BTreeMap::new(),
        forked: Vec::new(),
        foreign: None,
    };
    let numbers = known.keys().chain(stored.bytes.keys()).copied().collect();
    let numbers = EntryNumbers::of(numbers, head);
    reading.report.notes.extend(numbers.told());
    let wanted: Vec<WantedEntry> = numbers
        .near
        .into_iter()
        .map(|seq| wanted(seq, known.get(&seq), &stored))
        .collect();
    let mut progress = Progress::begin(verifying, "ledger", Counted::Objects, wanted.len() as u64);
    let mut answered = wanted.is_empty();
    for batch in batches(&wanted) {
        verifying.interrupt.check()?;
        let objects: Vec<(u64, EntryObject)> = fetch_all(source, batch)?
            .into_iter()
            .map(|(seq, fetched)| (seq, fetched.into()))
            .collect();
        answered |= objects
            .iter()
            .any(|(_, object)| !matches!(object, EntryObject::Unreadable(_)));
        for (seq, object) in objects {
            match object {
                // Nothing could be read so far, or nothing can be read any more. This shows nothing about an
                // entry.
                EntryObject::Unreadable(error)
                    if !answered || unreadable(verifying, &error).is_none() =>
                {
                    return Err(error.into());
                }
                object => match known.get(&seq) {
                    Some(entry) => reading.known(entry, object)?,
                    None if seq < head => reading.between(seq, &quarantined),
                    None => reading.unknown(seq, object)?,
                },
            }
        }
        progress.add(batch.len() as u64);
    }
    reading.require_this_ledger()?;
    reading.hold_against_kit();
    let mut checked = reading.end();
    if let Some(place) = left_for(verifying, &checked) {
        let to = place_in_words(row, place, catalog)?;
        let note = format!("this place is not home any more: home was moved to {to}");
        checked.report.notes.push(note);
    }
    Ok(checked)
}

/// Returns the place that home was moved to, if what was checked is a home of before.
fn left_for(verifying: &Verifying<'_>, checked: &CheckedLedger) -> Option<PlaceId> {
    let source = verifying.source;
    let store = || source.store.url();
    let moved_to = checked.replay.moved_to();
    match checked.markers.require_home(moved_to, source.name(), store) {
        Err(LedgerStateError::MovedAway { place, .. }) => Some(place),
        _ => None,
    }
}

/// Returns the last entry that the copy is known to have; `None` if the catalog is turned to home, which has all.
fn end_of_copy(ledger: &LedgerId, catalog: &Catalog) -> Result<Option<u64>, CatalogError> {
    let Some(id) = catalog.turned_to() else {
        return Ok(None);
    };
    let places = catalog.places(ledger)?;
    let place = places.iter().find(|place| place.id == id);
    Ok(Some(place.map_or(0, |place| place.head)))
}

/// The listing of the ledger.
#[derive(Default)]
struct ListedLedger {
    /// The entries' lengths, by their numbers.
    bytes: BTreeMap<u64, u64>,
    /// The markers beside them.
    markers: PlaceMarkers,
    /// The keys of other objects beside them.
    others: Vec<String>,
}

impl ListedLedger {
    fn list(source: &OpenSource<'_>) -> Result<Self, StoreError> {
        let directory = &source.row.directory;
        let mut stored = Self::default();
        for listed in source.store.list(&keys::ledger_prefix(directory))? {
            match keys::ledger_seq(directory, &listed.key) {
                Some(seq) => drop(stored.bytes.insert(seq, listed.stat.bytes)),
                None if stored.markers.note(directory, &listed.key) => {}
                None => stored.others.push(listed.key),
            }
        }
        Ok(stored)
    }

    fn no_entries(&self) -> Vec<String> {
        let others = self.others.iter();
        others
            .map(|key| format!("{key} does not have the name of an entry, and is ignored"))
            .collect()
    }
}

/// Limits the bytes to read of an entry, because several are held at once: a committed one to its known length,
/// another to the length in the listing.
fn wanted(seq: u64, known: Option<&EntryRow>, stored: &ListedLedger) -> WantedEntry {
    let listed = stored.bytes.get(&seq).copied().unwrap_or(0);
    let at_most = known.map_or(listed.min(MAX_ENTRY_BYTES), |entry| {
        entry.object.len() as u64
    });
    WantedEntry { seq, at_most }
}

impl LedgerCheck<'_> {
    /// Checks an entry that the catalog has as committed. Later entries are judged by the catalog's copy,
    /// whatever the store has in its place.
    fn known(&mut self, entry: &EntryRow, object: EntryObject) -> Result<(), Error> {
        let seq = entry.seq;
        let what = match object {
            EntryObject::There(object) if object == entry.object => None,
            EntryObject::There(object) => self.instead_of(entry, object)?,
            EntryObject::Missing => Some("it is missing, and was committed".to_owned()),
            EntryObject::TooLong => Some(format!(
                "it is longer than the {} bytes that were committed",
                entry.object.len()
            )),
            EntryObject::Unreadable(error) => Some(in_short(&error)),
        };
        let absorbed = self.replay.absorb(seq, &entry.object).map_err(|refusal| {
            CatalogError::Damaged(format!(
                "its copy of ledger entry {seq} is not valid: {}",
                in_words(&refusal)
            ))
        })?;
        match what {
            None => self.report.valid += 1,
            Some(what) => {
                // A machine that has only the store learns of an archive from this entry alone.
                let archive = match &absorbed.entry.kind {
                    EntryKind::Archive(archive) => Some(archive.id),
                    _ => None,
                };
                let damage = self.damage(seq, what);
                self.report.damaged.push(Damage { archive, ..damage });
            }
        }
        self.take(absorbed);
        Ok(())
    }

    /// Returns what is wrong with the object in the place of an entry; `None` if it is sound when fetched
    /// again.
    fn instead_of(&mut self, entry: &EntryRow, object: Vec<u8>) -> Result<Option<String>, Error> {
        let source = self.verifying.source;
        Ok(
            match judge(source, &mut self.replay.clone(), entry.seq, object)? {
                JudgedObject::Entry { object, .. } if object == entry.object => None,
                JudgedObject::Entry { .. } => Some(
                    "it is signed, but it is not the one that was committed: the ledger has forked"
                        .to_owned(),
                ),
                JudgedObject::Forked { why, .. } | JudgedObject::Refused(_, why) => {
                    let what = format!("it is not the one that was committed: {}", in_words(&why));
                    if matches!(
                        why,
                        EntryRefusal::OtherLedger { .. } | EntryRefusal::OtherRoot { .. }
                    ) {
                        self.foreign.get_or_insert(why);
                    }
                    Some(what)
                }
            },
        )
    }

    /// Notes an object under a number between committed entries. The next of these entries says what it is.
    fn between(&mut self, seq: u64, quarantined: &BTreeMap<u64, String>) {
        let why = quarantined.get(&seq).map_or_else(
            || "no entry was committed under this number".to_owned(),
            String::clone,
        );
        self.unread.insert(seq, why);
    }

    /// Checks an object that the catalog does not know.
    fn unknown(&mut self, seq: u64, object: EntryObject) -> Result<(), Error> {
        let why = match object {
            EntryObject::There(object) => {
                match judge(self.verifying.source, &mut self.replay, seq, object)? {
                    JudgedObject::Entry { absorbed, .. } => {
                        self.report.valid += 1;
                        self.report
                            .notes
                            .push(format!("entry {seq} is not in the catalog yet"));
                        self.take(*absorbed);
                        return Ok(());
                    }
                    JudgedObject::Forked { why, .. } => {
                        self.replay.fork(seq);
                        self.forked.push((seq, in_words(&why)));
                        return Ok(());
                    }
                    JudgedObject::Refused(Refused::Fork | Refused::Stop, why) => {
                        self.damaged(seq, in_words(&why));
                        return Ok(());
                    }
                    JudgedObject::Refused(Refused::Suspect | Refused::Litter, why) => {
                        in_words(&why)
                    }
                }
            }
            // The listing had it a moment ago.
            EntryObject::Missing => "it was listed, and is not there".to_owned(),
            EntryObject::TooLong => too_long(),
            EntryObject::Unreadable(error) => in_short(&error),
        };
        self.unread.insert(seq, why);
        Ok(())
    }

    /// Takes from an entry what it says of the numbers before it that have no entry: passed over, or lost.
    fn settle(&mut self, absorbed: &Absorbed) {
        for seq in &absorbed.entry.head.skips {
            if let Some(why) = self.unread.remove(seq) {
                let note = format!("ledger entry {seq} is passed over: {why}");
                self.report.notes.push(note);
            }
        }
        for seq in absorbed.lost.clone().into_iter().flatten() {
            let why = self.unread.remove(&seq);
            let why = why.unwrap_or_else(|| "it is missing".to_owned());
            self.damaged(seq, format!("what it said is lost: {why}"));
        }
    }

    /// Fails if all entries in the place of the committed ones belong to another ledger: nothing is damaged
    /// then, it is the wrong place.
    fn require_this_ledger(&mut self) -> Result<(), Error> {
        match self.foreign.take() {
            Some(why) if self.report.valid == 0 => Err(LedgerStateError::EntryRefused {
                seq: 1,
                source_name: self.verifying.source.name().clone(),
                store: self.verifying.source.store.url(),
                source: Box::new(why),
            }
            .into()),
            _ => Ok(()),
        }
    }

    /// Notes what the recovery kit knows of the ledger and the ledger does not show.
    fn hold_against_kit(&mut self) {
        let newest = self.hashes.keys().next_back().copied().unwrap_or(0);
        for head in heads_of(self.verifying.kit, &self.verifying.source.row.ledger) {
            let what = match self.hashes.get(&head.seq) {
                Some(hash) if *hash == head.hash => continue,
                Some(_) => "it is not the one that the recovery kit knows".to_owned(),
                None => {
                    format!("the recovery kit knows it, and the ledger ends with entry {newest}")
                }
            };
            self.damaged(head.seq, what);
        }
    }

    fn take(&mut self, absorbed: Absorbed) {
        self.settle(&absorbed);
        // If there was a fork, this entry has ended it.
        for (seq, why) in self.forked.drain(..) {
            let note =
                format!("ledger entry {seq} does not fit, and the root key has voided it: {why}");
            self.report.notes.push(note);
        }
        if let Some(head) = self.replay.head() {
            self.hashes.insert(head.seq, head.hash);
        }
        let warnings = absorbed.warnings.iter().map(ToString::to_string);
        self.report.notes.extend(warnings);
        let seq = absorbed.entry.head.seq;
        self.contents.note(seq, &absorbed.entry.kind);
        match absorbed.entry.kind {
            EntryKind::Archive(archive) => {
                self.numbers.push(seq);
                self.archives.push(SealedArchive {
                    entry: *archive,
                    attached: Vec::new(),
                });
            }
            EntryKind::Attach(attach) => {
                for object in attach.objects {
                    let to = |archive: &&mut SealedArchive| archive.entry.id == object.archive;
                    if object.what == Attachment::KEY
                        && let Some(archive) = self.archives.iter_mut().find(to)
                    {
                        archive.attached.push(object);
                    }
                }
            }
            _ => {}
        }
    }

    fn damage(&self, seq: u64, what: String) -> Damage {
        Damage {
            archive: None,
            segment: None,
            key: keys::ledger_entry(&self.verifying.source.row.directory, seq),
            what,
        }
    }

    fn damaged(&mut self, seq: u64, what: String) {
        let damage = self.damage(seq, what);
        self.report.damaged.push(damage);
    }

    fn end(mut self) -> CheckedLedger {
        for (seq, what) in std::mem::take(&mut self.unread) {
            self.damaged(seq, what);
        }
        for (seq, what) in std::mem::take(&mut self.forked) {
            self.damaged(seq, what);
        }
        for (seq, archive) in self.numbers.iter().zip(&mut self.archives) {
            self.contents.complete(*seq, &mut archive.entry);
        }
        let (visible, retired): (Vec<_>, Vec<_>) = self
            .archives
            .into_iter()
            .partition(|archive| self.replay.is_visible(&archive.entry.id));
        CheckedLedger {
            report: self.report,
            retired: retired.iter().map(|archive| archive.entry.id).collect(),
            visible,
            replay: self.replay,
            markers: self.markers,
        }
    }
}

/// Returns the root key in the first entry of the catalog's copy, for a machine without a trusted root key.
pub fn root_of_copy(ledger: &LedgerId, catalog: &Catalog) -> Result<Option<PublicKey>, Error> {
    let first = catalog.entries(ledger)?.into_iter().next();
    Ok(first.and_then(|entry| {
        let (body, _) = split(&entry.object).ok()?;
        match decode_body(body).ok()?.kind {
            EntryKind::Open(open) => open.keys.first()?.key.parse().ok(),
            _ => None,
        }
    }))
}

fn too_long() -> String {
    format!(
        "it is longer than its listing says, or longer than the {MAX_ENTRY_BYTES} bytes that an entry may have"
    )
}
