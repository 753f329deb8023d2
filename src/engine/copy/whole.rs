//! Which archives a place has whole, as its own listing shows.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::catalog::{Catalog, SourceRow};
use crate::engine::context::open_source::OpenSource;
use crate::engine::ledger::archive_keys::sealed_archives;
use crate::engine::ledger::listing::difference;
use crate::engine::ledger::sync::{self, LedgerState};
use crate::error::Error;
use crate::ledger::PublicKey;
use crate::model::ArchiveId;
use crate::model::entry::ArchiveEntry;
use crate::model::keys::{self, ArchiveObject, is_contents};
use crate::store::Stat;

/// Reads the ledger at a place from its beginning into a catalog in memory.
pub(in crate::engine) fn read_anew(
    there: &OpenSource<'_>,
    root: &PublicKey,
) -> Result<(LedgerState, Catalog), Error> {
    let mut read = Catalog::in_memory()?;
    read.add_source(&there.row)?;
    let state = sync::catch_up(there, &mut read, root)?;
    Ok((state, read))
}

/// The entries of the archives that are visible.
pub(in crate::engine) fn visible_entries(
    row: &SourceRow,
    catalog: &Catalog,
) -> Result<Vec<ArchiveEntry>, Error> {
    let rows = catalog.visible(&row.ledger)?;
    let ids: Vec<ArchiveId> = rows.iter().map(|row| row.id).collect();
    let sealed = sealed_archives(&row.ledger, &ids, catalog)?;
    Ok(sealed.into_iter().map(|archive| archive.entry).collect())
}

/// Whether an archive without its contents counts as whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::engine) enum ContentsNeed {
    /// It does not.
    Needed,
    /// It does: it can be restored and built on, and `coldchain index` makes its contents again.
    Spared,
}

/// Lists a place, and returns those of these archives of which it has everything.
pub(in crate::engine) fn whole(
    there: &OpenSource<'_>,
    entries: &[ArchiveEntry],
    contents: ContentsNeed,
) -> Result<BTreeSet<ArchiveId>, Error> {
    let directory = &there.row.directory;
    let mut listed: BTreeMap<ArchiveId, HashMap<String, Stat>> = BTreeMap::new();
    for object in there.store.list(&keys::archives_prefix(directory))? {
        if let Some((archive, _)) = keys::archive_of(directory, &object.key) {
            let of_archive = listed.entry(archive).or_default();
            of_archive.insert(object.key, object.stat);
        }
    }
    let is_whole = |entry: &&ArchiveEntry| {
        listed.get(&entry.id).is_some_and(|stats| {
            let objects = ArchiveObject::of_entry(directory, entry);
            objects
                .filter(|object| contents == ContentsNeed::Needed || !is_contents(&object.key))
                .all(|object| difference(&object, stats.get(&object.key)).is_none())
        })
    };
    let whole = entries.iter().filter(is_whole);
    Ok(whole.map(|entry| entry.id).collect())
}
