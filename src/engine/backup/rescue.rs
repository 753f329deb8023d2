//! The way round a send parent that is gone here: a local mirror that has it gets tonight's snapshot too, and the
//! archive is sent from the mirror's two copies.
//!
//! A copy has the stream uuid of its snapshot, so the archive names the same uuids as one that is sent from here.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::btrfs;
use crate::catalog::{Catalog, MirroredRow};
use crate::config::{Config, MirrorConfig, Source};
use crate::engine::backup::send_parent::{chosen_archive, differs_since};
use crate::engine::context::RunContext;
use crate::engine::mirror::asked::MirrorAsked;
use crate::engine::mirror::run::mirror;
use crate::engine::snapshots::retention::taken_at;
use crate::engine::snapshots::standing;
use crate::error::{Error, in_words};
use crate::model::{ArchiveId, MirrorLocation, SourceName, Uuid};
use crate::progress::Event;

/// Two copies at a mirror that an archive is sent from.
#[derive(Debug, Clone)]
pub(in crate::engine) struct MirrorCopies {
    /// The copy of tonight's snapshot.
    pub(in crate::engine) snapshot: CopyPath,
    /// The copy of the send parent.
    pub(in crate::engine) send_parent: CopyPath,
}

/// A copy at a mirror on this machine.
#[derive(Debug, Clone)]
pub(in crate::engine) struct CopyPath {
    pub(in crate::engine) path: PathBuf,
    /// The uuid in its stream.
    pub(in crate::engine) stream_uuid: Uuid,
    /// Its ctransid there, which its stream carries.
    pub(in crate::engine) ctransid: u64,
}

/// Brings a local mirror up to date that has the snapshot of the archive `parent`, and returns the two copies to send
/// from. `None` if there is no such mirror, or if its copies can't be sent against each other for less than a full.
pub(in crate::engine) fn rescue(
    (config, source): (&Config, &Source),
    tonight: Uuid,
    parent: ArchiveId,
    catalog: &Catalog,
    context: RunContext<'_>,
) -> Result<Option<MirrorCopies>, Error> {
    let (_, wanted, _) = chosen_archive(&parent, catalog)?;
    for (place, path) in local_mirrors(config, source) {
        let has_it = |rows: &[MirroredRow]| rows.iter().any(|it| it.stream_uuid == wanted);
        if !has_it(&recorded(place, catalog)?) {
            continue;
        }
        if let Err(error) = mirror(config, place, &MirrorAsked::default(), context) {
            warn(source, place, &error, context);
            continue;
        }
        let rows = recorded(place, catalog)?;
        let copy = |stream_uuid| copy_of(path, &place.name, stream_uuid, &rows);
        if let (Some(snapshot), Some(send_parent)) = (copy(tonight), copy(wanted))
            && share_an_ancestor(tonight, wanted, &rows)
            && loses_nothing(&snapshot, &send_parent)
        {
            return Ok(Some(MirrorCopies {
                snapshot,
                send_parent,
            }));
        }
    }
    Ok(None)
}

