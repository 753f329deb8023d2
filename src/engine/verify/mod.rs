//! Checks what is stored, level by level. It only lists and reads the store, and writes results to the
//! catalog as soon as they are known.
//!
//! Objects are judged as a machine sees them that has only the store: by their keys, and not by the locators
//! in the catalog.

pub(super) mod catalog;

pub(in crate::engine) mod contents;
mod contents_digests;
mod deep;
mod drill;
mod ledger;
mod present;
mod progress;
mod record;
mod repair;
mod repair_entry;
mod repair_object;
mod tree;
mod unreadable;
mod vault;

use std::collections::{BTreeMap, BTreeSet};

use crate::catalog::{Catalog, SegmentRow};
use crate::engine::context::clock::Clock;
use crate::engine::context::known_segments::know_segments;
use crate::engine::context::open_source::OpenSource;
use crate::engine::ledger::archive_keys::SealedArchive;
use crate::engine::restore::fetch::AtOnce;
use crate::error::Error;
use crate::interrupt::Interrupt;
use crate::kit::KitSource;
use crate::ledger::PublicKey;
use crate::model::entry::ArchiveEntry;
use crate::model::keys::ArchiveObject;
use crate::model::{ArchiveId, SourceName, StorageClass, VerifyLevel};
use crate::plan::{Damage, LevelReport, Sample, Seen, Verdict, judge_listed};
use crate::progress::Observer;
use crate::seal::Identities;
use crate::store::{Locator, Stat};

pub use drill::Drill;
pub use ledger::{LedgerReport, root_of_copy};
use record::Recorder;
pub use repair::{RepairedObject, Repairing, Repairs, UnrepairedObject, verify_and_repair};
use vault::ListingDate;

/// The request for a check of one source.
pub struct Verifying<'a> {
    /// The source.
    pub source: &'a OpenSource<'a>,
    /// The trusted root key of its ledger.
    pub root: &'a PublicKey,
    /// The levels to check besides the ledger, the listing and the drill.
    pub levels: &'a BTreeSet<VerifyLevel>,
    /// The share of the segments that is fetched; `None` for all.
    pub sample: Option<Sample>,
    /// The identities that open the archive keys, and their name in an error. Without them, segments are
    /// hashed and not opened.
    pub identities: Option<(&'a Identities, &'a str)>,
    /// The heads of ledgers in the recovery kit. They show if the store has an older state of the ledger.
    pub kit: &'a [KitSource],
    /// The settings of a drill, if one was requested.
    pub drill: Option<Drill<'a>>,
    /// How many segments are fetched at once.
    pub at_once: AtOnce,
    /// The clock for the times of the results.
    pub clock: &'a dyn Clock,
    /// Receives the events.
    pub observer: &'a dyn Observer,
    /// Says when to stop.
    pub interrupt: &'a Interrupt,
}

/// The results of a check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifyReport {
    /// The source.
    pub source: SourceName,
    /// The store's URL.
    pub store: String,
    /// The result for the ledger.
    pub ledger: LedgerReport,
    /// How many archives are visible.
    pub archives: u64,
    /// How many objects they have.
    pub objects: u64,
    /// How many of them are segments.
    pub segments: u64,
    /// The bytes of the segments.
    pub sealed_bytes: u64,
    /// How many archives are retired. These are not checked.
    pub retired: u64,
    /// The results of the levels, the least thorough first.
    pub levels: Vec<LevelReport>,
    /// Orphaned objects beside those of the visible archives.
    pub strays: Vec<String>,
    /// Further notes for the user.
    pub notes: Vec<String>,
}

