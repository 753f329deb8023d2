//! What a listing shows of an archive: before it is signed, after its commit, and where a run ended
//! between the two.

use std::collections::HashMap;

use crate::catalog::{Catalog, SegmentRow};
use crate::engine::context::RunContext;
use crate::engine::context::clock::Clock;
use crate::engine::context::open_source::OpenSource;
use crate::error::{BackupError, Error, in_words};
use crate::model::entry::Timestamp;
use crate::model::{ArchiveId, keys};
use crate::progress::Event;
use crate::store::{Listed, Stat, Store};

/// What a listing shows of the object of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::engine) struct Stored {
    pub(in crate::engine) stat: Stat,
}

/// The objects of an archive by key.
pub(in crate::engine) fn listing(
    source: &OpenSource<'_>,
    archive: &ArchiveId,
) -> Result<HashMap<String, Stored>, Error> {
    let prefix = keys::archive_prefix(&source.row.directory, archive);
    let listed = source.store.list(&prefix)?;
    Ok(listed
        .into_iter()
        .map(|Listed { key, stat }| (key, Stored { stat }))
        .collect())
}

/// Makes sure that the store does not have an object that its listing lacks. A listing may be older than
/// what is stored, and may have lost a part on its way.
pub(in crate::engine) fn require_absent(store: &dyn Store, key: &str) -> Result<(), Error> {
    match store.stat(&store.locate(key)) {
        Ok(_) => Err(BackupError::ListingUntrue {
            store: store.url(),
            key: key.to_owned(),
        }
        .into()),
        Err(error) if error.is_not_found() => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Lists the archive's objects, and refuses if a segment is missing or is not as it was stored.
pub(in crate::engine) fn require_listed(
    source: &OpenSource<'_>,
    archive: &ArchiveId,
    segments: &[SegmentRow],
) -> Result<(), Error> {
    let wrong = unlisted(source, archive, segments)?;
    match wrong.first() {
        None => Ok(()),
        Some(first) => Err(BackupError::SegmentsMissing {
            archive: *archive,
            store: source.store.url(),
            objects: wrong.len(),
            first: first.clone(),
        }
        .into()),
    }
}

/// What a listing lacks of an archive, or shows otherwise: one line an object.
pub(in crate::engine) fn unlisted(
    source: &OpenSource<'_>,
    archive: &ArchiveId,
    segments: &[SegmentRow],
) -> Result<Vec<String>, Error> {
    let listed = listing(source, archive)?;
    require_lacking(source, archive, segments, &listed)?;
    Ok(lacking(&source.row.directory, archive, segments, &listed))
}

/// Makes sure that the first object that a listing lacks of an archive is not there.
pub(in crate::engine) fn require_lacking(
    source: &OpenSource<'_>,
    archive: &ArchiveId,
    segments: &[SegmentRow],
    listed: &HashMap<String, Stored>,
) -> Result<(), Error> {
    let mut keys = keys_of(&source.row.directory, archive, segments);
    match keys.find(|key| !listed.contains_key(key)) {
        Some(key) => require_absent(source.store.as_ref(), &key),
        None => Ok(()),
    }
}

/// The keys of an archive's segments, and that of its sealed key.
fn keys_of(
    directory: &str,
    archive: &ArchiveId,
    segments: &[SegmentRow],
) -> impl Iterator<Item = String> {
    let segments = segments.iter().map(move |segment| {
        keys::segment(directory, archive, segment.index, &segment.record.sha256)
    });
    segments.chain([keys::archive_key(directory, archive)])
}

/// What a listing that was had lacks of an archive, or shows otherwise.
pub(in crate::engine) fn lacking(
    directory: &str,
    archive: &ArchiveId,
    segments: &[SegmentRow],
    listed: &HashMap<String, Stored>,
) -> Vec<String> {
    let mut wrong = Vec::new();
    for segment in segments {
        let key = keys::segment(directory, archive, segment.index, &segment.record.sha256);
        match listed.get(&key).map(|listed| &listed.stat) {
            None => wrong.push(format!("{key} is missing")),
            Some(stat) if stat.bytes != segment.record.sealed_bytes => wrong.push(format!(
                "{key} has {} bytes, {} were stored",
                stat.bytes, segment.record.sealed_bytes
            )),
            Some(stat)
                if stat
                    .sha256
                    .is_some_and(|stored| stored != segment.record.sha256) =>
            {
                wrong.push(format!("{key} has another SHA-256"));
            }
            Some(_) => {}
        }
    }
    let key = keys::archive_key(directory, archive);
    if !listed.contains_key(&key) {
        wrong.push(format!("{key} is missing"));
    }
    wrong
}

/// Looks at the archives that no listing has shown since their commit: a run that ended right after
/// one did not come to it. Damage is recorded and told, and what is planned then is a full.
pub(in crate::engine) fn look_after(
    source: &OpenSource<'_>,
    catalog: &mut Catalog,
    context: RunContext<'_>,
) -> Result<(), Error> {
    let visible = catalog.lineage(&source.row.ledger)?;
    let Some(newest) = visible.last() else {
        return Ok(());
    };
    let unseen = visible
        .iter()
        .filter(|link| link.chain == newest.chain && !link.is_verified && !link.is_damaged);
    for link in unseen {
        match verify_listed(source, &link.id, catalog, context.clock) {
            Err(error @ Error::Backup(BackupError::SegmentsMissing { .. })) => {
                context.observer.event(Event::Warning {
                    source: source.name().clone(),
                    message: in_words(&error),
                });
            }
            seen => seen?,
        }
    }
    Ok(())
}

/// Lists a committed archive once more, and records what the listing showed.
pub(in crate::engine) fn verify_listed(
    source: &OpenSource<'_>,
    archive: &ArchiveId,
    catalog: &mut Catalog,
    clock: &dyn Clock,
) -> Result<(), Error> {
    let segments = catalog.segments(archive)?;
    let wrong = unlisted(source, archive, &segments)?;
    let now = Timestamp(clock.now());
    let Some(first) = wrong.first() else {
        return Ok(catalog.archive_verified(archive, now)?);
    };
    catalog.archive_damaged(archive, now)?;
    Err(BackupError::SegmentsMissing {
        archive: *archive,
        store: source.store.url(),
        objects: wrong.len(),
        first: first.clone(),
    }
    .into())
}
