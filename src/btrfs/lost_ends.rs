//! Finds files whose end `btrfs send -p` leaves out.
//!
//! A file that is truncated keeps its last block: the bytes after the file's end stay on the disk. A clone
//! may then give the file the same block again, as `cp --reflink` from a snapshot or `snapper undochange`
//! does. The kernel's sender compares the blocks, finds them equal, and sends only the new size. `btrfs
//! receive` then fills the end with zeros. (Linux 6.18; both versions of the stream.) A rollback to an older
//! snapshot does the same to every file that was truncated since.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::FileType;

use super::error::BtrfsError;
use super::identity::open_subvolume;
use super::sys;
use super::sys::trees::{self, Inode};

/// The most files that are named. One is enough to know.
const NAMED: usize = 3;

/// Finds files whose end would be missing if `snapshot` were sent against `parent`. Returns the paths of the
/// first few in `snapshot`, from its root.
///
/// `since` is the first transaction that may have changed something in `snapshot` that `parent` does not
/// have. The time needed grows with what was changed since then, and not with the size of the snapshot. Needs
/// root.
pub fn lost_ends(snapshot: &Path, parent: &Path, since: u64) -> Result<Vec<PathBuf>, BtrfsError> {
    let failed = |source| BtrfsError::Io {
        action: "compare the files with those of the send parent in",
        path: snapshot.to_owned(),
        source,
    };
    let (newer, older) = (
        ComparedSubvolume::open(snapshot)?,
        ComparedSubvolume::open(parent)?,
    );
    let sector = u64::from(sys::fs_info(&newer.root).map_err(failed)?.sector_bytes).max(512);
    let mut lost = Vec::new();
    let look = |inode: Inode| {
        if lost.len() < NAMED && loses_end(&inode, &newer, &older, sector)? {
            lost.push(newer.name(inode.number));
        }
        Ok(())
    };
    trees::for_each_inode(&newer.root, newer.id, since, look).map_err(failed)?;
    Ok(lost)
}

struct ComparedSubvolume {
    root: std::os::fd::OwnedFd,
    id: u64,
}

impl ComparedSubvolume {
    fn open(path: &Path) -> Result<Self, BtrfsError> {
        let root = open_subvolume(path)?;
        let id = super::identity::identity_at(&root, path)?.subvolume_id;
        Ok(Self { root, id })
    }

    fn file(&self, inode: &Inode) -> io::Result<File> {
        trees::open_inode(&self.root, self.id, inode)
    }

    fn name(&self, inode: u64) -> PathBuf {
        match trees::path_of(&self.root, self.id, inode) {
            Ok(path) => PathBuf::from(OsString::from_vec(path)),
            // The path is too long for the kernel's answer.
            Err(_) => PathBuf::from(format!("the file with inode number {inode}")),
        }
    }
}

fn loses_end(
    inode: &Inode,
    newer: &ComparedSubvolume,
    older: &ComparedSubvolume,
    sector: u64,
) -> io::Result<bool> {
    if FileType::from_raw_mode(inode.mode) != FileType::RegularFile || inode.bytes == 0 {
        return Ok(false);
    }
    // The sender takes two inodes for the same file if their number and generation are equal.
    let Some(before) = trees::inode(&older.root, older.id, inode.number)?
        .filter(|before| before.generation == inode.generation)
    else {
        return Ok(false);
    };
    let in_block = before.bytes % sector;
    if before.bytes >= inode.bytes || in_block == 0 {
        return Ok(false);
    }
    let block = before.bytes - in_block;
    let file = newer.file(inode)?;
    let place = trees::place_of(&file, block)?;
    if place.is_none() || place != trees::place_of(&older.file(&before)?, block)? {
        return Ok(false);
    }
    let end = inode.bytes.min(block + sector);
    let mut bytes = vec![0; usize::try_from(end - before.bytes).unwrap_or_default()];
    // An end that can't be read may not be zeros.
    let read = file.read_exact_at(&mut bytes, before.bytes);
    Ok(read.is_err() || bytes.iter().any(|byte| *byte != 0))
}
