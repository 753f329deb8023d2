//! Directories that only this user can enter, made where others may write.

use std::ffi::OsStr;
use std::os::fd::OwnedFd;

use rustix::fs::{AtFlags, Dir, Mode, OFlags};
use rustix::io::Errno;

/// Makes a directory for this user alone, and opens it. `None` if another user has put something else in its place
/// meanwhile, which is left as it is.
pub(super) fn make_own_directory(above: &OwnedFd, name: &OsStr) -> Result<Option<OwnedFd>, Errno> {
    rustix::fs::mkdirat(above, name, Mode::RWXU)?;
    let directory = match open_own_directory(above, name) {
        Err(Errno::LOOP | Errno::NOTDIR) => return Ok(None),
        directory => directory?,
    };
    let Some(directory) = directory else {
        return Ok(None);
    };
    // It may be one of this user's that was moved here.
    Ok(is_empty(&directory)?.then_some(directory))
}

/// Opens a directory that was made by this user for themselves alone; `None` if it is not one.
pub(super) fn open_own_directory(above: &OwnedFd, name: &OsStr) -> Result<Option<OwnedFd>, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let directory = rustix::fs::openat(above, name, flags, Mode::empty())?;
    Ok(is_own(above, name, &directory)?.then_some(directory))
}

fn is_empty(directory: &OwnedFd) -> Result<bool, Errno> {
    for entry in Dir::read_from(directory)? {
        if !matches!(entry?.file_name().to_bytes(), b"." | b"..") {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether a directory was made by this user for themselves alone. On a filesystem without owners or modes all directories
/// have the same ones, so that a new one shows what they are.
fn is_own(above: &OwnedFd, name: &OsStr, directory: &OwnedFd) -> Result<bool, Errno> {
    let stat = rustix::fs::fstat(directory)?;
    let facts = |uid, mode: u32| (uid, mode & 0o077);
    let own = (rustix::process::geteuid().as_raw(), 0);
    if facts(stat.st_uid, stat.st_mode) == own {
        return Ok(true);
    }
    let mut probe = name.to_owned();
    probe.push("-probe");
    rustix::fs::mkdirat(above, &probe, Mode::RWXU)?;
    let made = rustix::fs::statat(above, &probe, AtFlags::SYMLINK_NOFOLLOW);
    rustix::fs::unlinkat(above, &probe, AtFlags::REMOVEDIR)?;
    let made = made?;
    Ok(facts(made.st_uid, made.st_mode) != own
        && facts(made.st_uid, made.st_mode) == facts(stat.st_uid, stat.st_mode))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::path::Path;

    use super::*;

    fn opened(path: &Path) -> OwnedFd {
        rustix::fs::open(path, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).unwrap()
    }

    #[test]
    fn only_a_directory_that_nobody_else_can_enter_is_opened() {
        let directory = tempfile::tempdir().unwrap();
        let above = opened(directory.path());
        let name = OsStr::new("own");
        assert!(make_own_directory(&above, name).unwrap().is_some());
        assert!(matches!(
            make_own_directory(&above, name),
            Err(Errno::EXIST)
        ));
        assert!(open_own_directory(&above, name).unwrap().is_some());
        let path = directory.path().join(name);
        rustix::fs::chmod(&path, Mode::from_raw_mode(0o710)).unwrap();
        assert!(open_own_directory(&above, name).unwrap().is_none());
        fs::remove_dir(&path).unwrap();
        symlink(directory.path(), &path).unwrap();
        let link = open_own_directory(&above, name);
        assert!(matches!(link, Err(Errno::LOOP | Errno::NOTDIR)));
    }

    #[test]
    fn a_directory_is_empty_or_not() {
        let directory = tempfile::tempdir().unwrap();
        let open = opened(directory.path());
        assert!(is_empty(&open).unwrap());
        fs::write(directory.path().join("file"), "").unwrap();
        assert!(!is_empty(&open).unwrap());
    }
}
