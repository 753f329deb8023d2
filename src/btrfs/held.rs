//! A directory that is held open, and operations on the subvolumes in it.
//!
//! Everything in it is named by a single component, and links are not followed. So a user who can change the
//! path of the directory can't influence these operations.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;

use super::deletion_error::undeletable;
use super::error::BtrfsError;
use super::identity::{identity_at, is_subvolume_root, require_btrfs_at};
use super::stream::FileTime;
use super::sys::{self, Writing};
use crate::model::SubvolumeIdentity;
use crate::process::{self, ProcessError};

/// A directory, by descriptor. Its path is only for messages.
#[derive(Debug)]
pub struct HeldDirectory {
    descriptor: OwnedFd,
    path: PathBuf,
}

/// Whether to make a plain directory or a subvolume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MadeAs {
    /// A plain directory.
    Directory,
    /// A subvolume.
    Subvolume,
}

impl AsFd for HeldDirectory {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

impl HeldDirectory {
    /// Opens a directory on btrfs by a path from the user, and follows links in it.
    pub fn open(path: &Path) -> Result<Self, BtrfsError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let descriptor = rustix::fs::open(path, flags, Mode::empty())
            .map_err(|errno| failed("open", path, errno))?;
        require_btrfs_at(&descriptor, path)?;
        let path = path.to_owned();
        Ok(Self { descriptor, path })
    }

    /// Returns its path for messages.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the path of something in it, for messages.
    pub fn join(&self, name: &OsStr) -> PathBuf {
        self.path.join(name)
    }

    /// Opens a directory in it; `None` if this name does not exist.
    pub fn enter(&self, name: &OsStr) -> Result<Option<Self>, BtrfsError> {
        let path = self.join(name);
        let Some(descriptor) = self.open_directory(name)? else {
            return Ok(None);
        };
        require_btrfs_at(&descriptor, &path)?;
        Ok(Some(Self { descriptor, path }))
    }

    /// Makes a directory in it that only its owner can use, and opens it.
    pub fn make(&self, name: &OsStr, made_as: MadeAs) -> Result<Self, BtrfsError> {
        let path = self.join(name);
        require_component(name, &path)?;
        match made_as {
            MadeAs::Directory => rustix::fs::mkdirat(self, name, Mode::RWXU)
                .map_err(|errno| failed("create", &path, errno))?,
            MadeAs::Subvolume => {
                // A new subvolume has the mode that the umask gives. No other user may open it, not even for
                // a moment.
                let umask = rustix::process::umask(Mode::RWXG | Mode::RWXO);
                let made = sys::create_subvolume(self, name.as_bytes());
                rustix::process::umask(umask);
                made.map_err(|source| io_failed("create the subvolume", &path, source))?;
            }
        }
        let made = self.enter(name)?.ok_or(BtrfsError::Missing { path })?;
        made.protect()?;
        Ok(made)
    }

    /// Lets only its owner use it, because a new subvolume has the mode that the umask gives. Does not change
    /// a directory of another user, who may have put it there.
    pub fn protect(&self) -> Result<(), BtrfsError> {
        if self.stat()?.st_uid == rustix::process::geteuid().as_raw() {
            rustix::fs::fchmod(self, Mode::RWXU)
                .map_err(|errno| failed("protect", &self.path, errno))?;
        }
        Ok(())
    }

    /// Returns its own owner, mode and times.
    pub fn stat(&self) -> Result<Stat, BtrfsError> {
        rustix::fs::fstat(self).map_err(|errno| failed("look at", &self.path, errno))
    }

    /// Returns whether it is the root of a subvolume.
    pub fn is_subvolume(&self) -> Result<bool, BtrfsError> {
        is_subvolume_root(self).map_err(|source| io_failed("look at", &self.path, source))
    }

    /// Returns whether `other` is the same directory.
    pub fn is(&self, other: &Self) -> Result<bool, BtrfsError> {
        let (one, other) = (self.stat()?, other.stat()?);
        Ok((one.st_dev, one.st_ino) == (other.st_dev, other.st_ino))
    }

