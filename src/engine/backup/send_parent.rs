//! Finds the archive that an incremental can be sent against.

use std::path::Path;

use crate::btrfs;
use crate::catalog::{ArchiveRow, Catalog, CatalogError, SnapshotRow};
use crate::config::{Live, Source};
use crate::engine::snapshots::standing;
use crate::error::{Error, in_words};
use crate::model::{ArchiveId, SubvolumeIdentity, Uuid};
use crate::plan::{ArchiveFacts, History, SendParentSnapshot, descends};

/// Where a stream comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::engine) enum StreamOrigin {
    /// From a local snapshot of the subvolume with this uuid, which exists or will be taken. `None` if
    /// coldchain can't look at the subvolume, as in a plan for a disk that is not attached.
    Snapshot { of: Option<Uuid> },
    /// From another machine or program, on stdin.
    Stdin,
}

impl StreamOrigin {
    /// Returns where tonight's stream of a source comes from.
    pub(in crate::engine) fn of_source(source: &Source) -> Self {
        match &source.live {
            Some(live) => Self::Snapshot { of: uuid_of(live) },
            None => Self::Stdin,
        }
    }

    /// Returns the origin of the stream of this snapshot.
    pub(in crate::engine) fn of(snapshot: &SubvolumeIdentity) -> Self {
        // A subvolume without a parent is its own origin.
        let of = snapshot.parent_uuid.unwrap_or(snapshot.uuid);
        Self::Snapshot { of: Some(of) }
    }
}

/// An archive whose snapshot can't be the send parent, and why.
pub type Unfit = (ArchiveId, SendParentSnapshot);

fn uuid_of(live: &Live) -> Option<Uuid> {
    Some(btrfs::identity(&live.subvolume).ok()?.uuid)
}

/// Returns an archive that the planner chose to build on, with the uuid and the ctransid of its stream. It has both,
/// unless the catalog is damaged.
pub(in crate::engine) fn chosen_archive(
    id: &ArchiveId,
    catalog: &Catalog,
) -> Result<(ArchiveRow, Uuid, u64), Error> {
    let archive = catalog.archive(id)?;
    let whole = archive.and_then(|row| Some((row.stream_uuid?, row.stream_ctransid?, row)));
    match whole {
        Some((uuid, ctransid, row)) => Ok((row, uuid, ctransid)),
        None => Err(CatalogError::Damaged(format!(
            "it lacks {id}, or what it has to know of its stream"
        ))
        .into()),
    }
}

/// Returns the state of the snapshot of the newest archive that an incremental may build on. If that snapshot
/// is not usable, also returns the newest older archive whose snapshot is intact.
pub(in crate::engine) fn choose(
    source: &Source,
    origin: StreamOrigin,
    history: &History,
    unfit: &[Unfit],
    catalog: &Catalog,
) -> Result<(SendParentSnapshot, Option<ArchiveId>), Error> {
    let archives = history.send_parents();
    let Some((newest, older)) = archives.split_first() else {
        return Ok((SendParentSnapshot::Gone, None));
    };
    let rows = standing::rows(source, catalog)?;
    let look = |archive: &ArchiveFacts| {
        if let Some((_, why)) = unfit.iter().find(|(id, _)| *id == archive.id) {
            return Ok(why.clone());
        }
        match origin {
            StreamOrigin::Snapshot { of } => snapshot_of(source, of, &archive.id, &rows, catalog),
            StreamOrigin::Stdin => streamed(source, &archive.id, &rows, catalog),
        }
    };
    let state = look(newest)?;
    if matches!(
        state,
        SendParentSnapshot::Intact | SendParentSnapshot::NotLocal | SendParentSnapshot::AtMirror
    ) {
        return Ok((state, None));
    }
    for archive in older {
        if look(archive)? == SendParentSnapshot::Intact {
            return Ok((state, Some(archive.id)));
        }
    }
    Ok((state, None))
}

/// Returns whether a snapshot is known to be on another filesystem than its source's subvolume.
fn is_elsewhere(source: &Source, snapshot: &Path) -> bool {
    let live = source.live.as_ref();
    let id = |path: &Path| btrfs::filesystem_id(path).ok();
    let ids = live.and_then(|live| Some((id(&live.subvolume)?, id(snapshot)?)));
    ids.is_some_and(|(source, snapshot)| source != snapshot)
}

/// Returns the state of an archive's snapshot, for a stream that is sent from here.
fn snapshot_of(
    source: &Source,
    of: Option<Uuid>,
    archive: &ArchiveId,
    rows: &[SnapshotRow],
    catalog: &Catalog,
) -> Result<SendParentSnapshot, Error> {
    let Some(row) = row_of(archive, rows, catalog)? else {
        return Ok(SendParentSnapshot::Gone);
    };
    Ok(match standing::check(row)? {
        // If the source has moved, it can't be sent against a snapshot that stayed behind.
        Ok(_) if is_elsewhere(source, &row.path) => {
            let path = row.path.display();
            SendParentSnapshot::Changed(format!(
                "{path} is on another filesystem than the subvolume"
            ))
        }
        Ok(parent) => match of {
            Some(of) if differs_since(of, row, &parent)?.is_none() => SendParentSnapshot::Unrelated,
            _ => SendParentSnapshot::Intact,
        },
        Err(why) if why.ends_with("is gone") => SendParentSnapshot::Gone,
        Err(why) => SendParentSnapshot::Changed(why),
    })
}

