//! Empties a directory, however deep it is.

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::directories::{allow_all, readable};
use crate::engine::files::attributes::Place;
use crate::engine::files::entry::names_of;
use crate::engine::files::rename_new::rename_new;

/// Removes all that is in a directory that only this user can enter. Directories that have others in them are emptied into the
/// top one, so that neither the stack nor the open descriptors grow with the depth.
pub(in crate::engine::files) fn clear(top: &OwnedFd) -> Result<(), Errno> {
    let mut moved = 0_u64;
    loop {
        let found = names(top)?;
        if found.is_empty() {
            return Ok(());
        }
        for (name, kind) in found {
            if kind != FileType::Directory {
                rustix::fs::unlinkat(top, &name, AtFlags::empty())?;
                continue;
            }
            let directory = open(top, &name)?;
            for (inner, kind) in names(&directory)? {
                if kind != FileType::Directory {
                    rustix::fs::unlinkat(&directory, &inner, AtFlags::empty())?;
                    continue;
                }
                // A directory can only be moved by a user who can write to it.
                open(&directory, &inner)?;
                loop {
                    moved += 1;
                    let (from, to) = (inner.as_os_str(), OsString::from(format!("moved-{moved}")));
                    let place = |directory, name| Place { directory, name };
                    match rename_new(place(&directory, from), place(top, &to)) {
                        Err(Errno::EXIST) => {}
                        renamed => break renamed?,
                    }
                }
            }
            rustix::fs::unlinkat(top, &name, AtFlags::REMOVEDIR)?;
        }
    }
}

fn open(above: &OwnedFd, name: &OsString) -> Result<OwnedFd, Errno> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let directory = rustix::fs::openat(above, name, flags, Mode::empty())?;
    allow_all(&directory)?;
    Ok(directory)
}

fn names(directory: &OwnedFd) -> Result<Vec<(OsString, FileType)>, Errno> {
    let names = names_of(&readable(directory)?, Path::new(""));
    // Its error is one of the kernel's.
    let names = names.map_err(|error| match error {
        crate::error::Error::File { source, .. } => {
            Errno::from_io_error(&source).unwrap_or(Errno::IO)
        }
        _ => Errno::IO,
    })?;
    Ok(names.into_iter().collect())
}
