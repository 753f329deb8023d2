//! The data of small files, which lies in the tree itself: many are read by one search, and none is opened.

use std::collections::HashMap;
use std::ops::{Range, RangeInclusive};

use super::block::Gap;
use super::open_snapshot::OpenSnapshot;
use crate::btrfs::stream::FileTime;
use crate::btrfs::sys::trees::{EXTENT_DATA, INODE_ITEM, Inode, ItemSearch};

/// A file with more bytes has its data elsewhere (`max_inline`, at most a block of the filesystem).
const LONGEST: usize = 4096;

/// How many bytes one search reads at least, and at most.
const SEARCHED: RangeInclusive<usize> = (4 << 10)..=(256 << 10);

/// If that many files of a search were of use, the next one reads more.
const WORTH_MORE: usize = 8;

/// Bytes of a `struct btrfs_file_extent_item` before data that lies in the tree.
const EXTENT_HEADER: usize = 21;

/// Small files, found many at a time.
pub(super) struct SmallFiles<'s> {
    snapshot: &'s OpenSnapshot,
    search: ItemSearch,
    /// How many bytes the next search reads.
    bytes: usize,
    /// The inodes whose items the last search has found.
    searched: RangeInclusive<u64>,
    /// Where their data is, in the order of their inodes.
    files: Vec<(u64, Range<usize>)>,
    /// How many of them were of use.
    used: usize,
    /// The inodes themselves, of all files that were found in this block.
    seen: HashMap<u64, Inode>,
}

impl<'s> SmallFiles<'s> {
    pub(super) fn new(snapshot: &'s OpenSnapshot) -> Self {
        Self {
            snapshot,
            search: ItemSearch::new(),
            bytes: *SEARCHED.start(),
            // It is the number of no inode.
            searched: 0..=0,
            files: Vec::new(),
            used: 0,
            seen: HashMap::new(),
        }
    }

    /// Whether data may lie in the tree.
    pub(super) fn may_have(gap: &Gap) -> bool {
        gap.offset == 0 && gap.length <= LONGEST
    }

    /// Forgets the inodes of the block before.
    pub(super) fn begin_block(&mut self) {
        self.seen.clear();
    }

    /// Returns the data of a file; `None` if it is not in the tree as it is in the file. `last` is the highest inode of which
    /// data may be wanted soon.
    pub(super) fn data(&mut self, inode: u64, last: u64) -> Option<&[u8]> {
        if !self.searched.contains(&inode) {
            self.look_up(inode, last);
        }
        let at = self
            .files
            .binary_search_by_key(&inode, |(of, _)| *of)
            .ok()?;
        self.used += 1;
        Some(self.search.bytes(&self.files[at].1))
    }

    /// Returns the size, the mtime and the ctime of a file that was found in this block.
    pub(super) fn facts(&self, inode: u64) -> Option<(u64, [FileTime; 2])> {
        let inode = self.seen.get(&inode)?;
        let time = |(seconds, nanoseconds): (u64, u32)| FileTime {
            seconds: seconds.cast_signed(),
            nanoseconds,
        };
        Some((inode.bytes, [inode.modified, inode.changed].map(time)))
    }

    /// Reads the items from an inode on. What can't be read is left to those who open files.
    fn look_up(&mut self, inode: u64, last: u64) {
        self.bytes = match self.used {
            0 | 1 => self.bytes / 2,
            WORTH_MORE.. => self.bytes * 2,
            _ => self.bytes,
        };
        self.bytes = self.bytes.clamp(*SEARCHED.start(), *SEARCHED.end());
        self.used = 0;
        self.files.clear();
        let (root, id) = (&self.snapshot.root, self.snapshot.id);
        // Without an error, the last of them may lack items.
        let _ = self.search.find(root, id, [inode, last], 0, self.bytes);
        let mut through = inode;
        for item in self.search.items() {
            through = through.max(item.inode.saturating_sub(1));
            let bytes = self.search.bytes(&item.place);
            if item.kind == INODE_ITEM
                && let Some(found) = Inode::read(item.inode, bytes)
            {
                self.seen.insert(item.inode, found);
            }
            if item.kind == EXTENT_DATA
                && item.offset == 0
                && is_plain(bytes)
                && self.seen.contains_key(&item.inode)
            {
                let data = item.place.start + EXTENT_HEADER..item.place.end;
                self.files.push((item.inode, data));
                through = item.inode;
            }
        }
        self.searched = inode..=through;
    }
}

/// Whether an extent is in the tree, and neither compressed nor encoded in another way.
fn is_plain(extent: &[u8]) -> bool {
    /// compression, encryption, other encoding, type: 0 is an extent in the tree.
    const PLAIN: [u8; 5] = [0; 5];
    extent.get(16..EXTENT_HEADER) == Some(&PLAIN)
}
