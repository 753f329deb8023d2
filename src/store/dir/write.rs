//! Writes an object to a temporary file, syncs it, then places it under its name.

use std::io;

use super::DirStore;
use super::atomic_rename::{Placed, place_best};
use super::cold::{Cold, ColdLock};
use super::directory::{Directory, Spot, split};
use super::temporary::Temporary;
use crate::model::StorageClass;
use crate::store::{NewObject, ObjectKind};

/// How often to make a directory that another process removes before it has a file.
const TRIES: usize = 16;

impl DirStore {
    /// Makes the directories above an object, and a temporary file in the last. A delete may remove an empty
    /// directory at any moment, but not one with a file in it. The root is never made: it may be a mount
    /// point without its filesystem.
    fn temporary_in(&self, above: &str) -> io::Result<(Directory, Temporary)> {
        let root = Directory::root(&self.root)?;
        let mut tries = 0;
        loop {
            let directory = root.make(above);
            let made = directory.and_then(|directory| {
                let temporary = Temporary::in_directory(&directory)?;
                Ok((directory, temporary))
            });
            tries += 1;
            match made {
                Err(error) if error.kind() == io::ErrorKind::NotFound && tries < TRIES => {}
                made => return made,
            }
        }
    }

    pub(super) fn write_and_place(&self, object: &NewObject<'_>) -> io::Result<Placed> {
        let (above, name) = split(object.key);
        let (directory, mut temporary) = self.temporary_in(above)?;
        let spot = Spot { directory, name };
        let class = self.played.filter(|_| object.role == ObjectKind::Segment);
        let class = class.map(|played| played.class);
        let placed = temporary
            .write(&object.bytes, self.limit.as_ref())
            .and_then(|()| self.place_into_class(temporary.name(), &spot, class));
        if !matches!(placed, Ok(Placed::Moved)) {
            temporary.remove(&spot.directory);
        }
        // Sync even if the object existed: its writer may not have synced yet.
        spot.directory.sync()?;
        placed
    }

    /// Places an object and its record. Replaces a record that an interrupted put or delete left without an
    /// object. Does not change the record of an existing object.
    fn place_into_class(
        &self,
        temporary: &str,
        spot: &Spot<'_>,
        class: Option<StorageClass>,
    ) -> io::Result<Placed> {
        let _lock = ColdLock::over(spot);
        match spot.directory.stat(spot.name) {
            Ok(_) => return Ok(Placed::Existed),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        match class {
            Some(class) => Cold::new(class).write(spot)?,
            None => Cold::forget(spot)?,
        }
        place_best(self.placing, &spot.directory, temporary, spot.name)
    }
}