impl VerifyReport {
    /// The report of a check of these archives, before the first level.
    fn begin(
        source: &OpenSource<'_>,
        ledger: LedgerReport,
        archives: &[Archive],
        retired: u64,
    ) -> Self {
        Self {
            source: source.name().clone(),
            store: source.store.url(),
            ledger,
            archives: archives.len() as u64,
            objects: sum(archives, |archive| archive.objects.len() as u64),
            segments: sum(archives, |archive| archive.entry().segments.len() as u64),
            sealed_bytes: sum(archives, |archive| archive.entry().sealed_bytes),
            retired,
            levels: Vec::new(),
            strays: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// Returns everything that is damaged, each object once.
    pub fn damaged(&self) -> Vec<Damage> {
        let levels = self.levels.iter().flat_map(LevelReport::damaged);
        let mut seen = BTreeSet::new();
        let mut damaged: Vec<Damage> = Vec::new();
        for damage in self.ledger.damaged.iter().cloned().chain(levels) {
            if seen.insert(damage.key.clone()) {
                damaged.push(damage);
            }
        }
        damaged
    }
}

/// A visible archive, according to its entry.
struct Archive {
    sealed: SealedArchive,
    /// Its archive key first, which is read first.
    objects: Vec<ArchiveObject>,
    /// What the catalog knows of its segments: nothing, if it does not have the entry yet.
    rows: Vec<SegmentRow>,
}

impl Archive {
    fn open(
        source: &OpenSource<'_>,
        sealed: SealedArchive,
        catalog: &Catalog,
    ) -> Result<Self, Error> {
        let directory = &source.row.directory;
        let mut objects: Vec<_> = ArchiveObject::of_entry(directory, &sealed.entry).collect();
        objects.sort_by_key(|object| object.part);
        Ok(Self {
            objects,
            rows: catalog.segments(&sealed.entry.id)?,
            sealed,
        })
    }

    fn entry(&self) -> &ArchiveEntry {
        &self.sealed.entry
    }

    /// Where a machine looks for an object that knows its key alone.
    fn locator(source: &OpenSource<'_>, object: &ArchiveObject) -> Locator {
        source.store.locate(&object.key)
    }

    /// Says of a damaged object, where it is so, that what was stored is still there behind what
    /// everybody else sees: a restore from here would find it, and one from elsewhere would not.
    fn hidden(&self, source: &OpenSource<'_>, object: &ArchiveObject, what: String) -> String {
        let row = object
            .segment()
            .and_then(|index| self.rows.get(index as usize));
        let recorded = row.map(|row| Locator::from(row.locator.clone()));
        let is_there = recorded
            .filter(|recorded| *recorded != Self::locator(source, object))
            .and_then(|recorded| source.store.stat(&recorded).ok())
            .is_some_and(|stat| judge_listed(object, Some(seen(&stat))) == Verdict::Sound);
        if is_there {
            format!("{what}: what was stored is hidden by a newer version or a delete marker")
        } else {
            what
        }
    }
}

fn seen(stat: &Stat) -> Seen {
    Seen {
        bytes: stat.bytes,
        sha256: stat.sha256,
    }
}

/// The results of the listing that the next levels need.
#[derive(Default)]
struct ListingResults {
    damaged: BTreeSet<String>,
    classes: BTreeMap<String, StorageClass>,
}

/// A check that has ended.
#[derive(Debug)]
pub struct Verified {
    /// Its results so far.
    pub report: VerifyReport,
    /// The level on which it broke off, and why.
    pub broken_off: Option<(VerifyLevel, Error)>,
}

impl Verified {
    /// Returns the report of a complete check, or the error that broke it off.
    pub fn whole(self) -> Result<VerifyReport, Error> {
        match self.broken_off {
            None => Ok(self.report),
            Some((_, error)) => Err(error),
        }
    }
}

/// Checks a source on every requested level. Damage is no error here: it is in the report. An error after the
/// ledger was read is in `broken_off`, and the results so far stay valid.
pub fn verify(verifying: &Verifying<'_>, catalog: &mut Catalog) -> Result<Verified, Error> {
    let source = verifying.source;
    know_segments(source, catalog)?;
    let as_of = ListingDate::now(source, catalog)?;
    let read = ledger::read(verifying, catalog)?;
    // Objects of an attempt of this machine are not orphaned objects.
    let mut known = read.retired.clone();
    let rows = catalog.archives(&source.row.ledger)?;
    known.extend(rows.iter().map(|row| row.id));
    let mut archives = Vec::new();
    let mut not_copied = 0;
    for sealed in read.visible {
        let id = sealed.entry.id;
        // In a copy, an archive without its key is not there yet.
        if catalog.turned_to().is_some() && !known.contains(&id) {
            not_copied += 1;
            known.insert(id);
        } else {
            archives.push(Archive::open(source, sealed, catalog)?);
        }
    }
    if let Some(place) = catalog.turned_to() {
        known.extend(catalog.placed(place)?.iter().map(|placed| placed.archive));
    }
    let is_known = |id: &ArchiveId| known.contains(id) || read.replay.is_retired(id);
    let without_entry = read
        .report
        .damaged
        .iter()
        .filter_map(|damage| damage.archive)
        .collect();
    let retired = read.retired.len() as u64;
    let mut report = VerifyReport::begin(source, read.report, &archives, retired);
    if not_copied > 0 {
        report.notes.push(format!(
            "{not_copied} of the archives in its ledger {} not copied yet",
            if not_copied == 1 { "is" } else { "are" }
        ));
    }
    report.notes.extend(as_of.in_words());
    let mut recorder = Recorder::new(catalog, verifying.clock, without_entry);
    let of = (archives.as_slice(), &as_of);
    let broken_off = check_levels(verifying, of, &is_known, &mut recorder, &mut report);
    report.notes.extend(recorder.note());
    Ok(Verified { report, broken_off })
}

/// Checks level after level, until one breaks off.
fn check_levels(
    verifying: &Verifying<'_>,
    (archives, as_of): (&[Archive], &ListingDate),
    is_known: &dyn Fn(&ArchiveId) -> bool,
    recorder: &mut Recorder<'_>,
    report: &mut VerifyReport,
) -> Option<(VerifyLevel, Error)> {
    // List after reading the ledger, so that archives committed meanwhile are not reported as missing.
    let shown = match present::listing(verifying, (archives, as_of), is_known, report) {
        Ok((listing, shown)) => {
            recorder.level(&listing);
            report.levels.push(listing);
            shown
        }
        Err(error) => return Some((VerifyLevel::Listing, error)),
    };
    let mut done = |(level, ended): (LevelReport, Result<(), Error>)| {
        let broken_off = ended.err().map(|error| (level.level, error));
        // A level that did not begin has no results.
        if broken_off.is_none() || level.checked() > 0 {
            report.levels.push(level);
        }
        broken_off
    };
    if verifying.levels.contains(&VerifyLevel::Checksums) {
        let checksums = present::checksums(verifying, archives, &shown);
        recorder.level(&checksums.0);
        let broken_off = done(checksums);
        if broken_off.is_some() {
            return broken_off;
        }
    }
    if verifying.levels.contains(&VerifyLevel::Deep) {
        let broken_off = done(deep::deep(verifying, archives, &shown, recorder));
        if broken_off.is_some() {
            return broken_off;
        }
    }
    let asked = verifying.drill.as_ref()?;
    let mut notes = Vec::new();
    let drill = drill::drill(verifying, asked, recorder.catalog, &mut notes);
    recorder.level(&drill.0);
    let broken_off = done(drill);
    report.notes.extend(notes);
    broken_off
}

fn sum(archives: &[Archive], of: impl Fn(&Archive) -> u64) -> u64 {
    archives.iter().map(of).sum()
}
