//! Checking what is stored, level by level. Nothing here changes the store: it is listed, asked and
//! read. What is found is written to the catalog as soon as it is known.
//!
//! Objects are judged as a machine sees them that has nothing but the store: by their keys, whatever
//! else the catalog here knows of where they are.

pub(super) mod catalog;

mod contents;
mod deep;
mod drill;
mod ledger;
mod present;
mod progress;
mod record;
mod tree;
mod unreadable;

use std::collections::{BTreeMap, BTreeSet};

use crate::catalog::{Catalog, SegmentRow};
use crate::engine::context::clock::Clock;
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

/// A check to be carried out.
pub struct Verifying<'a> {
    /// The source.
    pub source: &'a OpenSource<'a>,
    /// The key that all trust in its ledger comes from.
    pub root: &'a PublicKey,
    /// What to do besides the ledger and a listing, but for a drill.
    pub levels: &'a BTreeSet<VerifyLevel>,
    /// The share of the segments that is fetched; `None` for all.
    pub sample: Option<Sample>,
    /// What opens the archive keys, and what to call it in an error. Without it segments are hashed
    /// and not opened.
    pub identities: Option<(&'a Identities, &'a str)>,
    /// What the recovery kit knows of ledgers: an older state of this one is not the whole of it.
    pub kit: &'a [KitSource],
    /// What a drill takes, where one is asked for.
    pub drill: Option<Drill<'a>>,
    /// Segments that are fetched at once.
    pub at_once: AtOnce,
    /// Tells when it was.
    pub clock: &'a dyn Clock,
    /// Is told what happens.
    pub observer: &'a dyn Observer,
    /// Says when to stop.
    pub interrupt: &'a Interrupt,
}

/// What a check has shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifyReport {
    /// The source.
    pub source: SourceName,
    /// The store's URL.
    pub store: String,
    /// What the ledger is like.
    pub ledger: LedgerReport,
    /// How many archives are visible.
    pub archives: u64,
    /// How many objects these have.
    pub objects: u64,
    /// How many of them are segments.
    pub segments: u64,
    /// The bytes of the segments.
    pub sealed_bytes: u64,
    /// How many archives are retired, and were not looked at.
    pub retired: u64,
    /// The levels, from the least thorough.
    pub levels: Vec<LevelReport>,
    /// Objects beside those of the visible archives that no ledger entry names.
    pub strays: Vec<String>,
    /// What else the user should know of.
    pub notes: Vec<String>,
}

impl VerifyReport {
    /// Everything that is damaged, an object once.
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

/// A visible archive as its entry says it is.
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

/// What the listing has shown, for the levels after it.
#[derive(Default)]
struct Shown {
    damaged: BTreeSet<String>,
    classes: BTreeMap<String, StorageClass>,
}

/// How a check ended.
#[derive(Debug)]
pub struct Verified {
    /// What it has shown, as far as it came.
    pub report: VerifyReport,
    /// The level that it broke off on, and why.
    pub broken_off: Option<(VerifyLevel, Error)>,
}

impl Verified {
    /// The report of a check that came to its end.
    pub fn whole(self) -> Result<VerifyReport, Error> {
        match self.broken_off {
            None => Ok(self.report),
            Some((_, error)) => Err(error),
        }
    }
}

/// Checks a source on every level that was asked for. Damage is no error here: it is in the report.
/// Neither is what ends the check after the ledger was read: what was shown before stands.
pub fn verify(verifying: &Verifying<'_>, catalog: &mut Catalog) -> Result<Verified, Error> {
    let source = verifying.source;
    let read = ledger::read(verifying, catalog)?;
    let mut archives = Vec::new();
    for sealed in read.visible {
        archives.push(Archive::open(source, sealed, catalog)?);
    }
    // What a run here is at work on is nobody's stray.
    let mut known = read.retired.clone();
    known.extend(
        catalog
            .archives(&source.row.ledger)?
            .iter()
            .map(|row| row.id),
    );
    let is_known = |id: &ArchiveId| known.contains(id) || read.replay.is_retired(id);
    let without_entry = read
        .report
        .damaged
        .iter()
        .filter_map(|damage| damage.archive)
        .collect();
    let mut report = VerifyReport {
        source: source.name().clone(),
        store: source.store.url(),
        ledger: read.report,
        archives: archives.len() as u64,
        objects: sum(&archives, |archive| archive.objects.len() as u64),
        segments: sum(&archives, |archive| archive.entry().segments.len() as u64),
        sealed_bytes: sum(&archives, |archive| archive.entry().sealed_bytes),
        retired: read.retired.len() as u64,
        levels: Vec::new(),
        strays: Vec::new(),
        notes: Vec::new(),
    };
    let mut recorder = Recorder::new(catalog, verifying.clock, without_entry);
    let broken_off = check_levels(verifying, &archives, &is_known, &mut recorder, &mut report);
    report.notes.extend(recorder.note());
    Ok(Verified { report, broken_off })
}

/// Goes from level to level, until one can't be gone through.
fn check_levels(
    verifying: &Verifying<'_>,
    archives: &[Archive],
    is_known: &dyn Fn(&ArchiveId) -> bool,
    recorder: &mut Recorder<'_>,
    report: &mut VerifyReport,
) -> Option<(VerifyLevel, Error)> {
    // After the ledger: what is committed meanwhile is not missed.
    let shown = match present::listing(verifying, archives, is_known, report) {
        Ok((listing, shown)) => {
            recorder.level(&listing);
            report.levels.push(listing);
            shown
        }
        Err(error) => return Some((VerifyLevel::Listing, error)),
    };
    let mut done = |(level, ended): (LevelReport, Result<(), Error>)| {
        let broken_off = ended.err().map(|error| (level.level, error));
        // Of a level that did not begin there is nothing to tell.
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
