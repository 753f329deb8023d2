//! Deduplication as `bees` and `duperemove` do it.
#![allow(unsafe_code, reason = "an ioctl that has no safe form")]

use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::Path;

use rustix::ioctl::{Opcode, Updater, ioctl};

/// `FIDEDUPERANGE` of `linux/fs.h`.
const FIDEDUPERANGE: Opcode = 0xc018_9436;

/// `struct file_dedupe_range` with one `struct file_dedupe_range_info`.
#[repr(C)]
struct DedupeRange {
    offset: u64,
    length: u64,
    count: u16,
    reserved: [u16; 3],
    file: i64,
    file_offset: u64,
    done: u64,
    status: i32,
    more_reserved: u32,
}

/// Lets a file share the blocks of another that has the same content, in a read-only snapshot too.
pub fn dedupe(file: &Path, with: &Path) {
    let [of, with] = [file, with].map(|path| File::open(path).unwrap());
    let length = with.metadata().unwrap().len();
    let mut range = DedupeRange {
        offset: 0,
        length,
        count: 1,
        reserved: [0; 3],
        file: of.as_raw_fd().into(),
        file_offset: 0,
        done: 0,
        status: 0,
        more_reserved: 0,
    };
    // SAFETY: the opcode reads and writes the structure and as many ranges behind it as it says: one.
    unsafe { ioctl(&with, Updater::<FIDEDUPERANGE, _>::new(&mut range)) }.unwrap();
    assert_eq!(
        (range.status, range.done),
        (0, length),
        "{}",
        file.display()
    );
}
