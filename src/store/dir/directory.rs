//! Directories of the store, held by descriptor.
//!
//! The path of the root may contain symbolic links: the user chose it. Below it, every directory is opened
//! from the one above it, and never through a link. So a user who may write to the store can't make coldchain
//! read, make or delete anything outside of it, even by changing it meanwhile.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{
    AtFlags, CWD, Dir, FileType, Mode, OFlags, RenameFlags, ResolveFlags, Stat, linkat, mkdirat,
    openat, openat2, renameat, renameat_with, statat, unlinkat,
};
use rustix::io::{Errno, retry_on_intr};
use rustix::path::Arg;

/// An open directory.
#[derive(Debug)]
pub(super) struct Directory(OwnedFd);

/// The place of an object: its directory, and its name there.
#[derive(Debug)]
pub(super) struct Spot<'k> {
    pub(super) directory: Directory,
    pub(super) name: &'k str,
}

impl Spot<'_> {
    /// Makes a removal durable. Another process may have removed the directory since.
    pub(super) fn sync(&self) -> io::Result<()> {
        match self.directory.sync() {
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::StaleNetworkFileHandle
                ) =>
            {
                Ok(())
            }
            synced => synced,
        }
    }
}

/// A part of an object's path is a symbolic link.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is a symbolic link")]
pub(in crate::store) struct LinkInTheWay(String);

impl LinkInTheWay {
    pub(super) fn at(key: &str) -> io::Error {
        io::Error::other(Self(key.to_owned()))
    }
}

impl Directory {
    /// Opens the root of a store.
    pub(super) fn root(path: &Path) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        Ok(Self(open(CWD, path, flags, Mode::empty())?))
    }

    /// Opens the directory at this path, which is a key; an empty path means the directory itself.
    pub(super) fn below(&self, path: &str) -> io::Result<Self> {
        let at_once = if path.is_empty() { "." } else { path };
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let resolve =
            ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        match openat2(&self.0, at_once, flags, Mode::empty(), resolve) {
            Ok(directory) => Ok(Self(directory)),
            // Walking step by step works even where a sandbox forbids this call, and shows which part is a
            // link.
            Err(_) => self.walk(path, Self::child),
        }
    }

    /// Opens the directory at this path, and makes missing parts, each durable in the one above it.
    pub(super) fn make(&self, path: &str) -> io::Result<Self> {
        match self.below(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            there => return there,
        }
        self.walk(path, |above, name| match above.child(name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                match mkdirat(&above.0, name, Mode::RWXU) {
                    Ok(()) | Err(Errno::EXIST) => above.sync()?,
                    Err(errno) => return Err(errno.into()),
                }
                above.child(name)
            }
            child => child,
        })
    }

    fn walk(&self, path: &str, step: impl Fn(&Self, &str) -> io::Result<Self>) -> io::Result<Self> {
        let mut directory = Self(self.0.try_clone()?);
        let mut end = 0;
        for name in path.split('/').filter(|name| !name.is_empty()) {
            end += name.len();
            directory = match step(&directory, name) {
                Err(error) if is_link(&error) => return Err(LinkInTheWay::at(&path[..end])),
                child => child?,
            };
            end += 1;
        }
        Ok(directory)
    }

    /// Opens a directory in this one. Fails with `ELOOP` for a symbolic link.
    pub(super) fn child(&self, name: &str) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW;
        match open(&self.0, name, flags, Mode::empty()) {
            // The kernel returns the same error for a link and for a file.
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
                match self.stat(name).as_ref().map(kind) {
                    Ok(FileType::Symlink) => Err(Errno::LOOP.into()),
                    _ => Err(error),
                }
            }
            child => child.map(Self),
        }
    }

    /// Opens a file for reading, without waiting for the writer of a pipe. Fails with `ELOOP` for a symbolic
    /// link.
    pub(super) fn open(&self, name: &str) -> io::Result<File> {
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
        open(&self.0, name, flags, Mode::empty()).map(File::from)
    }

    /// Makes a file that must not exist yet.
    pub(super) fn create(&self, name: &str) -> io::Result<File> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
        open(&self.0, name, flags, Mode::RUSR | Mode::WUSR).map(File::from)
    }

    /// Returns the status of a name. Does not follow a link.
    pub(super) fn stat(&self, name: &str) -> io::Result<Stat> {
        Ok(statat(&self.0, name, AtFlags::SYMLINK_NOFOLLOW)?)
    }

    pub(super) fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        Ok(renameat(&self.0, from, &self.0, to)?)
    }

    /// Renames a file to a name that must not exist yet.
    pub(super) fn rename_new(&self, from: &str, to: &str) -> io::Result<()> {
        let flags = RenameFlags::NOREPLACE;
        Ok(renameat_with(&self.0, from, &self.0, to, flags)?)
    }

    /// Gives a file a second name that must not exist yet.
    pub(super) fn link(&self, from: &str, to: &str) -> io::Result<()> {
        Ok(linkat(&self.0, from, &self.0, to, AtFlags::empty())?)
    }

    pub(super) fn remove(&self, name: &str) -> io::Result<()> {
        Ok(unlinkat(&self.0, name, AtFlags::empty())?)
    }

    /// Removes an empty directory.
    pub(super) fn remove_empty(&self, name: &str) -> io::Result<()> {
        Ok(unlinkat(&self.0, name, AtFlags::REMOVEDIR)?)
    }

    /// Returns the names in it with their types. Leaves out names that are not text: they are no keys.
    pub(super) fn names(&self) -> io::Result<impl Iterator<Item = io::Result<(String, FileType)>>> {
        let items = Dir::new(self.file()?)?;
        Ok(items.filter_map(|item| {
            let item = match item {
                Ok(item) => item,
                Err(errno) => return Some(Err(errno.into())),
            };
            let name = item.file_name().to_str().ok()?.to_owned();
            if matches!(name.as_str(), "." | "..") {
                return None;
            }
            match item.file_type() {
                // The filesystem does not return the type with the name.
                FileType::Unknown => Some(self.stat(&name).map(|stat| (name, kind(&stat)))),
                kind => Some(Ok((name, kind))),
            }
        }))
    }

    /// Makes the names in it durable.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.file()?.sync_all()
    }

    /// Returns the directory as a file that can be locked, read and synced.
    pub(super) fn file(&self) -> io::Result<File> {
        open(&self.0, ".", OFlags::DIRECTORY, Mode::empty()).map(File::from)
    }
}

fn open(above: impl AsFd, path: impl Arg, flags: OFlags, mode: Mode) -> io::Result<OwnedFd> {
    let path = path.into_c_str()?;
    let opened = retry_on_intr(|| openat(&above, &*path, flags | OFlags::CLOEXEC, mode));
    Ok(opened?)
}

/// Returns the type of a file.
pub(super) fn kind(stat: &Stat) -> FileType {
    FileType::from_raw_mode(stat.st_mode)
}

/// Returns whether this error means a symbolic link.
pub(super) fn is_link(error: &io::Error) -> bool {
    Errno::from_io_error(error) == Some(Errno::LOOP)
}

/// Returns a key's directory and its name in it.
pub(super) fn split(key: &str) -> (&str, &str) {
    key.rsplit_once('/').unwrap_or(("", key))
}
