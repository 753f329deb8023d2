//! The names that config and catalog have. Neither has to be there; what can't be read is left out.

use std::collections::BTreeSet;

use crate::catalog::{ArchivesNamed, CatalogNames};
use crate::cli::Everywhere;
use crate::cli::completion::{FittingWord, NameKind};
use crate::config::{Config, DEFAULT_STATE_DIR};
use crate::engine::StateDir;

/// What is known on this machine.
pub(super) struct LocalNames {
    config: Option<Config>,
    catalog: Option<CatalogNames>,
}

impl LocalNames {
    /// Opens what the options and the environment name.
    pub(super) fn open(everywhere: &Everywhere) -> Self {
        let path = everywhere.config();
        // A command may read its config from a pipe. To ask for names is not to use it up, or to wait for it.
        let is_file = path.metadata().is_ok_and(|file| file.is_file());
        let config = is_file.then(|| Config::load_to_read(&path).ok()).flatten();
        let configured = config.as_ref().map(|config| config.state_dir.clone());
        let path = everywhere.state_dir.clone().or(configured);
        let state_dir = StateDir::new(&path.unwrap_or_else(|| DEFAULT_STATE_DIR.into()));
        let is_ours = state_dir.require_ours().is_ok();
        Self {
            config,
            catalog: is_ours
                .then(|| CatalogNames::open(&state_dir.catalog_path()))
                .flatten(),
        }
    }

    /// The names of a kind; `typed` is how the word begins.
    pub(super) fn of(&self, kind: NameKind, source: Option<&str>, typed: &str) -> Vec<FittingWord> {
        let names: Vec<String> = match kind {
            NameKind::SourceOrPath => {
                let sources = self.sources().into_iter();
                sources.map(|name| name + ":").collect()
            }
            // A source's name may begin with a digit too.
            NameKind::SourceOrDate if typed.starts_with(|first: char| first.is_ascii_digit()) => {
                [self.sources(), self.dates(None, ArchivesNamed::Committed)].concat()
            }
            NameKind::Source | NameKind::SourceOrDate => self.sources(),
            NameKind::Date => self.dates(source, ArchivesNamed::Committed),
            NameKind::RetiredDate => self.dates(source, ArchivesNamed::Retired),
            NameKind::Store => self.stores(),
            NameKind::Place => [vec!["home".to_owned()], self.stores()].concat(),
            NameKind::Imported => self.catalog(CatalogNames::imported),
            NameKind::Mirror => self.catalog(CatalogNames::mirrors),
            NameKind::File | NameKind::Directory => Vec::new(),
        };
        names.into_iter().map(FittingWord::name).collect()
    }

    fn catalog(&self, read: impl Fn(&CatalogNames) -> Vec<String>) -> Vec<String> {
        self.catalog.as_ref().map(read).unwrap_or_default()
    }

    /// Those of the config, and those that only the catalog still knows.
    fn sources(&self) -> Vec<String> {
        let mut names: BTreeSet<String> = self.catalog(CatalogNames::sources).into_iter().collect();
        let configured = self.config.iter().flat_map(|config| &config.sources);
        names.extend(configured.map(|source| source.name.to_string()));
        names.into_iter().collect()
    }

    fn dates(&self, source: Option<&str>, which: ArchivesNamed) -> Vec<String> {
        self.catalog(|catalog| catalog.dates(source, which))
    }

    fn stores(&self) -> Vec<String> {
        let stores = self.config.iter().flat_map(|config| config.stores.keys());
        stores.cloned().collect()
    }
}
