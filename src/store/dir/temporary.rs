//! Files on their way to a name, and what remains of those whose writer died.
//!
//! Whoever writes one holds its lock until it has its name or is gone. A lock dies with its
//! process, so that what nobody locks is nobody's: no clock has a say in it.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use super::{DirStore, TEMPORARY, open_file};
use crate::store::error::{Operation, StoreError};
use crate::store::place::{new_file, random_name};
use crate::store::rate::Paced;
use crate::store::{RateLimit, Swept};

/// A file that is being written, beside its place.
pub(super) struct Temporary {
    path: PathBuf,
    /// Held for its lock.
    file: File,
}

impl Temporary {
    /// A new file beside that place.
    pub(super) fn beside(place: &Path) -> io::Result<Self> {
        loop {
            let path = place.with_file_name(format!("{TEMPORARY}{}", random_name()));
            let file = new_file(&path)?;
            // A filesystem without locks: what its writers leave is never swept.
            let _ = flock(&file, FlockOperation::LockExclusive);
            // Between its making and its lock it may have been swept.
            if file.metadata()?.nlink() > 0 {
                return Ok(Self { path, file });
            }
        }
    }

    /// Writes its content, durably but for its name.
    pub(super) fn write(&mut self, bytes: &[u8], limit: Option<&RateLimit>) -> io::Result<()> {
        Paced::new(&self.file, limit).write_all(bytes)?;
        self.file.sync_all()
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Removes it, or the name that it had until it got its own.
    pub(super) fn remove(self) {
        let _ = fs::remove_file(&self.path);
    }
}

impl DirStore {
    /// Removes the temporary files below a directory that no writer holds.
    pub(super) fn sweep_below(&self, prefix: &str) -> Result<Swept, StoreError> {
        let directory = prefix
            .rsplit_once('/')
            .map_or("", |(directory, _)| directory);
        let mut swept = Swept::default();
        sweep_directory(&self.root.join(directory), &mut swept)
            .map_err(|error| StoreError::from_io(Operation::Delete, prefix, &self.url, error))?;
        Ok(swept)
    }
}

fn sweep_directory(directory: &Path, swept: &mut Swept) -> io::Result<()> {
    let items = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        items => items?,
    };
    for item in items {
        let item = item?;
        let kind = item.file_type()?;
        let name = item.file_name();
        let is_temporary = name.as_encoded_bytes().starts_with(TEMPORARY.as_bytes());
        if kind.is_dir() {
            sweep_directory(&item.path(), swept)?;
        } else if kind.is_file()
            && is_temporary
            && let Some(bytes) = remove_if_dead(&item.path())?
        {
            swept.files += 1;
            swept.bytes += bytes;
        }
    }
    Ok(())
}

/// Removes a temporary file unless its writer lives; its length if it did.
fn remove_if_dead(path: &Path) -> io::Result<Option<u64>> {
    let gone = |error: io::Error| match error.kind() {
        // Its writer was faster.
        io::ErrorKind::NotFound => Ok(None),
        _ => Err(error),
    };
    let file = match open_file(path) {
        Ok(file) => file,
        Err(error) => return gone(error),
    };
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(
            rustix::io::Errno::WOULDBLOCK | rustix::io::Errno::NOTSUP | rustix::io::Errno::NOLCK,
        ) => {
            return Ok(None);
        }
        Err(errno) => return Err(errno.into()),
    }
    let bytes = file.metadata()?.len();
    match fs::remove_file(path) {
        Ok(()) => Ok(Some(bytes)),
        Err(error) => gone(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Sha256;
    use crate::store::{NewObject, Role, Store as _};

    fn names(directory: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(directory)
            .unwrap()
            .map(|item| item.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn what_dead_writers_left_is_swept_and_nothing_else() {
        let root = tempfile::tempdir().unwrap();
        let store = DirStore::open(root.path()).unwrap();
        for key in ["home/archives/a/000000-1.zst.age", "mail/archives/b/1"] {
            let object = NewObject::new(key, &b"object"[..], Sha256::of(b"object"), Role::Segment);
            store.put_if_absent(&object).unwrap();
        }
        let archive = root.path().join("home/archives/a");
        let place = archive.join("000001-2.zst.age");
        let mut living = Temporary::beside(&place).unwrap();
        living.write(b"living", None).unwrap();
        let mut dead = Temporary::beside(&place).unwrap();
        dead.write(b"dead, and its lock with it", None).unwrap();
        drop(dead);
        let elsewhere = root.path().join("mail/archives/b/.tmp-0000000000000000");
        fs::write(&elsewhere, "of another source").unwrap();

        let swept = store.sweep("home/").unwrap();
        assert_eq!(
            swept,
            Swept {
                files: 1,
                bytes: 26
            }
        );
        let left = living
            .path()
            .file_name()
            .unwrap()
            .to_str()
            .unwrap()
            .to_owned();
        assert_eq!(names(&archive), [left, "000000-1.zst.age".to_owned()]);
        assert!(elsewhere.exists());
        assert_eq!(store.sweep("home/").unwrap(), Swept::default());
        assert_eq!(store.sweep("nowhere/").unwrap(), Swept::default());
        // The living writer comes to its end as if nothing had been.
        fs::rename(living.path(), &place).unwrap();
        assert_eq!(fs::read(&place).unwrap(), b"living");
    }

    #[test]
    fn writers_and_a_sweeper_at_work_together_lose_no_object() {
        let root = tempfile::tempdir().unwrap();
        let store = DirStore::open(root.path()).unwrap();
        let store = &store;
        std::thread::scope(|scope| {
            let writers: Vec<_> = (0..4)
                .map(|writer| {
                    scope.spawn(move || {
                        for number in 0..50 {
                            let key = format!("home/{writer}-{number}");
                            let object =
                                NewObject::new(&key, &b"x"[..], Sha256::of(b"x"), Role::Ledger);
                            store.put_if_absent(&object).unwrap();
                        }
                    })
                })
                .collect();
            while writers.iter().any(|writer| !writer.is_finished()) {
                store.sweep("home/").unwrap();
            }
        });
        assert_eq!(store.list("home/").unwrap().len(), 200);
        assert_eq!(names(&root.path().join("home")).len(), 200);
    }
}
