//! Files that only their owner can read: keys, grants, the recovery kit.

use std::fs::{File, Metadata, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use rustix::io::Errno;

use crate::engine::context::random::random_bytes;
use crate::error::{Error, RequestError};

/// Writes a private file that must not exist yet, and makes it durable. The name appears after all bytes are
/// on the disk, or before that if the filesystem has no nameless files.
pub(crate) fn write_new(path: &Path, text: &str) -> Result<(), Error> {
    let flags = OFlags::WRONLY | OFlags::TMPFILE | OFlags::CLOEXEC;
    let Ok(nameless) = rustix::fs::open(directory_of(path), flags, Mode::RUSR | Mode::WUSR) else {
        return write_under_its_name(path, text);
    };
    let mut file = File::from(nameless);
    file.write_all(text.as_bytes())
        .and_then(|()| file.sync_all())
        .map_err(|source| Error::file("write", path, source))?;
    let open = format!("/proc/self/fd/{}", file.as_raw_fd());
    match rustix::fs::linkat(CWD, open, CWD, path, AtFlags::SYMLINK_FOLLOW) {
        // The file was synced without a name. The name must survive a power cut too.
        Ok(()) => sync_directory(path).map_err(|source| Error::file("write", path, source)),
        Err(Errno::EXIST) => Err(RequestError::Exists(path.to_owned()).into()),
        // Without /proc it can get no name.
        Err(_) => write_under_its_name(path, text),
    }
}

fn write_under_its_name(path: &Path, text: &str) -> Result<(), Error> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(|source| match source.kind() {
            ErrorKind::AlreadyExists => Error::Request(RequestError::Exists(path.to_owned())),
            _ => Error::file("create", path, source),
        })?;
    file.write_all(text.as_bytes())
        .and_then(|()| file.sync_all())
        .map_err(|source| Error::file("write", path, source))
}

/// Replaces a private file. After a crash, the old or the new file is there. The new text has no name until
/// it is complete, and then a temporary name for a moment only.
pub(crate) fn replace(path: &Path, text: &str) -> Result<(), Error> {
    remove_leftovers(path);
    let new = beside(path);
    let placed = write_new(&new, text).and_then(|()| {
        std::fs::rename(&new, path).map_err(|error| Error::file("replace", path, error))
    });
    if placed.is_err() {
        // Failing to remove it does no harm: the old file still has all that matters.
        let _ = std::fs::remove_file(&new);
    }
    placed?;
    sync_directory(path).map_err(|error| Error::file("replace", path, error))
}

/// Replaces a file in one step, or makes it. One that is there keeps its owner, group and mode; a new one is private.
/// Refuses what is no plain file: a link is not followed, and not replaced.
pub(crate) fn replace_as_it_is(path: &Path, text: &str) -> Result<(), Error> {
    let failed = |error: io::Error| Error::file("write", path, error);
    let before = match path.symlink_metadata() {
        Ok(before) if before.is_file() => Some(before),
        Ok(before) => {
            return Err(RequestError::NoPlainFile(path.to_owned(), kind_of(&before)).into());
        }
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => return Err(failed(error)),
    };
    remove_leftovers(path);
    let new = beside(path);
    let placed = write_new(&new, text)
        .map_err(|error| match error {
            // The user knows the file by the name that it is to have.
            Error::File { source, .. } => failed(source),
            other => other,
        })
        .and_then(|()| {
            before
                .map_or(Ok(()), |before| look_like(&new, &before))
                .and_then(|()| std::fs::rename(&new, path))
                .map_err(failed)
        });
    if placed.is_err() {
        // What can't be removed does no harm, and the next run tries again.
        let _ = std::fs::remove_file(&new);
    }
    placed?;
    sync_directory(path).map_err(failed)
}

/// Gives a file the owner, the group and the mode of another.
fn look_like(path: &Path, like: &Metadata) -> io::Result<()> {
    let now = path.symlink_metadata()?;
    if (now.uid(), now.gid()) != (like.uid(), like.gid()) {
        chown(path, Some(like.uid()), Some(like.gid()))?;
    }
    // A change of owner clears some of the mode, so this is last.
    std::fs::set_permissions(path, Permissions::from_mode(like.mode() & 0o777))
}

fn kind_of(metadata: &Metadata) -> &'static str {
    if metadata.is_symlink() {
        "a link"
    } else if metadata.is_dir() {
        "a directory"
    } else {
        "a device, pipe or socket"
    }
}

/// Makes the name of a file durable.
fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(directory_of(path))?.sync_all()
}

/// Gives a file a second name that is not in use, and returns it.
pub(in crate::engine) fn keep(path: &Path) -> Result<PathBuf, Error> {
    let mut number = 1;
    loop {
        let mut name = path.as_os_str().to_owned();
        name.push(".before-rebuild");
        if number > 1 {
            name.push(format!(".{number}"));
        }
        match std::fs::hard_link(path, &name) {
            Ok(()) => return Ok(name.into()),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => number += 1,
            Err(error) => return Err(Error::file("keep", path, error)),
        }
    }
}

/// Removes a file if it exists.
pub(in crate::engine) fn remove_if_there(path: &Path) -> Result<(), Error> {
    match std::fs::remove_file(path) {
        Err(source) if source.kind() != ErrorKind::NotFound => {
            Err(Error::file("remove", path, source))
        }
        _ => Ok(()),
    }
}

/// Returns an unused name in the same directory.
fn beside(path: &Path) -> PathBuf {
    let number = u64::from_be_bytes(random_bytes());
    path.with_file_name(format!("{}{number:016x}", prefix(path)))
}

fn prefix(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    format!(".{name}.coldchain-")
}

/// Returns the directory of a file.
pub(in crate::engine) fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

/// Removes temporary files that a killed run left while it replaced this file: they may hold secrets. Ignores
/// failures, because such a file blocks nothing.
fn remove_leftovers(path: &Path) {
    let prefix = prefix(path);
    let Ok(entries) = std::fs::read_dir(directory_of(path)) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let number = name.to_str().and_then(|name| name.strip_prefix(&prefix));
        if number.is_some_and(is_number) {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

/// Returns whether a file has a name that [`replace`] gives for a moment. It is left over if nothing is running.
pub(in crate::engine) fn is_temporary(name: &str) -> bool {
    name.strip_prefix('.')
        .and_then(|name| name.rsplit_once(".coldchain-"))
        .is_some_and(|(of, number)| !of.is_empty() && is_number(number))
}

fn is_number(text: &str) -> bool {
    text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replaced_file_is_private_and_nothing_else_is_touched() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        std::fs::write(at("kit"), "old").unwrap();
        std::fs::write(at("kit.new"), "mine").unwrap();
        std::fs::write(at(".kit.coldchain-0123456789abcdef"), "secret").unwrap();
        std::fs::write(at(".kit.coldchain-notes"), "mine too").unwrap();

        replace(&at("kit"), "new").unwrap();
        let mut left: Vec<String> = std::fs::read_dir(directory.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        assert_eq!(left, [".kit.coldchain-notes", "kit", "kit.new"]);
        assert_eq!(std::fs::read_to_string(at("kit")).unwrap(), "new");
        assert_eq!(std::fs::read_to_string(at("kit.new")).unwrap(), "mine");
        let mode = at("kit").metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_file_that_can_t_be_replaced_leaves_nothing_beside_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("kit");
        std::fs::create_dir(&path).unwrap();
        assert!(replace(&path, "secret").is_err());
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
