//! The snapshots of a source as they stand: their age and sizes, and why each is kept.

use std::path::{Path, PathBuf};

use chrono::{DateTime, FixedOffset, NaiveDate};

use crate::btrfs::{self, QuotaSizes};
use crate::catalog::{Catalog, SnapshotRow};
use crate::config::{Config, Source};
use crate::engine::context::RunContext;
use crate::engine::snapshots::retention::{self, Retaining};
use crate::engine::snapshots::standing;
use crate::error::Error;
use crate::model::entry::Timestamp;
use crate::model::{ArchiveId, SnapshotName, Uuid};
use crate::plan::{ExpiredSnapshot, KeepFate, Withheld};

/// The snapshots of a source.
#[derive(Debug)]
pub struct SnapshotsOverview {
    /// Those that the catalog knows, oldest first.
    pub known: Vec<KnownSnapshot>,
    /// Subvolumes that have a snapshot's name, and that coldchain neither made nor uses.
    pub unknown: Vec<PathBuf>,
    /// The links to the newest one, each with what it names; `None` if it does not exist.
    pub links: Vec<(String, Option<String>)>,
    /// Why those that have expired are not deleted, if they aren't.
    pub withheld: Option<Withheld>,
}

/// A snapshot that the catalog knows.
#[derive(Debug)]
pub struct KnownSnapshot {
    /// Its name.
    pub name: SnapshotName,
    /// Where it is.
    pub path: PathBuf,
    /// The uuid in its stream, which its copies have too.
    pub stream_uuid: Uuid,
    /// When it was taken.
    pub taken_at: DateTime<FixedOffset>,
    /// What is wrong with it, if anything is: it is gone, or was changed.
    pub fault: Option<String>,
    /// The archive that was made of it.
    pub archive: Option<ArchiveId>,
    /// Its sizes, where quotas know them.
    pub sizes: Option<QuotaSizes>,
    /// Whether it stays, and why.
    pub fate: KeepFate,
}

/// Looks at the snapshots of a source. Changes nothing.
pub fn look_at_snapshots(
    config: &Config,
    source: &Source,
    catalog: &Catalog,
    context: RunContext<'_>,
) -> Result<SnapshotsOverview, Error> {
    let (rows, gone) = retention::existing(source, catalog)?;
    let run = Retaining::of_today(config, context);
    let plan = retention::plan(source, &rows, run, catalog)?;
    let archives = match catalog.source(&source.name)? {
        Some(row) => catalog.visible(&row.ledger)?,
        None => Vec::new(),
    };
    let of_plan = plan.fates.into_iter().map(|planned| {
        let row = rows.iter().find(|row| row.id == planned.id);
        (row.expect("the plan is of these"), planned.fate)
    });
    let no_more = KeepFate::Expires("it is gone".to_owned());
    let of_gone = gone.iter().map(|row| (row, no_more.clone()));
    let known = of_plan.chain(of_gone).map(|(row, fate)| {
        let archive = archives.iter().find(|it| it.snapshot == Some(row.id));
        Ok(KnownSnapshot {
            name: row.name,
            path: row.path.clone(),
            stream_uuid: row.local_received.unwrap_or(row.local_uuid),
            taken_at: retention::taken_at(row, config.timezone),
            fault: standing::check(row)?.err(),
            archive: archive.map(|archive| archive.id),
            sizes: btrfs::quota_sizes(&row.path),
            fate,
        })
    });
    let known = known.collect::<Result<Vec<_>, Error>>()?;
    let directory = source.live.as_ref().map(|live| live.snapshots.as_path());
    Ok(SnapshotsOverview {
        known,
        unknown: directory.map_or_else(Vec::new, |directory| unknown(directory, &rows)),
        links: directory.map_or_else(Vec::new, |directory| links(directory, &source.links)),
        withheld: plan.withheld,
    })
}

/// Returns why expired snapshots of a source are not deleted now, in words; `None` if nothing holds them back.
pub fn withheld_now(
    config: &Config,
    source: &Source,
    catalog: &Catalog,
    context: RunContext<'_>,
) -> Result<Option<String>, Error> {
    let (rows, _) = retention::existing(source, catalog)?;
    let run = Retaining::of_today(config, context);
    let plan = retention::plan(source, &rows, run, catalog)?;
    let withheld = plan.withheld.as_ref();
    Ok(withheld.map(|why| retention::withheld_in_words(&source.name, why)))
}

/// Returns the snapshots that a run of this date would delete, oldest first, each with the reason; none if the deletion
/// would be withheld.
pub fn foresee_expired(
    config: &Config,
    source: &Source,
    date: NaiveDate,
    catalog: &Catalog,
    context: RunContext<'_>,
) -> Result<Vec<ExpiredSnapshot>, Error> {
    let Some(live) = &source.live else {
        return Ok(Vec::new());
    };
    let (mut rows, _) = retention::existing(source, catalog)?;
    let tonight = SnapshotName::of_date(date);
    if rows.iter().all(|row| row.name != tonight) {
        // The snapshot that the run will have taken.
        let not_made = Uuid([0; 16]);
        rows.push(SnapshotRow {
            id: 0,
            name: tonight,
            made_at: Timestamp(context.clock.now()),
            path: live.snapshots.join(tonight.to_string()),
            local_uuid: not_made,
            local_received: None,
            local_ctransid: 0,
            local_parent: Some(not_made),
        });
    }
    let mut run = Retaining::of_date(date, config, context);
    // A night to come is planned as if it had come.
    run.now = run.now.max(tonight.moment(&config.timezone).fixed_offset());
    let plan = retention::plan(source, &rows, run, catalog)?;
    let deleted = plan.deleted().map(|(it, reason)| ExpiredSnapshot {
        name: it.name,
        reason: reason.to_owned(),
    });
    Ok(deleted.collect())
}

/// Returns the subvolumes of a directory that have a snapshot's name and are not among `rows`.
fn unknown(directory: &Path, rows: &[SnapshotRow]) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let mut unknown: Vec<PathBuf> = entries
        .map(|entry| entry.path())
        .filter(|path| {
            let name = path.file_name().and_then(|name| name.to_str());
            let is_named = name.is_some_and(|name| name.parse::<SnapshotName>().is_ok());
            let identity = (is_named && !path.is_symlink()).then(|| btrfs::identity(path).ok());
            identity
                .flatten()
                .is_some_and(|identity| rows.iter().all(|row| row.local_uuid != identity.uuid))
        })
        .collect();
    unknown.sort();
    unknown
}

fn links(directory: &Path, names: &[String]) -> Vec<(String, Option<String>)> {
    let target = |name: &String| {
        let target = directory.join(name).read_link().ok()?;
        Some(target.to_string_lossy().into_owned())
    };
    names
        .iter()
        .map(|name| (name.clone(), target(name)))
        .collect()
}
