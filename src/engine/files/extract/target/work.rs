//! The directory beside the targets that all is made in. Only this user can enter it, and one run at a time uses it.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::fs::{AtFlags, FileType, FlockOperation, Mode, OFlags, flock};
use rustix::io::Errno;

use super::clear::clear;
use super::directories::allow_all;
use super::journal::Journal;
use crate::engine::files::attributes::drop_inherited;
use crate::engine::files::own_directory::{make_own_directory, open_own_directory};
use crate::engine::files::rename_new::kind;
use crate::error::{Error, ExtractError, FilesError};

/// The beginning of its name.
const TEMPORARY: &str = ".coldchain-extract-";

/// The directory in it that has what the target directory will have.
const NEW: &str = "new";

const LOCK: &str = "lock";

/// How often it is tried to remove the directory, where a filesystem takes its time to close a file.
const REMOVAL_ATTEMPTS: usize = 20;

/// The pause between two attempts.
const REMOVAL_PAUSE: Duration = Duration::from_millis(10);

/// The work directory, locked.
pub(super) struct WorkDirectory {
    target: Arc<OwnedFd>,
    name: OsString,
    path: PathBuf,
    pub(super) directory: OwnedFd,
    pub(super) new: Arc<OwnedFd>,
    lock: Option<File>,
}

/// Opens the target directory; makes it if only the last component of its path is missing.
pub(super) fn open_target(path: &Path) -> Result<OwnedFd, Error> {
    let none = || Error::from(FilesError::NoTargetDirectory(path.to_owned()));
    match std::fs::create_dir(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Err(none()),
        Err(error) if !path.exists() => return Err(Error::file("create", path, error)),
        // It is there, now or before.
        _ => {}
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(directory) => Ok(directory),
        Err(Errno::NOENT | Errno::NOTDIR) => Err(none()),
        Err(errno) => Err(Error::file("open", path, errno.into())),
    }
}

/// The name of the work directory of an extraction.
pub(super) fn work_name(id: &str) -> OsString {
    format!("{TEMPORARY}{id}").into()
}

impl WorkDirectory {
    /// Opens the one that an earlier run has left; `None` if there is none.
    pub(super) fn reopen(
        target: &Arc<OwnedFd>,
        target_path: &Path,
        name: &OsStr,
    ) -> Result<Option<Self>, Error> {
        let path = target_path.join(name);
        match open_own_directory(target, name) {
            Ok(Some(directory)) => Self::take(target, path, name, directory),
            Err(Errno::NOENT) => Ok(None),
            Ok(None) | Err(Errno::LOOP | Errno::NOTDIR | Errno::ACCESS) => {
                Err(ExtractError::NotOwn(path).into())
            }
            Err(errno) => Err(Error::file("open", path, errno.into())),
        }
    }

    /// Makes it.
    pub(super) fn make(
        target: &Arc<OwnedFd>,
        target_path: &Path,
        name: &OsStr,
    ) -> Result<Self, Error> {
        let path = target_path.join(name);
        let busy = || Error::from(ExtractError::Busy(target_path.to_owned()));
        let directory = match make_own_directory(target, name) {
            Ok(Some(directory)) => directory,
            Ok(None) => return Err(ExtractError::NotOwn(path).into()),
            // Another run was faster.
            Err(Errno::EXIST) => return Err(busy()),
            Err(errno) => return Err(stopped("create", &path)(errno)),
        };
        Self::take(target, path, name, directory)?.ok_or_else(busy)
    }

