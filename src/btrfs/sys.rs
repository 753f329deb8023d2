//! The few kernel calls without a safe wrapper: btrfs's ioctls, the size of a pipe, a thread's own mounts,
//! and a child's own session. The calls that confine a child are in [`mounts`]. Those that read a
//! filesystem's trees, and files by inode number, are in [`trees`].
//!
//! The structures are those of `linux/btrfs.h`. They have only integers and byte arrays, so any bytes that
//! the kernel writes are valid values.
#![allow(
    unsafe_code,
    reason = "ioctls, unsharing, and what runs between fork and exec have no safe form"
)]

pub(super) mod mounts;
pub(super) mod trees;

use std::io;
use std::os::fd::{AsFd, AsRawFd};

use rustix::ioctl::{Getter, Opcode, Setter, Updater, ioctl};
use rustix::thread::UnshareFlags;

/// `BTRFS_IOC_GET_SUBVOL_INFO`, Linux 4.18. Needs no privilege.
const GET_SUBVOL_INFO: Opcode = 0x81f8_943c;
/// `BTRFS_IOC_FS_INFO`. Needs no privilege.
const FS_INFO: Opcode = 0x8400_941f;
/// `BTRFS_FS_INFO_FLAG_CSUM_INFO`.
const WITH_CHECKSUM: u64 = 1;
/// `BTRFS_IOC_GET_SUBVOL_ROOTREF`, Linux 4.18.
const GET_SUBVOL_ROOTREF: Opcode = 0xd000_943d;
/// `BTRFS_IOC_INO_LOOKUP_USER`, Linux 4.18.
const INO_LOOKUP_USER: Opcode = 0xd000_943e;
/// `BTRFS_IOC_SNAP_DESTROY_V2`, Linux 5.7.
const SNAP_DESTROY_V2: Opcode = 0x5000_943f;
/// `BTRFS_IOC_SUBVOL_CREATE`.
const SUBVOL_CREATE: Opcode = 0x5000_940e;
/// `BTRFS_IOC_SNAP_CREATE_V2`.
const SNAP_CREATE_V2: Opcode = 0x5000_9417;
/// `BTRFS_SUBVOL_RDONLY`: the snapshot can't be written.
const READ_ONLY: u64 = 1 << 1;
/// `BTRFS_SUBVOL_NAME_MAX`, the longest name of a subvolume in bytes.
const NAME_MAX: usize = 255;
/// `BTRFS_IOC_SEND`. Needs privilege.
const SEND: Opcode = 0x4048_9426;
/// `BTRFS_SUBVOL_SPEC_BY_ID`: the subvolume is named by its id.
const BY_ID: u64 = 1 << 4;

/// `struct btrfs_ioctl_timespec`.
#[repr(C)]
pub(super) struct Time {
    pub(super) seconds: u64,
    pub(super) nanoseconds: u32,
}

/// `struct btrfs_ioctl_get_subvol_info_args`.
#[repr(C)]
pub(super) struct SubvolInfo {
    pub(super) treeid: u64,
    name: [u8; 256],
    parent_id: u64,
    dirid: u64,
    generation: u64,
    pub(super) flags: u64,
    pub(super) uuid: [u8; 16],
    pub(super) parent_uuid: [u8; 16],
    pub(super) received_uuid: [u8; 16],
    pub(super) ctransid: u64,
    pub(super) otransid: u64,
    stransid: u64,
    rtransid: u64,
    /// The times of the last change, the creation, the last send and the last receive.
    pub(super) times: [Time; 4],
    reserved: [u64; 8],
}

impl SubvolInfo {
    /// Returns when it was made: seconds and nanoseconds.
    pub(super) fn made(&self) -> (u64, u32) {
        let [_, made, ..] = &self.times;
        (made.seconds, made.nanoseconds)
    }
}

/// `struct btrfs_ioctl_fs_info_args`, with the fields that are used here.
#[repr(C)]
pub(super) struct FsInfo {
    max_id: u64,
    num_devices: u64,
    pub(super) fsid: [u8; 16],
    pub(super) node_bytes: u32,
    pub(super) sector_bytes: u32,
    clone_alignment: u32,
    /// `BTRFS_CSUM_TYPE_*`.
    pub(super) checksum: u16,
    checksum_bytes: u16,
    flags: u64,
    rest: [u64; 121],
}

/// `struct btrfs_ioctl_get_subvol_rootref_args`.
#[repr(C)]
pub(super) struct RootRefs {
    /// In: the first subvolume id. Out, if there are more: the id to continue with.
    pub(super) min_treeid: u64,
    /// Subvolume id, and the inode of its directory.
    pub(super) refs: [[u64; 2]; 255],
    pub(super) count: u8,
    align: [u8; 7],
}

/// `struct btrfs_ioctl_ino_lookup_user_args`.
#[repr(C)]
pub(super) struct InoLookupUser {
    dirid: u64,
    treeid: u64,
    /// The subvolume's name, up to a NUL.
    pub(super) name: [u8; 256],
    /// The directory's path from the subvolume that was asked, up to a NUL; ends in `/`.
    pub(super) path: [u8; 3824],
}

