//! What lies below a directory that is held open, looked at without following a link.

use std::ffi::OsStr;
use std::ops::ControlFlow;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{AtFlags, Dir, DirEntry, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::error::BtrfsError;
use super::guard::Fifo;
use super::held::{HeldDirectory, failed, is_privileged};

impl HeldDirectory {
    /// Whether a regular file below it has the setuid or setgid bit. Where that can't be seen, one may have.
    pub fn holds_privileged_files(&self) -> Result<bool, BtrfsError> {
        let mut found = false;
        let deepest = self.walk(|directory, _, entry| {
            if entry.file_type() == FileType::RegularFile {
                let name = entry.file_name();
                let stat = rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)?;
                found = is_privileged(stat.st_mode);
            }
            Ok(if found {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            })
        })?;
        Ok(found || deepest == Deepest::OutOfReach)
    }

    /// The fifos below it that a path can name.
    pub fn fifos(&self) -> Result<Vec<Fifo>, BtrfsError> {
        let mut fifos = Vec::new();
        self.walk(|_, below, entry| {
            if entry.file_type() == FileType::Fifo {
                fifos.push(Fifo {
                    path: join(below, entry),
                    inode: entry.ino(),
                });
            }
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(fifos)
    }

    /// Visits each entry with the directory that it is in, and that one's path, until it is told to stop.
    fn walk(
        &self,
        mut visit: impl FnMut(&OwnedFd, &[u8], &DirEntry) -> Result<ControlFlow<()>, Errno>,
    ) -> Result<Deepest, BtrfsError> {
        let look = |errno| failed("look into", self.path(), errno);
        let mut deepest = Deepest::Reached;
        // A stack and not a recursion: no tree is too deep.
        let mut to_visit = vec![Vec::new()];
        while let Some(below) = to_visit.pop() {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let directory = if below.is_empty() {
                rustix::fs::openat(self, c".", flags, Mode::empty())
            } else {
                self.open_below(OsStr::from_bytes(&below), flags)
            };
            let directory = match directory {
                Ok(directory) => directory,
                Err(Errno::NAMETOOLONG) => {
                    deepest = Deepest::OutOfReach;
                    continue;
                }
                Err(errno) => return Err(look(errno)),
            };
            for entry in Dir::read_from(&directory).map_err(look)? {
                let entry = entry.map_err(look)?;
                if matches!(entry.file_name().to_bytes(), b"." | b"..") {
                    continue;
                }
                if visit(&directory, &below, &entry).map_err(look)?.is_break() {
                    return Ok(deepest);
                }
                if entry.file_type() == FileType::Directory {
                    to_visit.push(join(&below, &entry));
                }
            }
        }
        Ok(deepest)
    }
}

/// Whether all directories could be opened by their paths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Deepest {
    Reached,
    /// Some lie deeper than a path can be long.
    OutOfReach,
}

fn join(below: &[u8], entry: &DirEntry) -> Vec<u8> {
    let name = entry.file_name().to_bytes();
    if below.is_empty() {
        return name.to_vec();
    }
    [below, b"/", name].concat()
}
