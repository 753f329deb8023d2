//! Owner, mode, extended attributes (and so ACLs) and times of what is copied.
//!
//! The new file is in a directory that only this user can enter. So no other user has put a link in its place.

use std::ffi::OsStr;
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
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
pub enum NotKept {
    /// User or group; with them the setuid and setgid bits.
    Owner,
    /// Permission bits.
    Mode,
    /// An extended attribute or an ACL.
    Attribute,
    /// The time of the last change, which differs by more than two seconds.
    Time,
    /// That several names are one file: each is a file of its own.
    HardLink,
    /// A device, which only root can make.
    Device,
    /// What is in a nested subvolume or in a mount.
    Nested,
}

/// What an inode has besides its data and its extended attributes.
#[derive(Clone)]
pub(super) struct InodeAttributes {
    /// Kind and permission bits, as stat says.
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) times: Timestamps,
}

impl From<&Stat> for InodeAttributes {
    fn from(stat: &Stat) -> Self {
        let time = |seconds, nanoseconds: u64| Timespec {
            tv_sec: seconds,
            tv_nsec: nanoseconds.try_into().unwrap_or_default(),
        };
        Self {
            mode: stat.st_mode,
            uid: stat.st_uid,
            gid: stat.st_gid,
            times: Timestamps {
                last_access: time(stat.st_atime, stat.st_atime_nsec),
                last_modification: time(stat.st_mtime, stat.st_mtime_nsec),
            },
        }
    }
}

/// An extended attribute: its name and its value.
type Xattr = (Vec<u8>, Vec<u8>);

/// Gives a copy the attributes of its original. `path` is for messages. Returns what could not be kept.
pub(super) fn copy_attributes(
    from: Place<'_>,
    to: Place<'_>,
    stat: &Stat,
    path: &Path,
) -> Result<Vec<NotKept>, Error> {
    let (xattrs, are_all) = read_xattrs(from, path)?;
    let mut lost = set_attributes(to, &stat.into(), &xattrs, path)?;
    if !are_all && !lost.contains(&NotKept::Attribute) {
        lost.push(NotKept::Attribute);
    }
    Ok(lost)
}

/// Gives a new inode its attributes. `path` is for messages. Returns what could not be kept.
pub(super) fn set_attributes(
    to: Place<'_>,
    wanted: &InodeAttributes,
    xattrs: &[Xattr],
    path: &Path,
) -> Result<Vec<NotKept>, Error> {
    let mut lost = Vec::new();
    // A change of the owner takes away setuid bits and capabilities, so it comes first.
    let owned = set_owner(to, wanted).map_err(failed("set the owner of", path))?;
    if !owned {
        lost.push(NotKept::Owner);
    }
    if !set_xattrs(to, xattrs).map_err(failed("set an attribute of", path))? {
        lost.push(NotKept::Attribute);
    }
    let mode = kept_mode(wanted.mode, owned);
    let is_link = FileType::from_raw_mode(wanted.mode) == FileType::Symlink;
    if !is_link {
        let set = rustix::fs::chmodat(to.directory, to.name, mode, AtFlags::empty());
        or_unsupported(set).map_err(failed("set the mode of", path))?;
    }
    let set = set_times(to, &wanted.times);
    or_unsupported(set).map_err(failed("set the times of", path))?;
    // Some filesystems take what they don't keep, without an error.
    let now = rustix::fs::statat(to.directory, to.name, AtFlags::SYMLINK_NOFOLLOW)
        .map_err(failed("look at", path))?;
    if !is_link && Mode::from_raw_mode(now.st_mode) != mode {
        lost.push(NotKept::Mode);
    }
    let time = wanted.times.last_modification.tv_sec;
    if (i128::from(now.st_mtime) - i128::from(time)).abs() > 2 {
        lost.push(NotKept::Time);
    }
    Ok(lost)
}

/// The mode that a copy gets. With another owner, a setuid bit would give another user's rights away.
pub(super) fn kept_mode(mode: u32, owned: bool) -> Mode {
    let kept = if owned { 0o7777 } else { 0o1777 };
    Mode::from_raw_mode(mode & kept)
}

