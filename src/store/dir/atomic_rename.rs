//! Gives a finished file its name without replacing another, in the ways that filesystems offer.

use std::io;

use rustix::io::Errno;

use super::directory::Directory;

/// How a finished file gets its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Placing {
    RenameNoReplace,
    Link,
    /// The filesystem has neither of these: check that the name is free, then rename.
    Rename,
}

/// The result of placing a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Placed {
    /// The file has its name, and the temporary name is gone.
    Moved,
    /// The file has its name and still its temporary name.
    Linked,
    /// The name was in use.
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

/// Returns whether the filesystem lacks the operation, as opposed to a failure of it.
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

/// Places a file in the way `best`, or in the next best way that this filesystem has.
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
