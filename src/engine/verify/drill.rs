//! The drill: restores the newest chain onto a temporary filesystem, and compares it with the snapshots that
//! still exist.

use std::path::Path;
use std::sync::Mutex;

use super::Verifying;
use super::tree::first_difference;
use crate::btrfs::{self, BtrfsError, Geometry, Scratch, Space};
use crate::catalog::Catalog;
use crate::engine::restore::other_places::OtherPlaces;
use crate::engine::restore::target::Afterwards;
use crate::engine::restore::{Restoring, Which, plan_details, restore};
use crate::engine::snapshots::standing;
use crate::error::{Error, RestoreError, VerifyError, in_words};
use crate::model::{ArchiveId, StorageClass, VerifyLevel, keys};
use crate::plan::{CheckedObject, LevelReport, Unchecked, Verdict};
use crate::process::ProcessError;
use crate::progress::{Event, Observer};

/// Bytes for the filesystem itself, besides the restored data.
const SPARE: u64 = 1 << 30;

/// A filesystem with less free space than this counts as full.
const NEXT_TO_NOTHING: u64 = 16 << 20;

/// What a drill needs besides the check.
pub struct Drill<'a> {
    /// The directory for the image of the temporary filesystem.
    pub directory: &'a Path,
    /// The class that the store puts segments into now; `None` if it has no classes.
    pub class: Option<StorageClass>,
}

/// Restores the newest chain, and compares. Nothing is asked of a cold class: while something is
/// cold it is [`|error| Error::Restore(RestoreError::Thawing(error))`]. What was seen before it broke off, if it did, stands.
pub(super) fn drill(
    verifying: &Verifying<'_>,
    drill: &Drill<'_>,
    catalog: &mut Catalog,
    notes: &mut Vec<String>,
) -> (LevelReport, Result<(), Error>) {
    let mut report = LevelReport::new(VerifyLevel::Drill);
    let ended = rehearse(verifying, drill, catalog, &mut report, notes);
    (report, ended)
}

fn rehearse(
    verifying: &Verifying<'_>,
    drill: &Drill<'_>,
    catalog: &mut Catalog,
    report: &mut LevelReport,
    notes: &mut Vec<String>,
) -> Result<(), Error> {
    let (identities, identity_name) = verifying.identities.ok_or(RestoreError::NoIdentity)?;
    btrfs::require_root()?;
    let source = verifying.source;
    let (plan, details) = plan_details(source.config, None, Which::Visible, catalog)?;
    let no_room = |free| {
        Error::Verify(VerifyError::NoRoomForDrill {
            path: drill.directory.to_owned(),
            needed: details.raw_bytes,
            free,
        })
    };
    let free = Space::of(drill.directory)?.free;
    if free < details.raw_bytes {
        return Err(no_room(free));
    }
    // Double it: a new filesystem keeps two copies of its metadata.
    let bytes = details.raw_bytes.saturating_mul(2).saturating_add(SPARE);
    let live = source.config.live.as_ref();
    let geometry = live.and_then(|live| Geometry::of(&live.snapshots).ok());
    let geometry = geometry.unwrap_or_else(Geometry::roomiest);
    let scratch = Scratch::make(drill.directory, bytes, geometry)?;
    let in_hand = InHand::new(verifying.observer);
    let restoring = Restoring {
        source,
        plan: &plan,
        to: &scratch.root(),
        identities,
        identity_name,
        class: drill.class,
        at_once: verifying.at_once,
        thaw: None,
        intermediate: Afterwards::Stays,
        writable: None,
        observer: &in_hand,
        interrupt: verifying.interrupt,
        clock: verifying.clock,
        // The drill is about this place alone.
        others: &OtherPlaces::default(),
    };
    match restore(&restoring, catalog) {
        Ok(restored) => {
            compare_all(
                verifying,
                &plan.archives,
                &restored.directory,
                catalog,
                report,
                notes,
            )?;
        }
        Err(error) => {
            // After a signal, the signal is the reason for any error.
            verifying.interrupt.check()?;
            let free = Space::of(drill.directory)?.free;
            if free < NEXT_TO_NOTHING {
                return Err(no_room(free));
            }
            let inside = Space::of(&scratch.root())?;
            let is_usable = !inside.read_only && inside.free >= NEXT_TO_NOTHING;
            let damaged = damage(verifying, error, in_hand.archive().filter(|_| is_usable))?;
            for archive in &plan.archives {
                report.objects.push(if *archive == damaged.archive {
                    damaged.clone()
                } else {
                    let verdict = Verdict::Unchecked(Unchecked::NotReached);
                    checked(verifying, *archive, verdict)
                });
            }
        }
    }
    Ok(scratch.remove()?)
}

