//! Listing objects: the files whose names are keys.

use std::fs;
use std::io;
use std::path::Path;

use super::cold::Cold;
use super::{DirStore, stat};
use crate::store::Listed;
use crate::store::error::{ErrorKind, Operation, StoreError};
use crate::store::key::check_key;

impl DirStore {
    pub(super) fn list_all(&self, prefix: &str) -> Result<Vec<Listed>, StoreError> {
        let failed = |error| {
            let error = StoreError::from_io(Operation::List, prefix, &self.url, error);
            // Even when it vanished while it was read: a listing is complete or an error.
            if error.is_not_found() {
                StoreError {
                    kind: ErrorKind::MissingRoot,
                    ..error
                }
            } else {
                error
            }
        };
        // Only the directory that the prefix names is walked, not the whole store.
        let directory = prefix
            .rsplit_once('/')
            .map_or("", |(directory, _)| directory);
        if !directory.is_empty() {
            check_key(Operation::List, &self.url, directory)?;
        }
        let start = self.root.join(directory);
        if !self.root.is_dir() {
            return Err(StoreError::new(
                ErrorKind::MissingRoot,
                Operation::List,
                prefix,
                &self.url,
            ));
        }
        let mut found = Vec::new();
        match fs::symlink_metadata(&start) {
            Ok(metadata) if metadata.is_dir() => {
                self.list_directory(&start, prefix, &mut found)
                    .map_err(failed)?;
            }
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(error)),
        }
        found.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(found)
    }

    fn list_directory(
        &self,
        directory: &Path,
        prefix: &str,
        found: &mut Vec<Listed>,
    ) -> io::Result<()> {
        for item in fs::read_dir(directory)? {
            let item = item?;
            let Ok(relative) = item.path().strip_prefix(&self.root).map(Path::to_owned) else {
                continue;
            };
            // A name that is no key is no object.
            let Some(key) = relative.to_str().map(str::to_owned) else {
                continue;
            };
            if check_key(Operation::List, &self.url, &key).is_err() {
                continue;
            }
            let kind = item.file_type()?;
            if kind.is_dir() {
                let below = format!("{key}/");
                if below.starts_with(prefix) || prefix.starts_with(&below) {
                    self.list_directory(&item.path(), prefix, found)?;
                }
            } else if kind.is_file() && key.starts_with(prefix) {
                let metadata = item.metadata()?;
                let cold = Cold::read(&item.path())?;
                found.push(Listed {
                    key,
                    stat: stat(&metadata, cold)?,
                });
            }
        }
        Ok(())
    }
}
