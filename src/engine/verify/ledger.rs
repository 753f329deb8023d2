//! The whole ledger in the store, from its first entry, against itself and the catalog's copy.

use std::collections::{BTreeMap, BTreeSet};

use super::Verifying;
use super::progress::Progress;
use super::unreadable::{in_short, unreadable};
use crate::catalog::{Catalog, CatalogError, EntryRow};
use crate::engine::head::MAX_ENTRY_BYTES;
use crate::engine::kit_file::heads_of;
use crate::engine::source::OpenSource;
use crate::engine::thaw::ask_all;
use crate::engine::unlock::SealedArchive;
use crate::error::{Error, in_words};
use crate::ledger::{Absorbed, PublicKey, Refusal, Replay, Trust, decode_body, split};
use crate::model::entry::{Attachment, EntryKind};
use crate::model::{ArchiveId, LedgerId, Sha256, keys};
use crate::plan::Damage;
use crate::progress::Counted;
use crate::store::{ErrorKind, StoreError};

/// Entries that are fetched before they are judged, at most.
const BATCH: usize = 64;

/// Their bytes, at most; a longer one is fetched alone.
const BATCH_BYTES: u64 = 16 << 20;

/// What the ledger in the store is like.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LedgerReport {
    /// Entries in the store that were found valid.
    pub valid: u64,
    /// Entries that the catalog has seen committed.
    pub known: u64,
    /// What is missing, or is not what was committed, or is no entry.
    pub damaged: Vec<Damage>,
    /// What a reader should be told besides.
    pub notes: Vec<String>,
}

/// The ledger as it is to be believed: what the catalog has seen committed, and what follows it.
pub(super) struct LedgerRead {
    pub(super) report: LedgerReport,
    /// The archives that are visible, in the order of their entries.
    pub(super) visible: Vec<SealedArchive>,
    /// The archives that are retired.
    pub(super) retired: BTreeSet<ArchiveId>,
    /// All of it replayed.
    pub(super) replay: Replay,
}

/// What the store has under an entry's number.
enum Object {
    There(Vec<u8>),
    Missing,
    TooLong,
    Unreadable(StoreError),
}

struct Reading<'a> {
    verifying: &'a Verifying<'a>,
    replay: Replay,
    archives: Vec<SealedArchive>,
    report: LedgerReport,
    /// Objects that do not verify, and that no later entry has passed over yet.
    unpassed: Vec<Damage>,
    /// The hashes of the entries that are believed.
    hashes: BTreeMap<u64, Sha256>,
}

pub(super) fn read(verifying: &Verifying<'_>, catalog: &Catalog) -> Result<LedgerRead, Error> {
    let source = verifying.source;
    let row = &source.row;
    let trust = Trust {
        ledger: row.ledger,
        source_directory: row.directory.clone(),
        root: verifying.root.clone(),
    };
    // The catalog first: what another run commits meanwhile is then ahead of it, and not behind.
    let known: BTreeMap<u64, EntryRow> = catalog
        .entries(&row.ledger)?
        .into_iter()
        .filter(|entry| entry.committed)
        .map(|entry| (entry.seq, entry))
        .collect();
    let quarantined: BTreeMap<u64, String> =
        catalog.quarantined(&row.ledger)?.into_iter().collect();
    let stored = Stored::list(source)?;
    let head = known.keys().next_back().copied().unwrap_or(0);
    let mut reading = Reading {
        verifying,
        replay: Replay::new(trust),
        archives: Vec::new(),
        report: LedgerReport {
            known: known.len() as u64,
            notes: stored.no_entries(),
            ..LedgerReport::default()
        },
        unpassed: Vec::new(),
        hashes: BTreeMap::new(),
    };
    let numbers: BTreeSet<u64> = known.keys().chain(stored.bytes.keys()).copied().collect();
    let wanted: Vec<Wanted> = numbers
        .into_iter()
        .map(|seq| Wanted::new(seq, known.get(&seq), &stored))
        .collect();
    let mut progress = Progress::begin(verifying, "ledger", Counted::Objects, wanted.len() as u64);
    let mut answered = wanted.is_empty();
    for batch in batches(&wanted) {
        verifying.interrupt.check()?;
        let objects = fetch_all(source, batch)?;
        answered |= objects
            .iter()
            .any(|(_, object)| !matches!(object, Object::Unreadable(_)));
        for (seq, object) in objects {
            match object {
                // Nothing could be read yet, or nothing can any more: that says nothing of an entry.
                Object::Unreadable(error)
                    if !answered || unreadable(verifying, &error).is_none() =>
                {
                    return Err(error.into());
                }
                object => match known.get(&seq) {
                    Some(entry) => reading.known(entry, object, &quarantined)?,
                    None if seq < head => reading.passed_over(seq, &quarantined),
                    None => reading.unknown(seq, object),
                },
            }
        }
        progress.add(batch.len() as u64);
    }
    reading.hold_against_kit();
    Ok(reading.end())
}

