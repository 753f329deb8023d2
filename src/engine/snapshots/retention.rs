//! Deletes local snapshots that are no longer kept.
//!
//! Considers only snapshots that the catalog knows as made by coldchain. Deletes one only if it is still the
//! same subvolume, read-only, and taken of the same one.

use std::collections::HashSet;

use chrono::NaiveDate;

use crate::btrfs::{self, BtrfsError, Tools};
use crate::catalog::{Catalog, SnapshotRow};
use crate::config::Source;
use crate::engine::context::RunContext;
use crate::engine::snapshots::standing;
use crate::error::{Error, in_words};
use crate::model::archive::ArchiveState;
use crate::model::entry::Timestamp;
use crate::model::{LedgerId, Uuid};
use crate::plan::{LocalSnapshot, Pin, expiring_snapshots};
use crate::progress::Event;

/// Deletes the snapshots that the source no longer keeps in the run of this date.
pub(in crate::engine) fn retain(
    source: &Source,
    ledger: &LedgerId,
    date: NaiveDate,
    catalog: &mut Catalog,
    tools: &Tools,
    context: RunContext<'_>,
) -> Result<(), Error> {
    let pinned = pinned(ledger, catalog)?;
    let rows = standing::rows(source, catalog)?;
    let local = |row: &SnapshotRow| LocalSnapshot {
        date: row.date,
        pin: if pinned.contains(&row.id) {
            Pin::Needed
        } else {
            Pin::Free
        },
    };
    let snapshots: Vec<LocalSnapshot> = rows.iter().map(local).collect();
    let mut undeleted = Vec::new();
    for expiry in expiring_snapshots(&snapshots, source.keep_snapshots, date) {
        let row = rows
            .iter()
            .find(|row| row.date == expiry.date)
            .expect("what expires is among the snapshots");
        let standing = match standing(row) {
            Ok(standing) => standing,
            Err(error) => {
                undeleted.push(error);
                continue;
            }
        };
        match standing {
            // Its directory is not mounted, or something is mounted over it.
            SnapshotPresence::Gone | SnapshotPresence::Replaced if stands_elsewhere(source, row) => {
                undeleted.push(BtrfsError::Moved {
                    path: row.path.clone(),
                });
                continue;
            }
            SnapshotPresence::Gone => {}
            // It is no longer coldchain's snapshot: leave it alone and forget it.
            SnapshotPresence::Replaced | SnapshotPresence::Another => context.observer.event(Event::Warning {
                source: source.name.clone(),
                message: format!(
                    "{} is no longer the read-only snapshot that coldchain made: coldchain will never delete it",
                    row.path.display()
                ),
            }),
            SnapshotPresence::OfUnknownOrigin => continue,
            SnapshotPresence::Ours { taken_of } => {
                match btrfs::snapshots::delete(tools, &row.path, row.local_uuid, taken_of) {
                    Ok(()) => context.observer.event(Event::SnapshotDeleted {
                        source: source.name.clone(),
                        date: row.date,
                        reason: expiry.reason,
                    }),
                    Err(error) if error.is_stopping() => return Err(error.into()),
                    // The other snapshots are still deleted. The next run tries this one again.
                    Err(error) => {
                        undeleted.push(error);
                        continue;
                    }
                }
            }
        }
        catalog.forget_snapshot(row.id, Timestamp(context.clock.now()))?;
    }
    warn_of_undeleted(source, &undeleted, context);
    Ok(())
}

/// Returns whether a snapshot that is not at its path is still on the source's filesystem.
fn stands_elsewhere(source: &Source, row: &SnapshotRow) -> bool {
    let live = source.live.as_ref();
    let found = live.map(|live| btrfs::find(&live.subvolume, row.local_uuid));
    matches!(found, Some(Ok(Some(_))))
}

/// How many snapshots that can't be deleted are named.
const NAMED: usize = 3;

/// Warns of snapshots that could not be deleted: their names, the reasons, and what to do.
pub(in crate::engine) fn warn_of_undeleted(
    source: &Source,
    undeleted: &[BtrfsError],
    context: RunContext<'_>,
) {
    let warn = |message| {
        context.observer.event(Event::Warning {
            source: source.name.clone(),
            message,
        });
    };
    for error in undeleted.iter().take(NAMED) {
        let hint = error.hint().map(|hint| format!("; {hint}"));
        warn(format!(
            "could not delete an expired snapshot, and the next run tries again: {}{}",
            in_words(error),
            hint.unwrap_or_default()
        ));
    }
    if undeleted.len() > NAMED {
        let more = undeleted.len() - NAMED;
        warn(format!("{more} more snapshots could not be deleted"));
    }
}

/// What is at the path of a snapshot.
enum SnapshotPresence {
    Gone,
    /// Something else is at its path.
    Replaced,
    /// It is the same subvolume but was changed.
    Another,
    /// Nothing shows that coldchain made it.
    OfUnknownOrigin,
    Ours {
        taken_of: Uuid,
    },
}

fn standing(row: &SnapshotRow) -> Result<SnapshotPresence, BtrfsError> {
    let identity = match btrfs::identity(&row.path) {
        Err(BtrfsError::Missing { .. }) if !row.path.is_symlink() => {
            return Ok(SnapshotPresence::Gone);
        }
        // A link to nothing is also reported as missing.
        Err(
            BtrfsError::Missing { .. }
            | BtrfsError::NotASubvolume { .. }
            | BtrfsError::NotBtrfs { .. }
            | BtrfsError::NoUuid { .. },
        ) => return Ok(SnapshotPresence::Replaced),
        identity => identity?,
    };
    Ok(match row.local_parent {
        _ if identity.uuid != row.local_uuid => SnapshotPresence::Replaced,
        _ if !identity.read_only => SnapshotPresence::Another,
        None => SnapshotPresence::OfUnknownOrigin,
        parent if identity.parent_uuid != parent => SnapshotPresence::Another,
        Some(taken_of) => SnapshotPresence::Ours { taken_of },
    })
}

/// Returns the snapshots that must stay: those of the newest archive, of every attempt that is not over, and
/// of the send parents of those attempts.
fn pinned(ledger: &LedgerId, catalog: &Catalog) -> Result<HashSet<i64>, Error> {
    let archives = catalog.archives(ledger)?;
    let newest = archives
        .iter()
        .filter(|archive| archive.is_visible())
        .max_by_key(|archive| archive.date);
    let mut needed: Vec<_> = newest.map(|archive| archive.id).into_iter().collect();
    for attempt in &archives {
        if matches!(
            attempt.state,
            ArchiveState::Unfinished | ArchiveState::Committing
        ) {
            needed.push(attempt.id);
            needed.extend(attempt.send_parent);
        }
    }
    Ok(archives
        .iter()
        .filter(|archive| needed.contains(&archive.id))
        .filter_map(|archive| archive.snapshot)
        .collect())
}
