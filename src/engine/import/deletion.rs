//! Deletes imported archives from the vault, on request alone.

use super::foreign_vault::ForeignVault;
use super::known::KnownImport;
use crate::catalog::{Catalog, ImportedArchiveRow, ImportedState};
use crate::engine::context::RunContext;
use crate::engine::context::state_dir::StateDir;
use crate::error::{Error, ImportError};
use crate::model::SourceName;
use crate::model::entry::Timestamp;
use crate::store::ErrorKind;

impl KnownImport {
    /// Returns the archives that are still in the vault, those that build on others first.
    pub fn deletable(&self) -> Vec<&ImportedArchiveRow> {
        let mut archives: Vec<&ImportedArchiveRow> = self
            .archives
            .iter()
            .filter(|archive| archive.state != ImportedState::Deleted)
            .collect();
        let depth = |row: &ImportedArchiveRow| {
            let mut depth = 0;
            let mut parent = row.parent;
            // An import with a circle is refused; the limit is for a catalog that was changed by hand.
            while let Some(date) = parent.filter(|_| depth <= self.archives.len()) {
                depth += 1;
                let mut all = self.archives.iter();
                parent = all.find(|row| row.date == date).and_then(|row| row.parent);
            }
            depth
        };
        archives.sort_by_key(|row| std::cmp::Reverse((depth(row), row.date)));
        archives
    }
}

/// Deletes all archives of an import, if `agreed` is their number. One that the vault refuses to delete stays, and the
/// others are deleted. Returns those that are deleted now.
pub fn delete_import(
    import: &KnownImport,
    agreed: Option<usize>,
    vault: &dyn ForeignVault,
    state_dir: &StateDir,
    catalog: &mut Catalog,
    context: RunContext<'_>,
) -> Result<Vec<ImportedArchiveRow>, Error> {
    let name = &import.row.name;
    let _lock = state_dir.lock_import(name, &context)?;
    // Another run may have deleted some, or imported more.
    let import = KnownImport::named(name, catalog)?;
    let archives = import.deletable();
    if agreed != Some(archives.len()) {
        return Err(ImportError::NotAgreed {
            name: name.clone(),
            archives: archives.len(),
            agreed,
        }
        .into());
    }
    let (mut deleted, mut kept, mut first) = (Vec::new(), 0, None);
    for archive in &archives {
        context.interrupt.check()?;
        match vault.delete_archive(&archive.vault_id) {
            Ok(()) => {
                let at = Timestamp(context.clock.now());
                catalog.imported_is(name, archive.date, ImportedState::Deleted, None, at)?;
                deleted.push((*archive).clone());
            }
            Err(error) if error.kind == ErrorKind::Denied => {
                kept += 1;
                first.get_or_insert(error);
            }
            Err(error) => return Err(error.into()),
        }
    }
    match first {
        None => Ok(deleted),
        Some(source) => Err(ImportError::Kept {
            name: name.clone(),
            kept,
            of: archives.len(),
            source: Box::new(source),
        }
        .into()),
    }
}

/// Forgets what was imported. The archives stay in the vault.
pub fn forget_import(
    name: &SourceName,
    state_dir: &StateDir,
    catalog: &mut Catalog,
    context: RunContext<'_>,
) -> Result<(), Error> {
    let _lock = state_dir.lock_import(name, &context)?;
    KnownImport::named(name, catalog)?;
    Ok(catalog.forget_imported(name)?)
}