/// Takes it for success that a filesystem does not have something.
fn or_unsupported(set: Result<(), Errno>) -> Result<(), Errno> {
    match set {
        Err(Errno::PERM | Errno::NOSYS | Errno::NOTSUP) => Ok(()),
        set => set,
    }
}

fn failed(doing: &'static str, path: &Path) -> impl Fn(Errno) -> Error {
    move |errno| Error::file(doing, path, errno.into())
}

/// Returns whether the copy has the owner of the original.
fn set_owner(to: Place<'_>, wanted: &InodeAttributes) -> Result<bool, Errno> {
    let (user, group) = (Uid::from_raw(wanted.uid), Gid::from_raw(wanted.gid));
    let flags = AtFlags::SYMLINK_NOFOLLOW;
    let set = |user, group| match rustix::fs::chownat(to.directory, to.name, user, group, flags) {
        Ok(()) => Ok(true),
        Err(Errno::PERM | Errno::INVAL | Errno::NOSYS | Errno::NOTSUP | Errno::OVERFLOW) => {
            Ok(false)
        }
        Err(errno) => Err(errno),
    };
    // A group of one's own can be kept without root.
    if !set(Some(user), Some(group))? {
        set(None, Some(group))?;
    }
    let made = rustix::fs::statat(to.directory, to.name, flags)?;
    Ok((made.st_uid, made.st_gid) == (wanted.uid, wanted.gid))
}

/// Sets the times of the last access and the last change.
fn set_times(to: Place<'_>, times: &Timestamps) -> Result<(), Errno> {
    rustix::fs::utimensat(to.directory, to.name, times, AtFlags::SYMLINK_NOFOLLOW)
}

/// Reads the extended attributes, and returns whether these are all.
fn read_xattrs(from: Place<'_>, path: &Path) -> Result<(Vec<Xattr>, bool), Error> {
    let from = from.path();
    let mut list = vec![0; LONGEST];
    let length = match rustix::fs::llistxattr(&from, &mut list[..]) {
        Ok(length) => length,
        Err(Errno::NOTSUP) => return Ok((Vec::new(), true)),
        Err(errno) => return Err(failed("list the attributes of", path)(errno)),
    };
    let names = list[..length].split(|byte| *byte == 0);
    let (mut xattrs, mut are_all) = (Vec::new(), true);
    for name in names.filter(|name| !name.is_empty()) {
        let mut value = vec![0; LONGEST];
        let length = match rustix::fs::lgetxattr(&from, OsStr::from_bytes(name), &mut value[..]) {
            Ok(length) => length,
            // Only root can read it.
            Err(Errno::PERM | Errno::ACCESS | Errno::NODATA) => {
                are_all = false;
                continue;
            }
            Err(errno) => return Err(failed("read an attribute of", path)(errno)),
        };
        xattrs.push((name.to_vec(), value[..length].to_vec()));
    }
    Ok((xattrs, are_all))
}

/// Returns whether the copy has all of them.
fn set_xattrs(to: Place<'_>, xattrs: &[Xattr]) -> Result<bool, Errno> {
    let mut kept = true;
    for (name, value) in xattrs {
        let name = OsStr::from_bytes(name);
        match rustix::fs::lsetxattr(to.path(), name, value, XattrFlags::empty()) {
            Ok(()) => {}
            // Another filesystem, or an attribute that only root can set.
            Err(
                Errno::PERM
                | Errno::ACCESS
                | Errno::NOTSUP
                | Errno::NOSYS
                | Errno::INVAL
                | Errno::TOOBIG
                | Errno::RANGE,
            ) => kept = false,
            // ext4 has not more than a block for all of an inode, and says this of the rest.
            Err(Errno::NOSPC) if !is_full(to)? => kept = false,
            Err(errno) => return Err(errno),
        }
    }
    Ok(kept)
}

/// Whether a filesystem has no blocks left.
fn is_full(of: Place<'_>) -> Result<bool, Errno> {
    Ok(rustix::fs::fstatvfs(of.directory)?.f_bavail < 16)
}

/// Takes the ACLs away that a new directory has from the one above, so that nothing in it inherits them.
pub(super) fn drop_inherited(directory: &OwnedFd) {
    for name in ["system.posix_acl_default", "system.posix_acl_access"] {
        // It has none, or the filesystem has none.
        let _ = rustix::fs::fremovexattr(directory, name);
    }
}
