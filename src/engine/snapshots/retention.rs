//! Deletes local snapshots that are no longer kept.
//!
//! Considers only snapshots that the catalog knows as made by coldchain. Deletes one only if it is still the
//! same subvolume, read-only, and taken of the same one.

use std::collections::HashMap;

use chrono::{DateTime, FixedOffset, NaiveDate};
use chrono_tz::Tz;

use crate::btrfs::{self, BtrfsError, Tools};
use crate::catalog::{Catalog, SnapshotRow};
use crate::config::{Config, HeldFor, Source};
use crate::engine::context::RunContext;
use crate::engine::context::clock::local_date;
use crate::engine::snapshots::standing;
use crate::error::{Error, SnapshotError, in_words};
use crate::model::archive::ArchiveState;
use crate::model::entry::Timestamp;
use crate::model::{ArchiveId, SourceName, Uuid};
use crate::plan::{KeepRun, LocalSnapshot, Pin, SnapshotPlan, Withheld, plan_snapshots};
use crate::progress::Event;

/// A run that deletes snapshots.
#[derive(Debug, Clone, Copy)]
pub(in crate::engine) struct Retaining {
    /// Its date.
    pub(in crate::engine) date: NaiveDate,
    /// The time zone of the snapshots' names.
    pub(in crate::engine) zone: Tz,
    /// When it takes place.
    pub(in crate::engine) now: DateTime<FixedOffset>,
    /// How many deletions the user has confirmed, if that was asked of them.
    pub(in crate::engine) confirmed: Option<usize>,
}

impl Retaining {
    /// A run of a date that takes place now.
    pub(in crate::engine) fn of_date(
        date: NaiveDate,
        config: &Config,
        context: RunContext<'_>,
    ) -> Self {
        let zone = config.timezone;
        Self {
            date,
            zone,
            now: context.clock.now().with_timezone(&zone).fixed_offset(),
            confirmed: None,
        }
    }

    /// A run of today.
    pub(in crate::engine) fn of_today(config: &Config, context: RunContext<'_>) -> Self {
        let today = local_date(context.clock.now(), config.timezone);
        Self::of_date(today, config, context)
    }
}

/// Returns when a snapshot was taken, by the clock of the time zone: when it was recorded, if that is the date of
/// its name; else what its name says.
pub(in crate::engine) fn taken_at(row: &SnapshotRow, zone: Tz) -> DateTime<FixedOffset> {
    let recorded = row.made_at.0.with_timezone(&zone);
    let taken = if recorded.date_naive() == row.name.date {
        recorded
    } else {
        row.name.moment(&zone)
    };
    taken.fixed_offset()
}

/// Returns the snapshots of a source that exist, and those that are not on its filesystem: somebody has deleted them,
/// or another disk is mounted. One whose directory is not mounted, or that can't be looked at, exists.
pub(in crate::engine) fn existing(
    source: &Source,
    catalog: &Catalog,
) -> Result<(Vec<SnapshotRow>, Vec<SnapshotRow>), Error> {
    let is_gone = |row: &SnapshotRow| {
        let live = source.live.as_ref();
        matches!(presence(row), Ok(SnapshotPresence::Gone))
            && live.is_some_and(|live| {
                matches!(btrfs::find(&live.subvolume, row.local_uuid), Ok(None))
            })
    };
    let (gone, standing) = standing::rows(source, catalog)?
        .into_iter()
        .partition(is_gone);
    Ok((standing, gone))
}

/// Plans which of these snapshots of a source are deleted in a run.
pub(in crate::engine) fn plan(
    source: &Source,
    rows: &[SnapshotRow],
    run: Retaining,
    catalog: &Catalog,
) -> Result<SnapshotPlan, Error> {
    let pinned = pinned(source, rows, run, catalog)?;
    let zone = run.zone;
    let local = |row: &SnapshotRow| LocalSnapshot {
        id: row.id,
        name: row.name,
        at: taken_at(row, zone),
        pin: match pinned.get(&row.id) {
            Some(pin) => *pin,
            None if row.local_parent.is_none() => Pin::NotOurs,
            None => Pin::Free,
        },
    };
    let run = KeepRun {
        date: run.date,
        now: run.now,
        confirmed: run.confirmed.is_some(),
    };
    let snapshots = rows.iter().map(local).collect();
    Ok(plan_snapshots(snapshots, source.keep_snapshots, run))
}

