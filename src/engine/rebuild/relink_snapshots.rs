//! Finds the snapshots again that archives were sent from: the next incremental needs one.
//!
//! A snapshot is identified by its uuids and its ctransid, never by its name. Only two kinds count: snapshots
//! that an archive was sent from, and snapshots that the old catalog knows and that still exist.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use crate::btrfs;
use crate::catalog::{Catalog, NewSnapshot, SourceRow};
use crate::config::Source;
use crate::engine::context::RunContext;
use crate::engine::snapshots::standing::check;
use crate::error::Error;
use crate::model::entry::Timestamp;
use crate::model::{SnapshotName, SubvolumeIdentity, Uuid};

/// The snapshots of a source that were found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Regained {
    /// How many archives were linked to their snapshots.
    pub(super) tied: u64,
    /// How many snapshots are of unknown origin.
    pub(super) of_unknown_origin: u64,
}

/// Records the snapshots of a source that still exist, and links archives to theirs.
///
/// Only the old catalog can say that coldchain made a snapshot. Any other one may be used as a send parent
/// but is never deleted: another tool or a restore may have made it.
pub(super) fn regain(
    source: &Source,
    row: &SourceRow,
    before: Option<&Catalog>,
    new: &mut Catalog,
    context: RunContext<'_>,
) -> Result<Regained, Error> {
    let now = Timestamp(context.clock.now());
    let mut ours: HashSet<Uuid> = HashSet::new();
    let mut names: HashSet<SnapshotName> = HashSet::new();
    let archived: HashMap<Uuid, u64> = new
        .archives(&row.ledger)?
        .iter()
        .filter_map(|archive| Some((archive.stream_uuid?, archive.stream_ctransid?)))
        .collect();
    let mut of_unknown_origin = 0;
    if let Some(before) = before {
        let known = before.sources()?;
        for old in known.iter().filter(|old| old.ledger == row.ledger) {
            for snapshot in before.snapshots(&old.name)? {
                if let Ok(mut identity) = check(&snapshot)?
                    && ours.insert(identity.uuid)
                {
                    identity.ctransid = archived_ctransid(&identity, &snapshot.path, &archived);
                    names.insert(snapshot.name);
                    new.add_snapshot(&NewSnapshot {
                        source: &row.name,
                        name: snapshot.name,
                        path: &snapshot.path,
                        identity: &identity,
                        taken_of: snapshot.local_parent,
                        made_at: snapshot.made_at,
                    })?;
                    of_unknown_origin += u64::from(snapshot.local_parent.is_none());
                }
            }
        }
    }
    let live = source.live.as_ref();
    let origin = live.and_then(|live| btrfs::identity(&live.subvolume).ok());
    for (path, name, mut identity) in standing(source) {
        if ours.contains(&identity.uuid) {
            continue;
        }
        let is_sent = archived.contains_key(&identity.stream_uuid());
        identity.ctransid = archived_ctransid(&identity, &path, &archived);
        if is_sent && names.insert(name) {
            new.add_snapshot(&NewSnapshot {
                source: &row.name,
                name,
                path: &path,
                identity: &identity,
                taken_of: None,
                made_at: now,
            })?;
        }
        let of_source = origin
            .as_ref()
            .is_some_and(|origin| identity.parent_uuid == Some(origin.uuid));
        of_unknown_origin += u64::from(is_sent || of_source);
    }
    Ok(Regained {
        tied: new.link_snapshots(&row.ledger)? as u64,
        of_unknown_origin,
    })
}

/// Returns the ctransid of the snapshot's archive if only deduplication has changed the snapshot since, or
/// else the snapshot's ctransid of now.
fn archived_ctransid(
    identity: &SubvolumeIdentity,
    path: &Path,
    archived: &HashMap<Uuid, u64>,
) -> u64 {
    let here = identity.ctransid;
    let sent = archived.get(&identity.stream_uuid()).copied();
    let is_same = |sent: &u64| {
        *sent != here
            && identity.received_uuid.is_none()
            && btrfs::is_only_deduplicated(path, here.min(*sent) + 1).unwrap_or(false)
    };
    sent.filter(is_same).unwrap_or(here)
}

/// Returns the read-only subvolumes in the source's snapshot directory that have a snapshot's name. Skips those
/// that it can't look at.
fn standing(source: &Source) -> Vec<(PathBuf, SnapshotName, SubvolumeIdentity)> {
    let Some(live) = &source.live else {
        return Vec::new();
    };
    let Ok(entries) = std::fs::read_dir(&live.snapshots) else {
        return Vec::new();
    };
    let mut found: Vec<_> = entries
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let name = path.file_name()?.to_str()?.parse().ok()?;
            let identity = btrfs::identity(&path).ok()?;
            identity.read_only.then_some((path, name, identity))
        })
        .collect();
    found.sort_by(|(one, ..), (other, ..)| one.cmp(other));
    found
}
