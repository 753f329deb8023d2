//! A snapshot that is open to be read by inode.

use std::os::fd::OwnedFd;
use std::path::Path;

use crate::btrfs::error::BtrfsError;
use crate::btrfs::identity::{identity, open_subvolume};

/// A snapshot that is open to be read by inode.
#[derive(Debug)]
pub(super) struct OpenSnapshot {
    pub(super) root: OwnedFd,
    pub(super) id: u64,
}

impl OpenSnapshot {
    pub(super) fn open(path: &Path) -> Result<Self, BtrfsError> {
        let id = identity(path)?.subvolume_id;
        let root = open_subvolume(path)?;
        Ok(Self { root, id })
    }
}