/// `struct btrfs_ioctl_vol_args_v2`, as it names a subvolume by its id.
#[repr(C)]
struct VolArgs {
    fd: i64,
    transid: u64,
    flags: u64,
    unused: [u64; 4],
    subvolid: u64,
    rest: [u64; 504],
}

/// `struct btrfs_ioctl_vol_args`: the name of a subvolume to be made.
#[repr(C)]
struct NewArgs {
    fd: i64,
    name: [u8; 4088],
}

/// `struct btrfs_ioctl_vol_args_v2`: the name of a snapshot to be made of what `fd` is.
#[repr(C)]
struct SnapshotArgs {
    fd: i64,
    transid: u64,
    flags: u64,
    unused: [u64; 4],
    name: [u8; 4040],
}

/// `struct btrfs_ioctl_send_args`.
#[repr(C)]
struct SendArgs {
    send_fd: i64,
    clone_sources_count: u64,
    clone_sources: *const u64,
    parent_root: u64,
    flags: u64,
    version: u32,
    reserved: [u8; 28],
}

/// The flags and version of a send.
#[derive(Debug, Clone, Copy)]
pub(super) struct SendFlags {
    flags: u64,
    version: u32,
}

impl SendFlags {
    /// Version 1, the kernel's default.
    pub(super) const V1: Self = Self {
        flags: 0,
        version: 0,
    };
    /// `BTRFS_SEND_FLAG_VERSION` for version 2.
    pub(super) const V2: Self = Self {
        flags: 0x8,
        version: 2,
    };
    /// Version 2 with `BTRFS_SEND_FLAG_COMPRESSED`.
    pub(super) const COMPRESSED: Self = Self {
        flags: 0x8 | 0x10,
        version: 2,
    };

    /// The same with `BTRFS_SEND_FLAG_NO_FILE_DATA`: extents are announced, and no data is sent.
    pub(super) const fn without_data(self) -> Self {
        Self {
            flags: self.flags | 0x1,
            version: self.version,
        }
    }
}

// The opcodes carry these sizes; a wrong one would let the kernel write beyond the structure.
const _: () = assert!(size_of::<SubvolInfo>() == 504);
const _: () = assert!(size_of::<FsInfo>() == 1024);
const _: () = assert!(size_of::<RootRefs>() == 4096);
const _: () = assert!(size_of::<InoLookupUser>() == 4096);
const _: () = assert!(size_of::<VolArgs>() == 4096);
const _: () = assert!(size_of::<NewArgs>() == 4096);
const _: () = assert!(size_of::<SnapshotArgs>() == 4096);
const _: () = assert!(size_of::<SendArgs>() == 72);

/// Whether the kernel has more items.
pub(super) enum More {
    Yes,
    No,
}

/// Returns facts about the subvolume that `fd` is in.
pub(super) fn subvol_info(fd: impl AsFd) -> io::Result<SubvolInfo> {
    // SAFETY: the opcode writes one such structure, whose size is asserted above.
    Ok(unsafe { ioctl(fd, Getter::<GET_SUBVOL_INFO, SubvolInfo>::new()) }?)
}

/// Returns facts about the filesystem that `fd` is on.
pub(super) fn fs_info(fd: impl AsFd) -> io::Result<FsInfo> {
    // SAFETY: the opcode reads and writes one such structure, whose size is asserted above. What
    // it reads are flags that ask for more: here for the checksum, which a kernel before 5.10 leaves at 0 (CRC-32C).
    let mut info = FsInfo {
        max_id: 0,
        num_devices: 0,
        fsid: [0; 16],
        node_bytes: 0,
        sector_bytes: 0,
        clone_alignment: 0,
        checksum: 0,
        checksum_bytes: 0,
        flags: WITH_CHECKSUM,
        rest: [0; 121],
    };
    unsafe { ioctl(fd, Updater::<FS_INFO, _>::new(&mut info)) }?;
    Ok(info)
}

/// Returns the subvolumes directly in the one whose root is `fd`, from the id `min_treeid` on.
pub(super) fn subvol_rootrefs(fd: impl AsFd, min_treeid: u64) -> io::Result<(Box<RootRefs>, More)> {
    let mut refs = Box::new(RootRefs {
        min_treeid,
        refs: [[0; 2]; 255],
        count: 0,
        align: [0; 7],
    });
    // SAFETY: the opcode reads and writes one such structure, whose size is asserted above.
    let result = unsafe { ioctl(fd, Updater::<GET_SUBVOL_ROOTREF, _>::new(&mut *refs)) };
    match result {
        Ok(()) => Ok((refs, More::No)),
        // With this the kernel says that it has returned 255 of them and has more.
        Err(rustix::io::Errno::OVERFLOW) => Ok((refs, More::Yes)),
        Err(error) => Err(error.into()),
    }
}

