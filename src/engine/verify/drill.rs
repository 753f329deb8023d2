//! The day of the restore, rehearsed: the newest chain comes back onto a filesystem of its own, and is
//! compared with the snapshots that are still here.

use std::path::Path;

use super::Verifying;
use super::tree::first_difference;
use crate::btrfs::{self, Scratch};
use crate::catalog::Catalog;
use crate::engine::restore::{Restoring, plan_details, restore};
use crate::engine::snapshot;
use crate::error::{Error, ExitCode, in_words};
use crate::model::{ArchiveId, StorageClass, VerifyLevel, keys};
use crate::plan::{Checked, LevelReport, Unchecked, Verdict};
use crate::progress::Observer;

/// Room for a filesystem's own needs beside what is restored.
const SPARE: u64 = 1 << 30;

/// What a drill takes besides.
pub struct Drill<'a> {
    /// Where the image goes that is restored into.
    pub directory: &'a Path,
    /// The class that the store puts segments into now; `None` if it has no classes.
    pub class: Option<StorageClass>,
    /// Is told what happens.
    pub observer: &'a dyn Observer,
}

/// Restores the newest chain, and compares. Nothing is asked of a cold class: while something is
/// cold it is [`Error::Thawing`].
pub(super) fn drill(
    verifying: &Verifying<'_>,
    drill: &Drill<'_>,
    catalog: &mut Catalog,
    notes: &mut Vec<String>,
) -> Result<LevelReport, Error> {
    let (identities, identity_name) = verifying.identities.ok_or(Error::NoIdentity)?;
    btrfs::require_root()?;
    let source = verifying.source;
    let (plan, details) = plan_details(source.config, None, catalog)?;
    // Twice: a new filesystem keeps its metadata twice.
    let bytes = details.raw_bytes.saturating_mul(2).saturating_add(SPARE);
    let scratch = Scratch::make(drill.directory, bytes)?;
    let restoring = Restoring {
        source,
        plan: &plan,
        to: &scratch.root(),
        identities,
        identity_name,
        class: drill.class,
        at_once: verifying.at_once,
        thaw: None,
        observer: drill.observer,
        interrupt: verifying.interrupt,
    };
    let objects = match restore(&restoring, catalog) {
        Ok(directory) => compare_all(verifying, &plan.archives, &directory, catalog, notes)?,
        Err(error) if error.exit_code() == ExitCode::Integrity => {
            let damaged = archive_of(&error);
            let objects = plan.archives.iter().map(|archive| {
                let verdict = if damaged == Some(*archive)
                    || (damaged.is_none() && archive == &plan.archives[0])
                {
                    Verdict::Damaged(in_words(&error))
                } else {
                    Verdict::Unchecked(Unchecked::NotReached)
                };
                checked(verifying, *archive, verdict)
            });
            objects.collect()
        }
        Err(error) => return Err(error),
    };
    scratch.remove()?;
    Ok(LevelReport {
        level: VerifyLevel::Drill,
        objects,
    })
}

/// The archive that an error is about.
fn archive_of(error: &Error) -> Option<ArchiveId> {
    match error {
        Error::SegmentDamaged { archive, .. }
        | Error::SegmentUnreadable { archive, .. }
        | Error::StoredStream { archive, .. } => Some(*archive),
        _ => None,
    }
}

fn checked(verifying: &Verifying<'_>, archive: ArchiveId, verdict: Verdict) -> Checked {
    Checked {
        archive,
        segment: None,
        key: keys::archive_prefix(&verifying.source.row.directory, &archive),
        verdict,
    }
}

/// Holds what was restored against the snapshots that were archived, as far as they are still here.
fn compare_all(
    verifying: &Verifying<'_>,
    archives: &[ArchiveId],
    restored: &Path,
    catalog: &Catalog,
    notes: &mut Vec<String>,
) -> Result<Vec<Checked>, Error> {
    let source = verifying.source;
    let rows = catalog.archives(&source.row.ledger)?;
    let snapshots = catalog.snapshots(source.name())?;
    let mut objects = Vec::new();
    for archive in archives {
        let row = rows.iter().find(|row| row.id == *archive);
        let of_row = row.and_then(|row| row.snapshot);
        let snapshot = snapshots
            .iter()
            .find(|snapshot| Some(snapshot.id) == of_row);
        let why_not = match snapshot {
            None => Some("its snapshot is gone, or was never here".to_owned()),
            Some(snapshot) => snapshot::check(snapshot)?.err(),
        };
        let verdict = match (snapshot, why_not) {
            (Some(snapshot), None) => {
                let copy = restored.join(archive.date.to_string());
                match first_difference(&snapshot.path, &copy, verifying.interrupt)? {
                    None => Verdict::Sound,
                    Some(what) => Verdict::Damaged(format!(
                        "it was restored, and is not what {} is: {what}",
                        snapshot.path.display()
                    )),
                }
            }
            (_, why_not) => {
                notes.push(format!(
                    "{archive} was restored and not compared: {}",
                    why_not.unwrap_or_default()
                ));
                Verdict::Sound
            }
        };
        objects.push(checked(verifying, *archive, verdict));
    }
    Ok(objects)
}
