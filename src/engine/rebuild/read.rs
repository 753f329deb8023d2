//! Reads a ledger into a catalog, as far as it is sound.

use std::collections::{HashMap, HashSet};
use std::ops::RangeInclusive;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use chrono::NaiveDate;

use super::copy_found::CopyFound;
use super::flaw::Flaw;
use super::inventory::{Survey, Unnamed, survey_of};
use super::old_ledger::Earlier;
use super::read_segments::ReadSegments;
use crate::catalog::{Catalog, SegmentRow};
use crate::engine::context::RunContext;
use crate::engine::context::open_source::OpenSource;
use crate::engine::ledger::archive_keys::{SealedArchive, opens_nothing};
use crate::engine::ledger::listing::{lacking, lacking_contents};
use crate::engine::ledger::object::{
    EntryNumbers, JudgedObject, SMALL_ENTRY_BYTES, fetch, is_no_entry, judge,
};
use crate::engine::ledger::reader::{WantedEntry, batches, fetch_all, trust_in};
use crate::engine::ledger::sync::{write_absorbed, write_without_effect};
use crate::error::{Error, LedgerStateError, RebuildError, in_words};
use crate::ledger::{Absorbed, EntryRefusal, Head, PublicKey, Refused, Replay};
use crate::model::entry::{
    ArchiveEntry, Attachment, DeleteEntry, EntryKind, PrivateFacts, RetireEntry, Role, Timestamp,
};
use crate::model::{ArchiveId, LedgerId, PlaceId, SourceName, keys};
use crate::seal::{ArchiveKey, Identities};
use crate::store::{ErrorKind, StoreError};

/// A ledger that was read, and what is wrong with it.
#[derive(Debug)]
pub struct ImportedLedger {
    /// The source.
    pub source: SourceName,
    /// The store's URL.
    pub store: String,
    /// Its directory in the store.
    pub directory: String,
    /// The keys that may sign its next entry, besides the root key.
    pub signers: Vec<PublicKey>,
    /// The keys that were removed.
    pub withdrawn: Vec<PublicKey>,
    /// The ledger.
    pub ledger: LedgerId,
    /// Its newest entry.
    pub head: Option<Head>,
    /// How many entries were read.
    pub entries: u64,
    /// How many archives are visible.
    pub archives: u64,
    /// How many archives still have sealed private facts.
    pub sealed: u64,
    /// How many archives were linked to their local snapshots.
    pub pins: u64,
    /// How many local snapshots of it are of unknown origin.
    pub of_unknown_origin: u64,
    /// Its orphaned objects.
    pub unnamed: Unnamed,
    /// What is wrong with it.
    pub flaws: Vec<Flaw>,
    /// If it was read from a copy, how many of its visible archives that has; `None` if it was read at home.
    pub copied: Option<u64>,
    /// Its copies, if it was read at home.
    pub copies: Vec<CopyFound>,
    /// The place that is home, as the ledger says last.
    pub(super) moved_to: Option<PlaceId>,
    /// How many archives the identity opened.
    pub(super) opened: u64,
    /// Why the identity did not open an archive: the error of the first one that failed.
    pub(super) locked: Option<Error>,
    unknown: Vec<String>,
}

impl ImportedLedger {
    /// Returns the entries that this version does not know and that no `rotate` has voided.
    pub(super) fn unknown(&self) -> &[String] {
        &self.unknown
    }
}

/// A ledger that is being read.
struct LedgerImport<'a> {
    source: &'a OpenSource<'a>,
    survey: &'a Survey,
    reads: ReadFrom,
    identities: Option<(&'a Identities, &'a str)>,
    earlier: &'a Earlier,
    /// The segments in a vault that the entries read so far name. The store lists segments by them.
    segments: Arc<ReadSegments>,
    replay: Replay,
    read: ImportedLedger,
    /// The visible archive of each date.
    dates: HashMap<NaiveDate, ArchiveId>,
    lost: bool,
    /// Entries that are signed but do not fit, and that are not voided so far.
    forked: Vec<(u64, String)>,
    /// Archives that the identity has not opened so far: a later entry may attach another key.
    sealed: HashMap<ArchiveId, SealedArchive>,
}

