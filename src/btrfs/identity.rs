//! Reads the identity of a subvolume from the kernel.
//!
//! `btrfs subvolume show` does not print ctransid, and its output is for people.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags};

use super::error::BtrfsError;
use super::sys::{self, FsInfo, SubvolInfo, trees};
use crate::model::{SubvolumeIdentity, Uuid};

/// `BTRFS_SUPER_MAGIC`.
const BTRFS_MAGIC: u64 = 0x9123_683e;
/// `BTRFS_ROOT_SUBVOL_RDONLY`, in the flags of the root item.
const ROOT_READ_ONLY: u64 = 1;

/// Returns the identity of the subvolume at `path`.
pub fn identity(path: &Path) -> Result<SubvolumeIdentity, BtrfsError> {
    identity_at(open_subvolume(path)?, path)
}

/// Returns the identity of the subvolume whose root is open.
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
        otransid: info.otransid,
        read_only: info.flags & ROOT_READ_ONLY != 0,
    })
}

/// Returns the subvolume with this uuid on the filesystem of `path`, wherever it is; `None` if there is none.
pub fn find(path: &Path, uuid: Uuid) -> Result<Option<SubvolumeIdentity>, BtrfsError> {
    let file = open_on_btrfs(path)?;
    let failed = |source| BtrfsError::Io {
        action: "look for a subvolume by its uuid on the filesystem of",
        path: path.to_owned(),
        source,
    };
    let Some(id) = trees::subvolume_of(&file, uuid.0).map_err(failed)? else {
        return Ok(None);
    };
    let item = trees::root_item(&file, id).map_err(failed)?;
    // Compare the uuid: the subvolume may have been deleted. Its id is never used again.
    let found = item.and_then(|item| from_root_item(id, &item));
    Ok(found.filter(|found| found.uuid == uuid))
}

/// Reads a `struct btrfs_root_item`, which is little-endian and packed. `None` if the subvolume is deleted,
/// or if a kernel before 3.6, which knows no uuids, wrote the item last.
fn from_root_item(subvolume_id: u64, item: &[u8]) -> Option<SubvolumeIdentity> {
    let number = |at: usize| Some(u64::from_le_bytes(item.get(at..at + 8)?.try_into().ok()?));
    let uuid = |at: usize| Uuid::from_btrfs(item.get(at..at + 16)?.try_into().ok()?);
    let (generation, generation_of_uuids) = (number(160)?, number(239)?);
    let links = u32::from_le_bytes(item.get(216..220)?.try_into().ok()?);
    if links == 0 || generation != generation_of_uuids {
        return None;
    }
    Some(SubvolumeIdentity {
        subvolume_id,
        uuid: uuid(247)?,
        parent_uuid: uuid(263),
        received_uuid: uuid(279),
        ctransid: number(295)?,
        otransid: number(303)?,
        read_only: number(208)? & ROOT_READ_ONLY != 0,
    })
}

/// Refuses a path that is missing or not on btrfs.
pub fn require_btrfs(path: &Path) -> Result<(), BtrfsError> {
    open_on_btrfs(path).map(drop)
}

/// Returns the id of the filesystem of `path`. `st_dev` and `f_fsid` differ between subvolumes.
pub fn filesystem_id(path: &Path) -> Result<Uuid, BtrfsError> {
    Ok(Uuid(filesystem_info(path)?.fsid))
}

/// Returns facts about the filesystem of `path`.
pub(super) fn filesystem_info(path: &Path) -> Result<FsInfo, BtrfsError> {
    let file = open_on_btrfs(path)?;
    sys::fs_info(&file).map_err(|source| BtrfsError::Io {
        action: "read the identity of the filesystem of",
        path: path.to_owned(),
        source,
    })
}

/// Opens the root of a subvolume. Fails for anything else.
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

/// Returns whether an open file is the root of a subvolume.
pub(super) fn is_subvolume_root(file: impl AsFd) -> io::Result<bool> {
    let stat = rustix::fs::fstat(file)?;
    Ok(stat.st_ino == trees::ROOT_INODE && FileType::from_raw_mode(stat.st_mode).is_dir())
}

fn open_on_btrfs(path: &Path) -> Result<OwnedFd, BtrfsError> {
    // With NONBLOCK, because opening a fifo would wait for its writer.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = rustix::fs::open(path, flags, Mode::empty())
        .map_err(|source| io_error("open", path, source))?;
    require_btrfs_at(&file, path)?;
    Ok(file)
}

/// Fails if an open file is not on btrfs.
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
/// Exit code 0 of `btrfs receive` does not mean durable: after a crash right behind it, every file of the
/// finished subvolume was seen empty.
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
