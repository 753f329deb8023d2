//! How many files archives have, as far as the file index of their source knows it.

use std::collections::BTreeMap;

use crate::catalog::Catalog;
use crate::config::{Config, Source};
use crate::engine::FileIndex;
use crate::error::Error;
use crate::model::ArchiveId;

/// Returns how many files each indexed archive of a source has. An index that can't be read, as another user's, says
/// nothing: nothing depends on it.
pub(super) fn file_counts(
    config: &Config,
    source: &Source,
    catalog: &Catalog,
) -> BTreeMap<ArchiveId, u64> {
    counted(config, source, catalog).unwrap_or_default()
}

fn counted(
    config: &Config,
    source: &Source,
    catalog: &Catalog,
) -> Result<BTreeMap<ArchiveId, u64>, Error> {
    let mut counts = BTreeMap::new();
    let Some(index) = FileIndex::open_if_any(config, source, catalog)? else {
        return Ok(counts);
    };
    for archive in index.archives() {
        let files = index.count_files(&archive.id)?;
        counts.extend(files.map(|files| (archive.id, files)));
    }
    Ok(counts)
}
