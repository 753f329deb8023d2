//! Removes the index of a source, or makes it anew beside the one that there is.

use std::path::{Path, PathBuf};

use super::index_path;
use super::up_to_date::{IndexedNow, Update};
use crate::catalog::Catalog;
use crate::config::{Config, Source};
use crate::engine::context::RunContext;
use crate::error::{Error, FilesError};
use crate::files_db::FilesDb;
use crate::seal::Identities;

/// Returns where a new index is made. A run that dies leaves it, and the next one begins with an empty one.
fn beside(path: &Path) -> PathBuf {
    path.with_extension("new.db")
}

/// Removes the index of a source. Returns whether there was one.
pub fn drop_index(config: &Config, source: &Source, catalog: &Catalog) -> Result<bool, Error> {
    let Some(row) = catalog.source(&source.name)? else {
        return Ok(false);
    };
    let path = index_path(config, &row.ledger);
    let exists = path.exists();
    FilesDb::remove(&beside(&path))?;
    FilesDb::remove(&path)?;
    Ok(exists)
}

/// Makes the index of a source anew, from the contents of its visible archives. The identities open the archive keys; `name`
/// is theirs in an error. The old index stays as it was until the new one is whole, and if none of the archives can be indexed.
pub fn make_index_anew(
    config: &Config,
    source: &Source,
    (identities, name): (&Identities, &str),
    catalog: &Catalog,
    context: RunContext<'_>,
) -> Result<IndexedNow, Error> {
    let Some(row) = catalog.source(&source.name)? else {
        return Ok(IndexedNow::default());
    };
    let (ledger, path) = (row.ledger, index_path(config, &row.ledger));
    let made = beside(&path);
    FilesDb::remove(&made)?;
    let update = Update {
        config,
        source,
        row,
        path: made.clone(),
        identities: (identities, name),
        catalog,
        context,
    };
    let done = update.run().and_then(|done| {
        if done.loaded.is_empty() && !done.missing.is_empty() {
            return Err(FilesError::NotMadeAnew {
                source_name: source.name.clone(),
                archives: done.missing.len(),
            }
            .into());
        }
        FilesDb::replace(&path, &made, &ledger)?;
        Ok(done)
    });
    if done.is_err() {
        // The error says what went wrong; what is left costs space alone.
        let _ = FilesDb::remove(&made);
    }
    done
}
