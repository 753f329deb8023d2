//! What a subvolume is, asked of the kernel.
//!
//! `btrfs subvolume show` does not print ctransid, and its output is for people.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags};

use super::error::BtrfsError;
use super::sys::{self, SubvolInfo};
use crate::model::{SubvolumeIdentity, Uuid};

/// `BTRFS_SUPER_MAGIC`.
const BTRFS_MAGIC: u64 = 0x9123_683e;
/// `BTRFS_FIRST_FREE_OBJECTID`: the inode number of every subvolume's root, and of nothing else.
const ROOT_INODE: u64 = 256;
/// `BTRFS_ROOT_SUBVOL_RDONLY`, in the flags of the root item.
const ROOT_READ_ONLY: u64 = 1;

/// The identity of the subvolume at `path`.
pub fn identity(path: &Path) -> Result<SubvolumeIdentity, BtrfsError> {
    identity_at(open_subvolume(path)?, path)
}

/// The identity of the subvolume whose root is open.
pub(super) fn identity_at(root: impl AsFd, path: &Path) -> Result<SubvolumeIdentity, BtrfsError> {
    let info = sys::subvol_info(&root).map_err(|source| BtrfsError::Io {
        action: "read the identity of the subvolume",
        path: path.to_owned(),
        source,
    })?;
    from_info(&info).ok_or_else(|| BtrfsError::NoUuid {
        path: path.to_owned(),
    })
}

fn from_info(info: &SubvolInfo) -> Option<SubvolumeIdentity> {
    Some(SubvolumeIdentity {
        subvolume_id: info.treeid,
        uuid: Uuid::from_btrfs(info.uuid)?,
        parent_uuid: Uuid::from_btrfs(info.parent_uuid),
        received_uuid: Uuid::from_btrfs(info.received_uuid),
        ctransid: info.ctransid,
        read_only: info.flags & ROOT_READ_ONLY != 0,
    })
}

/// Refuses a path that is missing or not on btrfs.
pub fn require_btrfs(path: &Path) -> Result<(), BtrfsError> {
    open_on_btrfs(path).map(drop)
}

/// The id of the filesystem that holds `path`: `st_dev` and `f_fsid` differ between subvolumes.
pub fn filesystem_id(path: &Path) -> Result<Uuid, BtrfsError> {
    let file = open_on_btrfs(path)?;
    let info = sys::fs_info(&file).map_err(|source| BtrfsError::Io {
        action: "read the identity of the filesystem of",
        path: path.to_owned(),
        source,
    })?;
    Ok(Uuid(info.fsid))
}

/// Opens the root of a subvolume, and nothing else.
pub(super) fn open_subvolume(path: &Path) -> Result<OwnedFd, BtrfsError> {
    let file = open_on_btrfs(path)?;
    let is_root = is_subvolume_root(&file).map_err(|source| BtrfsError::Io {
        action: "look at",
        path: path.to_owned(),
        source,
    })?;
    if !is_root {
        return Err(BtrfsError::NotASubvolume {
            path: path.to_owned(),
        });
    }
    Ok(file)
}

/// Whether what is open is the root of a subvolume.
pub(super) fn is_subvolume_root(file: impl AsFd) -> io::Result<bool> {
    let stat = rustix::fs::fstat(file)?;
    Ok(stat.st_ino == ROOT_INODE && FileType::from_raw_mode(stat.st_mode).is_dir())
}

fn open_on_btrfs(path: &Path) -> Result<OwnedFd, BtrfsError> {
    // NONBLOCK, since opening a fifo would wait for its writer.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = rustix::fs::open(path, flags, Mode::empty())
        .map_err(|source| io_error("open", path, source))?;
    require_btrfs_at(&file, path)?;
    Ok(file)
}

/// Refuses what is open on another filesystem.
pub(super) fn require_btrfs_at(file: impl AsFd, path: &Path) -> Result<(), BtrfsError> {
    let fs = rustix::fs::fstatfs(file)
        .map_err(|source| io_error("ask for the filesystem of", path, source))?;
    // The field's type differs between architectures.
    #[allow(
        clippy::cast_sign_loss,
        clippy::unnecessary_cast,
        reason = "a magic number"
    )]
    if fs.f_type as u64 & 0xffff_ffff != BTRFS_MAGIC {
        return Err(BtrfsError::NotBtrfs {
            path: path.to_owned(),
        });
    }
    Ok(())
}

fn io_error(action: &'static str, path: &Path, source: rustix::io::Errno) -> BtrfsError {
    let path = path.to_owned();
    match source {
        rustix::io::Errno::NOENT => BtrfsError::Missing { path },
        other => BtrfsError::Io {
            action,
            path,
            source: other.into(),
        },
    }
}

/// Makes everything on the filesystem that holds `path` durable.
///
/// An exit 0 of `btrfs receive` is not: after a crash right behind it, every file of the sealed
/// subvolume was seen empty.
pub fn sync(path: &Path) -> Result<(), BtrfsError> {
    let failed = |source: io::Error| BtrfsError::Io {
        action: "sync the filesystem of",
        path: path.to_owned(),
        source,
    };
    let file = File::open(path).map_err(failed)?;
    rustix::fs::syncfs(&file).map_err(|errno| failed(errno.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_and_what_is_not_btrfs_are_told_apart() {
        assert!(matches!(
            identity(Path::new("/nowhere/at/all")),
            Err(BtrfsError::Missing { .. })
        ));
        for path in ["/proc", "/proc/self/stat"] {
            assert!(matches!(
                require_btrfs(Path::new(path)),
                Err(BtrfsError::NotBtrfs { .. })
            ));
        }
    }
}
