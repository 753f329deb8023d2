//! Opens the directories of the list, a component at a time, so that no link is followed and no path is too long.

use std::os::fd::{AsRawFd as _, OwnedFd};
use std::sync::Arc;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::listed::EntryList;
use crate::engine::files::entry::open_below;

/// As many directories or files are kept open, if this process may have so many.
const OPEN: usize = 64;

/// Directories of the list below a root. They are open as paths: they can be read by opening `.` in them.
pub(super) struct EntryDirectories {
    root: Arc<OwnedFd>,
    /// Those that are open, the one that was used last at the end.
    open: Vec<(u32, Arc<OwnedFd>)>,
    most: usize,
    /// Whether an earlier run may have taken this user's own permissions away.
    mend: bool,
}

impl EntryDirectories {
    pub(super) fn below(root: Arc<OwnedFd>, mend: bool) -> Self {
        Self {
            root,
            open: Vec::new(),
            most: kept_open(),
            mend,
        }
    }

    /// Opens a directory of the list; `None` if it is not there, or is a link, a mount or something else.
    pub(super) fn open(
        &mut self,
        listed: &EntryList<'_>,
        directory: Option<u32>,
    ) -> Result<Option<Arc<OwnedFd>>, Errno> {
        self.open_with(self.mend, listed, directory)
    }

    /// The same, but leaves the permissions of directories as they are.
    pub(super) fn open_as_it_is(
        &mut self,
        listed: &EntryList<'_>,
        directory: Option<u32>,
    ) -> Result<Option<Arc<OwnedFd>>, Errno> {
        self.open_with(false, listed, directory)
    }

    fn open_with(
        &mut self,
        mend: bool,
        listed: &EntryList<'_>,
        directory: Option<u32>,
    ) -> Result<Option<Arc<OwnedFd>>, Errno> {
        let mut way = Vec::new();
        let mut above = directory;
        let mut at = loop {
            let Some(number) = above else {
                break Arc::clone(&self.root);
            };
            if let Some(found) = self.find(number) {
                break found;
            }
            way.push(number);
            above = listed.entry(number).parent;
        };
        for number in way.into_iter().rev() {
            let flags = OFlags::PATH | OFlags::DIRECTORY;
            let name = listed.name(number).as_ref();
            let Some(found) = open_below(&at, name, flags)? else {
                return Ok(None);
            };
            if mend {
                allow_all(&found)?;
            }
            at = Arc::new(found);
            if self.open.len() == self.most {
                self.open.remove(0);
            }
            self.open.push((number, Arc::clone(&at)));
        }
        Ok(Some(at))
    }

    /// Forgets what is open: a directory has been moved.
    pub(super) fn forget(&mut self) {
        self.open.clear();
    }

    fn find(&mut self, number: u32) -> Option<Arc<OwnedFd>> {
        let at = self.open.iter().rposition(|(open, _)| *open == number)?;
        let found = self.open.remove(at);
        let directory = Arc::clone(&found.1);
        self.open.push(found);
        Some(directory)
    }
}

/// Returns how many directories, and how many files, are kept open: an eighth of what this process may have.
pub(super) fn kept_open() -> usize {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let limit = limit.current.and_then(|limit| usize::try_from(limit).ok());
    limit.map_or(OPEN, |limit| (limit / 8).clamp(2, OPEN))
}

/// Gives the owner all permissions of a directory of the work directory.
pub(super) fn allow_all(directory: &OwnedFd) -> Result<(), Errno> {
    let mode = Mode::from_raw_mode(rustix::fs::fstat(directory)?.st_mode);
    if mode.contains(Mode::RWXU) {
        return Ok(());
    }
    chmod(directory, Mode::RWXU)
}

/// Sets the mode of what is open as a path.
pub(super) fn chmod(open: &OwnedFd, mode: Mode) -> Result<(), Errno> {
    rustix::fs::chmod(format!("/proc/self/fd/{}", open.as_raw_fd()), mode)
}

/// Opens a directory that is open as a path so that it can be read.
pub(super) fn readable(directory: &OwnedFd) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::openat(directory, ".", flags, Mode::empty())
}