/// Returns what a failed restore shows about the archive on which it failed, or the error if it shows
/// nothing. `in_hand` is the archive that was being received, if only its stream can be at fault.
fn damage(
    verifying: &Verifying<'_>,
    error: Error,
    in_hand: Option<ArchiveId>,
) -> Result<CheckedObject, Error> {
    let what = in_words(&error);
    let directory = &verifying.source.row.directory;
    let of = |archive| checked(verifying, archive, Verdict::Damaged(what.clone()));
    match (&error, in_hand) {
        (
            Error::Restore(
                RestoreError::SegmentDamaged {
                    archive,
                    index,
                    key,
                    ..
                }
                | RestoreError::SegmentUnreadable {
                    archive,
                    index,
                    key,
                    ..
                },
            ),
            _,
        ) => Ok(CheckedObject {
            segment: (*key != keys::archive_key(directory, archive)).then_some(*index),
            key: key.clone(),
            ..of(*archive)
        }),
        (
            Error::Restore(
                RestoreError::StoredStream { .. }
                | RestoreError::ReceivedWrong { .. }
                | RestoreError::WriteStream { .. },
            ),
            Some(archive),
        ) => Ok(of(archive)),
        // One that was killed was not refused, and one that lacked something here was refused for that.
        (
            Error::Btrfs(failed @ BtrfsError::Process(ProcessError::Failed { status, .. })),
            Some(archive),
        ) if status.code().is_some() && !failed.is_of_this_machine() => Ok(of(archive)),
        _ => Err(error),
    }
}

/// Passes on events, and remembers which archive is being received.
struct InHand<'a> {
    observer: &'a dyn Observer,
    archive: Mutex<Option<ArchiveId>>,
}

impl<'a> InHand<'a> {
    fn new(observer: &'a dyn Observer) -> Self {
        Self {
            observer,
            archive: Mutex::new(None),
        }
    }

    fn archive(&self) -> Option<ArchiveId> {
        *self.archive.lock().expect("no holder panics")
    }
}

impl Observer for InHand<'_> {
    fn event(&self, event: Event) {
        let now = match &event {
            Event::Begun { archive, .. } => Some(Some(*archive)),
            Event::Restored { .. } => Some(None),
            _ => None,
        };
        if let Some(now) = now {
            *self.archive.lock().expect("no holder panics") = now;
        }
        self.observer.event(event);
    }
}

fn checked(verifying: &Verifying<'_>, archive: ArchiveId, verdict: Verdict) -> CheckedObject {
    CheckedObject {
        archive,
        segment: None,
        key: keys::archive_prefix(&verifying.source.row.directory, &archive),
        verdict,
    }
}

/// Compares the restored subvolumes with the archived snapshots, as far as these still exist.
fn compare_all(
    verifying: &Verifying<'_>,
    archives: &[ArchiveId],
    restored: &Path,
    catalog: &Catalog,
    report: &mut LevelReport,
    notes: &mut Vec<String>,
) -> Result<(), Error> {
    let source = verifying.source;
    let rows = catalog.archives(&source.row.ledger)?;
    let snapshots = catalog.snapshots(source.name())?;
    for archive in archives {
        let row = rows.iter().find(|row| row.id == *archive);
        let of_row = row.and_then(|row| row.snapshot);
        let snapshot = snapshots
            .iter()
            .find(|snapshot| Some(snapshot.id) == of_row);
        let why_not = match snapshot {
            None => Some("its snapshot is gone, or was never here".to_owned()),
            Some(snapshot) => standing::check(snapshot)?.err(),
        };
        let verdict = match (snapshot, why_not) {
            (Some(snapshot), None) => {
                let copy = restored.join(archive.date.to_string());
                match first_difference(&snapshot.path, &copy, verifying.interrupt)? {
                    None => Verdict::Sound,
                    Some(what) => Verdict::Damaged(format!(
                        "it was restored, but differs from {}: {what}",
                        snapshot.path.display()
                    )),
                }
            }
            (_, why_not) => {
                notes.push(format!(
                    "{archive} was restored and not compared: {}",
                    why_not.unwrap_or_default()
                ));
                Verdict::Unchecked(Unchecked::NotCompared)
            }
        };
        report.objects.push(checked(verifying, *archive, verdict));
    }
    Ok(())
}