/// Where a ledger is read from, and which root key it must have.
pub(in crate::engine) struct LedgerPlace<'a> {
    pub(in crate::engine) source: &'a OpenSource<'a>,
    pub(in crate::engine) root: &'a PublicKey,
    pub(in crate::engine) survey: &'a Survey,
    /// What the old catalog has of it. An entry that is not sound in the store is taken from there, if it
    /// verifies in its place.
    pub(in crate::engine) earlier: &'a Earlier,
    pub(in crate::engine) identities: Option<(&'a Identities, &'a str)>,
    /// The last entry to read; `None` for all.
    pub(in crate::engine) until: Option<u64>,
    /// What the place is.
    pub(in crate::engine) reads: ReadFrom,
}

/// What the place is that a ledger is read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::engine) enum ReadFrom {
    /// The source's home.
    Home,
    /// A copy that takes the place of home in the catalog, since nothing names home.
    OnlyCopy,
    /// A copy of a home that the config names, and of which nothing is known now.
    CopyOfHome,
}

/// Reads a source's ledger from the store into a catalog that knows the source but no entries. Only the first
/// entry must be sound.
pub(in crate::engine) fn read_ledger(
    place: &LedgerPlace<'_>,
    catalog: &mut Catalog,
    context: RunContext<'_>,
) -> Result<ImportedLedger, Error> {
    let LedgerPlace {
        source,
        root,
        survey,
        earlier,
        identities,
        until,
        reads,
    } = *place;
    let trust = trust_in(&source.row, root);
    let mut reading = LedgerImport {
        source,
        survey,
        reads,
        identities,
        earlier,
        segments: Arc::new(ReadSegments::of(source.row.ledger)),
        replay: Replay::reading_past(trust),
        read: ImportedLedger {
            source: source.name().clone(),
            store: source.store.url(),
            directory: source.row.directory.clone(),
            signers: Vec::new(),
            withdrawn: Vec::new(),
            unknown: Vec::new(),
            ledger: source.row.ledger,
            head: None,
            entries: 0,
            archives: 0,
            sealed: 0,
            pins: 0,
            of_unknown_origin: 0,
            unnamed: Unnamed::default(),
            flaws: Vec::new(),
            copied: (reads != ReadFrom::Home).then_some(0),
            copies: Vec::new(),
            moved_to: None,
            opened: 0,
            locked: None,
        },
        dates: HashMap::new(),
        lost: false,
        forked: Vec::new(),
        sealed: HashMap::new(),
    };
    source.store.know(reading.segments.clone());
    // Entries after the newest one in the store are not taken from the old catalog: a store that has gone
    // back must show.
    let newest = survey.entries.last().copied().unwrap_or(0);
    let copied = earlier.entries.range(..newest).map(|(seq, _)| *seq);
    let numbers = survey.entries.iter().copied().chain(copied).collect();
    let head = earlier.entries.keys().next_back().copied();
    let numbers = EntryNumbers::of(numbers, head.unwrap_or(0));
    if let Some(told) = numbers.told() {
        reading.read.flaws.push(Flaw::TooFar(told));
    }
    let read = numbers.near.iter().copied();
    let wanted: Vec<WantedEntry> = read
        .filter(|seq| until.is_none_or(|until| *seq <= until))
        .map(|seq| WantedEntry {
            seq,
            at_most: SMALL_ENTRY_BYTES,
        })
        .collect();
    'all: for batch in batches(&wanted) {
        context.interrupt.check()?;
        for (seq, object) in fetch_all(source, batch)? {
            let object = match object {
                // A large entry is fetched when its turn comes: several would not fit in memory.
                Err(error) if error.kind == ErrorKind::TooLarge => fetch(source, seq),
                object => object,
            };
            if !reading.take(seq, object, catalog)? {
                break 'all;
            }
        }
    }
    if reads == ReadFrom::Home {
        catalog.record_verifications(&earlier.checks)?;
    }
    reading.finish(catalog, context)
}

