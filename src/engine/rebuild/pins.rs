//! Finding the snapshots again that archives were sent from: the next incremental needs one.
//!
//! A snapshot is told by its uuids and its ctransid, never by its name: only what an archive was sent
//! from counts, and what the catalog of before knew and still stands.

use std::collections::HashSet;
use std::path::PathBuf;

use crate::btrfs;
use crate::catalog::{Catalog, NewSnapshot, SourceRow};
use crate::config::Source;
use crate::engine::snapshot::check;
use crate::engine::world::World;
use crate::error::Error;
use crate::model::entry::Timestamp;
use crate::model::ids::parse_date;
use crate::model::{SubvolumeIdentity, Uuid};

/// Records the snapshots of a source that still stand, ties archives to theirs, and returns how many it tied.
pub(super) fn regain(
    source: &Source,
    row: &SourceRow,
    before: Option<&Catalog>,
    new: &mut Catalog,
    world: World<'_>,
) -> Result<u64, Error> {
    let now = Timestamp(world.clock.now());
    let mut recorded: HashSet<Uuid> = HashSet::new();
    if let Some(before) = before {
        let known = before.sources()?;
        for old in known.iter().filter(|old| old.ledger == row.ledger) {
            for snapshot in before.snapshots(&old.name)? {
                if let Ok(identity) = check(&snapshot)?
                    && recorded.insert(identity.uuid)
                {
                    new.add_snapshot(&NewSnapshot {
                        source: &row.name,
                        date: snapshot.date,
                        path: &snapshot.path,
                        identity: &identity,
                        made_at: now,
                    })?;
                }
            }
        }
    }
    let archived: HashSet<Uuid> = new
        .archives(&row.ledger)?
        .iter()
        .filter_map(|archive| archive.stream_uuid)
        .collect();
    for (path, identity) in standing(source) {
        let date = path
            .file_name()
            .and_then(|name| parse_date(name.to_str()?).ok());
        if let Some(date) = date
            && archived.contains(&identity.stream_uuid())
            && recorded.insert(identity.uuid)
        {
            new.add_snapshot(&NewSnapshot {
                source: &row.name,
                date,
                path: &path,
                identity: &identity,
                made_at: now,
            })?;
        }
    }
    Ok(new.link_snapshots(&row.ledger)? as u64)
}

/// The read-only subvolumes in the source's directory of snapshots. What can't be looked at is not there.
fn standing(source: &Source) -> Vec<(PathBuf, SubvolumeIdentity)> {
    let Some(live) = &source.live else {
        return Vec::new();
    };
    let Ok(entries) = std::fs::read_dir(&live.snapshots) else {
        return Vec::new();
    };
    let mut found: Vec<_> = entries
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let identity = btrfs::identity(&path).ok()?;
            identity.read_only.then_some((path, identity))
        })
        .collect();
    found.sort_by(|(one, _), (other, _)| one.cmp(other));
    found
}
