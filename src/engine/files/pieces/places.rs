//! Where a tree's file is made.

use std::env;
use std::path::{Path, PathBuf};

use crate::config::Config;
use crate::engine::context::random::random_bytes;
use crate::files_db::{TreeFile, TreeFileError};

/// The directories in which the file of a tree can be made: the first in which that succeeds is taken.
#[derive(Debug, Clone)]
pub struct TreeFilePlaces(Vec<PathBuf>);

impl TreeFilePlaces {
    /// Beside the file indexes, or else in the system's directory for temporary files.
    pub fn of(config: &Config) -> Self {
        Self(vec![config.state_dir.join("files"), env::temp_dir()])
    }

    /// In a directory.
    pub fn at(directory: &Path) -> Self {
        Self(vec![directory.to_owned()])
    }

    #[cfg(test)]
    pub(super) fn in_order(directories: [&Path; 2]) -> Self {
        Self(directories.map(Path::to_owned).to_vec())
    }

    /// Makes the file. The error is that of the last directory.
    pub(super) fn make(&self, cache: u64) -> Result<TreeFile, TreeFileError> {
        let name = format!("tree-{:016x}", u64::from_be_bytes(random_bytes()));
        let mut places = self.0.iter();
        let last = places.next_back().expect("there is always one");
        for place in places {
            if let Ok(file) = TreeFile::make(place, &name, cache) {
                return Ok(file);
            }
        }
        TreeFile::make(last, &name, cache)
    }
}
