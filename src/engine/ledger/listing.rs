//! Compares an archive with a listing of the store: before it is signed, after its commit, and where a run
//! ended between the two.

use std::collections::HashMap;

use crate::catalog::{Catalog, SegmentRow};
use crate::engine::context::RunContext;
use crate::engine::context::clock::Clock;
use crate::engine::context::open_source::OpenSource;
use crate::error::{BackupError, Error, in_words};
use crate::model::entry::Timestamp;
use crate::model::keys::{self, ArchiveObject, ArchivePart, SignedObject};
use crate::model::{ArchiveId, ContentsRecord};
use crate::progress::Event;
use crate::store::{Stat, Store};

/// Lists the objects of an archive, by key.
pub(in crate::engine) fn listing(
    source: &OpenSource<'_>,
    archive: &ArchiveId,
) -> Result<HashMap<String, Stat>, Error> {
    let prefix = keys::archive_prefix(&source.row.directory, archive);
    let listed = source.store.list(&prefix)?;
    Ok(listed
        .into_iter()
        .map(|listed| (listed.key, listed.stat))
        .collect())
}

/// Checks that an object that is not in a listing is really absent. A listing may be older than the object,
/// or may have lost a part on its way.
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

/// Lists the archive's objects, and refuses if one is missing or is not as it was stored.
pub(in crate::engine) fn require_listed(
    source: &OpenSource<'_>,
    archive: &ArchiveId,
    segments: &[SegmentRow],
    contents: Option<&ContentsRecord>,
) -> Result<(), Error> {
    let listed = listing(source, archive)?;
    let mut wrong = lacking(source, archive, segments, &listed)?;
    if let Some(contents) = contents {
        wrong.extend(lacking_contents(source, archive, contents, &listed)?);
    }
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

/// Returns what a listing lacks of an archive, or shows otherwise: a line for each object. Refuses a listing
/// if the first object that it lacks is there.
pub(in crate::engine) fn lacking(
    source: &OpenSource<'_>,
    archive: &ArchiveId,
    segments: &[SegmentRow],
    listed: &HashMap<String, Stat>,
) -> Result<Vec<String>, Error> {
    let objects = || SegmentRow::objects(&source.row.directory, archive, segments);
    if let Some(lacked) = objects().find(|object| !listed.contains_key(&object.key)) {
        require_absent(source.store.as_ref(), &lacked.key)?;
    }
    Ok(objects()
        .filter_map(|object| difference(&object, listed.get(&object.key)))
        .collect())
}

/// Does the same for the contents of an archive.
pub(in crate::engine) fn lacking_contents(
    source: &OpenSource<'_>,
    archive: &ArchiveId,
    contents: &ContentsRecord,
    listed: &HashMap<String, Stat>,
) -> Result<Vec<String>, Error> {
    let objects = || {
        let contents = (0..).zip(&contents.objects);
        let all = ArchiveObject::list(&source.row.directory, *archive, [], contents, None);
        all.filter(|object| object.part != ArchivePart::Key)
    };
    if let Some(lacked) = objects().find(|object| !listed.contains_key(&object.key)) {
        require_absent(source.store.as_ref(), &lacked.key)?;
    }
    Ok(objects()
        .filter_map(|object| difference(&object, listed.get(&object.key)))
        .collect())
}

/// Returns how an object differs, as the store shows it, from what is signed.
pub(in crate::engine) fn difference(object: &ArchiveObject, stat: Option<&Stat>) -> Option<String> {
    let key = &object.key;
    let Some(stat) = stat else {
        return Some(format!("{key} is missing"));
    };
    let SignedObject { bytes, sha256 } = object.signed?;
    if stat.bytes != bytes {
        let has = stat.bytes;
        Some(format!("{key} has {has} bytes, {bytes} were stored"))
    } else if stat.sha256.is_some_and(|stored| stored != sha256) {
        Some(format!("{key} has another SHA-256"))
    } else {
        None
    }
}

/// Checks the archives of the newest chain that no listing has shown since their commit: a run may have ended
/// right after the commit. Records damage and warns of it; the next plan is then a full.
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

/// Returns whether the store's own list has shown all of these segments whole. A vault lists what it was given for two
/// days without having shown it; only an inventory proves that it is there.
pub(in crate::engine) fn are_confirmed<'k>(
    store: &dyn Store,
    segments: impl IntoIterator<Item = &'k str>,
) -> Result<bool, Error> {
    for key in segments {
        if !store.is_confirmed(key)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Lists a committed archive once more, and records the result. An archive that is not confirmed yet has none.
pub(in crate::engine) fn verify_listed(
    source: &OpenSource<'_>,
    archive: &ArchiveId,
    catalog: &mut Catalog,
    clock: &dyn Clock,
) -> Result<(), Error> {
    let segments = catalog.segments(archive)?;
    let shown = require_listed(source, archive, &segments, None);
    let now = Timestamp(clock.now());
    match shown {
        Ok(()) => {
            let objects = SegmentRow::objects(&source.row.directory, archive, &segments);
            let keys: Vec<String> = objects
                .filter(|object| object.segment().is_some())
                .map(|object| object.key)
                .collect();
            let keys = keys.iter().map(String::as_str);
            if are_confirmed(source.store.as_ref(), keys)? {
                catalog.archive_verified(archive, now)?;
            }
        }
        Err(Error::Backup(BackupError::SegmentsMissing { .. })) => {
            catalog.archive_damaged(archive, now)?;
        }
        Err(_) => {}
    }
    shown
}
