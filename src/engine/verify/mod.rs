//! Checking what is stored, level by level. Nothing here changes the store: it is listed, asked and
//! read. What a level has shown is written to the catalog as soon as it is known.

mod contents;
mod deep;
mod drill;
mod ledger;
mod present;
mod tree;

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::catalog::{Catalog, SegmentRow, VerificationRow};
use crate::engine::clock::Clock;
use crate::engine::source::OpenSource;
use crate::engine::unlock::SealedArchive;
use crate::error::Error;
use crate::interrupt::Interrupt;
use crate::ledger::PublicKey;
use crate::model::entry::{ArchiveEntry, Timestamp};
use crate::model::{SourceName, StorageClass, VerifyLevel};
use crate::plan::{Damage, LevelReport, Sample, SignedObject};
use crate::seal::Identities;
use crate::store::Locator;

pub use drill::Drill;
pub use ledger::{LedgerReport, root_of_copy};

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
    /// What a drill takes, where one is asked for.
    pub drill: Option<Drill<'a>>,
    /// Segments that are fetched at once.
    pub at_once: usize,
    /// Tells when it was.
    pub clock: &'a dyn Clock,
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
    objects: Vec<SignedObject>,
    /// What the catalog knows of its segments: nothing, if it does not have the entry yet.
    rows: Vec<SegmentRow>,
}

impl Archive {
    fn open(
        source: &OpenSource<'_>,
        sealed: SealedArchive,
        catalog: &Catalog,
    ) -> Result<Self, Error> {
        // What is no base64 is found when the key is opened; its object can't be as it should then.
        let key = BASE64.decode(&sealed.entry.key).unwrap_or_default();
        Ok(Self {
            objects: SignedObject::of(&source.row.directory, &sealed.entry, &key),
            rows: catalog.segments(&sealed.entry.id)?,
            sealed,
        })
    }

    fn entry(&self) -> &ArchiveEntry {
        &self.sealed.entry
    }

    fn locator(&self, source: &OpenSource<'_>, object: &SignedObject) -> Locator {
        let row = object
            .segment
            .and_then(|index| self.rows.get(index as usize));
        match row {
            Some(row) => Locator::from(row.locator.clone()),
            None => source.store.locate(&object.key),
        }
    }
}

/// What the listing has shown, for the levels after it.
#[derive(Default)]
struct Shown {
    damaged: BTreeSet<String>,
    classes: BTreeMap<String, StorageClass>,
}

/// Checks a source on every level that was asked for. Damage is no error here: it is in the report.
pub fn verify(verifying: &Verifying<'_>, catalog: &mut Catalog) -> Result<VerifyReport, Error> {
    let source = verifying.source;
    let read = ledger::read(verifying, catalog)?;
    let mut archives = Vec::new();
    for sealed in read.visible {
        archives.push(Archive::open(source, sealed, catalog)?);
    }
    let mut report = VerifyReport {
        source: source.name().clone(),
        store: source.store.url(),
        ledger: read.report,
        archives: archives.len() as u64,
        objects: sum(&archives, |archive| archive.objects.len() as u64),
        segments: sum(&archives, |archive| archive.entry().segments.len() as u64),
        sealed_bytes: sum(&archives, |archive| archive.entry().sealed_bytes),
        retired: read.retired,
        levels: Vec::new(),
        strays: Vec::new(),
        notes: Vec::new(),
    };
    // After the ledger: what is committed meanwhile is not missed.
    let (listing, shown) = present::listing(verifying, &archives, &mut report)?;
    record(verifying, &listing, catalog)?;
    report.levels.push(listing);
    if verifying.levels.contains(&VerifyLevel::Checksums) {
        let checksums = present::checksums(verifying, &archives, &shown)?;
        record(verifying, &checksums, catalog)?;
        report.levels.push(checksums);
    }
    if verifying.levels.contains(&VerifyLevel::Deep) {
        let deep = deep::deep(verifying, &archives, &shown)?;
        record(verifying, &deep, catalog)?;
        report.levels.push(deep);
    }
    if let Some(asked) = &verifying.drill {
        let drill = drill::drill(verifying, asked, catalog, &mut report.notes)?;
        record(verifying, &drill, catalog)?;
        report.levels.push(drill);
    }
    Ok(report)
}

fn sum(archives: &[Archive], of: impl Fn(&Archive) -> u64) -> u64 {
    archives.iter().map(of).sum()
}

/// Writes what a level has shown of each archive.
fn record(
    verifying: &Verifying<'_>,
    report: &LevelReport,
    catalog: &mut Catalog,
) -> Result<(), Error> {
    let at = Timestamp(verifying.clock.now());
    let rows: Vec<VerificationRow> = report
        .outcomes()
        .into_iter()
        .map(|(archive, level, outcome)| VerificationRow {
            archive,
            level,
            outcome,
            at,
        })
        .collect();
    Ok(catalog.record_verifications(&rows)?)
}
