//! Makes what was made durable.
//!
//! A sync of a whole filesystem also waits for all that others have written there. A few files are synced one by one.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::directories::{EntryDirectories, readable};
use super::tree::{EntryState, WorkTree};
use super::work::{WorkDirectory, stopped};
use crate::error::Error;

/// With more entries than this the whole filesystem is synced.
const FEW: u32 = 64;

/// Makes all that is in the work directory durable.
pub(super) fn sync_made(tree: &mut WorkTree<'_>, work: &WorkDirectory) -> Result<(), Error> {
    if tree.listed.len() <= FEW && sync_each(tree)? {
        return Ok(());
    }
    work.sync()
}

/// Makes the names durable that entries have got in the target directory.
pub(super) fn sync_names(tree: &WorkTree<'_>, target: &Arc<OwnedFd>) -> Result<(), Error> {
    if tree.listed.len() <= FEW && sync_parents(tree, target)? {
        return Ok(());
    }
    rustix::fs::syncfs(target).map_err(stopped("sync", &tree.target))
}

/// Syncs each file and each directory. Returns false if one can't be synced alone: modes are set by now, and some filesystems
/// don't sync directories.
fn sync_each(tree: &mut WorkTree<'_>) -> Result<bool, Error> {
    for number in 0..tree.listed.len() {
        let standing = tree.standing(number);
        let is_file = matches!(standing, EntryState::Regular | EntryState::Copy);
        if !is_file && standing != EntryState::Directory {
            continue;
        }
        let parent = tree.listed.entry(number).parent;
        let Ok(Some(above)) = tree.directories.open_as_it_is(&tree.listed, parent) else {
            return Ok(false);
        };
        let kind = if is_file {
            OFlags::NONBLOCK
        } else {
            OFlags::DIRECTORY
        };
        let flags = kind | OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let name = tree.listed.name(number);
        let Ok(opened) = rustix::fs::openat(&above, name, flags, Mode::empty()) else {
            return Ok(false);
        };
        if !is_synced(&opened).map_err(|errno| tree.stopped("sync", number, errno))? {
            return Ok(false);
        }
    }
    let root = tree.directories.open_as_it_is(&tree.listed, None);
    let Ok(Some(root)) = root else {
        return Ok(false);
    };
    sync_directory(&root).map_err(stopped("sync", &tree.target))
}

/// Syncs the directories in the target that have the entries which were renamed.
fn sync_parents(tree: &WorkTree<'_>, target: &Arc<OwnedFd>) -> Result<bool, Error> {
    let mut directories = EntryDirectories::below(Arc::clone(target), false);
    let on_the_way = (0..tree.listed.len()).filter(|it| tree.listed.entry(*it).is_on_the_way);
    for directory in on_the_way.map(Some).chain([None]) {
        let Ok(Some(opened)) = directories.open(&tree.listed, directory) else {
            return Ok(false);
        };
        if !sync_directory(&opened).map_err(stopped("sync", &tree.target))? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Syncs a directory that is open as a path.
fn sync_directory(directory: &OwnedFd) -> Result<bool, Errno> {
    match readable(directory) {
        Ok(readable) => is_synced(&readable),
        Err(_) => Ok(false),
    }
}

fn is_synced(opened: &OwnedFd) -> Result<bool, Errno> {
    match rustix::fs::fsync(opened) {
        Ok(()) => Ok(true),
        Err(Errno::INVAL | Errno::NOTSUP | Errno::NOSYS | Errno::ROFS) => Ok(false),
        Err(errno) => Err(errno),
    }
}