/// Returns name and directory of a subvolume directly in the one whose root is `fd`.
pub(super) fn ino_lookup_user(
    fd: impl AsFd,
    treeid: u64,
    dirid: u64,
) -> io::Result<Box<InoLookupUser>> {
    let mut lookup = Box::new(InoLookupUser {
        dirid,
        treeid,
        name: [0; 256],
        path: [0; 3824],
    });
    // SAFETY: the opcode reads and writes one such structure, whose size is asserted above.
    unsafe { ioctl(fd, Updater::<INO_LOOKUP_USER, _>::new(&mut *lookup)) }?;
    Ok(lookup)
}

/// Deletes the subvolume with this id from the filesystem of `fd`, wherever it is by now.
pub(super) fn destroy_subvolume(fd: impl AsFd, subvolume_id: u64) -> io::Result<()> {
    let arguments = VolArgs {
        fd: 0,
        transid: 0,
        flags: BY_ID,
        unused: [0; 4],
        subvolid: subvolume_id,
        rest: [0; 504],
    };
    // SAFETY: the opcode reads one such structure, whose size is asserted above, and it holds no pointer.
    Ok(unsafe { ioctl(fd, Setter::<SNAP_DESTROY_V2, VolArgs>::new(arguments)) }?)
}

/// Makes an empty subvolume with this name in the directory `into`.
pub(super) fn create_subvolume(into: impl AsFd, name: &[u8]) -> io::Result<()> {
    let arguments = NewArgs {
        fd: 0,
        name: terminated(name)?,
    };
    // SAFETY: the opcode reads one such structure, whose size is asserted above, and it holds no pointer.
    Ok(unsafe { ioctl(into, Setter::<SUBVOL_CREATE, NewArgs>::new(arguments)) }?)
}

/// Makes a snapshot with this name in the directory `into`, of the subvolume whose root is `of`.
pub(super) fn create_snapshot(
    of: impl AsFd,
    into: impl AsFd,
    name: &[u8],
    writing: Writing,
) -> io::Result<()> {
    let arguments = SnapshotArgs {
        fd: of.as_fd().as_raw_fd().into(),
        transid: 0,
        flags: match writing {
            Writing::Refused => READ_ONLY,
            Writing::Allowed => 0,
        },
        unused: [0; 4],
        name: terminated(name)?,
    };
    // SAFETY: the opcode reads one such structure, whose size is asserted above; the descriptor in it
    // outlives the call.
    Ok(unsafe { ioctl(into, Setter::<SNAP_CREATE_V2, SnapshotArgs>::new(arguments)) }?)
}

/// Whether a snapshot can be written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Writing {
    Allowed,
    Refused,
}

/// Returns a name in the kernel's form, up to a NUL.
fn terminated<const N: usize>(name: &[u8]) -> io::Result<[u8; N]> {
    if name.len() > NAME_MAX || name.contains(&0) {
        return Err(io::ErrorKind::InvalidFilename.into());
    }
    let mut field = [0; N];
    field[..name.len()].copy_from_slice(name);
    Ok(field)
}

/// Makes the kernel write a subvolume's send stream into `into`. Returns when it is written. The parent, if
/// there is one, is also the clone source, as with `btrfs send -p`.
pub(super) fn send(
    subvolume: impl AsFd,
    parent: Option<u64>,
    flags: SendFlags,
    into: impl AsFd,
) -> io::Result<()> {
    let clone_sources: Vec<u64> = parent.into_iter().collect();
    let arguments = SendArgs {
        send_fd: into.as_fd().as_raw_fd().into(),
        clone_sources_count: clone_sources.len() as u64,
        clone_sources: clone_sources.as_ptr(),
        parent_root: parent.unwrap_or(0),
        flags: flags.flags,
        version: flags.version,
        reserved: [0; 28],
    };
    // SAFETY: the opcode reads one such structure, whose size is asserted above; its pointer is to as many
    // ids as it says, and it, they and the descriptor outlive the call.
    Ok(unsafe { ioctl(subvolume, Setter::<SEND, SendArgs>::new(arguments)) }?)
}

unsafe extern "C" {
    fn fcntl(fd: i32, command: i32, ...) -> i32;
}

/// `F_SETPIPE_SZ` of `linux/fcntl.h`.
const F_SETPIPE_SZ: i32 = 1031;

/// Asks the kernel for a larger pipe.
pub(super) fn set_pipe_size(fd: impl AsFd, bytes: i32) -> io::Result<()> {
    // SAFETY: the descriptor is open while it is borrowed, and the command takes one int.
    match unsafe { fcntl(fd.as_fd().as_raw_fd(), F_SETPIPE_SZ, bytes) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// Gives this thread, and what it starts from now on, mounts of its own. A new mount is visible nowhere else,
/// and goes away when the last of them ends, in whatever way.
pub(super) fn own_mounts() -> io::Result<()> {
    // SAFETY: it is unsafe for descriptors that are no longer shared, and these stay shared: nothing but
    // mounts, root and working directory becomes this thread's own.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNS) }?;
    Ok(())
}
