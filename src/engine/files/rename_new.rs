//! Gives a file the name under which others find it, never over something that has the name.

use std::ffi::OsStr;
use std::os::fd::OwnedFd;

use rustix::fs::{AtFlags, FileType, RenameFlags};
use rustix::io::Errno;

use super::attributes::Place;

/// Returns what has a name in a directory; `None` if nothing has it.
pub(super) fn kind(directory: &OwnedFd, name: &OsStr) -> Result<Option<FileType>, Errno> {
    match rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(FileType::from_raw_mode(stat.st_mode))),
        Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(errno),
    }
}

/// Renames to a new name; `EXIST` if something has it.
pub(super) fn rename_new(from: Place<'_>, to: Place<'_>) -> Result<(), Errno> {
    let rename =
        |flags| rustix::fs::renameat_with(from.directory, from.name, to.directory, to.name, flags);
    match rename(RenameFlags::NOREPLACE) {
        // A filesystem without such a rename.
        Err(Errno::INVAL | Errno::NOSYS) => {}
        renamed => return renamed,
    }
    if kind(from.directory, from.name)? != Some(FileType::Directory) {
        let (flags, names) = (AtFlags::empty(), (from.name, to.name));
        match rustix::fs::linkat(from.directory, names.0, to.directory, names.1, flags) {
            Ok(()) => return rustix::fs::unlinkat(from.directory, from.name, flags),
            Err(Errno::EXIST) => return Err(Errno::EXIST),
            // It has no hard links either.
            Err(_) => {}
        }
    }
    if kind(to.directory, to.name)?.is_some() {
        return Err(Errno::EXIST);
    }
    rename(RenameFlags::empty())
}
