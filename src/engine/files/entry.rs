//! A file in a plain copy, opened so that no link and no mount leads out of the copy.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;

use super::locate;
use crate::error::Error;

/// `BTRFS_EMPTY_SUBVOL_DIR_OBJECTID`: what a snapshot has in the place of a nested subvolume.
pub(super) const NESTED_STUB: u64 = 2;

/// The root of a copy, or of the live subvolume.
#[derive(Debug)]
pub(super) struct OpenTree {
    root: OwnedFd,
    /// For messages.
    path: PathBuf,
    device: u64,
}

/// A file that exists.
#[derive(Debug, Clone, Copy)]
pub(super) struct TreeEntry {
    /// What the kernel says of it.
    pub(super) stat: Stat,
}

impl TreeEntry {
    pub(super) fn kind(&self) -> FileType {
        FileType::from_raw_mode(self.stat.st_mode)
    }

    /// Returns whether it is the empty directory that a snapshot has in the place of a nested subvolume.
    pub(super) fn is_nested_stub(&self) -> bool {
        self.stat.st_ino == NESTED_STUB && self.kind() == FileType::Directory
    }

    /// Returns whether two files of one place have the same content and attributes for sure.
    pub(super) fn is_untouched(&self, other: &Self) -> bool {
        let facts = |stat: &Stat| {
            let times = [
                (stat.st_mtime, stat.st_mtime_nsec),
                (stat.st_ctime, stat.st_ctime_nsec),
            ];
            (stat.st_ino, stat.st_size, stat.st_mode, times)
        };
        facts(&self.stat) == facts(&other.stat)
    }
}

impl OpenTree {
    /// Opens a copy by its path.
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        let failed = |errno: Errno| Error::file("open", path, errno.into());
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(path, flags, Mode::empty()).map_err(failed)?;
        let device = rustix::fs::fstat(&root).map_err(failed)?.st_dev;
        Ok(Self {
            root,
            path: path.to_owned(),
            device,
        })
    }

    /// Returns the path of a file in it, for messages.
    pub(super) fn join(&self, below: &Path) -> PathBuf {
        locate::below(&self.path, below)
    }

    /// Looks at a file; `None` if there is none, or if it is not in this subvolume.
    pub(super) fn entry(&self, below: &Path) -> Result<Option<TreeEntry>, Error> {
        let Some(found) = self.open_as(below, OFlags::PATH)? else {
            return Ok(None);
        };
        let stat = rustix::fs::fstat(&found)
            .map_err(|errno| Error::file("look at", self.join(below), errno.into()))?;
        let entry = TreeEntry { stat };
        // What is in the place of a nested subvolume has a device number of its own.
        Ok((stat.st_dev == self.device || entry.is_nested_stub()).then_some(entry))
    }

    /// Opens a regular file to read it.
    pub(super) fn read(&self, below: &Path) -> Result<File, Error> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK;
        self.require(below, flags).map(File::from)
    }

    /// Opens a directory.
    pub(super) fn directory(&self, below: &Path) -> Result<OwnedFd, Error> {
        self.require(below, OFlags::RDONLY | OFlags::DIRECTORY)
    }

    /// Returns where a symbolic link leads.
    pub(super) fn link(&self, below: &Path) -> Result<Vec<u8>, Error> {
        let link = self.require(below, OFlags::PATH)?;
        let target = rustix::fs::readlinkat(&link, "", Vec::new());
        let target = target.map_err(|errno| Error::file("read", self.join(below), errno.into()))?;
        Ok(target.into_bytes())
    }

    /// Returns the names in a directory, with what each is.
    pub(super) fn names(&self, below: &Path) -> Result<BTreeMap<OsString, FileType>, Error> {
        let directory = self.directory(below)?;
        names_of(&directory, &self.join(below))
    }

    fn require(&self, below: &Path, flags: OFlags) -> Result<OwnedFd, Error> {
        let gone = || Error::file("open", self.join(below), Errno::NOENT.into());
        self.open_as(below, flags)?.ok_or_else(gone)
    }

    fn open_as(&self, below: &Path, flags: OFlags) -> Result<Option<OwnedFd>, Error> {
        open_below(&self.root, below, flags)
            .map_err(|errno| Error::file("open", self.join(below), errno.into()))
    }
}

