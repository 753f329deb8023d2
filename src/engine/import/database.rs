//! Imports what btrsend's database says.

use std::path::Path;

use super::foreign_vault::vault_of;
use super::known::{as_archive, require_same};
use crate::catalog::{Catalog, ImportedArchiveRow, ImportedRow, ImportedState, read_btrsend_db};
use crate::config::Config;
use crate::engine::context::RunContext;
use crate::engine::context::state_dir::StateDir;
use crate::error::{Error, ImportError};
use crate::model::SourceName;
use crate::model::entry::Timestamp;
use crate::plan::{ImportRefusal, ImportVault, ImportedArchive, check_btrsend, new_archives};

/// What an import has found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BtrsendImport {
    /// The name that the archives have here.
    pub name: SourceName,
    /// The vault.
    pub vault: String,
    /// Its region.
    pub region: String,
    /// How many archives the database has.
    pub found: usize,
    /// Those that were not known before, by date.
    pub new: Vec<ImportedArchive>,
    /// What can't be restored, and why.
    pub warnings: Vec<String>,
}

/// Imports btrsend's database `db`, whose archives are in the vault of the store `store`. A second import adds what is
/// new, and never changes what is known.
pub fn import_btrsend(
    config: &Config,
    db: &Path,
    store: &str,
    name: &SourceName,
    context: RunContext<'_>,
) -> Result<BtrsendImport, Error> {
    let (_, vault, region) = vault_of(config, store)?;
    let state_dir = StateDir::new(&config.state_dir);
    let mut catalog = context.catalog(&state_dir)?;
    let _lock = state_dir.lock_import(name, &context)?;
    refuse_source(config, name, &catalog)?;
    let refused = |refusal: ImportRefusal| {
        Error::from(ImportError::Refused {
            path: db.to_owned(),
            refusal: Box::new(refusal),
        })
    };
    let rows = read_btrsend_db(db, state_dir.path()).map_err(ImportError::from)?;
    let place = ImportVault {
        name: vault,
        region,
    };
    let checked = check_btrsend(&rows, place).map_err(refused)?;
    let mut known = catalog.imported()?;
    known.retain(|row| row.name == *name);
    if let Some(row) = known.first() {
        require_same(row, store, vault, region)?;
    }
    let before: Vec<ImportedArchive> = catalog
        .imported_archives(name)?
        .iter()
        .map(as_archive)
        .collect();
    let new = new_archives(&before, &checked.archives).map_err(refused)?;
    let is_new = !new.is_empty() || known.first().is_none_or(|row| row.store != store);
    if is_new {
        let row = ImportedRow {
            name: name.clone(),
            store: store.to_owned(),
            vault: vault.to_owned(),
            region: region.to_owned(),
            imported_at: Timestamp(context.clock.now()),
        };
        let rows: Vec<ImportedArchiveRow> = new.iter().map(unproven).collect();
        catalog.import(&row, &rows)?;
    }
    Ok(BtrsendImport {
        name: name.clone(),
        vault: vault.to_owned(),
        region: region.to_owned(),
        found: checked.archives.len(),
        new,
        warnings: checked.warnings,
    })
}

/// Refuses the name of a source: both would have the same directory below a restore's target.
fn refuse_source(config: &Config, name: &SourceName, catalog: &Catalog) -> Result<(), Error> {
    let is_configured = config.sources.iter().any(|source| source.name == *name);
    if is_configured || catalog.source(name)?.is_some() {
        return Err(ImportError::NameTaken { name: name.clone() }.into());
    }
    Ok(())
}

fn unproven(archive: &ImportedArchive) -> ImportedArchiveRow {
    ImportedArchiveRow {
        date: archive.date,
        number: archive.number,
        vault_id: archive.vault_id.clone(),
        bytes: archive.bytes,
        parent: archive.parent,
        state: ImportedState::Unproven,
        state_at: None,
        fault: None,
        stream_uuid: None,
    }
}
