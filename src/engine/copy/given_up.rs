//! What is given up if a copy becomes home without the old home. Nothing is written, at no place.

use crate::catalog::SourceRow;
use crate::config::{Config, Source};
use crate::engine::context::RunContext;
use crate::engine::context::open_source::{OpenSource, store_url};
use crate::engine::context::state_dir::StateDir;
use crate::engine::copy::whole::{ContentsNeed, read_anew, visible_entries, whole};
use crate::error::{Error, RequestError};
use crate::model::ArchiveId;

/// Returns the archives that the catalog shows, and of which the copy in the store of that name does not have
/// everything.
pub fn foresee_given_up(
    config: &Config,
    source: &Source,
    to: &str,
    context: RunContext<'_>,
) -> Result<Vec<ArchiveId>, Error> {
    let store = config.store_named(to)?;
    let state_dir = StateDir::new(&config.state_dir);
    let root = state_dir.root_key()?;
    let catalog = state_dir.catalog_to_read()?;
    let row = catalog
        .source(&source.name)?
        .ok_or_else(|| RequestError::NeverArchived(source.name.clone()))?;
    let before = catalog.visible(&row.ledger)?;
    let there = OpenSource {
        config: source,
        row: SourceRow {
            store: store_url(store),
            ..row
        },
        store: context.open(store)?,
    };
    let (_, read) = read_anew(&there, &root)?;
    let entries = visible_entries(&there.row, &read)?;
    let has = whole(&there, &entries, ContentsNeed::Spared)?;
    let before = before.iter().map(|archive| archive.id);
    Ok(before.filter(|id| !has.contains(id)).collect())
}
