//! Adopts a restored archive as the send parent of the next one, so that a chain continues from another disk.
//!
//! A received subvolume carries the uuid of its stream. So an incremental that is sent against it names the
//! archive's own uuid, and can be received wherever that archive was restored. Only its ctransid is local;
//! the catalog records it.

use std::path::{Path, PathBuf};

use chrono::NaiveDate;

use crate::btrfs;
use crate::catalog::{Catalog, Link, NewSnapshot, SnapshotRow};
use crate::config::{Config, Source};
use crate::engine::backup::facts::history;
use crate::engine::context::RunContext;
use crate::engine::context::state_dir::StateDir;
use crate::engine::snapshots::standing;
use crate::error::{Error, RequestError, SnapshotError};
use crate::model::entry::Timestamp;
use crate::model::{ArchiveId, shell};
use crate::plan::{RestoreRefusal, descends};

/// The result of an adoption.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Adopted {
    /// The date of the archive.
    pub date: NaiveDate,
    /// The subvolume that the next archive is sent against.
    pub path: PathBuf,
    /// Whether this changed anything. It did not if the subvolume was known already, or is the snapshot that
    /// was archived.
    pub news: bool,
    /// Why the next archive can't be an incremental, if it can't.
    pub warning: Option<String>,
}

/// Adopts the newest archive of a source. It must have been restored into `directory`, or into the directory
/// with the source's name in it.
pub fn adopt(
    config: &Config,
    source: &Source,
    directory: &Path,
    context: RunContext<'_>,
) -> Result<Adopted, Error> {
    let state_dir = StateDir::new(&config.state_dir);
    // First the catalog: on a new machine this makes the directory of the lock too.
    let mut catalog = context.catalog(&state_dir)?;
    let _lock = state_dir.lock(&source.name, &context)?;
    let row = catalog
        .source(&source.name)?
        .ok_or_else(|| RequestError::NeverArchived(source.name.clone()))?;
    let archives = catalog.visible(&row.ledger)?;
    let newest = history(archives.iter().map(Link::from))
        .newest()
        .map(|newest| newest.id);
    let newest = newest.ok_or_else(|| RestoreRefusal::Empty {
        source_name: source.name.clone(),
    })?;
    let archive = archives.iter().find(|archive| archive.id == newest);
    let archive = archive.expect("the planner chose it from these");
    let known = living(source, archive.snapshot, &catalog)?;
    if let Some(intact) = known.as_ref().filter(|(_, intact)| *intact) {
        return Ok(adopted(source, newest, intact.0.path.clone(), false));
    }
    let path = find(directory, source, newest)?;
    // Sync before reading the ctransid: the last writes of the receive may still change it.
    btrfs::sync(&path)?;
    let identity = btrfs::identity(&path)?;
    if !identity.read_only || identity.received_uuid != archive.stream_uuid {
        return Err(SnapshotError::NotRestored {
            path,
            archive: newest,
        }
        .into());
    }
    if let Some(live) = &source.live
        && !is_beside(source, &path)?
    {
        return Err(Error::Snapshots(SnapshotError::AdoptedElsewhere {
            path,
            subvolume: live.subvolume.clone(),
        }));
    }
    let now = Timestamp(context.clock.now());
    let of_date = catalog.snapshots(&source.name)?;
    let replaced = of_date.iter().find(|row| row.name == newest.date.into());
    if let Some(other) = replaced
        && standing::exists(&other.path)?
        && other.path != path
        && is_beside(source, &other.path)?
    {
        // A date has one snapshot, and this one may be all that is left of that night.
        return Err(SnapshotError::SnapshotInTheWay {
            path: other.path.clone(),
            what: "the catalog has it as the snapshot of that date".to_owned(),
        }
        .into());
    }
    let new = NewSnapshot {
        source: &source.name,
        name: newest.date.into(),
        path: &path,
        identity: &identity,
        // coldchain did not take it, so retention never deletes it.
        taken_of: None,
        made_at: now,
    };
    catalog.adopt_snapshot(&newest, &new, replaced.map(|row| row.id))?;
    Ok(adopted(source, newest, path, true))
}

/// Returns the snapshot of an archive, and whether it is unchanged and on the filesystem of the source.
fn living(
    source: &Source,
    snapshot: Option<i64>,
    catalog: &Catalog,
) -> Result<Option<(SnapshotRow, bool)>, Error> {
    let rows = catalog.snapshots(&source.name)?;
    let Some(row) = rows.into_iter().find(|row| Some(row.id) == snapshot) else {
        return Ok(None);
    };
    let intact = standing::check(&row)?.is_ok() && is_beside(source, &row.path)?;
    Ok(Some((row, intact)))
}

/// Returns whether the source can be sent against it: btrfs sends within one filesystem only.
pub(in crate::engine) fn is_beside(source: &Source, path: &Path) -> Result<bool, Error> {
    match &source.live {
        Some(live) => Ok(btrfs::filesystem_id(&live.subvolume)? == btrfs::filesystem_id(path)?),
        None => Ok(true),
    }
}

fn find(directory: &Path, source: &Source, archive: ArchiveId) -> Result<PathBuf, Error> {
    let date = archive.date.to_string();
    let below = directory.join(source.name.as_str()).join(&date);
    let path = if standing::exists(&below)? {
        below
    } else {
        directory.join(&date)
    };
    if !standing::exists(&path)? {
        return Err(SnapshotError::NotRestored { path, archive }.into());
    }
    std::fs::canonicalize(&path).map_err(|error| Error::file("look at", &path, error))
}

fn adopted(source: &Source, archive: ArchiveId, path: PathBuf, news: bool) -> Adopted {
    let warning = warning_of_full(source, &path, "archive");
    Adopted {
        date: archive.date,
        path,
        news,
        warning,
    }
}

/// Returns why what comes next can't be built on an adopted subvolume, and how to avoid that; `None` if it can.
pub(in crate::engine) fn warning_of_full(
    source: &Source,
    path: &Path,
    what: &str,
) -> Option<String> {
    source.live.as_ref().and_then(|live| {
        let adopted = btrfs::identity(path).ok()?;
        let descends = btrfs::identity(&live.subvolume).is_ok_and(|live| {
            matches!(
                descends(live.uuid, &adopted, |uuid| btrfs::find(path, uuid)),
                Ok(Some(_))
            )
        });
        (!descends).then(|| {
            let source = shell::path(&live.subvolume);
            let mut aside = live.subvolume.clone().into_os_string();
            aside.push(".before-restore");
            // Where the source is still there, btrfs would put the snapshot into it.
            format!(
                "{} does not descend from it, so the next {what} will be a full; to avoid that, replace the source by \
                 a snapshot of what was restored: run `mv {source} {}`, then `btrfs subvolume snapshot {} {source}`",
                live.subvolume.display(),
                shell::path(Path::new(&aside)),
                shell::path(path),
            )
        })
    })
}
