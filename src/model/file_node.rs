//! A file, a directory or another inode, as a send stream tells of it.

/// The number of an object in a tree that a replay makes; the root directory has 1. It is not its inode number, which one
/// stream may use twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectId(pub i64);

impl ObjectId {
    /// The root directory.
    pub const ROOT: Self = Self(1);
}

/// What is known of an object, besides its names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileNode {
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
    /// When it was last modified: nanoseconds since 1970.
    pub mtime: i64,
    /// When it was last changed: nanoseconds since 1970.
    pub ctime: i64,
    /// Its inode number in the subvolume that was sent.
    pub inode: u64,
    /// Where a symbolic link leads.
    pub target: Option<Vec<u8>>,
    /// Its extended attributes, sorted by name: for each the length of the name in a byte, the name, and the first 16
    /// bytes of the BLAKE3 of its value.
    pub xattrs: Vec<u8>,
}

/// What a stream does to an object: several of its constants, or-ed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Changed(pub u8);

impl Changed {
    /// It is new.
    pub const MADE: Self = Self(1);
    /// Its data or its size.
    pub const DATA: Self = Self(2);
    /// Its mode, owner or extended attributes.
    pub const ATTRIBUTES: Self = Self(4);
    /// Its times.
    pub const TIMES: Self = Self(8);

    /// Returns both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Returns whether it has all of `other`.
    pub fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}
