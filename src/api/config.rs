//! The config that every call takes.

use std::path::{Path, PathBuf};

use super::error::ApiError;
use crate::btrfs::SentBy;
use crate::cli::Everywhere;
use crate::commands;
use crate::config::{Config, Source};

/// A config file that was read and checked, as the commands read it.
#[derive(Debug, Clone)]
pub struct LoadedConfig {
    pub(super) inner: Config,
}

impl LoadedConfig {
    /// Reads and checks a config file. The file and the state directory must belong to the effective user, and no other
    /// user may be able to change them.
    ///
    /// Two keys count for the commands alone: `priority`, because a library does not change the priority of the whole
    /// process, and `sender`, because only the program itself can ask the kernel for a stream. `btrfs send` makes the
    /// same bytes.
    ///
    /// ```no_run
    /// use std::path::Path;
    ///
    /// use coldchain::api::Config;
    ///
    /// # fn main() -> Result<(), coldchain::api::Error> {
    /// let config = Config::load(Path::new("/etc/coldchain/config.toml"))?;
    /// for name in config.sources() {
    ///     println!("{name}");
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn load(path: &Path) -> Result<Self, ApiError> {
        let mut inner = commands::load(&Everywhere::quietly(path.to_owned()))?;
        // The kernel's sender starts the running program with words that only `coldchain` understands.
        inner.sender = SentBy::Btrfs;
        Ok(Self { inner })
    }

    /// Returns the file that it was read from.
    pub fn path(&self) -> &Path {
        &self.inner.path
    }

    /// Returns where catalog and keys lie.
    pub fn state_dir(&self) -> PathBuf {
        self.inner.state_dir.clone()
    }

    /// Returns the names of its sources, in the file's order.
    pub fn sources(&self) -> Vec<String> {
        let sources = self.inner.sources.iter();
        sources.map(|source| source.name.to_string()).collect()
    }

    /// Returns the sources of a call: the named one, or all.
    pub(super) fn chosen(&self, name: Option<&str>) -> Result<Vec<&Source>, ApiError> {
        match name {
            Some(name) => Ok(vec![self.inner.source(name)?]),
            None => Ok(self.inner.sources.iter().collect()),
        }
    }
}
