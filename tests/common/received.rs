//! A subvolume that was received, and is writable all the same.
#![allow(unsafe_code, reason = "an ioctl that has no safe form")]

use std::fs::File;
use std::path::Path;

use rustix::ioctl::{Opcode, Setter, ioctl, opcode};

/// `BTRFS_IOC_SUBVOL_SETFLAGS` of `linux/btrfs.h`.
const SET_FLAGS: Opcode = opcode::write::<u64>(0x94, 26);

/// Makes a received subvolume writable without taking its received uuid off, as older versions of btrfs-progs do.
pub fn make_writable(subvolume: &Path) {
    let opened = File::open(subvolume).unwrap();
    // SAFETY: the opcode reads one u64: without the flag of a read-only subvolume.
    unsafe { ioctl(&opened, Setter::<SET_FLAGS, u64>::new(0)) }.unwrap();
}
