//! The whole ledger in the store, from its first entry, against itself and the catalog's copy.

use std::collections::{BTreeMap, BTreeSet};

use super::Verifying;
use crate::catalog::{Catalog, CatalogError, EntryRow};
use crate::engine::head::{MAX_ENTRY_BYTES, stored_numbers};
use crate::engine::source::OpenSource;
use crate::engine::thaw::ask_all;
use crate::engine::unlock::SealedArchive;
use crate::error::{Error, in_words};
use crate::ledger::{Absorbed, PublicKey, Refusal, Replay, Trust, decode_body, split};
use crate::model::entry::{Attachment, EntryKind};
use crate::model::{LedgerId, keys};
use crate::plan::Damage;
use crate::store::{ErrorKind, StoreError};

/// Entries that are fetched before they are judged.
const BATCH: usize = 64;

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
    pub(super) retired: u64,
}

/// What the store has under an entry's number.
enum Object {
    There(Vec<u8>),
    Missing,
    TooLong,
}

struct Reading<'a> {
    verifying: &'a Verifying<'a>,
    replay: Replay,
    archives: Vec<SealedArchive>,
    report: LedgerReport,
    /// Objects that do not verify, and that no later entry has passed over yet.
    unpassed: Vec<Damage>,
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
    let stored: BTreeSet<u64> = stored_numbers(source)?.into_iter().collect();
    let head = known.keys().next_back().copied().unwrap_or(0);
    let mut reading = Reading {
        verifying,
        replay: Replay::new(trust),
        archives: Vec::new(),
        report: LedgerReport {
            known: known.len() as u64,
            ..LedgerReport::default()
        },
        unpassed: Vec::new(),
    };
    let numbers: Vec<u64> = known
        .keys()
        .copied()
        .chain(stored)
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect();
    for batch in numbers.chunks(BATCH) {
        verifying.interrupt.check()?;
        for (seq, object) in fetch_all(source, batch)? {
            match known.get(&seq) {
                Some(entry) => reading.known(entry, object, &quarantined)?,
                None if seq < head => reading.passed_over(seq, &quarantined),
                None => reading.unknown(seq, object),
            }
        }
    }
    Ok(reading.end())
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
        match object {
            Object::There(object) if object == entry.object => self.report.valid += 1,
            Object::There(object) => {
                let what = match self.replay.clone().absorb(seq, &object) {
                    Ok(_) => "it is signed, but it is not the one that was committed: the ledger has forked".to_owned(),
                    Err(refusal) => format!("it is not the one that was committed: {}", in_words(&refusal)),
                };
                self.damaged(seq, what);
            }
            Object::Missing => self.damaged(seq, "it is missing, and was committed".to_owned()),
            Object::TooLong => self.damaged(seq, too_long()),
        }
        let absorbed = self.replay.absorb(seq, &entry.object).map_err(|refusal| {
            CatalogError::Damaged(format!(
                "its copy of ledger entry {seq} is not one: {}",
                in_words(&refusal)
            ))
        })?;
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
            Object::TooLong => {
                if seq == self.replay.next_seq() {
                    self.replay.quarantine(seq);
                }
                let damage = self.damage(seq, too_long());
                return self.unpassed.push(damage);
            }
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

    fn take(&mut self, absorbed: Absorbed) {
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
        let of = self.archives.len();
        let visible: Vec<SealedArchive> = self
            .archives
            .into_iter()
            .filter(|archive| self.replay.is_visible(&archive.entry.id))
            .collect();
        LedgerRead {
            report: self.report,
            retired: (of - visible.len()) as u64,
            visible,
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
fn fetch_all(source: &OpenSource<'_>, numbers: &[u64]) -> Result<Vec<(u64, Object)>, Error> {
    let (mut answers, failed) = ask_all(numbers, |seq| fetch(source, *seq));
    if let Some((_, error)) = failed {
        return Err(error.into());
    }
    answers.sort_by_key(|(at, _)| *at);
    let objects = answers
        .into_iter()
        .map(|(at, object)| (numbers[at], object));
    Ok(objects.collect())
}

fn fetch(source: &OpenSource<'_>, seq: u64) -> Result<Object, StoreError> {
    let key = keys::ledger_entry(&source.row.directory, seq);
    match source
        .store
        .get(&source.store.locate(&key), MAX_ENTRY_BYTES)
    {
        Ok(object) => Ok(Object::There(object)),
        Err(error) if error.is_not_found() => Ok(Object::Missing),
        Err(error) if error.kind == ErrorKind::TooLarge => Ok(Object::TooLong),
        Err(error) => Err(error),
    }
}
