//! Reads a filesystem's trees, and opens files by their inode numbers. All of it needs privilege.
#![allow(
    unsafe_code,
    reason = "ioctls and `open_by_handle_at` have no safe form"
)]

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd, FromRawFd as _};

use rustix::fs::{Mode, OFlags};
use rustix::ioctl::{Opcode, Updater, ioctl};

/// `BTRFS_IOC_TREE_SEARCH`.
const TREE_SEARCH: Opcode = 0xd000_9411;
/// `BTRFS_IOC_TREE_SEARCH_V2`, Linux 3.16.
const TREE_SEARCH_V2: Opcode = 0xc070_9411;
/// `BTRFS_IOC_INO_LOOKUP`.
const INO_LOOKUP: Opcode = 0xd000_9412;
/// `FS_IOC_FIEMAP`.
const FIEMAP: Opcode = 0xc020_660b;
/// `BTRFS_UUID_TREE_OBJECTID`: the tree with a filesystem's subvolumes by uuid.
const UUID_TREE: u64 = 9;
/// `BTRFS_UUID_KEY_SUBVOL`: the subvolume with a uuid.
const WITH_UUID: u32 = 251;
/// `BTRFS_UUID_KEY_RECEIVED_SUBVOL`: the subvolumes with a received uuid.
const WITH_RECEIVED_UUID: u32 = 252;
/// `BTRFS_ROOT_TREE_OBJECTID`: the tree with the root item of each subvolume.
const ROOT_TREE: u64 = 1;
/// `BTRFS_ROOT_ITEM_KEY`.
const ROOT_ITEM: u32 = 132;
/// `BTRFS_ROOT_TREE_DIR_OBJECTID`: the directory with one name, `default`, for the default subvolume.
const ROOT_TREE_DIR: u64 = 6;
/// `BTRFS_DIR_ITEM_KEY`.
const DIR_ITEM: u32 = 84;
/// `BTRFS_QUOTA_TREE_OBJECTID`: the tree with what each subvolume takes.
const QUOTA_TREE: u64 = 8;
/// `BTRFS_QGROUP_STATUS_KEY`: whether quotas are on, and right.
const QUOTA_STATUS: u32 = 240;
/// `BTRFS_QGROUP_INFO_KEY`: what a subvolume takes.
const QUOTA_INFO: u32 = 242;
/// `BTRFS_INODE_ITEM_KEY`.
pub(in crate::btrfs) const INODE_ITEM: u32 = 1;
/// `BTRFS_EXTENT_DATA_KEY`.
pub(in crate::btrfs) const EXTENT_DATA: u32 = 108;
/// `BTRFS_FIRST_FREE_OBJECTID`: the inode number of every subvolume's root.
pub(in crate::btrfs) const ROOT_INODE: u64 = 256;
/// transid, objectid, offset, type, length: `struct btrfs_ioctl_search_header`.
const HEADER: usize = 8 + 8 + 8 + 4 + 4;
/// How many bytes of items to read at a time.
const ITEMS_BYTES: usize = 256 << 10;

/// `struct btrfs_ioctl_search_key`: which items to read.
#[repr(C)]
struct SearchKey {
    tree_id: u64,
    objectids: [u64; 2],
    offsets: [u64; 2],
    transids: [u64; 2],
    types: [u32; 2],
    /// In: the most items. Out: the number of items.
    items: u32,
    unused: u32,
    more_unused: [u64; 4],
}

/// `struct btrfs_ioctl_search_args`: which items to read, and then the items, each with its header.
#[repr(C)]
struct SearchArgs {
    key: SearchKey,
    found: [u8; 3992],
}

/// `struct btrfs_ioctl_search_args_v2`, with room for the items.
#[repr(C)]
struct LongSearchArgs {
    key: SearchKey,
    bytes: u64,
    found: [u8; ITEMS_BYTES],
}

/// `struct btrfs_ioctl_ino_lookup_args`.
#[repr(C)]
struct InoLookup {
    treeid: u64,
    objectid: u64,
    path: [u8; 4080],
}

