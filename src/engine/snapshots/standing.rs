//! The present state of the snapshots in the catalog.

use std::path::Path;

use crate::btrfs::{self, BtrfsError};
use crate::catalog::{Catalog, SnapshotRow};
use crate::config::Source;
use crate::error::{Error, SnapshotError};
use crate::model::SubvolumeIdentity;

/// Returns the snapshots of a source that have not been deleted, oldest first, each with its present path.
/// The directory may have moved, or its filesystem may be mounted elsewhere, since they were made.
pub(in crate::engine) fn rows(
    source: &Source,
    catalog: &Catalog,
) -> Result<Vec<SnapshotRow>, Error> {
    let mut rows = catalog.snapshots(&source.name)?;
    for row in &mut rows {
        let is_it = |path: &Path| {
            path != row.path && btrfs::identity(path).is_ok_and(|it| it.uuid == row.local_uuid)
        };
        let live = source.live.as_ref();
        let moved = live.map(|live| live.snapshots.join(row.name.to_string()));
        let moved = moved.filter(|path| is_it(path));
        if let Some(path) = moved.filter(|_| !row.path.exists()) {
            row.path = path;
        }
    }
    Ok(rows)
}

pub(in crate::engine) fn in_the_place(path: &Path) -> Result<SubvolumeIdentity, Error> {
    if path.is_symlink() {
        return Err(in_the_way(path, "it is a symbolic link".to_owned()));
    }
    match btrfs::identity(path) {
        Err(BtrfsError::NotASubvolume { .. }) => {
            Err(in_the_way(path, "it is no subvolume".to_owned()))
        }
        found => Ok(found?),
    }
}

pub(in crate::engine) fn in_the_way(path: &Path, what: String) -> Error {
    Error::Snapshots(SnapshotError::SnapshotInTheWay {
        path: path.to_owned(),
        what,
    })
}

pub(in crate::engine) fn exists(path: &Path) -> Result<bool, Error> {
    match std::fs::symlink_metadata(path) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(Error::file("look at", path, error)),
    }
}

/// Returns how the content at `path` differs from that of the recorded snapshot; `None` if it does not.
/// Deduplication changes a snapshot but not its content.
pub(in crate::engine) fn difference(
    row: &SnapshotRow,
    path: &Path,
    now: &SubvolumeIdentity,
) -> Option<String> {
    // A snapshot that can't be read counts as changed.
    let is_same = |now| {
        row.is_changed(now)
            && btrfs::is_only_deduplicated(path, row.local_ctransid + 1).unwrap_or(false)
    };
    row.difference(now).filter(|_| !is_same(now))
}

/// Returns the snapshot with the ctransid that its stream will carry. Deduplication may have changed the
/// ctransid since it was recorded. Fails if the content has changed.
pub(in crate::engine) fn as_it_stands(row: &SnapshotRow) -> Result<SubvolumeIdentity, Error> {
    let identity = in_the_place(&row.path)?;
    match difference(row, &row.path, &identity) {
        None => Ok(identity),
        Some(difference) => Err(in_the_way(&row.path, difference)),
    }
}

/// Returns the snapshot of an archive, with its recorded ctransid, if it still has the content that was
/// archived. Otherwise returns in words what happened to it.
pub(in crate::engine) fn check(
    row: &SnapshotRow,
) -> Result<Result<SubvolumeIdentity, String>, Error> {
    if !exists(&row.path)? {
        return Ok(Err(format!("{} is gone", row.path.display())));
    }
    let identity = match btrfs::identity(&row.path) {
        Ok(identity) => identity,
        Err(error) => return Ok(Err(error.to_string())),
    };
    Ok(match difference(row, &row.path, &identity) {
        None => Ok(SubvolumeIdentity {
            ctransid: row.local_ctransid,
            ..identity
        }),
        Some(difference) => Err(format!("{}: {difference}", row.path.display())),
    })
}
