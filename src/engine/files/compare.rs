//! Whether two versions of a file have the same content.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use rustix::fs::FileType;

use super::entry::{OpenTree, TreeEntry};
use crate::error::Error;
use crate::interrupt::Interrupt;

/// As much is read at once.
const PIECE: usize = 256 << 10;

/// A version of a file: the tree that it is in, and what the kernel says of it.
#[derive(Clone, Copy)]
pub(super) struct VersionIn<'a> {
    pub(super) tree: &'a OpenTree,
    pub(super) entry: &'a TreeEntry,
}

/// Returns whether two versions of one kind have the same content. Directories are not compared here.
pub(super) fn is_same_content(
    below: &Path,
    one: VersionIn<'_>,
    other: VersionIn<'_>,
    interrupt: &Interrupt,
) -> Result<bool, Error> {
    match one.entry.kind() {
        FileType::RegularFile => {
            if one.entry.stat.st_size != other.entry.stat.st_size {
                return Ok(false);
            }
            let files = (one.tree.read(below)?, other.tree.read(below)?);
            is_same_data(&files.0, &files.1, interrupt)
                .map_err(|error| Error::file("read", other.tree.join(below), error))?
        }
        FileType::Symlink => Ok(one.tree.link(below)? == other.tree.link(below)?),
        FileType::CharacterDevice | FileType::BlockDevice => {
            Ok(one.entry.stat.st_rdev == other.entry.stat.st_rdev)
        }
        _ => Ok(true),
    }
}

fn is_same_data(
    one: &File,
    other: &File,
    interrupt: &Interrupt,
) -> std::io::Result<Result<bool, Error>> {
    let (mut left, mut right) = (vec![0; PIECE], vec![0; PIECE]);
    let mut at = 0;
    let mut reader = one;
    loop {
        if let Err(stopped) = interrupt.check() {
            return Ok(Err(stopped));
        }
        let length = match reader.read(&mut left) {
            Ok(0) => return Ok(Ok(other.read_at(&mut right[..1], at)? == 0)),
            Ok(length) => length,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        match other.read_exact_at(&mut right[..length], at) {
            Ok(()) if left[..length] == right[..length] => at += length as u64,
            Ok(()) => return Ok(Ok(false)),
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                return Ok(Ok(false));
            }
            Err(error) => return Err(error),
        }
    }
}
