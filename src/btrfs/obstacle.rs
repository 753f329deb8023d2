//! What prevents a snapshot from being sent: a file that can't be read, or a path that is too long.

use std::path::PathBuf;

use super::stream::LONGEST_PATH;

/// What a sender failed at.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Obstacle {
    /// A part of a file can't be read.
    #[error("the file {} in it can't be read", .path.display())]
    Unreadable {
        /// The file, from the subvolume's root.
        path: PathBuf,
        /// Its inode number.
        inode: u64,
    },
    /// Something in the subvolume has a path that a stream can't carry, or a restore can't take.
    #[error("a path in it is longer than {LONGEST_PATH} bytes: {}…", .path.display())]
    PathTooLong {
        /// The first bytes of the path.
        path: PathBuf,
    },
}