impl LedgerImport<'_> {
    /// Takes in an entry. Returns `false` if it is not possible to tell which later entries are true.
    fn take(
        &mut self,
        seq: u64,
        object: Result<Vec<u8>, StoreError>,
        catalog: &mut Catalog,
    ) -> Result<bool, Error> {
        let object = match object {
            Ok(object) => object,
            Err(error) if is_no_entry(&error) => {
                let why = error.kind.to_string();
                if !self.take_copy(seq, &why, catalog)? {
                    self.leave(seq, why, catalog)?;
                }
                return Ok(true);
            }
            Err(error) => return Err(error.into()),
        };
        match judge(self.source, &mut self.replay, seq, object)? {
            JudgedObject::Entry { object, absorbed } => {
                self.accept(seq, &object, &absorbed, catalog)?;
            }
            // This can't happen before the first entry, when no signature counts. After a fork, reading goes
            // on only to find the entry in which the root key ends it.
            JudgedObject::Forked { why, .. } => {
                self.replay.fork(seq);
                self.forked.push((seq, why.to_string()));
            }
            JudgedObject::Refused(Refused::Stop, why) if self.replay.head().is_some() => {
                self.read.flaws.push(Flaw::Forked(seq, why.to_string()));
                return Ok(false);
            }
            JudgedObject::Refused(_, why) => {
                let told = why.to_string();
                if !self.take_copy(seq, &told, catalog)? {
                    self.require_first(seq, why)?;
                    self.leave(seq, told, catalog)?;
                }
            }
        }
        Ok(true)
    }

    /// Takes the old catalog's copy of an entry. Returns `false` if there is none or it does not fit.
    fn take_copy(&mut self, seq: u64, why: &str, catalog: &mut Catalog) -> Result<bool, Error> {
        let earlier = self.earlier;
        let Some(entry) = earlier.entries.get(&seq) else {
            return Ok(false);
        };
        let Ok(absorbed) = self.replay.absorb(seq, &entry.object) else {
            return Ok(false);
        };
        self.accept(seq, &entry.object, &absorbed, catalog)?;
        self.read.flaws.push(Flaw::Copied(seq, why.to_owned()));
        Ok(true)
    }

    /// Fails if the first entry is not read yet: without it there is no ledger.
    fn require_first(&self, seq: u64, why: EntryRefusal) -> Result<(), Error> {
        if self.replay.head().is_some() {
            return Ok(());
        }
        let (source_name, store) = (self.source.name().clone(), self.source.store.url());
        let source = Box::new(why);
        Err(match *source {
            EntryRefusal::OtherLedger { .. } | EntryRefusal::OtherRoot { .. } => {
                Error::Rebuild(RebuildError::LedgerUntrusted {
                    source_name,
                    store,
                    source,
                })
            }
            _ => Error::LedgerState(LedgerStateError::EntryRefused {
                seq,
                source_name,
                store,
                source,
            }),
        })
    }

    /// Notes that the object under a number does not verify. A later entry shows whether an entry was lost
    /// with it.
    fn leave(&mut self, seq: u64, why: String, catalog: &mut Catalog) -> Result<(), Error> {
        catalog.quarantine(&self.source.row.ledger, seq, &why)?;
        self.read.flaws.push(Flaw::Unread(seq, why));
        Ok(())
    }

    fn accept(
        &mut self,
        seq: u64,
        object: &[u8],
        absorbed: &Absorbed,
        catalog: &mut Catalog,
    ) -> Result<(), Error> {
        if let Some(lost) = absorbed.lost.clone() {
            self.lost = true;
            self.note_lost(&lost, catalog)?;
        }
        self.note_passed_over(&absorbed.entry.head.skips, catalog)?;
        // If there was a fork, this entry has ended it.
        for (seq, why) in self.forked.drain(..) {
            self.read.flaws.push(Flaw::Voided(seq, why));
        }
        if let EntryKind::Archive(archive) = &absorbed.entry.kind
            && (self.survey.elsewhere.contains(&archive.id)
                || catalog.is_of_other_ledger(&self.source.row.ledger, &archive.id)?)
        {
            // The entry was copied from another source's ledger. Nothing can be restored here, and the
            // archive belongs to that source.
            write_without_effect(self.source, catalog, seq, object, absorbed)?;
            self.read.flaws.push(Flaw::Foreign(seq, archive.id));
            self.read.entries += 1;
            return Ok(());
        }
        let dated: &[ArchiveId] = match &absorbed.entry.kind {
            EntryKind::Archive(archive) => std::slice::from_ref(&archive.id),
            EntryKind::Revive(revive) => &revive.archives,
            _ => &[],
        };
        for id in dated {
            // A date has one archive, so an entry that is lost must have retired the earlier one.
            if let Some(before) = self.dates.insert(id.date, *id)
                && self.lost
                && before != *id
            {
                catalog.retire_unseen(&before)?;
            }
        }
        match write_absorbed(self.source, catalog, seq, object, absorbed) {
            // This concerns one source. The others are still read.
            Err(Error::Catalog(error)) if error.is_constraint() => {
                self.read.flaws.push(Flaw::NotTaken(seq, in_words(&error)));
                return Ok(());
            }
            written => written?,
        }
        match &absorbed.entry.kind {
            EntryKind::Archive(archive) => {
                self.segments
                    .add(self.source, archive, absorbed.entry.head.made_at);
                let sealed = SealedArchive {
                    entry: (**archive).clone(),
                    attached: Vec::new(),
                };
                self.open_private(sealed, catalog)?;
            }
            EntryKind::Attach(attach) => {
                for object in &attach.objects {
                    if object.what == Attachment::KEY
                        && let Some(mut sealed) = self.sealed.remove(&object.archive)
                    {
                        sealed.attached.push(object.clone());
                        self.open_private(sealed, catalog)?;
                    }
                }
            }
            EntryKind::Retire(RetireEntry { archives, .. })
            | EntryKind::Delete(DeleteEntry { archives, .. }) => {
                for id in archives {
                    if self.dates.get(&id.date) == Some(id) {
                        self.dates.remove(&id.date);
                    }
                }
            }
            EntryKind::Revive(_)
            | EntryKind::Open(_)
            | EntryKind::Rotate(_)
            | EntryKind::Moved(_)
            | EntryKind::Unknown(_) => {}
        }
        for warning in &absorbed.warnings {
            self.read.flaws.push(Flaw::Unknown(warning.to_string()));
        }
        self.read.entries += 1;
        Ok(())
    }

    /// Notes that these numbers were no entries, as the entry after them says.
    fn note_passed_over(&mut self, skips: &[u64], catalog: &mut Catalog) -> Result<(), Error> {
        for flaw in &mut self.read.flaws {
            if let Flaw::Unread(seq, why) = flaw
                && skips.contains(seq)
            {
                *flaw = Flaw::Quarantined(*seq, std::mem::take(why));
            }
        }
        self.quarantine_missing(skips.iter().copied(), catalog)
    }

    /// Notes that these numbers were entries that are lost, as the entry after them says.
    fn note_lost(
        &mut self,
        lost: &RangeInclusive<u64>,
        catalog: &mut Catalog,
    ) -> Result<(), Error> {
        self.read
            .flaws
            .retain(|flaw| !matches!(flaw, Flaw::Unread(seq, _) if lost.contains(seq)));
        self.read.flaws.push(Flaw::Lost(lost.clone()));
        self.quarantine_missing(lost.clone(), catalog)
    }

    /// Quarantines numbers whose objects are missing: a writer must know all numbers without an entry.
    fn quarantine_missing(
        &self,
        numbers: impl Iterator<Item = u64>,
        catalog: &mut Catalog,
    ) -> Result<(), Error> {
        let quarantined = catalog.quarantined(&self.source.row.ledger)?.into_iter();
        let noted: HashSet<u64> = quarantined.map(|(seq, _)| seq).collect();
        for seq in numbers.filter(|seq| !noted.contains(seq)) {
            catalog.quarantine(&self.source.row.ledger, seq, "it is missing")?;
        }
        Ok(())
    }

    fn open_private(&mut self, sealed: SealedArchive, catalog: &mut Catalog) -> Result<(), Error> {
        let Some((identities, identity_name)) = self.identities else {
            self.read.sealed += u64::from(sealed.attached.is_empty());
            return Ok(());
        };
        let id = sealed.entry.id;
        let directory = &self.source.row.directory;
        let private = match sealed.unlock(directory, identities, identity_name) {
            Ok(key) => private_facts(&sealed.entry, &key),
            Err(error) if opens_nothing(&error) => {
                self.read.locked.get_or_insert(error);
                self.sealed.insert(id, sealed);
                return Ok(());
            }
            Err(error) => Err(in_words(&error)),
        };
        self.read.opened += 1;
        match private {
            Ok(private) => catalog.write_private(&id, &private)?,
            Err(why) => self.read.flaws.push(Flaw::Private(id, why)),
        }
        Ok(())
    }

    fn finish(
        mut self,
        catalog: &mut Catalog,
        context: RunContext<'_>,
    ) -> Result<ImportedLedger, Error> {
        self.read.sealed += self.sealed.len() as u64;
        // An identity that opens only some archives is normal after the recipients have changed.
        if let (0, Some(locked)) = (self.read.opened, &self.read.locked) {
            self.read.flaws.push(Flaw::Locked(locked.to_string()));
        }
        if let Some((seq, why)) = self.forked.first().cloned() {
            self.read.flaws.push(Flaw::Forked(seq, why));
        }
        let directory = &self.source.row.directory;
        self.read.head = self.replay.head();
        self.read.moved_to = self.replay.moved_to();
        let signers = self.replay.keys().iter();
        self.read.signers = signers
            .filter(|(_, roles)| !roles.contains(&Role::Root))
            .map(|(key, _)| key.clone())
            .collect();
        self.read.withdrawn = self.replay.withdrawn().to_vec();
        let unknown = self.replay.unknown().iter();
        self.read.unknown = unknown.map(ToString::to_string).collect();
        let now = Timestamp(context.clock.now());
        let nothing = HashMap::new();
        // A vault could list no segment before the ledger was read.
        let again = if self.segments.is_empty() {
            None
        } else {
            Some(survey_of(self.source.store.as_ref(), directory)?)
        };
        let survey = again.as_ref().unwrap_or(self.survey);
        let archives = catalog.archives(&self.source.row.ledger)?;
        let visible: HashSet<ArchiveId> = archives
            .iter()
            .filter(|archive| archive.is_visible())
            .map(|archive| archive.id)
            .collect();
        for archive in archives.iter().filter(|archive| archive.is_visible()) {
            self.read.archives += 1;
            if let Some(parent) = archive.send_parent
                && self.lost
                && !visible.contains(&parent)
            {
                self.read.flaws.push(Flaw::Orphaned(archive.id, parent));
            }
            let listed = survey.archives.get(&archive.id).unwrap_or(&nothing);
            if let Some(copied) = &mut self.read.copied {
                // The key of an archive is copied last.
                if !listed.contains_key(&keys::archive_key(directory, &archive.id)) {
                    continue;
                }
                *copied += 1;
            }
            let segments = catalog.segments(&archive.id)?;
            let wrong = lacking(self.source, &archive.id, &segments, listed)?;
            let first = SegmentRow::objects(directory, &archive.id, &segments).next();
            let class = first.and_then(|first| listed.get(&first.key)?.class);
            let is_confirmed = || is_confirmed(self.source, &archive.id, &segments);
            // What a vault's own list has not shown yet is neither whole nor damaged.
            if self.reads != ReadFrom::CopyOfHome && (!wrong.is_empty() || is_confirmed()?) {
                catalog.write_listed(&archive.id, wrong.is_empty(), class, now)?;
            } else if let (ReadFrom::Home, Some(class)) = (self.reads, class) {
                catalog.write_class(&archive.id, class)?;
            }
            if let Some(first) = wrong.first() {
                self.read.flaws.push(Flaw::Lacking {
                    archive: archive.id,
                    objects: wrong.len(),
                    first: first.clone(),
                });
            }
            let wrong = match catalog.contents(&archive.id)? {
                Some(contents) => lacking_contents(self.source, &archive.id, &contents, listed)?,
                None => Vec::new(),
            };
            if let Some(first) = wrong.first() {
                self.read.flaws.push(Flaw::LackingContents {
                    archive: archive.id,
                    objects: wrong.len(),
                    first: first.clone(),
                });
            }
        }
        let known: HashSet<ArchiveId> = archives.iter().map(|archive| archive.id).collect();
        self.read.unnamed = survey.unnamed(|id| known.contains(id) || self.replay.is_retired(id));
        Ok(self.read)
    }
}

/// Whether the store's own list has shown every segment of an archive.
fn is_confirmed(
    source: &OpenSource<'_>,
    archive: &ArchiveId,
    segments: &[SegmentRow],
) -> Result<bool, Error> {
    for object in SegmentRow::objects(&source.row.directory, archive, segments) {
        if object.segment().is_some() && !source.store.is_confirmed(&object.key)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn private_facts(archive: &ArchiveEntry, key: &ArchiveKey) -> Result<PrivateFacts, String> {
    let sealed = BASE64
        .decode(&archive.private)
        .map_err(|error| error.to_string())?;
    let plain = key
        .open_private(&sealed)
        .map_err(|error| in_words(&error))?;
    serde_json::from_slice(&plain).map_err(|error| error.to_string())
}