/// Deletes the snapshots that the source no longer keeps in this run, and returns how many. Warns once of what is not
/// deleted although it has expired.
pub(in crate::engine) fn retain(
    source: &Source,
    run: Retaining,
    catalog: &mut Catalog,
    tools: &Tools,
    context: RunContext<'_>,
) -> Result<usize, Error> {
    let (rows, gone) = existing(source, catalog)?;
    forget(source, gone, &rows, run, catalog, context)?;
    let plan = plan(source, &rows, run, catalog)?;
    if let Some(confirmed) = run.confirmed {
        require_confirmed(source, confirmed, &plan)?;
    }
    let withheld = plan.withheld.as_ref();
    let message = withheld.map(|why| withheld_in_words(&source.name, why));
    context.warn_once(
        &source.name,
        "snapshots that are not deleted",
        &message.unwrap_or_default(),
        catalog,
    )?;
    let mut undeleted = Vec::new();
    let mut deleted = 0;
    for (expired, reason) in plan.deleted() {
        let row = rows.iter().find(|row| row.id == expired.id);
        let row = row.expect("what expires is among the snapshots");
        let presence = match presence(row) {
            Ok(presence) => presence,
            Err(error) => {
                undeleted.push(error);
                continue;
            }
        };
        match presence {
            // Its directory is not mounted, or something is mounted over it.
            SnapshotPresence::Gone | SnapshotPresence::Replaced
                if stands_elsewhere(source, row) =>
            {
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
                    Ok(()) => {
                        deleted += 1;
                        context.observer.event(Event::SnapshotDeleted {
                            source: source.name.clone(),
                            name: row.name,
                            reason: reason.to_owned(),
                        });
                    }
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
    Ok(deleted)
}

/// Forgets snapshots that are gone once they would have been deleted. Until then another disk may be mounted in the
/// place of theirs.
fn forget(
    source: &Source,
    gone: Vec<SnapshotRow>,
    standing: &[SnapshotRow],
    run: Retaining,
    catalog: &mut Catalog,
    context: RunContext<'_>,
) -> Result<(), Error> {
    if gone.is_empty() {
        return Ok(());
    }
    let ids: Vec<i64> = gone.iter().map(|row| row.id).collect();
    let all = [gone, standing.to_vec()].concat();
    for (expired, _) in plan(source, &all, run, catalog)?.deleted() {
        if ids.contains(&expired.id) {
            catalog.forget_snapshot(expired.id, Timestamp(context.clock.now()))?;
        }
    }
    Ok(())
}

/// Fails unless the user has confirmed just what would be deleted.
fn require_confirmed(source: &Source, confirmed: usize, plan: &SnapshotPlan) -> Result<(), Error> {
    let expiring = plan.expiring().count();
    if confirmed == expiring {
        return Ok(());
    }
    Err(Error::Snapshots(SnapshotError::OtherNumber {
        source_name: source.name.clone(),
        confirmed,
        expiring,
    }))
}

/// Returns why expired snapshots are not deleted, and what to do. The words stay the same from night to night, so
/// that they are said once.
pub fn withheld_in_words(source: &SourceName, withheld: &Withheld) -> String {
    match withheld {
        Withheld::ClockBehind { newest } => format!(
            "the clock is behind the newest snapshot, {newest}, so no snapshot is deleted: check the clock"
        ),
        Withheld::TooMany { .. } => format!(
            "more than half of the snapshots have expired, so none is deleted: run `coldchain snapshots {source} --plan` \
             to see them and how to delete them"
        ),
        Withheld::Silence { last, .. } => format!(
            "the newest snapshot before this run is of {last}, so the clock may have jumped, and no snapshot is deleted \
             for its age: check the clock"
        ),
    }
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

fn presence(row: &SnapshotRow) -> Result<SnapshotPresence, BtrfsError> {
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

/// Returns the snapshots that must stay, by row: those of the newest archive, of every attempt that is not over, and
/// of the send parents of those attempts; those that mirrors need.
fn pinned(
    source: &Source,
    rows: &[SnapshotRow],
    run: Retaining,
    catalog: &Catalog,
) -> Result<HashMap<i64, Pin>, Error> {
    let archives = match catalog.source(&source.name)? {
        Some(row) => catalog.archives(&row.ledger)?,
        None => Vec::new(),
    };
    let newest = archives
        .iter()
        .filter(|archive| archive.is_visible())
        .max_by_key(|archive| archive.date);
    let mut needed: Vec<_> = newest
        .map(|archive| (archive.id, Pin::SendParent))
        .into_iter()
        .collect();
    for attempt in &archives {
        if matches!(
            attempt.state,
            ArchiveState::Unfinished | ArchiveState::Committing
        ) {
            needed.push((attempt.id, Pin::Attempt));
            needed.extend(attempt.send_parent.map(|parent| (parent, Pin::Attempt)));
        }
    }
    let of = |(id, pin): (ArchiveId, Pin)| {
        let archive = archives.iter().find(|archive| archive.id == id)?;
        Some((archive.snapshot?, pin))
    };
    let mut pinned: HashMap<i64, Pin> = needed.into_iter().filter_map(of).collect();
    let newest = rows
        .iter()
        .max_by_key(|row| (taken_at(row, run.zone), row.name));
    if let Some(newest) = newest
        && (source.store.is_none() || !source.held_for.is_empty())
        && newest.local_parent.is_some()
    {
        pinned.entry(newest.id).or_insert(Pin::Newest);
    }
    for held in &source.held_for {
        for snapshot in held_for_mirror(source, held, rows, run, catalog)? {
            pinned.entry(snapshot).or_insert(Pin::Mirror);
        }
    }
    Ok(pinned)
}

/// Returns the snapshots that a mirror needs: the one that is being sent, and the newest that it has, until the hold is
/// over.
fn held_for_mirror(
    source: &Source,
    held: &HeldFor,
    rows: &[SnapshotRow],
    run: Retaining,
    catalog: &Catalog,
) -> Result<Vec<i64>, Error> {
    let Some(mirror) = catalog.mirror(&source.name, &held.to)? else {
        return Ok(Vec::new());
    };
    let sending = rows
        .iter()
        .filter(|row| Some(row.local_uuid) == mirror.sending)
        .map(|row| row.id);
    let mut needed: Vec<i64> = sending.collect();
    let mirrored = catalog.mirrored(mirror.id)?;
    let both = rows.iter().filter_map(|row| {
        let stream_uuid = row.local_received.unwrap_or(row.local_uuid);
        let copy = mirrored.iter().find(|it| it.stream_uuid == stream_uuid)?;
        Some((row, copy.mirrored_at))
    });
    let newest = both.max_by_key(|(row, _)| (taken_at(row, run.zone), row.name));
    if let Some((row, mirrored_at)) = newest {
        let since = mirror
            .reached_at
            .map_or(mirrored_at.0, |it| it.0.max(mirrored_at.0));
        let age = run.now.signed_duration_since(since).to_std();
        // A clock that is behind does not end the hold.
        if age.is_ok_and(|age| age <= held.hold) || age.is_err() {
            needed.push(row.id);
        }
    }
    Ok(needed)
}
