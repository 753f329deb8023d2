//! A new file that appears under its name whole or not at all, and never replaces another.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, linkat, openat};

use crate::engine::context::private_file::directory_of;
use crate::error::{Error, RequestError};

/// A file that is being written.
#[derive(Debug)]
pub struct NewFile {
    file: File,
    path: PathBuf,
    /// Its temporary path, on a filesystem that can't keep a file without a name.
    named: Option<PathBuf>,
}

impl NewFile {
    /// Begins a file that only its owner can read. Refuses a path that exists.
    pub fn create(path: &Path) -> Result<Self, Error> {
        if path.symlink_metadata().is_ok() {
            return Err(RequestError::Exists(path.to_owned()).into());
        }
        let directory = directory_of(path);
        let private = Mode::RUSR | Mode::WUSR;
        let nameless = openat(CWD, directory, OFlags::TMPFILE | OFlags::WRONLY, private);
        if let Ok(file) = nameless {
            return Ok(Self {
                file: file.into(),
                path: path.to_owned(),
                named: None,
            });
        }
        let mut part = path.as_os_str().to_owned();
        part.push(".part");
        let part = PathBuf::from(part);
        let mut options = OpenOptions::new();
        let file = options.write(true).create_new(true).mode(0o600).open(&part);
        let file = file.map_err(|error| match error.kind() {
            ErrorKind::AlreadyExists => Error::Request(RequestError::Exists(part.clone())),
            _ => Error::file("create", &part, error),
        })?;
        Ok(Self {
            file,
            path: path.to_owned(),
            named: Some(part),
        })
    }

    /// Syncs the file, then gives it its name.
    pub fn publish(mut self) -> Result<(), Error> {
        let failed = |error: io::Error| match error.kind() {
            ErrorKind::AlreadyExists => Error::Request(RequestError::Exists(self.path.clone())),
            _ => Error::file("write", &self.path, error),
        };
        self.file.sync_all().map_err(failed)?;
        let (from, flags) = match &self.named {
            None => {
                let open = format!("/proc/self/fd/{}", self.file.as_raw_fd());
                (PathBuf::from(open), AtFlags::SYMLINK_FOLLOW)
            }
            Some(part) => (part.clone(), AtFlags::empty()),
        };
        linkat(CWD, &from, CWD, &self.path, flags).map_err(|errno| failed(errno.into()))?;
        if let Some(part) = self.named.take() {
            std::fs::remove_file(&part).map_err(failed)?;
        }
        Ok(())
    }
}

impl Write for NewFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if let Some(part) = &self.named {
            // The error that led here is reported; a second one would only confuse.
            let _ = std::fs::remove_file(part);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_appears_whole_or_not_at_all() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("stream");
        let mut file = NewFile::create(&path).unwrap();
        file.write_all(b"all of it").unwrap();
        assert!(!path.exists(), "not yet");
        file.publish().unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"all of it");

        let given_up = directory.path().join("given-up");
        let mut file = NewFile::create(&given_up).unwrap();
        file.write_all(b"half of").unwrap();
        drop(file);
        let left: Vec<_> = std::fs::read_dir(directory.path()).unwrap().collect();
        assert_eq!(left.len(), 1, "the first alone");
    }

    #[test]
    fn what_stands_there_is_never_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("stream");
        let late = NewFile::create(&path).unwrap();
        std::fs::write(&path, b"somebody's").unwrap();
        assert!(matches!(
            NewFile::create(&path),
            Err(Error::Request(RequestError::Exists(_)))
        ));
        assert!(matches!(
            late.publish(),
            Err(Error::Request(RequestError::Exists(_)))
        ));
        assert_eq!(std::fs::read(&path).unwrap(), b"somebody's");
    }
}