/// Opens a path below a directory, without following a link or entering a mount; `None` if there is no such path.
pub(super) fn open_below(
    root: impl AsFd,
    below: &Path,
    flags: OFlags,
) -> Result<Option<OwnedFd>, Errno> {
    let path = match below.as_os_str().as_bytes() {
        b"" => Path::new("."),
        _ => below,
    };
    let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
    match rustix::fs::openat2(root.as_fd(), path, flags, Mode::empty(), resolve) {
        Ok(found) => Ok(Some(found)),
        // A link or a mount on the way is another tree.
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::XDEV) => Ok(None),
        // A kernel before 5.6, or a container that does not let it through.
        Err(Errno::NOSYS | Errno::PERM) => open_stepwise(root.as_fd(), path, flags),
        Err(errno) => Err(errno),
    }
}

/// The same for kernels that can't open a whole path so.
fn open_stepwise(
    root: BorrowedFd<'_>,
    path: &Path,
    flags: OFlags,
) -> Result<Option<OwnedFd>, Errno> {
    let device = rustix::fs::fstat(root)?.st_dev;
    let mut found: Option<OwnedFd> = None;
    let mut components = path.components().peekable();
    while let Some(component) = components.next() {
        let name = match component {
            Component::Normal(name) => name,
            Component::CurDir => OsStr::new("."),
            _ => return Ok(None),
        };
        let flags = match components.peek() {
            Some(_) => OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC,
            None => flags,
        };
        let at = found.as_ref().map_or(root, AsFd::as_fd);
        let next = match rustix::fs::openat(at, name, flags, Mode::empty()) {
            Ok(next) => next,
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(None),
            Err(errno) => return Err(errno),
        };
        let stat = rustix::fs::fstat(&next)?;
        if stat.st_dev != device && stat.st_ino != NESTED_STUB {
            return Ok(None);
        }
        found = Some(next);
    }
    Ok(found)
}

/// Returns the names in an open directory, with what each is.
pub(super) fn names_of(
    directory: &OwnedFd,
    path: &Path,
) -> Result<BTreeMap<OsString, FileType>, Error> {
    let failed = |errno: Errno| Error::file("list", path, errno.into());
    let mut names = BTreeMap::new();
    for found in Dir::read_from(directory).map_err(failed)? {
        let found = found.map_err(failed)?;
        let name = found.file_name().to_bytes();
        if matches!(name, b"." | b"..") {
            continue;
        }
        let kind = match found.file_type() {
            FileType::Unknown => {
                let name = OsStr::from_bytes(name);
                let stat = rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW);
                FileType::from_raw_mode(stat.map_err(failed)?.st_mode)
            }
            kind => kind,
        };
        names.insert(OsString::from_vec(name.to_vec()), kind);
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_kernel_opens_the_same_paths() {
        let directory = tempfile::tempdir().unwrap();
        let at = |below: &str| directory.path().join(below);
        std::fs::create_dir_all(at("d/e")).unwrap();
        std::fs::write(at("d/e/f"), "1").unwrap();
        std::os::unix::fs::symlink("e", at("d/link")).unwrap();
        std::os::unix::fs::symlink("f", at("d/e/link")).unwrap();
        std::os::unix::fs::symlink("/", at("root")).unwrap();
        let root = File::open(directory.path()).unwrap();
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let inode = |found: Option<OwnedFd>| found.map(|fd| rustix::fs::fstat(fd).unwrap().st_ino);
        for (path, is_found) in [
            (".", true),
            ("d", true),
            ("d/e", true),
            ("d/e/f", true),
            ("d/none", false),
            ("d/link", true),
            ("d/link/f", false),
            ("d/e/link", true),
            ("d/e/f/g", false),
            ("root/etc", false),
        ] {
            let path = Path::new(path);
            let now = inode(open_below(&root, path, flags).unwrap());
            assert_eq!(now.is_some(), is_found, "{}", path.display());
            let old = inode(open_stepwise(root.as_fd(), path, flags).unwrap());
            assert_eq!(now, old, "{}", path.display());
        }
        // This is an error for the one and a path that is not there for the other; no caller asks for it.
        let above = Path::new("d/../d");
        assert_eq!(
            inode(open_stepwise(root.as_fd(), above, flags).unwrap()),
            None
        );
        let absolute = Path::new("/etc");
        assert_eq!(
            inode(open_stepwise(root.as_fd(), absolute, flags).unwrap()),
            None
        );
    }
}
