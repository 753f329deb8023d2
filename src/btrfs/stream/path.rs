//! Checks which paths a stream may name: relative, plain, and below the subvolume.
//!
//! `btrfs receive` joins a stream's path to the subvolume's with a slash and passes it to the system, so
//! `../x` and an absolute path have their usual meaning.

use super::refusal::{PathFault, StreamRefusal};

/// The longest path that a restore can take.
///
/// `btrfs receive -C` joins `/`, the subvolume's name, `/` and the path, and refuses more than `PATH_MAX`
/// without its NUL and a few bytes. This leaves 4,091 bytes less the length of the name. A restore gives the
/// subvolume a name of one byte. The target of a symlink is no path of the stream and has no limit here.
pub(super) const PATH_LIMIT: usize = 4090;
/// The longest path in the send parent that `btrfs receive` can clone from, in bytes. It opens the path
/// behind the parent's name and a slash, in a buffer of the size of `PATH_MAX`. A restore names the parent by
/// its date.
const CLONED_LIMIT: usize = 4083;
/// `BTRFS_NAME_LEN`, and `NAME_MAX` of Linux.
const NAME_LIMIT: usize = 255;

/// Whether a path may be empty, which is how the kernel names the subvolume's own root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Root {
    /// Attributes of the root itself may be set.
    Allowed,
    /// The root can't be made, renamed, removed or written.
    Refused,
}

/// Checks a path inside the subvolume.
pub(super) fn check(path: &[u8], root: Root) -> Result<(), StreamRefusal> {
    let refuse = |fault| {
        Err(StreamRefusal::Path {
            path: path.to_vec(),
            fault,
        })
    };
    if path.is_empty() {
        return match root {
            Root::Allowed => Ok(()),
            Root::Refused => refuse(PathFault::Root),
        };
    }
    if path.len() > PATH_LIMIT {
        return refuse(PathFault::PathTooLong);
    }
    if path[0] == b'/' {
        return refuse(PathFault::Absolute);
    }
    if path.contains(&0) {
        return refuse(PathFault::Nul);
    }
    for name in path.split(|&byte| byte == b'/') {
        match name {
            b"" => return refuse(PathFault::EmptyComponent),
            b"." => return refuse(PathFault::Dot),
            b".." => return refuse(PathFault::DotDot),
            _ if name.len() > NAME_LIMIT => return refuse(PathFault::NameTooLong),
            _ => {}
        }
    }
    Ok(())
}

/// Refuses a directory that is renamed into itself.
pub(super) fn check_rename(from: &[u8], to: &[u8]) -> Result<(), StreamRefusal> {
    let below = to.strip_prefix(from);
    if below.is_some_and(|rest| rest.starts_with(b"/")) {
        return Err(StreamRefusal::RenamedIntoItself {
            path: from.to_vec(),
        });
    }
    Ok(())
}

/// Checks the path of a file in the send parent from which data is cloned.
pub(super) fn check_cloned(path: &[u8]) -> Result<(), StreamRefusal> {
    check(path, Root::Refused)?;
    if path.len() > CLONED_LIMIT {
        return Err(StreamRefusal::Path {
            path: path.to_vec(),
            fault: PathFault::ClonedTooLong,
        });
    }
    Ok(())
}

/// Checks the name that the stream gives its subvolume: one component, no path.
pub(super) fn check_subvolume_name(name: &[u8]) -> Result<(), StreamRefusal> {
    check(name, Root::Refused)?;
    if name.contains(&b'/') {
        return Err(StreamRefusal::SubvolumeName {
            name: name.to_vec(),
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_relative_path_of_any_bytes_is_good() {
        for path in [
            &b"a"[..],
            b"a/b/c",
            b"...",
            b"..a/.b",
            b"\xff\xfe",
            b"o257-8-0",
            b"a\nb",
        ] {
            check(path, Root::Refused).unwrap();
        }
        check(&[b'x'; 255], Root::Refused).unwrap();
        let longest = [b"ab".as_slice(), &b"/a".repeat(2044)].concat();
        assert_eq!(longest.len(), PATH_LIMIT);
        check(&longest, Root::Refused).unwrap();
    }

    #[test]
    fn every_way_out_of_the_subvolume_is_refused() {
        let long = [b"abc".as_slice(), &b"/a".repeat(2044)].concat();
        for (path, expected) in [
            (&b"/etc"[..], PathFault::Absolute),
            (b"../x", PathFault::DotDot),
            (b"a/../b", PathFault::DotDot),
            (b"a/..", PathFault::DotDot),
            (b".", PathFault::Dot),
            (b"a/./b", PathFault::Dot),
            (b"a//b", PathFault::EmptyComponent),
            (b"a/", PathFault::EmptyComponent),
            (b"a\0b", PathFault::Nul),
            (&[b'x'; 256], PathFault::NameTooLong),
            (&long, PathFault::PathTooLong),
        ] {
            match check(path, Root::Allowed) {
                Err(StreamRefusal::Path { fault, .. }) => assert_eq!(fault, expected),
                other => panic!("{}: {other:?}", path.escape_ascii()),
            }
        }
    }

    #[test]
    fn the_root_is_named_only_where_it_is_allowed() {
        assert!(check(b"", Root::Allowed).is_ok());
        assert!(check(b"", Root::Refused).is_err());
    }

    #[test]
    fn a_subvolume_name_is_one_component() {
        assert!(check_subvolume_name(b"2026-11-21").is_ok());
        for name in [&b""[..], b"a/b", b"..", b".", b"/a", b"a\0"] {
            assert!(
                check_subvolume_name(name).is_err(),
                "{}",
                name.escape_ascii()
            );
        }
    }
}
