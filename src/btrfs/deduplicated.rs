//! Whether deduplication alone has changed a snapshot.
//!
//! `bees` and `duperemove` let equal blocks share their place on the disk (`FIDEDUPERANGE`), in read-only snapshots
//! too. The kernel compares the blocks first, so every file still has the same content. But the snapshot's ctransid
//! moves on, as it does when somebody makes a snapshot writable, changes a file, and makes it read-only again.

use std::path::Path;

use super::error::BtrfsError;
use super::identity::{identity_at, open_subvolume};
use super::sys::{self, trees};

/// Finds out whether nothing but deduplication has changed the snapshot in the transactions from `since` on.
///
/// Every other change gives a file, or the directory that it lies in, the current time as its ctime. So each inode that
/// may have changed must have a ctime from before the snapshot was made. A clock that was ahead when a file was written
/// makes the answer no. The time it takes grows with what was changed. Needs root.
pub fn is_only_deduplicated(snapshot: &Path, since: u64) -> Result<bool, BtrfsError> {
    let failed = |source| BtrfsError::Io {
        action: "look for changed files in",
        path: snapshot.to_owned(),
        source,
    };
    let root = open_subvolume(snapshot)?;
    let id = identity_at(&root, snapshot)?.subvolume_id;
    let made = sys::subvol_info(&root).map_err(failed)?.made();
    let mut is_unchanged = true;
    let look = |inode: trees::Inode| {
        is_unchanged &= inode.changed <= made;
        Ok(())
    };
    trees::for_each_inode(&root, id, since, look).map_err(failed)?;
    Ok(is_unchanged)
}
