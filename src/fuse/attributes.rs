//! What `stat` says of an inode, in FUSE's form.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fuser::{FileAttr, FileType, INodeNo};

/// The bits of a mode that say what kind of file it is.
const KIND: u32 = 0o170_000;

/// The bits of a mode beside the kind.
const PERMISSIONS: u32 = 0o7777;

/// The block in which `stat` counts.
const BLOCK: u64 = 512;

/// The block that programs should read at once.
const BEST_READ: u32 = 4096;

/// What `stat` says of an inode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FuseAttributes {
    /// Its number.
    pub inode: u64,
    /// Kind and permission bits.
    pub mode: u32,
    /// How many names it has.
    pub links: u32,
    /// Its owner.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// Of a device, as `stat` says; else 0.
    pub rdev: u64,
    /// Bytes of a file, or of a link's target.
    pub size: u64,
    /// When it was last modified: nanoseconds since 1970.
    pub mtime: i64,
    /// When it was last changed: nanoseconds since 1970.
    pub ctime: i64,
}

/// Returns whether a mode is of a kind of file that there is.
pub fn is_kind_known(mode: u32) -> bool {
    kind(mode).is_some()
}

fn kind(mode: u32) -> Option<FileType> {
    Some(match mode & KIND {
        0o010_000 => FileType::NamedPipe,
        0o020_000 => FileType::CharDevice,
        0o040_000 => FileType::Directory,
        0o060_000 => FileType::BlockDevice,
        0o100_000 => FileType::RegularFile,
        0o120_000 => FileType::Symlink,
        0o140_000 => FileType::Socket,
        _ => return None,
    })
}

impl FuseAttributes {
    pub(super) fn kind(&self) -> FileType {
        kind(self.mode).unwrap_or(FileType::RegularFile)
    }

    /// Returns them in FUSE's form. The kernel takes no size that has a sign.
    pub(super) fn in_fuse(&self) -> FileAttr {
        let size = self.size.min(i64::MAX.cast_unsigned());
        FileAttr {
            ino: INodeNo(self.inode),
            size,
            blocks: blocks(size),
            atime: time(self.mtime),
            mtime: time(self.mtime),
            ctime: time(self.ctime),
            crtime: UNIX_EPOCH,
            kind: self.kind(),
            perm: (self.mode & PERMISSIONS) as u16,
            nlink: self.links,
            uid: self.uid,
            gid: self.gid,
            rdev: device(self.rdev),
            blksize: BEST_READ,
            flags: 0,
        }
    }
}

/// Returns the blocks that a file takes. The index does not know them. One less than all makes programs look for holes, and
/// they find them. With 0, some programs would take the file for one without data.
fn blocks(size: u64) -> u64 {
    let all = size.div_ceil(BLOCK);
    all.saturating_sub(1).max(all.min(1))
}

fn time(nanoseconds: i64) -> SystemTime {
    let distance = Duration::from_nanos(nanoseconds.unsigned_abs());
    if nanoseconds < 0 {
        UNIX_EPOCH - distance
    } else {
        UNIX_EPOCH + distance
    }
}

/// Returns a device's number as the kernel packs it into 32 bits.
fn device(rdev: u64) -> u32 {
    let (major, minor) = (rustix::fs::major(rdev), rustix::fs::minor(rdev));
    (minor & 0xff) | (major & 0xfff) << 8 | (minor & 0xfff00) << 12
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_packed_as_the_kernel_does_it() {
        assert_eq!(device(rustix::fs::makedev(8, 1)), 0x801);
        assert_eq!(device(rustix::fs::makedev(259, 0x12_345)), 0x1231_0345);
    }

    #[test]
    fn files_have_fewer_blocks_than_bytes_need_and_never_none() {
        assert_eq!([0, 1, 512, 1024, 1025].map(blocks), [0, 1, 1, 1, 2]);
    }

    #[test]
    fn times_before_1970_and_at_the_ends_are_kept() {
        for nanoseconds in [0, 1, -1, 1_500_000_000, -1_500_000_000, i64::MAX, i64::MIN] {
            let back = match time(nanoseconds).duration_since(UNIX_EPOCH) {
                Ok(after) => i128::try_from(after.as_nanos()).unwrap(),
                Err(before) => -i128::try_from(before.duration().as_nanos()).unwrap(),
            };
            assert_eq!(back, i128::from(nanoseconds));
        }
    }
}