/// `struct fiemap` with one `struct fiemap_extent`.
#[repr(C)]
#[derive(Default)]
struct Fiemap {
    start: u64,
    length: u64,
    flags: u32,
    mapped: u32,
    count: u32,
    reserved: u32,
    logical: u64,
    physical: u64,
    extent_length: u64,
    more_reserved: [u64; 2],
    extent_flags: u32,
    yet_more_reserved: [u32; 3],
}

/// `struct file_handle` of a file of btrfs (`FILEID_BTRFS_WITHOUT_PARENT`).
#[repr(C, packed)]
struct FileHandle {
    bytes: u32,
    kind: i32,
    inode: u64,
    subvolume_id: u64,
    generation: u32,
}

// The opcodes contain these sizes. A wrong one would let the kernel write beyond the structure.
const _: () = assert!(size_of::<SearchKey>() == 104);
const _: () = assert!(size_of::<SearchArgs>() == 4096);
const _: () = assert!(size_of::<InoLookup>() == 4096);
const _: () = assert!(size_of::<Fiemap>() == 32 + 56);
const _: () = assert!(size_of::<FileHandle>() == 8 + 20);

unsafe extern "C" {
    fn open_by_handle_at(mount: i32, handle: *const FileHandle, flags: i32) -> i32;
}

/// Returns the ids of the subvolumes with this received uuid on the filesystem of `fd`. `btrfs receive` looks
/// for a send parent in the same way.
pub(in crate::btrfs) fn received_subvolumes(fd: impl AsFd, uuid: [u8; 16]) -> io::Result<Vec<u64>> {
    by_uuid(fd, uuid, WITH_RECEIVED_UUID)
}

/// Returns the id of the subvolume with this uuid on the filesystem of `fd`.
pub(in crate::btrfs) fn subvolume_of(fd: impl AsFd, uuid: [u8; 16]) -> io::Result<Option<u64>> {
    Ok(by_uuid(fd, uuid, WITH_UUID)?.first().copied())
}

fn by_uuid(fd: impl AsFd, uuid: [u8; 16], kind: u32) -> io::Result<Vec<u64>> {
    let number = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().expect("eight bytes"));
    let [objectid, offset] = [number(&uuid[..8]), number(&uuid[8..])];
    let ids = first_item(fd, UUID_TREE, objectid, kind, [offset; 2])?.unwrap_or_default();
    Ok(ids.chunks_exact(8).map(number).collect())
}

/// Returns the root item (`struct btrfs_root_item`) of the subvolume with this id, as on the disk.
pub(in crate::btrfs) fn root_item(fd: impl AsFd, subvolume_id: u64) -> io::Result<Option<Vec<u8>>> {
    first_item(fd, ROOT_TREE, subvolume_id, ROOT_ITEM, [0, u64::MAX])
}

/// Returns the id of the default subvolume, which a mount without `subvol=` shows; `None` if none is set.
pub(in crate::btrfs) fn default_subvolume(fd: impl AsFd) -> io::Result<Option<u64>> {
    let item = first_item(fd, ROOT_TREE, ROOT_TREE_DIR, DIR_ITEM, [0, u64::MAX])?;
    // A `struct btrfs_dir_item` begins with the key of the item that it names.
    let id = item.as_ref().and_then(|item| item.first_chunk());
    Ok(id.map(|id| u64::from_le_bytes(*id)))
}

/// Returns whether the filesystem counts what each subvolume takes, and the counts are right.
pub(in crate::btrfs) fn quotas_are_sound(fd: impl AsFd) -> io::Result<bool> {
    /// `BTRFS_QGROUP_STATUS_FLAG_ON`.
    const ON: u64 = 1;
    /// `_RESCAN`, `_INCONSISTENT`, and `_SIMPLE_MODE`, which does not tell what is shared.
    const USELESS: u64 = 2 | 4 | 8;
    let status = first_item(fd, QUOTA_TREE, 0, QUOTA_STATUS, [0; 2])?;
    let flags = status.as_ref().and_then(|status| number_at(status, 16));
    Ok(flags.is_some_and(|flags| flags & (ON | USELESS) == ON))
}