/// What the store's listing says of the ledger.
#[derive(Default)]
struct Stored {
    /// The entries' lengths, by their numbers.
    bytes: BTreeMap<u64, u64>,
    /// What else lies beside them.
    others: Vec<String>,
}

impl Stored {
    fn list(source: &OpenSource<'_>) -> Result<Self, StoreError> {
        let directory = &source.row.directory;
        let mut stored = Self::default();
        for listed in source.store.list(&keys::ledger_prefix(directory))? {
            match keys::ledger_seq(directory, &listed.key) {
                Some(seq) => drop(stored.bytes.insert(seq, listed.stat.bytes)),
                None => stored.others.push(listed.key),
            }
        }
        Ok(stored)
    }

    fn no_entries(&self) -> Vec<String> {
        let others = self.others.iter();
        others
            .map(|key| format!("{key} has no entry's name, and counts for nothing"))
            .collect()
    }
}

/// An entry that is to be fetched.
struct Wanted {
    seq: u64,
    /// How long it may be.
    at_most: u64,
    /// How long it is taken to be.
    bytes: u64,
}

impl Wanted {
    /// What was committed is read no further than it should go.
    fn new(seq: u64, known: Option<&EntryRow>, stored: &Stored) -> Self {
        let listed = stored.bytes.get(&seq).copied().unwrap_or(0);
        let at_most = known.map_or(MAX_ENTRY_BYTES, |entry| entry.object.len() as u64);
        Self {
            seq,
            at_most,
            bytes: listed.min(at_most),
        }
    }
}

/// Cuts them into what is held in memory at a time.
fn batches(mut wanted: &[Wanted]) -> Vec<&[Wanted]> {
    let mut batches = Vec::new();
    while let Some(first) = wanted.first() {
        let mut bytes = first.bytes;
        let mut length = 1;
        while length < BATCH.min(wanted.len()) && bytes + wanted[length].bytes <= BATCH_BYTES {
            bytes += wanted[length].bytes;
            length += 1;
        }
        let (batch, rest) = wanted.split_at(length);
        batches.push(batch);
        wanted = rest;
    }
    batches
}

