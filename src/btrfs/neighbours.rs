//! Other subvolumes that matter: those nested in a source, and those received from a chain.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::error::BtrfsError;
use super::identity::open_subvolume;
use super::program;
use super::sys::{self, More};
use super::tools::Tools;
use crate::model::Uuid;

/// The subvolumes below `source`, however deep, sorted; the paths start with `source`.
///
/// A snapshot holds an empty directory in their place, so they are not archived with it. If the
/// snapshots themselves are kept below the source, they are among them.
pub fn nested_subvolumes(source: &Path) -> Result<Vec<PathBuf>, BtrfsError> {
    let mut found = Vec::new();
    let mut to_visit = vec![source.to_owned()];
    while let Some(subvolume) = to_visit.pop() {
        let children = match children(&subvolume) {
            Ok(children) => children,
            // Something else may be mounted over a nested one, or it was just deleted.
            Err(_) if subvolume != source => continue,
            Err(error) => return Err(error),
        };
        to_visit.extend(children.iter().cloned());
        found.extend(children);
    }
    found.sort();
    Ok(found)
}

/// The subvolumes that lie in this one with no other between.
fn children(subvolume: &Path) -> Result<Vec<PathBuf>, BtrfsError> {
    let failed = |source| BtrfsError::Io {
        action: "list the subvolumes in",
        path: subvolume.to_owned(),
        source,
    };
    let root = open_subvolume(subvolume)?;
    let mut children = Vec::new();
    let mut from = 0;
    loop {
        let (refs, more) = sys::subvol_rootrefs(&root, from).map_err(failed)?;
        for [treeid, dirid] in &refs.refs[..usize::from(refs.count)] {
            let lookup = match sys::ino_lookup_user(&root, *treeid, *dirid) {
                Ok(lookup) => lookup,
                // Deleted or moved since it was listed.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(error) => return Err(failed(error)),
            };
            let directory = subvolume.join(until_nul(&lookup.path));
            children.push(directory.join(until_nul(&lookup.name)));
        }
        match more {
            More::Yes => from = refs.min_treeid,
            More::No => return Ok(children),
        }
    }
}

fn until_nul(bytes: &[u8]) -> &OsStr {
    let end = bytes.iter().position(|&byte| byte == 0);
    OsStr::from_bytes(&bytes[..end.unwrap_or(bytes.len())])
}

/// A subvolume that `btrfs receive` made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceivedSubvolume {
    /// Its path from the filesystem's top level, which need not be what is mounted.
    pub path: PathBuf,
    /// Its id within the filesystem.
    pub subvolume_id: u64,
    /// The stream uuid that it was received with.
    pub received_uuid: Uuid,
}

/// The subvolumes on the filesystem of `path` whose received uuid is one of `uuids`.
///
/// `btrfs receive` finds the parent of an incremental stream by its received uuid anywhere on the
/// filesystem, so a second subvolume received from the same chain may be the one that it takes.
pub fn received_from(
    tools: &Tools,
    path: &Path,
    uuids: &[Uuid],
) -> Result<Vec<ReceivedSubvolume>, BtrfsError> {
    let action = format!("list the received subvolumes of {}", path.display());
    let output = program::run(tools, action, |command| {
        command.args(["subvolume", "list", "-R", "--"]).arg(path)
    })?;
    let listed = parse_list(&output).filter(|found| uuids.contains(&found.received_uuid));
    Ok(listed
        .map(|found| ReceivedSubvolume {
            // If it was deleted meanwhile, the listed path must do.
            path: path_from_top(tools, path, found.subvolume_id).unwrap_or(found.path),
            ..found
        })
        .collect())
}

/// The list gives some paths from the top level and others from the subvolume that was asked,
/// without a word which is which.
fn path_from_top(tools: &Tools, below: &Path, id: u64) -> Result<PathBuf, BtrfsError> {
    let action = format!(
        "find the subvolume {id} on the filesystem of {}",
        below.display()
    );
    let output = program::run(tools, action, |command| {
        command
            .args(["inspect-internal", "subvolid-resolve"])
            .arg(id.to_string())
            .arg(below)
    })?;
    let path = output.strip_suffix(b"\n").unwrap_or(&output);
    Ok(PathBuf::from(OsStr::from_bytes(path)))
}

/// Reads `ID 257 gen 9 top level 5 received_uuid UUID path NAME`.
///
/// A line break in a name gives a line that says nothing or, if someone means it, one subvolume
/// too many; it can hide none.
fn parse_list(output: &[u8]) -> impl Iterator<Item = ReceivedSubvolume> {
    output.split(|&byte| byte == b'\n').filter_map(|line| {
        let (id, _) = split_at_word(line.strip_prefix(b"ID ")?, b" gen ")?;
        let (_, rest) = split_at_word(line, b" received_uuid ")?;
        let (uuid, rest) = rest.split_at_checked(36)?;
        let path = rest.strip_prefix(b" path ")?;
        Some(ReceivedSubvolume {
            path: PathBuf::from(OsStr::from_bytes(path)),
            subvolume_id: std::str::from_utf8(id).ok()?.parse().ok()?,
            received_uuid: std::str::from_utf8(uuid).ok()?.parse().ok()?,
        })
    })
}

fn split_at_word<'a>(line: &'a [u8], word: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let at = line.windows(word.len()).position(|window| window == word)?;
    Some((&line[..at], &line[at + word.len()..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_is_read_by_its_received_uuids_with_names_as_bytes() {
        let output = b"ID 256 gen 9 top level 5 received_uuid -                                    path live\n\
            ID 257 gen 9 top level 5 received_uuid 6f9619ff-8b86-d011-b42d-00c04fc964ff path a/\xff b path x\n";
        let found: Vec<_> = parse_list(output).collect();
        let expected = ReceivedSubvolume {
            path: PathBuf::from(OsStr::from_bytes(b"a/\xff b path x")),
            subvolume_id: 257,
            received_uuid: "6f9619ff-8b86-d011-b42d-00c04fc964ff".parse().unwrap(),
        };
        assert_eq!(found, [expected]);
    }
}
