//! What the catalog knows of imported archives, and which of them a restore needs.

use std::collections::BTreeMap;

use chrono::NaiveDate;

use super::foreign_vault::vault_of;
use crate::catalog::{Catalog, ImportedArchiveRow, ImportedRow, ImportedState};
use crate::config::{Config, StoreConfig};
use crate::error::{Error, ImportError};
use crate::model::{LedgerId, Sha256, SourceName};
use crate::plan::{BrokenChain, ImportedArchive, chain_of};

/// The archives that were imported by one name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownImport {
    /// What is known of them together.
    pub row: ImportedRow,
    /// All of them, by date.
    pub archives: Vec<ImportedArchiveRow>,
}

/// Returns what a row says of the archive itself.
pub(in crate::engine) fn as_archive(row: &ImportedArchiveRow) -> ImportedArchive {
    ImportedArchive {
        number: row.number,
        date: row.date,
        vault_id: row.vault_id.clone(),
        bytes: row.bytes,
        parent: row.parent,
    }
}

/// Returns everything that was imported.
pub fn known_imports(catalog: &Catalog) -> Result<Vec<KnownImport>, Error> {
    let rows = catalog.imported()?.into_iter();
    rows.map(|row| {
        let archives = catalog.imported_archives(&row.name)?;
        Ok(KnownImport { row, archives })
    })
    .collect()
}

impl KnownImport {
    /// Returns what was imported by that name.
    pub fn named(name: &SourceName, catalog: &Catalog) -> Result<Self, Error> {
        let known = known_imports(catalog)?.into_iter();
        let mut known = known.filter(|known| known.row.name == *name);
        known
            .next()
            .ok_or_else(|| ImportError::Unknown { name: name.clone() }.into())
    }

    /// Returns the archive of a date, or the newest that is not deleted.
    pub fn archive(&self, date: Option<NaiveDate>) -> Result<&ImportedArchiveRow, Error> {
        let mut archives = self.archives.iter();
        let found = match date {
            Some(date) => archives.find(|archive| archive.date == date),
            None => archives.rfind(|archive| archive.state != ImportedState::Deleted),
        };
        found.ok_or_else(|| {
            ImportError::NoArchive {
                name: self.row.name.clone(),
                date,
            }
            .into()
        })
    }

    /// Returns the archives from the full to one of them, in the order in which they are received.
    pub fn chain(&self, wanted: &ImportedArchiveRow) -> Result<Vec<ImportedArchiveRow>, Error> {
        let by_date: BTreeMap<NaiveDate, ImportedArchive> = self
            .archives
            .iter()
            .map(|row| (row.date, as_archive(row)))
            .collect();
        let broken = |parent| ImportError::Broken {
            archive: as_archive(wanted).id(),
            parent,
        };
        let dates = chain_of(&by_date, wanted.date).map_err(|why| match why {
            BrokenChain::Missing(parent) => broken(parent),
            // An import with a circle is refused.
            BrokenChain::Circle => broken(wanted.date),
        })?;
        let chain: Vec<ImportedArchiveRow> = dates
            .iter()
            .filter_map(|date| self.archives.iter().find(|row| row.date == *date))
            .cloned()
            .collect();
        chain.iter().try_for_each(require_content)?;
        Ok(chain)
    }

    /// Returns an archive by itself, without those that it builds on.
    pub fn alone(&self, wanted: &ImportedArchiveRow) -> Result<Vec<ImportedArchiveRow>, Error> {
        require_content(wanted)?;
        Ok(vec![wanted.clone()])
    }

    /// Returns the id in the mark of a restore's directory. It is the same after another import into another catalog.
    pub(in crate::engine) fn mark(&self) -> LedgerId {
        let ImportedRow {
            name,
            vault,
            region,
            ..
        } = &self.row;
        let digest = Sha256::of(format!("btrsend {region} {vault} {name}").as_bytes()).0;
        LedgerId(*digest.first_chunk().expect("a digest has 32 bytes"))
    }

    /// Returns the config of its store, which must still be the same vault.
    pub fn store<'a>(&self, config: &'a Config) -> Result<&'a StoreConfig, Error> {
        let (store, vault, region) = vault_of(config, &self.row.store)?;
        require_same(&self.row, &self.row.store, vault, region)?;
        Ok(store)
    }
}

/// Refuses a store that is another vault than the one that was imported from.
pub(super) fn require_same(
    row: &ImportedRow,
    store: &str,
    vault: &str,
    region: &str,
) -> Result<(), Error> {
    if (row.vault.as_str(), row.region.as_str()) == (vault, region) {
        return Ok(());
    }
    Err(ImportError::OtherVault {
        name: row.name.clone(),
        store: store.to_owned(),
        imported: format!("`{}` in {}", row.vault, row.region),
        found: format!("`{vault}` in {region}"),
    }
    .into())
}

/// Refuses an archive that has nothing to restore.
pub(super) fn require_content(row: &ImportedArchiveRow) -> Result<(), Error> {
    let archive = as_archive(row).id();
    if row.state == ImportedState::Deleted {
        return Err(ImportError::Deleted { archive }.into());
    }
    if row.bytes == 0 {
        return Err(ImportError::Empty { archive }.into());
    }
    Ok(())
}
