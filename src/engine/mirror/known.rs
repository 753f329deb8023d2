//! What the catalog knows of mirrors, as of their last runs. Nothing here looks at a mirror.

use std::collections::BTreeSet;

use chrono::{DateTime, NaiveDate, Utc};

use crate::catalog::{Catalog, MirrorRow, MirroredRow, SnapshotRow};
use crate::config::{Config, MirrorConfig, MirrorOf, Source};
use crate::engine::context::RunContext;
use crate::engine::context::clock::local_date;
use crate::engine::snapshots::retention::taken_at;
use crate::error::Error;
use crate::model::entry::Timestamp;
use crate::model::{MirrorLocation, SnapshotName, SourceName, Uuid};
use crate::plan::{KeepRun, MirrorNight, RecordedMirror, SnapshotHere, plan_mirror_night};

/// A mirror of the config, as far as the catalog knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownMirror {
    /// The name of its directory at the mirror: the source's.
    pub name: SourceName,
    /// Where it is.
    pub to: MirrorLocation,
    /// Whose snapshots it gets.
    pub of: MirrorOf,
    /// When it last had all that it has to have; `None` if it never had.
    pub reached_at: Option<Timestamp>,
    /// The copies, oldest first.
    pub copies: Vec<MirroredRow>,
    /// The snapshots that it would get now, oldest first; `None` if they are another mirror's, which the catalog does
    /// not know.
    pub waiting: Option<Vec<SnapshotName>>,
    /// The snapshot here that is being sent to it.
    pub sending: Option<SnapshotName>,
    /// The snapshot here that is kept for it; `None` if none of its copies is still here.
    pub held: Option<HeldSnapshot>,
}

/// A snapshot here that is kept because the next one for a mirror is sent against it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeldSnapshot {
    /// Its name.
    pub name: SnapshotName,
    /// When it is no longer kept for the mirror, unless a run succeeds before.
    pub until: DateTime<Utc>,
}

impl KnownMirror {
    /// Returns the newest copy.
    pub fn newest(&self) -> Option<&MirroredRow> {
        self.copies.last()
    }

    /// Returns by how many dates it is behind; `None` if the catalog can't know.
    pub fn behind(&self) -> Option<usize> {
        let waiting = self.waiting.as_ref()?;
        let dates: BTreeSet<NaiveDate> = waiting.iter().map(|name| name.date).collect();
        Some(dates.len())
    }

    /// Returns whether it has a copy of the snapshot with that stream.
    pub fn has(&self, stream_uuid: Uuid) -> bool {
        let mut copies = self.copies.iter();
        copies.any(|copy| copy.stream_uuid == stream_uuid)
    }
}

/// Returns what the catalog knows of the mirrors of a source, in the config's order.
pub fn known_mirrors(
    config: &Config,
    source: &Source,
    catalog: &Catalog,
    context: RunContext<'_>,
) -> Result<Vec<KnownMirror>, Error> {
    let mirrors = config.mirrors_of(source);
    mirrors
        .map(|mirror| known_mirror(config, mirror, catalog, context))
        .collect()
}

/// Returns what the catalog knows of a mirror.
pub fn known_mirror(
    config: &Config,
    mirror: &MirrorConfig,
    catalog: &Catalog,
    context: RunContext<'_>,
) -> Result<KnownMirror, Error> {
    let row = catalog.mirror(&mirror.name, &mirror.to)?;
    let copies = match &row {
        Some(row) => catalog.mirrored(row.id)?,
        None => Vec::new(),
    };
    let rows = match mirror.of {
        MirrorOf::Source => catalog.snapshots(&mirror.name)?,
        MirrorOf::Directory(_) => Vec::new(),
    };
    let waiting = match mirror.of {
        MirrorOf::Source => {
            let here = here(&rows, config);
            let recorded = recorded(config, mirror, row.as_ref(), &copies);
            let today = local_date(context.clock.now(), config.timezone);
            let run = keep_run(today, config, context);
            Some(plan_mirror_night(&here, &recorded, run).send)
        }
        MirrorOf::Directory(_) => None,
    };
    let sending = row.as_ref().and_then(|row| row.sending);
    let sending = rows.iter().find(|it| Some(it.local_uuid) == sending);
    let reached_at = row.as_ref().and_then(|row| row.reached_at);
    Ok(KnownMirror {
        name: mirror.name.clone(),
        to: mirror.to.clone(),
        of: mirror.of.clone(),
        reached_at,
        waiting,
        sending: sending.map(|row| row.name),
        held: held(&rows, &copies, reached_at, mirror, config),
        copies,
    })
}