/// Returns how many bytes the subvolume with this id refers to, and how many no other one shares.
pub(in crate::btrfs) fn quota_sizes(
    fd: impl AsFd,
    subvolume_id: u64,
) -> io::Result<Option<(u64, u64)>> {
    let info = first_item(fd, QUOTA_TREE, 0, QUOTA_INFO, [subvolume_id; 2])?;
    // A `struct btrfs_qgroup_info_item`: generation, referenced, the same compressed, exclusive.
    Ok(info.and_then(|info| Some((number_at(&info, 8)?, number_at(&info, 24)?))))
}

/// Returns the little-endian number at a place of an item.
fn number_at(item: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(item.get(at..at + 8)?.try_into().ok()?))
}

/// Returns the first item of a tree with this key. Fails if it is longer than the kernel's buffer.
fn first_item(
    fd: impl AsFd,
    tree_id: u64,
    objectid: u64,
    kind: u32,
    offsets: [u64; 2],
) -> io::Result<Option<Vec<u8>>> {
    let mut search = Box::new(SearchArgs {
        key: SearchKey {
            tree_id,
            objectids: [objectid; 2],
            offsets,
            transids: [0, u64::MAX],
            types: [kind; 2],
            items: 1,
            unused: 0,
            more_unused: [0; 4],
        },
        found: [0; 3992],
    });
    // SAFETY: the opcode reads and writes one such structure, whose size is asserted above.
    unsafe { ioctl(fd, Updater::<TREE_SEARCH, _>::new(&mut *search)) }?;
    if search.key.items == 0 {
        return Ok(None);
    }
    let (header, item) = search.found.split_at(HEADER);
    let length = u32::from_ne_bytes(header[HEADER - 4..].try_into().expect("four bytes"));
    match item.get(..length as usize) {
        // In this way the kernel says that an item is longer than its buffer.
        None | Some([]) => Err(rustix::io::Errno::OVERFLOW.into()),
        Some(item) => Ok(Some(item.to_vec())),
    }
}

/// An inode of a subvolume.
#[derive(Debug, Clone, Copy)]
pub(in crate::btrfs) struct Inode {
    pub(in crate::btrfs) number: u64,
    pub(in crate::btrfs) generation: u64,
    pub(in crate::btrfs) bytes: u64,
    pub(in crate::btrfs) mode: u32,
    /// Its ctime: seconds and nanoseconds.
    pub(in crate::btrfs) changed: (u64, u32),
    /// Its mtime.
    pub(in crate::btrfs) modified: (u64, u32),
}

impl Inode {
    /// Reads a `struct btrfs_inode_item`, which is little-endian and packed.
    pub(in crate::btrfs) fn read(number: u64, item: &[u8]) -> Option<Self> {
        let long = |at: usize| number_at(item, at);
        let short = |at: usize| Some(u32::from_le_bytes(item.get(at..at + 4)?.try_into().ok()?));
        Some(Self {
            number,
            generation: long(0)?,
            bytes: long(16)?,
            mode: short(52)?,
            changed: (long(124)?, short(132)?),
            modified: (long(136)?, short(144)?),
        })
    }
}

/// Returns the inode with this number in the subvolume with this id.
pub(in crate::btrfs) fn inode(
    fd: impl AsFd,
    subvolume_id: u64,
    number: u64,
) -> io::Result<Option<Inode>> {
    let item = first_item(fd, subvolume_id, number, INODE_ITEM, [0; 2])?;
    Ok(item.and_then(|item| Inode::read(number, &item)))
}

/// An item of a tree.
#[derive(Debug, Clone)]
pub(in crate::btrfs) struct TreeItem {
    pub(in crate::btrfs) inode: u64,
    pub(in crate::btrfs) kind: u32,
    pub(in crate::btrfs) offset: u64,
    /// Where it is in the buffer of its search.
    pub(in crate::btrfs) place: Range<usize>,
}

/// A search for the items of inodes. Its buffer is used again.
pub(in crate::btrfs) struct ItemSearch(Box<LongSearchArgs>);

impl ItemSearch {
    pub(in crate::btrfs) fn new() -> Self {
        // SAFETY: it has only integers, and bytes of 0 are values of all of them.
        Self(unsafe { Box::<LongSearchArgs>::new_zeroed().assume_init() })
    }

