//! Writing an object: a temporary file, synced, then placed under its name.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

use super::DirStore;
use super::cold::{Cold, Lock};
use super::temporary::Temporary;
use crate::model::StorageClass;
use crate::store::place::{Placed, place_best, sync_directory};
use crate::store::{NewObject, Role};

/// How often a directory is made that is gone again before anything is in it.
const TRIES: usize = 16;

impl DirStore {
    /// Makes the directories above an object, each durable in its parent.
    fn make_parents(&self, parent: &Path) -> io::Result<()> {
        if parent == self.root || parent.is_dir() {
            return Ok(());
        }
        let above = parent.parent().expect("it is below the root");
        self.make_parents(above)?;
        match DirBuilder::new().mode(0o700).create(parent) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            _ => sync_directory(above),
        }
    }

    /// A delete may remove an empty directory at any moment, but none with a file in it.
    fn temporary_beside(&self, path: &Path, parent: &Path) -> io::Result<Temporary> {
        let mut tries = 0;
        loop {
            let made = self.make_parents(parent);
            let made = made.and_then(|()| Temporary::beside(path));
            tries += 1;
            match made {
                Err(error) if error.kind() == io::ErrorKind::NotFound && tries < TRIES => {}
                made => return made,
            }
        }
    }

    pub(super) fn write_and_place(
        &self,
        path: &Path,
        object: &NewObject<'_>,
    ) -> io::Result<Placed> {
        let parent = path.parent().expect("a key has a parent");
        let mut temporary = self.temporary_beside(path, parent)?;
        let class = self.played.filter(|_| object.role == Role::Segment);
        let class = class.map(|played| played.class);
        let placed = temporary
            .write(&object.bytes, self.limit.as_ref())
            .and_then(|()| self.place_into_class(temporary.path(), path, class));
        if !matches!(placed, Ok(Placed::Moved)) {
            temporary.remove();
        }
        // Also when it existed: whoever put it there may not have come to this yet.
        sync_directory(parent)?;
        placed
    }

    /// What an earlier put or delete that was cut short left beside the object's place is replaced;
    /// what stands beside an object stays as it is.
    fn place_into_class(
        &self,
        temporary: &Path,
        path: &Path,
        class: Option<StorageClass>,
    ) -> io::Result<Placed> {
        let _lock = Lock::over(path);
        match fs::symlink_metadata(path) {
            Ok(_) => return Ok(Placed::Existed),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        match class {
            Some(class) => Cold::new(class).write(path)?,
            None => Cold::forget(path)?,
        }
        place_best(self.placing, temporary, path)
    }
}
