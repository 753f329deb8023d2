//! The space of a filesystem.

use std::path::Path;

use rustix::fs::StatVfsMountFlags;

use super::error::BtrfsError;

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