impl Reading<'_> {
    /// An entry that the catalog has seen committed. Whatever the store has in its place, what
    /// follows is judged by the catalog's copy.
    fn known(
        &mut self,
        entry: &EntryRow,
        object: Object,
        quarantined: &BTreeMap<u64, String>,
    ) -> Result<(), Error> {
        let seq = entry.seq;
        let before = self.replay.next_seq()..seq;
        for (passed, _) in quarantined.range(before) {
            self.replay.quarantine(*passed);
        }
        let what = match object {
            Object::There(object) if object == entry.object => None,
            Object::There(object) => Some(match self.replay.clone().absorb(seq, &object) {
                Ok(_) => {
                    "it is signed, but it is not the one that was committed: the ledger has forked"
                        .to_owned()
                }
                Err(refusal) => format!(
                    "it is not the one that was committed: {}",
                    in_words(&refusal)
                ),
            }),
            Object::Missing => Some("it is missing, and was committed".to_owned()),
            Object::TooLong => Some(format!(
                "it is longer than the {} bytes that were committed",
                entry.object.len()
            )),
            Object::Unreadable(error) => Some(in_short(&error)),
        };
        let absorbed = self.replay.absorb(seq, &entry.object).map_err(|refusal| {
            CatalogError::Damaged(format!(
                "its copy of ledger entry {seq} is not one: {}",
                in_words(&refusal)
            ))
        })?;
        match what {
            None => self.report.valid += 1,
            Some(what) => {
                // Whoever has the store alone learns of an archive from its entry, or not at all.
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

    /// An object under a number that the committed entries pass over.
    fn passed_over(&mut self, seq: u64, quarantined: &BTreeMap<u64, String>) {
        match quarantined.get(&seq) {
            Some(why) => self.note_passed_over(seq, why),
            None => self.damaged(seq, "no entry was committed under this number".to_owned()),
        }
    }

    /// An object that the catalog does not know.
    fn unknown(&mut self, seq: u64, object: Object) {
        let object = match object {
            Object::There(object) => object,
            // It was listed a moment ago. What follows it, if anything, finds a gap.
            Object::Missing => {
                return self.damaged(seq, "it was listed, and is not there".to_owned());
            }
            Object::TooLong => return self.pass_over(seq, too_long()),
            Object::Unreadable(error) => return self.pass_over(seq, in_short(&error)),
        };
        match self.replay.absorb(seq, &object) {
            Ok(absorbed) => {
                for damage in std::mem::take(&mut self.unpassed) {
                    let note = format!("{} is passed over: {}", damage.key, damage.what);
                    self.report.notes.push(note);
                }
                self.report.valid += 1;
                self.report
                    .notes
                    .push(format!("entry {seq} is not in the catalog yet"));
                self.take(absorbed);
            }
            Err(refusal) => {
                let damage = self.damage(seq, in_words(&refusal));
                if refusal.was_signed() || matches!(refusal, Refusal::Gap { .. }) {
                    self.report.damaged.push(damage);
                } else {
                    self.unpassed.push(damage);
                }
            }
        }
    }

    /// What can't be an entry, or can't be had: the next valid one may pass over it.
    fn pass_over(&mut self, seq: u64, what: String) {
        if seq == self.replay.next_seq() {
            self.replay.quarantine(seq);
        }
        let damage = self.damage(seq, what);
        self.unpassed.push(damage);
    }

    /// What the recovery kit knows of the ledger, and the ledger does not show.
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
        if let Some(head) = self.replay.head() {
            self.hashes.insert(head.seq, head.hash);
        }
        let warnings = absorbed.warnings.iter().map(ToString::to_string);
        self.report.notes.extend(warnings);
        match absorbed.entry.kind {
            EntryKind::Archive(archive) => self.archives.push(SealedArchive {
                entry: *archive,
                attached: Vec::new(),
            }),
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

    fn note_passed_over(&mut self, seq: u64, why: &str) {
        let note = format!("ledger entry {seq} is passed over: {why}");
        self.report.notes.push(note);
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

    fn end(mut self) -> LedgerRead {
        self.report.damaged.append(&mut self.unpassed);
        let (visible, retired): (Vec<_>, Vec<_>) = self
            .archives
            .into_iter()
            .partition(|archive| self.replay.is_visible(&archive.entry.id));
        LedgerRead {
            report: self.report,
            retired: retired.iter().map(|archive| archive.entry.id).collect(),
            visible,
            replay: self.replay,
        }
    }
}

/// The root key that the first entry of the catalog's copy names, for a machine that was told of none.
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
    format!("it is longer than {MAX_ENTRY_BYTES} bytes, as no entry is")
}

/// What the store has under these numbers, in their order.
fn fetch_all(source: &OpenSource<'_>, wanted: &[Wanted]) -> Result<Vec<(u64, Object)>, Error> {
    let (mut answers, failed) = ask_all(wanted, |wanted| fetch(source, wanted));
    if let Some((_, error)) = failed {
        return Err(error.into());
    }
    answers.sort_by_key(|(at, _)| *at);
    let objects = answers
        .into_iter()
        .map(|(at, object)| (wanted[at].seq, object));
    Ok(objects.collect())
}

fn fetch(source: &OpenSource<'_>, wanted: &Wanted) -> Result<Object, StoreError> {
    let key = keys::ledger_entry(&source.row.directory, wanted.seq);
    match source.store.get(&source.store.locate(&key), wanted.at_most) {
        Ok(object) => Ok(Object::There(object)),
        Err(error) if error.is_not_found() => Ok(Object::Missing),
        Err(error) if error.kind == ErrorKind::TooLarge => Ok(Object::TooLong),
        Err(error) if error.is_of_one_object() => Ok(Object::Unreadable(error)),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lengths(bytes: &[u64]) -> Vec<usize> {
        let wanted: Vec<Wanted> = (1..)
            .zip(bytes)
            .map(|(seq, bytes)| Wanted {
                seq,
                at_most: MAX_ENTRY_BYTES,
                bytes: *bytes,
            })
            .collect();
        batches(&wanted).into_iter().map(<[Wanted]>::len).collect()
    }

    #[test]
    fn entries_are_fetched_together_as_far_as_memory_goes_and_large_ones_alone() {
        assert_eq!(lengths(&[]), [0; 0]);
        assert_eq!(lengths(&[1000; 130]), [64, 64, 2]);
        assert_eq!(lengths(&[200 << 20, 200 << 20, 1000, 1000]), [1, 1, 2]);
        assert_eq!(lengths(&[1000, 200 << 20, 1000]), [1, 1, 1]);
        assert_eq!(lengths(&[8 << 20, 8 << 20, 1]), [2, 1]);
    }
}
