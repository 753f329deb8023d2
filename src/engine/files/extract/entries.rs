//! What is extracted: names, and the inodes behind them.

use crate::model::file_node::ObjectId;

/// A name that is extracted. Directories come before what is in them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExtractEntry {
    /// The directory that it is in, by its number in the list; `None` for the target directory itself.
    pub parent: Option<u32>,
    /// Its name there: one component of a path.
    pub name: Box<[u8]>,
    /// What it names. Entries with the same object are hard links.
    pub object: ObjectId,
    /// A directory that is only on the way to what is wanted. It may be in the target directory before.
    pub is_on_the_way: bool,
}

/// An inode as it was archived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExtractedNode {
    /// Kind and permission bits, as stat says.
    pub mode: u32,
    /// Its owner.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// Of a device, as stat says; else 0.
    pub rdev: u64,
    /// Bytes of a file; else 0.
    pub size: u64,
    /// When it was last read: nanoseconds since 1970. btrfs has 64 bits of seconds, and so any year.
    pub atime: i128,
    /// When it was last modified: nanoseconds since 1970.
    pub mtime: i128,
    /// Where a symbolic link leads.
    pub target: Option<Vec<u8>>,
    /// Its extended attributes in the order in which the streams set them, each with its value.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}
