//! Temporary files of writers, and the removal of those whose writers died.
//!
//! A writer holds a lock on its file until the file has its name or is gone. The lock dies with the process,
//! so a file without a lock has no writer. No clock is involved.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustix::fs::{FileType, FlockOperation, flock};

use super::atomic_rename::random_name;
use super::directory::Directory;
use crate::store::error::{Operation, StoreError};
use crate::store::key::is_key;
use crate::store::rate_limit::Paced;
use crate::store::{RateLimit, Swept};

pub(super) const TEMPORARY: &str = ".tmp-";

/// A file that is being written, in the directory of its place.
pub(super) struct Temporary {
    name: String,
    /// Its lock is held as long as it is open.
    file: File,
}

impl Temporary {
    /// Makes a new file in this directory.
    pub(super) fn in_directory(directory: &Directory) -> io::Result<Self> {
        loop {
            let name = format!("{TEMPORARY}{}", random_name());
            let file = directory.create(&name)?;
            // If the filesystem has no locks, files that its writers leave are never swept.
            let _ = flock(&file, FlockOperation::LockExclusive);
            // Another run may have swept it before it was locked.
            if file.metadata()?.nlink() > 0 {
                return Ok(Self { name, file });
            }
        }
    }

    /// Writes its content, and makes it durable except for its name.
    pub(super) fn write(&mut self, bytes: &[u8], limit: Option<&RateLimit>) -> io::Result<()> {
        self.append(bytes, limit)?;
        self.sync()
    }

    /// Writes more of its content.
    pub(super) fn append(&mut self, bytes: &[u8], limit: Option<&RateLimit>) -> io::Result<()> {
        Paced::new(&self.file, limit).write_all(bytes)
    }

    /// Makes what was written durable.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_all()
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Removes the file, or only its temporary name if it has its final one.
    pub(super) fn remove(self, directory: &Directory) {
        let _ = directory.remove(&self.name);
    }
}

/// Removes the temporary files that no writer holds, below a directory of a store and in its root. The root
/// has those of questions for the store's clock.
pub(super) fn sweep_below(root: &Path, url: &str, prefix: &str) -> Result<Swept, StoreError> {
    let above = prefix.rsplit_once('/').map_or("", |(above, _)| above);
    let mut swept = Swept::default();
    Directory::root(root)
        .and_then(|root| {
            sweep_files(&root, &mut swept)?;
            match unless_gone(root.below(above))? {
                Some(directory) => sweep_directory(&directory, above, &mut swept),
                None => Ok(()),
            }
        })
        .map_err(|error| StoreError::from_io(Operation::Delete, prefix, url, error))?;
    Ok(swept)
}

/// Removes what dead writers have left directly in this directory.
fn sweep_files(directory: &Directory, swept: &mut Swept) -> io::Result<()> {
    for item in directory.names()? {
        let (name, kind) = item?;
        if kind == FileType::RegularFile && name.starts_with(TEMPORARY) {
            sweep_file(directory, &name, swept)?;
        }
    }
    Ok(())
}

fn sweep_file(directory: &Directory, name: &str, swept: &mut Swept) -> io::Result<()> {
    if let Some(bytes) = remove_if_dead(directory, name)? {
        swept.files += 1;
        swept.bytes += bytes;
    }
    Ok(())
}

/// Removes what dead writers have left in a directory and below it. `path` is its path below the root.
fn sweep_directory(directory: &Directory, path: &str, swept: &mut Swept) -> io::Result<()> {
    let mut below = Vec::new();
    for item in directory.names()? {
        let (name, kind) = item?;
        if kind == FileType::Directory {
            let inside = format!("{path}/{name}");
            // Only directories that can hold objects have such files. A key's length also limits the depth.
            if is_key(inside.trim_start_matches('/')) {
                below.push((name, inside));
            }
        } else if kind == FileType::RegularFile && name.starts_with(TEMPORARY) {
            sweep_file(directory, &name, swept)?;
        }
    }
    for (name, path) in below {
        if let Some(directory) = unless_gone(directory.child(&name))? {
            sweep_directory(&directory, &path, swept)?;
        }
    }
    Ok(())
}

/// Returns `None` if another process removed it first.
fn unless_gone<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        result => result.map(Some),
    }
}

/// Removes a temporary file unless its writer lives. Returns its length if it was removed.
fn remove_if_dead(directory: &Directory, name: &str) -> io::Result<Option<u64>> {
    let Some(file) = unless_gone(directory.open(name))? else {
        return Ok(None);
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
    Ok(unless_gone(directory.remove(name))?.map(|()| bytes))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::model::Sha256;
    use crate::store::DirStore;
    use crate::store::{NewObject, ObjectKind, Store as _};

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
            let object = NewObject::new(
                key,
                &b"object"[..],
                Sha256::of(b"object"),
                ObjectKind::Segment,
            );
            store.put_if_absent(&object).unwrap();
        }
        let archive = root.path().join("home/archives/a");
        let place = archive.join("000001-2.zst.age");
        let directory = Directory::root(&archive).unwrap();
        let mut living = Temporary::in_directory(&directory).unwrap();
        living.write(b"living", None).unwrap();
        let mut dead = Temporary::in_directory(&directory).unwrap();
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
        let left = living.name().to_owned();
        assert_eq!(names(&archive), [left, "000000-1.zst.age".to_owned()]);
        assert!(elsewhere.exists());
        assert_eq!(store.sweep("home/").unwrap(), Swept::default());
        assert_eq!(store.sweep("nowhere/").unwrap(), Swept::default());
        // A sweep of any source removes what a question for the store's clock left in the root.
        fs::write(root.path().join(".tmp-1111111111111111"), "clock").unwrap();
        let asking = Directory::root(root.path()).unwrap();
        let asking = Temporary::in_directory(&asking).unwrap();
        assert_eq!(store.sweep("home/").unwrap(), Swept { files: 1, bytes: 5 });
        let left = [
            asking.name().to_owned(),
            "home".to_owned(),
            "mail".to_owned(),
        ];
        assert_eq!(names(root.path()), left);
        // The living writer can finish undisturbed.
        fs::rename(archive.join(living.name()), &place).unwrap();
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
                            let object = NewObject::new(
                                &key,
                                &b"x"[..],
                                Sha256::of(b"x"),
                                ObjectKind::Ledger,
                            );
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
