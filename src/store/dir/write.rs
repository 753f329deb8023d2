//! Writes an object to a temporary file, syncs it, then places it under its name.

use std::io;

use super::DirStore;
use super::atomic_rename::{Placed, place_best};
use super::cold::{Cold, ColdLock};
use super::directory::{Directory, Spot, split};
use super::temporary::Temporary;
use crate::model::StorageClass;
use crate::store::copying::PieceReader;
use crate::store::{Locator, NewObject, ObjectKind, RemoteObject, Store};

/// How often to make a directory that another process removes before it has a file.
const TRIES: usize = 16;

/// Bytes that are read at a time of an object in another store.
const PIECE: u64 = 8 << 20;

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
        self.place_written(object.key, object.role, |temporary| {
            temporary.write(&object.bytes, self.limit.as_ref())
        })
    }

    /// Places an object whose bytes are read from another store meanwhile. Fails with `Unread` inside if they can't be
    /// read or are wrong.
    pub(super) fn relay_and_place(
        &self,
        from: &dyn Store,
        at: &Locator,
        object: &RemoteObject<'_>,
    ) -> io::Result<Placed> {
        self.place_written(object.key, object.role, |temporary| {
            for piece in PieceReader::new(from, at, object, PIECE) {
                temporary.append(&piece.map_err(io::Error::other)?, self.limit.as_ref())?;
            }
            temporary.sync()
        })
    }

    /// Places an object whose bytes this function writes.
    fn place_written(
        &self,
        key: &str,
        role: ObjectKind,
        write: impl FnOnce(&mut Temporary) -> io::Result<()>,
    ) -> io::Result<Placed> {
        let (above, name) = split(key);
        let (directory, mut temporary) = self.temporary_in(above)?;
        let spot = Spot { directory, name };
        let class = self.played.filter(|_| role == ObjectKind::Segment);
        let class = class.map(|played| played.class);
        let placed = write(&mut temporary)
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
