//! Which archives are to get contents: those that have none, and those whose contents home has lost.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::NaiveDate;

use super::fetch::fetch_contents;
use crate::catalog::{Catalog, SourceRow};
use crate::config::{Config, Source};
use crate::engine::context::RunContext;
use crate::engine::context::open_source::OpenSource;
use crate::engine::ledger::listing::lacking_contents;
use crate::error::{ContentsFault, Error};
use crate::model::keys::{self, ArchiveObject, ArchivePart};
use crate::model::{ArchiveId, ContentsRecord};
use crate::store::Stat;

/// The archives that are to get contents, each with the number of the entry whose contents are lost; `None` if it has
/// none.
pub(super) type Wanting = BTreeMap<ArchiveId, Option<u64>>;

/// Returns the visible archives of a source that have no contents, or whose contents home has lost, and of these the
/// ones on `dates`; all, if there are none. Contents on these dates are also read, to find those that are damaged.
pub fn without_contents(
    config: &Config,
    source: &Source,
    dates: &[NaiveDate],
    catalog: &Catalog,
    context: RunContext<'_>,
) -> Result<Vec<ArchiveId>, Error> {
    let Some(row) = catalog.source(&source.name)? else {
        return Ok(Vec::new());
    };
    let home = OpenSource {
        config: source,
        row,
        store: context.open(config.store_of(source)?)?,
    };
    let wanting = wanting(&home, dates, catalog, context)?;
    in_order(&home.row, wanting.keys().copied(), catalog)
}

/// Sorts archives as the catalog does.
pub(super) fn in_order(
    row: &SourceRow,
    archives: impl Iterator<Item = ArchiveId>,
    catalog: &Catalog,
) -> Result<Vec<ArchiveId>, Error> {
    let wanted: BTreeSet<ArchiveId> = archives.collect();
    let visible = catalog.visible(&row.ledger)?.into_iter().map(|row| row.id);
    Ok(visible.filter(|id| wanted.contains(id)).collect())
}

/// Finds the archives that are to get contents. A listing that lacks what is there is an error.
pub(super) fn wanting(
    home: &OpenSource<'_>,
    dates: &[NaiveDate],
    catalog: &Catalog,
    context: RunContext<'_>,
) -> Result<Wanting, Error> {
    let directory = &home.row.directory;
    let mut wanting = Wanting::new();
    let mut with = Vec::new();
    for row in catalog.visible(&home.row.ledger)? {
        if !dates.is_empty() && !dates.contains(&row.id.date) {
            continue;
        }
        match (catalog.contents_entry(&row.id)?, catalog.contents(&row.id)?) {
            (Some(entry), Some(record)) => with.push((row.id, entry, record)),
            _ => {
                wanting.insert(row.id, None);
            }
        }
    }
    if with.is_empty() {
        return Ok(wanting);
    }
    let listed: HashMap<String, Stat> = home
        .store
        .list(&keys::archives_prefix(directory))?
        .into_iter()
        .map(|object| (object.key, object.stat))
        .collect();
    for (archive, entry, record) in with {
        context.interrupt.check()?;
        let mut is_lost = !lacking_contents(home, &archive, &record, &listed)?.is_empty();
        if !is_lost && !dates.is_empty() {
            is_lost = is_damaged(home, &archive, &record)?;
        }
        if is_lost {
            wanting.insert(archive, Some(entry));
        }
    }
    Ok(wanting)
}

/// Reads the contents of an archive, and returns whether an object of them is not the one that was signed.
fn is_damaged(
    home: &OpenSource<'_>,
    archive: &ArchiveId,
    record: &ContentsRecord,
) -> Result<bool, Error> {
    let objects = (0..).zip(&record.objects);
    let objects = ArchiveObject::list(&home.row.directory, *archive, [], objects, None);
    for object in objects.filter(|object| matches!(object.part, ArchivePart::Contents(_))) {
        match fetch_contents(home.store.as_ref(), &object) {
            Ok(_) => {}
            Err(Error::Contents(ContentsFault::Damaged { .. })) => return Ok(true),
            Err(error) => return Err(error),
        }
    }
    Ok(false)
}
