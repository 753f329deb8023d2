//! Writing an object: a temporary file, synced, then placed under its name.

use std::io;

use super::DirStore;
use super::atomic_rename::{Placed, place_best};
use super::cold::{Cold, Lock};
use super::directory::{Directory, Spot, split};
use super::temporary::Temporary;
use crate::model::StorageClass;
use crate::store::{NewObject, ObjectKind};

/// How often a directory is made that is gone again before anything is in it.
const TRIES: usize = 16;

impl DirStore {
    /// Makes the directories above an object, and a temporary file there. A delete may remove an empty
    /// directory at any moment, but none with a file in it. The root is never made: it may be a mount
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
        // Also when it existed: whoever put it there may not have come to this yet.
        spot.directory.sync()?;
        placed
    }

    /// What an earlier put or delete that was cut short left beside the object's place is replaced;
    /// what stands beside an object stays as it is.
    fn place_into_class(
        &self,
        temporary: &str,
        spot: &Spot<'_>,
        class: Option<StorageClass>,
    ) -> io::Result<Placed> {
        let _lock = Lock::over(spot);
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
