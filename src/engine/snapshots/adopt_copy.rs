//! Adopts a restored copy of a mirror, for a source that has no store: its mirrors then go on with increments.
//!
//! What was received has the stream uuid of its copy, so both sides have it in common, and the next snapshot can be sent
//! against it.

use std::fs;
use std::path::{Path, PathBuf};

use crate::btrfs;
use crate::catalog::{Catalog, MirroredRow, NewSnapshot};
use crate::config::{Config, Source};
use crate::engine::context::RunContext;
use crate::engine::context::state_dir::StateDir;
use crate::engine::snapshots::adopt::{is_beside, warning_of_full};
use crate::engine::snapshots::standing;
use crate::error::{Error, SnapshotError};
use crate::model::entry::Timestamp;
use crate::model::{SnapshotName, SubvolumeIdentity};

/// The result of an adoption.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdoptedCopy {
    /// The snapshot's name.
    pub name: SnapshotName,
    /// Where it is.
    pub path: PathBuf,
    /// Whether this changed anything.
    pub news: bool,
    /// Why the next snapshot is sent in full, if it is.
    pub warning: Option<String>,
}

/// Adopts the newest restored copy in `directory`, or in the directory with the source's name in it.
pub fn adopt_copy(
    config: &Config,
    source: &Source,
    directory: &Path,
    context: RunContext<'_>,
) -> Result<AdoptedCopy, Error> {
    let state_dir = StateDir::new(&config.state_dir);
    // First the catalog: on a new machine this makes the directory of the lock too.
    let mut catalog = context.catalog(&state_dir)?;
    let _lock = state_dir.lock(&source.name, &context)?;
    let recorded = recorded(config, source, &catalog)?;
    let nothing = || {
        Error::Snapshots(SnapshotError::NoCopyToAdopt {
            source_name: source.name.clone(),
            path: directory.to_owned(),
        })
    };
    let (name, path) = newest(directory, source, &recorded)?.ok_or_else(nothing)?;
    let path = fs::canonicalize(&path).map_err(|error| Error::file("look at", &path, error))?;
    if let Some(live) = &source.live
        && !is_beside(source, &path)?
    {
        return Err(Error::Snapshots(SnapshotError::AdoptedElsewhere {
            path,
            subvolume: live.subvolume.clone(),
        }));
    }
    // Sync before reading the ctransid: the last writes of the receive may still change it.
    btrfs::sync(&path)?;
    let identity = btrfs::identity(&path)?;
    let rows = catalog.snapshots(&source.name)?;
    let adopted = |news| AdoptedCopy {
        name,
        path: path.clone(),
        news,
        warning: warning_of_full(source, &path, "snapshot"),
    };
    if rows.iter().any(|row| row.local_uuid == identity.uuid) {
        return Ok(adopted(false));
    }
    let now = Timestamp(context.clock.now());
    for row in rows.iter().filter(|row| row.name == name) {
        if standing::exists(&row.path)? && is_beside(source, &row.path)? {
            return Err(standing::in_the_way(
                &row.path,
                "the catalog has it as the snapshot of that name".to_owned(),
            ));
        }
        catalog.forget_snapshot(row.id, now)?;
    }
    catalog.add_snapshot(&NewSnapshot {
        source: &source.name,
        name,
        path: &path,
        identity: &identity,
        // coldchain did not take it, so retention never deletes it.
        taken_of: None,
        made_at: now,
    })?;
    Ok(adopted(true))
}

/// Returns what is recorded of the copies of a source.
fn recorded(
    config: &Config,
    source: &Source,
    catalog: &Catalog,
) -> Result<Vec<MirroredRow>, Error> {
    let mut recorded = Vec::new();
    for mirror in config.mirrors_of(source) {
        if let Some(row) = catalog.mirror(&mirror.name, &mirror.to)? {
            recorded.extend(catalog.mirrored(row.id)?);
        }
    }
    Ok(recorded)
}

/// Returns the newest restored copy below a directory. Where copies are recorded, it is one of these.
fn newest(
    directory: &Path,
    source: &Source,
    recorded: &[MirroredRow],
) -> Result<Option<(SnapshotName, PathBuf)>, Error> {
    let below = directory.join(source.name.as_str());
    let directory = if standing::exists(&below)? {
        below
    } else {
        directory.to_owned()
    };
    let failed = |error| Error::file("list", &directory, error);
    let mut newest = None;
    for entry in fs::read_dir(&directory).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name();
        let Some(name) = name.to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        let is_copy = |it: SubvolumeIdentity| {
            let is_known = |row: &MirroredRow| Some(row.stream_uuid) == it.received_uuid;
            let is_known = recorded.is_empty() || recorded.iter().any(is_known);
            it.read_only && it.received_uuid.is_some() && is_known
        };
        let path = entry.path();
        if !path.is_symlink()
            && btrfs::identity(&path).is_ok_and(is_copy)
            && newest.as_ref().is_none_or(|(other, _)| *other < name)
        {
            newest = Some((name, path));
        }
    }
    Ok(newest)
}
