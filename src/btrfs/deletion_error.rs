//! Finds out why the kernel does not delete a subvolume: it answers most reasons with the same error.

use std::io;
use std::os::fd::AsFd;
use std::path::Path;

use rustix::fs::{IFlags, Mode, OFlags};

use super::error::BtrfsError;
use super::neighbours::nested_subvolumes;
use super::sys::trees;
use super::undeletable::Undeletable;

/// Returns the error for a subvolume that the kernel did not delete.
pub(super) fn undeletable(path: &Path, subvolume_id: u64, source: io::Error) -> BtrfsError {
    match reason(path, subvolume_id, &source) {
        Some(why) => BtrfsError::Undeletable {
            path: path.to_owned(),
            why,
        },
        None => BtrfsError::Io {
            action: "delete the subvolume",
            path: path.to_owned(),
            source,
        },
    }
}

fn reason(path: &Path, subvolume_id: u64, source: &io::Error) -> Option<Undeletable> {
    match source.kind() {
        io::ErrorKind::DirectoryNotEmpty => {
            let nested = nested_subvolumes(path).ok()?;
            nested.into_iter().next().map(Undeletable::Holds)
        }
        io::ErrorKind::PermissionDenied => {
            let directory = path.parent()?;
            let open = |path: &Path| {
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
                rustix::fs::open(path, flags, Mode::empty())
            };
            let subvolume = open(path).ok()?;
            if trees::default_subvolume(&subvolume).ok()? == Some(subvolume_id) {
                return Some(Undeletable::Default);
            }
            let of_it = protection(&subvolume, path);
            let of_directory = || protection(open(directory).ok()?, directory);
            of_it.or_else(of_directory).or(Some(Undeletable::Sent))
        }
        _ => None,
    }
}

fn protection(directory: impl AsFd, path: &Path) -> Option<Undeletable> {
    let flags = rustix::fs::ioctl_getflags(directory).ok()?;
    let attribute = if flags.contains(IFlags::IMMUTABLE) {
        'i'
    } else if flags.contains(IFlags::APPEND) {
        'a'
    } else {
        return None;
    };
    Some(Undeletable::Protected {
        path: path.to_owned(),
        attribute,
    })
}