    /// Locks it; `None` if another run has removed it just now.
    fn take(
        target: &Arc<OwnedFd>,
        path: PathBuf,
        name: &OsStr,
        directory: OwnedFd,
    ) -> Result<Option<Self>, Error> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::RUSR | Mode::WUSR;
        let lock = match rustix::fs::openat(&directory, LOCK, flags, mode) {
            Ok(lock) => lock,
            Err(Errno::NOENT) => return Ok(None),
            Err(errno) => return Err(stopped("lock", &path)(errno)),
        };
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => {
                let above = path.parent().unwrap_or(Path::new(".")).to_owned();
                return Err(ExtractError::Busy(above).into());
            }
            Err(errno) => return Err(failed("lock", &path)(errno)),
        }
        // A run that ended meanwhile has removed the file that is locked now.
        if kind(&directory, OsStr::new(LOCK)).map_err(failed("lock", &path))?
            != Some(FileType::RegularFile)
            || rustix::fs::fstat(&lock).is_ok_and(|stat| stat.st_nlink == 0)
        {
            return Ok(None);
        }
        drop_inherited(&directory);
        // Some filesystems have no modes.
        let _ = rustix::fs::fchmod(&directory, Mode::RWXU);
        match rustix::fs::mkdirat(&directory, NEW, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(stopped("create", &path)(errno)),
        }
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let new = rustix::fs::openat(&directory, NEW, flags, Mode::empty())
            .map_err(failed("open", &path))?;
        allow_all(&new).map_err(failed("open", &path))?;
        Ok(Some(Self {
            target: Arc::clone(target),
            name: name.to_owned(),
            path,
            directory,
            new: Arc::new(new),
            lock: Some(File::from(lock)),
        }))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn read_journal(&self) -> Result<Option<Journal>, Error> {
        let failed = |error| Error::file("read the journal in", &self.path, error);
        Journal::read(&self.directory).map_err(failed)
    }

    pub(super) fn write_journal(&self, journal: &Journal) -> Result<(), Error> {
        let written = journal.write(&self.directory);
        written.map_err(|source| {
            let (doing, path) = ("write the journal in", self.path.clone());
            ExtractError::Stopped {
                doing,
                path,
                source,
            }
            .into()
        })
    }

    /// Makes all that was written durable.
    pub(super) fn sync(&self) -> Result<(), Error> {
        rustix::fs::syncfs(&self.directory).map_err(stopped("sync", &self.path))
    }

    /// Begins to make all durable that was written so far, beside what is written now.
    pub(super) fn start_sync(&self) -> Result<JoinHandle<Result<(), Errno>>, Error> {
        let begun = self.directory.try_clone().and_then(|directory| {
            let sync = move || rustix::fs::syncfs(&directory);
            thread::Builder::new().name("sync".to_owned()).spawn(sync)
        });
        begun.map_err(|source| {
            let (doing, path) = ("sync", self.path.clone());
            ExtractError::Stopped {
                doing,
                path,
                source,
            }
            .into()
        })
    }

    /// Removes what was made.
    pub(super) fn clear(&self) -> Result<(), Error> {
        clear(&self.new).map_err(failed("remove", &self.path))
    }

    /// Removes it. The journal goes last: until then, another run ends what this one did.
    pub(super) fn remove(mut self) {
        // What can't be removed does no harm, and is named in the documents.
        let _ = clear(&self.new);
        let _ = rustix::fs::unlinkat(&self.directory, NEW, AtFlags::REMOVEDIR);
        for name in Journal::FILES {
            let _ = rustix::fs::unlinkat(&self.directory, name, AtFlags::empty());
        }
        let _ = rustix::fs::unlinkat(&self.directory, LOCK, AtFlags::empty());
        // Some filesystems keep an open file under another name.
        self.lock = None;
        for _ in 0..REMOVAL_ATTEMPTS {
            match rustix::fs::unlinkat(&*self.target, &self.name, AtFlags::REMOVEDIR) {
                Err(Errno::NOTEMPTY) => thread::sleep(REMOVAL_PAUSE),
                _ => return,
            }
        }
    }
}

impl Drop for WorkDirectory {
    fn drop(&mut self) {
        // Closing the file is not enough: a child that is just being started may have a copy for a moment.
        if let Some(lock) = &self.lock {
            let _ = flock(lock, FlockOperation::Unlock);
        }
    }
}

fn failed(doing: &'static str, path: &Path) -> impl Fn(Errno) -> Error {
    move |errno| Error::file(doing, path, errno.into())
}

/// The error of a run that can be continued.
pub(super) fn stopped(doing: &'static str, path: &Path) -> impl Fn(Errno) -> Error {
    move |errno| {
        ExtractError::Stopped {
            doing,
            path: path.to_owned(),
            source: errno.into(),
        }
        .into()
    }
}
