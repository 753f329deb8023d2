//! The present storage classes of archives, according to the store.
//!
//! The catalog knows the class into which an archive was put. A rule of the bucket may have moved it since,
//! and Intelligent-Tiering moves objects by itself. Thaws and costs depend on what the store says now.

use std::collections::HashMap;

use crate::catalog::{Catalog, SegmentRow};
use crate::engine::context::known_segments::know_segments;
use crate::engine::ledger::listing::listing;
use crate::engine::restore::thaw::{WantedSegments, ask_all};
use crate::error::Error;
use crate::model::{ArchiveId, StorageClass};
use crate::store::{Locator, Readability, Stat};

/// Asks the store for the classes of archives, and updates the catalog where they differ. It lists each
/// archive. If a listing has no known class for a segment, it asks for that segment alone: no listing shows
/// an archive tier of Intelligent-Tiering.
pub fn ask_classes(wanted: &WantedSegments<'_>, catalog: &mut Catalog) -> Result<(), Error> {
    know_segments(wanted.source, catalog)?;
    let known = catalog.archives(&wanted.source.row.ledger)?;
    for archive in wanted.archives {
        wanted.interrupt.check()?;
        let class = coldest(wanted, archive, catalog)?;
        let row = known.iter().find(|row| row.id == *archive);
        if let (Some(class), Some(row)) = (class, row)
            && row.storage_class != Some(class)
        {
            catalog.write_class(archive, class)?;
        }
    }
    Ok(())
}

/// Returns the coldest class of an archive's segments; `None` if no class is known.
fn coldest(
    wanted: &WantedSegments<'_>,
    archive: &ArchiveId,
    catalog: &Catalog,
) -> Result<Option<StorageClass>, Error> {
    let source = wanted.source;
    let listed: HashMap<String, Stat> = match listing(source, archive) {
        // A restore needs no listing: some credentials may read and not list, and some listings are of no use.
        Err(Error::Store(_)) => HashMap::new(),
        listed => listed?,
    };
    let mut coldest = None;
    let mut untold = Vec::new();
    let segments = catalog.segments(archive)?;
    let objects = SegmentRow::objects(&source.row.directory, archive, &segments);
    for (segment, object) in segments.iter().zip(objects) {
        match listed.get(&object.key).and_then(|stat| stat.class) {
            Some(class) => coldest = coldest.max(Some(class)),
            None => untold.push(Locator::from(segment.locator.clone())),
        }
    }
    let (answers, failed) = ask_all(&untold, |at| match source.store.readability(at) {
        // The fetch will fail and report this.
        Err(error) if error.is_not_found() => Ok(Readability::Always),
        answer => answer,
    });
    if let Some((_, error)) = failed {
        return Err(error.into());
    }
    for (_, readability) in answers {
        if let Readability::Cold(class)
        | Readability::Thawing(class)
        | Readability::Until(class, _) = readability
        {
            coldest = coldest.max(Some(class));
        }
    }
    Ok(coldest)
}
