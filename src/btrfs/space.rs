//! How much room a filesystem has.

use std::path::Path;

use rustix::fs::StatVfsMountFlags;

use super::error::BtrfsError;

/// The room of a filesystem.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// Bytes that can still be written.
    pub free: u64,
    /// Whether it can't be written at all. A btrfs that has lost its disk makes itself so.
    pub read_only: bool,
}

impl Space {
    /// The room of the filesystem that holds a path.
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