    /// Reads the items of the inodes between two numbers, of blocks that a transaction from `since` on has written: as many as
    /// have room in `bytes`, in their order. Fails if the first of them has not.
    pub(in crate::btrfs) fn find(
        &mut self,
        fd: impl AsFd,
        subvolume_id: u64,
        inodes: [u64; 2],
        since: u64,
        bytes: usize,
    ) -> io::Result<()> {
        let search = &mut *self.0;
        search.key = SearchKey {
            tree_id: subvolume_id,
            objectids: inodes,
            offsets: [0, u64::MAX],
            transids: [since, u64::MAX],
            types: [0, u32::MAX],
            items: u32::MAX,
            unused: 0,
            more_unused: [0; 4],
        };
        search.bytes = bytes.min(ITEMS_BYTES) as u64;
        // SAFETY: the opcode reads and writes a key, a length and as many bytes behind them as that says, which is no more
        // than the structure has.
        let found = unsafe { ioctl(fd, Updater::<TREE_SEARCH_V2, _>::new(search)) };
        if found.is_err() {
            search.key.items = 0;
        }
        Ok(found?)
    }

    /// Returns the items that the last search found.
    pub(in crate::btrfs) fn items(&self) -> impl Iterator<Item = TreeItem> {
        let mut at = 0;
        (0..self.0.key.items).map_while(move |_| {
            let header = self.0.found.get(at..at + HEADER)?;
            let long = |at| u64::from_ne_bytes(header[at..at + 8].try_into().expect("eight bytes"));
            let short = |at| u32::from_ne_bytes(header[at..at + 4].try_into().expect("four bytes"));
            let place = at + HEADER..at + HEADER + short(28) as usize;
            at = place.end;
            (at <= ITEMS_BYTES).then(|| TreeItem {
                inode: long(8),
                offset: long(16),
                kind: short(24),
                place,
            })
        })
    }

    /// Returns bytes of an item.
    pub(in crate::btrfs) fn bytes(&self, place: &Range<usize>) -> &[u8] {
        &self.0.found[place.clone()]
    }
}

/// Calls `show` with every inode of the subvolume that a transaction from `since` on may have changed, in the
/// order of their numbers. Other inodes in the same blocks are shown too.
pub(in crate::btrfs) fn for_each_inode(
    fd: impl AsFd,
    subvolume_id: u64,
    since: u64,
    mut show: impl FnMut(Inode) -> io::Result<()>,
) -> io::Result<()> {
    let mut search = ItemSearch::new();
    let mut first = 0;
    loop {
        search.find(&fd, subvolume_id, [first, u64::MAX], since, ITEMS_BYTES)?;
        let mut last = None;
        for item in search.items() {
            last = Some((item.inode, item.kind));
            if item.kind == INODE_ITEM
                && let Some(inode) = Inode::read(item.inode, search.bytes(&item.place))
            {
                show(inode)?;
            }
        }
        first = match last {
            // Only the first item of an inode is needed: go on to the next inode.
            Some((number, INODE_ITEM..)) => match number.checked_add(1) {
                Some(next) => next,
                None => return Ok(()),
            },
            Some((number, _)) => number,
            None => return Ok(()),
        };
    }
}

/// Opens a regular file of a subvolume for reading, by its inode. `root` is the subvolume's open root.
pub(in crate::btrfs) fn open_inode(
    root: impl AsFd,
    subvolume_id: u64,
    inode: &Inode,
) -> io::Result<File> {
    match open_by_handle(&root, subvolume_id, inode) {
        // This needs CAP_DAC_READ_SEARCH, which root of a container may lack.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            let path = path_of(&root, subvolume_id, inode.number)?;
            let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
            let file = rustix::fs::openat(&root, path.as_slice(), flags, Mode::empty())?;
            Ok(File::from(file))
        }
        opened => opened,
    }
}

