//! The snapshots that a mirror can be sent: a source's own, or another mirror's copies.

use std::path::{Path, PathBuf};

use chrono::{DateTime, FixedOffset};
use chrono_tz::Tz;

use crate::btrfs::{self, BtrfsError};
use crate::catalog::{Catalog, SnapshotRow};
use crate::config::{Config, MirrorConfig, MirrorOf, Source};
use crate::engine::backup::send_parent::StreamOrigin;
use crate::engine::snapshots::{retention, standing};
use crate::error::{Error, MirrorError};
use crate::model::{SnapshotName, SubvolumeIdentity};
use crate::plan::{SnapshotHere, descends};

/// A snapshot that can be sent to a mirror.
#[derive(Debug, Clone)]
pub(in crate::engine) struct Sendable {
    /// What the plan knows of it.
    pub(in crate::engine) snapshot: SnapshotHere,
    /// Where it is.
    pub(in crate::engine) path: PathBuf,
    /// Its identity, with the ctransid of the content that was recorded.
    identity: SubvolumeIdentity,
    /// Its row; `None` for another mirror's copy.
    row: Option<SnapshotRow>,
}

impl Sendable {
    pub(in crate::engine) fn name(&self) -> SnapshotName {
        self.snapshot.name
    }

    /// Returns its identity with the ctransid that its stream will carry. Fails if its content was changed.
    pub(in crate::engine) fn as_it_stands(&self) -> Result<SubvolumeIdentity, Error> {
        match &self.row {
            Some(row) => standing::as_it_stands(row),
            None => Ok(self.identity.clone()),
        }
    }

    /// Returns whether it can be sent against an older one without losing data.
    ///
    /// A snapshot of a source has to descend from the older one. Copies are received one at a time, so a later one
    /// has an inode number and the transaction that made it in common with an earlier one only if both have that inode
    /// from the same copy.
    pub(in crate::engine) fn builds_on(&self, parent: &Self) -> Result<bool, Error> {
        let (of, older) = (&self.identity, &parent.identity);
        let since = if self.row.is_some() {
            let StreamOrigin::Snapshot { of: Some(of) } = StreamOrigin::of(of) else {
                return Ok(false);
            };
            descends(of, older, |uuid| btrfs::find(&parent.path, uuid))?
        } else {
            let is_later = of.otransid > older.otransid && of.otransid > older.ctransid;
            is_later.then(|| older.otransid.max(older.ctransid) + 1)
        };
        match since {
            None => Ok(false),
            // What can't be compared is not built on.
            Some(since) => {
                Ok(btrfs::lost_ends(&self.path, &parent.path, since)
                    .is_ok_and(|lost| lost.is_empty()))
            }
        }
    }
}

/// Returns the source whose snapshots a mirror gets; `None` if it gets another mirror's copies.
pub(in crate::engine) fn source_of<'c>(
    config: &'c Config,
    mirror: &MirrorConfig,
) -> Result<Option<&'c Source>, Error> {
    match mirror.of {
        MirrorOf::Source => Ok(Some(config.source(mirror.name.as_str())?)),
        MirrorOf::Directory(_) => Ok(None),
    }
}

/// Returns the snapshots that a mirror can be sent, oldest first. One that was changed is none.
pub(in crate::engine) fn sendable(
    config: &Config,
    mirror: &MirrorConfig,
    catalog: &Catalog,
) -> Result<Vec<Sendable>, Error> {
    let zone = config.timezone;
    let mut found = match (&mirror.of, source_of(config, mirror)?) {
        (MirrorOf::Directory(path), _) => of_directory(path, mirror, zone)?,
        (MirrorOf::Source, Some(source)) => of_source(source, zone, catalog)?,
        (MirrorOf::Source, None) => Vec::new(),
    };
    found.sort_by_key(|it| (it.snapshot.at, it.snapshot.name));
    Ok(found)
}

fn of_source(source: &Source, zone: Tz, catalog: &Catalog) -> Result<Vec<Sendable>, Error> {
    let filesystem = match &source.live {
        Some(live) => Some(btrfs::filesystem_id(&live.subvolume)?),
        None => None,
    };
    let mut found = Vec::new();
    for row in standing::rows(source, catalog)? {
        let Ok(identity) = standing::check(&row)? else {
            continue;
        };
        // It stayed behind when the source moved to another disk.
        if filesystem.is_some_and(|here| btrfs::filesystem_id(&row.path).ok() != Some(here)) {
            continue;
        }
        let at = retention::taken_at(&row, zone);
        found.push(sendable_of(
            row.name,
            at,
            row.path.clone(),
            identity,
            Some(row),
        ));
    }
    Ok(found)
}

fn of_directory(path: &Path, mirror: &MirrorConfig, zone: Tz) -> Result<Vec<Sendable>, Error> {
    let entries = match std::fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(Error::Mirror(MirrorError::NothingToMirror {
                path: path.to_owned(),
                to: Box::new(mirror.to.clone()),
            }));
        }
        Err(error) => return Err(Error::file("list", path, error)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|error| Error::file("list", path, error))?;
        let name = entry.file_name();
        let Some(name) = name.to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        let path = path.join(entry.file_name());
        let identity = match btrfs::identity(&path) {
            Ok(identity) if !path.is_symlink() => identity,
            Ok(_) | Err(BtrfsError::NotASubvolume { .. } | BtrfsError::Missing { .. }) => continue,
            Err(error) => return Err(error.into()),
        };
        // Only a copy that was received whole, and not changed since.
        let is_copy = identity.read_only && identity.received_uuid.is_some();
        if is_copy && identity.ctransid <= identity.otransid {
            let name: SnapshotName = name;
            let at = name.moment(&zone).fixed_offset();
            found.push(sendable_of(name, at, path, identity, None));
        }
    }
    Ok(found)
}

fn sendable_of(
    name: SnapshotName,
    at: DateTime<FixedOffset>,
    path: PathBuf,
    identity: SubvolumeIdentity,
    row: Option<SnapshotRow>,
) -> Sendable {
    Sendable {
        snapshot: SnapshotHere {
            name,
            at,
            stream_uuid: identity.stream_uuid(),
        },
        path,
        identity,
        row,
    }
}
