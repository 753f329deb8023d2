//! Finds out whether only deduplication has changed a snapshot.
//!
//! `bees` and `duperemove` make equal blocks share their place on the disk (`FIDEDUPERANGE`), in read-only
//! snapshots too. The kernel compares the blocks first, so every file keeps its content. But the snapshot's
//! ctransid increases, just as when a user makes a snapshot writable, changes a file, and makes it read-only
//! again.

use std::path::Path;

use super::error::BtrfsError;
use super::identity::{identity_at, open_subvolume};
use super::sys::{self, trees};

/// Returns whether only deduplication has changed the snapshot in the transactions from `since` on.
///
/// Every other change sets the ctime of a file, or of its directory, to the current time. So each inode that
/// may have changed must have a ctime from before the snapshot was made. If a clock was ahead when a file was
/// written, the answer is `false`. The time needed grows with what was changed. Needs root.
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
