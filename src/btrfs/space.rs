//! The space of a filesystem.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::fs::StatVfsMountFlags;

use super::error::BtrfsError;
use super::identity::filesystem_id;

/// The space of a filesystem.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// Free bytes.
    pub free: u64,
    /// Whether it is read-only. A btrfs that has lost its disk becomes read-only.
    pub read_only: bool,
}

impl Space {
    /// Returns the space of the filesystem of a path.
    pub fn of(path: &Path) -> Result<Self, BtrfsError> {
        let stat = rustix::fs::statvfs(path).map_err(|errno| BtrfsError::Io {
            action: "ask for the free space of",
            path: path.to_owned(),
            source: errno.into(),
        })?;
        Ok(Self {
            free: stat.f_bavail.saturating_mul(stat.f_frsize),
            read_only: stat.f_flag.contains(StatVfsMountFlags::RDONLY),
        })
    }
}

/// The space for metadata of a btrfs. It can run out while there is plenty for data, and then nothing can be
/// snapshotted or deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MetadataSpace {
    /// Bytes that are allocated to metadata and not used.
    pub free: u64,
    /// Bytes that are allocated to metadata.
    pub total: u64,
    /// Bytes of all devices that are allocated to nothing yet.
    pub unallocated: u64,
}

impl MetadataSpace {
    /// Returns the space for metadata of the filesystem of a path; `None` if the kernel does not show it.
    pub fn of(path: &Path) -> Option<Self> {
        let filesystem = filesystem_id(path).ok()?;
        Self::in_directory(&PathBuf::from(format!("/sys/fs/btrfs/{filesystem}")))
    }

    fn in_directory(shown: &Path) -> Option<Self> {
        let number = |path: PathBuf| fs::read_to_string(path).ok()?.trim().parse::<u64>().ok();
        let allocation = shown.join("allocation");
        let (total, used) = (
            number(allocation.join("metadata/total_bytes"))?,
            number(allocation.join("metadata/bytes_used"))?,
        );
        let mut allocated: u64 = 0;
        for kind in ["data", "metadata", "system", "mixed"] {
            allocated += number(allocation.join(kind).join("disk_total")).unwrap_or_default();
        }
        let mut devices: u64 = 0;
        for device in fs::read_dir(shown.join("devices")).ok()?.flatten() {
            // In sectors of 512 bytes, whatever the device has.
            devices += number(device.path().join("size"))?.saturating_mul(512);
        }
        Some(Self {
            free: total.saturating_sub(used),
            total,
            unallocated: devices.saturating_sub(allocated),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn space_for_metadata_is_read_as_the_kernel_shows_it() {
        let shown = tempfile::tempdir().unwrap();
        for (file, number) in [
            ("allocation/data/disk_total", 500),
            ("allocation/metadata/disk_total", 200),
            ("allocation/metadata/total_bytes", 100),
            ("allocation/metadata/bytes_used", 70),
            ("allocation/system/disk_total", 16),
            ("devices/a/size", 2),
            ("devices/b/size", 1),
        ] {
            let file = shown.path().join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, format!("{number}\n")).unwrap();
        }
        let space = MetadataSpace::in_directory(shown.path()).unwrap();
        let MetadataSpace {
            free,
            total,
            unallocated,
        } = space;
        assert_eq!((free, total, unallocated), (30, 100, 1536 - 716));
        fs::remove_file(shown.path().join("allocation/metadata/bytes_used")).unwrap();
        assert_eq!(MetadataSpace::in_directory(shown.path()), None);
    }
}
