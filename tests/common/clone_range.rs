//! Shares a range of a file with another.
#![allow(unsafe_code, reason = "an ioctl that has no safe form")]

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::AsRawFd as _;

use rustix::ioctl::{Opcode, Setter, ioctl};

/// `FICLONERANGE` of `linux/fs.h`.
const FICLONERANGE: Opcode = 0x4020_940d;

/// `struct file_clone_range`.
#[repr(C)]
struct FileCloneRange {
    file: i64,
    offset: u64,
    length: u64,
    to: u64,
}

/// Makes `file` share a range of `from` at its offset `to`.
pub fn clone_range(from: &File, range: Range<u64>, file: &File, to: u64) -> io::Result<()> {
    let request = FileCloneRange {
        file: from.as_raw_fd().into(),
        offset: range.start,
        length: range.end - range.start,
        to,
    };
    // SAFETY: the kernel reads a struct of this form, and writes nothing.
    unsafe {
        let setter = Setter::<FICLONERANGE, FileCloneRange>::new(request);
        ioctl(file, setter)?;
    }
    Ok(())
}
