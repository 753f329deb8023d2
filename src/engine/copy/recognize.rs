//! Which archives a copy has that this catalog knows nothing of: it may be older than the catalog.

use std::collections::{BTreeMap, HashMap};

use crate::catalog::Catalog;
use crate::engine::context::open_source::OpenSource;
use crate::engine::ledger::listing::difference;
use crate::error::Error;
use crate::model::entry::{ArchiveEntry, Timestamp};
use crate::model::keys::{self, ArchiveObject, ArchivePart};
use crate::model::{ArchiveId, StorageClass};
use crate::store::Stat;

/// Lists what the copy has, and records every archive of which it has all objects, with their lengths, and their
/// digests where the store keeps them.
pub(super) fn recognize(
    there: &OpenSource<'_>,
    place: i64,
    entries: &[ArchiveEntry],
    at: Timestamp,
    catalog: &mut Catalog,
) -> Result<(), Error> {
    let directory = there.row.directory.as_str();
    let mut listed: BTreeMap<ArchiveId, HashMap<String, Stat>> = BTreeMap::new();
    for object in there.store.list(&keys::archives_prefix(directory))? {
        if let Some((archive, _)) = keys::archive_of(directory, &object.key) {
            let of_archive = listed.entry(archive).or_default();
            of_archive.insert(object.key, object.stat);
        }
    }
    for entry in entries {
        let Some(stats) = listed.get(&entry.id) else {
            continue;
        };
        let objects: Vec<ArchiveObject> = ArchiveObject::of_entry(directory, entry).collect();
        let is_there =
            |object: &&ArchiveObject| difference(object, stats.get(&object.key)).is_none();
        let found = objects.iter().filter(is_there);
        let segments: Vec<(u32, String)> = found
            .clone()
            .filter_map(|object| {
                let locator = there.store.locate(&object.key).to_string();
                Some((object.segment()?, locator))
            })
            .collect();
        let has_key = found.clone().any(|object| object.part == ArchivePart::Key);
        // Without its key an archive is not whole, and a segment of it may not have been proven yet.
        if segments.len() < entry.segments.len() || !has_key {
            continue;
        }
        catalog.begin_placed(place, &entry.id, class_of(stats))?;
        catalog.place_segments(place, &entry.id, &segments)?;
        catalog.finish_placed(place, &entry.id, at)?;
        catalog.turn_to(Some(place));
        let recorded = catalog.archive_verified(&entry.id, at);
        catalog.turn_to(None);
        recorded?;
        let is_contents = |object: &&ArchiveObject| matches!(object.part, ArchivePart::Contents(_));
        if found.filter(is_contents).count() == objects.iter().filter(is_contents).count() {
            catalog.place_contents(place, &entry.id)?;
        }
    }
    Ok(())
}

/// The coldest class of an archive's objects.
fn class_of(stats: &HashMap<String, Stat>) -> Option<StorageClass> {
    stats.values().filter_map(|stat| stat.class).max()
}
