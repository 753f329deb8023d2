//! Whether the kernel ends a file of the send parent with a truncate, in streams of version 1.
//!
//! `finish_inode_if_needed` of `fs/btrfs/send.c` leaves it out if the size is the old one, or if the file grew and the last
//! write ended at its size. Where that was, `send_hole` of version 1 remembers only when it writes zeros, which it does not do in
//! a stream without data. So there a truncate can be missing, or be one too many, and this finds out what it would be with
//! data: a hole before an extent is written before that; a hole up to the file's end is written after the decision.

use super::open_snapshot::OpenSnapshot;
use crate::btrfs::sys::trees;

/// A file of the send parent whose data changes.
#[derive(Debug)]
pub(super) struct LastTruncate {
    pub(super) inode: u64,
    /// The size now.
    pub(super) bytes: u64,
    bytes_before: u64,
    /// Where the last write or clone ended.
    next: u64,
}

impl LastTruncate {
    /// Looks at both sizes of a file.
    pub(super) fn begin(
        inode: u64,
        snapshot: &OpenSnapshot,
        parent: &OpenSnapshot,
    ) -> std::io::Result<Self> {
        let bytes = |of: &OpenSnapshot| {
            let file = trees::open_number(&of.root, of.id, inode)?;
            Ok::<_, std::io::Error>(file.metadata()?.len())
        };
        Ok(Self {
            inode,
            bytes: bytes(snapshot)?,
            bytes_before: bytes(parent)?,
            next: 0,
        })
    }

    /// Notes a clone that ends there.
    pub(super) fn cloned(&mut self, end: u64) {
        self.next = end;
    }

    /// Notes data from `begin` to `end`.
    pub(super) fn written(
        &mut self,
        begin: u64,
        end: u64,
        snapshot: &OpenSnapshot,
    ) -> std::io::Result<()> {
        let file = trees::open_number(&snapshot.root, snapshot.id, self.inode)?;
        if trees::has_extent_from(&file, begin)? {
            self.next = end;
        }
        Ok(())
    }

    /// Whether a truncate ends the file.
    pub(super) fn is_due(&self) -> bool {
        let ends_with_write = self.bytes > self.bytes_before && self.next == self.bytes;
        self.bytes != self.bytes_before && !ends_with_write
    }
}
