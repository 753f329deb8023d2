//! Owner, mode, extended attributes (and so ACLs) and times of what is copied.
//!
//! The new file is in a directory that only this user can enter. So no other user has put a link in its place.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Gid, Mode, Stat, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;

use crate::error::Error;

/// The most bytes of the names of one file's attributes, or of one value: the kernel's limit.
const LONGEST: usize = 64 << 10;

/// A file by the open directory that it is in, and its name there; or an open directory itself, with the name `.`.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) directory: &'a OwnedFd,
    pub(super) name: &'a OsStr,
}

impl<'a> Place<'a> {
    /// The open directory itself.
    pub(super) fn itself(directory: &'a OwnedFd) -> Self {
        Self {
            directory,
            name: OsStr::new("."),
        }
    }

    /// A path for calls that take no descriptor. Its last component is not followed.
    fn path(self) -> PathBuf {
        let directory = format!("/proc/self/fd/{}", self.directory.as_raw_fd());
        Path::new(&directory).join(self.name)
    }
}

/// Something that a copy does not have, though the original has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum NotKept {
    /// User or group; with them the setuid and setgid bits.
    Owner,
    /// An extended attribute or an ACL.
    Attribute,
    /// A device, which only root can make.
    Device,
    /// What is in a nested subvolume or in a mount.
    Nested,
}

/// Gives a copy the attributes of its original. `path` is for messages. Returns what could not be kept.
pub(super) fn copy_attributes(
    from: Place<'_>,
    to: Place<'_>,
    stat: &Stat,
    path: &Path,
) -> Result<Vec<NotKept>, Error> {
    let mut lost = Vec::new();
    // A change of the owner takes away setuid bits and capabilities, so it comes first.
    let owned = copy_owner(to, stat).map_err(failed("set the owner of", path))?;
    if !owned {
        lost.push(NotKept::Owner);
    }
    if !copy_xattrs(from, to, path)? {
        lost.push(NotKept::Attribute);
    }
    if FileType::from_raw_mode(stat.st_mode) != FileType::Symlink {
        copy_mode(to, stat, owned).map_err(failed("set the mode of", path))?;
    }
    copy_times(to, stat).map_err(failed("set the times of", path))?;
    Ok(lost)
}

fn failed(doing: &'static str, path: &Path) -> impl Fn(Errno) -> Error {
    move |errno| Error::file(doing, path, errno.into())
}

/// Returns whether the copy has the owner of the original.
fn copy_owner(to: Place<'_>, stat: &Stat) -> Result<bool, Errno> {
    let (user, group) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
    let flags = AtFlags::SYMLINK_NOFOLLOW;
    let set = |user, group| match rustix::fs::chownat(to.directory, to.name, user, group, flags) {
        Ok(()) => Ok(true),
        Err(Errno::PERM | Errno::INVAL) => Ok(false),
        Err(errno) => Err(errno),
    };
    if set(Some(user), Some(group))? {
        return Ok(true);
    }
    // A group of one's own can be kept without root.
    set(None, Some(group))?;
    let made = rustix::fs::statat(to.directory, to.name, flags)?;
    Ok((made.st_uid, made.st_gid) == (stat.st_uid, stat.st_gid))
}

fn copy_mode(to: Place<'_>, stat: &Stat, owned: bool) -> Result<(), Errno> {
    // With another owner, a setuid bit would give another user's rights away.
    let kept = if owned { 0o7777 } else { 0o1777 };
    let mode = Mode::from_raw_mode(stat.st_mode & kept);
    rustix::fs::chmodat(to.directory, to.name, mode, AtFlags::empty())
}

/// Sets the times of the last access and the last change.
pub(super) fn copy_times(to: Place<'_>, stat: &Stat) -> Result<(), Errno> {
    let time = |seconds, nanoseconds: u64| Timespec {
        tv_sec: seconds,
        tv_nsec: nanoseconds.try_into().unwrap_or_default(),
    };
    let times = Timestamps {
        last_access: time(stat.st_atime, stat.st_atime_nsec),
        last_modification: time(stat.st_mtime, stat.st_mtime_nsec),
    };
    rustix::fs::utimensat(to.directory, to.name, &times, AtFlags::SYMLINK_NOFOLLOW)
}

/// Returns whether the copy has all extended attributes of the original.
fn copy_xattrs(from: Place<'_>, to: Place<'_>, path: &Path) -> Result<bool, Error> {
    let (from, to) = (from.path(), to.path());
    let mut list = vec![0; LONGEST];
    let length = match rustix::fs::llistxattr(&from, &mut list[..]) {
        Ok(length) => length,
        Err(Errno::NOTSUP) => return Ok(true),
        Err(errno) => return Err(failed("list the attributes of", path)(errno)),
    };
    let names = list[..length].split(|byte| *byte == 0);
    let mut kept = true;
    for name in names.filter(|name| !name.is_empty()) {
        let name = OsString::from(OsStr::from_bytes(name));
        let mut value = vec![0; LONGEST];
        let length = match rustix::fs::lgetxattr(&from, &name, &mut value[..]) {
            Ok(length) => length,
            // Only root can read it.
            Err(Errno::PERM | Errno::ACCESS | Errno::NODATA) => {
                kept = false;
                continue;
            }
            Err(errno) => return Err(failed("read an attribute of", path)(errno)),
        };
        match rustix::fs::lsetxattr(&to, &name, &value[..length], XattrFlags::empty()) {
            Ok(()) => {}
            // Another filesystem, or an attribute that only root can set.
            Err(Errno::PERM | Errno::ACCESS | Errno::NOTSUP | Errno::INVAL) => kept = false,
            Err(errno) => return Err(failed("set an attribute of", path)(errno)),
        }
    }
    Ok(kept)
}

/// Takes the ACLs away that a new directory has from the one above, so that nothing in it inherits them.
pub(super) fn drop_inherited(directory: &OwnedFd) {
    for name in ["system.posix_acl_default", "system.posix_acl_access"] {
        // It has none, or the filesystem has none.
        let _ = rustix::fs::fremovexattr(directory, name);
    }
}
