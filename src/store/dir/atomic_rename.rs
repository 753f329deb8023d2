//! Giving a finished file its name, without replacing another: the ways that filesystems have.

use std::io;

use rustix::io::Errno;

use super::directory::Directory;

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

pub(super) fn place(
    placing: Placing,
    directory: &Directory,
    temporary: &str,
    name: &str,
) -> io::Result<Placed> {
    let existed = |error: io::Error| {
        if error.kind() == io::ErrorKind::AlreadyExists {
            Ok(Placed::Existed)
        } else {
            Err(error)
        }
    };
    match placing {
        Placing::RenameNoReplace => directory
            .rename_new(temporary, name)
            .map(|()| Placed::Moved)
            .or_else(existed),
        Placing::Link => directory
            .link(temporary, name)
            .map(|()| Placed::Linked)
            .or_else(existed),
        Placing::Rename => match directory.stat(name) {
            Ok(_) => Ok(Placed::Existed),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                directory.rename(temporary, name).map(|()| Placed::Moved)
            }
            Err(error) => Err(error),
        },
    }
}

/// Whether the filesystem does not know the operation, rather than failing at it.
fn is_unsupported(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP | Errno::PERM)
    ) || error.kind() == io::ErrorKind::Unsupported
}

pub(super) fn random_name() -> String {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).expect("the kernel gives random bytes");
    format!("{:016x}", u64::from_be_bytes(bytes))
}

/// Places a file in that way, or the next best one that this filesystem has.
pub(super) fn place_best(
    best: Placing,
    directory: &Directory,
    temporary: &str,
    name: &str,
) -> io::Result<Placed> {
    let mut result = Err(io::Error::from(io::ErrorKind::Unsupported));
    let ways = [Placing::RenameNoReplace, Placing::Link, Placing::Rename];
    for placing in ways.into_iter().skip_while(|placing| *placing != best) {
        result = place(placing, directory, temporary, name);
        match &result {
            Err(error) if is_unsupported(error) => {}
            _ => break,
        }
    }
    result
}