    /// Returns whether this name exists in it.
    pub fn holds(&self, name: &OsStr) -> Result<bool, BtrfsError> {
        require_component(name, &self.join(name))?;
        match rustix::fs::statat(self, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(_) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(errno) => Err(failed("look at", &self.join(name), errno)),
        }
    }

    /// Returns the names in it.
    pub fn names(&self) -> Result<Vec<Vec<u8>>, BtrfsError> {
        let list = |errno| failed("list", &self.path, errno);
        let mut names = Vec::new();
        for entry in rustix::fs::Dir::read_from(self).map_err(list)? {
            let name = entry.map_err(list)?.file_name().to_bytes().to_vec();
            if name != b"." && name != b".." {
                names.push(name);
            }
        }
        Ok(names)
    }

    /// Opens the subvolume with this name in it; `None` if the name does not exist. Fails for anything but a
    /// subvolume.
    pub fn subvolume(&self, name: &OsStr) -> Result<Option<Self>, BtrfsError> {
        let Some(found) = self.enter(name)? else {
            return Ok(None);
        };
        if found.is_subvolume()? {
            return Ok(Some(found));
        }
        Err(BtrfsError::NotASubvolume { path: found.path })
    }

    /// Returns the identity of the subvolume whose root it is.
    pub fn identity(&self) -> Result<SubvolumeIdentity, BtrfsError> {
        identity_at(self, &self.path)
    }

    /// Returns when this subvolume was made, by the clock of that time.
    pub fn made_at(&self) -> Result<SystemTime, BtrfsError> {
        let info = sys::subvol_info(self)
            .map_err(|source| io_failed("read when the subvolume was made", &self.path, source))?;
        let [_, made, ..] = &info.times;
        Ok(SystemTime::UNIX_EPOCH + Duration::new(made.seconds, made.nanoseconds))
    }

    /// Makes a snapshot of the subvolume `of` in it. The name must not exist. The snapshot is durable: the
    /// kernel commits before it answers (`create_snapshot` in `fs/btrfs/ioctl.c`).
    pub fn snapshot(&self, of: &Self, name: &OsStr, read_only: ReadOnly) -> Result<(), BtrfsError> {
        let path = self.join(name);
        require_component(name, &path)?;
        let action = format!(
            "make the snapshot {} of {}",
            path.display(),
            of.path.display()
        );
        let writing = match read_only {
            ReadOnly::Yes => Writing::Refused,
            ReadOnly::No => Writing::Allowed,
        };
        let make = || sys::create_snapshot(of, self, name.as_bytes(), writing);
        begin(action, make)?.map_err(|source| match source.kind() {
            io::ErrorKind::AlreadyExists => BtrfsError::Exists { path: path.clone() },
            _ => io_failed("make the snapshot", &path, source),
        })
    }

    /// Deletes the subvolume with this id, which must have this name in it.
    pub fn delete(&self, name: &OsStr, subvolume_id: u64) -> Result<(), BtrfsError> {
        let path = self.join(name);
        let found = self.subvolume(name)?;
        let found = found.ok_or_else(|| BtrfsError::Missing { path: path.clone() })?;
        let identity = found.identity()?;
        if identity.subvolume_id != subvolume_id {
            return Err(BtrfsError::OtherId {
                path,
                expected: subvolume_id,
                found: identity.subvolume_id,
            });
        }
        let action = format!("delete the subvolume {}", path.display());
        begin(action, || sys::destroy_subvolume(self, subvolume_id))?
            .map_err(|source| undeletable(&path, subvolume_id, source))?;
        self.sync()
    }

    /// Removes an empty directory in it.
    pub fn remove(&self, name: &OsStr) -> Result<(), BtrfsError> {
        rustix::fs::unlinkat(self, name, AtFlags::REMOVEDIR)
            .map_err(|errno| failed("remove", &self.join(name), errno))
    }

