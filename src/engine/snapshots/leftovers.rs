//! Snapshots that a run made but could not name, for example on a disk whose metadata is full.
//!
//! Such a run removes its own leftover. The next run removes what it could not remove, and what a crash left:
//! only snapshots whose uuid is in the catalog as made by coldchain, and the one that the catalog has as being made.

use std::ffi::OsStr;
use std::path::PathBuf;

use crate::btrfs::{self, Tools};
use crate::catalog::{ArchiveRow, Catalog};
use crate::config::{Config, Source};
use crate::engine::context::RunContext;
use crate::engine::context::state_dir::StateDir;
use crate::engine::snapshots::retention::warn_of_undeleted;
use crate::error::Error;
use crate::model::entry::Timestamp;
use crate::model::{SnapshotName, Uuid};
use crate::progress::Event;

/// The first part of the name of a snapshot that has no final name yet. That name follows.
pub(in crate::engine) const UNNAMED: &str = ".coldchain-new-";

/// A snapshot that still has its temporary name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leftover {
    /// Its path.
    pub path: PathBuf,
    /// The name that it was to have.
    pub name: SnapshotName,
    made: Option<MadeHere>,
}

/// The subject of the catalog's note with the name of the snapshot that is being made.
pub(in crate::engine) const IN_THE_MAKING: &str = "snapshot in the making";

/// The catalog's record of a snapshot that coldchain made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct MadeHere {
    /// Its row; `None` if the run died before it was recorded.
    row: Option<i64>,
    uuid: Uuid,
    taken_of: Uuid,
}

impl Leftover {
    /// Returns whether the catalog knows that coldchain made it. Any other is never deleted.
    pub fn is_ours(&self) -> bool {
        self.made.is_some()
    }

    /// Returns what it is, in words.
    pub fn reason(&self) -> &'static str {
        if self.is_ours() {
            "a run made this snapshot and could not give it its name"
        } else {
            "it has the name of an unfinished snapshot, but nothing shows that coldchain made it: \
             delete it with `btrfs subvolume delete` if you don't need it"
        }
    }
}

/// Returns the leftovers in the directory of a source's snapshots, by name. Skips those that it can't look
/// at.
pub(in crate::engine) fn leftovers(
    source: &Source,
    catalog: &Catalog,
) -> Result<Vec<Leftover>, Error> {
    let entries = source
        .live
        .as_ref()
        .and_then(|live| std::fs::read_dir(&live.snapshots).ok());
    let mut archives = None;
    let being_made = catalog.told(&source.name, IN_THE_MAKING)?;
    let live = source.live.as_ref();
    let origin = live.and_then(|live| btrfs::identity(&live.subvolume).ok());
    let mut found = Vec::new();
    for entry in entries.into_iter().flatten().flatten() {
        let path = entry.path();
        let Some(name) = path.file_name().and_then(name_to_be) else {
            continue;
        };
        let Some(identity) = btrfs::identity(&path).ok().filter(|_| !path.is_symlink()) else {
            continue;
        };
        let row = catalog.snapshot_of_uuid(&source.name, identity.uuid)?;
        let recorded = row.as_ref().and_then(|row| {
            Some(MadeHere {
                row: Some(row.id),
                uuid: row.local_uuid,
                taken_of: row.local_parent?,
            })
        });
        let made = recorded.or_else(|| {
            let origin = origin.as_ref()?.uuid;
            let is_being_made = being_made.as_deref() == Some(&name.to_string())
                && identity.read_only
                && identity.parent_uuid == Some(origin);
            is_being_made.then_some(MadeHere {
                row: None,
                uuid: identity.uuid,
                taken_of: origin,
            })
        });
        // There is seldom any, and a source may have thousands of archives.
        let archives = match &mut archives {
            Some(archives) => archives,
            archives => archives.insert(archives_of(source, catalog)?),
        };
        // The power failed just after it was named. The run for its name names it again.
        let is_archived = |made: MadeHere| {
            made.row.is_some() && archives.iter().any(|it| it.snapshot == made.row)
        };
        if !made.is_some_and(is_archived) {
            found.push(Leftover { path, name, made });
        }
    }
    found.sort_by_key(|leftover| leftover.name);
    Ok(found)
}

fn archives_of(source: &Source, catalog: &Catalog) -> Result<Vec<ArchiveRow>, Error> {
    Ok(match catalog.source(&source.name)? {
        Some(row) => catalog.archives(&row.ledger)?,
        None => Vec::new(),
    })
}

/// Returns the final name in a temporary one.
fn name_to_be(name: &OsStr) -> Option<SnapshotName> {
    name.to_str()?.strip_prefix(UNNAMED)?.parse().ok()
}

/// Returns the leftovers of every source, for a command that only reads. Ignores errors of the catalog: other
/// commands report them.
pub fn leftovers_of_all(config: &Config) -> Vec<(&Source, Leftover)> {
    let Ok(catalog) = StateDir::new(&config.state_dir).catalog_to_read() else {
        return Vec::new();
    };
    let of_source = |source| {
        let found = leftovers(source, &catalog).unwrap_or_default();
        found.into_iter().map(move |leftover| (source, leftover))
    };
    config.sources.iter().flat_map(of_source).collect()
}

/// Deletes the leftovers that coldchain made, and returns the deleted ones. Warns of those that it can't
/// delete. If the reason is a lack of space, fails: the next snapshot would become a leftover too.
pub(in crate::engine) fn remove(
    source: &Source,
    leftovers: Vec<Leftover>,
    catalog: &mut Catalog,
    tools: &Tools,
    context: RunContext<'_>,
) -> Result<Vec<Leftover>, Error> {
    let (mut gone, mut stay) = (Vec::new(), Vec::new());
    for leftover in leftovers {
        let Some(made) = leftover.made else {
            continue;
        };
        match btrfs::snapshots::delete(tools, &leftover.path, made.uuid, made.taken_of) {
            Ok(()) => {
                if let Some(row) = made.row {
                    catalog.forget_snapshot(row, Timestamp(context.clock.now()))?;
                }
                context.observer.event(Event::SnapshotDeleted {
                    source: source.name.clone(),
                    name: leftover.name,
                    reason: leftover.reason().to_owned(),
                });
                gone.push(leftover);
            }
            Err(error) if error.is_stopping() || error.is_lack_of_space() => {
                return Err(error.into());
            }
            Err(error) => stay.push(error),
        }
    }
    warn_of_undeleted(source, &stay, context);
    Ok(gone)
}
