//! Giving a finished file its name, without replacing another: the ways that filesystems have.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

/// How a finished file gets its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Placing {
    RenameNoReplace,
    Link,
    /// Neither is there: look, then rename.
    Rename,
}

/// How placing a file went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Placed {
    /// It has its name, and the temporary one is gone.
    Moved,
    /// It has its name beside the temporary one.
    Linked,
    /// The name was taken.
    Existed,
}

pub(super) fn place(placing: Placing, temporary: &Path, path: &Path) -> io::Result<Placed> {
    let existed = |error: io::Error| {
        if error.kind() == io::ErrorKind::AlreadyExists {
            Ok(Placed::Existed)
        } else {
            Err(error)
        }
    };
    match placing {
        Placing::RenameNoReplace => {
            renameat_with(CWD, temporary, CWD, path, RenameFlags::NOREPLACE)
                .map(|()| Placed::Moved)
                .or_else(|errno| existed(errno.into()))
        }
        Placing::Link => fs::hard_link(temporary, path)
            .map(|()| Placed::Linked)
            .or_else(existed),
        Placing::Rename => match fs::symlink_metadata(path) {
            Ok(_) => Ok(Placed::Existed),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                fs::rename(temporary, path).map(|()| Placed::Moved)
            }
            Err(error) => Err(error),
        },
    }
}

/// Whether the filesystem does not know the operation, rather than failing at it.
pub(super) fn is_unsupported(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP | Errno::PERM)
    ) || error.kind() == io::ErrorKind::Unsupported
}

pub(super) fn new_file(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
}

pub(super) fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

pub(super) fn random_name() -> String {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).expect("the kernel gives random bytes");
    format!("{:016x}", u64::from_be_bytes(bytes))
}

/// Places a file in that way, or the next best one that this filesystem has.
pub(super) fn place_best(best: Placing, temporary: &Path, path: &Path) -> io::Result<Placed> {
    let mut result = Err(io::Error::from(io::ErrorKind::Unsupported));
    let ways = [Placing::RenameNoReplace, Placing::Link, Placing::Rename];
    for placing in ways.into_iter().skip_while(|placing| *placing != best) {
        result = place(placing, temporary, path);
        match &result {
            Err(error) if is_unsupported(error) => {}
            _ => break,
        }
    }
    result
}