/// Returns what a run of this date would send to each mirror of a source, as of the last runs.
pub fn foresee_mirrors(
    config: &Config,
    source: &Source,
    date: NaiveDate,
    catalog: &Catalog,
    context: RunContext<'_>,
) -> Result<Vec<MirrorNight>, Error> {
    if source.held_for.is_empty() {
        return Ok(Vec::new());
    }
    let mut here = here(&catalog.snapshots(&source.name)?, config);
    let tonight = SnapshotName::of_date(date);
    if here.iter().all(|it| it.name != tonight) {
        here.push(SnapshotHere {
            name: tonight,
            at: tonight.moment(&config.timezone).fixed_offset(),
            // It is not made yet, so no copy has its uuid.
            stream_uuid: Uuid([0; 16]),
        });
    }
    here.retain(|it| it.name.date <= date);
    let mut run = keep_run(date, config, context);
    // A night to come is planned as if it had come.
    run.now = run.now.max(tonight.moment(&config.timezone).fixed_offset());
    let nights = config.mirrors_of(source).map(|mirror| {
        let row = catalog.mirror(&mirror.name, &mirror.to)?;
        let copies = match &row {
            Some(row) => catalog.mirrored(row.id)?,
            None => Vec::new(),
        };
        let recorded = recorded(config, mirror, row.as_ref(), &copies);
        Ok(plan_mirror_night(&here, &recorded, run))
    });
    nights.collect()
}

fn here(rows: &[SnapshotRow], config: &Config) -> Vec<SnapshotHere> {
    let one = |row: &SnapshotRow| SnapshotHere {
        name: row.name,
        at: taken_at(row, config.timezone),
        stream_uuid: row.local_received.unwrap_or(row.local_uuid),
    };
    let mut here: Vec<SnapshotHere> = rows.iter().map(one).collect();
    here.sort_by_key(|it| (it.at, it.name));
    here
}

fn recorded(
    config: &Config,
    mirror: &MirrorConfig,
    row: Option<&MirrorRow>,
    copies: &[MirroredRow],
) -> RecordedMirror {
    let copy = |copy: &MirroredRow| {
        let at = copy.name.moment(&config.timezone).fixed_offset();
        (copy.name, at, copy.stream_uuid)
    };
    RecordedMirror {
        to: mirror.to.clone(),
        keep: mirror.keep,
        copies: row.map(|_| copies.iter().map(copy).collect()),
    }
}

fn keep_run(date: NaiveDate, config: &Config, context: RunContext<'_>) -> KeepRun {
    KeepRun {
        date,
        now: context
            .clock
            .now()
            .with_timezone(&config.timezone)
            .fixed_offset(),
        confirmed: true,
    }
}

/// Returns the newest snapshot here that the mirror has, and until when it is kept for it.
fn held(
    rows: &[SnapshotRow],
    copies: &[MirroredRow],
    reached_at: Option<Timestamp>,
    mirror: &MirrorConfig,
    config: &Config,
) -> Option<HeldSnapshot> {
    let both = rows.iter().filter_map(|row| {
        let stream_uuid = row.local_received.unwrap_or(row.local_uuid);
        let copy = copies.iter().find(|it| it.stream_uuid == stream_uuid)?;
        Some((row, copy.mirrored_at))
    });
    let (row, mirrored_at) =
        both.max_by_key(|(row, _)| (taken_at(row, config.timezone), row.name))?;
    let since = reached_at.map_or(mirrored_at.0, |it| it.0.max(mirrored_at.0));
    Some(HeldSnapshot {
        name: row.name,
        until: since.checked_add_signed(chrono::TimeDelta::from_std(mirror.hold).ok()?)?,
    })
}
