//! The plain copies of a source on this machine: its snapshots, and those at mirrors that are attached.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use chrono::{DateTime, FixedOffset};
use chrono_tz::Tz;

use crate::btrfs::{self, HeldDirectory};
use crate::catalog::{Catalog, SnapshotRow};
use crate::config::{Config, MirrorConfig, Source};
use crate::engine::receive::mark::{PlaceMark, PlaceUse};
use crate::engine::restore::look_for_copies::mirrors_of;
use crate::engine::snapshots::{retention, standing};
use crate::error::{Error, in_words};
use crate::model::{MirrorLocation, SnapshotName};

/// A snapshot, or a mirror's copy of one.
#[derive(Debug, Clone)]
pub struct PlainCopy {
    /// Its name.
    pub name: SnapshotName,
    /// When it was taken.
    pub taken_at: DateTime<FixedOffset>,
    /// Its path.
    pub path: PathBuf,
    /// The number of its place: 0 for the snapshots here. Inode numbers can be compared within a place alone.
    pub place: usize,
}

/// The copies of a source that can be looked at.
#[derive(Debug, Clone, Default)]
pub struct PlainCopies {
    /// The copies, oldest first. Of a name that several places have there is the nearest.
    pub copies: Vec<PlainCopy>,
    /// What could not be looked at, and why.
    pub warnings: Vec<String>,
}

/// Looks for the copies of a source. `catalog` is `None` where this user may not read it.
pub fn plain_copies(
    config: &Config,
    source: &Source,
    catalog: Option<&Catalog>,
) -> Result<PlainCopies, Error> {
    let zone = config.timezone;
    let mut warnings = Vec::new();
    let mut found = here(source, zone, catalog, &mut warnings)?;
    for (place, mirror) in mirrors_of(config, source).into_iter().enumerate() {
        let MirrorLocation::Directory(path) = &mirror.to else {
            continue;
        };
        match at_mirror(mirror, path, catalog) {
            Ok(names) => {
                for (name, path) in names {
                    let recorded = |path: &Path| {
                        let stream = btrfs::identity(path).ok()?.received_uuid?;
                        let row = catalog?.snapshot_of_uuid(&source.name, stream).ok()??;
                        Some(retention::taken_at(&row, zone))
                    };
                    found.entry(name).or_insert_with(|| PlainCopy {
                        name,
                        taken_at: recorded(&path)
                            .unwrap_or_else(|| name.moment(&zone).fixed_offset()),
                        path,
                        place: place + 1,
                    });
                }
            }
            Err(why) => warnings.push(format!(
                "{}: the mirror {} was not looked at: {why}",
                source.name, mirror.to
            )),
        }
    }
    let mut copies: Vec<PlainCopy> = found.into_values().collect();
    copies.sort_by_key(|copy| (copy.taken_at, copy.name));
    Ok(PlainCopies { copies, warnings })
}

/// Returns the snapshots here: those of the catalog, and what else is in the directory under a snapshot's name.
fn here(
    source: &Source,
    zone: Tz,
    catalog: Option<&Catalog>,
    warnings: &mut Vec<String>,
) -> Result<BTreeMap<SnapshotName, PlainCopy>, Error> {
    let rows = match catalog {
        Some(catalog) => standing::rows(source, catalog)?,
        None => Vec::new(),
    };
    let mut paths: BTreeMap<SnapshotName, PathBuf> = BTreeMap::new();
    if let Some(live) = &source.live {
        match names_in(&live.snapshots) {
            Ok(names) => paths.extend(names),
            Err(why) => warnings.push(format!(
                "{}: could not list {}: {why}",
                source.name,
                live.snapshots.display()
            )),
        }
    }
    for row in &rows {
        paths.entry(row.name).or_insert_with(|| row.path.clone());
    }
    let mut found = BTreeMap::new();
    for (name, path) in paths {
        if path.is_symlink() {
            continue;
        }
        let Ok(identity) = btrfs::identity(&path) else {
            continue;
        };
        if !identity.read_only {
            warnings.push(format!(
                "{}: {} is writable, so it is not looked at",
                source.name,
                path.display()
            ));
            continue;
        }
        let is_it = |row: &&SnapshotRow| row.local_uuid == identity.uuid;
        let row = rows.iter().find(is_it);
        let taken_at = row.map_or_else(
            || name.moment(&zone).fixed_offset(),
            |row| retention::taken_at(row, zone),
        );
        let copy = PlainCopy {
            name,
            taken_at,
            path,
            place: 0,
        };
        found.insert(name, copy);
    }
    Ok(found)
}

/// Returns the copies at a mirror. Fails with the reason if it is not the mirror that was used before.
fn at_mirror(
    mirror: &MirrorConfig,
    path: &Path,
    catalog: Option<&Catalog>,
) -> Result<Vec<(SnapshotName, PathBuf)>, String> {
    let say = |error: &dyn std::error::Error| in_words(error);
    let root = match HeldDirectory::open(path) {
        Ok(root) => root,
        Err(btrfs::BtrfsError::Missing { .. }) => {
            return Err("there is no such directory".to_owned());
        }
        Err(error) => return Err(say(&error)),
    };
    let directory = root.enter(OsStr::new(mirror.name.as_str()));
    let Some(directory) = directory.map_err(|error| say(&error))? else {
        return Err("it has no copies of this source".to_owned());
    };
    let mark = PlaceMark::read(&directory, PlaceUse::Mirror).map_err(|error| say(&error))?;
    let row = match catalog {
        Some(catalog) => catalog
            .mirror(&mirror.name, &mirror.to)
            .map_err(|error| say(&error))?,
        None => None,
    };
    match mark {
        None => return Err("it has no mark of coldchain".to_owned()),
        Some(mark)
            if row
                .as_ref()
                .and_then(|row| row.mark)
                .is_some_and(|id| id != mark.id) =>
        {
            return Err("it has the mark of another mirror".to_owned());
        }
        Some(_) => {}
    }
    let filesystem = btrfs::filesystem_id(path).map_err(|error| say(&error))?;
    if row
        .and_then(|row| row.filesystem)
        .is_some_and(|id| id != filesystem)
    {
        return Err("it is on another filesystem".to_owned());
    }
    let names = names_in(directory.path())?;
    let is_copy = |path: &Path| {
        let identity = btrfs::identity(path);
        !path.is_symlink() && identity.is_ok_and(|it| it.read_only)
    };
    Ok(names
        .into_iter()
        .filter(|(_, path)| is_copy(path))
        .collect())
}

/// Returns what has a snapshot's name in a directory.
fn names_in(directory: &Path) -> Result<Vec<(SnapshotName, PathBuf)>, String> {
    let entries = std::fs::read_dir(directory).map_err(|error| error.to_string())?;
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|error| error.to_string())?;
        let name = entry.file_name();
        if let Some(name) = name.to_str().and_then(|name| name.parse().ok()) {
            names.push((name, entry.path()));
        }
    }
    Ok(names)
}
