//! An inode of a tree: what a stream says of a file besides its names.

use super::file_data::FilePieces;

/// Extended attributes: their names and values, in the order in which the streams set them.
pub(super) type Xattrs = Vec<(Vec<u8>, Vec<u8>)>;

/// An inode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TreeInode {
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// Names that it has; of a directory, how many are in it.
    pub(super) count: u32,
    pub(super) size: u64,
    pub(super) atime: StreamTime,
    pub(super) mtime: StreamTime,
    /// The extended attributes, by their number in the store.
    pub(super) xattrs: u32,
    /// Whether the tree's file has it as it is.
    pub(super) is_written: bool,
    pub(super) data: FilePieces,
    /// What only few have.
    pub(super) special: Option<Box<RareFacts>>,
}

/// What only devices and symbolic links have.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct RareFacts {
    pub(super) rdev: u64,
    pub(super) target: Option<Vec<u8>>,
}

/// A time as streams have it: seconds since 1970, and nanoseconds that are added to them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct StreamTime(pub(super) [u8; 12]);

impl TreeInode {
    pub(super) fn new(mode: u32, special: Option<Box<RareFacts>>) -> Self {
        Self {
            mode,
            uid: 0,
            gid: 0,
            count: 0,
            size: 0,
            atime: StreamTime::default(),
            mtime: StreamTime::default(),
            xattrs: 0,
            is_written: false,
            data: FilePieces::default(),
            special,
        }
    }

    /// Returns what it takes in memory besides itself.
    pub(super) fn memory_beside(&self) -> u64 {
        let target = self.special.as_deref().map_or(0, RareFacts::memory);
        target + self.data.memory()
    }
}

impl RareFacts {
    /// Returns what they take in memory.
    pub(super) fn memory(&self) -> u64 {
        (64 + self.target.as_ref().map_or(0, Vec::len)) as u64
    }
}

impl StreamTime {
    /// Takes a time of a stream, whose length the rules of streams have checked.
    pub(super) fn of_stream(time: &[u8]) -> Self {
        Self(time.try_into().unwrap_or_default())
    }

    pub(super) fn nanoseconds(self) -> i128 {
        let [seconds @ .., a, b, c, d] = self.0;
        let seconds = i128::from(i64::from_le_bytes(seconds));
        seconds * 1_000_000_000 + i128::from(u32::from_le_bytes([a, b, c, d]))
    }
}
