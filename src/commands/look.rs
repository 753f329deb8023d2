//! What `history`, `yesterday` and `get` have in common: which file is meant, where there are copies of it, and what the index
//! of archives knows of it.

use std::io::ErrorKind;
use std::path::Path;

use super::archived::{bring_up_to_date, missing_in_words};
use super::load;
use crate::catalog::Catalog;
use crate::cli::{Everywhere, ToIndex};
use crate::config::Config;
use crate::engine::{self, FileIndex, LocatedFile, PlainCopies, StateDir};
use crate::error::Error;
use crate::printing::warn;

/// The config, and the catalog if this user may read it.
pub(super) struct LookingAt {
    pub(super) config: Config,
    pub(super) catalog: Option<Catalog>,
}

impl LookingAt {
    pub(super) fn load(everywhere: &Everywhere) -> Result<Self, Error> {
        let config = load(everywhere)?;
        // Without root the catalog is closed, but snapshots may be open.
        let catalog = match StateDir::new(&config.state_dir).catalog_to_read() {
            Err(Error::File { source, .. }) if source.kind() == ErrorKind::PermissionDenied => None,
            opened => Some(opened?),
        };
        Ok(Self { config, catalog })
    }

    /// Returns the file that was typed.
    pub(super) fn locate(&self, typed: &Path) -> Result<LocatedFile<'_>, Error> {
        engine::locate(&self.config, typed)
    }

    /// Returns the copies of the source that the file is of. Warns of places that can't be looked at.
    pub(super) fn copies(&self, file: &LocatedFile<'_>) -> Result<PlainCopies, Error> {
        let copies = engine::plain_copies(&self.config, file.source, self.catalog.as_ref())?;
        for warning in &copies.warnings {
            warn(warning);
        }
        Ok(copies)
    }

    /// Returns the file index of the source; `None` if none of its archives is indexed, or if this user may not read it.
    /// Warns of archives that are not indexed.
    pub(super) fn index(
        &self,
        file: &LocatedFile<'_>,
        to_index: &ToIndex,
        everywhere: &Everywhere,
    ) -> Result<Option<FileIndex>, Error> {
        let Some(catalog) = &self.catalog else {
            return Ok(None);
        };
        bring_up_to_date((&self.config, file.source, catalog), to_index, everywhere)?;
        let index = FileIndex::open_if_any(&self.config, file.source, catalog)?;
        if let Some(index) = &index
            && let Some(warning) = missing_in_words(&file.source.name, index)
        {
            warn(warning);
        }
        Ok(index)
    }
}
