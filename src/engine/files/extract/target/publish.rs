//! Gives what was made its names in the target directory.
//!
//! Other users may be able to change what is there while this runs. So each directory on the way is opened below the one before,
//! and no link is followed.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::directories::{EntryDirectories, chmod};
use super::journal::LateMode;
use super::tree::WorkTree;
use crate::engine::files::attributes::Place;
use crate::engine::files::entry::open_below;
use crate::engine::files::rename_new::{kind, rename_new};
use crate::error::{Error, ExtractError};

/// As often is a name tried again that somebody makes and removes.
const ATTEMPTS: usize = 100;

/// Fails if something that is wanted exists in the target directory, or if a directory on the way there is none.
pub(super) fn require_free(tree: &WorkTree<'_>, target: &Arc<OwnedFd>) -> Result<(), Error> {
    let mut directories = EntryDirectories::below(Arc::clone(target), false);
    let device = rustix::fs::fstat(target)
        .map_err(|errno| Error::file("look at", &tree.target, errno.into()))?
        .st_dev;
    let listed = &tree.listed;
    let mut exists = vec![false; listed.len() as usize];
    for number in 0..listed.len() {
        tree.interrupt.check()?;
        let entry = listed.entry(number);
        let is_above_there = entry.parent.is_none_or(|above| exists[above as usize]);
        if !is_above_there || !(entry.is_on_the_way || listed.is_top(number)) {
            continue;
        }
        let failed = |errno: Errno| Error::file("look at", tree.path(number), errno.into());
        let no_directory = || Error::from(ExtractError::NoDirectory(tree.path(number)));
        let above = directories.open(listed, entry.parent).map_err(failed)?;
        let Some(above) = above else {
            return Err(no_directory());
        };
        let found = match kind(&above, listed.name(number)) {
            // The target can't have such a name: nothing has it.
            Err(Errno::NAMETOOLONG | Errno::ILSEQ | Errno::INVAL) => None,
            found => found.map_err(failed)?,
        };
        match found {
            None => {}
            Some(_) if !entry.is_on_the_way => {
                return Err(ExtractError::TargetExists(tree.path(number)).into());
            }
            Some(_) => {
                let found = directories.open(listed, Some(number)).map_err(failed)?;
                let found = found.ok_or_else(no_directory)?;
                if rustix::fs::fstat(&found).map_err(failed)?.st_dev != device {
                    return Err(no_directory());
                }
                exists[number as usize] = true;
            }
        }
    }
    Ok(())
}

/// Renames all that is still in the work directory.
pub(super) fn publish(tree: &mut WorkTree<'_>, target: &Arc<OwnedFd>) -> Result<(), Error> {
    for number in 0..tree.listed.len() {
        if !tree.listed.is_top(number) {
            continue;
        }
        tree.interrupt.check()?;
        let mut left = ATTEMPTS;
        while !publish_top(tree, target, number)? {
            left -= 1;
            if left == 0 {
                return Err(tree.stopped("rename", number, Errno::EXIST));
            }
        }
    }
    Ok(())
}

/// Returns false if it is to be tried again.
fn publish_top(tree: &mut WorkTree<'_>, target: &Arc<OwnedFd>, top: u32) -> Result<bool, Error> {
    let parent = tree.listed.entry(top).parent;
    let opened = tree.directories.open(&tree.listed, parent);
    let Some(from) = opened.map_err(|errno| tree.stopped("look at", top, errno))? else {
        // Its directory has its name, and it with that.
        return Ok(true);
    };
    let is_there = match kind(&from, tree.listed.name(top)) {
        Err(Errno::NAMETOOLONG | Errno::ILSEQ | Errno::INVAL) => false,
        found => found
            .map_err(|errno| tree.stopped("look at", top, errno))?
            .is_some(),
    };
    if !is_there {
        // It was left out, or an earlier run has renamed it.
        return Ok(true);
    }
    let (to, missing) = find_target(tree, target, top)?;
    let moved = missing.unwrap_or(top);
    let name = tree.listed.name(moved);
    let from = tree.above(moved)?;
    let place = |directory| Place { directory, name };
    match rename_new(place(&from), place(&to)) {
        Ok(()) => {
            if missing.is_some() {
                tree.directories.forget();
            }
            Ok(true)
        }
        // Somebody has made that directory just now.
        Err(Errno::EXIST) if missing.is_some() => Ok(false),
        Err(Errno::EXIST) if is_link_of(place(&from), place(&to)) => {
            // A run died between the two steps of a rename, on a filesystem that has no better way.
            tree.remove(moved)?;
            Ok(true)
        }
        Err(Errno::EXIST) => Err(ExtractError::TargetExists(tree.path(moved)).into()),
        Err(errno) => Err(tree.stopped("rename the new files to", moved, errno)),
    }
}

/// Returns the directory of the target to rename into, and what directory on the way is missing in it; `None` if none is.
fn find_target(
    tree: &WorkTree<'_>,
    target: &Arc<OwnedFd>,
    top: u32,
) -> Result<(Arc<OwnedFd>, Option<u32>), Error> {
    let mut at = Arc::clone(target);
    for number in tree.listed.way_to(top) {
        let failed = |errno| tree.stopped("open", number, errno);
        let name = tree.listed.name(number);
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        if let Some(next) = open_below(&at, name.as_ref(), flags).map_err(failed)? {
            at = Arc::new(next);
            continue;
        }
        return match kind(&at, name).map_err(failed)? {
            None => Ok((at, Some(number))),
            Some(_) => Err(ExtractError::NoDirectory(tree.path(number)).into()),
        };
    }
    Ok((at, None))
}

/// Whether two names are hard links of one file that is no directory.
fn is_link_of(one: Place<'_>, other: Place<'_>) -> bool {
    let look = |place: Place<'_>| {
        rustix::fs::statat(place.directory, place.name, AtFlags::SYMLINK_NOFOLLOW)
    };
    match (look(one), look(other)) {
        (Ok(one), Ok(other)) => {
            (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino)
                && one.st_nlink > 1
                && FileType::from_raw_mode(one.st_mode) != FileType::Directory
        }
        _ => false,
    }
}

/// Sets the modes that directories could not have before they had their names. They are listed with what is in a directory
/// before it.
pub(super) fn set_late_modes(
    tree: &WorkTree<'_>,
    target: &Arc<OwnedFd>,
    late_modes: &[LateMode],
) -> Result<(), Error> {
    for late in late_modes {
        let mut directories = EntryDirectories::below(Arc::clone(target), false);
        let failed = |errno| tree.stopped("set the mode of", late.entry, errno);
        let opened = directories.open(&tree.listed, Some(late.entry));
        let directory = match opened {
            Ok(Some(directory)) => directory,
            // It was moved away, or is another one's.
            Ok(None) | Err(Errno::ACCESS) => continue,
            Err(errno) => return Err(failed(errno)),
        };
        let stat = rustix::fs::fstat(&directory).map_err(failed)?;
        let is_own = stat.st_uid == rustix::process::geteuid().as_raw();
        if is_own && stat.st_ino == late.inode {
            chmod(&directory, Mode::from_raw_mode(late.mode)).map_err(failed)?;
        }
    }
    Ok(())
}
