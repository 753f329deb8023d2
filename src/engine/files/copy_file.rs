//! The data of a regular file: shared where the filesystem can, else copied without its holes.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use rustix::fs::{SeekFrom, ioctl_ficlone};
use rustix::io::Errno;

use crate::error::Error;
use crate::interrupt::Interrupt;

/// As much is copied at once.
const PIECE: u64 = 8 << 20;

/// As much is read at once where the kernel can't copy.
const BUFFER: usize = 1 << 20;

/// Whether the data of a copy are its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Data {
    /// It shares them with the original.
    Shared,
    /// They were copied.
    Copied,
}

/// Gives a new file the data of another. An error of the file is in the inner result's place, a signal in the outer's.
pub(super) fn copy_data(
    from: &File,
    to: &File,
    interrupt: &Interrupt,
) -> Result<io::Result<Data>, Error> {
    if ioctl_ficlone(to, from).is_ok() {
        return Ok(Ok(Data::Shared));
    }
    let size = match from.metadata() {
        Ok(metadata) => metadata.len(),
        Err(error) => return Ok(Err(error)),
    };
    let mut at = 0;
    while at < size {
        interrupt.check()?;
        let step = match next_data(from, at, size) {
            Ok(None) => break,
            Ok(Some((begin, end))) => {
                let end = end.min(begin + PIECE);
                copy_range(from, to, begin, end).map(|copied| begin + copied)
            }
            Err(error) => Err(error),
        };
        match step {
            // It was cut short since it was looked at.
            Ok(same) if same == at => break,
            Ok(next) => at = next,
            Err(error) => return Ok(Err(error)),
        }
    }
    Ok(to.set_len(size).map(|()| Data::Copied))
}

/// Returns where the next data from `at` on begin, and where they end; `None` if there is only a hole.
fn next_data(from: &File, at: u64, size: u64) -> io::Result<Option<(u64, u64)>> {
    let begin = match rustix::fs::seek(from, SeekFrom::Data(at)) {
        Ok(begin) => begin,
        Err(Errno::NXIO) => return Ok(None),
        // This filesystem knows no holes.
        Err(Errno::INVAL | Errno::NOTSUP) => return Ok(Some((at, size))),
        Err(errno) => return Err(errno.into()),
    };
    let end = rustix::fs::seek(from, SeekFrom::Hole(begin)).unwrap_or(size);
    Ok(Some((begin, end.min(size))).filter(|_| begin < size))
}

/// Copies a range, and returns how much was copied: nothing only at the end of the file.
fn copy_range(from: &File, to: &File, begin: u64, end: u64) -> io::Result<u64> {
    let length = usize::try_from(end - begin).unwrap_or(usize::MAX);
    let (mut read, mut written) = (begin, begin);
    match rustix::fs::copy_file_range(from, Some(&mut read), to, Some(&mut written), length) {
        Ok(copied) if copied > 0 => Ok(copied as u64),
        // Reading and writing finds out what is wrong, if anything is.
        _ => copy_by_hand(from, to, begin, length),
    }
}

fn copy_by_hand(from: &File, to: &File, begin: u64, length: usize) -> io::Result<u64> {
    let mut buffer = vec![0; length.min(BUFFER)];
    let read = from.read_at(&mut buffer, begin)?;
    to.write_all_at(&buffer[..read], begin)?;
    Ok(read as u64)
}
