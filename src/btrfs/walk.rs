//! Walks everything below a directory that is held open, without following a link.
//!
//! A tree may be hostile: wide, and deeper than a path can be long. So each directory is opened from the one
//! above it, the list of directories to visit has only names, and a path is built only when it is needed.

use std::ffi::{CStr, CString};
use std::ops::ControlFlow;
use std::os::fd::OwnedFd;
use std::rc::Rc;

use rustix::fs::{AtFlags, Dir, DirEntry, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::error::BtrfsError;
use super::held::{HeldDirectory, failed, is_privileged};
use super::stream::Fifo;

/// The most bytes of the paths of fifos: more than any system has.
const FIFO_PATHS: usize = 64 << 20;

/// A directory above those that are visited.
pub(super) struct Level {
    descriptor: OwnedFd,
    name: CString,
    above: Option<Rc<Level>>,
}

/// How far a walk goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    Everything,
    /// Only the subvolume of the directory.
    Subvolume,
    /// The same, while others change it: what is gone or can't be read is passed over.
    LiveSubvolume,
}

impl HeldDirectory {
    /// Returns whether anything below it but a directory has the setuid or setgid bit.
    pub fn holds_privileged_files(&self) -> Result<bool, BtrfsError> {
        let mut found = false;
        self.walk(|level, entry| {
            if entry.file_type() != FileType::Directory {
                let (name, flags) = (entry.file_name(), AtFlags::SYMLINK_NOFOLLOW);
                let stat = rustix::fs::statat(&level.descriptor, name, flags)?;
                found = is_privileged(stat.st_mode);
            }
            Ok(if found {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            })
        })?;
        Ok(found)
    }

    /// Returns the path below it of a regular file with several names, in this subvolume and not in those nested in it.
    pub fn linked_file(&self) -> Result<Option<Vec<u8>>, BtrfsError> {
        let mut found = None;
        self.walk_to(Reach::Subvolume, |level, entry| {
            if entry.file_type() == FileType::RegularFile {
                let (name, flags) = (entry.file_name(), AtFlags::SYMLINK_NOFOLLOW);
                let stat = rustix::fs::statat(&level.descriptor, name, flags)?;
                if stat.st_nlink > 1 {
                    found = Some(level.path_of(name));
                    return Ok(ControlFlow::Break(()));
                }
            }
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(found)
    }

    /// Returns the fifos below it.
    pub fn fifos(&self) -> Result<Vec<Fifo>, BtrfsError> {
        let mut fifos = Vec::new();
        let mut bytes = 0;
        self.walk(|level, entry| {
            if entry.file_type() == FileType::Fifo {
                let path = level.path_of(entry.file_name());
                bytes += path.len();
                if bytes > FIFO_PATHS {
                    return Err(Errno::NOMEM);
                }
                fifos.push(Fifo {
                    path,
                    inode: entry.ino(),
                });
            }
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(fifos)
    }

    /// Calls `visit` with each entry and its directory, until `visit` stops it. As many directories are open
    /// at once as the tree is deep.
    pub(super) fn walk(
        &self,
        visit: impl FnMut(&Level, &DirEntry) -> Result<ControlFlow<()>, Errno>,
    ) -> Result<(), BtrfsError> {
        self.walk_to(Reach::Everything, visit)
    }

    /// The same in the subvolume of the directory alone, while others change it: what is gone or can't be read is passed
    /// over.
    pub(super) fn walk_live(
        &self,
        visit: impl FnMut(&Level, &DirEntry) -> Result<ControlFlow<()>, Errno>,
    ) -> Result<(), BtrfsError> {
        self.walk_to(Reach::LiveSubvolume, visit)
    }

    fn walk_to(
        &self,
        reach: Reach,
        mut visit: impl FnMut(&Level, &DirEntry) -> Result<ControlFlow<()>, Errno>,
    ) -> Result<(), BtrfsError> {
        let device = self.stat()?.st_dev;
        let is_live = reach == Reach::LiveSubvolume;
        let look = |errno| failed("look into", self.path(), errno);
        let mut to_visit = vec![(None, c".".to_owned())];
        while let Some((above, name)) = to_visit.pop() {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let opened = match &above {
                None => rustix::fs::openat(self, &*name, flags, Mode::empty()),
                Some(above) => {
                    let above: &Rc<Level> = above;
                    rustix::fs::openat(&above.descriptor, &*name, flags, Mode::empty())
                }
            };
            let descriptor = match opened {
                Err(_) if is_live => continue,
                opened => opened.map_err(look)?,
            };
            // Each subvolume has a device number of its own.
            if reach != Reach::Everything
                && rustix::fs::fstat(&descriptor).map_err(look)?.st_dev != device
            {
                continue;
            }
            let level = Rc::new(Level {
                descriptor,
                name,
                above,
            });
            for entry in Dir::read_from(&level.descriptor).map_err(look)? {
                let entry = match entry {
                    Err(_) if is_live => break,
                    entry => entry.map_err(look)?,
                };
                let name = entry.file_name();
                if matches!(name.to_bytes(), b"." | b"..") {
                    continue;
                }
                if visit(&level, &entry).map_err(look)?.is_break() {
                    return Ok(());
                }
                if entry.file_type() == FileType::Directory {
                    to_visit.push((Some(Rc::clone(&level)), name.to_owned()));
                }
            }
        }
        Ok(())
    }
}

impl Level {
    /// The directory.
    pub(super) fn descriptor(&self) -> &OwnedFd {
        &self.descriptor
    }

    /// Returns the path of something in it, from the directory that is walked.
    pub(super) fn path_of(&self, name: &CStr) -> Vec<u8> {
        let mut names = vec![name.to_bytes()];
        let mut level = self;
        while let Some(above) = &level.above {
            names.push(level.name.to_bytes());
            level = above;
        }
        names.reverse();
        names.join(&b'/')
    }
}
