//! Other subvolumes that matter: those nested in a source, and those received from a chain.

use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::error::BtrfsError;
use super::identity::open_subvolume;
use super::sys::{self, More, trees};
use super::tools::Tools;
use crate::model::Uuid;

/// Returns the subvolumes below `source` at any depth, sorted. The paths start with `source`.
///
/// A snapshot has an empty directory in their place, so they are not archived with it. If the snapshots
/// themselves are below the source, they are included.
pub fn nested_subvolumes(source: &Path) -> Result<Vec<PathBuf>, BtrfsError> {
    let mut found = Vec::new();
    let mut to_visit = vec![source.to_owned()];
    while let Some(subvolume) = to_visit.pop() {
        let children = match children(&subvolume) {
            Ok(children) => children,
            // Something may be mounted over a nested subvolume, or it was just deleted.
            Err(_) if subvolume != source => continue,
            Err(error) => return Err(error),
        };
        to_visit.extend(children.iter().cloned());
        found.extend(children);
    }
    found.sort();
    Ok(found)
}

/// Returns the subvolumes directly in this one, with no other between.
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
                // It was deleted or moved since it was listed.
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
    /// Its path from the filesystem's top level, which may not be what is mounted.
    pub path: PathBuf,
    /// Its id within the filesystem.
    pub subvolume_id: u64,
    /// The stream uuid that it was received with.
    pub received_uuid: Uuid,
}

/// Returns the subvolumes on the filesystem of `path` whose received uuid is one of `uuids`.
///
/// `btrfs receive` finds the parent of an incremental stream by its received uuid anywhere on the filesystem,
/// so it may use a second subvolume that was received from the same chain.
///
/// This asks the kernel by uuid, and does not use `btrfs subvolume list`: any user may make a subvolume whose
/// name forges a line of its output.
pub fn received_from(
    tools: &Tools,
    path: &Path,
    uuids: &[Uuid],
) -> Result<Vec<ReceivedSubvolume>, BtrfsError> {
    let failed = |source| BtrfsError::Io {
        action: "look for received subvolumes on the filesystem of",
        path: path.to_owned(),
        source,
    };
    let directory = File::open(path).map_err(failed)?;
    let mut found = Vec::new();
    for uuid in uuids {
        for id in trees::received_subvolumes(&directory, uuid.0).map_err(failed)? {
            found.push(ReceivedSubvolume {
                // It may have been deleted meanwhile.
                path: path_from_top(tools, path, id)
                    .unwrap_or_else(|_| PathBuf::from(format!("the subvolume with id {id}"))),
                subvolume_id: id,
                received_uuid: *uuid,
            });
        }
    }
    Ok(found)
}

/// Returns the path of a subvolume from the filesystem's top level.
fn path_from_top(tools: &Tools, below: &Path, id: u64) -> Result<PathBuf, BtrfsError> {
    let action = format!(
        "find the subvolume {id} on the filesystem of {}",
        below.display()
    );
    let output = tools.run(action, |command| {
        command
            .args(["inspect-internal", "subvolid-resolve"])
            .arg(id.to_string())
            .arg(below)
    })?;
    let path = output.strip_suffix(b"\n").unwrap_or(&output);
    Ok(PathBuf::from(OsStr::from_bytes(path)))
}