    /// Makes everything on its filesystem durable.
    pub fn sync(&self) -> Result<(), BtrfsError> {
        rustix::fs::syncfs(self)
            .map_err(|errno| failed("sync the filesystem of", &self.path, errno))
    }

    fn open_directory(&self, name: &OsStr) -> Result<Option<OwnedFd>, BtrfsError> {
        let path = self.join(name);
        require_component(name, &path)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match rustix::fs::openat(self, name, flags, Mode::empty()) {
            Ok(descriptor) => Ok(Some(descriptor)),
            Err(Errno::NOENT) => Ok(None),
            Err(Errno::NOTDIR | Errno::LOOP) => Err(BtrfsError::NotADirectory { path }),
            Err(errno) => Err(failed("open", &path, errno)),
        }
    }

    /// Returns its own atime, mtime and ctime.
    pub fn times(&self) -> Result<[FileTime; 3], BtrfsError> {
        let stat = self.stat()?;
        let time = |seconds, nanoseconds: u64| FileTime {
            seconds,
            nanoseconds: u32::try_from(nanoseconds).unwrap_or_default(),
        };
        Ok([
            time(stat.st_atime, stat.st_atime_nsec),
            time(stat.st_mtime, stat.st_mtime_nsec),
            time(stat.st_ctime, stat.st_ctime_nsec),
        ])
    }

    /// Returns the mode of the file at `path` below it, if a change of the owner takes its setuid or setgid bit away.
    /// Follows no link.
    pub fn privileged_mode(&self, path: &OsStr) -> Option<u32> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = self.open_below(path, flags).ok()?;
        let mode = rustix::fs::fstat(&file).ok()?.st_mode;
        is_privileged(mode).then_some(mode)
    }

    /// Opens a path below it, at any depth, without following a link.
    pub(super) fn open_below(&self, path: &OsStr, flags: OFlags) -> Result<OwnedFd, Errno> {
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        rustix::fs::openat2(self, path, flags, Mode::empty(), resolve)
    }
}

/// Returns whether this is the mode of a file with the setuid or setgid bit that a change of the owner takes away: of
/// anything but a directory. Devices and fifos have such bits too, without a meaning.
pub(super) fn is_privileged(mode: u32) -> bool {
    let bits = Mode::from_raw_mode(mode).intersects(Mode::SUID | Mode::SGID);
    bits && FileType::from_raw_mode(mode) != FileType::Directory
}

/// Whether a snapshot is read-only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadOnly {
    /// It is read-only.
    Yes,
    /// It is writable.
    No,
}

/// Runs an operation, unless a signal has come: after a signal nothing is begun any more, just as no program
/// is started.
fn begin<T>(action: String, what: impl FnOnce() -> T) -> Result<T, BtrfsError> {
    let begun = process::enter(|| Ok::<_, ()>(what()), |_| None);
    match begun {
        Some(Ok(done)) => Ok(done),
        Some(Err(())) | None => Err(ProcessError::Stopping { action }.into()),
    }
}

/// Refuses a name that is no single component of a path: it would lead elsewhere.
fn require_component(name: &OsStr, path: &Path) -> Result<(), BtrfsError> {
    if is_component(name.as_bytes()) {
        return Ok(());
    }
    let path = path.to_owned();
    Err(BtrfsError::NotAName { path })
}

/// Returns whether this is a valid name for something in a directory.
pub fn is_component(name: &[u8]) -> bool {
    let leads_elsewhere = matches!(name, b"" | b"." | b"..") || name.contains(&b'/');
    !leads_elsewhere && name.len() <= 255 && !name.contains(&0)
}

pub(super) fn failed(action: &'static str, path: &Path, errno: Errno) -> BtrfsError {
    match errno {
        Errno::NOENT => BtrfsError::Missing {
            path: path.to_owned(),
        },
        _ => io_failed(action, path, errno.into()),
    }
}

fn io_failed(action: &'static str, path: &Path, source: io::Error) -> BtrfsError {
    BtrfsError::Io {
        action,
        path: path.to_owned(),
        source,
    }
}