/// Returns whether tonight's archive would be sent from the copies at a local mirror, as far as this can be known before
/// tonight's snapshot is made. `of` is the source's subvolume, if it can be looked at. Nothing is changed.
pub(in crate::engine) fn foresee_rescue(
    (config, source): (&Config, &Source),
    of: Option<Uuid>,
    parent: ArchiveId,
    catalog: &Catalog,
) -> Result<bool, Error> {
    let (_, wanted, _) = chosen_archive(&parent, catalog)?;
    for (place, path) in local_mirrors(config, source) {
        let rows = recorded(place, catalog)?;
        // A disk that is not attached has no copy either.
        if copy_of(path, &place.name, wanted, &rows).is_none() {
            continue;
        }
        let common = newest_common((config, source), of, &rows, catalog)?;
        if common.is_some_and(|common| share_an_ancestor(common, wanted, &rows)) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Returns the newest snapshot here that a mirror has too and that the source descends from: tonight's is sent to the
/// mirror against it.
fn newest_common(
    (config, source): (&Config, &Source),
    of: Option<Uuid>,
    copies: &[MirroredRow],
    catalog: &Catalog,
) -> Result<Option<Uuid>, Error> {
    let mut here = standing::rows(source, catalog)?;
    here.sort_by_key(|row| (taken_at(row, config.timezone), row.name));
    for row in here.iter().rev() {
        let Ok(identity) = standing::check(row)? else {
            continue;
        };
        let stream_uuid = identity.stream_uuid();
        if copies.iter().all(|copy| copy.stream_uuid != stream_uuid) {
            continue;
        }
        let descends = match of {
            Some(of) => differs_since(of, row, &identity)?.is_some(),
            None => true,
        };
        if descends {
            return Ok(Some(stream_uuid));
        }
    }
    Ok(None)
}

/// Returns the mirrors of a source that are directories of this machine, each with its path.
fn local_mirrors<'c>(
    config: &'c Config,
    source: &'c Source,
) -> impl Iterator<Item = (&'c MirrorConfig, &'c Path)> {
    config
        .mirrors_of(source)
        .filter_map(|place| match &place.to {
            MirrorLocation::Directory(path) => Some((place, path.as_path())),
            MirrorLocation::Ssh(_) => None,
        })
}

fn recorded(place: &MirrorConfig, catalog: &Catalog) -> Result<Vec<MirroredRow>, Error> {
    match catalog.mirror(&place.name, &place.to)? {
        Some(row) => Ok(catalog.mirrored(row.id)?),
        None => Ok(Vec::new()),
    }
}

fn warn(source: &Source, place: &MirrorConfig, error: &Error, context: RunContext<'_>) {
    context.observer.event(Event::Warning {
        source: source.name.clone(),
        message: format!(
            "the archive can't be sent from the copies at the mirror {}: {}",
            place.to,
            in_words(error)
        ),
    });
}

/// Returns the copy with this stream uuid, if it is there and unchanged.
fn copy_of(
    mirror: &Path,
    source: &SourceName,
    stream_uuid: Uuid,
    rows: &[MirroredRow],
) -> Option<CopyPath> {
    let row = rows.iter().find(|it| it.stream_uuid == stream_uuid)?;
    let path = mirror.join(source.as_str()).join(row.name.to_string());
    let found = btrfs::identity(&path).ok()?;
    let is_it = found.uuid == row.there_uuid && found.read_only;
    let is_intact = found.ctransid == row.there_ctransid
        || btrfs::is_only_deduplicated(&path, row.there_ctransid + 1).unwrap_or(false);
    (is_it && is_intact && found.received_uuid == Some(stream_uuid)).then_some(CopyPath {
        path,
        stream_uuid,
        ctransid: found.ctransid,
    })
}

/// Returns whether both copies were built, step by step, on one and the same. Otherwise one of them came in full, and
/// shares nothing with the other.
fn share_an_ancestor(one: Uuid, other: Uuid, rows: &[MirroredRow]) -> bool {
    let line = |from: Uuid| {
        let mut line = BTreeSet::from([from]);
        let mut at = from;
        while let Some(row) = rows.iter().find(|it| it.stream_uuid == at)
            && let Some(older) = row.built_on
            && line.insert(older)
        {
            at = older;
        }
        line
    };
    !line(one).is_disjoint(&line(other))
}

/// Returns whether the one copy can be sent against the other without losing the ends of files.
fn loses_nothing(snapshot: &CopyPath, parent: &CopyPath) -> bool {
    let since = parent.ctransid + 1;
    btrfs::lost_ends(&snapshot.path, &parent.path, since).is_ok_and(|lost| lost.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::SnapshotName;
    use crate::model::entry::Timestamp;

    fn row(of: u8, built_on: Option<u8>) -> MirroredRow {
        MirroredRow {
            name: SnapshotName::of_date(
                chrono::NaiveDate::from_ymd_opt(2026, 1, of.into()).unwrap(),
            ),
            stream_uuid: Uuid([of; 16]),
            here_uuid: Uuid([of; 16]),
            here_ctransid: 1,
            there_uuid: Uuid([100 + of; 16]),
            there_ctransid: 1,
            built_on: built_on.map(|it| Uuid([it; 16])),
            mirrored_at: Timestamp(chrono::DateTime::UNIX_EPOCH),
        }
    }

    #[test]
    fn copies_share_an_ancestor_unless_a_full_lies_between() {
        let rows = [
            row(1, None),
            row(2, Some(1)),
            row(3, Some(1)),
            row(4, Some(3)),
            row(5, None),
        ];
        let share = |one, other| share_an_ancestor(Uuid([one; 16]), Uuid([other; 16]), &rows);
        assert!(share(4, 1) && share(4, 2) && share(2, 1) && share(3, 3));
        assert!(!share(5, 4) && !share(4, 5));
        // A record that goes round in a circle ends.
        let circle = [row(1, Some(2)), row(2, Some(1))];
        assert!(!share_an_ancestor(Uuid([9; 16]), Uuid([1; 16]), &circle));
    }
}