/// Opens a file or directory of a subvolume for reading, by its inode number, whatever its generation is: a snapshot has each
/// number once.
pub(in crate::btrfs) fn open_number(
    root: impl AsFd,
    subvolume_id: u64,
    number: u64,
) -> io::Result<File> {
    let any_generation = Inode {
        number,
        generation: 0,
        bytes: 0,
        mode: 0,
        changed: (0, 0),
        modified: (0, 0),
    };
    open_by_handle(root, subvolume_id, &any_generation)
}

fn open_by_handle(mount: impl AsFd, subvolume_id: u64, inode: &Inode) -> io::Result<File> {
    /// Of `asm-generic/fcntl.h`: read only is 0.
    const O_CLOEXEC: i32 = 0o2_000_000;
    const WITHOUT_PARENT: i32 = 0x4d;
    let [first, second, third, fourth, ..] = inode.generation.to_le_bytes();
    let handle = FileHandle {
        bytes: 20,
        kind: WITHOUT_PARENT,
        inode: inode.number,
        subvolume_id,
        // The kernel compares only these 32 bits, and takes 0 for any.
        generation: u32::from_le_bytes([first, second, third, fourth]),
    };
    // SAFETY: the handle says how long it is, and it and the descriptor outlive the call.
    match unsafe { open_by_handle_at(mount.as_fd().as_raw_fd(), &raw const handle, O_CLOEXEC) } {
        -1 => Err(io::Error::last_os_error()),
        // SAFETY: the kernel has just opened it, and nothing else owns it.
        fd => Ok(unsafe { File::from_raw_fd(fd) }),
    }
}

/// Returns a path of an inode from its subvolume's root. If the file has several names, it is one of them.
pub(in crate::btrfs) fn path_of(
    fd: impl AsFd,
    subvolume_id: u64,
    number: u64,
) -> io::Result<Vec<u8>> {
    let mut lookup = Box::new(InoLookup {
        treeid: subvolume_id,
        objectid: number,
        path: [0; 4080],
    });
    // SAFETY: the opcode reads and writes one such structure, whose size is asserted above.
    unsafe { ioctl(fd, Updater::<INO_LOOKUP, _>::new(&mut *lookup)) }?;
    let end = lookup.path.iter().position(|byte| *byte == 0);
    let path = &lookup.path[..end.unwrap_or(lookup.path.len())];
    Ok(path.strip_suffix(b"/").unwrap_or(path).to_vec())
}

/// Returns where the byte `at` of a file is on the filesystem's disks; `None` if it is in a hole, in the tree
/// itself, or not written yet. For a compressed extent, returns where the extent begins.
pub(in crate::btrfs) fn place_of(file: impl AsFd, at: u64) -> io::Result<Option<u64>> {
    /// `FIEMAP_EXTENT_UNKNOWN`, `_DELALLOC`, `_DATA_INLINE`, `_UNWRITTEN`.
    const NOWHERE: u32 = 0x2 | 0x4 | 0x200 | 0x800;
    /// `FIEMAP_EXTENT_ENCODED`.
    const ENCODED: u32 = 0x8;
    let mut map = Fiemap {
        start: at,
        length: 1,
        count: 1,
        ..Fiemap::default()
    };
    // SAFETY: the opcode reads a header and writes as many extents behind it as that has room for: one.
    unsafe { ioctl(file, Updater::<FIEMAP, _>::new(&mut map)) }?;
    if map.mapped == 0 || map.extent_flags & NOWHERE != 0 || map.logical > at {
        return Ok(None);
    }
    if map.extent_flags & ENCODED != 0 {
        return Ok(Some(map.physical));
    }
    Ok(map.physical.checked_add(at - map.logical))
}

/// Returns whether a file has an extent that reaches beyond `begin`, if only one that is not written yet.
pub(in crate::btrfs) fn has_extent_from(file: impl AsFd, begin: u64) -> io::Result<bool> {
    let mut map = Fiemap {
        start: begin,
        length: i64::MAX.unsigned_abs().saturating_sub(begin),
        count: 1,
        ..Fiemap::default()
    };
    // SAFETY: the opcode reads a header and writes as many extents behind it as that has room for: one.
    unsafe { ioctl(file, Updater::<FIEMAP, _>::new(&mut map)) }?;
    Ok(map.mapped > 0)
}