/// Returns the state of an archive's snapshot, for a stream that comes on stdin. The sending machine has the
/// snapshots. But if the config names the subvolume and they are on its filesystem, this function can look at
/// them.
fn streamed(
    source: &Source,
    archive: &ArchiveId,
    rows: &[SnapshotRow],
    catalog: &Catalog,
) -> Result<SendParentSnapshot, Error> {
    let Some((live, of)) = source
        .live
        .as_ref()
        .and_then(|live| Some((live, uuid_of(live)?)))
    else {
        return Ok(SendParentSnapshot::NotLocal);
    };
    // The kernel answers root only, and this must work without root.
    let find = |uuid| Ok::<_, Error>(btrfs::find(&live.subvolume, uuid).unwrap_or_default());
    let uuid = match row_of(archive, rows, catalog)? {
        Some(row) => Some(row.local_uuid),
        None => catalog.archive(archive)?.and_then(|row| row.stream_uuid),
    };
    let parent = match uuid {
        Some(uuid) => find(uuid)?,
        None => None,
    };
    Ok(match parent {
        None => SendParentSnapshot::NotLocal,
        Some(parent) if descends(of, &parent, find)?.is_some() => SendParentSnapshot::Intact,
        Some(_) => SendParentSnapshot::Unrelated,
    })
}

/// Returns the row of the local snapshot of an archive.
fn row_of<'r>(
    archive: &ArchiveId,
    rows: &'r [SnapshotRow],
    catalog: &Catalog,
) -> Result<Option<&'r SnapshotRow>, Error> {
    let id = catalog.archive(archive)?.and_then(|row| row.snapshot);
    Ok(rows.iter().find(|row| Some(row.id) == id))
}

/// Returns the first transaction whose changes a snapshot of the subvolume `of` may have and the snapshot of
/// `row` may lack; `None` if `of` does not descend from that snapshot.
pub(in crate::engine) fn differs_since(
    of: Uuid,
    row: &SnapshotRow,
    parent: &SubvolumeIdentity,
) -> Result<Option<u64>, Error> {
    Ok(descends(of, parent, |uuid| btrfs::find(&row.path, uuid))?)
}

/// Checks whether a snapshot can be sent against the one of archive `parent` without losing data. Returns why
/// not.
pub(in crate::engine) fn loses_data(
    source: &Source,
    snapshot: (&SnapshotRow, &SubvolumeIdentity),
    parent: &ArchiveId,
    catalog: &Catalog,
) -> Result<Option<Unfit>, Error> {
    let rows = standing::rows(source, catalog)?;
    let Some(row) = row_of(parent, &rows, catalog)? else {
        return Ok(None);
    };
    let Ok(identity) = standing::check(row)? else {
        return Ok(None);
    };
    let (newer, StreamOrigin::Snapshot { of: Some(of) }) =
        (snapshot.0, StreamOrigin::of(snapshot.1))
    else {
        return Ok(None);
    };
    let Some(since) = differs_since(of, row, &identity)? else {
        return Ok(None);
    };
    let why = match btrfs::lost_ends(&newer.path, &row.path, since) {
        Ok(lost) => lost.first().map(|file| {
            SendParentSnapshot::Lossy(format!(
                "the end of {}, which was truncated at that time and has its old content again",
                Path::new("/").join(file).display()
            ))
        }),
        // An error here would let one damaged snapshot stop every later night.
        Err(error) => Some(SendParentSnapshot::Incomparable(in_words(&error))),
    };
    Ok(why.map(|why| (*parent, why)))
}

/// Finds archives whose streams were sent against a snapshot that can't be their send parent, and returns
/// why. Earlier versions did not check this. Only archives whose snapshots still exist are found.
pub fn doubtful_archives(source: &Source, catalog: &Catalog) -> Result<Vec<Unfit>, Error> {
    let Some(ledger) = catalog.source(&source.name)?.map(|row| row.ledger) else {
        return Ok(Vec::new());
    };
    let rows = standing::rows(source, catalog)?;
    let mut doubtful = Vec::new();
    for link in catalog.lineage(&ledger)? {
        let Some(parent) = link.send_parent else {
            continue;
        };
        let own = row_of(&link.id, &rows, catalog)?;
        let (Some(own), Some(parent_row)) = (own, row_of(&parent, &rows, catalog)?) else {
            continue;
        };
        let (Ok(identity), Ok(parent_identity)) =
            (standing::check(own)?, standing::check(parent_row)?)
        else {
            continue;
        };
        let Some(of) = identity
            .parent_uuid
            .filter(|_| identity.received_uuid.is_none())
        else {
            continue;
        };
        // If the subvolume has been deleted since, this can't be checked.
        let is_known =
            parent_identity.parent_uuid == Some(of) || btrfs::find(&own.path, of)?.is_some();
        if is_known && differs_since(of, parent_row, &parent_identity)?.is_none() {
            doubtful.push((link.id, SendParentSnapshot::Unrelated));
        } else if let Some((_, why)) = loses_data(source, (own, &identity), &parent, catalog)? {
            doubtful.push((link.id, why));
        }
    }
    Ok(doubtful)
}
